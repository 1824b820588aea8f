from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.formats.paths import epipolar_error_px, some_trajectory, video_frames
from tests.real_data import real_data
from worldloom.catalogs.cameras import first_frame_identity, relative_poses
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.re10k import read_motionctrl, read_re10k, write_motionctrl, write_re10k

ROW = "211244000 0.48 0.85 0.5 0.5 0 0 1 0 0 0.1 0 1 0 0.2 0 0 1 0.3"


def test_written_and_read_again(tmp_path: Path) -> None:
    trajectory = some_trajectory()
    trajectory.url = "https://example.org/watch?v=1"
    write_re10k(tmp_path / "a.txt", trajectory)
    again = read_re10k(tmp_path / "a.txt")
    np.testing.assert_allclose(again.c2w, trajectory.c2w, atol=5e-9)
    np.testing.assert_allclose(again.pixel_intrinsics(640, 480), trajectory.intrinsics, atol=1e-6)
    np.testing.assert_allclose(again.timestamps_s, trajectory.timestamps_s)
    assert (again.url, again.scale, again.up) == (trajectory.url, "relative", None)


def test_rows_are_world_to_camera_and_the_first_line_may_be_blank(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"\n{ROW}\n\n")
    trajectory = read_re10k(tmp_path / "a.txt")
    np.testing.assert_allclose(trajectory.c2w[0, :3, 3], [-0.1, -0.2, -0.3])
    assert trajectory.timestamps_s is not None and trajectory.timestamps_s[0] == 211.244


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        (f"url\n{ROW}\n{ROW} 1\n", "bad_poses", r"a\.txt: line 3 has 20 columns, 19 expected \(timestamp, 4"),
        (f"url\n{ROW.replace('0.2', 'nan')}\n", "bad_poses", "line 2 column 15 is 'nan'"),
        (f"url\n{ROW.replace('0.2', 'x')}\n", "bad_poses", "line 2 column 15 is 'x'"),
        (f"url\n{ROW.replace('0.48', '-0.48')}\n", "bad_poses", "frame 0 has a focal length"),
        (f"url\n{ROW}\n{ROW.replace(' 1 ', ' 2 ')}\n", "bad_poses", "row 1 has a rotation whose axes"),
        ("url\n", "no_poses", "no line of 19 columns"),
        ("", "no_poses", "no line of 19 columns"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, text: str, reason: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        read_re10k(tmp_path / "a.txt")
    assert caught.value.reason == reason


def test_a_frame_without_a_pose_cannot_be_written(tmp_path: Path) -> None:
    trajectory = some_trajectory()
    trajectory.c2w[3] = np.nan
    for write in (write_re10k, write_motionctrl):
        with pytest.raises(BadInput, match="the first is 3"):
            write(tmp_path / "a.txt", trajectory)


def test_real_files_give_back_their_numbers(tmp_path: Path) -> None:
    files = [*real_data("re10k", "pose_files").glob("*.txt"), *real_data("re10k", "pose_files_svd").glob("*.txt")]
    assert len(files) == 18
    for file in files:
        trajectory = read_re10k(file)
        write_re10k(tmp_path / "a.txt", trajectory)
        before, after = ([line.split() for line in p.read_text().splitlines()] for p in (file, tmp_path / "a.txt"))
        assert before[0] == after[0] and len(before) == len(after)
        assert [row[0] for row in before[1:]] == [row[0] for row in after[1:]]
        np.testing.assert_allclose(np.array(after[1:], float), np.array(before[1:], float), atol=3e-7)


@pytest.mark.parametrize(("name", "pair"), [("0f68374b76390082", (0, 8)), ("2c80f9eb0d3b2bb4", (2, 12))])
def test_real_poses_fit_the_real_pictures(name: str, pair: tuple[int, int]) -> None:
    """Also the intrinsics: shares of the stored width and height, although the videos are squeezed to 3:2."""
    trajectory = read_re10k(real_data("re10k", "pose_files", f"{name}.txt"))
    frames = video_frames(real_data("re10k", "videos", f"{name}.mp4"))
    assert len(frames) == len(trajectory) == 16
    height, width = frames[0].shape
    camera = trajectory.camera(width, height)
    pictures = [frames[i] for i in pair]
    assert epipolar_error_px(*pictures, camera.intrinsics[0], camera.c2w[list(pair)]) < 0.4
    wrong = np.linalg.inv(camera.c2w)[list(pair)]
    assert epipolar_error_px(*pictures, camera.intrinsics[0], wrong) > 1


def test_motionctrl_written_and_read_again(tmp_path: Path) -> None:
    trajectory = some_trajectory()
    write_motionctrl(tmp_path / "a.json", trajectory)
    again = read_motionctrl(tmp_path / "a.json")
    np.testing.assert_allclose(again.c2w, first_frame_identity(trajectory.c2w), atol=1e-12)
    (tmp_path / "a.json").write_text("[[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]]")
    with pytest.raises(BadInput, match="row 0 is not 12 finite numbers"):
        read_motionctrl(tmp_path / "a.json")


def test_motionctrl_cameras_walk_forward_rather_than_back() -> None:
    files = sorted(real_data("re10k", "motionctrl_json").glob("*.json"))
    ahead = [relative_poses(read_motionctrl(file).c2w)[:, 2, 3].mean() for file in files]
    assert len(files) == 10 and np.sum(np.array(ahead) > 0) >= 9
