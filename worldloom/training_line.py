"""How a training goes, in one line: loss, frames per second, share of the time spent waiting for data, time left."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from worldloom import console

if TYPE_CHECKING:
    from worldloom.train.callbacks.callback import StepReport, ValidationReport

WINDOW = 20
"""Steps over which the figures are averaged."""


class TrainingLine:
    """Shows a training; give it to `worldloom.train.loop.train` as `progress`.

    Args:
        every_s: seconds between two lines where stdout is no terminal.
    """

    def __init__(self, every_s: float = 20.0) -> None:
        self._line = console.StatusLine(every_s)
        self._recent: deque[StepReport] = deque(maxlen=WINDOW)

    def start(self, done: int, total: int) -> None:
        """Say where the training goes on."""
        if done:
            console.say(f"resumed after step {done} of {total}")

    def step(self, report: StepReport, total: int) -> None:
        """One step is done."""
        self._recent.append(report)
        self._line.show(line_of(list(self._recent), total), whole=report.step == total)

    def validated(self, report: ValidationReport) -> None:
        """A validation is done."""
        self._line.clear()
        levels = ", ".join(f"{level}: {loss:.4f}" for level, loss in report.loss_at.items())
        console.say(
            f"validation after step {report.step}: loss {report.loss:.4f} over {report.clips} clips (by t: {levels})"
        )

    def note(self, text: str) -> None:
        """Something a person should know."""
        self._line.clear()
        console.warn(text)


def line_of(recent: list[StepReport], total: int) -> str:
    """The line after the last of some steps.

    Args:
        recent: reports, at least one.
        total: steps of the whole training.
    """
    seconds = sum(report.seconds for report in recent)
    frames = sum(report.frames_per_s * report.seconds for report in recent)
    last = recent[-1]
    left = (total - last.step) * seconds / len(recent)
    return (
        f"step {last.step}/{total}  loss {sum(report.loss for report in recent) / len(recent):.4f}  "
        f"{frames / max(seconds, 1e-9):.1f} frames/s  "
        f"waiting for data {sum(report.data_wait_s for report in recent) / max(seconds, 1e-9):.0%}  "
        f"{'done' if last.step == total else console.duration(left) + ' left'}"
    )
