"""OUT/tensorboard/: the same figures as the log, for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom.train.callbacks.callback import Callback, StepReport, ValidationReport

if TYPE_CHECKING:
    from worldloom.train.run import Run


class TensorBoard(Callback):
    """Writes event files; says so where the tensorboard package is missing.

    Args:
        out: folder of the run.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / "tensorboard"
        self._writer: Any = None

    def start(self, run: Run) -> None:
        """Steps beyond the resumed one are purged by TensorBoard when it reads."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            run.note("tensorboard is not installed, so OUT/tensorboard stays empty (pip install tensorboard)")
            return
        self._writer = SummaryWriter(str(self.folder), purge_step=run.step + 1 if run.resumed else None)

    def after_step(self, run: Run, report: StepReport) -> None:
        """train/loss, train/grad_norm, train/lr, speed/*."""
        if self._writer is not None:
            for name in ("loss", "grad_norm", "lr"):
                self._writer.add_scalar(f"train/{name}", getattr(report, name), report.step)
            for name in ("frames_per_s", "data_wait_s", "seconds"):
                self._writer.add_scalar(f"speed/{name}", getattr(report, name), report.step)

    def validated(self, run: Run, report: ValidationReport) -> None:
        """validation/loss and one curve per noise level."""
        if self._writer is not None:
            self._writer.add_scalar("validation/loss", report.loss, report.step)
            for level, loss in report.loss_at.items():
                self._writer.add_scalar(f"validation/loss_at_{level}", loss, report.step)

    def end(self, run: Run) -> None:
        """Close."""
        if self._writer is not None:
            self._writer.close()
