from __future__ import annotations

import numpy as np
import pytest

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline import near_embeddings
from worldloom.pipeline.near_embeddings import embedded_copies, in_each_other, unit


def clips(count: int, frames: int, width: int = 24, seed: int = 0) -> np.ndarray:
    """(count, frames, width) int8: scenes that clips share in part, some frames without detail."""
    rng = np.random.default_rng(seed)
    scenes = rng.normal(size=(12, width))
    which = rng.integers(0, 12, (count, frames))
    values = scenes[which] + 0.35 * rng.normal(size=(count, frames, width)) * rng.random((count, 1, 1))
    blank = rng.random((count, frames)) < 0.15
    blank[:, 0] = False
    values[blank] = 0
    return np.round(127 * values / np.abs(values).max()).astype(np.int8)


def written_out(vectors: np.ndarray, source: np.ndarray, least: float) -> dict[tuple[int, int], tuple[float, ...]]:
    """The definition, clip by clip and frame by frame, in float64."""
    frames = []
    for one in vectors.astype(np.float64):
        seen = one[np.abs(one).sum(axis=1) > 0]
        frames.append(seen / np.linalg.norm(seen, axis=1, keepdims=True))
    found = {}
    for i in range(len(frames)):
        for j in range(i + 1, len(frames)):
            if source[i] == source[j]:
                continue
            forth = [max(float(a @ b) for b in frames[j]) for a in frames[i]]
            back = [max(float(a @ b) for a in frames[i]) for b in frames[j]]
            means = [sum(side) / len(side) for side in (forth, back)]
            if max(means) >= least:
                shares = [
                    1.0 if mean >= least else sum(one >= least for one in side) / len(side)
                    for mean, side in zip(means, (forth, back), strict=True)
                ]
                found[i, j] = max(means), *shares
    return found


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("least", [0.99, 0.95, 0.8, 0.4])
@pytest.mark.parametrize("block", [7, 16, 4096])
def test_blocks_find_what_is_found_written_out(
    frames: int, least: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_embeddings, "TILE_FRAMES", 11)
    vectors = clips(60, frames, seed=frames)
    source = np.random.default_rng(1).integers(0, 20, 60)
    expected = written_out(vectors, source, least)
    found = embedded_copies(vectors, source, least, block)
    assert [(one.first, one.second) for one in found] == sorted(expected)
    assert len(expected) > 0
    for one in found:
        assert one.cosine is not None
        told = one.cosine, one.share_first, one.share_second
        assert told == pytest.approx(expected[one.first, one.second], abs=1e-4)


def test_a_part_is_in_the_whole_and_the_whole_is_not_in_the_part() -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(4, 200))
    part = whole[[0, 0, 1, 1]]
    vectors = np.round(20 * np.stack([whole, part])).astype(np.int8)
    (found,) = embedded_copies(vectors, np.arange(2), 0.95)
    assert (found.share_first, found.share_second, found.cosine) == (0.5, 1.0, 1.0)


def test_a_clip_equals_itself_at_a_threshold_of_one() -> None:
    vectors = np.repeat(clips(8, 4, 512), 2, axis=0)
    found = embedded_copies(vectors, np.arange(16), 1.0)
    assert [(one.first, one.second) for one in found] == [(2 * n, 2 * n + 1) for n in range(8)]
    assert {one.cosine for one in found} == {1.0}


def test_most_pairs_are_never_compared_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    still = rng.normal(size=(400, 1, 64)) + 0.05 * rng.normal(size=(400, 4, 64))
    compared = []

    def counted(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, ...]:
        compared.append(len(one) * len(other))
        return in_each_other(one, other)

    monkeypatch.setattr(near_embeddings, "in_each_other", counted)
    vectors = np.round(25 * still).clip(-127, 127).astype(np.int8)
    vectors[399] = vectors[0]
    found = embedded_copies(vectors, np.arange(400), 0.95)
    assert [(one.first, one.second) for one in found] == [(0, 399)]
    assert sum(compared) < 100


def test_too_many_pairs_are_a_threshold_that_is_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_embeddings, "MOST_PAIRS", 100)
    with pytest.raises(UsageError, match="raise `embedding`"):
        embedded_copies(np.ones((30, 2, 8), np.int8), np.arange(30), 0.9)


def test_directions_have_length_one_or_none() -> None:
    length = np.linalg.norm(unit(clips(20, 3)), axis=2)
    assert set(np.round(length, 5).reshape(-1).tolist()) == {0.0, 1.0}
