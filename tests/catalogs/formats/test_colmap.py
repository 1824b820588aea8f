from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.colmap import read_colmap, write_colmap


@pytest.mark.parametrize("distorted", [False, True])
def test_written_and_read_again(tmp_path: Path, distorted: bool) -> None:
    trajectory = some_trajectory()
    trajectory.intrinsics[3:, 0] = 480
    trajectory.notes["model"] = "PINHOLE"
    if distorted:
        trajectory.notes = {"model": "OPENCV", "distortion": {"model": "OPENCV", "k1": 0.1, "p1": 0.01}}
    write_colmap(tmp_path, trajectory)
    again = read_colmap(tmp_path)
    np.testing.assert_allclose(again.c2w, trajectory.c2w, atol=1e-12)
    np.testing.assert_array_equal(again.intrinsics, trajectory.intrinsics)
    assert (again.names, again.size, again.notes) == (trajectory.names, trajectory.size, trajectory.notes)


PYCOLMAP = """
import sys
import cv2, pycolmap, numpy as np
model = pycolmap.Reconstruction(sys.argv[1])
for image in sorted(model.images.values(), key=lambda image: image.name):
    pose = image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world
    pinhole = model.cameras[image.camera_id]
    print(image.name, *pose.inverse().matrix().ravel(), *pinhole.calibration_matrix().ravel()[[0, 4, 2, 5]])
"""


def test_pycolmap_reads_the_same_cameras(tmp_path: Path) -> None:
    """In a process of its own: pycolmap stays out of this one."""
    trajectory = some_trajectory()
    write_colmap(tmp_path, trajectory)
    script = [sys.executable, "-c", PYCOLMAP, str(tmp_path)]
    lines = subprocess.run(script, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    rows = [line.split() for line in lines if line.startswith("images/")]
    assert [row[0] for row in rows] == trajectory.names
    table = np.array([row[1:] for row in rows], float)
    np.testing.assert_allclose(table[:, :12].reshape(-1, 3, 4), trajectory.c2w[:, :3], atol=1e-12)
    np.testing.assert_array_equal(table[:, 12:], trajectory.intrinsics)


CAMERAS = "# comment\n1 SIMPLE_RADIAL 640 480 500 320 240 0.01\n"
IMAGES = "# comment\n2 1 0 0 0 0 0 1 1 b.jpg\n10 20 -1\n1 1 0 0 0 0 0 2 1 a b.jpg\n\n"


def write(folder: Path, cameras: str = CAMERAS, images: str = IMAGES) -> Path:
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)
    return folder


def test_images_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    trajectory = read_colmap(write(tmp_path))
    assert trajectory.names == ["a b.jpg", "b.jpg"] and trajectory.scale == "relative"
    np.testing.assert_allclose(trajectory.c2w[:, :3, 3], [[0, 0, -2], [0, 0, -1]])
    assert trajectory.notes == {"model": "SIMPLE_RADIAL", "distortion": {"model": "SIMPLE_RADIAL", "k1": 0.01}}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"cameras": "1 OPENCV_FISHEYE 640 480 1 2 3 4 5 6 7 8\n"},
            "line 1 has camera model 'OPENCV_FISHEYE'.*Undistort",
        ),
        ({"cameras": "1 PINHOLE 640 480 500 500 320\n"}, "line 1 has 5 columns, 6 expected"),
        ({"cameras": "# none\n"}, "no camera in the model"),
        ({"images": "1 1 0 0 0 0 0 2 7 a.jpg\n\n"}, "line 1 names camera 7"),
        ({"images": "1 1 0 0 0 0 0 2\n\n"}, "line 1 has 8 columns, 10 expected"),
        ({"images": "1 0 0 0 0 0 0 2 1 a.jpg\n\n"}, "line 1 has a quaternion of length zero"),
        ({"images": "# none\n"}, "no image in the model"),
        (
            {
                "cameras": "1 PINHOLE 8 6 5 5 4 3\n2 PINHOLE 6 8 5 5 3 4\n",
                "images": "1 1 0 0 0 0 0 2 1 a\n\n2 1 0 0 0 0 0 2 2 b\n\n",
            },
            "different sizes",
        ),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_colmap(write(tmp_path, **files))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cameras\.txt: no such file"):
        read_colmap(tmp_path)
