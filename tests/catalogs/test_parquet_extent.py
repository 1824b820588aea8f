"""A catalog that unpacks to more than any catalog of its size, against plain reading in a child with little memory."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.catalogs.example_clip import example_clip
from worldloom.catalogs import parquet_extent
from worldloom.catalogs.catalog import catalog_table, read_catalog, write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.parquet_extent import extent_problem
from worldloom.catalogs.sandbox import Child, Limits

ROWS = 40_000


def table(rows: int = ROWS) -> pa.Table:
    """Rows of one clip under many keys."""
    one = catalog_table([catalog_row(example_clip(), split="train")])
    many = pa.concat_tables([one] * rows).combine_chunks()
    return many.set_column(0, "key", pa.array([f"{number:026d}" for number in range(rows)]))


def replaced(name: str, values: pa.Array, field: str = "") -> pa.Table:
    many = table()
    if field:
        struct = many[name].combine_chunks()
        children = {one.name: struct.field(one.name) for one in struct.type} | {field: values}
        values = pa.StructArray.from_arrays(list(children.values()), names=list(children))
    return many.set_column(many.column_names.index(name), name, values)


def one_text(length: int, rows: int = ROWS) -> pa.Array:
    """The same text in every row, written once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * length]))


def some_text(length: int) -> pa.Array:
    """Texts that a dictionary has no room for at the end: the last pages stand without one."""
    different = 5 * (1 << 20) // (4 * length)
    return pa.array([f"{number * different // ROWS:05d}{'x' * length}" for number in range(ROWS)])


BOMBS: dict[str, Callable[[], pa.Table]] = {
    "long text": lambda: replaced("caption", one_text(1 << 16)),
    "long text in a structure": lambda: replaced("source", one_text(1 << 16), "uri"),
    "long text in a list": lambda: replaced(
        "parents", pa.ListArray.from_arrays(np.arange(ROWS + 1, dtype=np.int32), one_text(1 << 16))
    ),
    "some pages without a dictionary": lambda: replaced("source", some_text(1 << 13), "uri"),
    "long lists": lambda: replaced(
        "operations",
        pa.ListArray.from_arrays(np.arange(ROWS + 1, dtype=np.int32) * 500, one_text(1, ROWS * 500)),
    ),
    "many rows": lambda: pa.table({"key": one_text(1, 20_000_000), "frames": np.zeros(20_000_000, np.int32)}),
    "many columns": lambda: pa.table({f"c{number}": np.zeros(200_000, np.int64) for number in range(100)}),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "catalog-0.parquet"
    pq.write_table(BOMBS[kind](), path, compression="zstd", compression_level=9)
    most = parquet_extent.LEAST_BYTES + parquet_extent.TIMES * path.stat().st_size
    assert most < 320 << 20, "the file is small"
    with Child("tests.catalogs.test_parquet_extent:read", Limits(deadline_s=60, memory_mb=2000)) as child:
        before = child.call("")[1]
        message, peak = child.call(str(path))
    assert "MiB" in message and "catalog-0.parquet" in message
    assert peak - before < 1.5 * most, f"{(peak - before) >> 20} MiB"


def read(path: str) -> tuple[str, int]:
    """In a child: the refusal, and the most memory that was ever resident, bytes."""
    message = ""
    if path:
        try:
            read_catalog(path)
        except BadInput as error:
            message = str(error)
    return message, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def test_the_bytes_of_texts_are_counted_as_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for rows in (replaced("source", some_text(700), "uri"), table(3000)):
        pq.write_table(rows, path, row_group_size=7000)
        with pq.ParquetFile(path) as file:
            counted = sum(parquet_extent._text_bytes(path, file))
        plain = sum(_text_bytes(column) for column in pq.read_table(path).columns)
        assert plain <= counted < 1.2 * plain + 9 * len(rows) * len(file.schema)


def _text_bytes(column: pa.ChunkedArray | pa.Array) -> int:
    parts = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    total = 0
    for part in parts:
        if pa.types.is_struct(part.type):
            total += sum(_text_bytes(part.field(number)) for number in range(part.type.num_fields))
        elif pa.types.is_list(part.type):
            total += _text_bytes(part.flatten())
        elif pa.types.is_string(part.type):
            total += sum(len(text or "") for text in part.to_pylist())
    return total


def test_catalogs_of_ours_are_far_from_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_extent, "LEAST_BYTES", 0)
    rows = [catalog_row(example_clip(number % 6), split="train") for number in range(2000)]
    for number, row in enumerate(rows):
        row["key"] = f"{number:026d}"
    path = tmp_path / write_catalog(tmp_path, rows).path
    assert extent_problem(path) == ""
    monkeypatch.setattr(parquet_extent, "TIMES", 1)
    assert "2000 rows" in extent_problem(path)
