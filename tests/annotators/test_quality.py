from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.annotators.moving_camera import clip_of
from worldloom.annotators.annotator import Given
from worldloom.annotators.quality import QualityAnnotator, motion_per_s, sample_frames, sharpness


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


def test_a_clip_gets_every_figure_and_the_same_ones_again(tmp_path, picture):
    pictures = [np.repeat(np.roll(picture, 4 * i, axis=1)[..., None], 3, axis=2) for i in range(12)]
    clip = clip_of([*pictures, pictures[-1], pictures[-1]], tmp_path)
    one, two = (QualityAnnotator().annotate(clip, tmp_path) for _ in range(2))
    assert one == two
    assert isinstance(one, Given)
    figures = one.value
    assert set(figures) == {
        "sharpness", "sharpness_low", "brightness", "contrast", "dark", "burnt", "motion", "still"
    }  # fmt: skip
    assert all(isinstance(value, float) for value in figures.values())
    assert figures["brightness"] == pytest.approx(picture.mean() / 255, abs=0.02)
    assert figures["still"] == pytest.approx(2 / 13, abs=0.01)
    assert figures["motion"] > 0.1


def test_a_dark_clip_is_dark_and_a_single_frame_is_enough(tmp_path):
    answer = QualityAnnotator().annotate(clip_of([np.full((64, 96, 3), 5, np.uint8)], tmp_path), tmp_path)
    assert isinstance(answer, Given)
    assert answer.value["dark"] == 1.0
    assert answer.value["brightness"] < 0.05
    assert answer.value["motion"] == 0.0
