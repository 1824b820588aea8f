"""Depth beside true depth, on one colour scale, with the error between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldloom.catalogs.clip import Depth
from worldloom.report.figure import INK, MUTED, figure, hatch_background, to_png

COLOURS = "viridis_r"
WORST = 0.2
"""Relative error at the end of the error scale (default ours)."""


def depth_pair(
    rgb: np.ndarray | None, depth: Depth | None, truth: Depth | None = None, frame: int | None = None
) -> bytes:
    """Picture, depth, true depth and error of one frame side by side, as a PNG.

    Args:
        rgb: (h, w, 3) the picture of that frame, if at hand.
        depth: estimated; brought to the truth's unit by the median ratio where it is relative.
        truth: true depth, if known.
        frame: which frame; the middle one that both have where not given.
    """
    frame = shown_frame(depth, truth) if frame is None else frame
    estimate, true = map_at(depth, frame), map_at(truth, frame)
    note = ""
    if estimate is not None and true is not None:
        true = resample(true, estimate.shape)
        if depth is None or truth is None or depth.scale != "metric" or truth.scale != "metric":
            estimate, note = _scaled(estimate, true), ", scaled by the median"
    panels = [("picture", rgb)] if rgb is not None else []
    unit = _unit(truth if truth is not None else depth)
    limits = _limits(true if true is not None else estimate)
    panels += [(f"depth{note}", estimate)] if estimate is not None else []
    panels += [("true depth", true)] if true is not None else []
    both = estimate is not None and true is not None
    columns = max(1, len(panels) + both)
    aspect = _aspect([rgb, estimate, true])
    width = 10.4 / 4 * columns
    with figure(width, width / columns / aspect + 0.62) as drawn:
        for number, (title, picture) in enumerate(panels):
            axes = drawn.add_axes((number / columns, 0.22, 0.965 / columns, 0.68))
            _panel(axes, picture, title, limits, unit)
        if estimate is not None and true is not None:
            axes = drawn.add_axes(((columns - 1) / columns, 0.22, 0.965 / columns, 0.68))
            _error_panel(axes, np.abs(estimate - true) / true)
        if not panels:
            axes = drawn.add_axes((0, 0.2, 1, 0.7))
            _panel(axes, None, "no depth", limits, unit)
        return to_png(drawn)


def shown_frame(depth: Depth | None, truth: Depth | None) -> int | None:
    """The middle one of the frames that have depth (both, where both are known)."""
    sets = [set(np.asarray(one.frames).tolist()) for one in (depth, truth) if one is not None and len(one)]
    if not sets:
        return None
    shared = sorted(set.intersection(*sets)) or sorted(sets[0])
    return int(shared[len(shared) // 2])


def map_at(depth: Depth | None, frame: int | None) -> np.ndarray | None:
    """(h, w) z of a frame, NaN where not valid; None where the frame has no depth."""
    if depth is None or frame is None:
        return None
    rows = np.flatnonzero(np.asarray(depth.frames) == frame)
    if not len(rows):
        return None
    return np.where(depth.valid[rows[0]], depth.z[rows[0]], np.nan).astype(np.float64)


def resample(z: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) map at another size, nearest pixel."""
    rows = ((np.arange(shape[0]) + 0.5) * z.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * z.shape[1] / shape[1]).astype(int)
    return z[np.ix_(rows, columns)]


def _scaled(estimate: np.ndarray, true: np.ndarray) -> np.ndarray:
    both = np.isfinite(estimate) & np.isfinite(true) & (estimate > 0)
    return estimate * float(np.median(true[both] / estimate[both])) if both.any() else estimate


def _limits(z: np.ndarray | None) -> tuple[float, float]:
    seen = np.zeros(0) if z is None else z[np.isfinite(z)]
    if not len(seen):
        return 0.0, 1.0
    low, high = np.percentile(seen, [2, 98])
    return float(low), float(max(high, 1.02 * low, low + 1e-6))


def _unit(depth: Depth | None) -> str:
    return "m" if depth is not None and depth.scale == "metric" else "unit of the path"


def _aspect(pictures: list[np.ndarray | None]) -> float:
    return next((one.shape[1] / one.shape[0] for one in pictures if one is not None), 16 / 9)


def _panel(axes: Any, picture: np.ndarray | None, title: str, limits: tuple[float, float], unit: str) -> None:
    axes.set_title(title, color=INK)
    hatch_background(axes)
    _bare(axes)
    if picture is None:
        return
    if picture.ndim == 3:
        axes.imshow(picture, interpolation="antialiased", aspect="auto")
        return
    image = axes.imshow(picture, cmap=COLOURS, vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect="auto")
    _scale(axes, image, f"z, {unit}; hatched: no value")


def _error_panel(axes: Any, error: np.ndarray) -> None:
    seen = error[np.isfinite(error)]
    mean = f"AbsRel {seen.mean():.3f}" if len(seen) else "no common pixel"
    share = len(seen) / max(1, error.size)
    axes.set_title(f"error · {mean} · {share:.0%} of pixels", color=INK)
    hatch_background(axes)
    _bare(axes)
    image = axes.imshow(error, cmap="OrRd", vmin=0, vmax=WORST, interpolation="nearest", aspect="auto")
    _scale(axes, image, "relative error", percent=True)


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _scale(axes: Any, image: Any, label: str, percent: bool = False) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    place = axes.inset_axes((0.0, -0.11, 1.0, 0.045))
    bar = axes.figure.colorbar(
        image, cax=place, orientation="horizontal", ticks=MaxNLocator(4, prune=None if percent else "both")
    )
    bar.outline.set_visible(False)
    place.tick_params(length=0, labelsize=7, pad=2)
    place.set_xlabel(label, fontsize=7, color=MUTED, labelpad=2)
    if percent:
        place.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
