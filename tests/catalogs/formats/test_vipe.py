from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from worldloom.catalogs.clip import Camera, Depth
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.exr import write_exr
from worldloom.catalogs.formats.vipe import (
    read_vipe_camera,
    read_vipe_depth,
    read_vipe_masks,
    vipe_files,
    write_vipe,
)
from worldloom.catalogs.sample import write_npz

FRAMES = 12
SIZE = (64, 48)
POSED = [0, 1, 2, 5, 6, 9, 11]
"""Frames that ViPE has posed."""


def artifacts(root: Path) -> tuple[Camera, Depth]:
    """All artifacts of a video `a`: two instances, of which 7 leaves through the right border."""
    c2w = some_trajectory(FRAMES).c2w
    c2w[[i for i in range(FRAMES) if i not in POSED]] = np.nan
    k = np.tile([50.0, 51.0, 32.0, 24.0], (FRAMES, 1))
    k[:, 0] += np.arange(FRAMES)
    camera = Camera.known(c2w, k)
    rng = np.random.default_rng(0)
    z = rng.uniform(1, 5, (FRAMES, 48, 64)).astype(np.float16).astype(np.float32)
    valid = rng.random(z.shape) > 0.1
    depth = Depth(np.arange(FRAMES, dtype=np.int32), z, valid, np.ones(FRAMES, np.float32), "metric", 0.1)
    masks = np.zeros((FRAMES, 48, 64), np.uint8)
    for frame in range(FRAMES):
        masks[frame, 10:20, 5:15] = 3
        masks[frame, 20:40, 40 + 3 * frame : 50 + 3 * frame] = 7
    write_vipe(root, "a", camera, depth=depth, masks=masks, phrases={3: "a chair", 7: "a person"})
    return camera, depth


def test_cameras_are_written_and_read_again(tmp_path: Path) -> None:
    camera, _ = artifacts(tmp_path)
    read = read_vipe_camera(tmp_path, "a", FRAMES, SIZE)
    np.testing.assert_allclose(read.c2w, camera.c2w, atol=1e-6)
    assert np.flatnonzero(np.isfinite(read.c2w).all(axis=(1, 2))).tolist() == POSED
    assert read.intrinsics is not None and np.isfinite(read.intrinsics).all()
    np.testing.assert_allclose(read.intrinsics[POSED], camera.intrinsics[POSED])
    np.testing.assert_allclose(read.intrinsics[[3, 8, 10]], camera.intrinsics[[2, 9, 9]])
    made = read.camera(128, 96)
    assert made.valid.sum() == len(POSED) and made.scale == "metric"
    np.testing.assert_allclose(made.intrinsics[0], [100, 102, 64, 48])
    vipe_files(tmp_path, "a")["camera"].unlink()
    np.testing.assert_array_equal(read_vipe_camera(tmp_path, "a", FRAMES, SIZE).c2w, read.c2w)


def test_depth_is_spread_over_the_clip_and_never_blended(tmp_path: Path) -> None:
    _, depth = artifacts(tmp_path)
    read = read_vipe_depth(tmp_path, "a", FRAMES)
    assert read is not None and len(read) == 10 and read.frames[0] == 0 and read.frames[-1] == FRAMES - 1
    np.testing.assert_array_equal(read.valid, depth.valid[read.frames])
    np.testing.assert_array_equal(read.z[read.valid], depth.z[read.frames][read.valid])
    small = read_vipe_depth(tmp_path, "a", FRAMES, most=2, height=12)
    assert small is not None and small.z.shape == (2, 12, 16)
    np.testing.assert_array_equal(small.z[1], np.where(depth.valid, depth.z, np.nan)[-1, 2::4, 2::4])
    vipe_files(tmp_path, "a")["depth"].unlink()
    assert read_vipe_depth(tmp_path, "a", FRAMES) is None


def test_masks_become_subjects(tmp_path: Path) -> None:
    artifacts(tmp_path)
    subjects = read_vipe_masks(tmp_path, "a", FRAMES, SIZE)
    assert subjects is not None
    assert subjects.id.tolist() == [3, 7] and subjects.label == ["a chair", "a person"]
    np.testing.assert_array_equal(subjects.box[0], np.tile([5, 10, 15, 20], (FRAMES, 1)))
    np.testing.assert_array_equal(subjects.box[1, 0], [40, 20, 50, 40])
    np.testing.assert_array_equal(subjects.box[1, 6], [58, 20, 64, 40])
    assert np.isnan(subjects.box[1, 8:]).all() and (subjects.visibility[1, 8:] == 0).all()
    assert (subjects.visibility[0] == 1).all() and 0 < subjects.visibility[1, 6] < 1
    double = read_vipe_masks(tmp_path, "a", FRAMES, (128, 96))
    assert double is not None
    np.testing.assert_array_equal(double.box, subjects.box * 2)
    vipe_files(tmp_path, "a")["phrases"].unlink()
    nameless = read_vipe_masks(tmp_path, "a", FRAMES, SIZE)
    assert nameless is not None and nameless.label == ["instance 3", "instance 7"]


def pose(root: Path, **arrays: np.ndarray) -> None:
    good = {"data": np.tile(np.eye(4, dtype=np.float32), (2, 1, 1)), "inds": np.arange(2)}
    vipe_files(root, "a")["pose"].write_bytes(write_npz({**good, **arrays}))


def k_of(root: Path, columns: int) -> None:
    data = {"data": np.full((2, columns), 50, np.float32), "inds": np.arange(2)}
    vipe_files(root, "a")["intrinsics"].write_bytes(write_npz(data))


def lens(root: Path, text: str) -> None:
    vipe_files(root, "a")["camera"].write_text(text)


def pickled(root: Path) -> None:
    path = vipe_files(root, "a")["pose"]
    np.savez(path, data=np.array([{"a": 1}], object), inds=np.arange(1))


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (lambda root: vipe_files(root, "a")["pose"].unlink(), "no_poses", "no such file"),
        (lambda root: vipe_files(root, "a")["intrinsics"].unlink(), "no_intrinsics", "no such file"),
        (lambda root: pose(root, inds=np.array([3, 3])), "bad_poses", "no ascending frames"),
        (lambda root: pose(root, inds=np.array([3, 12])), "bad_poses", "no ascending frames below 12"),
        (lambda root: pose(root, inds=np.array([-1, 2])), "bad_poses", "no ascending frames"),
        (lambda root: pose(root, inds=np.arange(3)), "bad_poses", "2 rows for 3"),
        (lambda root: pose(root, data=np.zeros((2, 3, 4), np.float32)), "bad_poses", "N x 4 x 4 expected"),
        (lambda root: pose(root, data=np.zeros((2, 4, 4), np.float32)), "bad_poses", "orthonormal"),
        (lambda root: pose(root, data=np.full((2, 4, 4), np.nan, np.float32)), "bad_poses", "not finite"),
        (lambda root: k_of(root, 6), "not_pinhole", "N x 4 expected"),
        (lambda root: lens(root, "0: PINHOLE\n1: MEI\n"), "not_pinhole", "line 2: the camera is MEI"),
        (lambda root: lens(root, "PINHOLE"), "bad_poses", "line 1 is 'PINHOLE'"),
        (pickled, "bad_npz", "not a readable npz"),
    ],
)
def test_cameras_that_are_none_are_named(
    tmp_path: Path, change: Callable[[Path], None], reason: str, message: str
) -> None:
    artifacts(tmp_path)
    change(tmp_path)
    with pytest.raises(BadInput, match=message) as refusal:
        read_vipe_camera(tmp_path, "a", FRAMES, SIZE)
    assert refusal.value.reason == reason and "/a" in refusal.value.where


def zipped(root: Path, what: str, entries: dict[str, bytes], **how: int) -> None:
    with zipfile.ZipFile(vipe_files(root, "a")[what], "w", **how) as archive:  # type: ignore[arg-type]
        for name, data in entries.items():
            archive.writestr(name, data)


def png(mask: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", mask)[1].tobytes())


def exr(root: Path, z: np.ndarray, channel: str = "Z") -> bytes:
    write_exr(root / "x.exr", {channel: z.astype(np.float16)})
    return (root / "x.exr").read_bytes()


GREY = np.zeros((48, 64), np.uint8)
BOMB = png(GREY)[:16] + (60_000).to_bytes(4, "big") * 2 + png(GREY)[24:]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../../00000.png": b""}, "is no <frame>.png"),
        ({"00000.png": png(GREY), "note.txt": b""}, "'note.txt' is no <frame>.png"),
        ({"99999.png": png(GREY)}, "00000?.png|is of no frame"),
        ({"00000.png": png(GREY)}, "11 of 12 frames have no mask, the first is 1"),
        ({f"{i:05d}.png": b"x" for i in range(FRAMES)}, "00000.png is no PNG"),
        ({f"{i:05d}.png": png(GREY)[:60] for i in range(FRAMES)}, "00000.png does not decode"),
        ({f"{i:05d}.png": BOMB for i in range(FRAMES)}, "60000 x 60000 pixels"),
        ({f"{i:05d}.png": png(np.zeros((48, 64, 3), np.uint8)) for i in range(FRAMES)}, "no grey picture"),
        ({f"{i:05d}.png": png(GREY[:20]) for i in range(FRAMES)}, "64 x 20 pixels, the video 64 x 48"),
    ],
)
def test_masks_that_are_none_are_named(tmp_path: Path, entries: dict[str, bytes], message: str) -> None:
    artifacts(tmp_path)
    zipped(tmp_path, "mask", entries)
    with pytest.raises(BadInput, match=message):
        read_vipe_masks(tmp_path, "a", FRAMES, SIZE)


def test_depth_that_is_none_is_named(tmp_path: Path) -> None:
    artifacts(tmp_path)
    good = exr(tmp_path, np.ones((4, 4)))
    for entries, message in (
        ({"00000.exr": b"x"}, "00000.exr: "),
        ({"00000.exr": exr(tmp_path, np.ones((4, 4)), "R")}, "no channel 'Z'"),
        ({"00000.exr": good, "00001.exr": exr(tmp_path, np.ones((5, 4)))}, "00001.exr has another size"),
        ({}, "no depth in it"),
        ({"00000.exr": good, "evil/00001.exr": good}, "is no <frame>.exr"),
    ):
        zipped(tmp_path, "depth", entries)
        with pytest.raises(BadInput, match=message):
            read_vipe_depth(tmp_path, "a", FRAMES)
    zipped(tmp_path, "depth", {"00000.exr": good}, compression=zipfile.ZIP_LZMA)
    with pytest.raises(BadInput, match="neither stored nor deflated"):
        read_vipe_depth(tmp_path, "a", FRAMES)
    path = vipe_files(tmp_path, "a")["depth"]
    zipped(tmp_path, "depth", {"00000.exr": good})
    path.write_bytes(path.read_bytes().replace(good[:64], bytes(64)))
    with pytest.raises(BadInput, match=r"00000\.exr is damaged"):
        read_vipe_depth(tmp_path, "a", FRAMES)
    path.write_bytes(b"no zip")
    with pytest.raises(BadInput, match="not a zip"):
        read_vipe_depth(tmp_path, "a", FRAMES)


def test_an_entry_that_claims_too_much_is_not_unpacked(tmp_path: Path) -> None:
    artifacts(tmp_path)
    path = vipe_files(tmp_path, "a")["mask"]
    zipped(tmp_path, "mask", {f"{i:05d}.png": bytes(600 << 20 if i == 3 else 1) for i in range(FRAMES)}, compression=8)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BadInput, match=r"00003\.png claims 629145600 bytes"):
        read_vipe_masks(tmp_path, "a", FRAMES, SIZE)
