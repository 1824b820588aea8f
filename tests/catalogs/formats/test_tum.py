from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from tests.real_data import real_data
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.tum import read_tum, write_tum


def test_written_and_read_again(tmp_path: Path) -> None:
    trajectory = some_trajectory()
    write_tum(tmp_path / "a.txt", trajectory)
    again = read_tum(tmp_path / "a.txt")
    np.testing.assert_allclose(again.c2w, trajectory.c2w, atol=1e-12)
    np.testing.assert_array_equal(again.timestamps_s, trajectory.timestamps_s)


def test_frames_without_a_pose_are_left_out(tmp_path: Path) -> None:
    trajectory = some_trajectory()
    trajectory.c2w[2] = np.nan
    write_tum(tmp_path / "a.txt", trajectory)
    assert len(read_tum(tmp_path / "a.txt")) == 6


@pytest.mark.parametrize(
    ("line", "message"),
    [("1 2 3", "line 2 has 3 columns, 8 expected"), ("1 0 0 0 0 0 0 0", "line 2 has a quaternion of length zero")],
)
def test_faults_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(f"# comment\n{line}\n")
    with pytest.raises(BadInput, match=message):
        read_tum(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["groundtruth", "rgbdslam", "ORB_kf_mono"])
def test_real_files_agree_with_evo(name: str) -> None:
    file_interface = pytest.importorskip("evo.tools.file_interface")
    path = real_data("traj_evo", f"freiburg1_xyz-{name}.txt")
    expected = file_interface.read_tum_trajectory_file(path)
    ours = read_tum(path)
    np.testing.assert_allclose(ours.c2w, expected.poses_se3, atol=1e-9)
    np.testing.assert_array_equal(ours.timestamps_s, expected.timestamps)
