"""Errors of matches against poses: zero for what is true, by hand where it is easy, and large for what is wrong."""

import cv2
import numpy as np
import pytest

from tests.real_data import real_data
from worldloom.annotators.epipolar import (
    FAR_PX,
    Matches,
    fundamental,
    line_error_px,
    match_frames,
    match_pair,
    path_error,
    rank_paths,
    stretch_error_px,
)
from worldloom.catalogs.cameras import invert_poses, project
from worldloom.catalogs.formats.hydra import INTRINSICS, read_hydra_json
from worldloom.catalogs.video import Frames

K = np.array([300.0, 310.0, 160.0, 90.0])


def pose(yaw=0.0, pitch=0.0, at=(0.0, 0.0, 0.0)):
    turn, _ = cv2.Rodrigues(np.array([0.0, yaw, 0.0]))
    nod, _ = cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))
    c2w = np.eye(4)
    c2w[:3, :3] = turn @ nod
    c2w[:3, 3] = at
    return c2w


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.uniform([-2, -1, 4], [2, 1, 12], (200, 3))


def seen(points, c2w, a=0, b=1):
    return Matches(a, b, project(points, c2w[a], K)[0], project(points, c2w[b], K)[0])


PATHS = {
    "sideways": np.stack([pose(), pose(0.1, 0.05, (0.4, 0.1, 0.0))]),
    "forwards": np.stack([pose(), pose(0.02, 0.0, (0.0, 0.0, 0.6))]),
    "turning": np.stack([pose(), pose(0.15, 0.05)]),
    "standing": np.stack([pose(), pose()]),
}


@pytest.mark.parametrize("name", PATHS)
def test_true_poses_leave_nothing(points, name):
    c2w = PATHS[name]
    matches = seen(points, c2w)
    assert stretch_error_px(matches, c2w, K).max() < 1e-8
    assert stretch_error_px(matches, c2w, K, nearest=3.0).max() < 1e-8
    line = line_error_px(matches, c2w, K)
    if name in ("turning", "standing"):
        assert np.isnan(line).all()
    else:
        assert line.max() < 1e-8


def test_the_fundamental_matrix_is_that_of_opencv(points):
    c2w = PATHS["sideways"]
    matches = seen(points, c2w)
    ours = fundamental(c2w[0], c2w[1], K, K)
    theirs, _ = cv2.findFundamentalMat(matches.in_a, matches.in_b, cv2.FM_8POINT)
    ours, theirs = ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs)
    np.testing.assert_allclose(ours * np.sign((ours * theirs).sum()), theirs, atol=1e-6)


def test_a_shift_across_the_line_is_its_error_and_along_it_none(points):
    c2w = np.stack([pose(), pose(at=(0.5, 0.0, 0.0))])  # lines are rows
    matches = seen(points, c2w)
    across = Matches(0, 1, matches.in_a, matches.in_b + np.array([0, 3]))
    np.testing.assert_allclose(line_error_px(across, c2w, K), 3)
    along = Matches(0, 1, matches.in_a, matches.in_b - np.array([5, 0]))
    np.testing.assert_allclose(line_error_px(along, c2w, K), 0, atol=1e-9)
    np.testing.assert_allclose(stretch_error_px(along, c2w, K), 0, atol=1e-9)
    assert stretch_error_px(along, c2w, K, nearest=4.0).max() > 1  # nearer than anything is


def test_backwards_is_told_from_forwards_by_the_stretch_and_not_by_the_line(points):
    c2w = PATHS["forwards"].copy()
    c2w[1, :3, :3] = np.eye(3)
    matches = seen(points, c2w)
    wrong = c2w.copy()
    wrong[1, 2, 3] *= -1
    assert np.median(line_error_px(matches, wrong, K)) < 1e-6
    assert np.median(stretch_error_px(matches, wrong, K)) > 2


def test_a_pure_turn_is_measured_by_where_the_points_must_be(points):
    c2w = PATHS["turning"]
    wrong = np.stack([pose(), pose(-0.15, 0.05)])
    assert np.median(stretch_error_px(seen(points, c2w), wrong, K)) > 80
    behind = np.stack([pose(), pose(np.pi)])
    assert stretch_error_px(seen(points, c2w), behind, K).max() <= FAR_PX


def test_paths_that_are_one_are_ranked_as_one(points):
    c2w = PATHS["sideways"]
    matches = [seen(points, c2w)]
    still = c2w[[0, 0]]
    candidates = {"inverted": invert_poses(c2w), "true": c2w, "also": c2w.copy(), "still": still}
    ranks = rank_paths(matches, {name: (path, K) for name, path in candidates.items()})
    assert ranks[0].names == ("true", "also") and ranks[0].error.median_px < 1e-8
    assert {name for fit in ranks[1:] for name in fit.names} == {"inverted", "still"}
    assert ranks[1].error.median_px > 1
    with pytest.raises(ValueError, match="nothing to rank"):
        rank_paths([], {"true": (c2w, K)})


def test_pictures_without_texture_match_nothing():
    grey = np.full((90, 160, 3), 128, np.uint8)
    assert [len(one) for one in match_pair(grey, grey)] == [0, 0]
    assert match_frames(lambda i: grey, [(0, 1)]) == []
    with pytest.raises(ValueError, match="no match"):
        path_error([], PATHS["sideways"], K)


def test_matches_are_where_a_shift_puts_them():
    rng = np.random.default_rng(3)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (160, 240), dtype=np.uint8), (0, 0), 2)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    a, b = picture[10:130, 20:200], picture[14:134, 13:193]  # content moves by (+7, -4)
    in_a, in_b = match_pair(a, b)
    assert len(in_a) > 50
    assert np.abs(np.median(in_b - in_a, axis=0) - [7, -4]).max() < 0.05


def test_the_cameras_of_real_renders_fit_their_pictures_and_wrong_ones_do_not():
    path = real_data("ue5_hydra", "cam1.json")
    camera = read_hydra_json(path)
    with Frames(path.with_name("1.mp4")) as frames:
        matches = match_frames(lambda i: frames[i], [(30, 38), (44, 52), (60, 68)])  # the person is small by then
    true = path_error(matches, camera.c2w, np.array(INTRINSICS))
    assert true.matches > 200
    assert true.median_px < 0.5
    for wrong in (invert_poses(camera.c2w), np.diag([-1.0, 1, 1, 1]) @ camera.c2w @ np.diag([-1.0, 1, 1, 1])):
        assert path_error(matches, wrong, np.array(INTRINSICS)).median_px > 5 * true.median_px
