from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from worldloom.catalogs.cameras import matrix_of, pixel_centres
from worldloom.catalogs.clip import Camera, Depth
from worldloom.catalogs.overlap import (
    RevisitRules,
    find_revisits,
    overlap_matrix,
    overlap_one_way,
    pose_overlap_matrix,
)

WIDTH, HEIGHT = 240, 136
K = np.array([120.0, 120.0, 120.0, 68.0])  # 90 degrees wide


def room_depth(c2w: np.ndarray, size: tuple[int, int] = (60, 34), half: float = 4.0) -> np.ndarray:
    """(h, w) z-depth inside a cube of side 2 x half around the origin, by intersecting rays with its six planes."""
    uv = pixel_centres(*size) * [WIDTH / size[0], HEIGHT / size[1]]
    local = np.concatenate([uv, np.ones((*uv.shape[:2], 1))], axis=2) @ np.linalg.inv(matrix_of(K)).T
    ray = local @ c2w[:3, :3].T
    with np.errstate(divide="ignore"):
        distance = (np.sign(ray) * half - c2w[:3, 3]) / ray
    return distance.min(axis=2).astype(np.float32)


def room_clip(yaw_deg: np.ndarray, x: np.ndarray | None = None, every: int = 1) -> tuple[Depth, Camera]:
    c2w = np.tile(np.eye(4), (len(yaw_deg), 1, 1))
    c2w[:, :3, :3] = Rotation.from_euler("y", np.asarray(yaw_deg, float)[:, None], degrees=True).as_matrix()
    if x is not None:
        c2w[:, 0, 3] = x
    frames = np.arange(0, len(c2w), every, dtype=np.int32)
    z = np.stack([room_depth(c2w[frame]) for frame in frames])
    depth = Depth(frames, z, np.ones(z.shape, bool), np.ones(len(z), np.float32), "metric", 0.0)
    return depth, Camera.known(c2w, K)


def obvious_overlap(depth: Depth, camera: Camera, i: int, j: int, tolerance: float) -> float:
    """One pixel at a time, with homogeneous matrices: the slow twin of `overlap_one_way`."""
    height, width = depth.z.shape[1:]
    scale = np.diag([width / WIDTH, height / HEIGHT, 1.0])
    k_i, k_j = (scale @ matrix_of(camera.intrinsics[depth.frames[n]]) for n in (i, j))
    to_j = np.linalg.inv(camera.c2w[depth.frames[j]]) @ camera.c2w[depth.frames[i]]
    seen = total = 0
    for y in range(height):
        for x in range(width):
            if not depth.valid[i, y, x]:
                continue
            total += 1
            point = float(depth.z[i, y, x]) * np.linalg.inv(k_i) @ [x + 0.5, y + 0.5, 1.0]
            pixel = k_j @ (to_j @ [*point, 1.0])[:3]
            if pixel[2] <= 0:
                continue
            u, v = np.floor(pixel[:2] / pixel[2]).astype(int)
            if 0 <= u < width and 0 <= v < height and pixel[2] <= depth.z[j, v, u] * (1 + tolerance):
                seen += 1
    return seen / total


def test_overlap_agrees_with_the_obvious_loop_and_is_the_smaller_of_both_ways() -> None:
    depth, camera = room_clip(np.array([0.0, 20, 70, 200]), np.array([0.0, 1.5, -2, 0]))
    matrix = overlap_matrix(depth, camera, WIDTH, HEIGHT)
    slow = np.array([[obvious_overlap(depth, camera, i, j, 0.03) for j in range(4)] for i in range(4)])
    np.testing.assert_allclose(matrix, np.minimum(slow, slow.T), atol=2 / depth.z[0].size)
    assert abs(slow[0, 1] - slow[1, 0]) > 0.02


def test_a_turn_shows_as_much_as_the_two_views_share() -> None:
    """A pure turn by 45 of 90 degrees; in the middle row the share is tan(0)..tan(45) of -1..1: one half."""
    depth, camera = room_clip(np.array([0.0, 45.0, 90.0, 180.0, 360.0]))
    matrix = overlap_matrix(depth, camera, WIDTH, HEIGHT)
    assert matrix[0, 1] == pytest.approx(0.45, abs=0.06)
    assert matrix[0, 2] == pytest.approx(0, abs=0.01) and matrix[0, 3] == 0 and matrix[0, 4] == 1
    np.testing.assert_array_equal(np.diag(matrix), 1)


def test_a_wall_in_between_hides_and_one_behind_does_not() -> None:
    depth, _ = room_clip(np.zeros(2))
    depth.z[1] = 2.0
    k = K * 0.25
    pose = np.eye(4)
    everything = np.ones((34, 60), bool)
    behind = overlap_one_way(depth.z[0], everything, k, pose, depth.z[1], everything, k, pose)
    in_front = overlap_one_way(depth.z[1], everything, k, pose, depth.z[0], everything, k, pose)
    assert behind == 0 and in_front == 1
    just_within = depth.z[1] * 1.029
    assert overlap_one_way(just_within, everything, k, pose, depth.z[1], everything, k, pose) == 1
    just_beyond = depth.z[1] * 1.031
    assert overlap_one_way(just_beyond, everything, k, pose, depth.z[1], everything, k, pose) == 0


def test_the_tolerance_grows_with_the_stated_error_of_the_depth() -> None:
    depth, camera = room_clip(np.zeros(2))
    depth.z[1] *= 1.1
    assert overlap_matrix(depth, camera, WIDTH, HEIGHT)[0, 1] == 0
    assert overlap_matrix(replace(depth, stated_error=0.04), camera, WIDTH, HEIGHT)[0, 1] == 1


def test_holes_in_the_depth_neither_make_nor_hide_a_revisit() -> None:
    depth, camera = room_clip(np.array([0.0, 10.0, 45.0]))
    full = overlap_matrix(depth, camera, WIDTH, HEIGHT)
    depth.valid[:] = np.random.default_rng(0).random(depth.valid.shape) < 0.3
    np.testing.assert_allclose(overlap_matrix(depth, camera, WIDTH, HEIGHT), full, atol=0.06)
    depth.valid[1] = False
    holes = overlap_matrix(depth, camera, WIDTH, HEIGHT)
    assert holes[0, 1] == 0 and holes[1, 0] == 0


def test_missing_poses_and_other_scales_are_unknown() -> None:
    depth, camera = room_clip(np.zeros(3))
    camera.c2w[1] = np.nan
    camera.valid[1] = False
    camera.scale_group[2] = 1
    expected = np.array([[1, np.nan, np.nan], [np.nan, np.nan, np.nan], [np.nan, np.nan, 1]])
    np.testing.assert_array_equal(overlap_matrix(depth, camera, WIDTH, HEIGHT), expected)
    np.testing.assert_array_equal(pose_overlap_matrix(camera, WIDTH, HEIGHT, 16), expected)


def test_poses_alone_come_close_where_nothing_is_hidden() -> None:
    depth, camera = room_clip(np.linspace(0, 120, 9), np.linspace(-1, 1, 9))
    from_depth = overlap_matrix(depth, camera, WIDTH, HEIGHT)
    from_poses = pose_overlap_matrix(camera, WIDTH, HEIGHT, 16, RevisitRules(pose_depths=(0.75, 1.0, 1.25)))
    np.testing.assert_allclose(from_poses, from_depth, atol=0.15)
    assert from_poses.shape == (9, 9)


def test_overlap_from_relative_poses_does_not_depend_on_the_unit() -> None:
    _, camera = room_clip(np.zeros(40), np.linspace(0, 4, 40))
    scaled = replace(camera, scale="relative", c2w=camera.c2w * np.array([1, 1, 1, 50.0]) / [[1], [1], [1], [50]])
    np.testing.assert_allclose(scaled.c2w[:, :3, 3], camera.c2w[:, :3, 3] * 50)
    one = pose_overlap_matrix(replace(camera, scale="relative"), WIDTH, HEIGHT, 16)
    np.testing.assert_allclose(pose_overlap_matrix(scaled, WIDTH, HEIGHT, 16), one, atol=0.02)
    assert one[0, -1] < one[0, 10] < 1


def test_look_away_and_back_is_a_revisit_and_a_slow_turn_is_not() -> None:
    fps = 8
    away = np.r_[np.zeros(8), np.linspace(0, 180, 12), np.linspace(180, 0, 12), np.zeros(8)]
    depth, camera = room_clip(away, every=2)
    overlap = overlap_matrix(depth, camera, WIDTH, HEIGHT)
    revisits = find_revisits(overlap, depth.frames, fps, len(away))
    assert [0, 38] in revisits.pairs.tolist()
    assert (np.diff(revisits.pairs, axis=1) >= 2 * fps).all() and (revisits.overlap >= 0.5).all()
    assert 0.4 < revisits.density < 0.8
    depth, camera = room_clip(np.linspace(0, 30, 40), every=2)
    slow = overlap_matrix(depth, camera, WIDTH, HEIGHT)
    assert slow[0, -1] > 0.5
    none = find_revisits(slow, depth.frames, fps, 40)
    assert none.pairs.shape == (0, 2) and none.density == 0


def test_a_reversed_clip_has_the_same_pairs_reversed() -> None:
    rng = np.random.default_rng(1)
    overlap = rng.random((30, 30))
    overlap = np.minimum(overlap, overlap.T)
    frames = np.arange(0, 90, 3)
    revisits = find_revisits(overlap, frames, 8, 91)
    back = find_revisits(overlap[::-1, ::-1], 90 - frames[::-1], 8, 91)
    assert len(revisits.pairs) > 5
    assert sorted((90 - revisits.pairs[:, ::-1]).tolist()) == back.pairs.tolist()
    assert back.density == revisits.density


def test_density_is_a_share_of_all_frames_of_the_clip() -> None:
    overlap = np.zeros((5, 5))
    overlap[0, 4] = overlap[4, 0] = 0.9
    frames = np.array([0, 10, 20, 30, 40])
    assert find_revisits(overlap, frames, 10, 41).density == pytest.approx(11 / 41)
    assert find_revisits(overlap, frames, 30, 41).density == 0  # 1.3 s apart
    unknown = np.where(overlap == 0, np.nan, overlap)
    assert find_revisits(unknown, frames, 10, 41).density == 0
