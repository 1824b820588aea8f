"""Rows to count are the same whether they come from the clips or from the catalog."""

from __future__ import annotations

import numpy as np
import pytest

from tests.report.fake_clips import bare_clip, estimated_clip, true_clip
from worldloom.catalogs.catalog import catalog_row, catalog_table
from worldloom.report.collection import row_of_catalog, row_of_clip, sum_of_shares


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
