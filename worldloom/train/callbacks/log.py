"""OUT/log.jsonl: one line per step and per validation, each step once however often the run was interrupted."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from worldloom.train.callbacks.callback import Callback, StepReport, ValidationReport

if TYPE_CHECKING:
    from worldloom.train.run import Run

LOG = "log.jsonl"


class JsonlLog(Callback):
    """Appends to the log; on resuming, lines beyond the resumed step are cut off first.

    Args:
        out: folder of the run.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / LOG
        self._file: IO[str] | None = None

    def start(self, run: Run) -> None:
        """Cut and open."""
        cut_log(self.path, run.step if run.resumed else -1)
        self._file = self.path.open("a", encoding="utf-8")

    def after_step(self, run: Run, report: StepReport) -> None:
        """A line of a step: step, epoch, loss, grad_norm, lr, frames_per_s, data_wait_s, seconds."""
        self._write(_rounded(asdict(report)))

    def validated(self, run: Run, report: ValidationReport) -> None:
        """A line of a validation: step, and under `validation` loss, loss_at, clips, ema, seconds."""
        values = asdict(report)
        self._write({"step": values.pop("step"), "validation": _rounded(values)})

    def before_save(self, run: Run) -> None:
        """A checkpoint never knows of a step that the log does not."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def end(self, run: Run) -> None:
        """Close."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, values: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()


def read_log(out: Path) -> list[dict[str, Any]]:
    """All lines of a run's log; one that a crash tore is left out."""
    path = out / LOG
    if not path.is_file():
        return []
    return [values for line in path.read_text(encoding="utf-8").splitlines() if (values := _parsed(line))]


def cut_log(path: Path, step: int) -> None:
    """Keep the lines up to this step."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if (values := _parsed(line)) and values["step"] <= step]
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    temporary.replace(path)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("step"), int) else None


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Times with microseconds; losses and norms exactly, since runs are compared by them."""
    return {
        name: round(value, 6) if name.endswith("_s") or name == "seconds" else value for name, value in values.items()
    }
