from __future__ import annotations

import numpy as np
import pytest

from worldloom.annotators.events import EventAnnotator
from worldloom.catalogs.clip import same_value
from worldloom.pipeline.scorecard.rows import rows_from
from worldloom.pipeline.scorecard.worker import (
    score_world,
    true_overlap,
    unlabelled,
    with_true_boxes,
    with_true_inputs,
)
from worldloom.synth.planner import plan_worlds


def test_a_stranger_sees_the_video_alone(truth):
    clip = unlabelled(truth)
    assert (clip.key, clip.frames, clip.video) == (truth.key, truth.frames, truth.video)
    assert clip.annotations == {}
    assert all(getattr(clip, name) is None for name in ("camera", "actions", "subjects", "depth", "revisits"))
    assert clip.events == []
    assert truth.camera is not None, "the truth stays as it is"


def test_true_tracks_hold_nothing_that_no_tracker_knows(truth):
    truth.subjects.position = np.zeros((1, truth.frames, 3))
    truth.subjects.in_frame = truth.subjects.visibility.copy()
    given = with_true_inputs(truth)
    assert same_value(given.subjects.box, truth.subjects.box)
    assert same_value(given.subjects.visibility, truth.subjects.visibility)
    assert given.subjects.position is None
    assert given.subjects.in_frame is None
    assert given.actions is None


def test_events_are_found_again_on_true_tracks_and_on_boxes(truth, tmp_path):
    for clip in (with_true_inputs(truth), with_true_boxes(truth)):
        (found,) = EventAnnotator().annotate(clip, tmp_path).value
        assert (found.first_hidden, found.first_visible) == (20, 36)


def test_true_overlap_is_between_the_frames_with_depth(truth):
    overlap, frames = true_overlap(truth)
    assert same_value(frames, truth.depth.frames)
    assert overlap.shape == (len(frames), len(frames))
    np.testing.assert_allclose(np.diag(overlap), 1, atol=1e-6)
    np.testing.assert_allclose(overlap, overlap.T, atol=1e-6)
    assert overlap[0, len(frames) // 2] < 0.2, "the camera stepped aside"
    assert overlap[0, -1] > 0.6, "and came back"


def test_without_depth_there_is_no_true_overlap(truth):
    truth.depth = None
    assert true_overlap(truth) == (None, None)


@pytest.mark.slow
def test_a_rendered_world_is_scored_from_its_plan_alone(tmp_path):
    (plan,) = plan_worlds(1, seed=0, frames=33, width=240, height=136)
    facts = score_world({"plan": plan.model_dump(mode="json"), "folder": str(tmp_path)})
    assert facts["name"] == plan.name
    assert facts["annotations"]["given"]["actions"]["status"] == "ok"
    assert facts["seconds"]["pose"] > 0
    rows = {row.key: row for row in rows_from([facts], "c")}
    assert rows["actions.view.f1_settled.given"].value == 1
    assert list(tmp_path.iterdir()) == [], "scratch files are gone"
