from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from worldloom.catalogs.cameras import invert_poses
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.arrays import trajectory_of_arrays
from worldloom.catalogs.formats.trajectory import GL_TO_CV

C2W = some_trajectory(4).c2w
ROW = np.array([50.0, 51.0, 32.0, 24.0])
MATRIX = np.array([[50.0, 0, 32], [0, 51, 24], [0, 0, 1]])


@pytest.mark.parametrize(
    ("poses", "how"),
    [
        (C2W, {}),
        (C2W[:, :3].astype(np.float32), {}),
        (invert_poses(C2W), {"world_to_camera": True}),
        (C2W @ GL_TO_CV, {"opengl": True}),
        (invert_poses(C2W @ GL_TO_CV), {"opengl": True, "world_to_camera": True}),
    ],
)
@pytest.mark.parametrize("k", [ROW, np.tile(ROW, (4, 1)), MATRIX, np.tile(MATRIX.astype(np.float32), (4, 1, 1))])
def test_every_usual_form_gives_the_same_path(poses: np.ndarray, how: dict[str, Any], k: np.ndarray) -> None:
    read = trajectory_of_arrays({"p": poses, "k": k}, "a.npz", size=(64, 48), poses="p", intrinsics="k", **how)
    np.testing.assert_allclose(read.c2w, C2W, atol=1e-6)
    np.testing.assert_allclose(read.pixel_intrinsics(128, 96), np.tile(ROW * 2, (4, 1)))


def test_a_row_of_nan_is_a_frame_without_a_pose() -> None:
    poses = C2W.copy()
    poses[2, 0, 0] = np.nan
    read = trajectory_of_arrays({"c2w": poses, "intrinsics": ROW}, "a.npz", size=(64, 48))
    assert np.isnan(read.c2w[2]).all() and np.isfinite(read.c2w[[0, 1, 3]]).all()


def test_intrinsics_may_be_shares_of_the_picture() -> None:
    arrays = {"c2w": C2W, "intrinsics": ROW / [64, 48, 64, 48]}
    read = trajectory_of_arrays(arrays, "a.npz", size=(64, 48), normalised=True)
    np.testing.assert_allclose(read.pixel_intrinsics(64, 48), np.tile(ROW, (4, 1)))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({}, "no_poses"),
        ({"c2w": C2W}, "no_intrinsics"),
        ({"c2w": C2W[0], "intrinsics": ROW}, "bad_poses"),
        ({"c2w": C2W[:, :2], "intrinsics": ROW}, "bad_poses"),
        ({"c2w": C2W * 2, "intrinsics": ROW}, "bad_poses"),
        ({"c2w": C2W * 1e200, "intrinsics": ROW}, "bad_poses"),
        ({"c2w": np.array(["a"]), "intrinsics": ROW}, "bad_poses"),
        ({"c2w": C2W, "intrinsics": ROW[:3]}, "bad_poses"),
        ({"c2w": C2W, "intrinsics": np.tile(ROW, (3, 1))}, "bad_poses"),
        ({"c2w": C2W, "intrinsics": -ROW}, "bad_poses"),
        ({"c2w": C2W, "intrinsics": ROW * np.nan}, "bad_poses"),
        ({"c2w": C2W, "intrinsics": np.array("a")}, "bad_poses"),
    ],
)
def test_what_is_no_camera_is_named(arrays: dict[str, np.ndarray], reason: str) -> None:
    with pytest.raises(BadInput, match=r"a\.npz: ") as refusal:
        trajectory_of_arrays(arrays, "a.npz", size=(64, 48))
    assert refusal.value.reason == reason
