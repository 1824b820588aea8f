from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.annotators.moving_camera import HEIGHT, WIDTH, K, clip_of, pose
from tests.annotators.textured_room import look
from tests.real_data import real_data
from worldloom.annotators.annotator import Absent, Given
from worldloom.annotators.events import EventAnnotator
from worldloom.annotators.subjects import SubjectAnnotator
from worldloom.catalogs.clip import Clip, Provenance, same_value


def person(picture: np.ndarray, x: float) -> np.ndarray:
    out = picture.copy()
    left, right = max(0, round(x)), min(WIDTH, round(x) + 24)
    if left < right:
        out[36:124, left:right] = (170, 40, 40)
        out[36:124:8, left:right] = (240, 220, 60)
    return out


@pytest.fixture(scope="module")
def leaves_and_returns(tmp_path_factory) -> Clip:
    scene = look(pose(0, 0, 0), K, WIDTH, HEIGHT)[0]
    places = np.r_[np.linspace(90, 250, 24), np.full(10, 400), np.linspace(250, 60, 26)]
    return clip_of([person(scene, x) for x in places], tmp_path_factory.mktemp("person"))


def test_a_person_who_leaves_and_comes_back_is_one_subject_and_a_pair(leaves_and_returns):
    answer = SubjectAnnotator().annotate(leaves_and_returns, Path("unused"))
    assert isinstance(answer, Given)
    assert answer.notes["how"] == "background"
    assert len(answer.value) == 1
    leaves_and_returns.subjects = answer.value
    (event,) = EventAnnotator().annotate(leaves_and_returns, Path("unused")).value
    assert event.kind == "pair"
    assert (event.exit_side, event.entry_side) == ("right", "right")
    # The left edge of the person crosses the border (x = 240) at frame 23 and comes back in at frame 36.
    assert abs(event.first_hidden - 23) <= 2
    assert abs(event.first_visible - 36) <= 2


def test_the_same_clip_gives_the_same_answer(leaves_and_returns):
    one, two = (SubjectAnnotator().annotate(leaves_and_returns, Path("unused")) for _ in range(2))
    assert same_value(one.value, two.value)


def test_nobody_in_a_still_room(tmp_path):
    scene = look(pose(0, 0, 0), K, WIDTH, HEIGHT)[0]
    answer = SubjectAnnotator().annotate(clip_of([scene] * 12, tmp_path), Path("unused"))
    assert isinstance(answer, Given)
    assert len(answer.value) == 0
    assert answer.value.box.shape == (0, 12, 4)


def test_two_frames_show_no_motion(tmp_path):
    scene = look(pose(0, 0, 0), K, WIDTH, HEIGHT)[0]
    answer = SubjectAnnotator().annotate(clip_of([scene] * 2, tmp_path), Path("unused"))
    assert isinstance(answer, Absent)


@pytest.mark.slow
def test_two_real_people_who_come_and_go_are_two_tracks_with_the_presence_seen_by_eye():
    video = real_data("people", "one-by-one-person-detection.mp4")
    index = np.arange(0, 500, 2, dtype=np.int32)
    clip = Clip(
        key="b" * 26,
        fps=Fraction(5),
        frames=len(index),
        height=432,
        width=768,
        pts_s=index / 10,
        provenance=Provenance("folder", video.name, "0" * 64),
        video=video,
        frame_index=index,
    )
    answer = SubjectAnnotator().annotate(clip, Path("unused"))
    assert isinstance(answer, Given)
    present = np.isfinite(answer.value.box[..., 0]).any(0)
    truth = ((index >= 61) & (index <= 200)) | ((index >= 228) & (index <= 451))
    assert len(answer.value) == 2
    assert (present & truth).sum() / truth.sum() > 0.97
    assert (present & truth).sum() / present.sum() > 0.95
