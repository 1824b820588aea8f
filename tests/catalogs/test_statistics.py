from __future__ import annotations

import numpy as np
import pytest

from worldloom.catalogs.statistics import QUANTILES, column_stats, merge_stats, picture_histogram, picture_stats


def test_of_a_column() -> None:
    values = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    stats = column_stats(values)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(stats["mean"], exact.mean(0))
    np.testing.assert_allclose(stats["std"], exact.std(0))
    np.testing.assert_array_equal(stats["max"], exact.max(0))
    np.testing.assert_allclose(stats["q90"], np.quantile(exact, 0.9, axis=0))
    assert stats["count"].tolist() == [500] and set(stats) == {"min", "max", "mean", "std", "count", *QUANTILES}


def test_of_numbers_and_of_nothing() -> None:
    assert column_stats(np.array([1, 2, 6]))["mean"].tolist() == [3.0]
    assert column_stats(np.array([True, False]))["mean"].tolist() == [0.5]
    with pytest.raises(ValueError, match="no row"):
        column_stats(np.zeros((0, 3)))


def test_of_pictures_equals_that_of_all_pixels() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (8, 10, 3), np.uint8) // (1 + i) for i in range(3)]
    stats = picture_stats(picture_histogram(pictures), 3)
    pixels = np.stack(pictures).reshape(-1, 3) / 255
    for name, value in (
        ("min", pixels.min(0)),
        ("max", pixels.max(0)),
        ("mean", pixels.mean(0)),
        ("std", pixels.std(0)),
    ):
        np.testing.assert_allclose(stats[name], value.reshape(3, 1, 1), atol=1e-12)
    for name, share in QUANTILES.items():
        wanted = np.quantile(pixels, share, axis=0, method="inverted_cdf").reshape(3, 1, 1)
        np.testing.assert_allclose(stats[name], wanted)
    assert stats["count"].tolist() == [3]


def test_parts_merge_to_the_whole() -> None:
    values = np.random.default_rng(0).normal(size=(100, 2))
    parts = [column_stats(part) for part in np.split(values, [7, 50, 51])]
    merged, whole = merge_stats(parts), column_stats(values)
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(merged[name], whole[name], err_msg=name)
    np.testing.assert_allclose(merged["q50"], sum(part["q50"] * part["count"] for part in parts) / 100)
