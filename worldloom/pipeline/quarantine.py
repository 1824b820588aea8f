"""Quarantine: one file per failed row that says all about it, and the one command that does it again, alone.

`OUT/quarantine/<operation>/<item>.json` is there before the ledger knows of the failure, and is gone at the end of the
pass in which the row no longer fails. It is for people
and for `worldloom.pipeline.again`; the ledger knows everything that a run needs.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePosixPath
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.redact import without_secrets
from worldloom.catalogs.storage import Store
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Entry
from worldloom.pipeline.operation import LIMIT_AT_MOST

FOLDER = "quarantine"
_TOOLS = ("worldloom", "av", "numpy", "opencv-python-headless", "pycolmap", "ray", "torch")
_LONGEST_NAME = 100


class Case(BaseModel):
    """One failed row, as its file holds it.

    Attributes:
        stage: pass: `ingest`, `annotate` or `pack`.
        operation: name of the annotator, or the pass.
        item: source item's id, clip's key, or name of the shard.
        source: digest of what the item is made of.
        recipe: digest of what decides the result.
        reason: slug; what `run --retry` takes.
        error: the sentence.
        attempts: how often it was tried.
        seconds: wall-clock time of all attempts.
        host: where.
        trace: lines: the traceback, or the last words of the child.
        entry: `module:function` that was called; empty where nothing was, e.g. where a worker died.
        payload: what it was called with.
        limits: deadline, memory and so on of that call.
        versions: of Python and the packages at work.
        command: does it again, alone.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    stage: str
    operation: str
    item: str
    source: str = ""
    recipe: str = ""
    reason: str
    error: str = ""
    attempts: int = 1
    seconds: float = 0.0
    host: str = ""
    trace: list[str] = Field(default_factory=list)
    entry: str = ""
    payload: dict[str, Any] = Field(default_factory=dict)
    limits: dict[str, Annotated[float, Field(gt=0, le=LIMIT_AT_MOST)] | bool] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    command: str = ""


def case_name(operation: str, item: str) -> str:
    """Where in the working folder the file of a failed row lies; plain characters, a name of its own for each item."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", item)
    if not name or name != item or len(name) > _LONGEST_NAME or name.startswith("."):
        name = f"{name[-_LONGEST_NAME:].lstrip('.')}-{hashlib.sha256(item.encode()).hexdigest()[:8]}"
    return f"{_folder(operation)}/{name}.json"


def _without_secrets(value: Any) -> Any:
    """Plain data without what addresses in it must not tell; its source finds them again by their digests."""
    if isinstance(value, Mapping):
        return {name: _without_secrets(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(one) for one in value]
    return without_secrets(value) if isinstance(value, str) else value


def _folder(operation: str) -> str:
    return f"{FOLDER}/{re.sub(r'[^A-Za-z0-9_.-]+', '_', operation).lstrip('.')}"


def write_case(layout: Layout, entry: Entry, evidence: Mapping[str, Any]) -> str:
    """Write the file of a row that failed.

    Args:
        layout: of the working folder.
        entry: of the ledger.
        evidence: `Ending.evidence` of the call; empty where nothing was called.
    """
    name = case_name(entry.operation, entry.item)
    told = ("operation", "item", "source", "recipe", "reason", "error", "attempts", "seconds", "host")
    # Not checked: a value that nobody foresaw costs the repetition of this row, never the job that tells of it.
    case = Case.model_construct(
        stage=entry.operation if entry.operation in ("ingest", "pack") else "annotate",
        **{name: getattr(entry, name) for name in told},
        **_without_secrets(evidence),
        versions=_versions(),
        command=f"worldloom annotate {shlex.quote(f'{layout.out}/{name}')}",
    )
    layout.write_json(name, case.model_dump(warnings=False))
    return name


def forget_solved(layout: Layout, operation: str, items: pa.ChunkedArray, statuses: pa.ChunkedArray) -> None:
    """Take the files of rows away that have ended otherwise since; the ledger has these rows by then.

    Args:
        layout: of the working folder.
        operation: whose rows.
        items: of all rows that the job asks for.
        statuses: how each has ended; null where it has not.
    """
    files = [name for name in layout.store.names(_folder(operation)) if name.endswith(".json")]
    if not files:
        return
    said = [PurePosixPath(name).stem for name in files]
    unknown = pc.index_in(pa.array(said, pa.string()), value_set=items).is_null().to_pylist()
    for number, (name, odd) in enumerate(zip(files, unknown, strict=True)):
        if odd:  # an item whose name no file can have
            with suppress(UsageError):
                said[number] = read_case(layout.store, name).item
    ended = statuses.take(pc.index_in(pa.array(said, pa.string()), value_set=items))
    for name, status in zip(files, ended.to_pylist(), strict=True):
        if status not in (None, "failed"):
            layout.store.delete(name)


def read_case(store: Store, name: str) -> Case:
    """Read the file of a failed row.

    Args:
        store: of the working folder.
        name: of the file in it.

    Raises:
        UsageError: it is none.
    """
    try:
        return Case.model_validate(json.loads(store.read(name)))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"{store.place}/{name}: not a quarantine file of worldloom ({what[:200]})") from None


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
