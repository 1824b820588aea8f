"""The ledger: what ran on what, how it ended, and where the result lies. Only the driver writes it.

A row is (item, operation, recipe, source) -> status. What a resumed run still has to do is an anti-join against it.
Results lie in part files beside it; a part file counts only if a ledger segment names it, and it is on disk before
that segment is, so a driver that is killed loses at most what it had not flushed, and never believes half a file.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloom.catalogs.errors import WorldloomError
from worldloom.catalogs.storage import Store
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.segments import Segments, write_table

FLUSH_ROWS = 256
FLUSH_SECONDS = 5.0
FLUSH_BYTES = 64_000_000
"""Payloads that wait for a part file; with large answers the driver's memory is bounded by this, not by rows."""

PART_ROW_GROUP = 8
"""Rows of a part file that are read together to get one of them."""

HUMAN = "human"
"""Recipe of a correction by a person. It wins over every other answer of its item and operation, whatever the source;
one with status `absent` and reason `withdrawn` takes an earlier one back."""

WITHDRAWN = "withdrawn"

SCHEMA = pa.schema(
    [
        ("item", pa.string()),
        ("operation", pa.string()),
        ("recipe", pa.string()),
        ("source", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("error", pa.string()),
        ("digest", pa.string()),
        ("told", pa.string()),
        ("part", pa.string()),
        ("row", pa.int32()),
        ("bytes", pa.int64()),
        ("seconds", pa.float64()),
        ("attempts", pa.int32()),
        ("host", pa.string()),
        ("at", pa.float64()),
        ("sequence", pa.int64()),
    ]
)


ANSWER_COLUMNS = ("sequence", "status", "reason", "digest", "part", "row", "bytes")
"""What the driver knows about every answer; everything else is looked up where somebody asks for it."""

_ANSWERS = ", ".join(ANSWER_COLUMNS)
_REPEATED = ("operation", "recipe", "status", "reason", "part", "host")


@dataclass(slots=True)
class Entry:
    """One row.

    Attributes:
        item: a source item's id, or a clip's key.
        operation: `ingest`, the name of an annotator, or `pack`.
        recipe: digest of what decides the result, see `worldloom.pipeline.operations`.
        source: digest of what the item is made of.
        status: `ok`, `absent`, `dropped` or `failed`.
        reason: slug of anything but `ok`.
        error: the sentence a person reads.
        digest: of the result.
        told: figures of the result as JSON, parsed only where somebody asks for `facts`.
        payload: the result itself, see `worldloom.pipeline.parcel`; empty where there is none.
        bytes: size of the result, files of its own included.
        seconds: wall-clock time it took.
        attempts: how often it was tried.
        host: where.
        part: file of the payload, relative to the working folder; set when the row is written.
        row: of the payload in that file.
        at: seconds since the epoch, when it was written.
    """

    item: str
    operation: str
    recipe: str
    source: str
    status: str
    reason: str = ""
    error: str = ""
    digest: str = ""
    told: str = "{}"
    payload: bytes = b""
    seconds: float = 0.0
    attempts: int = 1
    host: str = ""
    part: str = ""
    row: int = -1
    bytes: int = 0
    at: float = 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """Figures of the result, plain JSON values; for `ingest` what is known about each clip."""
        found: dict[str, Any] = json.loads(self.told)
        return found


class Ledger:
    """Appends entries and answers what is already known: `with Ledger(out, writable=True) as ledger: ...`.

    Nothing but what is not yet on disk is held in memory.

    Args:
        out: working folder, or `s3://bucket/prefix`.
        writable: whether this process holds the folder's lock; readers never change anything.
        held: asked before every write whether it still does.
    """

    def __init__(self, out: Path | str, *, writable: bool = False, held: Callable[[], bool] = lambda: True) -> None:
        self._layout = Layout(out)
        self._segments = Segments(self._layout, SCHEMA)
        self._writable = writable
        self._held = held
        self._pending: list[Entry] = []
        self._pending_bytes = 0
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._problem: BaseException | None = None
        self._sequence = self._segments.next_sequence() if writable else 0
        if writable:
            self._segments.compact_if_many()

    def __enter__(self) -> Ledger:
        if self._writable:
            threading.Thread(target=self._flush_in_time, name="ledger-flush", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._writable:
            self.flush()

    def append(self, entry: Entry) -> None:
        """Take an entry; it is on disk after at most 256 more or 5 s, or at `flush`.

        Raises:
            OSError: an earlier entry could not be written.
        """
        assert self._writable
        if self._problem is not None:
            raise self._problem
        entry.at = entry.at or time.time()
        entry.host = entry.host or socket.gethostname()
        with self._guard:
            self._pending.append(entry)
            self._pending_bytes += len(entry.payload)
            if len(self._pending) >= FLUSH_ROWS or self._pending_bytes >= FLUSH_BYTES:
                self.flush()

    def flush(self) -> None:
        """Put everything taken so far on disk: part files first, then the segment that names them."""
        with self._guard:
            self._flush()

    def _flush_in_time(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except BaseException as problem:
                self._problem = problem  # the next append raises it where somebody sees it
                return

    def _flush(self) -> None:
        if not self._pending:
            return
        if not self._held():
            self._pending = []
            raise WorldloomError(
                f"{self._layout.out}: another run took this folder over while this one stood still for minutes; "
                "it goes on there, and this one ends"
            )
        groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self._pending:
            if entry.payload:
                groups[(entry.operation, entry.recipe)].append(entry)
        for (operation, recipe), entries in groups.items():
            self._write_part(operation, recipe, entries)
        columns = {name: [getattr(entry, name) for entry in self._pending] for name in SCHEMA.names[:-1]}
        columns["sequence"] = list(range(self._sequence, self._sequence + len(self._pending)))
        self._segments.append(pa.table(columns, schema=SCHEMA))
        self._sequence += len(self._pending)
        self._pending, self._pending_bytes = [], 0
        self._segments.compact_if_many()

    def answers(self, operation: str, recipe: str, wanted: pa.Table) -> pa.Table:
        """The last row of one operation for each of many items.

        Args:
            operation: name.
            recipe: digest.
            wanted: columns item and source.

        Returns:
            `ANSWER_COLUMNS` for every row of `wanted`, in its order; nulls where there is no answer.
        """
        numbered = wanted.select(["item", "source"]).append_column("number", pa.array(np.arange(len(wanted))))
        found = self._ask(
            f"SELECT number, {_ANSWERS} FROM known JOIN wanted USING (item, source) "  # noqa: S608 -- constants
            "WHERE operation = ? AND recipe = ?",
            [operation, recipe],
            wanted=numbered,
        )
        return aligned(found, len(wanted))

    def corrections(self) -> pa.Table:
        """What people have set: item, operation and `ANSWER_COLUMNS`, the last word of each; withdrawn ones too."""
        return self._ask(
            f"SELECT item, operation, {_ANSWERS} FROM known WHERE recipe = ? "  # noqa: S608 -- constants
            "QUALIFY row_number() OVER (PARTITION BY item, operation ORDER BY sequence DESC) = 1",
            [HUMAN],
        )

    def rows(self, sequences: np.ndarray | Sequence[int], columns: Sequence[str] = SCHEMA.names) -> pa.Table:
        """Columns of rows by their number, in the order given: how sentences and figures are looked up when needed.

        Args:
            sequences: as `answers` gives them; -1 gives nulls.
            columns: of `SCHEMA`.
        """
        asked = np.asarray(sequences, np.int64)
        wanted = pa.table({"sequence": asked, "number": np.arange(len(asked))})
        names = ", ".join(f'"{name}"' for name in columns if name != "sequence")  # `at` is a word of DuckDB's
        first, last = (int(asked.min()), int(asked.max())) if len(asked) else (0, 0)
        found = self._ask(
            f"SELECT number, sequence{', ' if names else ''}{names} FROM known JOIN wanted USING (sequence) "  # noqa: S608
            "WHERE sequence BETWEEN ? AND ?",
            [first, last],
            wanted=wanted,
        )
        return aligned(found, len(asked)).select(list(columns))

    def entries_at(self, sequences: np.ndarray | Sequence[int]) -> list[Entry]:
        """Rows by their number, as entries."""
        return list(_as_entries(self.rows(sequences)))

    def latest(self) -> pa.Table:
        """The last row per (item, operation, recipe, source), in `SCHEMA`, ordered by item and operation."""
        return self._ask(
            "SELECT * FROM known QUALIFY row_number() OVER "
            "(PARTITION BY item, operation, recipe, source ORDER BY sequence DESC) = 1 ORDER BY item, operation"
        ).cast(SCHEMA)

    def latest_entries(self) -> list[Entry]:
        """`latest` as entries; for ledgers of which all rows fit into memory."""
        return list(_as_entries(self.latest()))

    def entries(self, wanted: pa.Table) -> dict[tuple[str, str], Entry]:
        """The last entry of every wanted row that has one, by item and operation; for a few thousand of them.

        Args:
            wanted: columns item, operation, recipe, source.
        """
        if len(wanted) == 0:
            return {}
        found = self._ask(
            "SELECT known.* FROM known SEMI JOIN wanted USING (item, operation, recipe, source) "
            "QUALIFY row_number() OVER (PARTITION BY item, operation ORDER BY sequence DESC) = 1 "
            "ORDER BY item, operation",
            wanted=wanted,
        )
        return {(entry.item, entry.operation): entry for entry in _as_entries(found)}

    def seconds_per_row(self) -> dict[str, float]:
        """Mean wall-clock time of one row that ran, by operation; what a person set took none."""
        found = self._ask(
            "SELECT operation, avg(seconds) AS mean FROM known WHERE recipe <> ? GROUP BY operation ORDER BY operation",
            [HUMAN],
        )
        return dict(zip(found["operation"].to_pylist(), found["mean"].to_pylist(), strict=True))

    def _ask(self, query: str, parameters: list[Any] | None = None, **tables: pa.Table) -> pa.Table:
        if self._writable:
            self.flush()
        with self._guard:
            return self._segments.ask(query, parameters, **tables)

    def _write_part(self, operation: str, recipe: str, entries: list[Entry]) -> None:
        name = self._layout.part_name(operation, recipe)
        table = pa.table(
            {
                "item": pa.array([entry.item for entry in entries], pa.string()),
                "payload": pa.array([entry.payload for entry in entries], pa.large_binary()),
            }
        )
        # The payloads are compressed already.
        write_table(self._layout.store, name, table, compression="none", row_group_size=PART_ROW_GROUP)
        for row, entry in enumerate(entries):
            entry.part, entry.row = name, row


def aligned(found: pa.Table, length: int) -> pa.Table:
    """Rows put at their numbers, the last of each by `sequence`; nulls where there is none.

    Args:
        found: with the columns `number` (0 to `length` - 1) and `sequence`.
        length: of the result, whose texts that repeat are dictionaries.
    """
    number, sequence = found["number"].to_numpy(), found["sequence"].to_numpy()
    order = np.lexsort((sequence, number))
    number = number[order]
    last = np.ones(len(number), bool)
    last[:-1] = number[1:] != number[:-1]
    place = np.full(length, -1, np.int64)
    place[number[last]] = order[last]
    index = pa.array(place, mask=place < 0)
    columns = {}
    for name in found.column_names:
        if name != "number":
            column = found[name].dictionary_encode() if name in _REPEATED else found[name]
            columns[name] = column.combine_chunks().take(index)
    return pa.table(columns)


def read_payload(store: Store, part: str, row: int) -> bytes:
    """One payload of a part file, without reading the others.

    Args:
        store: of the working folder.
        part: name of the file.
        row: of the payload.
    """
    with pq.ParquetFile(store.local(part)) as file:
        group = file.read_row_group(row // PART_ROW_GROUP, columns=["payload"])
    return bytes(group["payload"][row % PART_ROW_GROUP].as_py())


def wanted_rows(rows: Iterable[tuple[str, str, str, str]]) -> pa.Table:
    """(item, operation, recipe, source) as the table that `Ledger.entries` takes."""
    names = ("item", "operation", "recipe", "source")
    columns = list(zip(*rows, strict=True)) or [()] * 4
    return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})


def _as_entries(table: pa.Table) -> Iterator[Entry]:
    names = [name for name in SCHEMA.names if name != "sequence"]
    for values in zip(*(table[name].to_pylist() for name in names), strict=True):
        yield Entry(**dict(zip(names, values, strict=True)))
