from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalogs.formats.paths import some_trajectory
from tests.real_data import real_data
from worldloom.catalogs.actions import MOVES, VIEWS, label_actions
from worldloom.catalogs.cameras import relative_poses
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.unreal import (
    UP,
    matrix_to_rotator,
    opencv_to_unreal,
    pose_from_rotator,
    read_recam,
    recam_cameras,
    rotator_of_pose,
    rotator_to_matrix,
    unreal_to_opencv,
    write_recam,
)

angles = st.floats(-179, 179)


@given(st.floats(-89, 89), angles, angles)
def test_rotators_there_and_back(pitch: float, yaw: float, roll: float) -> None:
    matrix = rotator_to_matrix(pitch, yaw, roll)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(rotator_to_matrix(*matrix_to_rotator(matrix)), matrix, atol=1e-9)
    np.testing.assert_allclose(matrix_to_rotator(matrix), [pitch, yaw, roll], atol=1e-6)


def test_conversion_undoes_itself_and_keeps_lengths_in_metres() -> None:
    c2w = some_trajectory().c2w
    matrix = opencv_to_unreal(c2w)
    np.testing.assert_allclose(unreal_to_opencv(matrix), c2w, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(matrix[:, :3, 3], axis=1), 100 * np.linalg.norm(c2w[:, :3, 3], axis=1))


@pytest.mark.parametrize(
    ("location", "pitch", "yaw", "move", "view"),
    [
        ((600, 0, 0), 0, 0, "go forward", "no-op"),
        ((0, 600, 0), 0, 0, "go right", "no-op"),
        ((-600, 0, 0), 0, 0, "go back", "no-op"),
        ((0, 0, 0), 0, 60, "no-op", "turn right"),
        ((0, 0, 0), 60, 0, "no-op", "turn up"),
        ((0, 0, 0), -60, -60, "no-op", "turn down and turn left"),
    ],
)
def test_what_the_editor_calls_forward_right_and_up(
    location: tuple[float, float, float], pitch: float, yaw: float, move: str, view: str
) -> None:
    """Unreal: x forward, y right, z up, yaw turns right, pitch up; over 3 seconds at 20 frames/s."""
    share = np.linspace(0, 1, 61)
    c2w = pose_from_rotator(share[:, None] * np.array(location), share * pitch, share * yaw, 0.0)
    from worldloom.catalogs.clip import Camera

    labels = label_actions(Camera.known(c2w, [500, 500, 320, 240], up=UP), 20)
    assert {MOVES[i] for i in labels.move[:-1]} == {move} and {VIEWS[i] for i in labels.view[:-1]} == {view}
    np.testing.assert_allclose(rotator_of_pose(c2w)[0][-1], location, atol=1e-9)
    np.testing.assert_allclose(rotator_of_pose(c2w)[1][-1], [pitch, yaw, 0], atol=1e-9)


def test_roll_turns_the_right_side_down() -> None:
    """Clockwise seen from behind: the camera's right axis gets a downward part, y in our axes."""
    assert pose_from_rotator(np.zeros(3), 0, 0, 30)[1, 0] == pytest.approx(0.5)


EXPECTED = {
    "cam01": ("no-op", "turn right"),
    "cam02": ("no-op", "turn left"),
    "cam03": ("no-op", "turn up"),
    "cam04": ("no-op", "turn down"),
    "cam05": ("go forward", "no-op"),
    "cam06": ("go back", "no-op"),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_recam_cameras_do_what_their_matrices_say(name: str) -> None:
    """81 frames of slow motion at 30 frames/s; directions from the whole clip, as the speeds lie near the floor."""
    trajectory = read_recam(real_data("ue5_recam_cameras", "cameras", "camera_extrinsics.json"), name)
    labels = label_actions(trajectory.camera(832, 480, [900, 900, 416, 240]), 30)
    side, ahead, yaw, pitch = np.nanmean(labels.motion, axis=0)
    move, view = EXPECTED[name]
    assert (abs(side) + abs(ahead) > 0.1) == (move != "no-op")
    assert (abs(yaw) + abs(pitch) > 1) == (view != "no-op")
    signs = {"turn right": yaw, "turn left": -yaw, "turn up": pitch, "turn down": -pitch}
    signs |= {"go forward": ahead, "go back": -ahead, "no-op": 1.0}
    assert signs[move] > 0 and signs[view] > 0


def test_a_camera_that_circles_keeps_looking_at_the_centre() -> None:
    """cam09 moves sideways and turns against it: its optical axes meet in one point ahead."""
    trajectory = read_recam(real_data("ue5_recam_cameras", "cameras", "camera_extrinsics.json"), "cam09")
    axis, centre = trajectory.c2w[:, :3, 2], trajectory.c2w[:, :3, 3]
    across = np.eye(3) - axis[:, :, None] * axis[:, None, :]
    point = np.linalg.solve(across.sum(0), (across @ centre[:, :, None]).sum(0))[:, 0]
    assert np.linalg.norm((across @ (point - centre)[:, :, None])[:, :, 0], axis=1).max() < 0.05
    assert ((point - centre) * axis).sum(1).min() > 1
    assert np.linalg.norm(relative_poses(trajectory.c2w)[:, 1, 3]) < 1e-3


def test_recam_written_and_read_again(tmp_path: Path) -> None:
    path = real_data("ue5_recam_cameras", "cameras", "camera_extrinsics.json")
    names = recam_cameras(path)
    assert names == [f"cam{i:02d}" for i in range(1, 11)]
    cameras = {name: read_recam(path, name) for name in names}
    write_recam(tmp_path / "a.json", cameras)
    for name in names:
        assert len(cameras[name]) == 81
        np.testing.assert_allclose(read_recam(tmp_path / "a.json", name).c2w, cameras[name].c2w, atol=1e-9)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"frame0": {"cam02": "x"}}, r"frame0 has no camera 'cam01' \(it has cam02\)"),
        ({"frame0": {"cam01": "[1 0 0 0] [0 1 0 0]"}}, "frame0 cam01 is not 4 x 4 finite numbers"),
        ({"frame0": {"cam01": "[1 0 0 0] [0 1 0 0] [0 0 x 0] [0 0 0 1]"}}, "frame0 cam01 is not 4 x 4"),
        ({"frame0": {"cam01": "[1 0 0 0] [0 1 0 0] [0 0 2 0] [0 0 0 1]"}}, "cam01 pose 0 has a rotation whose axes"),
        ([], "a mapping frame -> camera"),
    ],
)
def test_faults_name_frame_and_camera(tmp_path: Path, value: object, message: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(BadInput, match=message):
        read_recam(tmp_path / "a.json", "cam01")
