from __future__ import annotations

import numpy as np
import pytest

from tests.annotators.moving_camera import HEIGHT, WIDTH, K, pose
from tests.annotators.textured_room import look
from worldloom.annotators.depth import map_frames, without_specks
from worldloom.annotators.plane_sweep import View, bend, inverse_depths, matching_costs, points_agree, sweep
from worldloom.annotators.sweep_views import choose_neighbours, depth_range


def view(c2w: np.ndarray, plain: bool = False) -> tuple[View, np.ndarray]:
    rgb, z = look(c2w, K, WIDTH, HEIGHT, plain)
    return View(rgb.mean(-1).astype(np.uint8), c2w, K), z


@pytest.fixture(scope="module")
def here() -> tuple[View, np.ndarray]:
    return view(pose(0, 0, 0))


@pytest.fixture(scope="module")
def others() -> list[View]:
    return [view(pose(x, y, 0, yaw))[0] for x, y, yaw in ((-0.4, 0, 2), (-0.2, 0.05, 0), (0.2, 0, -2), (0.4, 0.1, 0))]


def test_the_true_plane_matches_best(here, others):
    view_here, z = here
    planes = inverse_depths(2.0, 9.0, 0.005)
    cost = matching_costs(view_here, others, planes, window=7)
    best = 1 / planes[cost.argmin(0)]
    error = np.abs(best - z) / z
    assert np.median(error[10:-10, 20:-20]) < 0.018  # half a plane at 7 m


def test_depth_of_a_room_with_a_pillar_is_right_where_it_is_trusted(here, others):
    view_here, z = here
    swept = sweep(view_here, others, inverse_depths(2.0, 9.0, 0.005))
    error = np.abs(swept.z - z) / z
    assert swept.trusted.mean() > 0.7
    assert error[swept.trusted].mean() < 0.03
    pillar = (z < 3.5) & (z > 2.5)
    assert np.median(error[pillar & swept.trusted]) < 0.01


def test_depth_is_in_the_unit_of_the_poses(here, others):
    view_here, _ = here
    planes = inverse_depths(2.0, 9.0, 0.01)
    plain = sweep(view_here, others, planes)
    doubled = [View(v.grey, np.where(np.arange(4) == 3, 2, 1) * v.c2w, v.k) for v in (view_here, *others)]
    for one in doubled:
        one.c2w[3, 3] = 1
    larger = sweep(doubled[0], doubled[1:], planes / 2)
    np.testing.assert_allclose(larger.z, 2 * plain.z, rtol=1e-3)


def test_a_picture_without_texture_is_not_trusted():
    flat, _ = view(pose(0, 0, 0), plain=True)
    beside, _ = view(pose(0.3, 0, 0), plain=True)
    assert sweep(flat, [beside], inverse_depths(2.0, 9.0, 0.01)).trusted.mean() < 0.15


def test_what_moves_is_not_trusted_and_not_matched_against(here, others):
    view_here, _ = here
    moving = np.zeros((HEIGHT, WIDTH), bool)
    moving[40:80, 100:140] = True
    masked = sweep(View(view_here.grey, view_here.c2w, K, moving), others, inverse_depths(2.0, 9.0, 0.02))
    assert not masked.trusted[moving].any()
    everywhere = [View(one.grey, one.c2w, one.k, np.ones((HEIGHT, WIDTH), bool)) for one in others]
    assert (matching_costs(view_here, everywhere, np.array([0.1, 0.2]), 7) == 0.5).all()


def test_two_true_maps_agree_and_a_wrong_one_does_not(here):
    view_here, z = here
    there, z_there = view(pose(0.3, 0, 0.1, -3))
    everywhere = np.ones(z.shape, bool)
    gap = points_agree(view_here, z, there, z_there, everywhere)
    assert np.isfinite(gap).mean() > 0.8
    assert np.nanmedian(gap) < 0.005
    assert np.nanmedian(points_agree(view_here, z * 1.2, there, z_there, everywhere)) > 0.1
    assert np.isnan(points_agree(view_here, z, there, z_there, ~everywhere)).all()


def test_planes_are_even_in_inverse_depth_and_cover_the_range():
    planes = inverse_depths(1.0, 10.0, 0.02)
    assert (1 / planes[0], 1 / planes[-1]) == (pytest.approx(10.0), pytest.approx(1.0))
    np.testing.assert_allclose(np.diff(planes), np.diff(planes)[0])
    assert len(inverse_depths(1.0, 10.0, 1e-9)) == 128
    assert len(inverse_depths(9.9, 10.0, 1.0)) == 32


def test_a_plane_does_not_bend_however_steep_and_an_edge_does():
    x = np.arange(40, dtype=np.float32)
    slope = np.tile(0.1 + 0.01 * x, (20, 1)).astype(np.float32)
    assert bend(slope, 3)[:, 3:-3].max() < 1e-4
    edge = slope.copy()
    edge[:, 20:] += 0.2
    assert (bend(edge, 3)[:, 17:23] > 0.1).all()
    assert bend(edge, 3)[:, 25:-3].max() < 1e-4


def test_the_range_holds_the_scene(here, others):
    view_here, z = here
    between = depth_range(view_here, others)
    assert between is not None
    assert between[0] < z.min()
    assert between[1] > z.max()
    assert depth_range(View(np.zeros_like(view_here.grey), view_here.c2w, K), others) is None


def test_neighbours_lie_aside_on_both_sides_and_not_next_door():
    path = np.stack([pose(0.03 * i, 0, 0) for i in range(61)])
    k = np.tile(K, (61, 1))
    chosen, angle = choose_neighbours(30, np.arange(61), path, k, (WIDTH, HEIGHT), 5.0, 4, 5.0)
    assert len(chosen) == 4
    assert min(chosen) < 30 < max(chosen)
    assert all(abs(j - 30) >= 4 for j in chosen)
    assert 2 < angle < 12
    still = np.tile(pose(0, 0, 0), (61, 1, 1))
    assert choose_neighbours(30, np.arange(61), still, k, (WIDTH, HEIGHT), 5.0, 4, 5.0) == ([], 0.0)


def test_neighbours_together_see_what_a_turning_camera_saw():
    path = np.stack([pose(0.03 * i, 0, 0, 1.0 * (i - 30)) for i in range(61)])
    chosen, _ = choose_neighbours(30, np.arange(61), path, np.tile(K, (61, 1)), (WIDTH, HEIGHT), 5.0, 4, 5.0)
    assert min(chosen) < 30 < max(chosen)


def test_maps_are_spread_and_limited():
    assert map_frames(81, 8, 12) == list(range(0, 81, 8))
    assert map_frames(161, 8, 12) == list(range(0, 161, 16))
    assert map_frames(3, 8, 12) == [0]
    assert len(map_frames(5000, 8, 12)) <= 12


def test_a_lone_pixel_is_a_speck():
    valid = np.zeros((20, 20), bool)
    valid[3, 3] = True
    valid[8:16, 8:16] = True
    kept = without_specks(valid)
    assert not kept[3, 3]
    assert kept[9:15, 9:15].all()


def test_frames_of_a_camera_that_stood_still_do_not_spoil_the_range(here, others):
    view_here, _ = here
    beside = [view(pose(1e-4 * i, 0, 0))[0] for i in range(1, 4)]
    alone, between = depth_range(view_here, others), depth_range(view_here, [*beside, *others])
    assert alone is not None
    assert between == alone
