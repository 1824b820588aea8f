"""Which clips show the same by the vectors of an image encoder: exact, in blocks, never all pairs in memory.

Frame i of one clip is compared with every frame of another and its best cosine counts; the mean of these is how much of
the first clip is in the second. Two clips are copies if one is in the other.

All pairs of clips are first compared by the mean of their vectors, which costs n^2 d / 2 multiplications for n clips of
vectors of d numbers. That loses none: with |a_i| = 1, mean vectors A and B, and r_B the farthest that a vector of the
second clip lies from B,

    mean_i max_j a_i . b_j = mean_i (a_i . B + max_j a_i . (b_j - B)) <= A . B + r_B

so that a pair below the threshold by more than the larger r is not looked at frame by frame (ours).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.copies import Match

BLOCK = 4096
"""Clips whose mean vectors are multiplied at a time; the products take 64 MB."""

TILE_FRAMES = 1024
"""Frames of either side that are multiplied at a time; the products take 4 MB."""

SLACK = 1e-5
"""Rounding of float32 sums: one and the same vector has a cosine of at least 1 minus this with itself."""

MOST_PAIRS = 2_000_000
"""Kept in memory, about 600 MB; with more than that, what is alike are not copies but the subject of the dataset."""


def embedded_copies(vectors: np.ndarray, source: np.ndarray, least: float, block: int = BLOCK) -> list[Match]:
    """Pairs of clips of different files of which one is in the other.

    Stretches of one file are not compared: two looks at one room one after the other are alike and no copies.

    Args:
        vectors: (n, f, d) int8, directions of the frames; zeros where a frame has no detail, but not in all of a clip.
        source: (n,) number of each clip's file.
        least: mean cosine of the best frames from which one clip is in another, above 0.
        block: clips at a time.

    Returns:
        In order of the first and of the second.

    Raises:
        UsageError: more pairs than `MOST_PAIRS`.
    """
    mean, radius = _means(vectors, block)
    found: list[Match] = []
    for rows, columns in _candidates(mean, radius, source, least, block, max(1, TILE_FRAMES // vectors.shape[1])):
        found += _matches(vectors, source, rows, columns, least)
        if len(found) > MOST_PAIRS:
            raise UsageError(
                f"compose.duplicates: more than {MOST_PAIRS:,} pairs of clips have an embedding cosine of {least:g}; "
                "raise `embedding`, this encoder sees nearly the same in all of them"
            )
    return sorted(found, key=lambda match: (match.first, match.second))


def in_each_other(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How much of each clip is in each other one.

    Args:
        one: (a, f, d) float32, of length 1 or 0.
        other: (b, f, d) float32.

    Returns:
        (a, b, f) best cosine of every frame of the first in the second and (a, b, f) of the second in the first, then
        (a, b) the mean of each over the frames with detail.
    """
    a, f, d = one.shape
    b = len(other)
    seen_one, seen_other = np.asarray(one.any(axis=2)), np.asarray(other.any(axis=2))
    cosine = (one.reshape(-1, d) @ other.reshape(-1, d).T).reshape(a, f, b, f)
    forth = np.where(seen_other[None, None], cosine, -1).max(axis=3).transpose(0, 2, 1)
    back = np.where(seen_one[:, :, None, None], cosine, -1).max(axis=1)
    forth, back = np.where(seen_one[:, None], forth, 0), np.where(seen_other[None], back, 0)
    frames_one, frames_other = (np.maximum(1, seen.sum(axis=1)).astype(np.float32) for seen in (seen_one, seen_other))
    return forth, back, forth.sum(axis=2) / frames_one[:, None], back.sum(axis=2) / frames_other[None]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float32; zeros stay zeros."""
    values = vectors.astype(np.float32)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


def _means(vectors: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) mean of the vectors of each clip, and (n,) how far the farthest lies from it."""
    mean = np.zeros((len(vectors), vectors.shape[2]), np.float32)
    radius = np.zeros(len(vectors), np.float32)
    for start in range(0, len(vectors), block):
        some = unit(vectors[start : start + block])
        seen = some.any(axis=2)
        centre = some.sum(axis=1) / np.maximum(1, seen.sum(axis=1))[:, None]
        mean[start : start + block] = centre
        away = np.linalg.norm(some - centre[:, None], axis=2)
        radius[start : start + block] = np.where(seen, away, 0).max(axis=1)
    return mean, radius


def _candidates(
    mean: np.ndarray, radius: np.ndarray, source: np.ndarray, least: float, block: int, tile: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of clips, `tile` at most on either side, among which some pair (row before column) may be alike."""
    for start in range(0, len(mean), block):
        here = np.arange(start, min(start + block, len(mean)))
        for other in range(start, len(mean), block):
            there = np.arange(other, min(other + block, len(mean)))
            may = mean[here] @ mean[there].T
            may += np.maximum(radius[here][:, None], radius[there][None])
            near = (may >= least - SLACK) & (source[here][:, None] != source[there][None])
            near &= here[:, None] < there[None]
            for row in range(0, len(here), tile):
                strip = near[row : row + tile]
                columns = np.flatnonzero(strip.any(axis=0))
                for column in range(0, len(columns), tile):
                    chosen = columns[column : column + tile]
                    rows = np.flatnonzero(strip[:, chosen].any(axis=1))
                    yield here[row + rows], there[chosen]


def _matches(
    vectors: np.ndarray, source: np.ndarray, rows: np.ndarray, columns: np.ndarray, least: float
) -> Iterator[Match]:
    forth, back, of_first, of_second = in_each_other(unit(vectors[rows]), unit(vectors[columns]))
    cosine = np.maximum(of_first, of_second)
    alike = (cosine >= least - SLACK) & (source[rows][:, None] != source[columns][None])
    alike &= rows[:, None] < columns[None]
    for i, j in zip(*np.nonzero(alike), strict=True):
        shares = [
            1.0
            if mean[i, j] >= least - SLACK
            else float((best[i, j] >= least - SLACK).sum() / (clip.any(axis=1).sum()))
            for mean, best, clip in ((of_first, forth, vectors[rows[i]]), (of_second, back, vectors[columns[j]]))
        ]
        told = round(min(1.0, float(cosine[i, j])), 4)
        yield Match(int(rows[i]), int(columns[j]), "same", "", 1.0, 0.0, round(shares[0], 4), round(shares[1], 4), 0.0,
                    told)  # fmt: skip
