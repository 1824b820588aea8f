from __future__ import annotations

import numpy as np
import pytest

from tests.annotators.pose.scenes import SIZE, arc, cloud, model_of, tracks_of
from worldloom.annotators.pose.join import join
from worldloom.annotators.pose.register import register
from worldloom.annotators.pose.tracks import Tracks
from worldloom.catalogs.cameras import rotation_angle_deg

KEYFRAMES = [0, 5, 10, 15, 20]
NO_FEATURES = [np.zeros((0, 2), np.float32)] * 5


def test_frames_between_key_frames_are_posed_from_their_points() -> None:
    c2w, points = arc(21), cloud(800)
    tracks = tracks_of(points, c2w, noise_px=0.3)
    found = register(model_of(points, c2w, tracks, KEYFRAMES), KEYFRAMES, NO_FEATURES, tracks, SIZE)
    assert found.ok.all()
    wrong = np.linalg.norm(found.c2w[:, :3, 3] - c2w[:, :3, 3], axis=1)
    assert wrong.max() < 0.02
    assert rotation_angle_deg(found.c2w[:, :3, :3].transpose(0, 2, 1) @ c2w[:, :3, :3]).max() < 0.1
    np.testing.assert_allclose(found.c2w[KEYFRAMES], c2w[KEYFRAMES], atol=1e-12)


def test_the_stated_error_is_about_the_real_one() -> None:
    c2w, points = arc(21), cloud(800)
    between = [t for t in range(21) if t not in KEYFRAMES]
    ratios = []
    for seed in range(6):
        tracks = tracks_of(points, c2w, noise_px=0.3, seed=seed)
        found = register(model_of(points, c2w, tracks, KEYFRAMES), KEYFRAMES, NO_FEATURES, tracks, SIZE)
        wrong = np.linalg.norm(found.c2w[between, :3, 3] - c2w[between, :3, 3], axis=1)
        ratios.append(np.sqrt((wrong**2).mean()) / found.sigma_position[between].mean())
    assert 0.6 < np.mean(ratios) < 1.7


def test_people_among_the_points_do_not_pull_the_pose() -> None:
    c2w, points = arc(21), cloud(800)
    tracks = tracks_of(points, c2w, noise_px=0.3)
    for t in range(21):
        tracks.xy[t][tracks.ids[t] < 160] += np.float32([2.0 * t, 5.0])
    found = register(model_of(points, c2w, tracks, KEYFRAMES), KEYFRAMES, NO_FEATURES, tracks, SIZE)
    assert np.linalg.norm(found.c2w[:, :3, 3] - c2w[:, :3, 3], axis=1).max() < 0.03
    assert found.share.max() < 0.95


def test_frames_without_points_get_no_pose() -> None:
    c2w, points = arc(21), cloud(800)
    tracks = tracks_of(points, c2w)
    tracks.ids[7], tracks.xy[7] = tracks.ids[7][:5], tracks.xy[7][:5]
    found = register(model_of(points, c2w, tracks, KEYFRAMES), KEYFRAMES, NO_FEATURES, tracks, SIZE)
    assert not found.ok[7] and np.isnan(found.c2w[7]).all() and np.isnan(found.median_depth[7])
    assert found.ok.sum() == 20
    assert found.median_depth[0] == pytest.approx(np.median(points[tracks.ids[0], 2]), rel=0.01)


def turn_between_walks() -> tuple[np.ndarray, np.ndarray, Tracks]:
    """Ten frames sideways, twelve turning 120 degrees on the spot, ten sideways."""
    walk = arc(10, step=0.15, turn_deg=0.0)
    poses = [walk[0]]
    for t in range(1, 32):
        step = np.eye(4)
        if 10 <= t < 22:
            step[:3, :3] = arc(2, turn_deg=10.0)[1, :3, :3]
        else:
            step[0, 3] = 0.15
        poses.append(poses[-1] @ step)
    c2w = np.stack(poses)
    rng = np.random.default_rng(3)
    angle = rng.uniform(0, 2 * np.pi, 6000)
    far = rng.uniform(5, 12, 6000)
    points = np.stack([far * np.sin(angle), rng.uniform(-2, 2, 6000), far * np.cos(angle)], axis=1)
    return c2w, points, tracks_of(points, c2w)


def test_two_walks_are_joined_in_rotation_and_differ_in_scale_group() -> None:
    c2w, points, tracks = turn_between_walks()
    before, after = list(range(0, 10)), list(range(21, 32))
    none = [np.zeros((0, 2), np.float32)] * 11
    first = model_of(points, c2w, tracks, before)
    second = model_of(points * 5 + 7, c2w, tracks, after)
    second.c2w[:, :3, 3] = second.c2w[:, :3, 3] * 5 + 7
    models = [register(first, before, none, tracks, SIZE), register(second, after, none, tracks, SIZE)]
    for model, own in zip(models, (before, after), strict=True):
        model.ok &= np.isin(np.arange(32), own)
    path = join(models, tracks, SIZE, first.focal, 1.5)
    assert np.isfinite(path.c2w).all()
    assert list(path.group[[0, 9, 22, 31]]) == [0, 0, 1, 1]
    assert not path.translation_known[12:20].any() and path.translation_known[before + after].all()
    assert rotation_angle_deg(path.c2w[:, :3, :3].transpose(0, 2, 1) @ c2w[:, :3, :3]).max() < 0.1
    np.testing.assert_allclose(path.c2w[12:21, :3, 3], np.tile(path.c2w[9, :3, 3], (9, 1)))


def test_a_model_that_no_rotation_leads_to_is_left_out() -> None:
    c2w, points, tracks = turn_between_walks()
    for t in range(14, 17):
        tracks.ids[t], tracks.xy[t] = tracks.ids[t][:0], tracks.xy[t][:0]
    before, after = list(range(0, 10)), list(range(24, 32))
    models = []
    for own in (before, after):
        none = [np.zeros((0, 2), np.float32)] * len(own)
        model = register(model_of(points, c2w, tracks, own), own, none, tracks, SIZE)
        model.ok &= np.isin(np.arange(32), own)
        models.append(model)
    path = join(models, tracks, SIZE, 370.0, 1.5)
    assert np.isfinite(path.c2w[before]).all() and np.isnan(path.c2w[14:]).all()
    assert not path.translation_known[14:].any()
