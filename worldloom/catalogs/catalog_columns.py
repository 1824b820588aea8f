"""Columns of a catalog's file, read batch by batch; no row becomes a Python object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloom.catalogs.errors import BadInput

BATCH_ROWS = 1 << 16
"""So many rows of a few columns are in memory at once (ours)."""

_NEEDED = {
    "key": pa.string(),
    "split": pa.string(),
    "seconds": pa.float64(),
    "fps": pa.float64(),
    "frames": pa.int32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "source.kind": pa.string(),
    "source.licence": pa.string(),
    "source.uri": pa.string(),
    "source.sha256": pa.string(),
    "parents": pa.list_(pa.string()),
}
_NEVER_NULL = ("split", "seconds", "fps", "frames", "source.kind")


@contextmanager
def opened_catalog(catalog: Path | str) -> Iterator[pq.ParquetFile]:
    """The file of a catalog.

    Raises:
        BadInput: `bad_catalog`, no such file, no Parquet file, or whatever Arrow finds wrong while it is open.
    """
    try:
        with pq.ParquetFile(catalog, memory_map=False) as file:
            yield file
    except FileNotFoundError:
        raise BadInput("bad_catalog", "no such file", where=catalog) from None
    except (pa.ArrowException, OSError) as error:
        raise BadInput("bad_catalog", f"not a readable catalog ({error})", where=catalog) from None


class CatalogColumns:
    """Columns of the file, figures of operations by `operation.figure`."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self.file = file
        self.types: dict[str, pa.DataType] = {}
        for column in file.schema_arrow:
            children = list(column.type) if pa.types.is_struct(column.type) else []
            self.types |= {f"{column.name}.{child.name}": child.type for child in children} or {
                column.name: column.type
            }

    def check(self) -> None:
        """Refuse a file without the columns that every catalog has."""
        for name, kind in _NEEDED.items():
            if self.types.get(name) != kind:
                raise pa.ArrowTypeError(f"column {name} is {self.types.get(name, 'missing')}, {kind} expected")
        for table in self.batches(*_NEVER_NULL):
            for name in _NEVER_NULL:
                if missing := table[name].null_count:
                    raise pa.ArrowTypeError(f"column {name} has {missing} values missing")

    def batches(self, *names: str) -> Iterator[pa.Table]:
        """Some columns, by so many rows as a batch has."""
        for batch in self.file.iter_batches(BATCH_ROWS, columns=list(names), use_threads=False):
            yield pa.Table.from_batches([batch]).flatten().select(list(names))

    def values(self, name: str) -> Iterator[pa.ChunkedArray]:
        """One column, batch by batch; nothing where there is none."""
        if name in self.types:
            yield from (table[name] for table in self.batches(name))

    def numbers(self, name: str) -> np.ndarray:
        """What one column of numbers holds where it holds any."""
        parts = [values.drop_null().to_numpy() for values in self.values(name)]
        return np.concatenate([*parts, np.zeros(0)])

    def counted(self, *names: str) -> Counter[tuple[Any, ...]]:
        """Rows by what they hold in some columns, in the order in which it first occurs; missing ones are null."""
        found: Counter[tuple[Any, ...]] = Counter()
        there = [name for name in names if name in self.types]
        for table in self.batches(*there):
            numbered = table.append_column("_row", pa.array(np.arange(len(table))))
            groups = numbered.group_by(there, use_threads=False).aggregate([([], "count_all"), ("_row", "min")])
            groups = groups.sort_by("_row_min")  # Arrow's order is only nearly that of the first occurrence
            lists = [groups[name].to_pylist() if name in there else [None] * len(groups) for name in names]
            for key, count in zip(zip(*lists, strict=True), groups["count_all"].to_pylist(), strict=True):
                found[key] += count
        return found
