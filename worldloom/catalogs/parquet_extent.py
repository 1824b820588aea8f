"""How much memory a Parquet file takes once it is decoded, found out before it is: a small one can stand for much.

Two things multiply. A column of one value takes a few bytes, whatever its length; the footer counts its values. A text
that stands once in a dictionary is repeated in every row; that is counted from the dictionary and its indices.
A footer that lies about a page is found out only when that page is read: 2 GiB at most, what Parquet lets a page be.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from worldloom.catalogs.parquet_footer import ChunkCounts, footer_counts

LEAST_BYTES = 64 << 20
TIMES = 256
"""A file may become this many times as large, and `LEAST_BYTES` in any case (defaults ours); catalogs of 140,000 clips
with random keys and sizes became 12 times as large."""

_VALUE_BYTES = 16
"""Of a number or the place of a text, with what says whether it is there; generous."""


def extent_problem(path: Path | str) -> str:
    """Why a file is not read; empty where it may be.

    Args:
        path: a Parquet file.

    Raises:
        pa.ArrowException, OSError: it is none.
    """
    most = LEAST_BYTES + TIMES * Path(path).stat().st_size
    with _opened(path) as file:
        total = repeated = 0
        for leaf, chunk in _chunks(path, file):
            if min(chunk) < 0:
                return "its footer counts less than nothing"
            width = leaf.length if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0
            total += chunk.values * max(_VALUE_BYTES, width) + chunk.uncompressed_bytes
            repeated += chunk.values * chunk.uncompressed_bytes * (leaf.physical_type == "BYTE_ARRAY")
        if total + repeated > most >= total:  # the texts decide, so they are looked at
            for size in _text_bytes(path, file):
                total += size
                if total > most:
                    break
    rows = file.metadata.num_rows
    return f"its {rows} rows take more than {most >> 20} MiB, which no catalog of its size does" if total > most else ""


def _opened(path: Path | str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=False)
    except UnicodeDecodeError:
        raise pa.ArrowInvalid("a name in its schema is no text") from None


def _chunks(path: Path | str, file: pq.ParquetFile) -> Iterator[tuple[pq.ColumnSchema, ChunkCounts]]:
    """Counts by leaf and row group; not from pyarrow, which ends the process over some damaged footers."""
    try:
        groups = footer_counts(path)
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from None
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    if len(groups) != file.metadata.num_row_groups or any(len(group) != len(leaves) for group in groups):
        raise pa.ArrowInvalid("its footer has other columns than its schema")
    for group in groups:
        yield from zip(leaves, group, strict=True)


def _text_bytes(path: Path | str, plain: pq.ParquetFile) -> Iterator[int]:
    """Bytes of all texts, by row group and column; read with their dictionary they are no larger than in the file."""
    leaves = [plain.schema.column(number) for number in range(len(plain.schema))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(path, memory_map=False, read_dictionary=texts) as file:
        for group in range(plain.metadata.num_row_groups):
            for name in texts:
                column = file.read_row_group(group, columns=[name], use_threads=False).column(0)
                yield sum(_bytes_of(part) for part in column.chunks)


def _bytes_of(column: pa.Array) -> int:
    """Of the texts at the bottom of a column of one leaf, each as often as it is there."""
    while not pa.types.is_dictionary(column.type):
        if not pa.types.is_nested(column.type):
            return int(column.nbytes)
        column = column.field(0) if pa.types.is_struct(column.type) else column.flatten()
    lengths = pc.binary_length(column.dictionary)
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
