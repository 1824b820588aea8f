"""From camera motion to tri-state action labels and back; the rules of label and truth alike.

Ten moves and ten views, numbered as in Infinite-World. `action[i]` moves frame i to frame i + 1; the last entry is 9.
Motion is (T, 4): speed to the right and forward, yaw rate (right positive) and pitch rate (up positive, deg/s).

Three decisions that the definition leaves to the reader:
- where translation is unknown the move is 9, also for a camera that is known to stand or to turn in place, because
  nothing seen bounds a slow walk in front of a far scene;
- u = speed / median scene depth, the median over all frames of a scale group, so that a steady walk keeps a steady u;
- a relative camera without scene depth takes its own unit as the depth (unit `unit/s`).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from pydantic import model_validator

from worldloom.catalogs.clip import Actions, Camera
from worldloom.catalogs.config import Strict
from worldloom.catalogs.motion import Motion as Motion
from worldloom.catalogs.motion import camera_motion as camera_motion
from worldloom.catalogs.motion import integrate_midpoint as integrate_midpoint

MOVES = (
    "no-op",
    "go forward",
    "go back",
    "go left",
    "go right",
    "go forward and go left",
    "go forward and go right",
    "go back and go left",
    "go back and go right",
    "uncertain",
)
VIEWS = (
    "no-op",
    "turn up",
    "turn down",
    "turn left",
    "turn right",
    "turn up and turn left",
    "turn up and turn right",
    "turn down and turn left",
    "turn down and turn right",
    "uncertain",
)
INVERSE = np.array([0, 2, 1, 4, 3, 8, 7, 6, 5, 9], np.uint8)
"""The action that undoes each action, for move and view alike."""
UNCERTAIN = 9

SIDE_AHEAD = ((0, 0), (0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1))
"""Direction of actions 0..8: (right, forward) of a move, (right, up) of a view."""


class ActionRules(Strict):
    """Thresholds of the labels; all defaults ours (definitions 2), the papers give none.

    Attributes:
        window_s: half the window of poses around a step, in seconds; at least one frame.
        metric_floor_m_s: metric speed below which a move is no-op.
        metric_trigger_m_s: metric speed from which a move has a direction.
        relative_floor_u: least floor of relative moves, median scene depths per second.
        relative_floor_share: floor of relative moves as a share of u_ref, the clip's usual speed.
        relative_trigger_share: trigger of relative moves as a share of u_ref.
        relative_trigger_floors: least trigger of relative moves as a multiple of their floor.
        noise_sigmas: floor of relative moves in standard deviations of the speed that the poses' noise gives.
        reference_percentile: of u over the clip's moving frames: u_ref.
        view_floor_deg_s: turning rate below which a view is no-op.
        view_trigger_deg_s: turning rate from which a view has a direction.
        sector_margin_deg: a direction this close to the edge of its 45 degree sector is uncertain.
        min_run_s: a run of one direction shorter than this becomes uncertain.
    """

    window_s: float = 0.1
    metric_floor_m_s: float = 0.15
    metric_trigger_m_s: float = 0.40
    relative_floor_u: float = 0.01
    relative_floor_share: float = 0.15
    relative_trigger_share: float = 0.4
    relative_trigger_floors: float = 2.0
    noise_sigmas: float = 3.0
    reference_percentile: float = 90.0
    view_floor_deg_s: float = 4.0
    view_trigger_deg_s: float = 10.0
    sector_margin_deg: float = 5.0
    min_run_s: float = 0.2

    @model_validator(mode="after")
    def _bands_are_open(self) -> ActionRules:
        if not 0 < self.metric_floor_m_s < self.metric_trigger_m_s:
            raise ValueError("metric_trigger_m_s must be larger than metric_floor_m_s, and both positive")
        if not 0 < self.view_floor_deg_s < self.view_trigger_deg_s:
            raise ValueError("view_trigger_deg_s must be larger than view_floor_deg_s, and both positive")
        if not (self.relative_trigger_floors > 1 and self.relative_floor_u > 0):
            raise ValueError("relative_trigger_floors must be larger than 1 and relative_floor_u positive")
        return self


def label_actions(
    camera: Camera,
    fps: Fraction | float,
    rules: ActionRules | None = None,
    depth_scale: float | None = None,
) -> Actions:
    """Tri-state labels of a camera path (definitions 2).

    `label(reverse(camera)) == reverse(label(camera))` holds exactly, margins and motion included.

    Args:
        camera: T frames.
        fps: frames per second.
        rules: thresholds.
        depth_scale: median scene depth in the camera's unit of length; replaces `camera.median_depth`.

    Returns:
        Labels with unit `m/s` (metric), `depth/s` or `unit/s` (relative), `none` (no translation).
    """
    rules = rules or ActionRules()
    motion = camera_motion(camera, fps, rules.window_s)
    if camera.scale == "metric":
        values, unit = motion.values, "m/s"
        move_band = (rules.metric_floor_m_s, rules.metric_trigger_m_s)
    else:
        depth = _scene_depth(camera, depth_scale)
        values = motion.values.copy()
        values[:, :2] /= depth[motion.first][:, None]
        unit = "none" if camera.scale == "none" else "depth/s"
        if unit == "depth/s" and depth_scale is None and camera.median_depth is None:
            unit = "unit/s"
        move_band = _relative_band(values, _speed_noise(camera, motion, depth, fps), rules)
    return label_motion(values, fps, move_band, rules, unit=unit, up=motion.up)


def true_actions(motion: np.ndarray, fps: Fraction | float, rules: ActionRules | None = None) -> Actions:
    """Truth for scoring: the same thresholds on the instantaneous, noise-free motion, so truth holds 9s too.

    Args:
        motion: (T, 4) metres and degrees per second; entry i moves frame i to frame i + 1. The last is not read.
        fps: frames per second.
        rules: thresholds.
    """
    rules = rules or ActionRules()
    values = np.array(motion, np.float64)
    values[-1:] = np.nan
    return label_motion(values, fps, (rules.metric_floor_m_s, rules.metric_trigger_m_s), rules)


def label_motion(
    motion: np.ndarray,
    fps: Fraction | float,
    move_band: tuple[float, float],
    rules: ActionRules,
    unit: str = "m/s",
    up: str = "known",
) -> Actions:
    """Labels from motion: band, sector, sector margin, shortest run.

    Args:
        motion: (T, 4), NaN where unknown (label 9).
        fps: frames per second.
        move_band: floor and trigger of moves, in the unit of `motion`'s speed.
        rules: for all else.
        unit: name of the unit of speed.
        up: how the ground plane was found.
    """
    motion = np.array(motion, np.float64)
    motion[-1:] = np.nan
    view_band = (rules.view_floor_deg_s, rules.view_trigger_deg_s)
    shortest = rules.min_run_s * float(fps)
    move, move_margin = _label_group(motion[:, 0], motion[:, 1], move_band, rules.sector_margin_deg, shortest)
    view, view_margin = _label_group(motion[:, 2], motion[:, 3], view_band, rules.sector_margin_deg, shortest)
    margins = np.stack([move_margin, view_margin], axis=1).astype(np.float32)
    return Actions(move, view, margins, motion, unit=unit, up=up, thresholds=(*move_band, *view_band))


def _scene_depth(camera: Camera, depth_scale: float | None) -> np.ndarray:
    """(T,) median scene depth of each frame's scale group; 1 where nothing is known."""
    depth = np.ones(len(camera))
    if depth_scale is not None:
        depth[:] = depth_scale
        return depth
    if camera.median_depth is None:
        return depth
    known = np.isfinite(camera.median_depth) & (camera.median_depth > 0)
    if known.any():
        depth[:] = np.median(camera.median_depth[known])
    for group in np.unique(camera.scale_group):
        inside = camera.scale_group == group
        if (inside & known).any():
            depth[inside] = np.median(camera.median_depth[inside & known])
    return depth


def _speed_noise(camera: Camera, motion: Motion, depth: np.ndarray, fps: Fraction | float) -> float:
    """Standard deviation of u that the noise of two poses gives a camera that stands: median over the clip."""
    if camera.sigma_position is None:
        return 0.0
    sigma = np.asarray(camera.sigma_position, np.float64)
    seconds = (motion.last - motion.first) / float(fps)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.sqrt(sigma[motion.first] ** 2 + sigma[motion.last] ** 2) / seconds / depth[motion.first]
    noise = noise[np.isfinite(noise) & np.isfinite(motion.values[:, 0])]
    return float(np.median(noise)) if len(noise) else 0.0


def _relative_band(values: np.ndarray, noise: float, rules: ActionRules) -> tuple[float, float]:
    """Floor and trigger of relative moves; a frame counts as moving above what is noise whatever the clip's speed."""
    speed = _magnitude(values[:, 0], values[:, 1])
    still = max(rules.noise_sigmas * noise, rules.relative_floor_u)
    moving = speed[speed >= still]
    reference = float(np.percentile(moving, rules.reference_percentile)) if len(moving) else 0.0
    floor = max(still, rules.relative_floor_share * reference)
    return floor, max(rules.relative_trigger_floors * floor, rules.relative_trigger_share * reference)


def _magnitude(side: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    return np.sqrt(side * side + ahead * ahead)


def _label_group(
    side: np.ndarray, ahead: np.ndarray, band: tuple[float, float], sector_margin_deg: float, shortest_frames: float
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (T,) and margins (T,) of one group from its two components."""
    floor, trigger = band
    size = _magnitude(side, ahead)
    width = trigger - floor
    inside = -np.minimum(size - floor, trigger - size)
    margin = np.where(size < floor, floor - size, np.where(size >= trigger, size - trigger, inside)) / width
    labels = np.full(len(size), UNCERTAIN, np.uint8)
    labels[size < floor] = 0
    direction = _sector(side, ahead, sector_margin_deg)
    labels = np.where(size >= trigger, direction, labels)
    return _drop_short_runs(labels, shortest_frames), margin


def _sector(side: np.ndarray, ahead: np.ndarray, margin_deg: float) -> np.ndarray:
    """Actions 1..8 by 45 degree sectors, 9 near an edge. Works on magnitudes, so opposite motions mirror exactly."""
    angle = np.degrees(np.arctan2(np.abs(side), np.abs(ahead)))
    to_side = np.where(side > 0, 1, -1) * (angle > 22.5)
    to_ahead = np.where(ahead > 0, 1, -1) * (angle < 67.5)
    table = np.full((3, 3), UNCERTAIN, np.uint8)
    for action, (right, forward) in enumerate(SIDE_AHEAD[1:], start=1):
        table[right + 1, forward + 1] = action
    labels = table[to_side + 1, to_ahead + 1]
    near_edge = np.minimum(np.abs(angle - 22.5), np.abs(angle - 67.5)) <= margin_deg
    return np.where(near_edge, np.uint8(UNCERTAIN), labels)


def _drop_short_runs(labels: np.ndarray, shortest_frames: float) -> np.ndarray:
    if not len(labels):
        return labels
    start = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    length = np.diff(np.r_[start, len(labels)])
    short = (length < shortest_frames - 1e-9) & (labels[start] != 0) & (labels[start] != UNCERTAIN)
    return np.where(np.repeat(short, length), np.uint8(UNCERTAIN), labels)


def reverse_actions(actions: Actions) -> Actions:
    """Labels of the clip played backwards: entry j is the inverse of entry T - 2 - j, the last is 9 (definitions 5)."""
    length = len(actions)
    order = np.arange(length - 2, -1, -1)
    move, view = np.full(length, UNCERTAIN, np.uint8), np.full(length, UNCERTAIN, np.uint8)
    margins = np.full((length, 2), np.nan, np.float32)
    motion = np.full((length, 4), np.nan)
    move[: len(order)] = INVERSE[actions.move[order]]
    view[: len(order)] = INVERSE[actions.view[order]]
    margins[: len(order)] = actions.margins[order]
    motion[: len(order)] = 0.0 - actions.motion[order]  # not -x: no negative zeros
    return Actions(move, view, margins, motion, actions.unit, actions.up, actions.thresholds)


def command_motion(move: int, view: int, speed_m_s: float, turn_deg_s: float) -> np.ndarray:
    """Motion (4,) of one action; a diagonal has the same speed as a straight one.

    Raises:
        ValueError: an action outside 0..8 (9, uncertain, commands nothing).
    """
    if not (0 <= move <= 8 and 0 <= view <= 8):
        raise ValueError(f"move {move} and view {view} do not command a motion; 0..8 expected")
    motion = np.array([*SIDE_AHEAD[move], *SIDE_AHEAD[view]], np.float64)
    motion[:2] *= speed_m_s / max(1.0, float(np.hypot(motion[0], motion[1])))
    motion[2:] *= turn_deg_s / max(1.0, float(np.hypot(motion[2], motion[3])))
    return motion
