from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.annotators.moving_camera import pose, room_clip
from worldloom.annotators.annotator import Absent, Given
from worldloom.annotators.depth import DepthAnnotator
from worldloom.annotators.measures import abs_rel
from worldloom.catalogs.clip import Camera, Clip, Depth, Subjects, same_value

COARSE = {"width": 160, "every": 8, "most_planes": 64}


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> tuple[Clip, Depth]:
    path = [pose(-1.0 + 0.05 * i, 0, 0.01 * i, 6 - 0.5 * i) for i in range(25)]
    return room_clip(path, tmp_path_factory.mktemp("walk"))


def labelled(clip: Clip, config: dict[str, object] = COARSE) -> Given:
    answer = DepthAnnotator(config).annotate(clip, Path("unused"))
    assert isinstance(answer, Given)
    return answer


def test_depth_of_a_walk_is_right_where_it_is_valid(walk):
    clip, truth = walk
    answer = labelled(clip)
    assert answer.value.frames.tolist() == [0, 8, 16, 24]
    scores = abs_rel(answer.value, truth)
    assert scores.abs_rel < 0.03
    assert scores.coverage > 0.6
    assert 0.005 <= answer.value.stated_error <= 0.03
    assert 0.6 < answer.confidence <= 1


def test_depth_scales_with_the_poses(walk):
    clip, truth = walk
    small = replace(clip.camera, c2w=clip.camera.c2w.copy(), scale="relative")
    small.c2w[:, :3, 3] *= 0.2
    depth = labelled(replace(clip, camera=small)).value
    assert depth.scale == "relative"
    assert abs_rel(depth, truth, scale=5.0).abs_rel < 0.03
    assert abs_rel(depth, truth).abs_rel > 0.7


def test_the_same_clip_gives_the_same_bytes(walk):
    clip, _ = walk
    assert same_value(labelled(clip).value, labelled(clip).value)


def test_wrong_poses_cost_coverage_before_they_cost_accuracy(walk):
    clip, truth = walk
    shaken = replace(clip.camera, c2w=clip.camera.c2w.copy())
    shaken.c2w[:, :3, 3] += np.random.default_rng(0).normal(0, 0.005, (len(shaken), 3))
    answer = DepthAnnotator(COARSE).annotate(replace(clip, camera=shaken), Path("unused"))
    assert isinstance(answer, Given)
    scores, good = abs_rel(answer.value, truth), abs_rel(labelled(clip).value, truth)
    assert scores.coverage < good.coverage
    assert scores.abs_rel < 0.05


def test_subjects_are_left_out(walk):
    clip, _ = walk
    box = np.full((1, clip.frames, 4), np.nan, np.float32)
    box[0, 8] = [60, 30, 120, 100]
    subjects = Subjects(np.array([0], np.int32), ["moving"], box, np.ones((1, clip.frames), np.float32), ["motion"])
    depth = labelled(replace(clip, subjects=subjects)).value
    assert not depth.valid[1, 20:66, 40:80].any()
    assert depth.valid[0, 20:66, 40:80].any()


def test_nothing_is_said_without_parallax(walk):
    clip, _ = walk
    turning = np.stack([pose(0, 0, 0, i) for i in range(clip.frames)])
    annotator = DepthAnnotator(COARSE)
    for camera in (
        Camera.known(turning, clip.camera.intrinsics[0], scale="none"),
        Camera.known(turning, clip.camera.intrinsics[0]),
        replace(clip.camera, translation_known=np.zeros(clip.frames, bool)),
    ):
        answer = annotator.annotate(replace(clip, camera=camera), Path("unused"))
        assert answer == Absent("no parallax")
    assert annotator.annotate(replace(clip, camera=None), Path("unused")) == Absent("no camera")


def test_frames_of_another_scale_group_are_not_mixed_in(walk):
    clip, truth = walk
    split = replace(clip.camera, c2w=clip.camera.c2w.copy(), scale_group=np.repeat([0, 1], [13, 12]).astype(np.int32))
    split.c2w[13:, :3, 3] *= 7.0
    depth = labelled(replace(clip, camera=split)).value
    scale = np.where(np.arange(clip.frames) < 13, 1.0, 1 / 7.0)
    assert abs_rel(depth, truth, scale=scale).abs_rel < 0.03
