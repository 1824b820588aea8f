from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.annotators.moving_camera import HEIGHT, WIDTH, K, pose
from tests.annotators.textured_room import look
from worldloom.annotators.background import background_of, foreground
from worldloom.annotators.moving import MovingRules, Poses, camera_stands, detections, edge_shift, find_moving
from worldloom.annotators.residual_flow import (
    StillMotion,
    dense_flow,
    motion_from_features,
    motion_from_poses,
    residual,
)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return look(pose(0, 0, 0), K, WIDTH, HEIGHT)[0]


def with_person(picture: np.ndarray, x: int, colour: tuple[int, int, int]) -> np.ndarray:
    out = picture.copy()
    out[40:120, x : x + 26] = colour
    out[40:120:6, x : x + 26] = 255 - np.array(colour)
    return out


def test_the_background_is_what_recurs_even_where_people_stand_for_most_of_the_time(scene):
    shots = [scene] * 4 + [with_person(scene, 100, (20, 20, 20))] * 8 + [scene] * 3
    shots += [with_person(scene, 104, (30, 30, 160))] * 8 + [scene] * 3
    found = background_of(np.stack(shots))
    median = np.median(np.stack(shots), axis=0)
    assert np.abs(found.astype(int) - scene).mean() < 1
    assert np.abs(median - scene)[40:120, 100:130].mean() > 10


def test_foreground_is_the_person_and_not_the_shadow(scene):
    seen = with_person(scene, 100, (20, 20, 160))
    seen[100:130, 160:220] = (seen[100:130, 160:220] * 0.7).astype(np.uint8)
    mask = foreground(seen, scene, 24)
    person, shadow = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    person[42:118, 102:124], shadow[104:126, 164:216] = True, True
    assert mask[person].mean() > 0.9
    assert mask[shadow].mean() < 0.1
    assert mask[~person & ~shadow].mean() < 0.06


def test_a_change_of_exposure_is_no_foreground(scene):
    brighter = np.clip(scene * 1.2, 0, 255).astype(np.uint8)
    assert foreground(brighter, scene, 24).mean() < 0.02


def test_a_standing_camera_is_told_from_one_that_pans_or_zooms(scene):
    people = [with_person(scene, 10 + 3 * i, (20, 20, 160)) for i in range(40)]
    assert camera_stands(people)
    pan = [look(pose(0, 0, 0, 0.3 * i), K, WIDTH, HEIGHT)[0] for i in range(14)]
    assert not camera_stands(pan)
    zoom = [look(pose(0, 0, 0), K * [1 + 0.01 * i, 1 + 0.01 * i, 1, 1], WIDTH, HEIGHT)[0] for i in range(14)]
    assert not camera_stands(zoom)
    assert edge_shift(*(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY),) * 2) == 0.0


def true_flow(here: np.ndarray, there: np.ndarray, z: np.ndarray) -> np.ndarray:
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    points = np.stack([(x - K[2]) / K[0] * z, (y - K[3]) / K[1] * z, z], -1)
    relative = np.linalg.inv(there) @ here
    local = points @ relative[:3, :3].T + relative[:3, 3]
    return np.stack(
        [K[0] * local[..., 0] / local[..., 2] + K[2] - x, K[1] * local[..., 1] / local[..., 2] + K[3] - y], -1
    )


@pytest.mark.parametrize("there", [pose(0.2, 0, 0, 3), pose(0, 0, 0.4, -2), pose(-0.1, 0.05, 0.2, 1)])
def test_true_flow_of_a_still_scene_leaves_nothing_over(there):
    here = pose(0, 0, 0)
    _, z = look(here, K, WIDTH, HEIGHT)
    motion = motion_from_poses(here, there, K, K, nearest=0.9 * float(z.min()))
    left_over = residual(true_flow(here, there, z), motion)
    assert float(np.nanmax(left_over)) < 1e-3


def test_motion_across_and_motion_beyond_the_nearest_thing_are_left_over():
    here, there = pose(0, 0, 0), pose(0.2, 0, 0)
    _, z = look(here, K, WIDTH, HEIGHT)
    motion = motion_from_poses(here, there, K, K, nearest=2.5)
    flow = true_flow(here, there, z)
    np.testing.assert_allclose(residual(flow + np.array([0, 4]), motion), 4, atol=0.01)
    longest = 0.2 * K[0] / 2.5
    far_off = flow.copy()
    far_off[..., 0] = -(longest + 5)
    np.testing.assert_allclose(residual(far_off, motion), 5, atol=0.01)
    backwards = flow.copy()
    backwards[..., 0] = 6
    np.testing.assert_allclose(residual(backwards, motion), 6, atol=0.01)


def test_a_turning_camera_is_one_homography_from_poses_and_from_features():
    here, there = pose(0, 0, 0), pose(0, 0, 0, 2)
    pictures = [cv2.cvtColor(look(c2w, K, WIDTH, HEIGHT)[0], cv2.COLOR_RGB2GRAY) for c2w in (here, there)]
    known = motion_from_poses(here, there, K, K, nearest=None)
    found, share = motion_from_features(*pictures)
    assert share > 0.9
    corners = np.array([[[20, 20], [220, 20], [120, 120], [20, 120]]], np.float64)
    np.testing.assert_allclose(
        cv2.perspectiveTransform(corners, known.homography), cv2.perspectiveTransform(corners, found.homography), atol=1
    )
    flow = dense_flow(*pictures)
    assert float(np.median(residual(flow, known))) < 0.2


def test_nothing_is_found_in_two_flat_pictures():
    flat = np.full((HEIGHT, WIDTH), 90, np.uint8)
    motion, share = motion_from_features(flat, flat)
    assert share == 0.0
    assert motion == StillMotion(motion.homography, None)
    np.testing.assert_array_equal(motion.homography, np.eye(3))


def test_a_person_is_found_before_a_moving_camera_with_and_without_poses():
    path = [pose(-0.4 + 0.03 * i, 0, 0, 0.4 * i) for i in range(10)]
    pictures = [with_person(look(c2w, K, WIDTH, HEIGHT)[0], 40 + 6 * i, (20, 20, 160)) for i, c2w in enumerate(path)]
    c2w = np.stack(path)
    poses = Poses(c2w, np.tile(K, (10, 1)), np.ones(10, bool), np.zeros(10, int))
    for known in (None, poses):
        found, shifts, _ = find_moving(pictures, 16.0, MovingRules(), known)
        assert len(found) == len(shifts) == 10
        for t, boxes in enumerate(found):
            centre = 40 + 6 * t + 13
            assert any(one.box[0] - 6 <= centre <= one.box[2] + 6 for one in boxes), t


def test_head_and_legs_are_one_and_two_side_by_side_are_two():
    picture = np.zeros((100, 160, 3), np.uint8)
    mask = np.zeros((100, 160), bool)
    mask[10:30, 40:60], mask[42:80, 42:58] = True, True
    mask[10:80, 100:120] = True
    boxes = [one.box.tolist() for one in detections(mask, picture, MovingRules())]
    assert sorted(boxes) == [[40, 10, 60, 80], [100, 10, 120, 80]]


def test_specks_and_the_whole_picture_are_no_subject():
    picture = np.zeros((100, 160, 3), np.uint8)
    specks = np.zeros((100, 160), bool)
    specks[::9, ::9] = True
    assert detections(specks, picture, MovingRules()) == []
    assert detections(np.ones((100, 160), bool), picture, MovingRules()) == []
