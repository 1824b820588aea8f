from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.annotators.moving_camera import clip_of
from tests.annotators.pose.sequences import HEIGHT, WIDTH, K, noisy, pictures, with_person
from worldloom.annotators.annotator import Absent, Given
from worldloom.annotators.path_measures import ate, rpe_deg
from worldloom.annotators.pose.annotator import PoseAnnotator
from worldloom.catalogs.cameras import check_poses, rotation_angle_deg
from worldloom.catalogs.clip import Annotation, Camera, same_value


def annotate(frames: list[np.ndarray], folder: Path, **config: object) -> Given | Absent:
    return PoseAnnotator(config).annotate(clip_of(frames, folder), folder / "scratch")


def camera_of(answer: Given | Absent) -> Camera:
    assert isinstance(answer, Given), answer
    return answer.value


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Given:
    answer = annotate(pictures("walk")[0], tmp_path_factory.mktemp("walk"))
    assert isinstance(answer, Given), answer
    return answer


def test_a_moving_camera_gets_its_path_up_to_scale(walk: Given) -> None:
    truth = pictures("walk")[1]
    camera = camera_of(walk)
    assert walk.notes["motion"] == "parallax"
    assert camera.scale == "relative" and camera.valid.all() and camera.translation_known.all()
    assert ate(camera.c2w, truth, camera.scale_group, camera.valid).percent < 1.0
    assert rpe_deg(camera.c2w, truth, 16, seconds=1.0).median < 0.5
    assert camera.intrinsics[0, 0] == pytest.approx(K[0], rel=0.03)
    np.testing.assert_allclose(camera.intrinsics[:, 2:], np.tile(K[2:], (30, 1)))


def test_the_path_starts_at_the_identity_and_comes_with_depth_and_error(walk: Given) -> None:
    camera = camera_of(walk)
    check_poses(camera.c2w)
    np.testing.assert_allclose(camera.c2w[0], np.eye(4), atol=1e-9)
    assert camera.median_depth is not None and camera.sigma_position is not None
    path = np.linalg.norm(np.diff(camera.c2w[:, :3, 3], axis=0), axis=1).sum()
    true_path = np.linalg.norm(np.diff(pictures("walk")[1][:, :3, 3], axis=0), axis=1).sum()
    metres = true_path / path
    assert np.all(np.abs(np.log(camera.median_depth * metres / 5.0)) < np.log(2))  # the room is 3 to 9 m deep
    assert np.all(camera.sigma_position > 0) and np.all(camera.sigma_position * metres < 0.05)
    assert 0 < camera.confidence.min() <= camera.confidence.max() <= 1


def test_equal_bits_from_run_to_run(walk: Given, tmp_path: Path) -> None:
    again = annotate(pictures("walk")[0], tmp_path)
    assert isinstance(again, Given)
    assert same_value(again.value, walk.value)
    assert again.notes == walk.notes and again.confidence == walk.confidence


def test_files_stay_in_the_scratch_folder(walk: Given, tmp_path: Path) -> None:
    clip = clip_of(pictures("walk")[0][:20], tmp_path)
    PoseAnnotator().annotate(clip, tmp_path / "scratch")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "scratch"]


def test_a_standing_camera_is_posed_without_scale(tmp_path: Path) -> None:
    camera = camera_of(annotate(pictures("stand")[0], tmp_path))
    assert camera.scale == "none" and camera.valid.all() and not camera.translation_known.any()
    np.testing.assert_array_equal(camera.c2w, np.tile(np.eye(4), (20, 1, 1)))


def test_someone_walking_by_does_not_move_a_standing_camera(tmp_path: Path) -> None:
    answer = annotate(with_person(pictures("stand")[0]), tmp_path)
    assert isinstance(answer, Given) and answer.notes["motion"] == "static"


@pytest.mark.parametrize("crowded", [False, True])
def test_a_turning_camera_gets_rotations_only(crowded: bool, tmp_path: Path) -> None:
    frames, truth = pictures("turn")
    answer = annotate(with_person(frames) if crowded else frames, tmp_path, restart={"restarts": 2})
    camera = camera_of(answer)
    assert isinstance(answer, Given) and answer.notes["motion"] == "rotation"
    assert camera.scale == "none" and not camera.translation_known.any() and camera.valid.all()
    np.testing.assert_array_equal(camera.c2w[:, :3, 3], 0)
    relative = np.linalg.inv(truth[0]) @ truth
    wrong = rotation_angle_deg(camera.c2w[:, :3, :3].transpose(0, 2, 1) @ relative[:, :3, :3])
    assert wrong.max() < 0.4
    assert camera.intrinsics[0, 0] == pytest.approx(K[0], rel=0.02)


def test_a_given_focal_length_is_held(tmp_path: Path) -> None:
    camera = camera_of(annotate(pictures("turn")[0], tmp_path, focal_px=280.0))
    np.testing.assert_allclose(camera.intrinsics[:, :2], 280.0, rtol=1e-8)


def test_what_cannot_be_said_comes_with_its_reason(tmp_path: Path) -> None:
    frames = pictures("walk")[0]
    assert annotate(frames[:5], tmp_path) == Absent("too few frames", {"frames": 5})
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 12
    answer = annotate(black, tmp_path)
    assert isinstance(answer, Absent) and answer.reason == "no texture to track"
    flat = [noisy(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), t) for t in range(12)]
    answer = annotate(flat, tmp_path)
    assert isinstance(answer, Absent)


def test_pictures_of_different_places_give_no_path(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [np.kron(rng.integers(0, 255, (15, 20, 3)), np.ones((12, 16, 1))).astype(np.uint8) for _ in range(10)]
    answer = annotate(frames, tmp_path)
    assert isinstance(answer, Absent)


def test_no_model_is_believed_alone(tmp_path: Path) -> None:
    answer = annotate(pictures("walk")[0][:20], tmp_path, restart={"restarts": 1})
    assert isinstance(answer, Absent) and answer.reason == "restarts disagree"
    assert answer.notes["explained"] > 0.95 and answer.notes["comparable"] == 1


def test_no_model_is_begun_once_the_work_is_done(tmp_path: Path) -> None:
    frames = pictures("walk")[0][:14]
    answer = annotate(frames, tmp_path, restart={"registrations": 1})
    assert isinstance(answer, Absent) and answer.reason == "restarts disagree"
    assert 1 <= answer.notes["registrations"] <= answer.notes["key_frames"] and answer.notes["comparable"] == 1
    none = annotate(frames, tmp_path, restart={"registrations": 0})
    assert isinstance(none, Absent) and none.reason == "too much work" and none.notes["registrations"] == 0


def test_cameras_of_a_source_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    clip = clip_of(pictures("stand")[0], tmp_path, camera=Camera.known(np.tile(np.eye(4), (20, 1, 1)), K))
    clip = replace(clip, annotations={"pose": Annotation("ok", "source:tum", "1", confidence=0.7)})
    kept = PoseAnnotator().annotate(clip, tmp_path / "scratch")
    assert isinstance(kept, Given)
    assert kept.value is clip.camera and kept.method == "source:tum" and kept.confidence == 0.7
    fresh = PoseAnnotator({"use_source": False}).annotate(clip, tmp_path / "scratch")
    assert isinstance(fresh, Given)
    assert fresh.value.scale == "none" and fresh.method == ""
