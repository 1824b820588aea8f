from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.formats.egodex_layout import ATTRIBUTES, BODY, from_tables, write_layout
from tests.catalogs.formats.paths import some_trajectory
from tests.real_data import real_data
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.egodex import INTRINSICS, read_egodex_csv, read_egodex_hands_csv, which_caption
from worldloom.catalogs.formats.egodex_hdf5 import JOINTS, read_egodex_hdf5

h5py = pytest.importorskip("h5py")

CAMERA = some_trajectory(6).c2w
FRAMES = len(CAMERA)
K = np.array([[700, 0, 950], [0, 710, 530], [0, 0, 1]], np.float32)


def write_episode(path: Path, change: Callable[[Any], None] | None = None) -> Path:
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["camera/intrinsic"] = K
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
    episode = read_egodex_hdf5(write_episode(tmp_path / "0.hdf5"))
    camera, hands = episode.camera, episode.hands
    assert (camera.intrinsics == (700, 710, 950, 530)).all() and camera.notes == {} and episode.unsure == ()
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


EPISODES = ["add_remove_lid/0", "basic_pick_and_place/0", "basic_pick_and_place/1"]


@pytest.mark.parametrize("name", EPISODES)
def test_real_episodes_in_the_released_layout_say_what_their_tables_say(tmp_path: Path, name: str) -> None:
    tables = [real_data("egodex", f"{name}_{what}.csv") for what in ("camera_trajectory", "hand_poses")]
    path = write_layout(tmp_path / "0.hdf5", *from_tables(*tables))
    with h5py.File(path) as file:
        datasets: list[Any] = []
        file.visititems(lambda _, node: datasets.append(node) if isinstance(node, h5py.Dataset) else None)
        assert len(datasets) == 138 and {one.dtype for one in datasets} == {np.dtype(np.float32)}
        assert len(file["transforms"]) == 69 and len(file["confidences"]) == len(BODY) == 68
    episode = read_egodex_hdf5(path)
    camera = read_egodex_csv(tables[0])
    hands = read_egodex_hands_csv(tables[1], camera)
    np.testing.assert_allclose(episode.camera.c2w, camera.c2w, atol=1e-6)
    np.testing.assert_allclose(episode.camera.intrinsics, camera.intrinsics, rtol=1e-6)
    order = [hands.names.index(joint) for joint in episode.hands.names]
    np.testing.assert_allclose(episode.hands.joints, hands.joints[:, order], atol=2e-5)
    assert episode.hands.confidence[4].max() < 0.01 < 0.8 < episode.hands.confidence[0].min()
    assert episode.unsure == () and episode.left_out == () and set(episode.attributes) == set(ATTRIBUTES)
    assert episode.attributes["llm_verbs"] == "put, take" and episode.attributes["annotated"] is True
    assert episode.caption() == ("Take the lid off the jar with the left hand.", "llm_description2")


def test_what_some_files_lack_is_filled_in_and_told(tmp_path: Path) -> None:
    camera = some_trajectory(4)
    episode = read_egodex_hdf5(write_layout(tmp_path / "0.hdf5", camera, {}, confidences=False, intrinsic=False))
    assert (episode.camera.intrinsics == INTRINSICS).all() and episode.camera.notes == {"intrinsics": "default"}
    half = episode.camera.pixel_intrinsics(960, 540)
    assert half is not None
    np.testing.assert_allclose(half[0], np.array(INTRINSICS) / 2)
    assert episode.unsure == JOINTS and (episode.hands.confidence == 1).all()
    with h5py.File(tmp_path / "0.hdf5", "a") as file:
        del file["camera/intrinsic"]
    assert read_egodex_hdf5(tmp_path / "0.hdf5").camera.notes == {"intrinsics": "default"}


@pytest.mark.parametrize(
    "k", [np.zeros((3, 3)), np.eye(4)[:, :3], np.eye(3) * 1e9, [[700, 0, 960], [0, 700, 540], [5, 0, 1]]]
)
def test_a_camera_matrix_that_is_none_is_refused(tmp_path: Path, k: Any) -> None:
    def put(file: Any) -> None:
        file["camera/intrinsic"] = np.asarray(k, np.float32)

    with pytest.raises(BadInput, match="camera/intrinsic"):
        read_egodex_hdf5(write_episode(tmp_path / "0.hdf5", replace("camera/intrinsic", put)))


def test_attributes_that_are_not_plain_and_small_are_left_out(tmp_path: Path) -> None:
    def put(file: Any) -> None:
        file.attrs["task"] = "x" * 5000
        file.attrs["llm_description"] = np.zeros((3, 3))
        file.attrs["llm_verbs"] = ["a"] * 100
        file.attrs["environment"] = file["transforms/camera"].ref
        file.attrs["object"] = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
        file.attrs["extra"] = np.nan
        file.attrs["type"] = h5py.Empty("f")
        file.attrs["session_name"] = np.bytes_(b"one\x00\xfftwo\x1b[2J")
        file.attrs["description"] = "put\x07 it"
        file.attrs["not_of_the_schema"] = "secret"

    episode = read_egodex_hdf5(write_episode(tmp_path / "0.hdf5", put))
    left_out = {"task", "llm_description", "llm_verbs", "environment", "object", "extra", "type"}
    assert set(episode.left_out) == left_out
    assert set(episode.attributes) == {"session_name", "description"}
    assert episode.attributes["description"] == "put it" and "\x1b" not in str(episode.attributes["session_name"])
    assert episode.caption() == ("put it", "description")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ("", "")),
        ({"llm_description": "a", "llm_description2": "None"}, ("a", "llm_description")),
        ({"llm_description": "a", "llm_description2": "b"}, ("a", "llm_description")),
        ({"llm_description": "a", "llm_description2": "b", "which_llm_description": "2"}, ("b", "llm_description2")),
        ({"llm_description": "a", "llm_description2": "b", "which_llm_description": 2.0}, ("b", "llm_description2")),
        (
            {"llm_description": "a", "llm_description2": "b", "which_llm_description": "llm_description2"},
            ("b", "llm_description2"),
        ),
        ({"llm_description": "a", "llm_description2": "b", "which_llm_description": 1.0}, ("a", "llm_description")),
        ({"llm_description": "a", "llm_description2": "None", "which_llm_description": "2"}, ("a", "llm_description")),
        ({"llm_description": "None", "description": " c "}, ("c", "description")),
    ],
)
def test_the_description_of_this_direction_is_chosen(attributes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert which_caption(attributes) == expected
