"""What a report shows of a trained model: loss, validation loss at each noise level, frames it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldloom.report.content import TrainingContent, WalkContent
from worldloom.report.figure import ESTIMATE, INK, MUTED, TRUTH, figure, quiet, to_png
from worldloom.report.keypad import with_keypad
from worldloom.report.page import Drawn
from worldloom.report.pictures import spread

COLUMNS = 6
"""Frames of a walk that are shown."""


def psnr(pictures: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each frame, dB: 10 log10(255^2 / mean squared difference); inf where equal.

    Args:
        pictures: (T, H, W, 3) uint8.
        truth: the same shape.

    Returns:
        (T,).
    """
    error = ((pictures.astype(np.float64) - truth.astype(np.float64)) ** 2).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255.0**2 / error))


def mean_psnr(pictures: np.ndarray, truth: np.ndarray) -> float:
    """PSNR of the mean squared difference over all frames but the first, which was given, dB."""
    error = ((pictures[1:].astype(np.float64) - truth[1:].astype(np.float64)) ** 2).mean()
    return float(10 * np.log10(255.0**2 / error)) if error > 0 else float("inf")


def repeated(walk: WalkContent) -> np.ndarray:
    """The first frame for ever: what a model must beat."""
    return np.broadcast_to(walk.true[:1], walk.true.shape)


def loss_curve(steps: np.ndarray, losses: np.ndarray) -> bytes:
    """Loss over steps as a PNG: each step faint, their running mean in full.

    Args:
        steps: (S,) numbers.
        losses: (S,) values > 0; not drawn where not finite.
    """
    from matplotlib.ticker import FuncFormatter

    with figure(5.0, 2.6) as drawn:
        axes = drawn.add_axes((0.13, 0.17, 0.84, 0.78))
        known = np.isfinite(losses)
        axes.plot(np.asarray(steps)[known], np.asarray(losses)[known], color=TRUTH, lw=0.6, alpha=0.35)
        axes.plot(np.asarray(steps)[known], running_mean(np.asarray(losses)[known]), color=TRUTH, lw=1.8)
        axes.set_yscale("log")
        for axis_ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis_ticks(FuncFormatter(_plain_figure))
        axes.grid(axis="y", which="both")
        axes.set_xlabel("step", loc="right")
        axes.set_ylabel("loss")
        quiet(axes, keep="bottom")
        return to_png(drawn)


def _plain_figure(value: float, _: int) -> str:
    """Tick labels 1, 2, 5 of each decade as plain figures, the others without."""
    digits = f"{value:.0e}"
    return f"{value:g}" if digits[0] in "125" else ""


def running_mean(values: np.ndarray, share: float = 0.05) -> np.ndarray:
    """Mean over a window that ends at each value and spans `share` of them all, at least five.

    Args:
        values: (S,).
        share: of S.

    Returns:
        (S,).
    """
    width = max(5, round(share * len(values)))
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return np.asarray((total[ends] - total[starts]) / (ends - starts))


def noise_level_picture(before: Mapping[float, float], after: Mapping[float, float]) -> bytes:
    """Validation loss at each noise level, before and after training, as a PNG."""
    levels = sorted(set(before) | set(after))
    with figure(5.0, 2.6) as drawn:
        axes = drawn.add_axes((0.13, 0.17, 0.84, 0.78))
        for values, colour, name in ((before, MUTED, "before"), (after, ESTIMATE, "after")):
            at = [level for level in levels if level in values]
            if at:
                axes.plot(at, [values[level] for level in at], color=colour, marker="o", ms=4, lw=1.6, label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, 1)
        axes.grid(axis="y")
        axes.set_xlabel("noise level t", loc="right")
        axes.set_ylabel("validation loss")
        axes.legend(loc="best", labelcolor=INK)
        quiet(axes, keep="bottom")
        return to_png(drawn)


def walk_picture(walk: WalkContent) -> bytes:
    """Rows of frames: the truth with the actions on it, the codec's, the generated ones; PSNR over time below."""
    frames = spread(len(walk.true), COLUMNS)
    height, width = walk.true.shape[1:3]
    cell = 10.4 * 0.87 / len(frames)
    tall = cell * height / width
    rows = (("true", walk.true), ("codec alone", walk.codec), ("generated", walk.generated))
    plot = 1.35
    total = len(rows) * (tall + 0.06) + plot + 1.0
    with figure(10.4, total) as drawn:
        for row, (name, pictures) in enumerate(rows):
            bottom = 1 - ((row + 1) * (tall + 0.06) + 0.25) / total
            drawn.text(0.095, bottom + tall / 2 / total, _row_name(name, pictures, walk), ha="right", va="center",
                       fontsize=8, linespacing=1.5)  # fmt: skip
            for column, frame in enumerate(frames):
                axes = drawn.add_axes((0.105 + column * cell / 10.4, bottom, 0.97 * cell / 10.4, tall / total))
                axes.imshow(_shown(pictures[frame], walk.actions[frame] if row == 0 else None), interpolation="nearest")
                axes.set_axis_off()
                if row == 0:
                    axes.set_title(f"{frame / walk.fps:.1f} s", fontsize=7.5, color=MUTED, pad=3)
        _psnr_over_time(drawn.add_axes((0.105, 0.36 / total, 0.87, plot / total)), walk)
        return to_png(drawn)


def _row_name(name: str, pictures: np.ndarray, walk: WalkContent) -> str:
    return name if name == "true" else f"{name}\n{mean_psnr(pictures, walk.true):.1f} dB"


def _shown(rgb: np.ndarray, action: np.ndarray | None) -> np.ndarray:
    """A frame enlarged so that the keys on it can be read."""
    from PIL import Image

    factor = max(1, -(-360 // len(rgb)))
    large = np.asarray(
        Image.fromarray(rgb).resize((rgb.shape[1] * factor, rgb.shape[0] * factor), Image.Resampling.BOX)
    )
    return large if action is None else with_keypad(large, int(action[0]), int(action[1]))


def _psnr_over_time(axes: Any, walk: WalkContent) -> None:
    seconds = np.arange(len(walk.true)) / walk.fps
    lines = (
        ("codec alone", walk.codec, TRUTH, "-"),
        ("generated", walk.generated, ESTIMATE, "-"),
        ("first frame repeated", repeated(walk), MUTED, "--"),
    )
    for name, pictures, colour, style in lines:
        axes.plot(seconds[1:], psnr(pictures, walk.true)[1:], color=colour, ls=style, lw=1.6, label=name)
    axes.set_xlim(0, max(seconds[-1], 1e-6))
    axes.grid(axis="y")
    axes.set_ylabel("PSNR, dB")
    axes.set_xlabel("seconds", fontsize=7.5, loc="right", labelpad=2)
    axes.legend(loc="upper right", ncols=3, labelcolor=INK, bbox_to_anchor=(1.0, 1.24))
    quiet(axes, keep="bottom")


def training_pictures(content: TrainingContent) -> list[Drawn]:
    """The two curves."""
    found = []
    if len(content.steps):
        says = ", ".join(f"{name} {value}" for name, value in content.facts.items())
        found.append(Drawn.of(loss_curve(content.steps, content.losses), "Training loss", says, "training loss"))
    if content.before or content.after:
        says = "the same clips, frames and noise before the first step and after the last; none were trained on"
        found.append(
            Drawn.of(noise_level_picture(content.before, content.after), "Validation loss", says, "validation loss")
        )
    return found


def walk_pictures(content: TrainingContent) -> list[Drawn]:
    """The generated walks."""
    return [
        Drawn.of(walk_picture(walk), walk.title, walk_words(walk), f"true and generated frames of {walk.title}")
        for walk in content.walks
    ]


def walk_words(walk: WalkContent) -> str:
    """The three figures of a walk in one line."""
    parts = (
        ("generated", walk.generated),
        ("the codec alone", walk.codec),
        ("the first frame repeated", repeated(walk)),
    )
    said = ", ".join(f"{name} {mean_psnr(pictures, walk.true):.1f} dB" for name, pictures in parts)
    return f"PSNR against the true frames: {said}"
