"""How much of what one frame sees another sees too, and which frames are revisits (definitions 4).

Three decisions that the definition leaves to the reader:
- a pixel that lands in the other picture where that has no depth can be judged by nobody; such pixels are taken to be
  in sight at the rate of the judged ones, else sparse depth would never overlap even with itself;
- a pair was out of sight in between if one frame between them overlaps with neither, so that a reversed clip has the
  same pairs reversed;
- overlap across scale groups, or with a frame without a pose, is unknown (NaN): neither a revisit nor out of sight.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from worldloom.catalogs.cameras import invert_poses, pixel_centres, resize_intrinsics, unproject
from worldloom.catalogs.clip import Camera, Depth, Revisits
from worldloom.catalogs.config import Strict


class RevisitRules(Strict):
    """Thresholds of revisits; all defaults ours (definitions 4).

    Attributes:
        depth_tolerance: least relative excess of depth that still counts as the same surface.
        stated_errors: the same as a multiple of the depth's stated error.
        pair_from: overlap from which two frames are a revisit.
        apart_s: least time between them.
        away_below: overlap below which a frame in between has them out of sight.
        pose_grid: side of the grid of points per frame where overlap is computed from poses alone.
        pose_depths: their depths in median scene depths.
        metric_depth_m: median scene depth that poses alone are given where a metric camera does not know it.
        relative_depth_s: the same for a relative camera: the way it goes in so many seconds at its usual speed.
    """

    depth_tolerance: float = 0.03
    stated_errors: float = 3.0
    pair_from: float = 0.5
    apart_s: float = 2.0
    away_below: float = 0.2
    pose_grid: int = 16
    pose_depths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    metric_depth_m: float = 4.0
    relative_depth_s: float = 3.0


def overlap_one_way(
    depth_i: np.ndarray,
    valid_i: np.ndarray,
    k_i: np.ndarray,
    c2w_i: np.ndarray,
    depth_j: np.ndarray,
    valid_j: np.ndarray,
    k_j: np.ndarray,
    c2w_j: np.ndarray,
    tolerance: float = 0.03,
) -> float:
    """Share of the valid pixels of i that project into j with z <= z_j (1 + tolerance): not behind what j sees.

    Args:
        depth_i: (h, w) z-depth of frame i.
        valid_i: (h, w) bool.
        k_i: (4,) intrinsics in pixels of the depth map.
        c2w_i: (4, 4).
        depth_j: (h', w') of frame j.
        valid_j: (h', w') bool.
        k_j: (4,).
        c2w_j: (4, 4).
        tolerance: tau, relative.

    Returns:
        In [0, 1]; 0 where i has no valid pixel, NaN where a pose is missing.
    """
    points = _world_points(depth_i, valid_i, k_i, c2w_i)
    return _share_seen(points, depth_j, valid_j, k_j, invert_poses(c2w_j), tolerance)


def overlap_matrix(
    depth: Depth, camera: Camera, width: int, height: int, rules: RevisitRules | None = None
) -> np.ndarray:
    """Overlap of every two frames that have depth: the smaller of both ways.

    Args:
        depth: N maps.
        camera: of the clip.
        width: of the video that `camera.intrinsics` belong to.
        height: of it.
        rules: thresholds.

    Returns:
        (N, N) symmetric, in [0, 1], NaN where unknown.
    """
    rules = rules or RevisitRules()
    tolerance = max(rules.depth_tolerance, rules.stated_errors * depth.stated_error)
    count, map_height, map_width = depth.z.shape
    k = resize_intrinsics(camera.intrinsics[depth.frames], map_width / width, map_height / height)
    c2w = camera.c2w[depth.frames]
    w2c = invert_poses(c2w)
    one_way = np.full((count, count), np.nan)
    comparable = _comparable(camera, depth.frames)
    for i in range(count):
        points = _world_points(depth.z[i], depth.valid[i], k[i], c2w[i])
        for j in np.flatnonzero(comparable[i]):
            one_way[i, j] = _share_seen(points, depth.z[j], depth.valid[j], k[j], w2c[j], tolerance)
    return np.minimum(one_way, one_way.T)


def pose_overlap_matrix(
    camera: Camera,
    width: int,
    height: int,
    fps: Fraction | float,
    rules: RevisitRules | None = None,
    frames: np.ndarray | None = None,
) -> np.ndarray:
    """Overlap of every two frames from poses alone: the view of each is filled with points at a few assumed depths.

    Walls are not seen, so two rooms overlap through one: label what comes of it with this method's name.

    Args:
        camera: of the clip. Its `median_depth` sets the assumed depths; without it, metres or the usual speed do.
            With scale `none` only the rotation counts.
        width: of the video.
        height: of the video.
        fps: frames per second, for the usual speed.
        rules: thresholds.
        frames: (N,) which frames; all by default.

    Returns:
        (N, N) symmetric, in [0, 1], NaN where unknown.
    """
    rules = rules or RevisitRules()
    frames = np.arange(len(camera)) if frames is None else np.asarray(frames)
    c2w, k = camera.c2w[frames].copy(), camera.intrinsics[frames]
    if camera.scale == "none":
        c2w[:, :3, 3] = np.where(np.isfinite(c2w[:, :3, 3]), 0.0, np.nan)
    w2c = invert_poses(c2w)
    uv = pixel_centres(rules.pose_grid, rules.pose_grid).reshape(-1, 2)
    uv = uv * [width / rules.pose_grid, height / rules.pose_grid]
    scene = _assumed_depth(camera, fps, rules)[frames]
    comparable = _comparable(camera, frames)
    one_way = np.full((len(frames), len(frames)), np.nan)
    for i in range(len(frames)):
        z = scene[i] * np.repeat(np.asarray(rules.pose_depths, np.float64), len(uv))
        points = unproject(np.tile(uv, (len(rules.pose_depths), 1)), z, c2w[i], k[i])
        to = np.flatnonzero(comparable[i])
        local = points @ w2c[to, :3, :3].transpose(0, 2, 1) + w2c[to, None, :3, 3]
        ahead = local[..., 2] > 1e-9
        depth = np.where(ahead, local[..., 2], 1.0)
        u = k[to, None, 0] * local[..., 0] / depth + k[to, None, 2]
        v = k[to, None, 1] * local[..., 1] / depth + k[to, None, 3]
        one_way[i, to] = (ahead & (u >= 0) & (u < width) & (v >= 0) & (v < height)).mean(axis=1)
    return np.minimum(one_way, one_way.T)


def find_revisits(
    overlap: np.ndarray,
    frames: np.ndarray,
    fps: Fraction | float,
    total_frames: int,
    rules: RevisitRules | None = None,
    from_depth: bool = True,
) -> Revisits:
    """Pairs of frames that see the same again after it was out of sight.

    Args:
        overlap: (N, N) as of `overlap_matrix`.
        frames: (N,) ascending, which frame of the clip each row is.
        fps: frames per second.
        total_frames: T; each row stands for the frames of the clip that are nearest to it.
        rules: thresholds.
        from_depth: false for an overlap from poses alone.

    Returns:
        Pairs ordered by frame; density = share of the T frames that have a partner.
    """
    rules = rules or RevisitRules()
    frames = np.asarray(frames, np.int64)
    with np.errstate(invalid="ignore"):
        enough = overlap >= rules.pair_from
        away = overlap < rules.away_below
    apart = (frames[None, :] - frames[:, None]) / float(fps) >= rules.apart_s - 1e-9
    rows, columns = np.nonzero(enough & apart)
    kept = [(i, j) for i, j in zip(rows, columns, strict=True) if (away[i, i + 1 : j] & away[j, i + 1 : j]).any()]
    pairs = np.array(kept, np.int64).reshape(-1, 2)
    with_partner = np.zeros(len(frames), bool)
    with_partner[pairs] = True
    density = float(_frames_per_row(frames, total_frames)[with_partner].sum() / total_frames) if total_frames else 0.0
    return Revisits(
        pairs=frames[pairs].astype(np.int32).reshape(-1, 2),
        overlap=overlap[pairs[:, 0], pairs[:, 1]].astype(np.float32),
        density=density,
        from_depth=from_depth,
    )


def _frames_per_row(frames: np.ndarray, total: int) -> np.ndarray:
    """(N,) how many frames of the clip lie nearest to each row; a tie is shared, the same both ways in time."""
    if not len(frames):
        return np.zeros(0)
    middle = (frames[1:] + frames[:-1]) / 2
    edge = np.r_[-0.5, middle, total - 0.5]
    return np.diff(edge)


def _comparable(camera: Camera, frames: np.ndarray) -> np.ndarray:
    """(N, N) bool: both have a pose, and lengths of one scale."""
    group = camera.scale_group[frames]
    valid = camera.valid[frames]
    return valid[:, None] & valid[None, :] & (group[:, None] == group[None, :])


def _assumed_depth(camera: Camera, fps: Fraction | float, rules: RevisitRules) -> np.ndarray:
    """(T,) scene depth for overlap from poses alone."""
    known = camera.median_depth
    if known is not None and np.isfinite(known).any():
        return np.where(np.isfinite(known), known, np.nanmedian(known)).astype(np.float64)
    if camera.scale == "metric":
        return np.full(len(camera), rules.metric_depth_m)
    same = camera.scale_group[1:] == camera.scale_group[:-1]
    step = np.linalg.norm(np.diff(camera.c2w[:, :3, 3], axis=0), axis=1)[same]
    step = step[np.isfinite(step) & (step > 0)]
    usual = float(np.percentile(step, 90)) * float(fps) if len(step) else 0.0
    return np.full(len(camera), max(usual * rules.relative_depth_s, 1e-9))


def _world_points(z: np.ndarray, valid: np.ndarray, k: np.ndarray, c2w: np.ndarray) -> np.ndarray:
    """(M, 3) world points of the valid pixels."""
    uv = pixel_centres(z.shape[1], z.shape[0])[valid]
    return unproject(uv, z[valid].astype(np.float64), c2w, k)


def _share_seen(
    points: np.ndarray, z_j: np.ndarray, valid_j: np.ndarray, k_j: np.ndarray, w2c_j: np.ndarray, tolerance: float
) -> float:
    if not np.isfinite(w2c_j).all() or not np.isfinite(points).all():
        return float("nan")
    if not len(points):
        return 0.0
    x, y, z = (points @ w2c_j[:3, :3].T + w2c_j[:3, 3]).T
    ahead = z > 1e-9
    x, y, z = x[ahead], y[ahead], z[ahead]
    u, v = k_j[0] * x / z + k_j[2], k_j[1] * y / z + k_j[3]
    height, width = z_j.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    column, row = u[inside].astype(np.intp), v[inside].astype(np.intp)
    judged = valid_j[row, column]
    if not judged.any():
        return 0.0
    in_sight = z[inside][judged] <= z_j[row[judged], column[judged]] * (1.0 + tolerance)
    return float(inside.sum() / len(points) * in_sight.mean())
