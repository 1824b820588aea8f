from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.annotators.moving_camera import clip_of
from tests.real_data import real_data
from worldloom.annotators.annotator import Given
from worldloom.annotators.quality import QualityAnnotator, combing, flicker, motion_per_s, sample_frames, sharpness
from worldloom.catalogs.catalog import catalog_table, matching
from worldloom.catalogs.clip import Clip, Provenance
from worldloom.catalogs.probe import probe
from worldloom.catalogs.video import Frames
from worldloom.pipeline.rules import RULES


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
        "sharpness", "sharpness_low", "brightness", "contrast", "dark", "burnt", "flicker", "motion", "motion_high",
        "still", "static", "borders", "border_top", "border_bottom", "border_left", "border_right", "text",
        "interlaced",
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


def figures_of(pictures: list[np.ndarray], folder: Path) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    answer = QualityAnnotator().annotate(clip_of([np.ascontiguousarray(one) for one in pictures], folder), folder)
    assert isinstance(answer, Given)
    return answer.value


def failed(figures: dict[str, float]) -> set[str]:
    """Rules that a clip with these figures does not meet."""
    table = catalog_table([{"key": "a", "quality": figures}])
    asked = {name: rule.condition for name, rule in RULES.items() if rule.needs == ("quality",)}
    return {name for name, condition in asked.items() if not len(matching(table, condition))}


@pytest.fixture
def pan() -> list[np.ndarray]:
    """A walk past a painted wall, 24 frames."""
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 2, (6, 21, 3)).astype(np.uint8).repeat(24, 0).repeat(24, 1)[:, :504] * 130
    marks = cv2.resize(rng.integers(0, 90, (72, 252, 3), dtype=np.uint8), (504, 144))
    wall = blocks + marks + 20
    return [wall[:, 8 * i : 8 * i + 256] for i in range(24)]


def spoilt(pan: list[np.ndarray], how: str) -> list[np.ndarray]:
    black = ((20, 20), (0, 0), (0, 0))
    bright = [np.clip(one.astype(np.int16) + 200, 0, 255).astype(np.uint8) for one in pan]
    captioned = [one.copy() for one in pan]
    for one in captioned:
        cv2.putText(one, "a caption", (40, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 5)
        cv2.putText(one, "a caption", (40, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2)
    return {
        "": pan,
        "too_dark": [one // 12 for one in pan],
        "burnt_out": bright,
        "no_contrast": [(one // 32 + 100).astype(np.uint8) for one in pan],
        "blurred": [cv2.GaussianBlur(one, (0, 0), 6) for one in pan],
        "static": [pan[12 * (i // 12)] for i in range(24)],
        "letterboxed": [np.pad(one, black) for one in pan],
        "overlaid_text": captioned,
        "flickers": [(one * (0.6 if i % 2 else 1.0)).astype(np.uint8) for i, one in enumerate(pan)],
    }[how]


def test_a_good_clip_meets_every_rule(tmp_path, pan):
    assert failed(figures_of(spoilt(pan, ""), tmp_path)) == set()


@pytest.mark.parametrize(
    "how",
    ["too_dark", "burnt_out", "no_contrast", "blurred", "static", "letterboxed", "overlaid_text", "flickers"],
)
def test_each_rule_catches_what_it_is_for(tmp_path, pan, how):
    found = failed(figures_of(spoilt(pan, how), tmp_path))
    beside = {"too_dark": {"no_contrast"}, "burnt_out": {"no_contrast"}, "no_contrast": {"blurred"}}.get(how, set())
    assert how in found and found <= {how} | beside


def test_borders_are_told_per_side_and_are_not_part_of_the_picture(tmp_path, pan):
    boxed = figures_of(spoilt(pan, "letterboxed"), tmp_path / "boxed")
    bare = figures_of(pan, tmp_path / "bare")
    assert boxed["border_top"] == pytest.approx(20 / 184, abs=0.012)
    assert boxed["border_bottom"] == pytest.approx(20 / 184, abs=0.012)
    assert boxed["border_left"] == boxed["border_right"] == bare["borders"] == 0.0
    assert boxed["borders"] == pytest.approx(40 / 184, abs=0.02)
    assert boxed["dark"] == pytest.approx(bare["dark"], abs=0.02)
    assert boxed["brightness"] == pytest.approx(bare["brightness"], abs=0.02)


def test_flicker_goes_up_and_down_and_a_lamp_that_is_switched_does_not():
    assert flicker(np.array([[100, 150, 100], [150, 100, 150]])) == pytest.approx(50 / 255)
    assert flicker(np.array([[100, 150, 150], [100, 120, 140], [100, 100, 100]])) == 0.0
    assert flicker(np.zeros((0, 3))) == 0.0


def test_two_fields_of_a_moving_picture_are_combed_and_a_whole_picture_is_not(pan):
    first, second = (cv2.cvtColor(np.ascontiguousarray(one), cv2.COLOR_RGB2GRAY) for one in (pan[0], pan[1]))
    woven = first.copy()
    woven[1::2] = second[1::2]
    assert combing(first) < 0.05
    assert combing(woven) > 0.25
    assert combing(np.full((64, 64), 90, np.uint8)) == 0.0


@pytest.mark.parametrize("name", ["ue5_hydra/1.mp4", "re10k/videos/0bf152ef84195293.mp4", "people/bedroom.mp4"])
def test_real_clips_meet_every_rule(tmp_path, name):
    video = real_data(*name.split("/"))
    with Frames(video) as frames:
        count, height, width, pts_s = len(frames), frames.height, frames.width, frames.pts_s
    fps = probe(video).fps
    clip = Clip("a" * 26, fps, count, height, width, pts_s, Provenance("folder", name, "0" * 64), video=video)
    answer = QualityAnnotator().annotate(clip, tmp_path)
    assert isinstance(answer, Given)
    assert failed(answer.value) == set()
