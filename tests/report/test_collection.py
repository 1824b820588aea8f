"""Rows to count are the same whether they come from the clips or from the catalog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.example_clip import example_clip, example_dataset
from tests.report.fake_clips import bare_clip, estimated_clip, true_clip
from worldloom.catalogs.catalog import catalog_table
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.errors import UsageError
from worldloom.report.collection import row_of_catalog, row_of_clip, sum_of_shares
from worldloom.report.inspect_page import write_inspect


@pytest.mark.parametrize("make", [true_clip, estimated_clip, bare_clip])
def test_the_catalog_counts_what_the_clip_holds(make) -> None:
    clip = make()
    listed = catalog_table([catalog_row(clip, split="train")]).to_pylist()[0]
    row, direct = row_of_catalog(listed), row_of_clip(clip, split="train")
    for name in ("key", "seconds", "size", "fps", "licence", "kind", "split", "status", "reason", "events", "derived"):
        assert getattr(row, name) == getattr(direct, name), name
    np.testing.assert_allclose(row.density, direct.density)
    assert len(row.move) == len(direct.move)
    np.testing.assert_allclose(row.move, direct.move, atol=1.5 / clip.frames)  # the catalog leaves out the last entry


def test_shares_are_weighted_by_frames() -> None:
    rows = [row_of_clip(true_clip()), row_of_clip(true_clip()), row_of_clip(bare_clip())]
    assert sum_of_shares(rows, "move").sum() == pytest.approx(2 * 81)
    assert not sum_of_shares([], "view").any()


def test_a_dataset_is_inspected_without_its_run(tmp_path: Path) -> None:
    dataset = example_dataset(tmp_path)
    page = write_inspect(dataset, tmp_path / "page.html", shown=3)
    text = page.read_text(encoding="utf-8")
    keys = [example_clip(i).key for i in range(5)]
    assert all(key in text for key in keys)
    assert text.count("frames of clip") == 3
    one = write_inspect(tmp_path, tmp_path / "one.html", key=keys[2][:20]).read_text(encoding="utf-8")
    assert keys[2] in one and keys[3] not in one
    assert "frames not shown" not in one
    with pytest.raises(UsageError, match="no clip zzz"):
        write_inspect(dataset, tmp_path / "none.html", key="zzz")
