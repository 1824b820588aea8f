"""Tell whoever started the training how far it is; nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from worldloom.train.callbacks.callback import Callback, StepReport, ValidationReport

if TYPE_CHECKING:
    from worldloom.train.run import Run


class TrainProgress(Protocol):
    """What the command line shows."""

    def start(self, done: int, total: int) -> None:
        """Before the first step: `done` steps were resumed."""

    def step(self, report: StepReport, total: int) -> None:
        """After a step."""

    def validated(self, report: ValidationReport) -> None:
        """After a validation."""

    def note(self, text: str) -> None:
        """Something a person should know."""


class Tell(Callback):
    """Passes on what happens.

    Args:
        progress: who is told.
    """

    def __init__(self, progress: TrainProgress) -> None:
        self.progress = progress

    def start(self, run: Run) -> None:
        """How far the run is."""
        self.progress.start(run.step, run.recipe.steps)

    def after_step(self, run: Run, report: StepReport) -> None:
        """One more."""
        self.progress.step(report, run.recipe.steps)

    def validated(self, run: Run, report: ValidationReport) -> None:
        """Its result."""
        self.progress.validated(report)

    def note(self, text: str) -> None:
        """As it is."""
        self.progress.note(text)
