from __future__ import annotations

import numpy as np
import pytest

from tests.real_data import real_data
from worldloom.catalogs.clip import same_value
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.scorecard.real import (
    KITCHEN_DEPTH_FOCAL_PX,
    KITCHEN_FOCAL_PX,
    READERS,
    _seen_by_colour,
    as_clip,
    real_tasks,
)


@pytest.mark.parametrize(("name", "frames", "maps"), [("walk_hololens_a", 45, 15), ("static_redkitchen", 110, 28)])
def test_a_sequence_is_read_whole(name, frames, maps):
    reference = READERS[name](real_data(name))
    assert len(reference.pictures) == len(reference.c2w) == frames
    np.testing.assert_allclose(np.linalg.det(reference.c2w[:, :3, :3]), 1, atol=1e-3)
    assert len(reference.depth) == maps
    assert 0.3 < np.nanmedian(reference.depth.z) < 10


def test_depth_and_poses_of_the_walk_agree():
    """Points of one map land, through the poses, where the next map sees them: K, poses and depth fit together."""
    from worldloom.catalogs.cameras import project, unproject

    reference = READERS["walk_hololens_a"](real_data("walk_hololens_a"))
    first, second = reference.depth.frames[4], reference.depth.frames[5]
    v, u = np.nonzero(reference.depth.valid[4])
    uv = np.stack([u + 0.5, v + 0.5], -1)
    points = unproject(uv, reference.depth.z[4][v, u], reference.c2w[first], reference.intrinsics)
    seen, z = project(points, reference.c2w[second], reference.intrinsics)
    column, row = np.floor(seen).astype(int).T
    inside = (z > 0) & (column >= 0) & (column < 540) & (row >= 0) & (row < 360)
    there = reference.depth.z[5][row[inside], column[inside]]
    error = np.abs(there - z[inside]) / z[inside]
    assert np.nanmedian(error) < 0.03


def test_a_sequence_becomes_a_clip_with_its_reference(tmp_path):
    reference = READERS["walk_hololens_a"](real_data("walk_hololens_a"))
    clip = as_clip("walk_hololens_a", reference, tmp_path / "clip.mp4")
    assert (clip.frames, clip.width, clip.height) == (45, 540, 360)
    assert same_value(clip.camera.c2w, reference.c2w)
    with clip.open_frames() as frames:
        assert len(frames) == 45


def test_the_depth_camera_is_mapped_to_the_colour_camera():
    z = np.zeros((480, 640))
    z[240:, 320:] = 2.0
    mapped = _seen_by_colour(z)
    assert mapped[239, 319] == 0
    assert mapped[241, 321] == 2.0
    assert mapped[479, 639] == 0, "the depth camera sees less: beyond its border nothing is known"
    ratio = KITCHEN_DEPTH_FOCAL_PX / KITCHEN_FOCAL_PX
    assert mapped[240, :].astype(bool).sum() == pytest.approx(320 / ratio, abs=1.5)


def test_a_folder_without_sequences_is_usage(tmp_path):
    with pytest.raises(UsageError, match="holds none of walk_hololens_a"):
        real_tasks(tmp_path)
