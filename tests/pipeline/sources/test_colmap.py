from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from tests.catalogs.formats.paths import epipolar_error_px, some_trajectory, video_frames
from tests.catalogs.formats.test_colmap import write_binary
from tests.pipeline.conftest import picture
from tests.pipeline.passes.test_ingest_video import ingest_all, only
from tests.real_data import real_data
from worldloom.catalogs.cameras import project
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.colmap import write_colmap
from worldloom.catalogs.formats.nerfstudio import write_nerfstudio
from worldloom.catalogs.formats.trajectory import Trajectory
from worldloom.pipeline.sources.colmap import ColmapSource
from worldloom.pipeline.sources.undistort import pinhole_intrinsics, undistort


def source(path: Path, **values: Any) -> ColmapSource:
    return ColmapSource.model_validate({"kind": "colmap", "path": path, "fps": 4, **values})


def scene(folder: Path, length: int = 6, *, model: str = "sparse/0", names: list[str] | None = None) -> Trajectory:
    """Photos of 64 x 48 with a model."""
    trajectory = some_trajectory(length)
    trajectory.size, trajectory.intrinsics = (64, 48), np.tile([50.0, 51.0, 32.0, 24.0], (length, 1))
    trajectory.names = names or [f"{i:03d}.png" for i in range(length)]
    for number, name in enumerate(trajectory.names):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / name), picture(number))
    if model.endswith(".json"):
        trajectory.names = [f"images/{name}" for name in trajectory.names]
        write_nerfstudio(folder / model, trajectory)
    else:
        write_colmap(folder / model, trajectory)
    return trajectory


@pytest.mark.parametrize("model", ["sparse/0", "sparse", "colmap/sparse/0", "transforms.json"])
def test_photos_become_a_clip_in_the_order_of_their_names(tmp_path: Path, model: str) -> None:
    trajectory = scene(tmp_path / "in" / "garden", model=model)
    clip = only(ingest_all(source(tmp_path / "in", licence="CC0-1.0"), tmp_path / "out")["garden/images"])
    assert (clip.frames, clip.fps, clip.width, clip.height) == (6, 4, 64, 48)
    assert clip.camera is not None
    np.testing.assert_allclose(clip.camera.c2w, trajectory.c2w, atol=1e-9)
    np.testing.assert_allclose(clip.camera.intrinsics, trajectory.intrinsics)
    assert clip.camera.scale == "relative" and clip.attributes == {"scene": "garden", "undistorted": False}
    assert clip.annotations["pose"].notes == {"posed_frames": 6, "not_in_model": 0}
    assert clip.provenance.licence == "CC0-1.0" and clip.provenance.kind == "colmap"
    with clip.open_frames() as frames:
        for number in range(6):
            assert np.abs(frames[number].astype(int) - picture(number)[:, :, ::-1]).mean() < 12


def test_photos_without_a_pose_stay_and_poses_without_a_photo_go(tmp_path: Path) -> None:
    names = ["2.png", "10.png", "b/1.png", "b/3.png"]
    trajectory = scene(tmp_path / "in", 4, names=names)
    (tmp_path / "in" / "images" / "10.png").unlink()
    cv2.imwrite(str(tmp_path / "in" / "images" / "7.png"), picture(9))
    cv2.imwrite(str(tmp_path / "in" / "images" / "11.png"), picture(9))
    clip = only(ingest_all(source(tmp_path / "in"), tmp_path / "out")["images"])
    assert clip.camera is not None and clip.frames == 5  # 2, 7, 11, b/1, b/3
    assert clip.camera.valid.tolist() == [True, False, False, True, True]
    np.testing.assert_allclose(clip.camera.c2w[[0, 3, 4]], trajectory.c2w[[0, 2, 3]], atol=1e-9)
    assert clip.annotations["pose"].notes == {"posed_frames": 3, "not_in_model": 2, "pictures_missing": 1}


def test_the_depth_of_what_a_photo_sees_reaches_the_clip(tmp_path: Path) -> None:
    trajectory = scene(tmp_path / "in")
    model = tmp_path / "in" / "sparse" / "0"
    lines = (model / "images.txt").read_text().split("\n")
    seen = " ".join(f"1 1 {number}" for number in range(1, 8))
    first = next(i for i, line in enumerate(lines) if line == "")
    lines[first] = seen  # the first photo alone sees points, in front of it and behind it
    (model / "images.txt").write_text("\n".join(lines))
    centre, ahead = trajectory.c2w[0, :3, 3], trajectory.c2w[0, :3, 2]
    points = [centre + ahead * z for z in (1.0, 2.0, 3.0, 4.0, 50.0, -7.0, -9.0)]
    rows = [f"{number} {x} {y} {z} 0 0 0 0.5" for number, (x, y, z) in enumerate(points, start=1)]
    (model / "points3D.txt").write_text("\n".join(rows))
    clip = only(ingest_all(source(tmp_path / "in"), tmp_path / "out")["images"])
    assert clip.camera is not None and clip.camera.median_depth is not None
    assert abs(clip.camera.median_depth[0] - 3) < 1e-5 and np.isnan(clip.camera.median_depth[1:]).all()


def test_scenes_and_what_is_none(tmp_path: Path) -> None:
    scene(tmp_path / "b")
    scene(tmp_path / "deep" / "a")
    (tmp_path / "c" / "images").mkdir(parents=True)
    (tmp_path / "d" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "d" / "images" / "0.png"), picture(0))
    scene(tmp_path / ".hidden")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    scene(outside)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "images").symlink_to(outside / "images")
    (tmp_path / "link").symlink_to(outside)
    found = {item.uri: item.problem and item.problem[0] for item in source(tmp_path).items()}
    assert found == {"b/images": None, "c/images": "no_images", "d/images": "no_poses", "deep/a/images": None}
    (empty,) = source(tmp_path / "c", images="photos").items()
    assert empty.problem == ("no_images", "no folder in it has pictures in 'photos'")


def test_the_same_photos_at_another_rate_are_another_clip(tmp_path: Path) -> None:
    """In one working folder each stays what it was: somebody who goes back to the first rate finds its clip."""
    scene(tmp_path / "in")
    slow = only(ingest_all(source(tmp_path / "in"), tmp_path / "out")["images"])
    assert isinstance(slow.video, Path)
    before = slow.video.read_bytes()
    fast = only(ingest_all(source(tmp_path / "in", fps=8), tmp_path / "out")["images"])
    assert slow.video.read_bytes() == before and slow.key != fast.key
    assert slow.provenance.sha256 == fast.provenance.sha256


def test_an_item_changes_with_its_photos_and_its_model(tmp_path: Path) -> None:
    scene(tmp_path)

    def fingerprint(**values: Any) -> str:
        return next(iter(source(tmp_path, **values).listed())).fingerprint()

    seen = [fingerprint(), fingerprint(fps=8)]
    cv2.imwrite(str(tmp_path / "images" / "9.png"), picture(9))
    seen.append(fingerprint())
    write_colmap(tmp_path / "sparse" / "0", some_trajectory(3))
    seen.append(fingerprint())
    assert len(set(seen)) == 4


@pytest.mark.parametrize("values", [{"model": "/etc"}, {"model": "../x"}, {"images": ".."}, {"images": ""}, {"fps": 0}])
def test_places_lie_inside_and_a_rate_is_asked_for(tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        source(tmp_path, **values)


def test_a_model_of_other_photos_is_refused(tmp_path: Path) -> None:
    scene(tmp_path / "in")
    for number in range(6):
        cv2.imwrite(str(tmp_path / "in" / "images" / f"{number:03d}.png"), picture(number, 64, 48))
    problem = ingest_all(source(tmp_path / "in"), tmp_path / "out")["images"]
    assert isinstance(problem, BadInput) and "pictures of 64 x 48, and these have 48 x 64" in problem.message
    assert "EXIF" in problem.remedy
    shutil.rmtree(tmp_path / "in" / "images")
    (tmp_path / "in" / "images").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "images" / "other.png"), picture(0))
    problem = ingest_all(source(tmp_path / "in"), tmp_path / "out")["images"]
    assert isinstance(problem, BadInput) and problem.reason == "no_poses"
    assert "none of its 6 images is there; the first is '000.png'" in problem.message


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG whose EXIF says how it is to be turned."""
    tiff = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize(("orientation", "refused"), [(1, False), (2, True), (3, True), (4, True), (6, True)])
def test_photos_that_exif_turns_are_refused(tmp_path: Path, orientation: int, refused: bool) -> None:
    """A quarter turn shows in the size; half of one does not, and would put the world upside down."""
    scene(tmp_path / "in", names=[f"{i:03d}.jpg" for i in range(6)])
    for path in (tmp_path / "in" / "images").iterdir():
        path.write_bytes(with_orientation(path.read_bytes(), orientation))
    found = ingest_all(source(tmp_path / "in"), tmp_path / "out")["images"]
    assert isinstance(found, BadInput) == refused
    if isinstance(found, BadInput):
        assert found.reason == "bad_poses" and "EXIF" in found.remedy


def test_a_binary_model_with_a_fisheye_lens_names_the_remedy(tmp_path: Path) -> None:
    scene(tmp_path / "in")
    (tmp_path / "in" / "model").mkdir()
    write_binary(tmp_path / "in" / "model", camera=b"\1\0\0\0\5\0\0\0" + bytes(80))
    problem = ingest_all(source(tmp_path / "in", model="model"), tmp_path / "out")["images"]
    assert isinstance(problem, BadInput) and "OPENCV_FISHEYE" in problem.message
    assert "image_undistorter" in problem.remedy


def distorted_pixels(points: np.ndarray, k: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """(N, 2) where OpenCV sees points (N, 3) of the camera's space; pixel centres at +0.5."""
    matrix = np.array([[k[0], 0, k[2] - 0.5], [0, k[1], k[3] - 0.5], [0, 0, 1]])
    return np.asarray(cv2.projectPoints(points, np.zeros(3), np.zeros(3), matrix, distortion)[0][:, 0] + 0.5)


def test_what_is_straight_in_the_world_is_where_the_pinhole_says_once_undistorted(tmp_path: Path) -> None:
    """White discs drawn where the lens sees points come to lie where the new intrinsics project them."""
    distortion = np.array([-0.25, 0.08, 0.002, -0.001, 0.0, 0.0, 0.0, 0.0])
    k = np.array([300.0, 305.0, 158.0, 122.0])
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform(-0.38, 0.38, (12, 2)) * [1, 0.75], np.ones(12)]
    canvas = np.zeros((240, 320, 3), np.uint8)
    sub = 8
    for u, v in distorted_pixels(points, k, distortion):
        at = (round((u - 0.5) * sub), round((v - 0.5) * sub))
        cv2.circle(canvas, at, 3 * sub, (255, 255, 255), -1, cv2.LINE_AA, 3)
    cv2.imwrite(str(tmp_path / "a.png"), canvas)
    trajectory = Trajectory(np.eye(4)[None], "relative", k[None], size=(320, 240), distortion=distortion[None])
    new = pinhole_intrinsics(trajectory)[0]
    (straight,) = undistort([tmp_path / "a.png"], trajectory, tmp_path / "out")
    grey = cv2.imread(str(straight), cv2.IMREAD_GRAYSCALE).astype(float)
    assert abs(new[0] - k[0]) > 3, "the lens is one"
    seen = 0
    for u, v in project(points, np.eye(4), new)[0]:
        if 6 < u < 314 and 6 < v < 234:
            y, x = np.mgrid[int(v) - 5 : int(v) + 6, int(u) - 5 : int(u) + 6]
            weight = grey[y, x] / grey[y, x].sum()
            assert abs((weight * (x + 0.5)).sum() - u) < 0.3 and abs((weight * (y + 0.5)).sum() - v) < 0.3
            seen += 1
    assert seen >= 8


def test_the_fox_is_undistorted_and_its_cameras_fit_the_clip(tmp_path: Path) -> None:
    """Of the real photos some, with cameras of nerfstudio; matched corners lie on the epipolar lines of the clip."""
    transforms = real_data("static_fox", "transforms.json")
    named = [frame["file_path"] for frame in json.loads(transforms.read_text())["frames"]]
    there = sorted(name for name in named if (transforms.parent / name).is_file())[:4]
    (tmp_path / "in" / "images").mkdir(parents=True)
    for name in there:
        shutil.copy(transforms.parent / name, tmp_path / "in" / name)
    shutil.copy(transforms, tmp_path / "in")
    clip = only(ingest_all(source(tmp_path / "in", fps=2), tmp_path / "out", height=960)["images"])
    assert clip.camera is not None and (clip.frames, clip.width, clip.height) == (4, 540, 960)
    assert clip.attributes["undistorted"] is True
    assert clip.annotations["pose"].notes["undistorted"]["k1"] == 0.0578421
    assert clip.annotations["pose"].notes["pictures_missing"] == len(named) - 4
    assert abs(clip.camera.intrinsics[0, 0] - 1375.52 / 2) > 1
    assert isinstance(clip.video, Path)
    frames = video_frames(clip.video)
    errors = [
        epipolar_error_px(frames[i], frames[j], clip.camera.intrinsics[0], clip.camera.c2w[[i, j]])
        for i, j in ((0, 2), (1, 3))
    ]
    assert max(errors) < 1
