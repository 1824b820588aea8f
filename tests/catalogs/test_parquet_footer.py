"""The footer as we read it, against pyarrow's reading of sound files, and damaged ones that end pyarrow's process."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worldloom.catalogs.catalog import read_catalog
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.parquet_extent import extent_problem
from worldloom.catalogs.parquet_footer import footer_counts


def table(rows: int = 500) -> pa.Table:
    return pa.table(
        {
            "number": np.arange(rows),
            "text": [f"row {i}" * (i % 5) for i in range(rows)],
            "list": [[float(j) for j in range(i % 4)] for i in range(rows)],
            "deep": [{"a": [{"b": i}], "c": bytes([i % 256])} for i in range(rows)],
            "fixed": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(3.0 * rows)), 3),
            "flag": np.arange(rows) % 2 == 0,
        }
    )


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"use_dictionary": False, "version": "1.0"}])
def test_counts_are_pyarrows(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table(), path, row_group_size=90, **options)
    metadata = pq.read_metadata(path)
    wanted = []
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        columns = [row_group.column(number) for number in range(row_group.num_columns)]
        wanted.append([(one.num_values, one.total_uncompressed_size) for one in columns])
    assert footer_counts(path) == wanted and len(wanted) == 6 and len(wanted[0]) == 7


def test_many_columns_and_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({f"c{i}": [i] for i in range(40)}), path)
    assert len(footer_counts(path)[0]) == 40
    pq.write_table(table().slice(0, 0), path)
    assert sum(map(len, footer_counts(path))) in (0, 7)
    assert extent_problem(path) == ""


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(20) + b"PAR2", b"PAR1\xff\xff\xff\x7fPAR1"])
def test_what_is_no_footer_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Parquet"):
        footer_counts(path)
    with pytest.raises(BadInput, match="Parquet"):
        read_catalog(path)


def test_damaged_footers_end_in_an_error_and_not_the_process(tmp_path: Path) -> None:
    """In a process of its own: number 36 of them makes pyarrow 26, asked for a column's counts, end it by SIGABRT."""
    path = tmp_path / "x.parquet"
    pq.write_table(table(40), path)
    script = [sys.executable, "-c", "from tests.catalogs.test_parquet_footer import *; damage(sys.argv[1])", str(path)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    told, refused = map(int, done.stdout.split())
    assert told + refused == 400 and refused > 100


def damage(path: str) -> None:
    data, rng = Path(path).read_bytes(), random.Random(6)
    first = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    refused = 0
    for _ in range(400):
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(first, len(data) - 8)] = rng.randrange(256)
        Path(path).write_bytes(changed)
        try:
            extent_problem(path)
            pq.read_table(path, use_threads=False)
        except (pa.ArrowException, OSError):
            refused += 1
    print(400 - refused, refused)
