"""The camera's path from above as plain geometry: what a clip's page draws as SVG and follows with its cursor.

Page coordinates are pixels of the drawing, x to the right and y down; the first heading points up the page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from worldloom.catalogs.clip import Camera
from worldloom.report.paths import Track, align_track, ground_axes, track_of

WIDTH, HEIGHT = 360, 290
"""Of the drawing of one path, pixels."""
MARGIN, BAR_ROOM = 24, 12
"""Pixels kept free around a path, and below it for the scale bar."""
MOST_STRETCHES = 120
"""Pieces of one colour that a path is drawn in; more look the same and weigh more."""
MOST_TICKS = 14
MOST_PANELS = 9
"""Scale groups that get a panel of their own, the longest ones."""
STANDS = 1e-5
"""A path shorter than this, in its own unit, is a camera that stays in place."""

RAMP = ((59, 110, 165), (53, 160, 156), (148, 170, 60), (227, 166, 47), (216, 90, 48))
"""Colours from the first frame to the last: cold to warm."""


@dataclass
class Panel:
    """One scale group (or all of them, laid on the truth), ready to draw.

    Attributes:
        x: left edge in the drawing.
        y: upper edge.
        width: pixels.
        height: pixels.
        title: above it; empty for a single panel.
        stretches: pieces of the path as points of a polyline, and their colour.
        gaps: stretches without a pose, each a dotted line between the poses around it.
        ticks: headings, each a line x0 y0 x1 y1 with the colour of its time.
        truth: the true path, points of polylines.
        start: where it begins.
        end: where it ends.
        bar: length of the scale bar in pixels; 0 where lengths mean nothing.
        bar_says: the same in the unit of the path.
    """

    x: float
    y: float
    width: float
    height: float
    title: str = ""
    stretches: list[tuple[str, str]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    ticks: list[tuple[float, float, float, float, str]] = field(default_factory=list)
    truth: list[str] = field(default_factory=list)
    start: tuple[float, float] | None = None
    end: tuple[float, float] | None = None
    bar: float = 0.0
    bar_says: str = ""


@dataclass
class Plan:
    """The drawing.

    Attributes:
        width: pixels.
        height: pixels.
        panels: one, or one per scale group.
        place: (T, 2) where the camera is at each frame, NaN where it has no pose.
        heading: (T, 2) unit vector into which it looks, seen from above.
        true_place: (T, 2) where it truly is; None without truth.
        true_heading: (T, 2).
        says: what the drawing cannot say: errors, missing poses, groups left out.
    """

    width: float
    height: float
    panels: list[Panel]
    place: np.ndarray
    heading: np.ndarray
    true_place: np.ndarray | None = None
    true_heading: np.ndarray | None = None
    says: list[str] = field(default_factory=list)


def plan_of(camera: Camera | None, truth: Camera | None = None) -> Plan | None:
    """The path from above, laid on the truth where that is known; None where no frame has a pose.

    Without truth every scale group has a panel and a scale bar of its own: lengths compare only inside one.

    Args:
        camera: T frames, as estimated or given by the source.
        truth: of the same frames, metres.
    """
    truth, camera = _posed(truth), _posed(camera)
    if camera is None and truth is None:
        return None
    reference = truth if truth is not None else camera
    assert reference is not None
    shown = camera if camera is not None else reference
    track = align_track(shown, truth) if truth is not None and camera is not None else track_of(shown)
    axes = np.stack(ground_axes(reference), 1)
    flat, ahead = track.positions @ axes, _units(track.headings @ axes)
    flat[:, 1], ahead[:, 1] = -flat[:, 1], -ahead[:, 1]  # up the page is smaller y
    true_flat = true_ahead = None
    if truth is not None:
        true_track = track_of(truth)
        true_flat, true_ahead = true_track.positions @ axes, _units(true_track.headings @ axes)
        true_flat[:, 1], true_ahead[:, 1] = -true_flat[:, 1], -true_ahead[:, 1]
    groups, left_out = _groups(track, together=truth is not None)
    plan = _laid_out(len(groups), flat, ahead)
    if left_out:
        plan.says.append(f"{left_out} more scale groups are not drawn, the shortest ones")
    for panel, (name, rows) in zip(plan.panels, groups, strict=True):
        panel.title = name
        _fill(panel, plan, flat, rows, reference, true_flat if truth is not None else None)
    plan.true_heading = true_ahead
    plan.says += _words(track, camera, truth)
    return plan


def _posed(camera: Camera | None) -> Camera | None:
    """The camera with `valid` where its numbers are finite; None where that is nowhere."""
    if camera is None:
        return None
    valid = camera.valid & np.isfinite(camera.c2w).all(axis=(1, 2))
    return replace(camera, valid=valid) if valid.any() else None


def _units(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > 1e-6, vectors / length, np.nan)


def _groups(track: Track, together: bool) -> tuple[list[tuple[str, np.ndarray]], int]:
    """Name and rows (T,) bool of what shares a panel, and how many groups have none."""
    posed = np.isfinite(track.positions).all(axis=1)
    numbers = [int(number) for number in np.unique(track.groups[posed])]
    if together or len(numbers) <= 1:
        return [("", posed)], 0
    sizes = {number: int((posed & (track.groups == number)).sum()) for number in numbers}
    kept = sorted(sorted(numbers, key=lambda number: -sizes[number])[:MOST_PANELS])
    return [(f"group {number}", posed & (track.groups == number)) for number in kept], len(numbers) - len(kept)


def _laid_out(count: int, flat: np.ndarray, ahead: np.ndarray) -> Plan:
    columns = 1 if count == 1 else 2 if count <= 4 else 3
    width, height = WIDTH / columns, HEIGHT / columns
    panels = [Panel(at % columns * width, at // columns * height, width, height) for at in range(count)]
    rows = -(-count // columns)
    return Plan(WIDTH, rows * height, panels, np.full_like(flat, np.nan), ahead)


def _fill(
    panel: Panel, plan: Plan, flat: np.ndarray, rows: np.ndarray, reference: Camera, true_flat: np.ndarray | None
) -> None:
    """Draw the frames of `rows` into a panel, and put their places into the plan."""
    drawn = [flat[rows]] + ([] if true_flat is None else [true_flat[np.isfinite(true_flat[:, 0])]])
    points = np.concatenate(drawn)
    low, high = points.min(axis=0), points.max(axis=0)
    span = high - low
    stands = float(span.max()) <= STANDS or reference.scale == "none"
    margin = MARGIN * (panel.width / WIDTH) ** 0.5
    inner = np.array([panel.width, panel.height]) - 2 * margin - [0, BAR_ROOM]
    factor = 0.0 if stands else float((inner / np.maximum(span, 1e-12)).min())
    origin = np.array([panel.x + panel.width / 2, panel.y + (panel.height - BAR_ROOM) / 2])
    centre = (low + high) / 2
    plan.place[rows] = origin + (flat[rows] - centre) * factor
    _draw_path(panel, plan, rows, stands)
    if true_flat is not None:
        plan.true_place = origin + (true_flat - centre) * factor
        panel.truth = [_points(plan.true_place[run]) for run in _runs(np.isfinite(plan.true_place[:, 0]))]
    if not stands and reference.scale != "none":
        length = _round_length(0.3 * panel.width / factor)
        unit = "m" if reference.scale == "metric" else "units"
        panel.bar, panel.bar_says = length * factor, f"{length:g} {unit}"


def _draw_path(panel: Panel, plan: Plan, rows: np.ndarray, stands: bool) -> None:
    frames = np.flatnonzero(rows)
    total = max(1, len(rows) - 1)
    runs = [run for run in _runs(rows) if len(run)]
    if not stands:
        step = max(1, -(-len(frames) // MOST_STRETCHES))
        for run in runs:
            for first in range(0, max(1, len(run) - 1), step):
                piece = run[first : first + step + 1]
                panel.stretches.append((_points(plan.place[piece]), colour_at(piece[len(piece) // 2] / total)))
        panel.gaps = [_points(plan.place[[before[-1], after[0]]]) for before, after in pairwise(runs)]
    reach = panel.height * (0.34 if stands else 0.06)
    for frame in frames[:: max(1, -(-len(frames) // MOST_TICKS))]:
        if np.isfinite(plan.heading[frame]).all():
            start, tip = plan.place[frame], plan.place[frame] + reach * plan.heading[frame]
            panel.ticks.append((*np.round([*start, *tip], 1).tolist(), colour_at(frame / total)))
    panel.start, panel.end = _pair(plan.place[frames[0]]), _pair(plan.place[frames[-1]])


def _words(track: Track, camera: Camera | None, truth: Camera | None) -> list[str]:
    says = []
    if camera is None:
        return ["the truth alone: this clip has no poses of its own"]
    if truth is not None:
        parts = [(group, rmse, length) for group, rmse, length in track.rmse if length > 0]
        for group, rmse, length in parts:
            name = f"group {group}: " if len(parts) > 1 else ""
            share = 100 * rmse / length
            percent = f"{share:.2g} %" if share >= 0.01 else "less than 0.01 %"
            says.append(f"{name}off by {100 * rmse:.1f} cm, {percent} of the path (RMSE, aligned)")
        if not parts:
            says.append("no length to compare: the estimate knows rotation only, or the camera stays in place")
    elif camera.scale == "none" or not track.known:
        says.append("translation means nothing here: the lines show where the camera looked")
    missing = [run for run in _runs(~camera.valid) if len(run)]
    if missing:
        listed = ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in missing[:4])
        more = f" and {len(missing) - 4} more stretches" if len(missing) > 4 else ""
        says.append(f"no pose at {int((~camera.valid).sum())} frames: {listed}{more}")
    return says


def _runs(mask: np.ndarray) -> list[np.ndarray]:
    """Frame numbers of every unbroken stretch in which the mask holds."""
    frames = np.flatnonzero(mask)
    return np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if len(frames) else []


def _points(places: np.ndarray) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _pair(place: np.ndarray) -> tuple[float, float]:
    return round(float(place[0]), 1), round(float(place[1]), 1)


def _round_length(most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not larger than `most`."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)))


def colour_at(share: float) -> str:
    """Colour of a moment, `#rrggbb`.

    Args:
        share: of the clip's length, 0 to 1.
    """
    at = min(max(share, 0.0), 1.0) * (len(RAMP) - 1)
    low = min(int(at), len(RAMP) - 2)
    mixed = [round(a + (b - a) * (at - low)) for a, b in zip(RAMP[low], RAMP[low + 1], strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)
