from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.egodex_hdf5 import JOINTS, read_egodex_hdf5

h5py = pytest.importorskip("h5py")

CAMERA = some_trajectory(6).c2w
FRAMES = len(CAMERA)


def write_episode(path: Path, change: Callable[[Any], None] | None = None) -> Path:
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["camera/intrinsic"] = np.eye(3, dtype=np.float32)
        file["transforms/camera"] = CAMERA
        for name in JOINTS[:30]:
            pose = np.tile(np.eye(4), (FRAMES, 1, 1))
            pose[:, :3, 3] = rng.normal(size=(FRAMES, 3))
            file.create_dataset(f"transforms/{name}", data=pose, compression="gzip")
            file[f"confidences/{name}"] = np.full(FRAMES, 0.5, np.float32)
        if change is not None:
            change(file)
    return path


def test_camera_and_joints_are_read(tmp_path: Path) -> None:
    camera, hands = read_egodex_hdf5(write_episode(tmp_path / "0.hdf5"))
    np.testing.assert_allclose(camera.c2w, CAMERA)
    assert camera.scale == "metric" and len(JOINTS) == len(set(JOINTS)) == 50
    with h5py.File(tmp_path / "0.hdf5") as file:
        world = file["transforms/leftHand"][:, :3, 3]
    back = np.einsum("tij,tj->ti", CAMERA[:, :3, :3], hands.joints[:, 0]) + CAMERA[:, :3, 3]
    np.testing.assert_allclose(back, world, atol=1e-5)
    assert (hands.confidence[:, :30] == 0.5).all() and (hands.confidence[:, 30:] == 0).all()
    assert np.isnan(hands.joints[:, 30:]).all()


def replace(name: str, put: Callable[[Any], None]) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[name]
        put(file)

    return change


def _external_storage(file: Any) -> None:
    file.create_dataset("transforms/camera", (FRAMES, 4, 4), "f8", external=[("/etc/passwd", 0, FRAMES * 128)])


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((FRAMES, 4, 4), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (FRAMES, 4, 4))
    file.create_virtual_dataset("transforms/camera", layout)


def _external_link(file: Any) -> None:
    file["transforms/camera"] = h5py.ExternalLink("/etc/passwd", "x")


def _soft_link(file: Any) -> None:
    file["transforms/camera"] = h5py.SoftLink("/transforms/leftHand")


def _bomb(file: Any) -> None:
    file.create_dataset("transforms/camera", (2**40, 4, 4), "f8", chunks=(1, 4, 4))


def _big_chunks(file: Any) -> None:
    file.create_dataset("transforms/camera", (FRAMES, 4, 4), "f8", maxshape=(None, 4, 4), chunks=(2**21, 4, 4))


def _text(file: Any) -> None:
    file["transforms/camera"] = ["a"] * FRAMES


def _group(file: Any) -> None:
    file.create_group("transforms/camera")


def _not_finite(file: Any) -> None:
    file["transforms/camera"] = np.full((FRAMES, 4, 4), np.inf)


@pytest.mark.parametrize(
    ("put", "word"),
    [
        (_external_storage, "other files"),
        (_virtual, "other files"),
        (_external_link, "ExternalLink"),
        (_soft_link, "SoftLink"),
        (_bomb, "claims"),
        (_big_chunks, "chunks"),
        (_text, "floats expected"),
        (_group, "no dataset"),
        (_not_finite, "finite"),
        (lambda file: None, "no transforms/camera"),
    ],
)
def test_what_is_not_plain_data_is_never_read(tmp_path: Path, put: Callable[[Any], None], word: str) -> None:
    path = write_episode(tmp_path / "0.hdf5", replace("transforms/camera", put))
    with pytest.raises(BadInput, match=word) as refusal:
        read_egodex_hdf5(path)
    assert refusal.value.reason in ("bad_poses", "no_poses")


def test_a_joint_in_another_file_is_refused_too(tmp_path: Path) -> None:
    def put(file: Any) -> None:
        file["transforms/leftHand"] = h5py.ExternalLink("other.hdf5", "x")

    with pytest.raises(BadInput, match="leftHand is a ExternalLink"):
        read_egodex_hdf5(write_episode(tmp_path / "0.hdf5", replace("transforms/leftHand", put)))


def test_what_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.hdf5"
    for data in (b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(BadInput, match="HDF5"):
            read_egodex_hdf5(path)
    with pytest.raises(BadInput):
        read_egodex_hdf5(tmp_path / "missing.hdf5")
