"""Pictures of a whole dataset: lengths, actions, revisits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldloom.report.actions import LEGEND
from worldloom.report.figure import ACTION_COLOURS, ARROWS, INK, MUTED, TRUTH, figure, quiet, to_png


def length_histogram(seconds: Sequence[float]) -> bytes:
    """How many clips are how long, as a PNG."""
    with figure(4.4, 2.3) as drawn:
        axes = drawn.add_axes((0.08, 0.2, 0.9, 0.74))
        _histogram(axes, np.asarray(seconds, float), "seconds per clip")
        return to_png(drawn)


def density_histogram(density: Sequence[float]) -> bytes:
    """How many clips have which share of frames with a revisit partner, as a PNG."""
    with figure(4.4, 2.3) as drawn:
        axes = drawn.add_axes((0.08, 0.2, 0.9, 0.74))
        _histogram(axes, np.asarray(density, float), "revisit density: share of frames with a partner", (0.0, 1.0))
        return to_png(drawn)


def action_histogram(move: np.ndarray, view: np.ndarray) -> bytes:
    """Share of all frames per action, move above view, as a PNG.

    Args:
        move: (10,) shares or counts by action number.
        view: the same for view.
    """
    with figure(4.9, 3.4) as drawn:
        for number, (name, values) in enumerate((("move", move), ("view", view))):
            axes = drawn.add_axes((0.08, 0.63 - 0.52 * number, 0.9, 0.3))
            _bars(axes, np.asarray(values, float), name)
        return to_png(drawn)


def _histogram(axes: Any, values: np.ndarray, label: str, bounds: tuple[float, float] | None = None) -> None:
    from matplotlib.ticker import MaxNLocator

    values = values[np.isfinite(values)]
    low, high = bounds or (0.0, float(values.max()) * 1.02 if len(values) else 1.0)
    counts, edges = np.histogram(values, bins=20, range=(low, max(high, low + 1e-6)))
    axes.bar(edges[:-1], counts, width=np.diff(edges) * 0.9, align="edge", color=TRUTH, alpha=0.75, lw=0)
    axes.set_xlim(low, max(high, low + 1e-6))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(True, axis="y")
    axes.set_xlabel(label, fontsize=7.5)
    axes.set_title("clips", fontsize=7.5, color=MUTED)
    quiet(axes, keep="bottom")


def _bars(axes: Any, values: np.ndarray, name: str) -> None:
    share = values / max(float(values.sum()), 1e-12)
    for number, value in enumerate(share):
        axes.bar(number, value, width=0.78, color=ACTION_COLOURS[number], lw=0.5 if number == 9 else 0,
                 edgecolor="#b9b3a6", hatch="////" if number == 9 else None)  # fmt: skip
        if value > 0:
            text = f"{value:.0%}" if value >= 0.005 else "<1%"
            axes.text(number, value + 0.02 * share.max(), text, ha="center", va="bottom", fontsize=7, color=INK)
    words = [part.split(" · ")[-1 if name == "view" else 0].replace(" ", "\n") for part in LEGEND]
    axes.set_xticks(range(10), [f"{ARROWS[i]}\n{words[i]}" for i in range(10)], fontsize=6)
    axes.set_xlim(-0.6, 9.6)
    axes.set_ylim(0, max(float(share.max()) * 1.2, 1e-6))
    axes.set_yticks([])
    axes.tick_params(length=0, pad=2)
    axes.set_title(name, fontsize=8.5, fontweight="bold", color=INK, pad=2)
    quiet(axes, keep="bottom")
