"""A camera that only turns: x_j ~ K R_j^T R_i K^-1 x_i for every point, however near or far.

All rotations and the focal length are fitted together to the matches of many pairs of frames, robustly, because
people walk through the picture. What is left over says whether the camera moved as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(eq=False)
class Turning:
    """Rotations of n frames that fit best if the camera did not move.

    Attributes:
        c2w: (n, 3, 3), the first is the identity.
        focal: pixels.
        focal_sigma: relative standard deviation of the focal length, the prior included.
        share: of the cells of the picture in which most matches are within the tolerance; mean over pairs of frames
            that see the same half. Cells, because a person is full of corners and stays in view while walls leave it.
        worst: the same share for the pair that is worse than nine in ten: a moving camera fails in distant pairs.
        sigma_deg: (n,) standard deviation of each rotation relative to the first, degrees.
    """

    c2w: np.ndarray
    focal: float
    focal_sigma: float
    share: float
    worst: float
    sigma_deg: np.ndarray


@dataclass(eq=False)
class _Matches:
    """m matches: frames i and j (m,), pixels a and b (m, 2) relative to the picture's centre."""

    i: np.ndarray
    j: np.ndarray
    a: np.ndarray
    b: np.ndarray


def fit_turning(
    matches: Mapping[tuple[int, int], tuple[np.ndarray, np.ndarray]],
    frames: int,
    size: tuple[int, int],
    focal: float,
    *,
    focal_prior: float | None = 0.35,
    tolerance_px: float = 1.5,
    per_pair: int = 80,
) -> Turning | None:
    """Fit rotations and focal length to matches between frames.

    Gauss-Newton on the reprojection errors under a Cauchy kernel that narrows from 16 px to 1 px.

    Args:
        matches: for pairs i < j: places (m, 2) in i and in j, pixels.
        frames: n.
        size: (width, height).
        focal: first guess, pixels, and centre of the prior.
        focal_prior: standard deviation of log focal around the guess; None holds the focal length.
        tolerance_px: a match within it is explained.
        per_pair: matches used of each pair, evenly thinned.

    Returns:
        None where some frame has no match with an earlier one.
    """
    data = _gather(matches, size, per_pair)
    if not len(data.i) or set(range(1, frames)) - set(data.j.tolist()):
        return None
    turns = _chain(matches, frames, size, focal)
    damping = 1e-4
    log_sigma = focal_prior if focal_prior is not None else 1e-6
    first_focal = focal
    hessian = np.eye(3 * frames + 1)
    for width in (16.0, 8.0, 4.0, 2.0, 1.0):
        cost = _cost(turns, focal, data, width, first_focal, log_sigma)
        for _ in range(8):
            hessian, gradient = _normal(turns, focal, data, width, first_focal, log_sigma)
            step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
            trial = Rotation.from_rotvec(step[:-1].reshape(-1, 3)).as_matrix() @ turns
            trial_focal = focal * float(np.exp(np.clip(step[-1], -0.3, 0.3)))
            trial_cost = _cost(trial, trial_focal, data, width, first_focal, log_sigma)
            if trial_cost >= cost:
                damping *= 10
                if damping > 1e4:
                    break
                continue
            gain = (cost - trial_cost) / cost
            turns, focal, cost, damping = trial, trial_focal, trial_cost, max(damping / 10, 1e-9)
            if gain < 1e-5:
                break
        damping = min(damping, 1e-2)
    return _result(turns, focal, data, hessian, tolerance_px, size)


def rotation_between(rays_a: np.ndarray, rays_b: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotation R with b ~ R a for most rays, by reweighted least squares on the unit sphere (Kabsch).

    Args:
        rays_a: (m, 3) unit vectors.
        rays_b: (m, 3).
        tolerance: angle in radians within which a ray fits.

    Returns:
        R (3, 3) and which rays fit (m,) bool.
    """
    weights = np.ones(len(rays_a))
    turn = np.eye(3)
    for width in tolerance * np.array([64, 32, 16, 8, 4, 2, 1, 1, 1]):
        left, _, right = np.linalg.svd((weights[:, None] * rays_b).T @ rays_a)
        turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
        error = np.linalg.norm(rays_b - rays_a @ turn.T, axis=1)
        weights = 1 / (1 + (error / width) ** 2)
    return turn, error < tolerance


def unit_rays(xy: np.ndarray, size: tuple[int, int], focal: float) -> np.ndarray:
    """Viewing directions (m, 3) of pixels (m, 2), unit length, OpenCV camera axes."""
    rays = np.hstack([(xy - np.array(size) / 2) / focal, np.ones((len(xy), 1))])
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _gather(
    matches: Mapping[tuple[int, int], tuple[np.ndarray, np.ndarray]], size: tuple[int, int], per_pair: int
) -> _Matches:
    keys = sorted(key for key, (a, _) in matches.items() if len(a) >= 8)
    if not keys:
        return _Matches(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2)), np.zeros((0, 2)))
    every = [max(1, len(matches[key][0]) // per_pair) for key in keys]
    a = [np.asarray(matches[key][0], np.float64)[::n] for key, n in zip(keys, every, strict=True)]
    b = [np.asarray(matches[key][1], np.float64)[::n] for key, n in zip(keys, every, strict=True)]
    i = [np.full(len(part), key[0]) for key, part in zip(keys, a, strict=True)]
    j = [np.full(len(part), key[1]) for key, part in zip(keys, a, strict=True)]
    centre = np.array(size) / 2
    return _Matches(np.concatenate(i), np.concatenate(j), np.concatenate(a) - centre, np.concatenate(b) - centre)


def _chain(
    matches: Mapping[tuple[int, int], tuple[np.ndarray, np.ndarray]], frames: int, size: tuple[int, int], focal: float
) -> np.ndarray:
    """First guess (n, 3, 3): each frame turned from the nearest earlier one that it shares matches with."""
    turns = np.tile(np.eye(3), (frames, 1, 1))
    for j in range(1, frames):
        before = [i for i in range(j - 1, -1, -1) if len(matches.get((i, j), ((), ()))[0]) >= 8]
        if before:
            a, b = matches[before[0], j]
            turn, _ = rotation_between(unit_rays(a, size, focal), unit_rays(b, size, focal), 2 / focal)
            turns[j] = turns[before[0]] @ turn.T
    return turns


def _residuals(turns: np.ndarray, focal: float, data: _Matches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reprojection errors (m, 2), rays of a in the world (m, 3) and in camera j (m, 3)."""
    rays = np.hstack([data.a / focal, np.ones((len(data.a), 1))])
    world = np.einsum("nij,nj->ni", turns[data.i], rays)
    seen = np.einsum("nji,nj->ni", turns[data.j], world)
    depth = np.maximum(seen[:, 2:], 0.05)
    return focal * seen[:, :2] / depth - data.b, world, seen


def _cost(turns: np.ndarray, focal: float, data: _Matches, width: float, first_focal: float, log_sigma: float) -> float:
    error, _, _ = _residuals(turns, focal, data)
    robust = width**2 * np.log1p((error**2).sum(axis=1) / width**2)
    return float(robust.sum() + (np.log(focal / first_focal) / log_sigma) ** 2)


def _normal(
    turns: np.ndarray, focal: float, data: _Matches, width: float, first_focal: float, log_sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted J^T J and J^T r over small turns of all frames (in world axes) and log focal."""
    error, world, seen = _residuals(turns, focal, data)
    count, frames = len(error), len(turns)
    weight = 1 / (1 + (error**2).sum(axis=1) / width**2)
    depth = np.maximum(seen[:, 2], 0.05)
    pixel = focal * seen[:, :2] / depth[:, None]
    by_seen = np.zeros((count, 2, 3))
    by_seen[:, 0, 0] = by_seen[:, 1, 1] = focal / depth
    by_seen[:, :, 2] = -pixel / depth[:, None]
    cross = np.zeros((count, 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = world[:, 2], -world[:, 1], world[:, 0]
    cross -= cross.transpose(0, 2, 1)  # theta x w = cross @ theta
    by_turn = by_seen @ turns[data.j].transpose(0, 2, 1) @ cross
    slid = np.hstack([-data.a / focal, np.zeros((count, 1))])
    moved = np.einsum("nji,njk,nk->ni", turns[data.j], turns[data.i], slid)
    by_focal = np.einsum("nij,nj->ni", by_seen, moved) + pixel
    jacobian = np.concatenate([by_turn, -by_turn, by_focal[:, :, None]], axis=2)  # (m, 2, 7)
    blocks = np.einsum("nra,n,nrb->nab", jacobian, weight, jacobian)
    slopes = np.einsum("nra,n,nr->na", jacobian, weight, error)
    at = np.concatenate(
        [3 * data.i[:, None] + np.arange(3), 3 * data.j[:, None] + np.arange(3), np.full((count, 1), 3 * frames)],
        axis=1,
    )
    side = 3 * frames + 1
    flat = (at[:, :, None] * side + at[:, None, :]).ravel()
    hessian: np.ndarray = np.bincount(flat, blocks.ravel(), side * side).reshape(side, side)
    gradient = np.bincount(at.ravel(), slopes.ravel(), side)
    hessian[-1, -1] += 1 / log_sigma**2
    gradient[-1] += np.log(focal / first_focal) / log_sigma**2
    hessian[:3] = hessian[:, :3] = 0  # the first frame is the world
    hessian[:3, :3] = np.eye(3)
    gradient[:3] = 0
    hessian = hessian + 1e-9 * np.eye(side)
    return hessian, gradient


def _result(
    turns: np.ndarray, focal: float, data: _Matches, hessian: np.ndarray, tolerance_px: float, size: tuple[int, int]
) -> Turning:
    error = np.linalg.norm(_residuals(turns, focal, data)[0], axis=1)
    shares = _shares(error < tolerance_px, data, size)
    covariance = np.linalg.inv(hessian)
    noise = float(np.median(error)) / 0.6745 + 0.05  # of the inliers; half of all matches at least
    sigma = np.sqrt(np.maximum(np.diag(covariance)[:-1].reshape(-1, 3).sum(axis=1), 0)) * noise
    sigma[0] = 0
    turns = turns[0].T @ turns
    spread = float(np.sqrt(max(covariance[-1, -1], 0.0))) * max(noise, 1e-3)
    return Turning(
        c2w=turns,
        focal=float(focal),
        focal_sigma=spread,
        share=float(shares.mean()) if len(shares) else 0.0,
        worst=float(np.percentile(shares, 10)) if len(shares) else 0.0,
        sigma_deg=np.degrees(sigma),
    )


def _shares(fits: np.ndarray, data: _Matches, size: tuple[int, int], across: int = 12) -> np.ndarray:
    """Per pair of frames that see the same half: share of the picture's cells in which most matches fit."""
    side = max(size) / across
    column, row = (np.floor((data.a + np.array(size) / 2) / side).astype(int)).T
    _, pair = np.unique(np.stack([data.i, data.j]), axis=1, return_inverse=True)
    cells, cell = np.unique(np.stack([pair, column, row]), axis=1, return_inverse=True)
    most = np.bincount(cell, fits) / np.bincount(cell) > 0.5
    shares = np.bincount(cells[0], most) / np.bincount(cells[0])
    moved = np.array([np.linalg.norm(np.median((data.b - data.a)[pair == k], axis=0)) for k in range(len(shares))])
    near = moved < 0.4 * max(size)
    return np.asarray(shares[near])


def turn_angles_deg(turns: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Angle (n,) of each rotation (n, 3, 3) from the first."""
    turns = np.asarray(turns)
    return np.degrees(Rotation.from_matrix(turns[0].T @ turns).magnitude())
