from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.colmap import COEFFICIENTS, read_colmap, write_colmap


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


PYCOLMAP_BINARY = """
import sys
import cv2, pycolmap, numpy as np
out = sys.argv[1]
options = pycolmap.SyntheticDatasetOptions()
options.num_rigs = options.num_cameras_per_rig = 1
options.num_frames_per_rig = 6
options.num_points3D = 80
options.camera_model_id = getattr(pycolmap.CameraModelId, sys.argv[2])
options.camera_params = [float(word) for word in sys.argv[3].split()]
options.camera_width, options.camera_height = 1280, 720
model = pycolmap.synthesize_dataset(options)
model.write_binary(out + "/bin")
model.write_text(out + "/txt")
for image in sorted(model.images.values(), key=lambda image: image.name):
    pose = image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world
    seen = [model.points3D[p.point3D_id].xyz for p in image.points2D if p.has_point3D()]
    z = [(pose * xyz)[2] for xyz in seen]
    print(image.name, *pose.inverse().matrix().ravel(), np.median(z))
"""


@pytest.mark.parametrize(
    ("model", "parameters", "coefficients"),
    [
        ("SIMPLE_PINHOLE", "900 640 360", {}),
        ("PINHOLE", "900 910 640 360", {}),
        ("SIMPLE_RADIAL", "900 640 360 0.02", {"k1": 0.02}),
        ("RADIAL", "900 640 360 0.02 0.01", {"k1": 0.02, "k2": 0.01}),
        ("OPENCV", "900 910 640 360 0.02 0.01 0.001 0.002", {"k1": 0.02, "k2": 0.01, "p1": 0.001, "p2": 0.002}),
        (
            "FULL_OPENCV",
            "900 910 640 360 0.02 0.01 0.001 0.002 0.003 0.004 0.005 0.006",
            {"k1": 0.02, "k2": 0.01, "p1": 0.001, "p2": 0.002, "k3": 0.003, "k4": 0.004, "k5": 0.005, "k6": 0.006},
        ),
    ],
)
def test_both_forms_of_a_model_of_pycolmap(
    tmp_path: Path, model: str, parameters: str, coefficients: dict[str, float]
) -> None:
    """Poses, lenses and the median depth of the points, for each lens that is read."""
    for name in ("bin", "txt"):
        (tmp_path / name).mkdir()
    script = [sys.executable, "-c", PYCOLMAP_BINARY, str(tmp_path), model, parameters]
    lines = subprocess.run(script, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    rows = [line.split() for line in lines if len(line.split()) == 14]
    assert len(rows) == 6
    table = np.array([row[1:] for row in rows], float)
    values = [float(word) for word in parameters.split()]
    k = values[:4] if len(model) != len("SIMPLE_PINHOLE") and "RADIAL" not in model else [values[0], *values[:3]]
    for name in ("bin", "txt"):
        read = read_colmap(tmp_path / name)
        assert read.names == [row[0] for row in rows] and read.size == (1280, 720)
        np.testing.assert_allclose(read.c2w[:, :3].reshape(-1, 12), table[:, :12], atol=1e-9)
        np.testing.assert_array_equal(read.intrinsics, np.tile(k, (6, 1)))
        assert read.median_depth is not None
        np.testing.assert_allclose(read.median_depth, table[:, 12], rtol=1e-9)
        assert read.notes["model"] == model
        if coefficients:
            assert read.notes["distortion"] == {"model": model, **coefficients}
            assert read.distortion is not None
            expected = [coefficients.get(one, 0.0) for one in COEFFICIENTS]
            np.testing.assert_array_equal(read.distortion, np.tile(expected, (6, 1)))
        else:
            assert read.distortion is None
        assert read_colmap(tmp_path / name, points=False).median_depth is None
        np.testing.assert_array_equal(read.take([3]).median_depth, read.median_depth[[3]])
        assert read.take([3]).distortion is None or read.take([3]).distortion.shape == (1, 8)


def write_binary(folder: Path, *, camera: bytes | None = None, image: bytes | None = None, count: int = 1) -> Path:
    lens = struct.pack("<IiQQ4d", 1, 1, 640, 480, 500, 510, 320, 240)
    view = struct.pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"a.jpg\0" + struct.pack("<Qddq", 1, 5, 6, 7)
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", 1) + (lens if camera is None else camera))
    (folder / "images.bin").write_bytes(struct.pack("<Q", count) + (view if image is None else image))
    (folder / "points3D.bin").write_bytes(struct.pack("<QQ3d3BdQ", 1, 7, 0, 0, 9, 0, 0, 0, 0.5, 0))
    return folder


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"camera": struct.pack("<IiQQ8d", 1, 5, 640, 480, *range(8))}, "camera 1 has .*'OPENCV_FISHEYE'.*Undistort"),
        ({"camera": struct.pack("<IiQQ4d", 1, 77, 640, 480, *range(4))}, "model number 77"),
        ({"camera": struct.pack("<IiQQ4d", 1, 1, 640, 480, np.nan, 500, 3, 4)}, "camera 1 is no camera"),
        ({"camera": struct.pack("<IiQQ4d", 1, 1, 0, 480, 500, 500, 3, 4)}, "camera 1 is no camera"),
        ({"camera": bytes(8)}, "cameras.bin: claims 1 entries, and 16 bytes cannot hold them"),
        ({"count": 2**60}, "claims 1152921504606846976 entries"),
        ({"count": 2}, "images.bin: claims 2 entries|ends at byte"),
        ({"count": 0}, "follow its last entry"),
        ({"image": struct.pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 2, 9) + b"a\0" + bytes(8)}, "names camera 9"),
        ({"image": struct.pack("<I7dI", 1, 0, 0, 0, 0, 0, 0, 2, 1) + b"a\0" + bytes(8)}, "quaternion of length zero"),
        ({"image": struct.pack("<I7dI", 1, 1, 0, 0, 0, np.inf, 0, 2, 1) + b"a\0" + bytes(8)}, "not finite"),
        ({"image": struct.pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"\xff\0" + bytes(8)}, "not UTF-8"),
        ({"image": struct.pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"a" * 2000}, "does not end"),
        ({"image": struct.pack("<I7dI", 1, 1, 0, 0, 0, 0, 0, 2, 1) + b"a\0" + b"\xff" * 8}, "ends at byte"),
    ],
)
def test_binary_models_that_are_none_are_named(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    np.testing.assert_array_equal(read_colmap(write_binary(tmp_path)).c2w[0, :3, 3], [0, 0, -2])
    with pytest.raises(BadInput, match=message) as refusal:
        read_colmap(write_binary(tmp_path, **files))
    assert refusal.value.where.endswith(".bin")


def test_an_image_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"image b\.jpg comes twice"):
        read_colmap(write(tmp_path, images="1 1 0 0 0 0 0 1 1 b.jpg\n\n2 1 0 0 0 0 0 2 1 b.jpg\n\n"))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cameras\.txt: no such file"):
        read_colmap(tmp_path)
