"""Exits and entries over time: how visible each subject is, why it was hidden, what the camera saw then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldloom.catalogs.clip import Clip, Event, Subjects
from worldloom.report.figure import CAUSES, ESTIMATE, INK, MUTED, TRUTH, figure, quiet, short, to_png
from worldloom.report.pictures import FrameStore, with_box

MOST_THUMBNAILS = 8
MOST_SUBJECTS = 6
SIDES = {"left": "←", "right": "→", "top": "↑", "bottom": "↓"}
CAUSE_NAMES = {"left_view": "left the view", "occluded": "occluded", "unexplained": "unexplained"}


@dataclass(frozen=True)
class Moment:
    """One exit or entry worth a picture: when, whose, which frame to show."""

    frame: int
    shown: int
    subject: int
    kind: str
    cause: str
    side: str | None


def event_timeline(clip: Clip, truth: Clip | None = None, store: FrameStore | None = None) -> bytes:
    """Visibility of every subject over time with its hidden intervals and thumbnails, as a PNG.

    Args:
        clip: with subjects and events.
        truth: the same with true ones; drawn as rows of their own below.
        store: frames already read, if any.
    """
    parts = [("", clip, ESTIMATE)] if truth is None else [("truth", truth, TRUTH), ("estimate", clip, ESTIMATE)]
    rows = sum(len(shown_subjects(one)) for _, one, _ in parts)
    pictured = clip if clip.events and clip.subjects is not None else (truth or clip)
    shown = [] if pictured.subjects is None else pictured.subjects.id[shown_subjects(pictured)].tolist()
    events = [event for event in pictured.events if event.subject in shown]
    moments = chosen_moments(events, pictured.subjects, clip.frames)
    lanes, pictures = max(1, rows) * 0.46 + 0.3, 1.56 if moments else 0.0
    height = lanes + pictures + 0.75
    with figure(10.4, height) as drawn:
        axes = drawn.add_axes((0.11, 0.55 / height, 0.88, lanes / height))
        draw_timeline(axes, parts, float(clip.fps), clip.frames)
        if moments:
            _thumbnails(drawn, axes, moments, pictured, store or FrameStore(clip), lanes, height)
        return to_png(drawn)


def draw_timeline(axes: Any, parts: Sequence[tuple[str, Clip, str]], fps: float, frames: int) -> None:
    """Rows of visibility into an axes.

    Args:
        axes: to draw into.
        parts: what to call them, clip with subjects and events, colour.
        fps: of the clips.
        frames: their length.
    """
    from matplotlib.patches import Patch

    row, ticks, names = 0, [], []
    causes: set[str] = set()
    for title, one, colour in parts:
        if one.subjects is None:
            continue
        for number in shown_subjects(one):
            _subject_row(axes, one.subjects, number, one.events, row, fps, frames, colour, causes)
            ticks.append(row)
            names.append(
                f"{short(one.subjects.label[number], 12)} {int(one.subjects.id[number])}"
                + (f"\n{title}" if title else "")
            )
            row += 1
    axes.set_xlim(0, frames / fps)
    axes.set_ylim(max(row, 1) - 0.45, -0.62)
    axes.set_yticks(ticks, names)
    axes.set_xlabel("seconds", fontsize=7.5, loc="right", labelpad=2)
    quiet(axes, keep="bottom")
    if not row:
        axes.text(0.5, 0.5, "no subject found", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        return
    handles = [Patch(facecolor=colour, alpha=0.55, label=f"visibility{', ' + title if title else ''}")
               for title, _, colour in parts]  # fmt: skip
    handles += [Patch(facecolor=CAUSES[c], hatch="////" if c == "unexplained" else None, edgecolor="#ffffff", lw=0,
                      label=f"hidden: {CAUSE_NAMES[c]}") for c in CAUSES if c in causes]  # fmt: skip
    below = -0.27 / max(0.5, axes.bbox.height / axes.figure.dpi)
    axes.legend(handles=handles, ncols=5, loc="upper left", bbox_to_anchor=(-0.01, below), handlelength=1.3,
                handleheight=1.0, labelcolor=INK)  # fmt: skip


def _subject_row(
    axes: Any, subjects: Subjects, number: int, events: Sequence[Event], row: int, fps: float, frames: int, colour: str,
    causes: set[str],
) -> None:  # fmt: skip
    base, top = row + 0.36, 0.72
    axes.plot([0, frames / fps], [base, base], color="#e7e2d7", lw=0.8, zorder=1)
    level = np.clip(np.nan_to_num(np.asarray(subjects.visibility[number], float)), 0, 1)
    edges = np.arange(frames + 1) / fps
    axes.stairs(base - top * level, edges, baseline=base, fill=True, color=colour, alpha=0.55, lw=0, zorder=2)
    for event in events:
        if event.subject != int(subjects.id[number]):
            continue
        first = 0 if event.first_hidden is None else event.first_hidden
        end = frames if event.first_visible is None else event.first_visible
        cause = known_cause(event.exit_cause or event.entry_cause)
        leaving = known_cause(event.exit_cause) if event.exit_cause else cause
        entering = known_cause(event.entry_cause) if event.entry_cause else cause
        middle = (first + end) / 2
        for start, stop, why in ((first, middle, leaving), (middle, end, entering)):
            causes.add(why)
            axes.barh(base - 0.13, (stop - start) / fps, left=start / fps, height=0.24, color=CAUSES[why], zorder=3,
                      lw=0, hatch="////" if why == "unexplained" else None, edgecolor="#ffffff")  # fmt: skip
        for at, side, where in ((first, event.exit_side, "left"), (end, event.entry_side, "right")):
            if side in SIDES:
                axes.text(at / fps, base - 0.36, SIDES[side], ha=where, va="center", fontsize=9, color=INK, zorder=4)


def known_cause(cause: str | None) -> str:
    """The cause if it is one of ours, else `unexplained`."""
    return cause if cause in CAUSES else "unexplained"


def chosen_moments(events: Sequence[Event], subjects: Subjects | None, frames: int) -> list[Moment]:
    """At most `MOST_THUMBNAILS` exits and entries in order of time; those of exit-entry pairs and long stays first."""
    ranked = sorted(events, key=lambda event: (event.kind != "pair", event.kind != "interval", -_hidden(event, frames)))
    found: list[Moment] = []
    for event in ranked:
        pair: list[Moment] = []
        if event.first_hidden is not None:
            shown = _best_view(subjects, event.subject, range(event.first_hidden - 1, -1, -1), event.first_hidden - 1)
            cause = known_cause(event.exit_cause)
            pair.append(Moment(event.first_hidden, shown, event.subject, "exit", cause, event.exit_side))
        if event.first_visible is not None and event.first_visible < frames:
            shown = _best_view(subjects, event.subject, range(event.first_visible, frames), event.first_visible)
            cause = known_cause(event.entry_cause)
            pair.append(Moment(event.first_visible, shown, event.subject, "entry", cause, event.entry_side))
        if len(found) + len(pair) <= MOST_THUMBNAILS:
            found += pair
    return sorted(found, key=lambda moment: (moment.frame, moment.subject))


def _hidden(event: Event, frames: int) -> int:
    """Length of the stay out of sight."""
    return (frames if event.first_visible is None else event.first_visible) - (event.first_hidden or 0)


def shown_subjects(one: Clip) -> list[int]:
    """Rows of at most `MOST_SUBJECTS` subjects: those with most events, in their own order."""
    if one.subjects is None:
        return []
    counts = [sum(event.subject == int(name) for event in one.events) for name in one.subjects.id]
    return sorted(sorted(range(len(counts)), key=lambda row: -counts[row])[:MOST_SUBJECTS])


def _best_view(subjects: Subjects | None, subject: int, candidates: range, fallback: int) -> int:
    """The nearest of the next 16 frames in which half of the subject is in view, else the nearest with a box."""
    row = row_of(subjects, subject)
    if subjects is None or row is None:
        return max(0, fallback)
    boxed = [i for i in candidates[:16] if np.isfinite(subjects.box[row, i]).all()]
    clear = [i for i in boxed if subjects.visibility[row, i] >= 0.5]
    return (clear or boxed or [max(0, fallback)])[0]


def row_of(subjects: Subjects | None, subject: int) -> int | None:
    """Row of a subject by its id."""
    rows = [] if subjects is None else np.flatnonzero(np.asarray(subjects.id) == subject).tolist()
    return rows[0] if rows else None


def _thumbnails(
    drawn: Any, axes: Any, moments: Sequence[Moment], clip: Clip, store: FrameStore, lanes: float, height: float
) -> None:
    """A row of pictures above the lanes, each tied to its moment by a line."""
    from matplotlib.lines import Line2D

    fps = float(clip.fps)
    store.read([moment.shown for moment in moments])
    left, width, slots = 0.11, 0.88, max(4, len(moments))
    slot = width / slots
    aspect = clip.width / clip.height
    tall = min(0.95, slot * 0.92 * 10.4 / aspect)
    bottom = (0.55 + lanes + 0.28) / height
    for number, moment in enumerate(moments):
        x0 = left + width * (number + 0.5) / len(moments) - slot * 0.46
        picture = drawn.add_axes((x0, bottom, slot * 0.92, tall / height))
        row = row_of(clip.subjects, moment.subject)
        rgb = store.or_grey(moment.shown)
        if row is not None and clip.subjects is not None:
            box = np.asarray(clip.subjects.box[row, moment.shown], float) * store.scale
            line = max(1, rgb.shape[1] // 130)
            rgb = with_box(rgb, box, "#ffffff", width=line + 2)
            rgb = with_box(rgb, box, CAUSES[moment.cause], width=line)
        picture.imshow(rgb, interpolation="antialiased")
        picture.set_xticks([])
        picture.set_yticks([])
        for spine in picture.spines.values():
            spine.set_color(CAUSES[moment.cause])
            spine.set_linewidth(1.6)
        name = short(clip.subjects.label[row], 10) if clip.subjects is not None and row is not None else "subject"
        side = f" {SIDES[moment.side]}" if moment.side in SIDES else ""
        words = f"{moment.frame / fps:.1f} s\n{name} {moment.subject} {moment.kind}{side}"
        picture.set_title(words, fontsize=7, pad=3, linespacing=1.15)
        target = drawn.transFigure.inverted().transform(axes.transData.transform((moment.frame / fps, -0.62)))
        tie = Line2D([x0 + slot * 0.46, target[0]], [bottom - 0.03 / height, target[1]], color=CAUSES[moment.cause],
                      lw=1.0, transform=drawn.transFigure, figure=drawn)  # fmt: skip
        drawn.add_artist(tie)
        axes.axvline(moment.frame / fps, color=CAUSES[moment.cause], lw=0.8, alpha=0.6, ls=(0, (2, 2)), zorder=1.5)
