"""Everything that is known about a clip over time, as rows of plain geometry that stretch with the window.

Frame i fills i/T to (i+1)/T of a row's width. Bars and marks are in percent of it, so that words and arrows keep their
shape at any width; curves are paths in a box T wide and 100 high that is stretched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.catalogs.clip import Actions, Clip, Event, Subjects
from worldloom.report.actions import runs
from worldloom.report.clip_pictures import DepthView
from worldloom.report.figure import ARROWS, short
from worldloom.report.timeline import CAUSE_NAMES, SIDES, known_cause

MOST_SUBJECTS = 40
"""Rows of subjects; those with most events, then those seen longest."""
MOST_ARCS = 160
"""Revisit pairs drawn, those of largest overlap."""
MARGIN_RANGE = (-1.0, 2.0)
"""Margins drawn, in units of (trigger - floor); below 0 the motion lies in the uncertain band."""


@dataclass(frozen=True)
class Bar:
    """A stretch of time: start and width in percent, class of its colour, tooltip, sign in its middle."""

    x: float
    width: float
    kind: str
    title: str = ""
    sign: str = ""


@dataclass(frozen=True)
class Mark:
    """A moment: where in percent, its sign and class, words for its tooltip; `anchor` says on which side it hangs."""

    x: float
    sign: str
    kind: str = ""
    title: str = ""
    anchor: str = "middle"


@dataclass
class Row:
    """One row of the timeline.

    Attributes:
        kind: class of its look.
        label: left of it.
        height: pixels.
        hint: tooltip of the label.
        bars: coloured stretches from the upper to the lower edge.
        strips: thin stretches at the lower edge.
        curves: path data and class.
        marks: signs at moments.
        lines: moments, percent, drawn as thin lines.
        level: height (0 at the top, 100) of a horizontal line; None for none.
    """

    kind: str
    label: str
    height: int
    hint: str = ""
    bars: list[Bar] = field(default_factory=list)
    strips: list[Bar] = field(default_factory=list)
    curves: list[tuple[str, str]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    lines: list[float] = field(default_factory=list)
    level: float | None = None


def timeline_of(clip: Clip, truth: Clip | None = None, depth: DepthView | None = None) -> list[Row]:
    """The rows that a clip has something to say in, from top to bottom.

    Args:
        clip: with its annotations.
        truth: its true actions and subjects are drawn below the clip's own.
        depth: its maps give the row of key frames.
    """
    rows: list[Row] = []
    if clip.actions is not None or (truth is not None and truth.actions is not None):
        rows += _action_rows(clip.actions, None if truth is None else truth.actions)
    if clip.actions is not None and np.isfinite(clip.actions.margins).any():
        rows.append(_margin_row(clip.actions))
    if clip.subjects is not None and len(clip.subjects):
        rows += _subject_rows(clip.subjects, clip.events, clip.frames)
    if truth is not None and truth.subjects is not None and len(truth.subjects):
        for row in _subject_rows(truth.subjects, truth.events, truth.frames):
            rows.append(replace(row, kind="subject true", label=f"true {row.label}", height=14))
    if clip.events:
        rows.append(_event_row(clip))
    if clip.revisits is not None and len(clip.revisits.pairs):
        rows.append(_revisit_row(clip))
    if clip.camera is not None:
        rows.append(_pose_row(clip))
    if clip.hands is not None:
        rows.append(_hands_row(clip))
    rows += _noted_curves(clip)
    if depth is not None and depth.maps:
        frames = [one.frame for one in depth.maps]
        hint = f"{depth.total} frames have depth" + (f", {len(frames)} shown" if depth.total > len(frames) else "")
        rows.append(Row("keys", "depth", 14, hint, marks=[_mark(i, clip.frames, "◆", "key", f"depth of frame {i}")
                                                         for i in frames]))  # fmt: skip
    cuts = _cuts(clip)
    if cuts:
        rows.append(Row("cuts", "cuts", 14, "hard cuts inside the clip", lines=[100 * i / clip.frames for i in cuts]))
    return rows


def axis_of(frames: int, fps: float) -> list[Mark]:
    """Ticks at round times: about twelve over the clip's length."""
    seconds = frames / fps
    steps = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
    step = next((step for step in steps if seconds / step <= 12), steps[-1])
    count = min(60, int(seconds / step + 1e-9))
    return [Mark(100 * i * step / seconds, f"{round(i * step, 2):g} s", anchor="start") for i in range(count + 1)
            if i == 0 or i * step < seconds * 0.985]  # fmt: skip


def _action_rows(actions: Actions | None, truth: Actions | None) -> list[Row]:
    rows = []
    for group, names in (("move", MOVES), ("view", VIEWS)):
        if actions is not None:
            rows.append(_lane(group, "lane", 24, getattr(actions, group), names))
        if truth is not None:
            lane = _lane("truth" if actions is not None else f"true {group}", "lane true", 12,
                         getattr(truth, group), names, signs=actions is None)  # fmt: skip
            lane.hint = f"true {group}"
            if actions is not None:
                lane.strips = _differences(getattr(actions, group), getattr(truth, group))
            rows.append(lane)
    return rows


def _lane(label: str, kind: str, height: int, labels: np.ndarray, names: Sequence[str], signs: bool = True) -> Row:
    labels = np.minimum(np.asarray(labels), 9)
    row, total = Row(kind, label, height), len(labels)
    for first, end, which in runs(labels):
        width = 100 * (end - first) / total
        sign = ARROWS[which] if signs and which not in (0, 9) and width >= 2 else ""
        title = f"{names[which]}: frames {first} to {end - 1}"
        row.bars.append(Bar(100 * first / total, width, f"a{which}", title, sign))
    return row


def _differences(labels: np.ndarray, truth: np.ndarray) -> list[Bar]:
    """Where a label says something else than the truth does (9 in the truth is no claim)."""
    shared = min(len(labels), len(truth))
    wrong = (np.asarray(labels[:shared]) != np.asarray(truth[:shared])) & (np.asarray(truth[:shared]) != 9)
    return [Bar(100 * first / len(labels), 100 * (end - first) / len(labels), "wrong", "differs from the truth")
            for first, end, which in runs(wrong.astype(np.uint8)) if which]  # fmt: skip


def _margin_row(actions: Actions) -> Row:
    hint = "distance to the nearest threshold in units of (trigger − floor); below the line: inside the uncertain band"
    row = Row("curve margins", "margins", 34, hint, level=_height(0.0, *MARGIN_RANGE))
    row.curves = [
        (curve(actions.margins[:, column], *MARGIN_RANGE), name) for column, name in enumerate(("move", "view"))
    ]
    return row


def _subject_rows(subjects: Subjects, events: Sequence[Event], frames: int) -> list[Row]:
    ids = [int(number) for number in subjects.id]
    visibility = np.clip(np.nan_to_num(np.asarray(subjects.visibility, np.float64)), 0, 1)
    counted = [sum(event.subject == number for event in events) for number in ids]
    ranked = sorted(range(len(ids)), key=lambda s: (-counted[s], -float(visibility[s].sum()), s))
    kept = sorted(ranked[:MOST_SUBJECTS])
    height = 22 if len(kept) <= 8 else 14
    rows = []
    for s in kept:
        label = f"{short(subjects.label[s], 14) or 'subject'} {ids[s]}"
        row = Row("subject", label, height, f"visibility of {subjects.label[s]} {ids[s]}, {subjects.source[s]}")
        row.curves = [(area(visibility[s]), f"visibility s{s % 8}")]
        row.strips, row.marks = _hidden(ids[s], events, frames)
        rows.append(row)
    return rows


def _hidden(subject: int, events: Sequence[Event], frames: int) -> tuple[list[Bar], list[Mark]]:
    """A subject's stays out of sight, each half in the colour of its cause, with the side at its ends."""
    strips, marks = [], []
    for event in events:
        if event.subject != subject:
            continue
        first = 0 if event.first_hidden is None else event.first_hidden
        end = frames if event.first_visible is None else event.first_visible
        middle = (first + end) / 2
        leaving, entering = (known_cause(event.exit_cause or event.entry_cause),
                             known_cause(event.entry_cause or event.exit_cause))  # fmt: skip
        for start, stop, cause in ((first, middle, leaving), (middle, end, entering)):
            title = f"hidden, frames {first} to {end - 1}: {CAUSE_NAMES[cause]}"
            strips.append(Bar(100 * start / frames, 100 * (stop - start) / frames, cause, title))
        if event.exit_side in SIDES:
            marks.append(Mark(100 * first / frames, SIDES[event.exit_side], "side", f"left {event.exit_side}", "start"))
        if event.entry_side in SIDES:
            says = f"entered {event.entry_side}"
            marks.append(Mark(100 * end / frames, SIDES[event.entry_side], "side", says, "end"))
    return strips, marks


def _event_row(clip: Clip) -> Row:
    row = Row("events", "events", 26, "▽ exit, △ entry; a bar joins the ends of an exit-entry pair")
    for event in clip.events:
        if event.kind == "pair":
            assert event.first_hidden is not None and event.first_visible is not None
            width = 100 * (event.first_visible - event.first_hidden) / clip.frames
            title = f"pair: subject {event.subject}, frames {event.first_hidden} to {event.first_visible}"
            row.strips.append(Bar(100 * event.first_hidden / clip.frames, width, "pair", title))
    for event in clip.events:
        for frame, sign, cause, side, what in (
            (event.first_hidden, "▽", event.exit_cause, event.exit_side, "exit"),
            (event.first_visible, "△", event.entry_cause, event.entry_side, "entry"),
        ):
            if frame is not None:
                why = CAUSE_NAMES[known_cause(cause)] + (f", {side}" if side else "")
                title = f"{what} of subject {event.subject} at frame {frame}: {why}"
                row.marks.append(Mark(100 * frame / clip.frames, sign, f"{what} {known_cause(cause)}", title))
    return row


def _revisit_row(clip: Clip) -> Row:
    revisits = clip.revisits
    assert revisits is not None
    chosen = np.sort(np.argsort(-np.asarray(revisits.overlap), kind="stable")[:MOST_ARCS])
    hint = f"{len(revisits.pairs)} pairs of frames that see the same again"
    if len(revisits.pairs) > MOST_ARCS:
        hint += f", the {MOST_ARCS} of largest overlap drawn"
    row = Row("arcs", "revisits", 46, hint)
    kind = "arc" if len(chosen) <= 40 else "arc many"
    for first, second in np.asarray(revisits.pairs)[chosen].tolist():
        a, b = first + 0.5, second + 0.5
        handle = 100 - 128 * min(1.0, ((b - a) / clip.frames) ** 0.5)  # the curve reaches 3/4 of the way to it
        row.curves.append((f"M{a:g} 100C{a:g} {handle:.0f} {b:g} {handle:.0f} {b:g} 100", kind))
    return row


def _pose_row(clip: Clip) -> Row:
    camera = clip.camera
    assert camera is not None
    row = Row("curve", "pose", 30, "confidence of the pose, 0 to 1; hatched: no pose; lines: a new scale group")
    confidence = np.where(camera.valid, np.asarray(camera.confidence, np.float64), np.nan)
    row.curves = [(area(confidence), "fill"), (curve(confidence, 0, 1), "pose")]
    for first, end, valid in runs(np.asarray(camera.valid).astype(np.uint8)):
        if not valid:
            title = f"no pose: frames {first} to {end - 1}"
            row.bars.append(Bar(100 * first / clip.frames, 100 * (end - first) / clip.frames, "missing", title))
    groups = np.asarray(camera.scale_group)
    row.lines = [100 * int(i + 1) / clip.frames for i in np.flatnonzero(np.diff(groups))[:200]]
    return row


def _hands_row(clip: Clip) -> Row:
    hands = clip.hands
    assert hands is not None
    row = Row(
        "curve hands", "hands", 26, "share of the joints of the left and of the right hand, weighted by confidence"
    )
    seen = np.where(np.isfinite(hands.joints).all(axis=-1), np.nan_to_num(hands.confidence), 0.0)
    for side in ("left", "right"):
        columns = [j for j, name in enumerate(hands.names) if name.lower().startswith(side)]
        if columns:
            row.curves.append((curve(seen[:, columns].mean(axis=1), 0, 1), side))
    if not row.curves:
        row.curves.append((curve(seen.sum(axis=1) / max(1, seen.shape[1]), 0, 1), "left"))
    return row


def _noted_curves(clip: Clip) -> list[Row]:
    """Figures per frame that an annotation left in its notes: a list as long as the clip is a curve."""
    rows = []
    for name, note in sorted(clip.annotations.items()):
        for figure, values in sorted(note.notes.items()):
            if clip.frames > 1 and _is_series(values, clip.frames):
                series = np.array([np.nan if value is None else value for value in values], np.float64)
                finite = series[np.isfinite(series)]
                if not len(finite):
                    continue
                low, high = min(0.0, float(finite.min())), float(finite.max())
                hint = f"{name}: {figure}, {low:.3g} to {high:.3g}"
                path = curve(series, low, high if high > low else low + 1)
                rows.append(Row("curve", short(figure, 16), 26, hint, curves=[(path, "noted")]))
    return rows


def _is_series(values: Any, frames: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == frames
        and all(value is None or (isinstance(value, Real) and not isinstance(value, bool)) for value in values)
    )


def _cuts(clip: Clip) -> list[int]:
    note = clip.annotations.get("shots")
    cuts = note.notes.get("cuts") if note is not None else None
    return [int(i) for i in cuts if isinstance(i, int) and 0 < i < clip.frames] if isinstance(cuts, list) else []


def _mark(frame: int, frames: int, sign: str, kind: str, title: str) -> Mark:
    return Mark(100 * (frame + 0.5) / frames, sign, kind, title)


def _height(value: float, low: float, high: float) -> float:
    """Where a value lies in a box 100 high whose top is `high`, a little off both edges."""
    return 96 - 92 * (min(max(value, low), high) - low) / (high - low)


def curve(values: np.ndarray, low: float, high: float) -> str:
    """Path through a value per frame, broken where it is NaN, in a box T wide and 100 high.

    Args:
        values: (T,).
        low: value at the lower edge; smaller ones are drawn there.
        high: value at the upper edge.
    """
    parts: list[str] = []
    for first, end, known in runs(np.isfinite(values).astype(np.uint8)):
        if known:
            heights = (f"{_height(float(value), low, high):.1f}" for value in values[first:end])
            joined = _joined((i + 0.5, height) for i, height in enumerate(heights, first))
            parts.append(joined if end - first > 1 else f"M{first} {joined.split()[1]}h1")
    return "".join(parts)


def _joined(points: Iterable[tuple[float, str]]) -> str:
    return "M" + "L".join(f"{x:g} {y}" for x, y in points)


def area(values: np.ndarray) -> str:
    """Steps of a share per frame (0 to 1) down to the lower edge; nothing where it is NaN or 0."""
    levels = np.round(np.clip(np.nan_to_num(np.asarray(values, np.float64)), 0, 1) * 92).astype(int)
    return "".join(f"M{first} 96V{96 - level}H{end}V96Z" for first, end, level in runs(levels) if level > 0)
