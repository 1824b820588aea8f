from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import Trajectory, read_json, read_text, require_poses


def test_intrinsics_follow_the_size_of_the_video() -> None:
    pixels = some_trajectory()
    expected = [250.0, 255.0, 160.75, 120.125]
    np.testing.assert_allclose(pixels.camera(320, 240).intrinsics[0], expected)
    shares = Trajectory(pixels.c2w, "metric", pixels.intrinsics / [640, 480, 640, 480], intrinsics_normalised=True)
    np.testing.assert_allclose(shares.camera(320, 240).intrinsics[0], expected)


def test_a_file_without_a_focal_length_needs_one_from_the_caller() -> None:
    bare = Trajectory(some_trajectory().c2w, "relative")
    with pytest.raises(BadInput, match="no focal length") as caught:
        bare.camera(640, 480)
    assert caught.value.reason == "no_intrinsics"
    camera = bare.camera(640, 480, [500, 500, 320, 240])
    assert camera.intrinsics.shape == (7, 4) and camera.scale == "relative"


def test_frames_without_a_pose_are_not_valid() -> None:
    trajectory = some_trajectory()
    trajectory.c2w[3] = np.nan
    camera = trajectory.camera(640, 480)
    np.testing.assert_array_equal(camera.valid, [1, 1, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(camera.translation_known, camera.valid)


def test_some_frames_keep_their_order_and_everything_they_had() -> None:
    taken = some_trajectory().take([5, 2])
    assert taken.names == ["images/005.jpg", "images/002.jpg"] and len(taken) == 2
    np.testing.assert_array_equal(taken.timestamps_s, [5 / 8, 2 / 8])
    np.testing.assert_array_equal(taken.c2w, some_trajectory().c2w[[5, 2]])


def test_faults_name_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.txt"
    with pytest.raises(BadInput, match=r"none\.txt: no such file"):
        read_text(missing)
    binary = tmp_path / "a.txt"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(BadInput, match="cannot be read as text"):
        read_text(binary)
    broken = tmp_path / "a.json"
    broken.write_text('{"a": 1,\n "b": }')
    with pytest.raises(BadInput, match="line 2 is not JSON"):
        read_json(broken)
    broken.write_text("[" * 100_000)
    with pytest.raises(BadInput) as caught:
        read_json(broken)
    assert caught.value.reason == "bad_json"
    with pytest.raises(BadInput, match="row 0 has a mirrored rotation"):
        require_poses(np.diag([1, 1, -1.0, 1])[None], "x.txt", what="row")


def test_a_path_is_spread_over_a_longer_footage() -> None:
    path = some_trajectory(3)
    assert path.intrinsics is not None
    path.intrinsics[:, 0] = [1, 2, 3]
    path.median_depth, path.distortion = np.array([4.0, 5.0, 6.0]), np.arange(24.0).reshape(3, 8)
    whole = path.spread([1, 4, 5], 7)
    assert np.flatnonzero(np.isfinite(whole.c2w).all(axis=(1, 2))).tolist() == [1, 4, 5]
    np.testing.assert_array_equal(whole.c2w[[1, 4, 5]], path.c2w)
    assert whole.intrinsics is not None and whole.intrinsics[:, 0].tolist() == [1, 1, 1, 2, 2, 3, 3]
    assert whole.distortion is not None and whole.distortion[:, 0].tolist() == [0, 0, 0, 8, 8, 16, 16]
    camera = whole.camera(640, 480)
    assert camera.median_depth is not None
    np.testing.assert_array_equal(camera.median_depth, np.array([np.nan, 4, np.nan, np.nan, 5, 6, np.nan], np.float32))
    assert camera.valid.sum() == 3 and np.isfinite(path.c2w).all(), "the path itself stays as it was"
