"""Action labels over time: a lane per source of labels, for move and for view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from worldloom.catalogs.clip import Actions
from worldloom.report.figure import ACTION_COLOURS, ARROWS, BAD, FAINT, INK, figure, quiet, to_png

LEGEND = (
    "none",
    "forward · up",
    "back · down",
    "left",
    "right",
    "forward left · up left",
    "forward right · up right",
    "back left · down left",
    "back right · down right",
    "uncertain",
)
"""What the ten colours mean, for move · view."""


def runs(labels: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Stretches of equal labels as (first, end, label)."""
    labels = np.asarray(labels)
    if not len(labels):
        return
    edges = [0, *(np.flatnonzero(np.diff(labels.astype(int))) + 1).tolist(), len(labels)]
    for first, end in pairwise(edges):
        yield first, end, int(labels[first])


def action_strip(lanes: Sequence[tuple[str, Actions]], fps: float) -> bytes:
    """Move and view over time as a PNG.

    Args:
        lanes: name and labels, the truth first where it is known; differences to the first lane are underlined in
            red where there are several.
        fps: of the clip.
    """
    with figure(10.4, 1.3 + 0.5 * max(1, len(lanes))) as drawn:
        draw_action_strip(drawn.add_axes((0.11, 0.2, 0.88, 0.7)), lanes, fps)
        return to_png(drawn)


def draw_action_strip(axes: Any, lanes: Sequence[tuple[str, Actions]], fps: float, *, legend: bool = True) -> None:
    """As `action_strip`, into an axes."""
    length = max((len(actions) for _, actions in lanes), default=1)
    ticks: list[float] = []
    names: list[str] = []
    row = 0.0
    for group in ("move", "view"):
        axes.text(0, row - 0.5, group, va="bottom", ha="left", fontsize=8.5, fontweight="bold", color=INK)
        for name, actions in lanes:
            _lane(axes, np.asarray(getattr(actions, group)), row, fps, length)
            if actions is not lanes[0][1]:
                _differences(axes, getattr(actions, group), getattr(lanes[0][1], group), row, fps)
            ticks.append(row)
            names.append(name)
            row += 1.0
        row += 0.75
    axes.set_xlim(0, length / fps)
    axes.set_ylim(row - 1.2, -0.9)
    axes.set_yticks(ticks, names)
    axes.set_xlabel("seconds", fontsize=7.5, loc="right", labelpad=2)
    axes.xaxis.set_major_locator(_second_ticks(length / fps))
    quiet(axes, keep="bottom")
    if legend:
        draw_action_legend(axes)


def draw_action_legend(axes: Any) -> None:
    """The ten colours, in two rows below an axes."""
    from matplotlib.patches import Patch

    handles = [
        Patch(
            facecolor=colour,
            edgecolor="#b9b3a6" if number == 9 else colour,
            hatch="////" if number == 9 else None,
            lw=0.5,
            label=f"{ARROWS[number]}  {LEGEND[number]}",
        )
        for number, colour in enumerate(ACTION_COLOURS)
    ]
    order = [0, 9, 1, 2, 3, 4, 5, 6, 7, 8]
    axes.legend(handles=[handles[i] for i in order], ncols=5, loc="upper left", bbox_to_anchor=(-0.01, -0.16),
                handlelength=1.3, handleheight=1.0, columnspacing=1.6, labelcolor=INK, borderaxespad=0.6)  # fmt: skip


def _second_ticks(seconds: float) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=12, steps=[1, 2, 5, 10], min_n_ticks=2, integer=seconds >= 4)


def _lane(axes: Any, labels: np.ndarray, row: float, fps: float, length: int) -> None:
    for first, end, label in runs(labels):
        uncertain = label == 9
        axes.barh(
            row,
            (end - first) / fps,
            left=first / fps,
            height=0.74,
            lw=0.4 if uncertain else 0.0,
            color=ACTION_COLOURS[min(label, 9)],
            edgecolor="#cfc9bc",
            hatch="//////" if uncertain else None,
        )
        if end - first >= 0.028 * length and label not in (0, 9):
            axes.text((first + end) / 2 / fps, row + 0.01, ARROWS[label], ha="center", va="center", fontsize=9.5,
                      color="white", fontweight="bold")  # fmt: skip
    axes.plot([0, length / fps], [row + 0.43, row + 0.43], color=FAINT, lw=0.4)


def _differences(axes: Any, labels: np.ndarray, reference: np.ndarray, row: float, fps: float) -> None:
    """A red line below the lane wherever it says something else than the first lane does (9 there is no claim)."""
    shared = min(len(labels), len(reference))
    differs = (np.asarray(labels[:shared]) != np.asarray(reference[:shared])) & (np.asarray(reference[:shared]) != 9)
    for first, end, wrong in runs(differs.astype(np.uint8)):
        if wrong:
            axes.plot([first / fps, end / fps], [row + 0.43, row + 0.43], color=BAD, lw=1.8, solid_capstyle="butt")
