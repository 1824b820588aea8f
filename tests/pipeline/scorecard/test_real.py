from __future__ import annotations

import numpy as np
import pytest

from tests.real_data import real_data
from worldloom.catalogs.cameras import project, unproject
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.scorecard.real import real_tasks
from worldloom.pipeline.scorecard.references import (
    KITCHEN_DEPTH_FOCAL_PX,
    KITCHEN_FOCAL_PX,
    read_sequence,
    seen_by_colour,
    sequences,
)


@pytest.mark.parametrize(
    ("name", "frames", "size", "maps", "scale"),
    [
        ("walk_hololens_a/K.txt", 45, (540, 360), 15, "metric"),
        ("static_redkitchen/frame-000000.color.jpg", 110, (640, 480), 28, "metric"),
        ("ue5_hydra/1.mp4", 77, (832, 480), 0, "metric"),
        ("re10k/videos/0c9b371cc6225682.mp4", 16, (384, 256), 0, "relative"),
    ],
)
def test_a_sequence_becomes_a_clip_with_its_reference(name, frames, size, maps, scale, tmp_path):
    clip = read_sequence(real_data(name).parents[len(name.split("/")) - 1], name, tmp_path / "clip.mp4")
    assert (clip.frames, (clip.width, clip.height), clip.camera.scale) == (frames, size, scale)
    np.testing.assert_allclose(np.linalg.det(clip.camera.c2w[:, :3, :3]), 1, atol=1e-3)
    with clip.open_frames() as pictures:
        assert len(pictures) == frames
    assert (0 if clip.depth is None else len(clip.depth)) == maps
    if maps:
        assert 0.3 < np.nanmedian(clip.depth.z) < 10


def test_every_sequence_of_the_real_data_is_found():
    place = real_data("re10k").parent
    folders = [name.split("/")[0] for name in sequences(place)]
    assert {folder: folders.count(folder) for folder in folders} == {
        "walk_hololens_a": 1, "static_redkitchen": 1, "ue5_hydra": 2, "re10k": 6,
    }  # fmt: skip


def test_depth_and_poses_of_the_walk_agree(tmp_path):
    """Points of one map land, through the poses, where the next map sees them: K, poses and depth fit together."""
    place = real_data("walk_hololens_a").parent
    clip = read_sequence(place, "walk_hololens_a/K.txt", tmp_path / "clip.mp4")
    first, second = clip.depth.frames[4], clip.depth.frames[5]
    v, u = np.nonzero(clip.depth.valid[4])
    uv, k = np.stack([u + 0.5, v + 0.5], -1), clip.camera.intrinsics[0]
    points = unproject(uv, clip.depth.z[4][v, u], clip.camera.c2w[first], k)
    seen, z = project(points, clip.camera.c2w[second], k)
    column, row = np.floor(seen).astype(int).T
    inside = (z > 0) & (column >= 0) & (column < 540) & (row >= 0) & (row < 360)
    there = clip.depth.z[5][row[inside], column[inside]]
    assert np.nanmedian(np.abs(there - z[inside]) / z[inside]) < 0.03


def test_the_depth_camera_is_mapped_to_the_colour_camera():
    z = np.zeros((480, 640))
    z[240:, 320:] = 2.0
    mapped = seen_by_colour(z)
    assert mapped[239, 319] == 0
    assert mapped[241, 321] == 2.0
    assert mapped[479, 639] == 0, "the depth camera sees less: beyond its border nothing is known"
    ratio = KITCHEN_DEPTH_FOCAL_PX / KITCHEN_FOCAL_PX
    assert mapped[240, :].astype(bool).sum() == pytest.approx(320 / ratio, abs=1.5)


def test_a_folder_without_sequences_is_usage(tmp_path):
    with pytest.raises(UsageError, match="holds none of walk_hololens_a"):
        real_tasks(tmp_path)
