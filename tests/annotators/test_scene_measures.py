from __future__ import annotations

import numpy as np
import pytest

from worldloom.annotators.measures import abs_rel, revisit_scores
from worldloom.catalogs.clip import Depth, Revisits


def depth(z: np.ndarray, valid: np.ndarray | None = None, frames: list[int] | None = None) -> Depth:
    count = len(z)
    return Depth(
        frames=np.array(frames if frames is not None else range(count), np.int32),
        z=z.astype(np.float32),
        valid=np.ones(z.shape, bool) if valid is None else valid,
        confidence=np.ones(count, np.float32),
        scale="metric",
        stated_error=0.01,
    )


@pytest.fixture
def truth() -> Depth:
    return depth(np.random.default_rng(0).uniform(1, 5, (3, 24, 32)))


def test_truth_scores_no_error_and_full_coverage(truth):
    scores = abs_rel(truth, truth)
    assert (scores.abs_rel, scores.delta1, scores.coverage, scores.maps) == (0.0, 1.0, 1.0, 3)


def test_a_tenth_too_deep_is_a_tenth_unless_the_scale_is_given_or_aligned(truth):
    deeper = depth(truth.z * 1.1)
    assert abs_rel(deeper, truth).abs_rel == pytest.approx(0.1, rel=1e-5)
    assert abs_rel(deeper, truth, scale=1 / 1.1).abs_rel == pytest.approx(0, abs=1e-6)
    assert abs_rel(deeper, truth, scale=np.full(9, 1 / 1.1)).abs_rel == pytest.approx(0, abs=1e-6)
    aligned = abs_rel(deeper, truth, scale_align="median")
    assert aligned.abs_rel == pytest.approx(0, abs=1e-6)
    assert aligned.scale == pytest.approx(1 / 1.1, rel=1e-5)


def test_a_scale_per_frame_is_taken_at_the_frame_of_the_map(truth):
    late = depth(truth.z * np.array([1.0, 2.0, 4.0])[:, None, None], frames=[0, 8, 16])
    right = depth(truth.z, frames=[0, 8, 16])
    per_frame = np.ones(17)
    per_frame[8], per_frame[16] = 0.5, 0.25
    assert abs_rel(late, right, scale=per_frame).abs_rel == pytest.approx(0, abs=1e-6)


def test_invalid_pixels_cost_coverage_and_not_accuracy(truth):
    wrong = truth.z.copy()
    wrong[:, :12] *= 9
    valid = np.ones(truth.z.shape, bool)
    valid[:, :12] = False
    scores = abs_rel(depth(wrong, valid), truth)
    assert (scores.abs_rel, scores.coverage) == (0.0, 0.5)
    holes = np.ones(truth.z.shape, bool)
    holes[:, 12:] = False
    assert np.isnan(abs_rel(depth(wrong, valid), depth(truth.z, holes)).abs_rel)


def test_truth_of_another_resolution_is_sampled_where_the_pixels_lie(truth):
    fine = depth(np.repeat(np.repeat(truth.z, 5, axis=1), 5, axis=2))
    assert abs_rel(truth, fine).abs_rel == 0.0
    assert abs_rel(fine, truth).abs_rel == 0.0


def test_only_common_frames_are_compared(truth):
    assert abs_rel(depth(truth.z, frames=[0, 4, 8]), depth(truth.z, frames=[4, 5, 6])).maps == 1
    assert np.isnan(abs_rel(depth(truth.z, frames=[1, 2, 3]), depth(truth.z, frames=[7, 8, 9])).coverage)


FPS = 1.0
FRAMES = np.arange(0, 60, 10)


def there_and_back(again: float) -> np.ndarray:
    """Six frames: 0 and 5 overlap by `again`, neighbours by 0.7, all else by nothing."""
    overlap = np.eye(6)
    for i in range(5):
        overlap[i, i + 1] = overlap[i + 1, i] = 0.7
    overlap[0, 5] = overlap[5, 0] = again
    return overlap


def revisits(*pairs: tuple[int, int]) -> Revisits:
    return Revisits(np.array(pairs, np.int32).reshape(-1, 2), np.ones(len(pairs), np.float32), 0.0)


def test_a_true_pair_is_found_or_missed():
    hit = revisit_scores(revisits((0, 50)), there_and_back(0.8), FRAMES, FPS)
    assert (hit.precision, hit.recall, hit.true) == (1.0, 1.0, 1)
    miss = revisit_scores(revisits(), there_and_back(0.8), FRAMES, FPS)
    assert miss.recall == 0.0
    assert np.isnan(miss.precision)


def test_the_dead_zone_counts_for_neither():
    for overlap in (0.45, 0.55):
        scores = revisit_scores(revisits((0, 50)), there_and_back(overlap), FRAMES, FPS)
        assert (scores.true, scores.predicted, scores.unscored) == (0, 0, 1)
    assert revisit_scores(revisits((0, 50)), there_and_back(0.3), FRAMES, FPS).precision == 0.0
    assert revisit_scores(revisits((0, 50)), there_and_back(0.6), FRAMES, FPS).precision == 1.0


def test_a_pair_that_never_lost_sight_is_wrong():
    scores = revisit_scores(revisits((0, 10)), there_and_back(0.8), FRAMES, FPS)
    assert (scores.precision, scores.recall) == (0.0, 0.0)


def test_frames_off_the_grid_are_scored_at_the_nearest_row_or_not_at_all():
    near = revisit_scores(revisits((2, 49)), there_and_back(0.8), FRAMES, FPS, tolerance_frames=2)
    assert near.recall == 1.0
    far = revisit_scores(revisits((4, 49)), there_and_back(0.8), FRAMES, FPS, tolerance_frames=2)
    assert (far.recall, far.unscored) == (0.0, 1)


def test_pairs_of_frames_nobody_looked_at_are_not_asked_for():
    scores = revisit_scores(revisits(), there_and_back(0.8), FRAMES, FPS, looked_at=np.array([0, 10, 20]))
    assert scores.true == 0
    both = scores + revisit_scores(revisits(), there_and_back(0.8), FRAMES, FPS)
    assert (both.true, both.recall) == (1, 0.0)
