from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.annotators.pose.scenes import FOCAL, SIZE, arc, cloud, tracks_of
from worldloom.annotators.pose.turned import turn_only
from worldloom.annotators.pose.turning import rotation_between, turn_angles_deg
from worldloom.catalogs.cameras import rotation_angle_deg


def test_rotations_and_focal_length_come_out_of_turning_alone() -> None:
    c2w = arc(20, step=0.0, turn_deg=2.0)
    c2w[:, :3, 3] = 0
    tracks = tracks_of(cloud(2000, spread=12), c2w, noise_px=0.2)
    fit = turn_only(tracks, list(range(20)), SIZE, 450.0, 0.35, 1.5)
    assert fit is not None and fit.share > 0.99 and fit.worst > 0.99
    assert fit.focal == pytest.approx(FOCAL, rel=0.005)
    assert rotation_angle_deg(fit.c2w.transpose(0, 2, 1) @ c2w[:, :3, :3]).max() < 0.1
    assert 1e-5 < fit.focal_sigma < 0.01 and fit.sigma_deg[0] == 0 and fit.sigma_deg[-1] > 0


def test_a_focal_length_without_prior_width_is_held() -> None:
    c2w = arc(10, step=0.0, turn_deg=2.0)
    c2w[:, :3, 3] = 0
    fit = turn_only(tracks_of(cloud(2000, spread=12), c2w), list(range(10)), SIZE, 370.0, None, 1.5)
    assert fit is not None and fit.focal == pytest.approx(370.0, rel=1e-4)


def test_a_moving_camera_is_not_explained_by_turning() -> None:
    tracks = tracks_of(cloud(1500), arc(20, step=0.06))
    fit = turn_only(tracks, list(range(20)), SIZE, FOCAL, 0.35, 1.5)
    assert fit is not None and fit.share < 0.6 and fit.worst < 0.3


def test_a_person_does_not_pull_the_rotation() -> None:
    rng = np.random.default_rng(1)
    rays = rng.normal((0, 0, 3), size=(200, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    truth = Rotation.from_euler("yx", [6, -2], degrees=True).as_matrix()
    seen = rays @ truth.T
    seen[:60] += [0.05, 0.0, 0.0]
    turn, fits = rotation_between(rays, seen / np.linalg.norm(seen, axis=1, keepdims=True), 0.003)
    assert rotation_angle_deg(turn.T @ truth) < 0.05
    assert not fits[:60].any() and fits[60:].all()


def test_turn_angles_count_from_the_first_frame() -> None:
    turns = Rotation.from_rotvec(np.radians([[0, 10, 0], [0, 15, 0], [0, 30, 0]])).as_matrix()
    np.testing.assert_allclose(turn_angles_deg(turns), [0, 5, 20], atol=1e-9)
