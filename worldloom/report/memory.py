"""How much memory a denoising step takes as the history grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worldloom.report.figure import ESTIMATE, INK, MUTED, TRUTH, figure, quiet, to_png

COLOURS = (ESTIMATE, TRUTH, MUTED)


def memory_curve(histories: Sequence[int], peaks_mib: Mapping[str, Sequence[float]]) -> bytes:
    """Peak memory over the length of the history as a PNG, a line per way of remembering.

    Args:
        histories: latents, increasing.
        peaks_mib: by name, one value per history.
    """
    with figure(6.4, 3.2) as drawn:
        axes = drawn.add_axes((0.1, 0.15, 0.68, 0.8))
        for number, (name, peaks) in enumerate(peaks_mib.items()):
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(histories, peaks, color=colour, marker="o", ms=4, lw=1.8)
            axes.annotate(f"{name}\n{peaks[-1]:.0f} MiB", (histories[-1], peaks[-1]), (8, 0), va="center", fontsize=7.5,
                          textcoords="offset points", color=INK, annotation_clip=False)  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.set_xticks(histories)
        axes.set_xlabel("latents of history", loc="right")
        axes.set_ylabel("peak of a step, MiB")
        axes.grid(axis="y")
        quiet(axes, keep="bottom")
        return to_png(drawn)
