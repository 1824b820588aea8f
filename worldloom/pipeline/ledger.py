"""The ledger: what ran on what, how it ended, and where the result lies. Only the driver writes it.

A row is (item, operation, recipe, source) -> status. What a resumed run still has to do is an anti-join against it.
Results lie in part files beside it; a part file counts only if a ledger segment names it, and it is on disk before
that segment is, so a driver that is killed loses at most what it had not flushed, and never believes half a file.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from worldloom.catalogs.storage import Store

FLUSH_ROWS = 256
FLUSH_SECONDS = 5.0
COMPACT_ABOVE_SEGMENTS = 200
PART_ROW_GROUP = 8
"""Rows of a part file that are read together to get one of them."""

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

    Args:
        out: working folder.
        writable: whether this process holds the folder's lock; readers never change anything.
    """

    def __init__(self, out: Path | str, *, writable: bool = False) -> None:
        self.out = Path(out)
        self.folder = self.out / "ledger"
        self._writable = writable
        self._pending: list[Entry] = []
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._problem: BaseException | None = None
        self._known = self._read()
        self._sequence = self._known["sequence"].to_pylist()[-1] + 1 if len(self._known) else 0
        if writable and len(self._segments()) > COMPACT_ABOVE_SEGMENTS:
            self._compact()

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
            if len(self._pending) >= FLUSH_ROWS:
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
        groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self._pending:
            if entry.payload:
                groups[(entry.operation, entry.recipe)].append(entry)
        for (operation, recipe), entries in groups.items():
            self._write_part(operation, recipe, entries)
        rows = []
        for entry in self._pending:
            rows.append(_as_row(entry, self._sequence))
            self._sequence += 1
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        write_table(table, self.folder / f"{rows[0]['sequence']:012d}-{uuid.uuid4().hex[:8]}.parquet")
        self._known = pa.concat_tables([self._known, table])
        self._pending = []

    def latest(self) -> pa.Table:
        """The last row per (item, operation, recipe, source), in `SCHEMA`, ordered by item and operation."""
        import duckdb

        self._take_pending()
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.register("known", self._known)
            return connection.sql(
                "SELECT * FROM known QUALIFY row_number() OVER "
                "(PARTITION BY item, operation, recipe, source ORDER BY sequence DESC) = 1 ORDER BY item, operation"
            ).to_arrow_table()

    def latest_entries(self) -> list[Entry]:
        """`latest` as entries."""
        return list(_as_entries(self.latest()))

    def entries(self, wanted: pa.Table) -> dict[tuple[str, str], Entry]:
        """The last entry of every wanted row that has one, by item and operation.

        Args:
            wanted: columns item, operation, recipe, source.
        """
        import duckdb

        self._take_pending()
        if len(wanted) == 0 or len(self._known) == 0:
            return {}
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.register("known", self._known)
            connection.register("wanted", wanted)
            found = connection.sql(
                "SELECT known.* FROM known SEMI JOIN wanted USING (item, operation, recipe, source) "
                "QUALIFY row_number() OVER (PARTITION BY item, operation ORDER BY sequence DESC) = 1 "
                "ORDER BY item, operation"
            ).to_arrow_table()
        return {(entry.item, entry.operation): entry for entry in _as_entries(found)}

    def seconds_per_row(self) -> dict[str, float]:
        """Mean wall-clock time of one row that ran, by operation."""
        sums: dict[str, list[float]] = defaultdict(list)
        for operation, seconds in zip(
            self._known["operation"].to_pylist(), self._known["seconds"].to_pylist(), strict=True
        ):
            sums[operation].append(seconds)
        return {operation: sum(values) / len(values) for operation, values in sums.items()}

    def _take_pending(self) -> None:
        if self._writable:
            self.flush()

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.parquet")) if self.folder.is_dir() else []

    def _read(self) -> pa.Table:
        segments = self._segments()
        if not segments:
            return SCHEMA.empty_table()
        table = pa.concat_tables([pq.read_table(segment, schema=SCHEMA) for segment in segments])
        return table.sort_by("sequence")

    def _compact(self) -> None:
        """One segment instead of many; a kill in between leaves rows twice, which `latest` does not mind."""
        old = self._segments()
        self._known = self.latest().sort_by("sequence")
        first = self._known["sequence"][0].as_py()
        write_table(self._known, self.folder / f"{first:012d}-{uuid.uuid4().hex[:8]}.parquet")
        for segment in old:
            segment.unlink()

    def _write_part(self, operation: str, recipe: str, entries: list[Entry]) -> None:
        name = f"annotations/{operation}/{recipe}/part-{uuid.uuid4().hex}.parquet"
        table = pa.table(
            {
                "item": pa.array([entry.item for entry in entries], pa.string()),
                "payload": pa.array([entry.payload for entry in entries], pa.large_binary()),
            }
        )
        # The payloads are compressed already.
        write_table(table, self.out / name, compression="none", row_group_size=PART_ROW_GROUP)
        for row, entry in enumerate(entries):
            entry.part, entry.row = name, row


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


def write_table(table: pa.Table, path: Path, **options: Any) -> None:
    """Write a parquet file that is either there as a whole or not at all, even if the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with draft.open("wb") as stream:
            pq.write_table(table, stream, **options)
            stream.flush()
            os.fsync(stream.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _as_row(entry: Entry, sequence: int) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in SCHEMA.names if name != "sequence"} | {"sequence": sequence}


def _as_entries(table: pa.Table) -> Iterator[Entry]:
    """Column by column: a ledger of 100,000 clips has a million rows."""
    names = [name for name in SCHEMA.names if name != "sequence"]
    for values in zip(*(table[name].to_pylist() for name in names), strict=True):
        yield Entry(**dict(zip(names, values, strict=True)))
