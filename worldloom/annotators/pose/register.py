"""Every frame, key frame or not: its pose from the points its tracks lead to, all frames in one go, with covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from worldloom.annotators.pose.scale import scale_breaks
from worldloom.annotators.pose.sfm import Model
from worldloom.annotators.pose.tracks import Tracks

LEAST_INLIERS = 12
"""Points that hold a pose (ours; six unknowns take three)."""
SETTLED_RAD = 1e-5
"""A frame has settled once a step turns it by no more than this: 0.005 px at a focal length of 420 px (ours)."""
LEAST_SHARE = 0.4
"""Least share of a frame's points that fit its pose (ours; a person may cover much of the picture)."""


@dataclass(eq=False)
class Registered:
    """Poses of all T frames in the world of one model.

    Attributes:
        c2w: (T, 4, 4), NaN where not registered.
        ok: (T,) bool.
        inliers: (T,) points that fit.
        share: (T,) share of the points that fit.
        median_depth: (T,) of the points that fit, NaN where not registered.
        sigma_position: (T,) standard deviation, in the model's unit, NaN where not registered.
        sigma_rotation_deg: (T,) the same of the orientation.
        error_px: median reprojection error of what fits.
        point_of: track id -> row of `points`.
        stretch: (T,) counts the places passed where the scale starts anew.
    """

    c2w: np.ndarray
    ok: np.ndarray
    inliers: np.ndarray
    share: np.ndarray
    median_depth: np.ndarray
    sigma_position: np.ndarray
    sigma_rotation_deg: np.ndarray
    error_px: float
    point_of: np.ndarray
    stretch: np.ndarray


@dataclass(eq=False)
class _Sightings:
    """m observations: frame (m,), pixel relative to the centre (m, 2), point in the world (m, 3)."""

    frame: np.ndarray
    xy: np.ndarray
    point: np.ndarray

    def of(self, frames: np.ndarray) -> _Sightings:
        """Those of the frames (T,) bool."""
        rows = frames[self.frame]
        return _Sightings(self.frame[rows], self.xy[rows], self.point[rows])


def register(
    model: Model,
    keyframes: list[int],
    features: list[np.ndarray],
    tracks: Tracks,
    size: tuple[int, int],
    within_px: float = 2.0,
) -> Registered:
    """Pose of every frame that sees enough of the model's points.

    Gauss-Newton on reprojection errors under a Cauchy kernel that narrows from 8 px to 1 px, starting between the
    neighbouring key frames. Key frames keep the pose that bundle adjustment gave them.

    Args:
        model: whose points and key frames to use.
        keyframes: frame of each position of `model.frames`.
        features: per key frame (n, 2) pixels of the keypoints that are no tracks.
        tracks: over T frames.
        size: (width, height).
        within_px: reprojection error of an inlier.
    """
    point_of = _points_of_tracks(model, keyframes, tracks)
    fixed = np.array([keyframes[i] for i in model.frames])
    data = _sightings(model, keyframes, features, tracks, point_of, size)
    c2w = _between(model.c2w, fixed, len(tracks))
    held = np.zeros(len(tracks), bool)
    held[fixed] = True
    free = ~held & (np.bincount(data.frame, minlength=len(tracks)) >= LEAST_INLIERS)
    for width in (8.0, 4.0, 2.0, 1.0):
        moving = free.copy()
        for _ in range(5):
            step = _step(c2w, model.focal, data.of(moving), width, moving)
            c2w[:, :3, :3] = Rotation.from_rotvec(step[:, :3]).as_matrix() @ c2w[:, :3, :3]
            c2w[:, :3, 3] += step[:, 3:]
            moving &= np.abs(step[:, :3]).max(axis=1) > SETTLED_RAD
            if not moving.any():
                break
    breaks = [fixed[k] for k in scale_breaks(model)]
    stretch = np.searchsorted(np.array(breaks, np.int64), np.arange(len(tracks)))
    return _judge(c2w, model.focal, data, within_px, point_of, stretch)


def _step(c2w: np.ndarray, focal: float, data: _Sightings, width: float, moving: np.ndarray) -> np.ndarray:
    """Turn and move (T, 6) of the frames (T,) bool that still move, zero for the others."""
    blocks, slopes, _, _ = _normal(c2w, focal, data, width, len(c2w))
    blocks += np.eye(6) * (1e-6 * blocks.trace(axis1=1, axis2=2)[:, None, None] / 6 + 1e-9)
    step = np.zeros((len(c2w), 6))
    step[moving] = -np.linalg.solve(blocks[moving], slopes[moving, :, None])[:, :, 0]
    step[:, :3] = np.clip(step[:, :3], -0.3, 0.3)
    return step


def _points_of_tracks(model: Model, keyframes: list[int], tracks: Tracks) -> np.ndarray:
    """Row of the point of each track (count,), -1 where it has none: the one most of its key frames voted for."""
    names, rows = [], []
    for position, seen in zip(model.frames, model.seen, strict=True):
        ids = tracks.ids[keyframes[position]]
        at = seen[: len(ids)]
        names.append(ids[at >= 0])
        rows.append(at[at >= 0])
    point_of = np.full(tracks.count, -1, np.int64)
    if not names or not len(np.concatenate(names)):
        return point_of
    votes, count = np.unique(
        np.stack([np.concatenate(names), np.concatenate(rows)], axis=1), axis=0, return_counts=True
    )
    for k in np.argsort(count, kind="stable"):  # the most votes write last
        point_of[votes[k, 0]] = votes[k, 1]
    return point_of


def _sightings(
    model: Model,
    keyframes: list[int],
    features: list[np.ndarray],
    tracks: Tracks,
    point_of: np.ndarray,
    size: tuple[int, int],
) -> _Sightings:
    frame, xy, point = [], [], []
    for t in range(len(tracks)):
        rows = point_of[tracks.ids[t]]
        frame.append(np.full((rows >= 0).sum(), t))
        xy.append(tracks.xy[t][rows >= 0])
        point.append(rows[rows >= 0])
    for position, seen in zip(model.frames, model.seen, strict=True):
        rows = seen[len(tracks.ids[keyframes[position]]) :]
        frame.append(np.full((rows >= 0).sum(), keyframes[position]))
        xy.append(features[position][rows >= 0])
        point.append(rows[rows >= 0])
    places = np.concatenate(xy).astype(np.float64) - np.array(size) / 2
    return _Sightings(np.concatenate(frame), places, model.points[np.concatenate(point)])


def _between(poses: np.ndarray, at: np.ndarray, length: int) -> np.ndarray:
    """Starting values (T, 4, 4): poses at frames `at` (n,) and what lies between; the nearest one outside."""
    c2w = np.tile(np.eye(4), (length, 1, 1))
    if len(at) == 1:
        return np.tile(poses[0], (length, 1, 1))
    times = np.clip(np.arange(length), at[0], at[-1])
    c2w[:, :3, :3] = Slerp(at, Rotation.from_matrix(poses[:, :3, :3]))(times).as_matrix()
    for axis in range(3):
        c2w[:, axis, 3] = np.interp(times, at, poses[:, axis, 3])
    return c2w


def _normal(
    c2w: np.ndarray, focal: float, data: _Sightings, width: float, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per frame J^T W J (T, 6, 6) and J^T W r (T, 6) over (turn in world axes, move); errors (m,), depths (m,)."""
    turn, centre = c2w[data.frame, :3, :3], c2w[data.frame, :3, 3]
    offset = data.point - centre
    seen = np.einsum("nji,nj->ni", turn, offset)
    ahead = np.maximum(seen[:, 2], 1e-6)
    pixel = focal * seen[:, :2] / ahead[:, None]
    residual = np.where(seen[:, 2:] > 1e-6, pixel - data.xy, 1e3)
    error = np.linalg.norm(residual, axis=1)
    by_seen = np.zeros((len(error), 2, 3))
    by_seen[:, 0, 0] = by_seen[:, 1, 1] = focal / ahead
    by_seen[:, :, 2] = -pixel / ahead[:, None]
    by_world = by_seen @ turn.transpose(0, 2, 1)
    # seen = R^T (X - c): turning R by theta moves it by -R^T (theta x offset) = R^T [offset]x theta
    cross = np.zeros((len(error), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -offset[:, 2], offset[:, 1], -offset[:, 0]
    cross -= cross.transpose(0, 2, 1)
    jacobian = np.concatenate([by_world @ cross, -by_world], axis=2)
    weight = 1 / (1 + (error / width) ** 2)
    weighted = jacobian * weight[:, None, None]
    blocks, slopes = np.zeros((length, 6, 6)), np.zeros((length, 6))
    for a in range(6):
        slopes[:, a] = np.bincount(data.frame, (weighted[:, :, a] * residual).sum(axis=1), length)
        for b in range(a, 6):
            value = (weighted[:, :, a] * jacobian[:, :, b]).sum(axis=1)
            blocks[:, a, b] = blocks[:, b, a] = np.bincount(data.frame, value, length)
    return blocks, slopes, error, seen[:, 2]


def _judge(
    c2w: np.ndarray, focal: float, data: _Sightings, within_px: float, point_of: np.ndarray, stretch: np.ndarray
) -> Registered:
    length = len(stretch)
    blocks, _, error, depth = _normal(c2w, focal, data, 1.0, length)
    fits = (error < within_px) & (depth > 0)
    inliers = np.bincount(data.frame[fits], minlength=length)
    share = inliers / np.maximum(np.bincount(data.frame, minlength=length), 1)
    ok = (inliers >= LEAST_INLIERS) & (share >= LEAST_SHARE)
    noise = float(np.median(error[fits])) / 1.1774 if fits.any() else np.nan  # median of a Rayleigh distribution
    blocks[~ok] = np.eye(6)
    # pinv: a frame whose points lie in one line holds its pose, yet leaves a direction that inv refuses.
    covariance = np.linalg.pinv(blocks, hermitian=True) * noise**2
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    median_depth = np.full(length, np.nan)
    for t in np.flatnonzero(ok):
        median_depth[t] = np.median(depth[fits & (data.frame == t)])
    c2w[~ok] = np.nan
    return Registered(
        c2w=c2w,
        ok=ok,
        inliers=inliers,
        share=share,
        median_depth=median_depth,
        sigma_position=np.where(ok, np.sqrt(np.abs(variance[:, 3:].sum(axis=1))), np.nan),
        sigma_rotation_deg=np.where(ok, np.degrees(np.sqrt(np.abs(variance[:, :3].sum(axis=1)))), np.nan),
        error_px=float(np.median(error[fits])) if fits.any() else float("nan"),
        point_of=point_of,
        stretch=stretch,
    )
