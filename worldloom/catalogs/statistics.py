"""Statistics of columns and of pictures, in the form in which robot-learning toolkits keep them for normalisation.

Least, greatest, mean, standard deviation (of the population, ddof 0), count, and the quantiles 1, 10, 50, 90 and 99 %.
Those of two parts merge exactly, but for the quantiles: they become the mean weighted by count, as LeRobot's do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
"""LeRobot's names and levels."""

Stats = dict[str, np.ndarray]
"""`min`, `max`, `mean`, `std`, the quantiles, and `count` of shape (1,)."""


def column_stats(values: np.ndarray) -> Stats:
    """Of every component of a column over its rows.

    Args:
        values: (T,) or (T, ...) numbers, T >= 1.

    Returns:
        float64 arrays of the shape of one row, (1,) for scalars.

    Raises:
        ValueError: no row.
    """
    if not len(values):
        raise ValueError("there is no row to take statistics of")
    table = np.asarray(values, np.float64).reshape(len(values), -1)
    shape = values.shape[1:] or (1,)
    stats = {
        "min": table.min(axis=0),
        "max": table.max(axis=0),
        "mean": table.mean(axis=0),
        "std": table.std(axis=0),
        **dict(zip(QUANTILES, np.quantile(table, list(QUANTILES.values()), axis=0), strict=True)),
    }
    return {**{name: value.reshape(shape) for name, value in stats.items()}, "count": np.array([len(values)])}


def picture_histogram(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """How often each level occurs per channel.

    Args:
        pictures: (H, W, 3) uint8 each.

    Returns:
        (3, 256) int64.
    """
    histogram = np.zeros((3, 256), np.int64)
    for picture in pictures:
        for channel in range(3):
            histogram[channel] += np.bincount(picture[..., channel].ravel(), minlength=256)
    return histogram


def picture_stats(histogram: np.ndarray, pictures: int) -> Stats:
    """Of the levels of each channel, divided by 255; exact, for a histogram loses nothing of bytes.

    Args:
        histogram: (3, 256) of `picture_histogram`, at least one pixel.
        pictures: how many it was made of; they are the count.

    Returns:
        float64 arrays of shape (3, 1, 1).
    """
    levels = np.arange(256) / 255.0
    total = histogram.sum(axis=1)
    mean = histogram @ levels / total
    variance = histogram @ levels**2 / total - mean**2
    cumulative = np.cumsum(histogram, axis=1)
    stats = {
        "min": np.array([levels[np.flatnonzero(row)[0]] for row in histogram]),
        "max": np.array([levels[np.flatnonzero(row)[-1]] for row in histogram]),
        "mean": mean,
        "std": np.sqrt(np.maximum(variance, 0.0)),
    }
    for name, share in QUANTILES.items():
        at = [int(np.searchsorted(row, share * count)) for row, count in zip(cumulative, total, strict=True)]
        stats[name] = levels[at]
    return {**{name: value.reshape(3, 1, 1) for name, value in stats.items()}, "count": np.array([pictures])}


def merge_stats(parts: Sequence[Stats]) -> Stats:
    """Of all parts together; exact for least, greatest, mean, deviation and count, weighted means for quantiles.

    Args:
        parts: one or more, of one shape.
    """
    counts = np.array([part["count"][0] for part in parts], np.float64)
    total = counts.sum()

    def weighted(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(np.tensordot(counts, np.stack(values), axes=1) / total)

    mean = weighted([part["mean"] for part in parts])
    variance = weighted([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in parts])
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        **{name: weighted([part[name] for part in parts]) for name in QUANTILES},
        "count": np.array([int(total)]),
    }
