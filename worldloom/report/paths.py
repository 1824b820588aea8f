"""Camera paths from above: the estimate laid on the truth, scale group by scale group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worldloom.catalogs.cameras import align_sim3
from worldloom.catalogs.clip import Camera
from worldloom.report.figure import ESTIMATE, FAINT, INK, MUTED, TRUTH, figure, quiet, to_png

CONE = tuple(np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) for a in (-0.5, 0.5))
"""Turns by which the two sides of a view cone stand off the heading (not the field of view: a sign)."""


@dataclass
class Track:
    """A path ready to draw.

    Attributes:
        positions: (T, 3) in the world it is drawn in; NaN where there is nothing to draw.
        headings: (T, 3) viewing directions there.
        groups: (T,) scale group.
        known: whether lengths mean something anywhere.
    """

    positions: np.ndarray
    headings: np.ndarray
    groups: np.ndarray
    known: bool = True
    rmse: list[tuple[int, float, float]] = field(default_factory=list)
    """Per group: its number, RMSE of position and length of the true path, after alignment."""


def track_of(camera: Camera) -> Track:
    """The camera's own path, unaligned."""
    positions = camera.c2w[:, :3, 3].copy()
    positions[~camera.valid] = np.nan
    headings = camera.c2w[:, :3, 2].copy()
    headings[~camera.valid] = np.nan
    known = camera.scale != "none" and bool((camera.valid & camera.translation_known).any())
    return Track(positions, headings, np.asarray(camera.scale_group), known)


def align_track(estimate: Camera, truth: Camera) -> Track:
    """The estimate in the world of the truth: Sim(3) of the positions per scale group.

    Headings are turned by the mean rotation between both, because a straight path leaves the rotation about itself
    open. A group whose translation is unknown is put where the truth is, with its own headings.

    Args:
        estimate: (T) camera in any frame of reference and scale.
        truth: (T) camera in metres.
    """
    track = track_of(estimate)
    both = estimate.valid & truth.valid
    placed = np.full_like(track.positions, np.nan)
    turned = np.full_like(track.headings, np.nan)
    true_positions = truth.c2w[:, :3, 3]
    for group in np.unique(estimate.scale_group[both]):
        here = both & (estimate.scale_group == group)
        turn = _mean_rotation(truth.c2w[here, :3, :3] @ np.swapaxes(estimate.c2w[here, :3, :3], -1, -2))
        turned[here] = track.headings[here] @ turn.T
        moving = here & estimate.translation_known if estimate.scale != "none" else np.zeros_like(here)
        if moving.sum() < 3 or np.ptp(true_positions[moving], axis=0).max() < 1e-6:
            placed[here] = true_positions[here]
            continue
        scale, rotation, shift = align_sim3(track.positions[moving], true_positions[moving])
        placed[here] = scale * track.positions[here] @ rotation.T + shift
        error = np.linalg.norm(placed[moving] - true_positions[moving], axis=1)
        length = float(np.linalg.norm(np.diff(true_positions[moving], axis=0), axis=1).sum())
        track.rmse.append((int(group), float(np.sqrt((error**2).mean())), length))
    track.positions, track.headings = placed, turned
    return track


def paths_from_above(
    estimated: Camera | None, truth: Camera | None = None, title: str = "", name: str = "estimate"
) -> bytes:
    """Camera paths from above as a PNG: equal axes, start marked, a tick per half second into the viewing direction.

    Args:
        estimated: aligned to the truth where there is one.
        truth: in metres.
        title: above the plot.
        name: of the first path in the legend.
    """
    with figure(3.5, 3.5) as drawn:
        draw_paths(drawn.add_axes((0.1, 0.1, 0.88, 0.88)), estimated, truth, title, name)
        return to_png(drawn)


def draw_paths(
    axes: Any, estimated: Camera | None, truth: Camera | None = None, title: str = "", name: str = "estimate"
) -> None:
    """As `paths_from_above`, into an axes."""
    reference = truth if truth is not None else estimated
    if reference is None or not reference.valid.any():
        _say(axes, "no camera path")
        return
    plane = np.stack(ground_axes(reference), 1), reference.c2w[np.flatnonzero(reference.valid)[0], :3, 3]
    shown: list[np.ndarray] = []
    if truth is not None:
        shown.append(_draw_track(axes, track_of(truth), plane, TRUTH, "truth", width=3.2, under=True))
    if estimated is not None and estimated.valid.any():
        track = align_track(estimated, truth) if truth is not None else track_of(estimated)
        name += ", aligned" if truth is not None else ""
        shown.append(_draw_track(axes, track, plane, ESTIMATE, name, width=1.5, ghost=not track.known))
    _frame(axes, np.concatenate(shown), reference, estimated)
    if title:
        axes.set_title(title, color=INK)


def ground_axes(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors that span the ground: page right and page up (the first heading points up the page).

    Up is the camera's known up, else against the mean y axis of its poses (OpenCV y points down).
    """
    poses = camera.c2w[camera.valid]
    up = camera.up if camera.up is not None else -poses[:, :3, 1].mean(axis=0)
    up = up / max(float(np.linalg.norm(up)), 1e-12)
    ahead = poses[0, :3, 2] - up * (poses[0, :3, 2] @ up)
    if np.linalg.norm(ahead) < 1e-3:  # looking straight up or down: the top of the picture is ahead
        ahead = -poses[0, :3, 1] - up * (-poses[0, :3, 1] @ up)
    ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-12)
    return np.cross(ahead, up), ahead


def _mean_rotation(rotations: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(rotations.mean(axis=0))
    return left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right


def _draw_track(
    axes: Any, track: Track, plane: tuple[np.ndarray, np.ndarray], colour: str, name: str, *,
    width: float, under: bool = False, ghost: bool = False,
) -> np.ndarray:  # fmt: skip
    """Lines per group, start, end and view cones on `plane` (axes (3, 2), origin (3,)); the (n, 2) points drawn."""
    flat = (track.positions - plane[1]) @ plane[0]
    heading = track.headings @ plane[0]
    alpha = 0.35 if under else 1.0
    groups = [group for group in np.unique(track.groups) if np.isfinite(flat[track.groups == group]).all(axis=1).any()]
    for number, group in enumerate(groups):
        line = np.where((track.groups == group)[:, None], flat, np.nan)
        axes.plot(line[:, 0], line[:, 1], color=colour, lw=width, alpha=alpha, solid_capstyle="round",
                  ls=":" if ghost else "-", label=name if number == 0 else None, zorder=3 if under else 4)  # fmt: skip
        if len(groups) > 1 and not under:
            middle = np.flatnonzero(np.isfinite(line[:, 0]))
            axes.annotate(f"group {group}", line[middle[len(middle) // 3]], xytext=(5, 5), fontsize=7, color=colour,
                          textcoords="offset points", zorder=7)  # fmt: skip
    seen = np.flatnonzero(np.isfinite(flat[:, 0]))
    if not len(seen):
        return np.zeros((0, 2))
    span = max(float(np.ptp(flat[seen], axis=0).max()), 1e-6)
    every = max(1, len(flat) // 9)
    ticks = [i for i in range(0, len(flat), every) if np.isfinite(flat[i]).all() and np.isfinite(heading[i]).all()]
    reach = 0.07 * span if span > 1e-5 else 1.0
    tips = [flat[i] + reach * heading[i] @ side for i in ticks for side in CONE]
    for number, tip in enumerate(tips):
        start = flat[ticks[number // 2]]
        axes.plot([start[0], tip[0]], [start[1], tip[1]], color=colour, lw=0.9, alpha=0.5 if under else 0.9, zorder=5)
    axes.plot(*flat[seen[0]], "o", ms=8 if under else 5, mfc="white", mec=colour, mew=1.6, zorder=6)
    axes.plot(*flat[seen[-1]], "s", ms=6 if under else 4, mfc=colour, mec="white", mew=0.6, zorder=6)
    return np.concatenate([flat[seen], np.array(tips).reshape(-1, 2)])


def _frame(axes: Any, points: np.ndarray, reference: Camera, estimated: Camera | None) -> None:
    """Equal axes round the points, a scale in the reference's unit, a legend."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, half = (low + high) / 2, max(float((high - low).max()) / 2 * 1.14, 1e-6)
    stands = not np.ptp(reference.c2w[reference.valid, :3, 3], axis=0).max() > 1e-5
    if stands:
        centre, half = np.zeros(2), 2.4
    axes.set_aspect("equal")
    axes.set_xlim(centre[0] - half, centre[0] + half)
    axes.set_ylim(centre[1] - half, centre[1] + half * 1.12)
    axes.grid(True)
    quiet(axes)
    axes.tick_params(length=0)
    axes.set_facecolor("#fdfcf9")
    if reference.scale == "metric":
        axes.set_xlabel("metres, from above · ○ start  ■ end", fontsize=7.5)
    elif reference.scale == "relative":
        axes.set_xlabel("unit of the path, from above · ○ start  ■ end", fontsize=7.5)
    if reference.scale == "none" or stands:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("the camera stays in place; lines show where it looked", fontsize=7.5)
    axes.legend(loc="upper left", ncols=2, labelcolor=INK, borderaxespad=0.2, handlelength=1.4)
    if estimated is not None and estimated.scale == "none" and reference.scale != "none":
        axes.text(0.02, 0.03, "estimate: rotation only, drawn on the truth", transform=axes.transAxes, fontsize=7.5,
                  color=MUTED)  # fmt: skip


def _say(axes: Any, text: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    quiet(axes)
    axes.text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes.transAxes, wrap=True)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
