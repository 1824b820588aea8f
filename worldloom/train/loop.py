"""The loop. It names no method and no memory: batch, example, loss, update, callbacks, checkpoint.

Noise, times and dropped actions of step n are a pure function of (seed, n), and the windows of (seed, epoch), so a
resumed run gives the numbers of one that was never interrupted.
"""

from __future__ import annotations

import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from worldloom.catalogs.errors import WorldloomError
from worldloom.train.batches import Batch, BatchReader
from worldloom.train.callbacks.callback import Callback, StepReport
from worldloom.train.callbacks.log import JsonlLog
from worldloom.train.callbacks.progress import Tell, TrainProgress
from worldloom.train.callbacks.tensorboard import TensorBoard
from worldloom.train.checkpoint import checkpoints
from worldloom.train.draws import torch_generator
from worldloom.train.examples import drop_actions, encode
from worldloom.train.loader import Loader, WorkerDied
from worldloom.train.lock import only_trainer
from worldloom.train.order import Order
from worldloom.train.recipe import Recipe, recipe_yaml
from worldloom.train.run import Run, build_run, learning_rate
from worldloom.train.saved_run import CHECKPOINTS, RECIPE, check_same_recipe, resume, save_run, start_from
from worldloom.train.validation import Validation, validation_pool

INTERRUPTED = 130
"""Exit code of a run that was told to stop and saved."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        out: its folder.
        step: how many steps are done in all.
        steps: how many the recipe wants.
        loss: of the last step; None where there was nothing left to do.
        resumed_from: step of the checkpoint that was read; None for a fresh run.
        checkpoint: the newest one; None where none was written or read.
        clips: how many were drawn from.
        refused: clips that could not be used, by reason.
        interrupted: a signal ended it; the same command resumes.
        notes: what a person should know.
    """

    out: Path
    step: int
    steps: int
    loss: float | None
    resumed_from: int | None
    checkpoint: Path | None
    clips: int
    refused: dict[str, int]
    interrupted: bool
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 130 after a signal."""
        return INTERRUPTED if self.interrupted else 0


@dataclass
class StopRequest:
    """Whether a signal came."""

    asked: bool = False


@dataclass
class _Notes(Callback):
    """Keeps what a person should know for the result, and warns where nobody shows it."""

    shown_elsewhere: bool
    texts: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.texts.append(text)
        if not self.shown_elsewhere:
            warnings.warn(text, stacklevel=4)


def train(recipe: Recipe, progress: TrainProgress | None = None, stop_after: int | None = None) -> TrainResult:
    """Train, or continue where the checkpoints of the same recipe in `recipe.out` end.

    SIGTERM and SIGINT end it after the step at work, with a checkpoint; a second SIGINT ends it at once.

    Args:
        recipe: what to do.
        progress: told about every step.
        stop_after: end, with a checkpoint, once so many steps are done in all.

    Raises:
        UsageError: the recipe cannot be followed, another process trains there, the run there is of another recipe,
            or its data changed.
        WorldloomError: data cannot be read, a worker died, the loss is no number.
    """
    with only_trainer(recipe.out), _stop_on_signals() as stop:
        check_same_recipe(recipe)
        run = build_run(recipe)
        notes = _Notes(shown_elsewhere=progress is not None)
        run.callbacks = _callbacks(run, notes, progress)
        resume(run, run.note)
        resumed_from = run.step if run.resumed else None
        if recipe.init is not None and not run.resumed:
            start_from(run, recipe.init)
        if run.pool.refused:
            run.note(f"training on {len(run.pool.clips)} clips; not used: {run.pool.refusals()}")
        _write_recipe(recipe)
        last = min(recipe.steps, stop_after) if stop_after is not None else recipe.steps
        loss = _steps(run, last, stop) if run.step < last else None
        found = checkpoints(recipe.out / CHECKPOINTS)
        return TrainResult(
            recipe.out,
            run.step,
            recipe.steps,
            loss,
            resumed_from,
            found[-1] if found else None,
            len(run.pool.clips),
            dict(run.pool.refused),
            stop.asked and run.step < last,
            tuple(notes.texts),
        )


def _callbacks(run: Run, notes: Callback, progress: TrainProgress | None) -> list[Callback]:
    """The average first, because validation uses it; validation last, because its result goes to the others."""
    recipe = run.recipe
    callbacks: list[Callback] = [run.ema] if run.ema else []
    callbacks += [notes, JsonlLog(recipe.out), TensorBoard(recipe.out)]
    if progress is not None:
        callbacks.append(Tell(progress))
    if (config := recipe.validation) is not None:
        pool = validation_pool(recipe, config, run.method, run.model.memory.needs_cameras)
        callbacks.append(Validation(recipe, config, pool, run.method))
        run.manifests |= pool.manifests
    return callbacks


def _steps(run: Run, last: int, stop: StopRequest) -> float | None:
    """Train up to step `last` or until told to stop; returns the last loss."""
    recipe, loss = run.recipe, None
    order = Order(run.pool, recipe.batch, run.method.starts, recipe.seed)
    loader = Loader(
        order,
        BatchReader(run.pool.datasets, keep=run.pool.decoded_bytes <= 1_000_000 * recipe.batch.keep_mb),
        run.position,
        last - run.step,
        recipe.batch.workers,
        pin=run.device.type == "cuda",
    )
    batches = iter(loader)
    saved = run.step if run.resumed else None
    try:
        for callback in run.callbacks:
            callback.start(run)
        ended = time.perf_counter()
        while run.step < last and not stop.asked:
            try:
                batch = next(batches)
            except WorkerDied:
                if stop.asked:  # the signal went to the whole process group
                    break
                raise
            waited = time.perf_counter() - ended
            loss, norm = train_step(run, batch)
            run.position = loader.position
            now = time.perf_counter()
            report = _report(run, batch, (loss, norm), waited, now - ended)
            ended = now
            for callback in run.callbacks:
                callback.after_step(run, report)
            if run.step % recipe.save_every == 0:
                save_run(run)
                saved = run.step
        if saved != run.step:
            save_run(run)
    finally:
        batches.close()  # type: ignore[attr-defined]
        for callback in run.callbacks:
            callback.end(run)
    return loss


def train_step(run: Run, batch: Batch) -> tuple[float, float]:
    """One update: loss (mean over the batch) and norm of the gradient before clipping.

    Raises:
        WorldloomError: the loss is no number; the weights are left as they were.
    """
    recipe, step = run.recipe, run.step + 1
    rate = learning_rate(recipe.optimizer, step)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    example = encode(batch, run.codec, run.device, recipe.model.actions is not None)
    example = drop_actions(example, recipe.batch.action_dropout, torch_generator("dropout", recipe.seed, step))
    times = run.method.times(len(example.target), torch_generator("times", recipe.seed, step)).to(run.device)
    noise = torch.randn(example.target.shape, generator=torch_generator("noise", recipe.seed, step)).to(run.device)
    run.optimizer.zero_grad(set_to_none=True)
    with run.precision():
        loss = run.method.loss(run.model, example, times, noise).mean()
    loss.backward()
    weights = [weight for weight in run.model.parameters() if weight.grad is not None]
    norm = torch.nn.utils.clip_grad_norm_(weights, recipe.optimizer.clip_grad_norm or math.inf)
    if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
        raise WorldloomError(
            f"step {step}: the loss is {loss.item():g} and the norm of its gradient {norm.item():g}. Lower"
            " optimizer.lr, lengthen optimizer.warmup_steps, or take dtype=float32; earlier checkpoints are kept"
        )
    run.optimizer.step()
    run.step = step
    return loss.item(), norm.item()


def _report(run: Run, batch: Batch, found: tuple[float, float], waited: float, seconds: float) -> StepReport:
    return StepReport(
        step=run.step,
        epoch=batch.plan.epoch,
        loss=found[0],
        grad_norm=found[1],
        lr=run.optimizer.param_groups[0]["lr"],
        frames_per_s=batch.target_frames / max(seconds, 1e-9),
        data_wait_s=waited,
        seconds=seconds,
    )


def _write_recipe(recipe: Recipe) -> None:
    path = recipe.out / RECIPE
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(recipe_yaml(recipe), encoding="utf-8")
    temporary.replace(path)


@contextmanager
def _stop_on_signals() -> Iterator[StopRequest]:
    """SIGTERM and SIGINT ask to stop; only the main thread can listen."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: Any) -> None:
        if stop.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
