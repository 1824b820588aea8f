"""The quarantine as a page shows it: every row of a run that was dropped or failed, why, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.pipeline.known import REPEATED
from worldloom.pipeline.quarantine import FOLDER, Case, case_name, read_case
from worldloom.pipeline.sources.source import kind_and_uri

if TYPE_CHECKING:
    from worldloom.pipeline.workspace import Workspace

MOST_CASES = 5000
"""Files of the quarantine that are read for their last words (default ours); further rows are shown without."""
WORDS = 4000
"""Characters of last words on a page; the file has all."""
_READERS = 8


@dataclass(frozen=True)
class Problem:
    """One row.

    Attributes:
        stage: pass or operation.
        status: `dropped` or `failed`.
        reason: slug.
        item: source item, key of a clip, or name of a shard.
        said: the sentence.
        words: traceback or last words of the child; empty where there are none.
        attempts: how often it was tried; 0 where nothing was.
        seconds: of all attempts.
        host: where.
        command: does it again; empty where there is nothing to do again.
        key: of the clip, where the item is one.
    """

    stage: str
    status: str
    reason: str
    item: str
    said: str = ""
    words: str = ""
    attempts: int = 0
    seconds: float = 0.0
    host: str = ""
    command: str = ""
    key: str = ""


def problems_of(space: Workspace) -> list[Problem]:
    """All rows of a run that were dropped or failed: of ingest, of every operation, of compose, and of pack."""
    cases = _cases(space)
    job = shlex.quote(f"{space.out}/job.yaml")
    found = []
    for row in space.problems():
        name = case_name(row.operation, row.item)
        case = cases.pop(name, None)
        alone = f"worldloom annotate {shlex.quote(f'{space.out}/{name}')}"
        # Trying a repeated video again brings the same clips again.
        repeated = row.operation == "ingest" and row.reason == REPEATED
        retry = "" if repeated else f"worldloom run {job} --retry {shlex.quote(row.reason)}"
        found.append(
            Problem(
                stage=row.operation,
                status=row.status,
                reason=row.reason or "unnamed",
                item=_plain(row.item),
                said=row.error.removeprefix(f"{_plain(row.item)}: "),
                words=_words(case),
                attempts=row.attempts,
                seconds=row.seconds,
                host=row.host,
                command=alone if case is not None else retry,
                key="" if row.operation == "ingest" else row.item,
            )
        )
    found += _of_pack(cases.items(), space)
    return found + _of_compose(space)


def _of_pack(cases: Iterable[tuple[str, Case | None]], space: Workspace) -> list[Problem]:
    """Shards that could not be written: the ledger asks for them by their plan, their files name them."""
    return [
        Problem("pack", "failed", case.reason, case.item, case.error, _words(case), case.attempts, case.seconds,
                case.host, f"worldloom annotate {shlex.quote(f'{space.out}/{name}')}")
        for name, case in cases if case is not None and case.stage == "pack"
    ]  # fmt: skip


def _of_compose(space: Workspace) -> list[Problem]:
    try:
        dropped = space.left_out()
    except WorldloomError:
        return []  # the table of the last run still counts them by reason
    return [
        Problem("compose", "dropped", row["reason"], row["key"], _because(row["told"]), key=row["key"])
        for row in dropped
    ]


def _because(told: Mapping[str, Any]) -> str:
    """What a rule of compose saw: the figures that a clip failed on, or the clip that it is a copy of."""
    if not told:
        return "left out by the rules of compose"
    figures = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in told.values())
    return ", ".join(f"{name} = {figure}" for name, figure in zip(told, figures, strict=True))


def _cases(space: Workspace) -> dict[str, Case | None]:
    """Files of the quarantine by name; None for those beyond `MOST_CASES` and those that cannot be read."""
    store = space.layout.store
    names = sorted(name for name in store.names(FOLDER) if name.endswith(".json"))

    def read(name: str) -> Case | None:
        try:
            return read_case(store, name)
        except UsageError:
            return None

    with ThreadPoolExecutor(_READERS, "cases") as pool:
        cases = dict(zip(names, pool.map(read, names[:MOST_CASES]), strict=False))
    return dict.fromkeys(names, None) | cases


def _words(case: Case | None) -> str:
    text = "\n".join(case.trace) if case is not None else ""
    return text if len(text) <= WORDS else f"[...]\n{text[-WORDS:]}"


def _plain(item: str) -> str:
    """What a person knows an item of a source by: without the kind of its source and the digest of its place."""
    return kind_and_uri(item)[1]


@dataclass(frozen=True)
class Group:
    """Rows of one stage that ended alike."""

    stage: str
    status: str
    reason: str
    rows: list[Problem]


def grouped(problems: Iterable[Problem]) -> list[Group]:
    """Rows by stage, status and reason: stages in the order in which they come first, in each the largest first."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for row in problems:
        groups.setdefault((row.stage, row.status, row.reason), []).append(row)
    stages = list(dict.fromkeys(stage for stage, _, _ in groups))
    ordered = sorted(groups.items(), key=lambda one: (stages.index(one[0][0]), -len(one[1]), one[0]))
    return [Group(*name, rows) for name, rows in ordered]
