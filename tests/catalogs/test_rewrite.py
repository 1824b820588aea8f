from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tests.catalogs.example_clip import example_clip
from worldloom.catalogs.catalog import catalog_table, read_catalog, write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.rewrite import put_catalog
from worldloom.catalogs.storage import open_store

ROWS = [catalog_row(example_clip(number), split="train") for number in range(6)]


def test_a_catalog_read_and_put_again_is_the_same_file(tmp_path: Path) -> None:
    entry = write_catalog(tmp_path / "one", ROWS)
    table = read_catalog(tmp_path / "one" / entry.path)
    assert put_catalog(open_store(tmp_path / "other"), [table[2:], table[:2]]) == entry


def test_a_catalog_is_sorted_whatever_the_order_of_its_parts(tmp_path: Path) -> None:
    some, others = catalog_table(ROWS[:4]), catalog_table(ROWS[4:])
    disordered = some.take(pa.array([2, 0, 3, 1]))
    for name, tables in {"parts": [others, some], "rows": [disordered, others], "empty": [disordered[:0]]}.items():
        expected = write_catalog(tmp_path / "expected", ROWS if name != "empty" else [])
        entry = put_catalog(open_store(tmp_path / name), tables)
        rows = read_catalog(tmp_path / name / entry.path).to_pylist()
        assert rows == read_catalog(tmp_path / "expected" / expected.path).to_pylist()
        if name != "empty":
            assert entry.sha256 == expected.sha256
