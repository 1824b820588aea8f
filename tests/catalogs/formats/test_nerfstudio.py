from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.formats.paths import epipolar_error_px, some_trajectory
from tests.real_data import real_data
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.nerfstudio import read_nerfstudio, write_nerfstudio


def test_written_and_read_again(tmp_path: Path) -> None:
    trajectory = some_trajectory()
    trajectory.notes["distortion"] = {"model": "OPENCV", "k1": 0.05, "p2": -0.001}
    for varying in (False, True):
        if varying:
            trajectory.intrinsics[:, 0] += np.arange(7)
        write_nerfstudio(tmp_path / "transforms.json", trajectory)
        again = read_nerfstudio(tmp_path / "transforms.json", only_existing=False)
        np.testing.assert_allclose(again.c2w, trajectory.c2w, atol=1e-15)
        np.testing.assert_array_equal(again.intrinsics, trajectory.intrinsics)
        assert (again.names, again.size, again.notes) == (trajectory.names, trajectory.size, trajectory.notes)


def test_the_fox_is_before_every_camera_and_17_images_are_missing() -> None:
    """With OpenGL axes taken as they are the toy would lie behind all cameras."""
    trajectory = read_nerfstudio(real_data("static_fox", "transforms.json"))
    assert len(trajectory) == 50 and len(trajectory.notes["missing"]) == 17
    assert trajectory.size == (1080, 1920) and trajectory.names[0] == "images/0001.jpg"
    assert trajectory.notes["distortion"] == {
        "model": "OPENCV", "k1": 0.0578421, "k2": -0.0805099, "p1": -0.000980296, "p2": 0.00015575
    }  # fmt: skip
    axis, centre = trajectory.c2w[:, :3, 2], trajectory.c2w[:, :3, 3]
    across = np.eye(3) - axis[:, :, None] * axis[:, None, :]
    fox = np.linalg.solve(across.sum(0), (across @ centre[:, :, None]).sum(0))[:, 0]
    ahead = ((fox - centre) * axis).sum(1)
    assert ahead.min() > 1
    assert np.median(np.linalg.norm((across @ (fox - centre)[:, :, None])[:, :, 0], axis=1)) < 0.3 * np.median(ahead)


def test_fox_poses_fit_the_pictures() -> None:
    import cv2

    trajectory = read_nerfstudio(real_data("static_fox", "transforms.json"))
    files = [real_data("static_fox", trajectory.names[i]) for i in (0, 2)]
    pictures = [cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), (540, 960)) for file in files]
    k = trajectory.pixel_intrinsics(540, 960)[0]
    assert epipolar_error_px(*pictures, k, trajectory.c2w[[0, 2]]) < 1


def test_the_focal_length_may_be_an_angle(tmp_path: Path) -> None:
    frame = {"file_path": "a", "transform_matrix": np.eye(4).tolist()}
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "t.json").write_text(json.dumps({"camera_angle_x": np.pi / 2, "w": 800, "h": 600, "frames": [frame]}))
    trajectory = read_nerfstudio(tmp_path / "t.json")
    np.testing.assert_allclose(trajectory.intrinsics, [[400, 400, 400, 300]])


GOOD = {"file_path": "a", "transform_matrix": np.eye(4).tolist()}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"w": 8, "h": 6, "fl_x": 5, "frames": [{"file_path": "a", "transform_matrix": [[1]]}]}, "a is not 4 x 4"),
        ({"w": 8, "h": 6, "fl_x": 5, "frames": [{"transform_matrix": []}]}, "a list 'frames'"),
        ({"w": 8, "h": 6, "fl_x": 5}, "a list 'frames'"),
        ({"w": 8, "h": 6, "frames": [GOOD]}, "neither fl_x nor camera_angle_x"),
        ({"fl_x": 5, "frames": [GOOD]}, "w and h is not 2 finite numbers"),
        ({"w": 8, "h": 6, "fl_x": "x", "frames": [GOOD]}, "fl_x fl_y cx cy is not 4 finite numbers"),
        ({"w": 8, "h": 6, "fl_x": 5, "frames": []}, "none of the 0 images"),
    ],
)
def test_faults_are_named(tmp_path: Path, value: object, message: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps(value))
    with pytest.raises(BadInput, match=message):
        read_nerfstudio(tmp_path / "t.json", only_existing=False)


def test_no_image_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"w": 8, "h": 6, "fl_x": 5, "frames": [GOOD]}))
    with pytest.raises(BadInput, match="none of the 1 images is there"):
        read_nerfstudio(tmp_path / "t.json")


@pytest.mark.parametrize("lens", ["OPENCV_FISHEYE", "EQUIRECTANGULAR", ["OPENCV"], None])
def test_a_lens_that_is_no_pinhole_is_refused(tmp_path: Path, lens: object) -> None:
    write_nerfstudio(tmp_path / "a.json", some_trajectory())
    value = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(value | {"camera_model": lens}))
    with pytest.raises(BadInput, match=r"camera_model is .*Undistort"):
        read_nerfstudio(tmp_path / "a.json", only_existing=False)


def test_distortion_is_told_in_the_order_of_opencv(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path / "a.json", some_trajectory())
    value = json.loads((tmp_path / "a.json").read_text())
    told = {"k1": 0.1, "k2": 0.2, "p1": 0.3, "p2": 0.4, "k3": 0.5}
    (tmp_path / "a.json").write_text(json.dumps(value | told))
    distortion = read_nerfstudio(tmp_path / "a.json", only_existing=False).distortion
    assert distortion is not None
    np.testing.assert_array_equal(distortion[3], [0.1, 0.2, 0.3, 0.4, 0.5, 0, 0, 0])
    (tmp_path / "a.json").write_text(json.dumps(value | told | {"k4": 0.6}))
    with pytest.raises(BadInput, match="k4 is not 0"):
        read_nerfstudio(tmp_path / "a.json", only_existing=False)
