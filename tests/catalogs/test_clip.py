from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.example_clip import example_clip, example_video
from worldloom.catalogs.clip import Camera, Event, clip_key, same_value
from worldloom.catalogs.errors import BadInput


def test_a_key_is_26_characters_of_base32_and_depends_on_everything() -> None:
    parts = {"source_sha256": "ab" * 32, "stream": 0, "first_pts": 0, "last_pts": 90, "derivation": ""}
    key = clip_key(**parts)
    assert len(key) == 26
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert clip_key(**parts) == key
    changes = {"source_sha256": "cd" * 32, "stream": 1, "first_pts": 1, "last_pts": 91, "derivation": "reverse:loop"}
    others = {clip_key(**{**parts, name: value}) for name, value in changes.items()}
    assert len(others | {key}) == 6


def test_parts_of_a_key_do_not_run_together() -> None:
    assert clip_key("ab", 1, 23, 4) != clip_key("ab", 12, 3, 4)
    assert clip_key("ab", 0, 0, 1, "x") != clip_key("ab", 0, 0, 1, "x\0") != clip_key("ab", 0, 0, 1, "")


def test_the_key_is_the_one_that_was_promised() -> None:
    """Keys name clips in datasets that exist: this one may never change."""
    assert clip_key("0" * 64, 0, 0, 100, "") == "32embypcsoy4wt6kzbnmxa2tah"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event(1, 3, 9, "left_view", "left_view"), "pair"),
        (Event(1, 3, 9, "occluded", "left_view"), "interval"),
        (Event(1, 3, 9, "unexplained", "unexplained"), "interval"),
        (Event(1, 3, None, "left_view"), "exit"),
        (Event(1, None, 9, None, "left_view"), "entry"),
    ],
)
def test_kinds_of_events(event: Event, kind: str) -> None:
    assert event.kind == kind


def test_a_known_camera_is_trusted_where_it_is_finite() -> None:
    c2w = np.tile(np.eye(4), (5, 1, 1))
    c2w[2] = np.nan
    camera = Camera.known(c2w, np.array([1.0, 2.0, 3.0, 4.0]))
    assert camera.valid.tolist() == camera.translation_known.tolist() == [True, True, False, True, True]
    assert camera.intrinsics.shape == (5, 4)
    assert camera.intrinsics.flags.writeable
    assert camera.confidence.tolist() == [1, 1, 0, 1, 1]
    assert len(camera) == 5
    assert not Camera.known(c2w, np.ones(4), "none").translation_known.any()
    per_frame = np.arange(20.0).reshape(5, 4)
    np.testing.assert_array_equal(Camera.known(c2w, per_frame).intrinsics, per_frame)


def test_length_and_seconds() -> None:
    clip = example_clip()
    assert len(clip) == 12
    assert clip.seconds == pytest.approx(12 * 1001 / 30000)
    assert dataclasses.replace(clip, fps=Fraction(12)).seconds == 1.0


def test_frames_open_through_the_index_map(tmp_path: Path) -> None:
    clip = example_clip(0, example_video(tmp_path / "x.mp4"))
    with clip.open_frames() as frames:
        whole = frames[:]
    assert whole.shape == (12, 32, 48, 3)
    clip.frame_index = np.arange(11, -1, -1, dtype=np.int32)
    with clip.open_frames() as frames:
        np.testing.assert_array_equal(frames[:], whole[::-1])
    clip.video = None
    with pytest.raises(BadInput) as refusal:
        clip.open_frames()
    assert refusal.value.reason == "no_video"


def test_same_value_sees_every_difference() -> None:
    assert same_value(example_clip(), example_clip())
    for change in (
        {"fps": Fraction(30)},
        {"events": []},
        {"quality": {"sharpness": 0.05}},
        {"camera": None},
        {"pts_s": np.zeros(12)},
        {"video": b""},
        {"actions": dataclasses.replace(example_clip().actions, unit="depth/s")},
    ):
        assert not same_value(dataclasses.replace(example_clip(), **change), example_clip()), change


def test_same_value_is_strict_about_types_and_kind_about_nan() -> None:
    nan = float("nan")
    assert same_value(nan, nan)
    assert not same_value(nan, 1.0)
    assert same_value(np.array([nan, 1]), np.array([nan, 1]))
    assert not same_value(np.zeros(3, np.float32), np.zeros(3))
    assert not same_value(np.zeros((1, 3)), np.zeros(3))
    assert not same_value([1, 2], (1, 2))
    assert not same_value([1, 2], [1, 2, 3])
    assert same_value({"a": [nan]}, {"a": [nan]})
    assert not same_value({"a": 1}, {"b": 1})
