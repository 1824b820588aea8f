from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.pipeline.scorecard.conftest import FRAMES, K, there_and_back, wall_depth
from worldloom.catalogs.cameras import apply_sim3_to_poses
from worldloom.catalogs.clip import Camera, Clip
from worldloom.catalogs.overlap import overlap_matrix
from worldloom.pipeline.scorecard.measure import score_clip, true_motion
from worldloom.pipeline.scorecard.rows import rows_from


def in_another_frame(clip: Clip, factor: float) -> Clip:
    """The same clip as a method without scale and origin gives it: moved, turned, and in another unit."""
    turn = Rotation.from_euler("xyz", [20, -35, 10], degrees=True).as_matrix()
    c2w = apply_sim3_to_poses(clip.camera.c2w, factor, turn, np.array([3.0, -1.0, 2.0]))
    camera = replace(clip.camera, c2w=c2w, scale="relative", up=None)
    depth = replace(wall_depth(factor), scale="relative")
    subjects = replace(clip.subjects, id=np.array([11], np.int32), source=["motion"])
    events = [replace(event, subject=11) for event in clip.events]
    return replace(clip, camera=camera, depth=depth, subjects=subjects, events=events)


def scored(truth: Clip, estimate: Clip) -> dict:
    overlap = overlap_matrix(truth.depth, truth.camera, truth.width, truth.height)
    return score_clip(truth, estimate, truth, overlap, truth.depth.frames)


def test_a_perfect_estimate_in_another_frame_and_unit_is_perfect(truth):
    facts = scored(truth, in_another_frame(truth, 0.3))
    assert facts["motion"] == "moves"
    assert facts["pose"]["posed"]
    assert facts["pose"]["groups"][0]["percent"] == pytest.approx(0, abs=1e-6)
    assert facts["pose"]["rotation_deg"] == pytest.approx(0, abs=1e-4)
    assert facts["depth"]["estimate"]["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert facts["depth"]["estimate"]["coverage"] == 1
    assert facts["events"]["estimate"] == facts["events"]["given"]
    assert facts["events"]["estimate"]["matched"] == 2
    assert facts["revisits"]["estimate"]["right"] == 2


def test_the_rows_of_a_perfect_estimate_meet_their_targets(truth):
    rows = {row.key: row for row in rows_from([scored(truth, in_another_frame(truth, 5.0))], "c")}
    assert rows["actions.move.f1_settled.estimate"].value == 1
    assert {row.verdict for row in rows.values() if row.target} == {"met"}


def test_depth_is_judged_in_the_unit_of_its_own_poses(truth):
    estimate = in_another_frame(truth, 0.3)
    estimate.depth = replace(estimate.depth, z=estimate.depth.z * 1.1)
    assert scored(truth, estimate)["depth"]["estimate"]["abs_rel"] == pytest.approx(0.1, abs=1e-4)


def test_a_bent_path_costs_ate(truth):
    estimate = in_another_frame(truth, 1.0)
    c2w = estimate.camera.c2w.copy()
    c2w[:, 2, 3] += 0.3 * np.sin(np.linspace(0, 6, FRAMES))
    estimate.camera = replace(estimate.camera, c2w=c2w)
    assert scored(truth, estimate)["pose"]["groups"][0]["percent"] > 1


def test_a_clip_without_poses_counts_and_is_scored_where_it_can_be(truth):
    estimate = replace(in_another_frame(truth, 1.0), camera=None, actions=None, depth=None, revisits=None)
    facts = scored(truth, estimate)
    assert facts["pose"] == {"posed": False, "valid_frames": 0, "groups": []}
    assert "estimate" not in facts["actions"]
    assert "estimate" not in facts["depth"]
    assert facts["revisits"]["estimate"]["found"] == 0
    assert facts["events"]["estimate"]["matched"] == 2


def test_a_late_event_is_a_miss_and_a_false_alarm(truth):
    estimate = in_another_frame(truth, 1.0)
    estimate.events = [replace(estimate.events[0], first_hidden=23)]
    counts = scored(truth, estimate)["events"]["estimate"]
    assert (counts["matched"], counts["predicted"], counts["true"]) == (1, 2, 2)


@pytest.mark.parametrize(("degrees", "metres", "kind"), [(0, 0, "stands"), (40, 0, "turns"), (40, 2, "moves")])
def test_true_motion_is_told_apart(truth, degrees, metres, kind):
    c2w = there_and_back(metres)
    c2w[:, 1, 3] = 0
    c2w[:, :3, :3] = Rotation.from_euler("y", np.linspace(0, degrees, FRAMES)[:, None], degrees=True).as_matrix()
    assert true_motion(replace(truth, camera=Camera.known(c2w, K))) == kind
