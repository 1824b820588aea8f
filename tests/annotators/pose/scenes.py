"""Points and cameras without pictures: models, tracks and matches whose truth is exact."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from worldloom.annotators.pose.sfm import Model, Pair
from worldloom.annotators.pose.tracks import Tracks
from worldloom.catalogs.cameras import project

SIZE = (480, 272)
FOCAL = 370.0
K = np.array([FOCAL, FOCAL, 240.0, 136.0])


def arc(frames: int, step: float = 0.1, turn_deg: float = 1.0) -> np.ndarray:
    """Poses (T, 4, 4) that walk sideways and turn."""
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    angles = np.arange(frames) * turn_deg
    c2w[:, :3, :3] = Rotation.from_rotvec(np.radians(angles)[:, None] * [0.0, 1.0, 0.0]).as_matrix()
    c2w[:, 0, 3] = step * np.arange(frames)
    c2w[:, 2, 3] = 0.02 * np.arange(frames) ** 1.3
    return c2w


def cloud(count: int = 600, seed: int = 0, spread: float = 6.0) -> np.ndarray:
    """Points (P, 3) in front of the first cameras."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(-spread, spread, count), rng.uniform(-2, 2, count), rng.uniform(3, 9, count)], axis=1)


def seen_from(points: np.ndarray, c2w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (P, 2) and which points (P,) lie in the picture."""
    xy, z = project(points, c2w, K)
    inside = (z > 0.2) & (xy > 0).all(axis=1) & (xy[:, 0] < SIZE[0]) & (xy[:, 1] < SIZE[1])
    return xy, inside


def tracks_of(points: np.ndarray, c2w: np.ndarray, noise_px: float = 0.0, seed: int = 0) -> Tracks:
    """Every point is one track, seen wherever it lies in the picture."""
    rng = np.random.default_rng(seed)
    ids, places = [], []
    for pose in c2w:
        xy, inside = seen_from(points, pose)
        ids.append(np.flatnonzero(inside))
        places.append((xy[inside] + rng.normal(0, noise_px, (inside.sum(), 2))).astype(np.float32))
    return Tracks(ids, places, len(points))


def model_of(points: np.ndarray, c2w: np.ndarray, tracks: Tracks, frames: list[int]) -> Model:
    """The true model over some frames; track k is point k."""
    seen = [tracks.ids[frame].copy() for frame in frames]
    return Model(np.arange(len(frames)), c2w[frames].copy(), FOCAL, points.copy(), seen, 0.0, 1.0)


def pairs_of(tracks: Tracks, frames: list[int], reach: int = 4) -> list[Pair]:
    pairs = []
    for i in range(len(frames)):
        for j in range(i + 1, min(i + reach + 1, len(frames))):
            _, a, b = np.intersect1d(tracks.ids[frames[i]], tracks.ids[frames[j]], return_indices=True)
            pairs.append(Pair(i, j, np.stack([a, b], axis=1), float(j - i)))
    return pairs
