from __future__ import annotations

import cv2
import numpy as np
import pytest

from worldloom.annotators.quality import motion_per_s, sample_frames, sharpness


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (40, 64), dtype=np.uint8)
    return cv2.resize(noise, (320, 200), interpolation=cv2.INTER_NEAREST)


def test_blur_takes_sharpness_away_step_by_step(picture):
    values = [sharpness(picture)] + [sharpness(cv2.GaussianBlur(picture, (0, 0), s)) for s in (1, 2, 4, 8)]
    assert all(0 <= value <= 1 for value in values)
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.5 > 0.3 > values[-1]


def test_blur_in_one_direction_counts_as_blur(picture):
    assert sharpness(cv2.blur(picture, (25, 1))) < 0.6 * sharpness(picture)
    assert sharpness(cv2.blur(picture, (1, 25))) < 0.6 * sharpness(picture)


def test_sharpness_does_not_depend_on_contrast_and_a_flat_picture_has_none(picture):
    assert sharpness((picture // 4 + 90).astype(np.uint8)) == pytest.approx(sharpness(picture), abs=0.02)
    assert sharpness(np.full((50, 50), 7, np.uint8)) == 0.0


def test_motion_is_in_widths_per_second(picture):
    smooth = cv2.GaussianBlur(picture, (0, 0), 2)
    assert motion_per_s(smooth[:, :-8], smooth[:, 8:], fps=10) == pytest.approx(8 / 312 * 10, rel=0.05)
    assert motion_per_s(smooth, smooth, fps=10) == 0.0


@pytest.mark.parametrize(("frames", "samples"), [(1, 16), (2, 16), (5, 16), (81, 16), (1000, 7)])
def test_samples_are_spread_and_each_has_a_next_frame(frames, samples):
    chosen = sample_frames(frames, samples)
    assert len(chosen) == len(set(chosen)) <= samples
    assert chosen[0] == 0
    assert chosen[-1] <= max(frames - 2, 0)
    assert len(chosen) == min(samples, max(frames - 1, 1))
