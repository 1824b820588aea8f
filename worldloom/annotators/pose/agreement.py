"""Does a model explain the matches it was made from, and do two models say the same?

Incremental mapping may return a complete but wrong model with a small reprojection error: it drops the observations
that contradict it. The verified matches between key frames do not bend with the model, so the share of them that
the model's poses explain tells (a real walk: 0.97 for right models, 0.75 to 0.87 for wrong ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldloom.annotators.pose.sfm import Model, Pair
from worldloom.catalogs.cameras import align_sim3, rotation_angle_deg


@dataclass(eq=False)
class Sight:
    """Verified matches of many pairs, laid out for arithmetic; at most `per_pair` of each.

    Attributes:
        i, j: (m,) key frames.
        a, b: (m, 2) pixels relative to the picture's centre, in i and in j.
    """

    i: np.ndarray
    j: np.ndarray
    a: np.ndarray
    b: np.ndarray

    @classmethod
    def of(
        cls, pairs: Sequence[Pair], keypoints: Sequence[np.ndarray], size: tuple[int, int], per_pair: int = 60
    ) -> Sight:
        """Evenly thinned matches of all pairs."""
        rows = [pair.rows[:: max(1, len(pair.rows) // per_pair)] for pair in pairs]
        centre = np.array(size) / 2
        return cls(
            i=np.concatenate([np.full(len(r), p.i) for p, r in zip(pairs, rows, strict=True)]),
            j=np.concatenate([np.full(len(r), p.j) for p, r in zip(pairs, rows, strict=True)]),
            a=np.concatenate([keypoints[p.i][r[:, 0]] for p, r in zip(pairs, rows, strict=True)]) - centre,
            b=np.concatenate([keypoints[p.j][r[:, 1]] for p, r in zip(pairs, rows, strict=True)]) - centre,
        )


def epipolar_errors_px(
    sight: Sight, c2w: np.ndarray, focal: float, centre_of_j: np.ndarray | None = None
) -> np.ndarray:
    """Sampson distance of each match to the epipolar geometry of given poses.

    Args:
        sight: m matches.
        c2w: (n, 4, 4) by key frame; NaN where unknown gives NaN.
        focal: pixels.
        centre_of_j: (m, 3) camera centres to use for j in place of those of `c2w`.

    Returns:
        (m,) pixels.
    """
    ones = np.ones((len(sight.i), 1))
    turn_i, turn_j = c2w[sight.i, :3, :3], c2w[sight.j, :3, :3]
    ray_i = np.einsum("nij,nj->ni", turn_i, np.hstack([sight.a / focal, ones]))
    ray_j = np.einsum("nij,nj->ni", turn_j, np.hstack([sight.b / focal, ones]))
    base = c2w[sight.i, :3, 3] - (c2w[sight.j, :3, 3] if centre_of_j is None else centre_of_j)
    normal_i = np.cross(base, ray_i)
    value = (ray_j * normal_i).sum(axis=1)
    slope_j = np.einsum("nji,nj->ni", turn_j, normal_i)[:, :2]
    slope_i = np.einsum("nji,nj->ni", turn_i, np.cross(ray_j, base))[:, :2]
    size = np.sqrt((slope_i**2).sum(axis=1) + (slope_j**2).sum(axis=1))
    return np.abs(value) / np.maximum(size, 1e-12) * focal


def spread_poses(model: Model, count: int) -> np.ndarray:
    """Poses (count, 4, 4) by key frame, NaN where the model has none."""
    c2w = np.full((count, 4, 4), np.nan)
    c2w[model.frames] = model.c2w
    return c2w


def explained(sight: Sight, model: Model, count: int, within_px: float) -> float:
    """Share of the matches between key frames of `model` that its poses explain."""
    errors = epipolar_errors_px(sight, spread_poses(model, count), model.focal)
    known = np.isfinite(errors)
    return float((errors[known] < within_px).mean()) if known.any() else 0.0


@dataclass(frozen=True)
class Difference:
    """How far two models are apart: position as a share of the path, rotation in degrees (both RMS), frames shared."""

    position: float
    rotation_deg: float
    shared: int


def difference(one: Model, other: Model) -> Difference:
    """Compare the paths of two models after Sim(3)."""
    _, at_one, at_other = np.intersect1d(one.frames, other.frames, assume_unique=True, return_indices=True)
    if len(at_one) < 4:
        return Difference(np.inf, np.inf, len(at_one))
    source, target = one.c2w[at_one], other.c2w[at_other]
    path = float(np.linalg.norm(np.diff(target[:, :3, 3], axis=0), axis=1).sum())
    scale, rotation, shift = align_sim3(source[:, :3, 3], target[:, :3, 3])
    moved = scale * source[:, :3, 3] @ rotation.T + shift
    position = float(np.sqrt(((moved - target[:, :3, 3]) ** 2).sum(axis=1).mean())) / max(path, 1e-12)
    between = np.einsum("nji,njk->nik", source[:-1, :3, :3], source[1:, :3, :3])
    between_target = np.einsum("nji,njk->nik", target[:-1, :3, :3], target[1:, :3, :3])
    turned = rotation_angle_deg(np.einsum("nji,njk->nik", between, between_target))
    return Difference(position, float(np.sqrt((turned**2).mean())), len(at_one))
