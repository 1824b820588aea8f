"""What the passes share while a job runs: its parts, and which rows are still due."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worldloom.pipeline.engine import Engine
from worldloom.pipeline.ledger import Entry, Ledger
from worldloom.pipeline.progress import Progress
from worldloom.pipeline.quarantine import remove_case, write_case
from worldloom.pipeline.settings import Job
from worldloom.pipeline.workspace import Layout


@dataclass
class Work:
    """A job at work.

    Attributes:
        job: what to do.
        layout: of the working folder.
        ledger: what is done.
        engine: what runs the rest.
        progress: who wants to know.
        retry: reason whose rows are tried again; empty for none.
        dry: count what is due, and run nothing.
        ran: rows that ran, by pass or operation.
        failures: of these, how many failed.
        due: rows that would run, and rows that are done, by pass or operation.
    """

    job: Job
    layout: Layout
    ledger: Ledger
    engine: Engine
    progress: Progress
    retry: str = ""
    dry: bool = False
    ran: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    due: dict[str, tuple[int, int]] = field(default_factory=dict)

    def is_due(self, entry: Entry | None) -> bool:
        """Whether a row has to run: it never did, or a person wants it tried again."""
        if entry is None:
            return True
        if not self.retry or entry.status not in ("failed", "dropped"):
            return False
        return self.retry == entry.reason or (entry.status == "failed" and self.retry in ("failed", "all"))

    def record(self, entry: Entry, evidence: Mapping[str, Any] | None = None) -> None:
        """Take an entry into the ledger; one that failed also leaves a file in `quarantine/` that says all about it."""
        self.ledger.append(entry)
        self.count(entry.operation)
        if entry.status == "failed":
            self.failures += 1
            write_case(self.layout.out, entry, evidence or {})
        else:
            remove_case(self.layout.out, entry.operation, entry.item)

    def count(self, name: str, rows: int = 1) -> None:
        """Note that rows of a pass or operation ran."""
        self.ran[name] = self.ran.get(name, 0) + rows


def entry_of(result: dict[str, Any], *, item: str, operation: str, recipe: str, source: str, payload: bytes) -> Entry:
    """The ledger row of a supervisor's result."""
    names = ("status", "reason", "error", "digest", "seconds", "attempts", "host", "bytes")
    told = json.dumps(result["facts"], sort_keys=True)
    values = {name: result[name] for name in names}
    return Entry(item, operation, recipe, source, payload=payload, told=told, **values)
