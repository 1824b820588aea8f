from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.formats.egodex_layout import ATTRIBUTES, from_tables, write_layout
from tests.catalogs.formats.paths import some_trajectory
from tests.pipeline.conftest import write_video
from tests.pipeline.passes.test_ingest_video import ingest_all, only
from tests.real_data import real_data
from worldloom.catalogs.cameras import project
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.egodex import INTRINSICS, read_egodex_csv
from worldloom.pipeline.sources.egodex import EgoDexSource

pytest.importorskip("h5py")


def source(path: Path, **values: Any) -> EgoDexSource:
    return EgoDexSource(kind="egodex", path=path, **values)


def episode(folder: Path, number: int, frames: int = 20, **how: Any) -> None:
    """One with a small video of its own and a path that is nobody's."""
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / f"{number}.mp4", frames, number, fps=Fraction(30), size=(72, 128))
    write_layout(folder / f"{number}.hdf5", some_trajectory(how.pop("rows", frames)), {}, **how)


def test_episodes_are_listed_by_number_and_halves_are_rows(tmp_path: Path) -> None:
    for name in ("part1/fold/10", "part1/fold/2", "test/open_jar/0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        for ending in (".mp4", ".hdf5"):
            (tmp_path / f"{name}{ending}").write_text("x")
    for name in ("part1/fold/3.mp4", "part1/fold/4.hdf5", "part1/fold/notes.txt", "part1/fold/5_hand_poses.csv"):
        (tmp_path / name).write_text("x")
    found = {item.uri: item for item in source(tmp_path).items()}
    assert list(found) == [
        "part1/fold/2.mp4", "part1/fold/3.mp4", "part1/fold/4.hdf5", "part1/fold/5_hand_poses.csv",
        "part1/fold/10.mp4", "part1/fold/notes.txt", "test/open_jar/0.mp4",
    ]  # fmt: skip
    assert [item.problem[0] if item.problem else "" for item in found.values()] == [
        "", "no_poses", "no_video", "no_video", "", "not_recognised", "",
    ]  # fmt: skip
    assert found["part1/fold/2.mp4"].attributes == {"task": "fold", "part": "part1"}
    assert found["part1/fold/2.mp4"].licence == "CC-BY-NC-ND-4.0"
    assert [item.licence for item in source(tmp_path, licence="mine").items()] == ["mine"] * 7
    of_a_task = next(iter(source(tmp_path / "test" / "open_jar").items()))
    assert of_a_task.uri == "0.mp4" and of_a_task.attributes == {"task": "open_jar"}


def tables_of(name: str) -> list[Path]:
    return [real_data("egodex", f"{name}_{what}.csv") for what in ("camera_trajectory", "hand_poses")]


def pixels_of(joints: np.ndarray, c2w: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.array([project(joints[i], c2w[i], k[i])[0] for i in range(len(c2w))])


def test_a_real_episode_keeps_its_camera_and_hands(tmp_path: Path) -> None:
    """In the layout of the release: the joints project to the same pixels as those of the tables."""
    tables = tables_of("add_remove_lid/0")
    folder = tmp_path / "in" / "part2" / "add_remove_lid"
    folder.mkdir(parents=True)
    shutil.copy(real_data("egodex", "add_remove_lid", "0.mp4"), folder)
    write_layout(folder / "0.hdf5", *from_tables(*tables))
    clip = only(ingest_all(source(tmp_path / "in"), tmp_path / "out", height=180)["part2/add_remove_lid/0.mp4"])
    assert (clip.frames, clip.width, clip.height) == (94, 320, 180)
    assert clip.camera is not None and clip.hands is not None
    camera, joints = from_tables(*tables)
    np.testing.assert_allclose(clip.camera.c2w, camera.c2w, atol=1e-6)
    k = np.tile(np.array(INTRINSICS) / 6, (94, 1))
    np.testing.assert_allclose(clip.camera.intrinsics, k, rtol=1e-6)
    assert clip.camera.scale == "metric" and clip.camera.up is not None and clip.camera.up.tolist() == [0, 1, 0]
    for name in ("leftHand", "rightIndexFingerTip"):
        there = clip.hands.joints[:, clip.hands.names.index(name)].astype(np.float64)
        uv = pixels_of(there, np.tile(np.eye(4), (94, 1, 1)), clip.camera.intrinsics)
        np.testing.assert_allclose(uv, pixels_of(joints[name], camera.c2w, k), atol=1e-2)
    assert clip.annotations["hands"].method == clip.annotations["pose"].method == "source:egodex"
    assert [(one.text, one.writer) for one in clip.captions] == [
        (ATTRIBUTES["llm_description2"], "source:egodex:llm_description2")
    ]
    assert clip.attributes["part"] == "part2" and clip.attributes["task"] == "add_remove_lid"
    assert clip.attributes["intrinsics"] == "file" and clip.attributes["hand_confidence"] == "stated"
    assert clip.attributes["llm_objects"] == "lid, jar" and "llm_description" not in clip.attributes
    assert clip.hands.confidence[4].max() < 0.01


def test_tables_stand_in_for_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "0.mp4", 94, 0, fps=Fraction(30), size=(72, 128))
    for table in tables_of("add_remove_lid/0"):
        shutil.copy(table, folder)
    clip = only(ingest_all(source(folder), tmp_path / "out")["0.mp4"])
    assert clip.camera is not None and clip.hands is not None and len(clip.hands.names) == 56
    assert clip.captions == [] and clip.attributes["hand_confidence"] == "missing"


def test_what_an_episode_lacks_is_told(tmp_path: Path) -> None:
    episode(tmp_path / "in" / "fold", 0, intrinsic=False, confidences=False, attributes={"task": "fold_towel"})
    clip = only(ingest_all(source(tmp_path / "in"), tmp_path / "out")["fold/0.mp4"])
    assert clip.camera is not None and clip.hands is not None
    np.testing.assert_allclose(clip.camera.intrinsics[0], np.array(INTRINSICS) / 15)
    assert clip.attributes["intrinsics"] == "default" and clip.annotations["pose"].notes == {"intrinsics": "default"}
    assert clip.attributes["hand_confidence"] == "missing" and clip.attributes["task"] == "fold_towel"
    assert clip.captions == [] and "captions" not in clip.annotations


def test_an_episode_whose_files_differ_in_length_names_both(tmp_path: Path) -> None:
    episode(tmp_path / "in" / "fold", 3, rows=19)
    problem = ingest_all(source(tmp_path / "in"), tmp_path / "out")["fold/3.mp4"]
    assert isinstance(problem, BadInput) and problem.reason == "frame_mismatch"
    assert problem.message == "3.hdf5 has 19 frames, 3.mp4 has 20" and "fetch both again" in problem.remedy


def test_a_video_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "0.mp4", 20, 0, fps=Fraction(30), size=(96, 96))
    write_layout(folder / "0.hdf5", some_trajectory(20), {})
    problem = ingest_all(source(folder), tmp_path / "out")["0.mp4"]
    assert isinstance(problem, BadInput) and problem.reason == "bad_poses"
    assert "cameras are of pictures of 1920 x 1080, and these have 96 x 96" in problem.message


def test_episodes_of_which_only_tables_are_there(tmp_path: Path) -> None:
    """With a video of as many frames made for it, whatever it shows."""
    for number in (0, 1):
        tables = tables_of(f"basic_pick_and_place/{number}")
        frames = len(read_egodex_csv(tables[0]))
        folder = tmp_path / "in" / "basic_pick_and_place"
        folder.mkdir(parents=True, exist_ok=True)
        write_video(folder / f"{number}.mp4", frames, number, fps=Fraction(30), size=(72, 128))
        write_layout(folder / f"{number}.hdf5", *from_tables(*tables), intrinsic=number == 0)
    for clips in ingest_all(source(tmp_path / "in"), tmp_path / "out").values():
        clip = only(clips)
        assert clip.hands is not None and clip.fps == 30
        assert np.isfinite(clip.hands.joints).all() and clip.hands.joints[..., 2].min() > 0.02


def test_a_hostile_file_costs_its_row(tmp_path: Path) -> None:
    import h5py

    episode(tmp_path / "in", 0)
    episode(tmp_path / "in", 1)
    with h5py.File(tmp_path / "in" / "0.hdf5", "a") as file:
        del file["transforms/camera"]
        file["transforms/camera"] = h5py.ExternalLink("/etc/passwd", "x")
    found = ingest_all(source(tmp_path / "in"), tmp_path / "out")
    assert isinstance(found["0.mp4"], BadInput) and "ExternalLink" in found["0.mp4"].message
    assert only(found["1.mp4"]).hands is not None
