"""One look for every picture: palette, type and the way a figure becomes PNG bytes.

Figures are made without pyplot: nothing global, no backend to choose, nothing to close, equal bytes for equal input.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#23303b"
MUTED = "#6f7780"
FAINT = "#d9d4c8"
PAPER = "#fbfaf6"
CARD = "#ffffff"
TRUTH = "#27506b"
ESTIMATE = "#d8662c"
GOOD = "#2f7d5b"
WARN = "#b9811d"
BAD = "#b3372f"

CAUSES = {"left_view": "#3b86a8", "occluded": "#8b6db0", "unexplained": "#b7b0a3"}
"""Colours of hidden intervals; a cause not listed is drawn as unexplained."""

ACTION_COLOURS = (
    "#e6e2d8",  # nothing
    "#2f6db5",  # forward, up
    "#e3a62f",  # back, down
    "#c94f6d",  # left
    "#57a550",  # right
    "#7d5bb5",  # forward left
    "#35a09c",  # forward right
    "#e0783f",  # back left
    "#a9b135",  # back right
    "#ffffff",  # uncertain, hatched
)
"""By action number: the eight directions go round the colour circle, so that neighbours look alike."""

ARROWS = ("·", "↑", "↓", "←", "→", "↖", "↗", "↙", "↘", "?")
"""Signs of the ten actions; up stands for forward (move) and for up (view)."""

DPI = 160

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "axes.labelcolor": MUTED,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlepad": 6,
    "axes.facecolor": CARD,
    "axes.axisbelow": True,
    "figure.facecolor": CARD,
    "grid.color": "#efebe2",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "hatch.linewidth": 0.6,
}


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """An empty figure in the report's style.

    Args:
        width: inches; 7.2 inches fill the page.
        height: inches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(width, height), dpi=DPI)
        FigureCanvasAgg(drawn)
        yield drawn
        drawn.clear()


def to_png(drawn: Figure, pad: float = 0.06) -> bytes:
    """PNG of a figure, cropped to what is drawn; nothing of time, place or version in it."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", bbox_inches="tight", pad_inches=pad, metadata={"Software": None})
    return buffer.getvalue()


def short(text: str, most: int) -> str:
    """`text` on one line, cut to `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def quiet(axes: Any, *, keep: str = "") -> None:
    """Take away the frame of an axes, but for the sides named in `keep` (`bottom left top right`)."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in keep.split())


def hatch_background(axes: Any) -> None:
    """Grey stripes behind a picture: they show wherever the picture has nothing to say."""
    from matplotlib.patches import Rectangle

    stripes = Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor="#f1eee7", edgecolor="#c9c3b6", zorder=-1)
    stripes.set(hatch="/////", lw=0)
    axes.add_patch(stripes)
