"""The loss on fixed clips, fixed windows and fixed noise, so that two validations differ by the weights alone."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from worldloom.catalogs.errors import UsageError
from worldloom.train.batches import BatchReader
from worldloom.train.callbacks.callback import Callback, StepReport, ValidationReport
from worldloom.train.draws import torch_generator
from worldloom.train.examples import encode
from worldloom.train.method import Method, needs_of
from worldloom.train.order import BatchPlan
from worldloom.train.recipe import BatchConfig, DataConfig, Recipe, ValidationConfig
from worldloom.train.windows import Pool, UsableClip, Window, open_pool

if TYPE_CHECKING:
    from worldloom.train.run import Run


def validation_pool(recipe: Recipe, config: ValidationConfig, method: Method, needs_cameras: bool) -> Pool:
    """Clips to validate on: the chosen ones, the first by key.

    Raises:
        UsageError: there are none, with the reasons.
    """
    if config.path is not None:
        data = [DataConfig(path=config.path, split=config.split)]
    else:
        data = [one.model_copy(update={"split": config.split}) for one in recipe.data]
    try:
        pool = open_pool(data, recipe.batch, needs_of(method, recipe, needs_cameras))
    except UsageError as error:
        raise UsageError(f"validation: {error}") from None
    chosen = sorted(pool.clips, key=lambda clip: (clip.key, clip.source))[: config.clips]
    return replace(pool, clips=chosen)


def fixed_window(clip: UsableClip, batch: BatchConfig, method: Method) -> Window:
    """The one window of a clip that is validated: the longest history it allows, the middle of its starts."""
    history = clip.histories[-1]
    starts = method.starts(clip, history, batch.target_frames)
    first = int(starts[len(starts) // 2])
    return Window(clip.source, clip.position, clip.key, first, history, batch.target_frames, clip.crop)


class Validation(Callback):
    """Before the first step, every so many steps and after the last one; under the moving average where there is one.

    Args:
        recipe: of the run.
        config: of the validation.
        pool: of `validation_pool`.
        method: of the run.
    """

    def __init__(self, recipe: Recipe, config: ValidationConfig, pool: Pool, method: Method) -> None:
        self.recipe, self.config, self.pool = recipe, config, pool
        self.plans = [
            BatchPlan(0, number, (fixed_window(clip, recipe.batch, method),)) for number, clip in enumerate(pool.clips)
        ]
        self._reader = BatchReader(pool.datasets)

    def start(self, run: Run) -> None:
        """Untrained weights are validated too."""
        if self.pool.refused:
            run.note(f"validating on {len(self.pool.clips)} clips; not used: {self.pool.refusals()}")
        if not run.resumed:
            self._announce(run)

    def after_step(self, run: Run, report: StepReport) -> None:
        """When it is due."""
        if run.step % self.recipe.validate_every == 0 or run.step == self.recipe.steps:
            self._announce(run)

    def _announce(self, run: Run) -> None:
        report = self.measure(run)
        for callback in run.callbacks:
            callback.validated(run, report)

    @torch.no_grad()
    def measure(self, run: Run) -> ValidationReport:
        """Loss by noise level; the same for the same weights."""
        began = time.perf_counter()
        levels = self.config.noise_levels
        sums = torch.zeros(len(levels), dtype=torch.float64)
        training = run.model.training
        run.model.eval()
        try:
            with run.ema.in_place(run.model) if run.ema else nullcontext():
                for plan in self.plans:
                    sums += self._losses(run, plan)
        finally:
            run.model.train(training)
        mean = sums / len(self.plans)
        loss_at = {f"{level:g}": float(loss) for level, loss in zip(levels, mean, strict=True)}
        seconds = time.perf_counter() - began
        return ValidationReport(run.step, float(mean.mean()), loss_at, len(self.plans), run.ema is not None, seconds)

    def _losses(self, run: Run, plan: BatchPlan) -> torch.Tensor:
        """(levels,) losses of one clip; its noise is the same at every level."""
        batch = self._reader.read(plan)
        example = encode(batch, run.codec, run.device, self.recipe.model.actions is not None)
        noise = torch.randn(
            example.target.shape, generator=torch_generator("validation noise", self.recipe.seed, plan.index)
        ).to(run.device)
        losses = []
        for level in self.config.noise_levels:
            with run.precision():
                loss = run.method.loss(run.model, example, torch.full((1,), level, device=run.device), noise)
            losses.append(loss.double().cpu()[0])
        return torch.stack(losses)
