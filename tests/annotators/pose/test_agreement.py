from __future__ import annotations

import numpy as np
import pytest

from tests.annotators.pose.scenes import FOCAL, SIZE, arc, cloud, model_of, pairs_of, tracks_of
from worldloom.annotators.pose.agreement import Sight, difference, epipolar_errors_px, explained
from worldloom.annotators.pose.restarts import next_pair
from worldloom.annotators.pose.sfm import Pair
from worldloom.catalogs.cameras import apply_sim3_to_poses

FRAMES = list(range(16))


@pytest.fixture(scope="module")
def scene():  # type: ignore[no-untyped-def]
    c2w = arc(16)
    points = cloud()
    tracks = tracks_of(points, c2w, noise_px=0.2)
    sight = Sight.of(pairs_of(tracks, FRAMES), [xy.astype(np.float64) for xy in tracks.xy], SIZE)
    return c2w, points, tracks, sight


def test_true_poses_explain_the_matches(scene) -> None:  # type: ignore[no-untyped-def]
    c2w, points, tracks, sight = scene
    assert np.median(epipolar_errors_px(sight, c2w, FOCAL)) < 0.3
    assert explained(sight, model_of(points, c2w, tracks, FRAMES), 16, 2.0) > 0.99


def test_epipolar_error_is_the_sampson_distance_of_opencv(scene) -> None:  # type: ignore[no-untyped-def]
    import cv2

    c2w, _, _, sight = scene
    k = np.diag([FOCAL, FOCAL, 1.0])
    j_from_i = np.linalg.inv(c2w[sight.j[0]]) @ c2w[sight.i[0]]
    x, y, z = j_from_i[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ j_from_i[:3, :3]
    fundamental = np.linalg.inv(k).T @ essential @ np.linalg.inv(k)
    shifted = sight.b[0] + [3.0, 4.0]
    squared = cv2.sampsonDistance(np.array([*sight.a[0], 1.0]), np.array([*shifted, 1.0]), fundamental)
    moved = Sight(sight.i[:1], sight.j[:1], sight.a[:1], shifted[None])
    assert epipolar_errors_px(moved, c2w, FOCAL)[0] == pytest.approx(np.sqrt(squared), rel=1e-6)


def test_a_bent_model_explains_fewer_matches(scene) -> None:  # type: ignore[no-untyped-def]
    c2w, points, tracks, sight = scene
    bent = model_of(points, c2w, tracks, FRAMES)
    bent.c2w[8:, 2, 3] += 0.5
    assert explained(sight, bent, 16, 2.0) < 0.9


def test_difference_knows_no_similarity_but_knows_a_bend(scene) -> None:  # type: ignore[no-untyped-def]
    c2w, points, tracks, _ = scene
    one = model_of(points, c2w, tracks, FRAMES)
    other = model_of(points, apply_sim3_to_poses(c2w, 3.0, c2w[7, :3, :3], np.array([1.0, 2, 3])), tracks, FRAMES)
    same = difference(one, other)
    assert same.position < 1e-9 and same.rotation_deg < 1e-5 and same.shared == 16
    other.c2w[8:, 2, 3] += 1.0
    assert difference(one, other).position > 0.02


def test_each_restart_begins_elsewhere() -> None:
    rows = np.zeros((100, 2), int)
    pairs = [Pair(i, i + 3, rows, 6.0 if i != 10 else 8.0) for i in range(20)]
    tried: list[tuple[int, int]] = []
    for _ in range(4):
        first = next_pair(pairs, 23, tried)
        assert first is not None and first not in tried
        tried.append(first)
    assert tried[0] == (10, 13)
    middles = sorted((i + j) / 2 for i, j in tried)
    assert np.diff(middles).min() >= 2
    inside = next_pair(pairs, 23, tried, inside=np.arange(6))
    assert inside is not None and max(inside) < 6
    assert next_pair(pairs[:1], 23, [(0, 3)]) is None
