"""Segments of the ledger: immutable Parquet files, asked through DuckDB, so that no process holds them in memory."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloom.catalogs.errors import WorldloomError
from worldloom.catalogs.memory import give_memory_back
from worldloom.catalogs.storage import Store
from worldloom.pipeline.layout import Layout

if TYPE_CHECKING:
    import duckdb

FOLDER = "ledger"
COMPACT_ABOVE_SEGMENTS = 200
SETTLED_ROWS = 1_000_000
"""A segment of so many rows is left alone by compaction: rewriting it again and again would cost more than it saves."""

COPY_ROWS = 1024
"""Rows that compaction reads at once."""

GROUP_ROWS, GROUP_BYTES = 16_384, 4_000_000
"""A row group ends at either (default ours). Compaction holds one in memory, and who looks rows up by their number
reads few of them."""

MEMORY_LIMIT = "1GB"
"""Of DuckDB, which spills to the machine's temporary folder beyond it (default ours)."""

GAP = 1 << 32
"""Rows of a driver are numbered from the last one seen on, less than this further at random: should two be at work for
a moment, because one stood still, no two rows have one number (default ours; there is room for two million drivers)."""

ATTEMPTS = 3
"""How often a reader asks again when a driver has compacted the segments under its hands."""

_Found = TypeVar("_Found")
_NAME = re.compile(rf"{FOLDER}/\d+-[0-9a-f]+\.parquet\Z")


class Segments:
    """The segments of one working folder.

    Args:
        layout: of the working folder.
        schema: of the rows; one column is `sequence`, which grows with time.
    """

    def __init__(self, layout: Layout, schema: pa.Schema) -> None:
        self._layout, self._schema = layout, schema
        self._store: Store = layout.store
        self.names: list[str] = []
        self._rows: dict[str, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """See which segments there are."""
        self.names = sorted(name for name in self._store.names(FOLDER) if _NAME.match(name))

    def next_sequence(self) -> int:
        """A number beyond the last row's."""
        last = -1
        if self.names:
            found = self.ask("SELECT max(sequence) AS last FROM known")["last"][0].as_py()
            last = -1 if found is None else int(found)
        return last + 1 + secrets.randbelow(GAP)

    def append(self, table: pa.Table) -> None:
        """Write rows as a segment; it is there as a whole or not at all."""
        name = self._new_name(table["sequence"][0].as_py())
        write_table(self._store, name, table, row_group_size=GROUP_ROWS)
        self.names.append(name)
        self._rows[name] = len(table)

    def ask(self, query: str, parameters: list[Any] | None = None, **tables: pa.Table) -> pa.Table:
        """The answer to a query over `known`, the rows of all segments, and these tables.

        Raises:
            WorldloomError: see `find`.
        """
        return self.find(lambda connection: connection.sql(query, params=parameters or []).to_arrow_table(), tables)

    def find(
        self, question: Callable[[duckdb.DuckDBPyConnection], _Found], tables: Mapping[str, pa.Table] | None = None
    ) -> _Found:
        """What a question finds out in a connection; asked again where a driver compacts the segments meanwhile.

        Raises:
            WorldloomError: a segment is damaged, or they vanish faster than they can be read.
        """
        import duckdb

        for _ in range(ATTEMPTS):
            try:
                with self.connected(tables) as connection:
                    return question(connection)
            except (duckdb.IOException, FileNotFoundError) as error:
                problem = error
                self.refresh()
        self._refuse_damaged()
        said = _first_line(problem)  # the others show the query
        raise WorldloomError(f"{self._layout.out}: the ledger cannot be read ({said}); run the same command again")

    def compact_if_many(self) -> None:
        """Merge small segments into large ones, where there are many; the last row of each kind is kept.

        A kill in between leaves rows twice, which nobody minds: they are equal, and the next time drops one.
        """
        small = [name for name in self.names if self._count(name) < SETTLED_ROWS]
        while len(small) > COMPACT_ABOVE_SEGMENTS:
            batch: list[str] = []
            rows = 0
            while small and (rows < SETTLED_ROWS or len(batch) < 2):
                batch.append(small.pop(0))
                rows += self._count(batch[-1])
            self._merge(batch)

    def _merge(self, names: list[str]) -> None:
        """Row group by row group: what is in memory at once are one of them and the places of the rows to keep."""
        files, rows, first = self._last_words(names)
        target = self._new_name(first)
        with self._layout.scratch() as scratch:
            draft = scratch / "segment.parquet"
            with pq.ParquetWriter(draft, self._schema) as writer:
                group: list[pa.RecordBatch] = []
                for batch in self._kept(names, files, rows):
                    group.append(batch)
                    large = sum(one.nbytes for one in group) >= GROUP_BYTES
                    if large or sum(len(one) for one in group) >= GROUP_ROWS:
                        writer.write_table(pa.Table.from_batches(group))
                        group = []
                if group:
                    writer.write_table(pa.Table.from_batches(group))
            self._store.take(draft, target)
        self._rows[target] = len(rows)
        for name in names:
            self._store.delete(name)
        self.refresh()

    def _kept(self, names: list[str], files: np.ndarray, rows: np.ndarray) -> Iterator[pa.RecordBatch]:
        """The rows at these places: number of the file, in order, and of the row in it."""
        bounds = np.searchsorted(files, np.arange(len(names) + 1))
        for number, name in enumerate(names):
            here = rows[bounds[number] : bounds[number + 1]]
            start = 0
            with self._reading(name) as file:
                for batch in file.iter_batches(COPY_ROWS, use_threads=False):
                    inside = here[slice(*np.searchsorted(here, [start, start + len(batch)]))]
                    if len(inside):
                        yield batch.take(pa.array(inside - start))
                    start += len(batch)

    def _last_words(self, names: list[str]) -> tuple[np.ndarray, np.ndarray, int]:
        """Where the last rows lie: numbers of the files, sorted, and of the rows in them; and the first sequence."""
        before, self.names = self.names, names
        try:
            query = (
                "SELECT last.file AS file, last.row AS row, last.sequence AS sequence FROM (SELECT "
                "max_by({file: file_index, row: file_row_number, sequence: sequence}, sequence) AS last "
                "FROM placed GROUP BY item, operation, recipe, source) ORDER BY file, row"
            )
            found = self.ask(query)
        finally:
            self.names = before
        files, rows, sequence = (found[name].to_numpy().astype(np.int64) for name in ("file", "row", "sequence"))
        return files, rows, int(sequence.min())

    def _count(self, name: str) -> int:
        if name not in self._rows:
            self._rows[name] = pq.read_metadata(self._store.local(name)).num_rows
        return self._rows[name]

    @staticmethod
    def _new_name(first: int) -> str:
        return f"{FOLDER}/{first:016d}-{uuid.uuid4().hex[:8]}.parquet"

    @contextmanager
    def connected(self, tables: Mapping[str, pa.Table] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with `known`, the rows of all segments there are now, and these tables.

        Raises:
            WorldloomError: a segment is damaged.
            duckdb.IOException, FileNotFoundError: one is gone.
        """
        import duckdb

        places = [_quoted(self._store.local(name)) for name in self.names]
        spill = Path(tempfile.gettempdir()) / f"worldloom-ledger-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        settings: dict[str, Any] = {
            "threads": min(4, os.cpu_count() or 1),
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(spill),
            "preserve_insertion_order": False,
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            for name, table in (tables or {}).items():
                connection.register(name, table)
            try:
                if places:
                    files = f"read_parquet([{', '.join(places)}])"
                    connection.execute(f"CREATE VIEW known AS SELECT * FROM {files}")  # noqa: S608 -- quoted
                    connection.execute(f"CREATE VIEW placed AS SELECT *, file_index, file_row_number FROM {files}")  # noqa: S608
                else:
                    connection.register("known", self._schema.empty_table())
                yield connection
            except (duckdb.IOException, duckdb.InterruptException):
                raise
            except duckdb.OutOfMemoryException as error:
                raise WorldloomError(
                    f"{self._layout.out}: a question to the ledger needs more room than is left in "
                    f"{tempfile.gettempdir()} ({_first_line(error)}); free some, or set TMPDIR to a larger folder"
                ) from None
            except duckdb.Error:
                self._refuse_damaged()
                raise
        give_memory_back(collect=False)  # the ledger is asked again and again, between long pieces of work

    def _refuse_damaged(self) -> None:
        """Read every segment by itself: DuckDB does not always say which one it could not read."""
        for name in self.names:
            try:
                with self._reading(name) as file:
                    if missing := set(self._schema.names) - set(file.schema_arrow.names):
                        raise pa.ArrowInvalid(f"column '{min(missing)}' is missing")
                    for _ in file.iter_batches(COPY_ROWS, use_threads=False):
                        pass
            except FileNotFoundError:
                continue

    @contextmanager
    def _reading(self, name: str) -> Iterator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(self._store.local(name)) as file:
                yield file
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk says so, not the file
            raise WorldloomError(
                f"{self._store.place}/{name}: this segment of the ledger is damaged ({_first_line(error)}); move it "
                "out of the folder, and the next run does its rows again"
            ) from None


def write_table(store: Store, name: str, table: pa.Table, **options: Any) -> None:
    """Write a Parquet file that is either there as a whole or not at all, even if the machine stops.

    Args:
        store: of the working folder.
        name: of the file.
        table: small enough to be in memory twice.
        options: of `pyarrow.parquet.write_table`.
    """
    buffer = BytesIO()
    pq.write_table(table, buffer, **options)
    store.write(name, buffer.getvalue())


def _quoted(path: Path) -> str:
    """A path as DuckDB reads it: a literal in which nothing is a pattern."""
    plain = re.sub(r"[\[*?]", lambda found: f"[{found[0]}]", str(path))
    return "'" + plain.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
