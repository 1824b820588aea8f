from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tests.annotators.moving_camera import clip_of
from tests.real_data import real_data
from worldloom.annotators.annotator import Given
from worldloom.annotators.shots import ShotAnnotator, ShotRules, find_cuts, iter_cuts, linked, shifted

SIZE = (128, 72)


def scene(seed: int, width: int = 1200) -> np.ndarray:
    """A wide picture (72, width, 3) of blobs and edges with colours of its own."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIZE[1], width, 3), rng.integers(40, 215, 3), np.uint8)
    for _ in range(width // 4):
        corner = rng.integers((0, 0), (width, SIZE[1]))
        colour = tuple(int(c) for c in rng.integers(0, 255, 3) // 2 + rng.integers(0, 128, 3).max() // 2)
        if rng.random() < 0.5:
            cv2.rectangle(picture, corner, corner + rng.integers(4, 40, 2), colour, -1)
        else:
            cv2.circle(picture, corner, int(rng.integers(2, 16)), colour, -1)
    return picture


def pan(seed: int, frames: int, speed: float, start: float = 0.0) -> list[np.ndarray]:
    picture = scene(seed, width=int(start + speed * frames) + SIZE[0] + 2)
    return [picture[:, int(start + speed * i) :][:, : SIZE[0]] for i in range(frames)]


def test_a_cut_is_found_at_the_first_frame_of_the_new_shot():
    for seed in range(6):
        frames = pan(seed, 14, 1.0) + pan(seed + 50, 9, 2.0) + pan(seed + 100, 20, 0.0)
        assert find_cuts(frames) == [14, 23]


@pytest.mark.parametrize("speed", [0.0, 3.0, 12.0, 30.0])
def test_a_pan_of_any_speed_is_one_shot(speed):
    for seed in range(4):
        assert find_cuts(pan(seed, 24, speed)) == []


def test_a_pan_that_starts_and_stops_at_once_is_one_shot():
    for seed in range(4):
        there = pan(seed, 20, 25.0)
        assert find_cuts([there[0]] * 10 + there + [there[-1]] * 10) == []


def test_a_flash_is_no_cut():
    for seed in range(4):
        for length in (1, 2, 3):
            frames = pan(seed, 24, 1.0)
            frames[10 : 10 + length] = [np.full_like(frames[0], 255)] * length
            assert find_cuts(frames) == []


def test_a_lamp_switched_off_and_flicker_are_no_cuts():
    frames = pan(1, 24, 1.0)
    switched = [frame if i < 12 else (frame * 0.4).astype(np.uint8) for i, frame in enumerate(frames)]
    flickering = [frame if i % 2 else (frame * 0.6).astype(np.uint8) for i, frame in enumerate(frames)]
    assert find_cuts(switched) == []
    assert find_cuts(flickering) == []


def test_a_cut_near_either_end_is_found():
    assert find_cuts(pan(1, 3, 1.0) + pan(2, 20, 1.0)) == [3]
    assert find_cuts(pan(1, 20, 1.0) + pan(2, 2, 1.0)) == [20]


def test_the_detector_streams():
    """It never asks for more than its look-ahead: the frame count at which a cut is settled is bounded."""
    rules = ShotRules()
    taken = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal taken
        for frame in pan(1, 12, 1.0) + pan(2, 60, 1.0):
            taken += 1
            yield frame

    assert next(iter_cuts(counted(), rules)) == 12
    assert taken <= 12 + 1 + rules.flash_frames


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_video_of_hardly_any_frames_has_no_cut(count):
    assert find_cuts(pan(1, count, 1.0)) == []


def test_links_hold_inside_a_scene_and_not_between_scenes():
    grey = [cv2.cvtColor(scene(seed)[:, :400], cv2.COLOR_RGB2GRAY) for seed in (1, 2)]
    assert linked(grey[0][:, :256], grey[0][:, 30:286]) > 14 > linked(grey[0][:, :256], grey[1][:, :256])
    assert shifted(grey[0][:, :128], grey[0][:, 30:158]) > 0.86 > shifted(grey[0][:, :128], grey[1][:, :128])


def real_frames(*parts: str, limit: int = 90, step: int = 1) -> list[np.ndarray]:
    av = pytest.importorskip("av")
    frames = []
    with av.open(str(real_data(*parts))) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for frame in container.decode(stream):
            frames.append(frame.to_ndarray(format="rgb24", width=320, height=180))
            if len(frames) == limit:
                break
    return frames[::step]


def test_real_shots_have_no_cut_and_joined_ones_have_exactly_theirs():
    shots = [
        real_frames("walk_clips", "video-3.m4v"),
        real_frames("people", "bedroom.mp4"),
        real_frames("ue5_hydra", "1.mp4", limit=77),
        real_frames("walk_clips", "video-9.m4v"),
        real_frames("ue5_hydra", "2.mp4", limit=77),
    ]
    for frames in shots:
        assert find_cuts(frames) == []
        assert find_cuts(frames[::4]) == []
    joined = [frame for shot in shots for frame in shot[:40]]
    assert find_cuts(joined) == [40, 80, 120, 160]


def test_the_one_cut_of_a_real_file_is_found():
    frames = real_frames("odd", "nasa_13013.mp4", limit=240)
    assert find_cuts(frames) == [202]


def test_a_clip_with_a_cut_inside_says_where(tmp_path):
    answer = ShotAnnotator().annotate(clip_of(pan(1, 12, 1.0) + pan(2, 12, 1.0), tmp_path), tmp_path)
    assert answer == Given({"cuts": 1.0}, notes={"cuts": [12]})
