from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.formats.lerobot_example import KEY, LENGTHS, TASKS, lerobot_dataset
from tests.catalogs.formats.paths import some_trajectory
from tests.catalogs.numbered_video import number_of, numbered
from tests.pipeline.passes.test_ingest_video import ingest_all, only
from worldloom.catalogs.cameras import invert_poses, quaternion_from_rotation
from worldloom.catalogs.clip import Hands
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.lerobot_state import state_arrays, state_features
from worldloom.catalogs.formats.lerobot_tables import NewEpisode, VideoPlace, video_file, write_lerobot
from worldloom.catalogs.formats.trajectory import GL_TO_CV
from worldloom.catalogs.statistics import picture_histogram, picture_stats
from worldloom.pipeline.sources.lerobot import LeRobotSource

FPS = Fraction(10)


def source(path: Path, **values: Any) -> LeRobotSource:
    return LeRobotSource.model_validate({"kind": "lerobot", "path": path, **values})


def dataset(
    root: Path, features: dict[str, Any], arrays: list[dict[str, np.ndarray]], videos: tuple[str, ...] = (KEY,)
) -> Path:
    """Episodes of 6 frames in one mp4 per video."""
    lengths = [len(next(iter(one.values()))) for one in arrays]
    picture = {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]}
    for key in videos:
        video_file(root, key, 0).parent.mkdir(parents=True)
        encode_frames(video_file(root, key, 0), (numbered(i) for i in range(sum(lengths))), FPS)
    stats = picture_stats(picture_histogram([numbered(0)]), 1)
    firsts = np.cumsum([0, *lengths])
    episodes = [
        NewEpisode("a task", one, {key: VideoPlace(0, int(first), stats) for key in videos})
        for one, first in zip(arrays, firsts[:-1], strict=True)
    ]
    write_lerobot(root, FPS, {**dict.fromkeys(videos, picture), **features}, episodes)
    return root


def test_every_episode_is_cut_out_of_the_video_that_holds_many(tmp_path: Path) -> None:
    lerobot_dataset(tmp_path / "in")
    found = ingest_all(source(tmp_path / "in", licence="Apache-2.0"), tmp_path / "out", min_seconds=0)
    assert list(found) == [f"episode-{number:06d}/{KEY}" for number in range(3)]
    first = 0
    for number, clips in enumerate(found.values()):
        clip = only(clips)
        assert clip.frames == LENGTHS[number] and clip.fps == 10
        with clip.open_frames() as frames:
            assert [number_of(frame) for frame in frames] == list(range(first, first + LENGTHS[number]))
        assert [(one.text, one.writer) for one in clip.captions] == [(TASKS[number], "source:lerobot")]
        assert clip.attributes == {"episode": number, "camera": "front", "task": TASKS[number]} | (
            {"robot_type": clip.attributes["robot_type"]} if "robot_type" in clip.attributes else {}
        )
        assert clip.camera is None and clip.hands is None and clip.provenance.licence == "Apache-2.0"
        first += LENGTHS[number]
    assert len({only(clips).key for clips in found.values()}) == 3
    assert len({only(clips).provenance.sha256 for clips in found.values()}) == 1


def test_what_we_export_comes_back(tmp_path: Path) -> None:
    trajectory = some_trajectory(6)
    trajectory.size = (64, 48)
    trajectory.c2w[2] = np.nan
    camera = trajectory.camera(64, 48)
    joints = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)
    joints[3, 1] = np.nan
    hands = Hands(["leftHand", "rightHand"], joints, np.where(np.isnan(joints[..., 0]), 0, 0.8).astype(np.float32))
    features = state_features(True, tuple(hands.names), "metric")
    dataset(tmp_path / "in", features, [state_arrays(camera, hands)])
    clip = only(ingest_all(source(tmp_path / "in"), tmp_path / "out", min_seconds=0)[f"episode-000000/{KEY}"])
    assert clip.camera is not None and clip.hands is not None and clip.camera.scale == "metric"
    np.testing.assert_allclose(clip.camera.c2w, trajectory.c2w, atol=1e-6)
    assert clip.camera.valid.tolist() == [True, True, False, True, True, True]
    np.testing.assert_array_equal(clip.hands.joints, joints)


@pytest.mark.parametrize("form", ["xyz_xyzw", "xyz_wxyz", "matrix"])
@pytest.mark.parametrize(("direction", "axes"), [("c2w", "opencv"), ("w2c", "opengl")])
def test_a_column_is_the_camera_that_the_job_says(tmp_path: Path, form: str, direction: str, axes: str) -> None:
    c2w = some_trajectory(6).c2w
    poses = c2w @ GL_TO_CV if axes == "opengl" else c2w
    poses = invert_poses(poses) if direction == "w2c" else poses
    q = quaternion_from_rotation(poses[:, :3, :3])
    turn = q if form == "xyz_xyzw" else q[:, [3, 0, 1, 2]]
    values = poses.reshape(6, 16) if form == "matrix" else np.hstack([poses[:, :3, 3], turn])
    values = values.astype(np.float32)
    if form != "matrix":
        values[4] = 0
    other = "observation.images.wrist"
    vector = {"dtype": "float32", "shape": [values.shape[1]], "names": None}
    arrays = {"observation.camera_pose": values, "K": np.tile(np.float32([50, 51, 32, 24]), (6, 1))}
    features = {"observation.camera_pose": vector, "K": {"dtype": "float32", "shape": [4], "names": None}}
    dataset(tmp_path / "in", features, [arrays], (KEY, other))
    column = {
        "feature": "observation.camera_pose", "form": form, "camera": KEY, "direction": direction, "axes": axes,
        "intrinsics": "K" if form == "matrix" else [50, 51, 32, 24],
    }  # fmt: skip
    found = ingest_all(source(tmp_path / "in", camera_pose=column), tmp_path / "out", min_seconds=0)
    front, wrist = only(found[f"episode-000000/{KEY}"]), only(found[f"episode-000000/{other}"])
    assert wrist.camera is None and front.camera is not None
    there = [0, 1, 2, 3, 5] if form != "matrix" else list(range(6))
    np.testing.assert_allclose(front.camera.c2w[there], c2w[there], atol=1e-5)
    assert front.camera.valid.tolist() == [i in there for i in range(6)]
    np.testing.assert_allclose(front.camera.intrinsics[0], [50, 51, 32, 24])
    alone = source(tmp_path / "in", camera_pose=column, cameras=[other])
    assert [item.detail["camera"] for item in alone.items()] == [other]


POSE = {"feature": "observation.state", "intrinsics": [50, 50, 32, 24]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"camera_pose": POSE}, "3 numbers per frame, 7 expected for xyz_xyzw"),
        ({"camera_pose": {**POSE, "feature": "nothing"}}, "no column of numbers 'nothing'"),
        ({"camera_pose": {**POSE, "form": "matrix"}}, "3 numbers per frame, 12 or 16 expected"),
    ],
)
def test_a_column_that_is_no_pose_is_named(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    lerobot_dataset(tmp_path / "in")
    for problem in ingest_all(source(tmp_path / "in", **values), tmp_path / "out", min_seconds=0).values():
        assert isinstance(problem, BadInput) and message in problem.message


def test_datasets_that_cannot_be_read_are_one_row(tmp_path: Path) -> None:
    def problem(path: Path, **values: Any) -> tuple[str, str]:
        (item,) = source(path, **values).items()
        assert item.problem is not None
        return item.problem

    assert problem(tmp_path)[0] == "no_file"
    root = lerobot_dataset(tmp_path / "in")
    assert problem(root, cameras=["observation.images.back"])[0] == "no_video"
    info = root / "meta" / "info.json"
    values = json.loads(info.read_text())
    info.write_text(json.dumps({**values, "codebase_version": "v2.1"}))
    reason, message = problem(root)
    assert reason == "not_lerobot" and "convert_dataset_v21_to_v30" in message


def test_an_episode_without_its_video_is_a_row(tmp_path: Path) -> None:
    root = lerobot_dataset(tmp_path / "in")
    video_file(root, KEY, 0).unlink()
    items = list(source(root).items())
    assert len(items) == 3 and all(item.problem and item.problem[0] == "no_video" for item in items)


def test_frames_that_the_video_does_not_have_are_told(tmp_path: Path) -> None:
    root = lerobot_dataset(tmp_path / "in")
    encode_frames(video_file(root, KEY, 0), (numbered(i) for i in range(8)), FPS)
    found = list(ingest_all(source(root), tmp_path / "out", min_seconds=0).values())
    assert only(found[0]).frames == 4
    for problem in found[1:]:
        assert isinstance(problem, BadInput) and problem.reason in ("no_frame_at_time", "no_frames")


def test_another_rate_or_column_is_another_item_and_further_episodes_change_none(tmp_path: Path) -> None:
    lerobot_dataset(tmp_path)
    place = tmp_path / "meta" / "info.json"
    info = json.loads(place.read_text())
    before = [item.fingerprint() for item in source(tmp_path).listed()]
    place.write_text(json.dumps({**info, "total_episodes": 99}))
    assert [item.fingerprint() for item in source(tmp_path).listed()] == before
    place.write_text(json.dumps({**info, "fps": info["fps"] * 2}))
    assert not set(before) & {item.fingerprint() for item in source(tmp_path).listed()}
    column = {"dtype": "float32", "shape": [7], "names": ["x"]}
    place.write_text(json.dumps({**info, "features": {**info["features"], "observation.state": column}}))
    assert not set(before) & {item.fingerprint() for item in source(tmp_path).listed()}
