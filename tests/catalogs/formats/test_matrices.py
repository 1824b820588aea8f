from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.formats.paths import epipolar_error_px, some_trajectory
from tests.real_data import real_data
from worldloom.catalogs.actions import MOVES, VIEWS, label_actions
from worldloom.catalogs.cameras import invert_poses, relative_poses
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.matrices import read_matrices, write_matrices


@pytest.mark.parametrize(("name", "columns"), [("a.txt", 16), ("a.txt", 12), ("a.npy", 16)])
def test_written_and_read_again(tmp_path: Path, name: str, columns: int) -> None:
    trajectory = some_trajectory()
    trajectory.c2w[3] = np.nan
    write_matrices(tmp_path / name, trajectory, columns)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_matrices(tmp_path / name).c2w, trajectory.c2w)


def test_world_to_camera_is_turned_round(tmp_path: Path) -> None:
    trajectory = some_trajectory()
    trajectory.c2w = invert_poses(trajectory.c2w)
    write_matrices(tmp_path / "a.npy", trajectory)
    turned = read_matrices(tmp_path / "a.npy", direction="w2c", scale="relative")
    np.testing.assert_allclose(turned.c2w, some_trajectory().c2w, atol=1e-12)
    assert turned.scale == "relative"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 0\n", "line 1 has 3 columns, 12 or 16 expected"),
        ("1 0 0 0 0 1 0 0 0 0 1 inf\n", "line 1 column 12 is 'inf'"),
        ("\n\n", "nothing that holds"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_matrices(tmp_path / "a.txt")


def test_arrays_that_are_none_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 5)))
    with pytest.raises(BadInput, match=r"\(3, 5\), numbers \(T, 4, 4\) expected"):
        read_matrices(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match=r"not a plain \.npy array"):
        read_matrices(tmp_path / "b.npy")
    with pytest.raises(BadInput, match="no such file"):
        read_matrices(tmp_path / "c.npy")


def test_kitti_agrees_with_evo() -> None:
    file_interface = pytest.importorskip("evo.tools.file_interface")
    path = real_data("traj_evo", "KITTI_00_ORB.txt")
    expected = np.array(file_interface.read_kitti_poses_file(path).poses_se3)
    np.testing.assert_array_equal(read_matrices(path).c2w, expected)


def test_a_car_drives_forward_on_level_ground() -> None:
    trajectory = read_matrices(real_data("traj_evo", "KITTI_00_gt.txt"))
    labels = label_actions(trajectory.camera(1241, 376, [718.9, 718.9, 607.2, 185.2]), 10)
    assert labels.unit == "m/s" and np.mean(labels.move == MOVES.index("go forward")) > 0.95
    assert np.nanmedian(labels.motion[:, 1]) == pytest.approx(8, abs=3)


def test_one_file_per_frame(tmp_path: Path) -> None:
    trajectory = read_matrices(real_data("static_redkitchen"))
    assert len(trajectory) == 110 and trajectory.names is not None
    assert trajectory.names[0] == "frame-000000.pose.txt"
    step = np.linalg.norm(relative_poses(trajectory.c2w)[:, :3, 3], axis=1)
    assert step.max() < 0.1
    (tmp_path / "0.pose.txt").write_text("1 0 0 0\n0 1 0 0\n0 0 1\n0 0 0 1\n")
    with pytest.raises(BadInput, match=r"0\.pose\.txt: line 3 has 3 columns, 4 expected"):
        read_matrices(tmp_path)


def test_hololens_poses_fit_the_pictures() -> None:
    import cv2

    trajectory = read_matrices(real_data("walk_hololens_a", "poses.txt"))
    files = sorted(real_data("walk_hololens_a", "images").glob("*.png"))
    assert len(files) == len(trajectory) == 45
    k = np.loadtxt(real_data("walk_hololens_a", "K.txt"))
    pictures = [cv2.imread(str(files[i]), cv2.IMREAD_GRAYSCALE) for i in (10, 16)]
    intrinsics = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
    assert epipolar_error_px(*pictures, intrinsics, trajectory.c2w[[10, 16]]) < 1.5
    assert epipolar_error_px(*pictures, intrinsics, invert_poses(trajectory.c2w)[[10, 16]]) > 3


KEYS = {"W_A": "go forward and go left", "W_D": "go forward and go right"}
MOUSE = {"Left": "turn left", "Right": "turn right"}


def test_trajectories_labelled_by_another_project_go_their_way() -> None:
    """Yume's folder names say keys and mouse; the direction of the whole clip must be theirs, not each label."""
    files = sorted(real_data("actions_yume").glob("*/*.npy"))
    assert len(files) == 31
    for file in files:
        trajectory = read_matrices(file, scale="relative")
        labels = label_actions(trajectory.camera(640, 480, [500, 500, 320, 240]), 30)
        keys, mouse = file.parent.name.removeprefix("Keys_").split("_Mouse_")
        side, ahead, yaw, _ = np.nanmean(labels.motion, axis=0)
        assert ahead > 0 and (side < 0) == ("left" in KEYS[keys])
        if mouse in MOUSE:
            assert (yaw < 0) == ("left" in MOUSE[mouse])
    assert set(KEYS.values()) <= set(MOVES) and set(MOUSE.values()) <= set(VIEWS)
