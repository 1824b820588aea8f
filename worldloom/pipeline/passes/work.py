"""What the passes share while a job runs: its parts, and which rows are still due."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from worldloom.pipeline.engine import Engine
from worldloom.pipeline.known import is_among
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Entry, Ledger
from worldloom.pipeline.progress import Progress
from worldloom.pipeline.quarantine import write_case
from worldloom.pipeline.settings import Job

EVERY_FAILURE = ("failed", "all")
"""What `--retry` takes beside reasons."""


@dataclass
class Work:
    """A job at work.

    Attributes:
        job: what to do.
        layout: of the working folder.
        ledger: what is done.
        engine: what runs the rest.
        progress: who wants to know.
        retry: reasons whose rows are tried again; `failed` and `all` for every row that failed.
        dry: count what is due, and run nothing.
        ran: rows that ran, by pass or operation.
        failures: of these, how many failed.
        due: rows that would run, and rows that are done, by pass or operation.
        hear: told of every row that ends.
    """

    job: Job
    layout: Layout
    ledger: Ledger
    engine: Engine
    progress: Progress
    retry: frozenset[str] = frozenset()
    dry: bool = False
    ran: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    due: dict[str, tuple[int, int]] = field(default_factory=dict)
    hear: Callable[[Entry], None] | None = None

    def to_retry(self, answers: pa.Table) -> np.ndarray:
        """Which rows a person wants tried again.

        Args:
            answers: columns status and reason.
        """
        failed = is_among(answers["status"], {"failed"})
        if not self.retry:
            return np.zeros(len(failed), bool)
        lost = failed | is_among(answers["status"], {"dropped"})
        named = lost & is_among(answers["reason"], self.retry)
        return named if self.retry.isdisjoint(EVERY_FAILURE) else named | failed

    def record(self, entry: Entry, evidence: Mapping[str, Any] | None = None) -> None:
        """Take an entry into the ledger; one that failed also leaves a file in `quarantine/` that says all about it."""
        if entry.status == "failed":
            self.failures += 1
            write_case(self.layout, entry, evidence or {})  # first: a failed row without a file would stay without
        self.ledger.append(entry)
        self.count(entry.operation)
        if self.hear is not None:
            self.hear(entry)

    def count(self, name: str, rows: int = 1) -> None:
        """Note that rows of a pass or operation ran."""
        self.ran[name] = self.ran.get(name, 0) + rows


def entry_of(result: dict[str, Any], *, item: str, operation: str, recipe: str, source: str, payload: bytes) -> Entry:
    """The ledger row of a supervisor's result."""
    names = ("status", "reason", "error", "digest", "seconds", "attempts", "host", "bytes")
    told = json.dumps(result["facts"], sort_keys=True)
    values = {name: result[name] for name in names}
    return Entry(item, operation, recipe, source, payload=payload, told=told, **values)
