"""Motion of a camera: speeds and turning rates from poses, and back to poses by the midpoint rule.

Motion is (T, 4): speed to the right and forward, yaw rate (right positive) and pitch rate (up positive, deg/s).
Entry i moves frame i to frame i + 1; the last entry means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import fsum

import numpy as np

from worldloom.catalogs.clip import Camera

_STEEP = 0.1
"""Horizontal part of the forward axis below which heading is read from the right axis (84 deg from level)."""


@dataclass(eq=False)
class Motion:
    """What the labels are made from.

    Attributes:
        values: (T, 4) speed to the right and forward in units of translation per second, yaw rate (right positive)
            and pitch rate (up positive) in degrees per second; NaN where nothing was measured.
        up: how the ground plane was found: `known`, `estimated` or `camera`.
        first: (T,) first frame of the window around each step.
        last: (T,) last frame of it; equal to `first` where there is no step.
    """

    values: np.ndarray
    up: str
    first: np.ndarray
    last: np.ndarray


def camera_motion(camera: Camera, fps: Fraction | float, window_s: float = 0.1) -> Motion:
    """Motion around the step from each frame to the next, over a window of about 2 x `window_s`.

    The window of step i runs from frame i + 1 - h to i + h, h = max(1, round(window_s x fps)), made smaller at the
    ends of the clip, both sides alike. Displacement is expressed in the average heading of the window's ends.

    Args:
        camera: T frames.
        fps: frames per second.
        window_s: half the window, in seconds; at least one frame (definitions 2; default ours).
    """
    length = len(camera)
    first, last = _windows(length, max(1, round(window_s * float(fps))))
    values = np.full((length, 4), np.nan)
    up, kind = _up(camera)
    step = np.arange(max(0, length - 1))
    a, b = first[step], last[step]
    after = step + 1
    posed = camera.valid[a] & camera.valid[b] & camera.valid[step] & camera.valid[after]
    step, a, b = step[posed], a[posed], b[posed]
    start, end = camera.c2w[a], camera.c2w[b]
    per_second = float(fps) / (b - a)
    if up is None:
        right, ahead, yaw, pitch = _motion_in_camera(start, end)
    else:
        right, ahead, yaw, pitch = _motion_on_ground(start, end, up)
    comparable = camera.translation_known[a] & camera.translation_known[b]
    comparable &= camera.scale_group[a] == camera.scale_group[b]
    if camera.scale == "none":
        comparable[:] = False
    values[step, 0] = np.where(comparable, right * per_second, np.nan)
    values[step, 1] = np.where(comparable, ahead * per_second, np.nan)
    values[step, 2] = np.degrees(yaw) * per_second
    values[step, 3] = np.degrees(pitch) * per_second
    return Motion(values, kind, first, last)


def _windows(length: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    step = np.arange(length)
    half_here = np.minimum(half, np.minimum(step + 1, length - 1 - step))
    first = step + 1 - half_here
    last = step + half_here
    return np.minimum(first, step), np.maximum(last, step)


def _up(camera: Camera) -> tuple[np.ndarray | None, str]:
    if camera.up is not None:
        return np.asarray(camera.up, np.float64) / np.linalg.norm(camera.up), "known"
    down = camera.c2w[camera.valid, :3, 1]
    if len(down):
        # fsum is exact, so a reversed path has the very same mean.
        mean = np.array([fsum(column) / len(down) for column in down.T])
        norm = float(np.linalg.norm(mean))
        if norm > 0.5:  # a camera that tumbles has no mean up (ours)
            return -mean / norm, "estimated"
    return None, "camera"


# The sums below are written out, component by component: exchanging the ends of a window then negates every result
# exactly, to the last bit, which a matrix product on blocks of rows does not promise.


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        axis=-1,
    )


def _unit(a: np.ndarray) -> np.ndarray:
    norm = np.sqrt(_dot(a, a))
    return a / np.where(norm > 0, norm, 1.0)[..., None]


def _heading(c2w: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Horizontal direction a camera looks to, (..., 3); from its right axis where it looks straight up or down."""
    ahead = c2w[..., :3, 2]
    level = ahead - _dot(ahead, up)[..., None] * up
    from_right = _cross(np.broadcast_to(up, ahead.shape), c2w[..., :3, 0])
    steep = np.sqrt(_dot(level, level)) < _STEEP
    return _unit(np.where(steep[..., None], from_right, level))


def _motion_on_ground(
    start: np.ndarray, end: np.ndarray, up: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Displacement to the right and ahead, turn to the right and upwards (radians)."""
    heading_start, heading_end = _heading(start, up), _heading(end, up)
    ahead = _unit(heading_start + heading_end)
    right = _cross(ahead, np.broadcast_to(up, ahead.shape))
    step = end[:, :3, 3] - start[:, :3, 3]
    yaw = np.arctan2(-_dot(_cross(heading_start, heading_end), up), _dot(heading_start, heading_end))
    pitch = _elevation(end, up) - _elevation(start, up)
    return _dot(step, right), _dot(step, ahead), yaw, pitch


def _elevation(c2w: np.ndarray, up: np.ndarray) -> np.ndarray:
    ahead = c2w[..., :3, 2]
    vertical = _dot(ahead, up)
    level = ahead - vertical[..., None] * up
    return np.arctan2(vertical, np.sqrt(_dot(level, level)))


def _motion_in_camera(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same without an up: along the mean axes of the two cameras, turn as a rotation vector."""
    right = _unit(start[:, :3, 0] + end[:, :3, 0])
    ahead = _unit(start[:, :3, 2] + end[:, :3, 2])
    step = end[:, :3, 3] - start[:, :3, 3]
    axes_start = [start[:, :3, i] for i in range(3)]
    axes_end = [end[:, :3, i] for i in range(3)]
    skew = np.stack(
        [
            _dot(axes_start[2], axes_end[1]) - _dot(axes_start[1], axes_end[2]),
            _dot(axes_start[0], axes_end[2]) - _dot(axes_start[2], axes_end[0]),
            _dot(axes_start[1], axes_end[0]) - _dot(axes_start[0], axes_end[1]),
        ],
        axis=-1,
    )
    trace = _dot(axes_start[0], axes_end[0]) + _dot(axes_start[1], axes_end[1]) + _dot(axes_start[2], axes_end[2])
    sine = np.sqrt(_dot(skew, skew))
    turn = skew * (np.arctan2(sine, trace - 1.0) / np.where(sine > 0, sine, 1.0))[:, None]
    return _dot(step, right), _dot(step, ahead), turn[:, 1], turn[:, 0]


def integrate_midpoint(motion: np.ndarray, fps: Fraction | float, start: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Camera path of a motion: each step moves along the heading half-way through its turn.

    The heading half-way is the average heading of the step's ends, so this inverts `camera_motion` with a window of
    one step, up to rounding. Height stays; a roll of the start pose stays.

    Args:
        motion: (T, 4) as of `camera_motion`; entry i moves frame i to frame i + 1, the last is not read. NaN stands
            still.
        fps: frames per second.
        start: (4, 4) first pose, not looking straight up or down.
        up: (3,) against gravity.

    Returns:
        (T, 4, 4), one pose per entry of `motion`.
    """
    from scipy.spatial.transform import Rotation

    step = np.nan_to_num(np.asarray(motion, np.float64)[:-1]) / float(fps)
    up = np.asarray(up, np.float64) / np.linalg.norm(up)
    start = np.asarray(start, np.float64)
    ahead = _heading(start, up)
    right = np.cross(ahead, up)
    yaw = np.radians(np.r_[0.0, np.cumsum(step[:, 2])])
    pitch = np.radians(np.r_[0.0, np.cumsum(step[:, 3])])
    half_way = ((yaw[:-1] + yaw[1:]) / 2)[:, None]
    ahead_then = np.cos(half_way) * ahead + np.sin(half_way) * right
    right_then = np.cos(half_way) * right - np.sin(half_way) * ahead
    moved = step[:, :1] * right_then + step[:, 1:2] * ahead_then
    turned = Rotation.from_rotvec(-yaw[:, None] * up) * Rotation.from_rotvec(pitch[:, None] * right)
    path = np.tile(start, (len(yaw), 1, 1))
    path[:, :3, :3] = turned.as_matrix() @ start[:3, :3]
    path[1:, :3, 3] += np.cumsum(moved, axis=0)
    return path
