from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.formats.paths import epipolar_error_px, some_trajectory, video_frames
from tests.real_data import real_data
from worldloom.catalogs.actions import label_actions
from worldloom.catalogs.cameras import hydra12, relative_poses
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.hydra import FPS, INTRINSICS, SIZE, read_hydra_json, write_hydra_json
from worldloom.catalogs.formats.unreal import matrix_to_row_text, opencv_to_unreal


@pytest.mark.parametrize("sample", [1, 2])
def test_real_cameras(sample: int) -> None:
    path = real_data("ue5_hydra", f"cam{sample}.json")
    context, target = read_hydra_json(path, "cond_cam"), read_hydra_json(path, "tgt_cam")
    for trajectory in (context, target):
        assert len(trajectory) == 77 and trajectory.scale == "metric"
        np.testing.assert_allclose(np.linalg.det(trajectory.c2w[:, :3, :3]), 1, atol=1e-12)
        step = np.linalg.norm(relative_poses(trajectory.c2w)[:, :3, 3], axis=1)
        np.testing.assert_allclose(step[[0, -1]], 0, atol=1e-6)  # doubled first and last frames
        assert step.max() < 0.13
        assert np.median(step[step > 0.01]) == pytest.approx(0.12, abs=0.002)
    np.testing.assert_allclose(target.c2w[0, :3, 3], context.c2w[-1, :3, 3], atol=0.13)
    twelve = hydra12(target.c2w)
    np.testing.assert_allclose(twelve[0], np.eye(4)[:3].ravel(), atol=1e-9)
    assert np.abs(hydra12(context.c2w, reference=target.c2w[0])[:, [3, 7, 11]]).max() < 20


def test_twelve_numbers_are_those_of_the_authors_conversion() -> None:
    """HyDRA turns only the camera's axes, columns [1, 2, 0] with the second negated; relative poses are the same."""
    path = real_data("ue5_hydra", "cam2.json")
    raw = {name: np.array([frames[str(i)] for i in range(77)]) for name, frames in json.loads(path.read_text()).items()}
    theirs = {name: matrices[:, :, [1, 2, 0, 3]] * [1, -1, 1, 1] for name, matrices in raw.items()}
    for matrices in theirs.values():
        matrices[:, :3, 3] /= 100
    reference = np.linalg.inv(theirs["tgt_cam"][0])
    target = read_hydra_json(path, "tgt_cam").c2w
    for name, matrices in theirs.items():
        ours = hydra12(read_hydra_json(path, name).c2w, reference=target[0])  # type: ignore[arg-type]
        np.testing.assert_allclose(ours, (reference @ matrices)[:, :3].reshape(77, 12), atol=1e-4)


@pytest.mark.parametrize(("sample", "pair"), [(1, (50, 60)), (2, (20, 30))])
def test_real_poses_fit_the_real_pictures(sample: int, pair: tuple[int, int]) -> None:
    trajectory = read_hydra_json(real_data("ue5_hydra", f"cam{sample}.json"))
    frames = video_frames(real_data("ue5_hydra", f"{sample}.mp4"))
    assert len(frames) == 77 and frames[0].shape == SIZE[::-1]
    pictures = [frames[i] for i in pair]
    k = trajectory.camera(*SIZE).intrinsics[0]
    np.testing.assert_array_equal(k, INTRINSICS)
    assert epipolar_error_px(*pictures, k, trajectory.c2w[list(pair)]) < 0.4


def test_the_camera_walks_back_level_at_1_8_metres_per_second() -> None:
    trajectory = read_hydra_json(real_data("ue5_hydra", "cam1.json"))
    labels = label_actions(trajectory.camera(*SIZE), FPS)
    assert labels.up == "known" and set(labels.move[3:40]) == {2}
    np.testing.assert_allclose(labels.motion[5:40, 1], -1.8, atol=0.01)
    np.testing.assert_allclose(np.diff(trajectory.c2w[:, 1, 3]), 0, atol=1e-6)


def test_written_and_read_again(tmp_path: Path) -> None:
    path = real_data("ue5_hydra", "cam1.json")
    streams = {name: read_hydra_json(path, name) for name in ("cond_cam", "tgt_cam")}  # type: ignore[arg-type]
    write_hydra_json(tmp_path / "a.json", streams["cond_cam"], streams["tgt_cam"])
    before, after = json.loads(path.read_text()), json.loads((tmp_path / "a.json").read_text())
    for name in ("cond_cam", "tgt_cam"):
        assert list(before[name]) == list(after[name])
        np.testing.assert_allclose(list(after[name].values()), list(before[name].values()), rtol=0, atol=3e-6)
        np.testing.assert_allclose(read_hydra_json(tmp_path / "a.json", name).c2w, streams[name].c2w, atol=1e-9)  # type: ignore[arg-type]


def test_other_forms_give_the_same_path(tmp_path: Path) -> None:
    trajectory = some_trajectory(77)
    matrices = opencv_to_unreal(trajectory.c2w)
    target = hydra12(trajectory.c2w)[::4]
    forms = {
        "context_camera": (matrices.tolist(), trajectory.c2w),
        "video_camera": (target.tolist(), np.linalg.inv(trajectory.c2w[0]) @ trajectory.c2w[::4]),
    }
    (tmp_path / "a.json").write_text(json.dumps({name: form[0] for name, form in forms.items()}))
    np.testing.assert_allclose(read_hydra_json(tmp_path / "a.json", "cond_cam").c2w, trajectory.c2w, atol=1e-9)
    ready = read_hydra_json(tmp_path / "a.json", "tgt_cam")
    np.testing.assert_allclose(ready.c2w, forms["video_camera"][1], atol=1e-9)
    assert ready.notes == {"every": 4} and ready.up is None and len(ready) == 20


def test_149_texts_follow_the_authors_recipe(tmp_path: Path) -> None:
    trajectory = some_trajectory(149)
    texts = {f"frame{i}": matrix_to_row_text(matrix) for i, matrix in enumerate(opencv_to_unreal(trajectory.c2w))}
    (tmp_path / "a.json").write_text(json.dumps(texts))
    context, target = (read_hydra_json(tmp_path / "a.json", name).c2w for name in ("cond_cam", "tgt_cam"))  # type: ignore[arg-type]
    expected = [1, 1, *range(1, 75), 74]
    np.testing.assert_allclose(context, trajectory.c2w[expected], atol=1e-9)
    expected = [75, *range(75, 149), 148, 148]
    np.testing.assert_allclose(target, trajectory.c2w[expected], atol=1e-9)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"tgt_cam": {}}, r"no 'cond_cam' \(found tgt_cam\)"),
        ({"cond_cam": {"0": np.eye(4).tolist(), "2": np.eye(4).tolist()}}, "cond_cam has no frame 1 of 2"),
        ({"cond_cam": {"0": np.eye(4).tolist(), "1": [[1, 2]]}}, "cond_cam frame 1 is not 4 x 4 finite numbers"),
        ({"cond_cam": [np.diag([1, 1, -1, 1]).tolist()]}, "cond_cam pose 0 has a mirrored rotation"),
        ({"cond_cam": [[0.0] * 12]}, "cond_cam row 0 has a rotation whose axes"),
        ({"cond_cam": []}, "cond_cam holds no poses"),
        ({"frame0": "[1 0 0 0]"}, "1 matrices as text, 149 expected"),
        (3, "a mapping with cond_cam and tgt_cam expected"),
    ],
)
def test_faults_name_stream_and_frame(tmp_path: Path, value: object, message: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(BadInput, match=message):
        read_hydra_json(tmp_path / "a.json")
