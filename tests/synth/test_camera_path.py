"""Camera paths: the motion that is called true is the motion that is driven."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from worldloom.catalogs.actions import command_motion, label_actions, true_actions
from worldloom.catalogs.clip import Camera
from worldloom.catalogs.motion import camera_motion
from worldloom.synth.camera_path import UP, camera_path, commanded_motion, start_pose
from worldloom.synth.plan import Segment, WorldPlan

FPS = 16


def plan_of(*segments: Segment, ramp_s: float = 0.3) -> WorldPlan:
    frames = 1 + sum(segment.frames for segment in segments)
    return WorldPlan(
        name="p",
        place="court",
        position=(0, 0, 1.6),
        heading_deg=30,
        pitch_deg=-5,
        frames=frames,
        camera=segments,
        ramp_s=ramp_s,
    )


@pytest.fixture
def wandering() -> WorldPlan:
    return plan_of(
        Segment(move=1, view=4, frames=20, speed_m_s=1.2, turn_deg_s=30),
        Segment(move=0, view=0, frames=10),
        Segment(move=5, view=1, frames=15, speed_m_s=0.8, turn_deg_s=12),
        Segment(move=4, view=7, frames=20, speed_m_s=1.0, turn_deg_s=20),
    )


def test_the_poses_have_exactly_the_motion(wandering):
    c2w, motion = camera_path(wandering)
    camera = Camera.known(c2w, np.ones(4), "metric", UP)
    measured = camera_motion(camera, Fraction(FPS), window_s=0.0).values
    np.testing.assert_allclose(measured[:-1], motion[:-1], atol=1e-9)


def test_without_ramps_every_step_is_the_command(wandering):
    motion = commanded_motion(wandering.model_copy(update={"ramp_s": 0.0}))
    first = 0
    for segment in wandering.camera:
        command = command_motion(segment.move, segment.view, segment.speed_m_s, segment.turn_deg_s)
        np.testing.assert_allclose(motion[first : first + segment.frames], np.tile(command, (segment.frames, 1)))
        first += segment.frames
    assert (motion[-1] == 0).all()


def test_ramps_are_smooth_and_keep_the_way(wandering):
    soft, hard = commanded_motion(wandering), commanded_motion(wandering.model_copy(update={"ramp_s": 0.0}))
    assert np.abs(np.diff(soft[:-1], axis=0)).max() < 0.6 * np.abs(np.diff(hard[:-1], axis=0)).max()
    np.testing.assert_allclose(soft.sum(0), hard.sum(0), atol=0.05 * np.abs(hard).sum(0).max())


def test_the_labels_are_the_actions_driven(wandering):
    _, motion = camera_path(wandering)
    actions = true_actions(motion, FPS)
    first = 0
    for segment in wandering.camera:
        middle = first + segment.frames // 2
        assert actions.move[middle] == segment.move and actions.view[middle] == segment.view
        first += segment.frames
    assert actions.move[-1] == 9 and (actions.move == 9).sum() > 1


def test_labels_from_true_poses_agree_away_from_changes(wandering):
    c2w, motion = camera_path(wandering)
    camera = Camera.known(c2w, np.ones(4), "metric", UP)
    truth, found = true_actions(motion, FPS), label_actions(camera, FPS)
    changes = np.flatnonzero((np.diff(truth.move) != 0) | (np.diff(truth.view) != 0))
    far = np.array([np.abs(changes - i).min() > 4 for i in range(len(truth))])
    assert far.sum() > 20
    assert np.array_equal(truth.move[far], found.move[far]) and np.array_equal(truth.view[far], found.view[far])


def test_the_start_looks_where_it_should():
    plan = plan_of(Segment(frames=4))
    pose = start_pose(plan)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    right, down, forward = pose[:3, :3].T
    assert abs(right[2]) < 1e-12 and down[2] < -0.9
    assert np.degrees(np.arctan2(forward[1], forward[0])) == pytest.approx(30)
    assert np.degrees(np.arcsin(forward[2])) == pytest.approx(-5)
    np.testing.assert_allclose(camera_path(plan)[0], np.tile(pose, (5, 1, 1)))
