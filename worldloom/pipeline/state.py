"""`state.json` of the working folder, and how its small JSON files are read: with everything that must be in them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.catalogs.storage import Store
from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.layout import Layout

STATE = "state.json"
"""Operations and recipes of the job, and how its last run ended."""

WRITTEN_ANEW = "run the job again, which writes it anew"
"""What to do about a file that every run writes."""


class OperationState(BaseModel):
    """What is kept of an operation, see `worldloom.pipeline.operation.Operation`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    gives: str
    method: str
    version: str
    recipe: str
    after: tuple[str, ...] = ()


class State(BaseModel):
    """What `state.json` says.

    Attributes:
        name: of the job.
        ingest: its recipe.
        operations: of the job, each after those it builds on.
        tables: lines of the last run; none while it runs, or if it was killed.
        earlier: lines of compose and pack of the last run that had them, where the last one has none.
        manifest: that the last run ended with; 0 where it did not pack, and shards that no manifest names may be its.
        exit_code: of the last run.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = ""
    ingest: str
    operations: tuple[OperationState, ...]
    tables: tuple[Tally, ...] = ()
    earlier: tuple[Tally, ...] = ()
    manifest: int = 0
    exit_code: int = 0

    def packing(self) -> list[Tally]:
        """The lines of compose and pack, as of the last run that had them."""
        known = {tally.name: tally for tally in (*self.earlier, *self.tables) if not tally.part_of}
        return [known[name] for name in ("compose", "pack") if name in known]


def read_state(layout: Layout) -> State:
    """How the last run left a working folder.

    Raises:
        UsageError: nothing has run there yet.
        WorldloomError: the file is damaged.
    """
    try:
        found: State = read_json(layout.store, STATE, State, WRITTEN_ANEW)
    except FileNotFoundError:
        raise UsageError(f"{layout.out}: nothing has run here yet ({STATE} is missing)") from None
    return found


def read_json(store: Store, name: str, shape: Any, remedy: str) -> Any:
    """A small JSON file.

    Args:
        store: of the working folder.
        name: of the file.
        shape: type of what is in it, as pydantic understands it.
        remedy: what to do where something else is.

    Raises:
        FileNotFoundError: there is no such file.
        WorldloomError: it is damaged; names file, place and remedy.
    """
    data = store.read(name)
    try:
        return TypeAdapter(shape).validate_json(data)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        said = f"{place}: {problem['msg']}" if place else problem["msg"]
        raise WorldloomError(f"{store.place}/{name}: damaged ({said}); {remedy}") from None
