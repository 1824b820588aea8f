"""Annotators that only ask the rules of `catalogs`: what they refuse, what they say about themselves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from worldloom.annotators.actions import ActionAnnotator
from worldloom.annotators.annotator import BY_DEFAULT, Absent, Annotator, Given, annotator_class
from worldloom.annotators.events import EventAnnotator
from worldloom.annotators.revisits import RevisitAnnotator
from worldloom.catalogs.clip import Camera, Clip, Depth, Provenance, Subjects
from worldloom.catalogs.errors import UsageError

K = np.array([300.0, 300.0, 240.0, 136.0])
NOWHERE = Path("unused")


def clip_with(camera: Camera | None = None, frames: int = 81, **more: object) -> Clip:
    frames = len(camera) if camera is not None else frames
    clip = Clip("c" * 26, Fraction(16), frames, 272, 480, np.arange(frames) / 16, Provenance("folder", "x", "0"))
    return replace(clip, camera=camera, **more)


def turned(yaw_deg: np.ndarray, step_m: float = 0.0, scale: str = "metric") -> Camera:
    c2w = np.tile(np.eye(4), (len(yaw_deg), 1, 1))
    c2w[:, :3, :3] = Rotation.from_rotvec(np.radians(yaw_deg)[:, None] * [0, 1, 0]).as_matrix()
    c2w[:, 2, 3] = step_m * np.arange(len(yaw_deg))
    return Camera.known(c2w, K, scale=scale, up=np.array([0.0, -1.0, 0.0]))


LOOK_AWAY_AND_BACK = np.r_[np.linspace(0, 90, 40), np.linspace(90, 0, 41)]


def test_a_walk_straight_ahead_is_labelled_with_its_unit():
    answer = ActionAnnotator().annotate(clip_with(turned(np.zeros(40), step_m=0.08)), NOWHERE)
    assert isinstance(answer, Given)
    assert set(answer.value.move[:-1]) == {1}
    assert set(answer.value.view[:-1]) == {0}
    assert answer.confidence == 1.0
    assert answer.notes["unit"] == "m/s"
    assert answer.notes["uncertain_move"] == 0.0


def test_a_stricter_threshold_relabels():
    camera = turned(np.zeros(40), step_m=0.03)
    plain = ActionAnnotator().annotate(clip_with(camera), NOWHERE)
    strict = ActionAnnotator({"metric_trigger_m_s": 0.6}).annotate(clip_with(camera), NOWHERE)
    assert set(plain.value.move[:-1]) == {1}
    assert set(strict.value.move[:-1]) == {9}
    with pytest.raises(UsageError, match="metric_trigger_m_s"):
        ActionAnnotator({"metric_triger_m_s": 0.6})


def test_actions_need_poses():
    blind = turned(np.zeros(10))
    blind.valid[1:] = False
    assert isinstance(ActionAnnotator().annotate(clip_with(blind), NOWHERE), Absent)
    assert isinstance(ActionAnnotator().annotate(clip_with(), NOWHERE), Absent)


def test_no_events_is_an_answer_and_no_subjects_is_not():
    box = np.tile(np.array([100, 50, 140, 150], np.float32), (1, 81, 1))
    there = Subjects(np.array([3], np.int32), ["moving"], box, np.ones((1, 81), np.float32), ["motion"])
    assert EventAnnotator().annotate(clip_with(subjects=there), NOWHERE) == Given([], notes={})
    assert EventAnnotator().annotate(clip_with(), NOWHERE) == Absent("no subjects")


def test_a_turning_camera_revisits_by_poses_alone_and_says_so():
    clip = clip_with(turned(LOOK_AWAY_AND_BACK, scale="none"))
    answer = RevisitAnnotator().annotate(clip, NOWHERE)
    assert isinstance(answer, Given)
    assert answer.method == "poses"
    assert not answer.value.from_depth
    assert [0, 80] in answer.value.pairs.tolist()
    assert answer.value.density > 0.3


def test_a_camera_that_keeps_turning_revisits_nothing():
    answer = RevisitAnnotator().annotate(clip_with(turned(np.linspace(0, 90, 81), scale="none")), NOWHERE)
    assert isinstance(answer, Given)
    assert len(answer.value.pairs) == 0


def test_depth_is_used_where_it_is_there():
    frames = np.arange(0, 81, 8, dtype=np.int32)
    z = np.full((len(frames), 34, 60), 4.0, np.float32)
    depth = Depth(frames, z, np.ones(z.shape, bool), np.ones(len(frames), np.float32), "metric", 0.01)
    answer = RevisitAnnotator().annotate(clip_with(turned(LOOK_AWAY_AND_BACK), depth=depth), NOWHERE)
    assert isinstance(answer, Given)
    assert answer.method == "depth"
    assert answer.value.from_depth
    assert answer.notes["frames_compared"] == len(frames)
    assert [0, 80] in answer.value.pairs.tolist()


def test_revisits_refuse_what_cannot_have_one():
    assert isinstance(RevisitAnnotator().annotate(clip_with(), NOWHERE), Absent)
    assert isinstance(RevisitAnnotator().annotate(clip_with(turned(np.zeros(16))), NOWHERE), Absent)


@pytest.mark.parametrize("name", [name for name in BY_DEFAULT if name != "pose"])
def test_every_registered_annotator_says_what_it_is(name):
    kind = annotator_class(name)
    annotator = kind()
    assert isinstance(annotator, Annotator)
    assert annotator.name == name
    assert kind.version
    assert kind.method
    assert hasattr(Clip("k" * 26, Fraction(1), 1, 2, 2, np.zeros(1), Provenance("f", "u", "s")), kind.gives)
    with pytest.raises(UsageError, match="unknown key"):
        kind({"no_such_key": 1})
