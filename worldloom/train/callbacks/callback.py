"""What a callback is told, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldloom.train.run import Run


@dataclass(frozen=True)
class StepReport:
    """One step.

    Attributes:
        step: how many are done, this one included.
        epoch: of the data, from 0.
        loss: mean over the batch.
        grad_norm: before clipping.
        lr: learning rate of this step.
        frames_per_s: target frames over `seconds`.
        data_wait_s: of `seconds`, waiting for the batch.
        seconds: from the end of the step before, in which callbacks count.
    """

    step: int
    epoch: int
    loss: float
    grad_norm: float
    lr: float
    frames_per_s: float
    data_wait_s: float
    seconds: float


@dataclass(frozen=True)
class ValidationReport:
    """One validation.

    Attributes:
        step: how many were done before it.
        loss: mean over noise levels and clips.
        loss_at: mean over clips, by noise level.
        clips: how many.
        ema: whether the moving average was validated.
        seconds: it took.
    """

    step: int
    loss: float
    loss_at: dict[str, float]
    clips: int
    ema: bool
    seconds: float


class Callback:
    """Does nothing; override what you need. Callbacks are called in the order of `Run.callbacks`."""

    def start(self, run: Run) -> None:
        """Once, when weights and position are in place and before the first step of this process."""

    def after_step(self, run: Run, report: StepReport) -> None:
        """After the weights were updated; `run.step` counts this step."""

    def validated(self, run: Run, report: ValidationReport) -> None:
        """After a validation."""

    def before_save(self, run: Run) -> None:
        """Before a checkpoint is written: whatever it relies on must be on disk."""

    def note(self, text: str) -> None:
        """Something a person should know."""

    def end(self, run: Run) -> None:
        """Once, however training ends."""
