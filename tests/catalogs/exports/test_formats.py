"""Each format, written and read again, by our readers and by the programs they are for."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.catalogs.exports.walks import HEIGHT, WIDTH, two_units, walk
from tests.catalogs.formats.paths import epipolar_error_px
from tests.catalogs.numbered_video import number_of, numbered
from tests.real_data import real_data
from worldloom.catalogs.cameras import first_frame_identity, hydra12, invert_poses
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.exports.format import posed
from worldloom.catalogs.exports.registry import FORMATS, format_of
from worldloom.catalogs.formats.colmap import read_colmap
from worldloom.catalogs.formats.hydra import read_hydra_json
from worldloom.catalogs.formats.nerfstudio import read_nerfstudio
from worldloom.catalogs.formats.re10k import read_re10k
from worldloom.catalogs.formats.trajectory import GL_TO_CV
from worldloom.catalogs.formats.tum import read_tum
from worldloom.catalogs.video import Frames

POSED = [i for i in range(12) if i not in (4, 5)]


def write(name: str, clip: Clip, folder: Path, **options: object) -> dict:
    return format_of(name, options).write(clip, folder)


def shown(folder: Path) -> list[int]:
    return [number_of(cv2.imread(str(path))[..., ::-1]) for path in sorted(folder.iterdir())]


def test_colmap_there_and_back(tmp_path: Path) -> None:
    clip = walk(missing=(4, 5))
    notes = write("colmap", clip, tmp_path)
    assert notes == {"frames": 10, "of": 12, "scale": "metric", "without_pose": 2}
    back = read_colmap(tmp_path / clip.key / "sparse" / "0")
    np.testing.assert_allclose(back.c2w, clip.camera.c2w[POSED], atol=1e-12)
    np.testing.assert_array_equal(back.intrinsics, clip.camera.intrinsics[POSED])
    assert back.size == (WIDTH, HEIGHT) and back.names == [f"{i:06d}.png" for i in POSED]
    assert sorted(path.name for path in (tmp_path / clip.key / "images").iterdir()) == back.names
    assert shown(tmp_path / clip.key / "images") == POSED
    lines = (tmp_path / clip.key / "frames.csv").read_text().splitlines()
    assert lines[0] == "name,frame,seconds" and lines[5] == "000006.png,6,0.600000"


def test_pictures_are_those_of_the_video(tmp_path: Path) -> None:
    coloured = [(numbered(i) * np.array([1.0, 0.6, 0.2])).astype(np.uint8) for i in range(12)]
    encode_frames(tmp_path / "coloured.mp4", coloured, Fraction(10), crf=10)
    clip = dataclasses.replace(walk(), video=(tmp_path / "coloured.mp4").read_bytes())
    write("colmap", clip, tmp_path)
    written = np.stack([cv2.imread(str(p))[..., ::-1] for p in sorted((tmp_path / clip.key / "images").iterdir())])
    with Frames(clip.video) as frames:
        difference = written.astype(int) - frames[:]
    assert np.abs(written.astype(int) - coloured).mean() < 8, "red is red"
    assert np.abs(difference).mean() < 3 and 0 < difference.mean() < 2  # the quick conversion is a level darker


def test_colmap_of_some_frames_and_without_pictures(tmp_path: Path) -> None:
    clip = walk(missing=(4, 5))
    write("colmap", clip, tmp_path / "a", every=3, pictures="jpg")
    assert read_colmap(tmp_path / "a" / clip.key / "sparse" / "0").names == [
        "000000.jpg",
        "000003.jpg",
        "000006.jpg",
        "000009.jpg",
    ]
    assert shown(tmp_path / "a" / clip.key / "images") == [0, 3, 6, 9]
    write("colmap", clip, tmp_path / "b", pictures="none")
    assert not (tmp_path / "b" / clip.key / "images").exists()
    assert len(read_colmap(tmp_path / "b" / clip.key / "sparse" / "0")) == 10


PYCOLMAP = """
import sys
import cv2, pycolmap
model = pycolmap.Reconstruction(sys.argv[1])
for image in sorted(model.images.values(), key=lambda image: image.name):
    pose = image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world
    k = model.cameras[image.camera_id].calibration_matrix()
    print(image.name, *pose.matrix().ravel(), *k.ravel()[[0, 4, 2, 5]])
"""


def by_pycolmap(model: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, world-to-camera (N, 3, 4) and fx fy cx cy as pycolmap reads them, in a process of its own."""
    script = [sys.executable, "-c", PYCOLMAP, str(model)]
    lines = subprocess.run(script, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    rows = [line.split() for line in lines if line[:1].isdigit()]
    table = np.array([row[1:] for row in rows], float)
    return [row[0] for row in rows], table[:, :12].reshape(-1, 3, 4), table[:, 12:]


def test_pycolmap_reads_the_export(tmp_path: Path) -> None:
    clip = walk(missing=(4, 5))
    write("colmap", clip, tmp_path, pictures="none")
    names, w2c, k = by_pycolmap(tmp_path / clip.key / "sparse" / "0")
    assert names == [f"{i:06d}.png" for i in POSED]
    np.testing.assert_allclose(w2c, invert_poses(clip.camera.c2w[POSED])[:, :3], atol=1e-12)
    np.testing.assert_array_equal(k, clip.camera.intrinsics[POSED])


@pytest.mark.parametrize("name", ["0f68374b76390082", "2c80f9eb0d3b2bb4"])
def test_cameras_as_pycolmap_reads_them_fit_the_pictures_of_a_real_clip(name: str, tmp_path: Path) -> None:
    """Epipolar error of matches between exported pictures; other axes or the inverse make it 4 to 29 pixels."""
    video = real_data("re10k", "videos", f"{name}.mp4").read_bytes()
    trajectory = read_re10k(real_data("re10k", "pose_files", f"{name}.txt"))
    clip = dataclasses.replace(walk(frames=16, size=(384, 256)), camera=trajectory.camera(384, 256), video=video)
    write("colmap", clip, tmp_path, every=5)
    names, w2c, k = by_pycolmap(tmp_path / clip.key / "sparse" / "0")
    pictures = [cv2.imread(str(tmp_path / clip.key / "images" / one), cv2.IMREAD_GRAYSCALE) for one in names]
    c2w = invert_poses(np.concatenate([w2c, np.tile([[[0.0, 0, 0, 1]]], (len(w2c), 1, 1))], axis=1))
    for path, fits in ((c2w, True), (invert_poses(c2w), False), (c2w @ GL_TO_CV, False)):
        errors = [epipolar_error_px(pictures[i], pictures[i + 1], k[i], path[[i, i + 1]]) for i in range(3)]
        assert max(errors) < 0.5 if fits else min(errors) > 3, errors


def test_nerfstudio_there_and_back(tmp_path: Path) -> None:
    clip = walk(missing=(4, 5))
    write("nerfstudio", clip, tmp_path)
    back = read_nerfstudio(tmp_path / clip.key / "transforms.json")
    np.testing.assert_allclose(back.c2w, clip.camera.c2w[POSED], atol=1e-12)
    np.testing.assert_array_equal(back.intrinsics, clip.camera.intrinsics[POSED])
    assert back.names == [f"images/{i:06d}.png" for i in POSED] and not back.notes
    assert shown(tmp_path / clip.key / "images") == POSED


def test_tum_is_read_by_evo(tmp_path: Path) -> None:
    from evo.tools import file_interface

    clip = walk(missing=(4, 5))
    write("tum", clip, tmp_path)
    path = tmp_path / f"{clip.key}.txt"
    back = read_tum(path)
    np.testing.assert_allclose(back.c2w, clip.camera.c2w[POSED], atol=1e-12)
    np.testing.assert_allclose(back.timestamps_s, np.array(POSED) / 10)
    theirs = file_interface.read_tum_trajectory_file(str(path))
    assert theirs.check()[0]
    np.testing.assert_allclose(np.array(theirs.poses_se3), clip.camera.c2w[POSED], atol=1e-9)


def test_tum_in_times_of_the_source(tmp_path: Path) -> None:
    clip = walk()
    write("tum", clip, tmp_path, times="source")
    np.testing.assert_allclose(read_tum(tmp_path / f"{clip.key}.txt").timestamps_s, np.arange(12) / 10 + 5)
    backwards = dataclasses.replace(clip, pts_s=clip.pts_s[::-1])
    with pytest.raises(BadInput) as refused:
        write("tum", backwards, tmp_path, times="source")
    assert refused.value.reason == "times_go_back"


def test_realestate10k_there_and_back(tmp_path: Path) -> None:
    clip = walk(missing=(4, 5))
    write("realestate10k", clip, tmp_path)
    path = tmp_path / "pose_files" / f"{clip.key}.txt"
    back = read_re10k(path)
    np.testing.assert_allclose(back.c2w, clip.camera.c2w[POSED], atol=1e-7)  # nine decimals
    np.testing.assert_allclose(back.camera(WIDTH, HEIGHT).intrinsics, clip.camera.intrinsics[POSED], atol=1e-6)
    assert back.intrinsics_normalised and len(path.read_text().splitlines()[1].split()) == 19
    assert (tmp_path / back.url).read_bytes() == clip.video
    with Frames(tmp_path / back.url) as frames:
        at = [int(np.abs(frames.pts_s - time).argmin()) for time in back.timestamps_s]
        assert [number_of(picture) for picture in frames[at]] == POSED
    first = np.array(path.read_text().splitlines()[1].split()[7:], float).reshape(3, 4)
    np.testing.assert_allclose(first, invert_poses(clip.camera.c2w[0])[:3], atol=1e-9)  # world-to-camera


def test_plucker_follows_the_pixel_formula(tmp_path: Path) -> None:
    clip = walk(missing=(0, 4))
    notes = write("plucker", clip, tmp_path, height=6, width=8, every=2)
    with np.load(tmp_path / f"{clip.key}.npz", allow_pickle=False) as arrays:
        rays, frames, c2w, k = (arrays[name] for name in ("plucker", "frames", "c2w", "intrinsics"))
    assert frames.tolist() == [2, 6, 8, 10] and rays.shape == (4, 6, 8, 6) and rays.dtype == np.float32
    np.testing.assert_allclose(c2w[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(c2w, first_frame_identity(clip.camera.c2w[[2, 6, 8, 10]]), atol=1e-12)
    np.testing.assert_allclose(k[0], clip.camera.intrinsics[2] / 8)
    t, y, x = 2, 4, 5
    direction = c2w[t, :3, :3] @ [(x + 0.5 - k[t, 2]) / k[t, 0], (y + 0.5 - k[t, 3]) / k[t, 1], 1.0]
    direction /= np.linalg.norm(direction)
    moment = np.cross(c2w[t, :3, 3], direction)
    np.testing.assert_allclose(rays[t, y, x], [*moment, *direction], atol=1e-6)
    np.testing.assert_allclose(rays[0, ..., :3], 0, atol=1e-7)  # the first camera stands in the origin
    assert notes["scale"] == "metric" and notes["factor"] == 1.0


def test_plucker_of_a_relative_camera_counts_in_scene_depths(tmp_path: Path) -> None:
    clip = walk(scale="relative")
    clip.camera.median_depth = np.full(12, 5.0, np.float32)
    notes = write("plucker", clip, tmp_path, dtype="float16")
    with np.load(tmp_path / f"{clip.key}.npz") as arrays:
        assert arrays["plucker"].shape == (3, HEIGHT // 8, WIDTH // 8, 6) and arrays["plucker"].dtype == np.float16
        moved = first_frame_identity(clip.camera.c2w[::4])[:, :3, 3]
        np.testing.assert_allclose(arrays["c2w"][:, :3, 3], moved / 5)
    assert notes["factor"] == pytest.approx(0.2)
    with pytest.raises(BadInput, match="larger every"):
        write("plucker", walk(frames=40), tmp_path, height=4000, width=4000, every=1)


def test_hydra12_is_the_twelve_numbers_of_both_halves(tmp_path: Path) -> None:
    clip = walk(frames=30)
    write("hydra12", clip, tmp_path, context=13, target=9, start=2)
    path = tmp_path / clip.key / "camera.json"
    c2w = clip.camera.c2w
    cond, tgt = read_hydra_json(path, "cond_cam"), read_hydra_json(path, "tgt_cam")
    np.testing.assert_allclose(cond.c2w[:, :3].reshape(-1, 12), hydra12(c2w[2:15:4], c2w[15]), atol=1e-12)
    np.testing.assert_allclose(tgt.c2w, invert_poses(c2w[15]) @ c2w[[15, 19, 23]], atol=1e-12)
    np.testing.assert_allclose(tgt.c2w[0], np.eye(4), atol=1e-12)
    for name, wanted in (("cond", range(2, 15)), ("tgt", range(15, 24))):
        with Frames(tmp_path / clip.key / f"{name}.mp4") as frames:
            assert [number_of(picture) for picture in frames] == list(wanted)


def test_hydra12_by_default_takes_two_clips_of_77_frames() -> None:
    options = format_of("hydra12", {})
    assert options.model_dump() == {"context": 77, "target": 77, "start": 0, "videos": True, "any_scale": False}
    with pytest.raises(UsageError, match="4 n \\+ 1"):
        format_of("hydra12", {"context": 76})


@pytest.mark.parametrize(
    ("name", "clip", "reason"),
    [
        ("colmap", dataclasses.replace(walk(), camera=None), "no_pose"),
        ("tum", walk(missing=tuple(range(12))), "no_pose"),
        ("hydra12", walk(), "too_short"),
        ("hydra12", walk(frames=160, missing=(7,)), "missing_poses"),
        ("hydra12", walk(scale="relative"), "not_metric"),
        ("hydra12", two_units(walk(), 6), "missing_poses"),
        ("realestate10k", dataclasses.replace(walk(), video=None), "no_video"),
        ("lerobot", dataclasses.replace(walk(), camera=None), "no_state"),
        ("lerobot", dataclasses.replace(walk(), frames=11), "bad_poses"),
        ("colmap", dataclasses.replace(walk(), video=walk(frames=9).video), "damaged"),
        ("nerfstudio", dataclasses.replace(walk(), width=62), "damaged"),
        ("lerobot", dataclasses.replace(walk(), video=walk(frames=9).video), "damaged"),
    ],
)
def test_what_a_format_cannot_hold_has_a_reason(name: str, clip: Clip, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        write(name, clip, tmp_path)
    assert refused.value.reason == reason


def test_a_camera_that_is_none_is_refused(tmp_path: Path) -> None:
    for change, reason in (
        (lambda camera: camera.c2w.__setitem__((3, slice(None, 3), slice(None, 3)), 2.0), "bad_poses"),
        (lambda camera: camera.intrinsics.__setitem__((3, 0), np.nan), "no_intrinsics"),
        (lambda camera: camera.intrinsics.__setitem__((3, 0), -1.0), "no_intrinsics"),
    ):
        clip = walk()
        change(clip.camera)
        with pytest.raises(BadInput) as refused:
            write("tum", clip, tmp_path)
        assert refused.value.reason == reason


def test_of_several_units_of_length_the_one_of_most_frames_is_written(tmp_path: Path) -> None:
    clip = two_units(walk(), 5)
    assert posed(clip).frames.tolist() == list(range(5, 12))
    assert write("tum", clip, tmp_path)["other_unit"] == 5
    assert len(read_tum(tmp_path / f"{clip.key}.txt")) == 7


def test_options_are_strict() -> None:
    with pytest.raises(UsageError, match="did you mean 'every'"):
        format_of("colmap", {"evry": 2})
    with pytest.raises(UsageError, match="did you mean 'colmap'"):
        format_of("colmp", {})
    assert set(FORMATS) == {"colmap", "nerfstudio", "tum", "realestate10k", "plucker", "hydra12", "lerobot"}
