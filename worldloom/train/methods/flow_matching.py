"""Flow matching: the velocity at a random time, on windows from anywhere in a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worldloom.catalogs.errors import UsageError
from worldloom.model.memory.hpmc_config import HPMCConfig
from worldloom.train.method import Method
from worldloom.train.methods.config import FlowMatchingConfig, RevisitDenseConfig
from worldloom.train.recipe import FRAME_STRIDE, Recipe
from worldloom.train.windows import UsableClip, every_start

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from worldloom.model.world import WorldModel
    from worldloom.train.examples import Example

MOST_HISTORY_LATENTS = 80
"""Longest history where the memory sets no limit: up to here the released HPMC compresses it in one pass, its Mode 1
(Infinite-World, released code)."""


class FlowMatching(Method):
    """Mean square error of the velocity (Infinite-World, released code): |v(x_t, t) - (noise - x_0)|^2.

    Args:
        config: how times are drawn.
    """

    def __init__(self, config: FlowMatchingConfig | RevisitDenseConfig) -> None:
        self.config = config

    def check(self, recipe: Recipe) -> None:
        """Long histories belong to `revisit_dense`."""
        memory = recipe.model.memory
        latents = memory.direct_latents if isinstance(memory, HPMCConfig) else MOST_HISTORY_LATENTS
        most = 1 + FRAME_STRIDE * (latents - 1)
        if recipe.batch.history_choices[-1] > most:
            raise UsageError(
                f"batch.history_frames: flow_matching takes at most {most} frames ({latents} latents) of"
                " history; make it shorter, or take method.kind=revisit_dense"
            )

    def starts(self, clip: UsableClip, history_frames: int, target_frames: int) -> np.ndarray:
        """Every window."""
        return every_start(clip, history_frames, target_frames)

    def times(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform or logit-normal, then shifted."""
        from worldloom.model.flow import sample_times

        return sample_times(count, generator, self.config.times, self.config.shift)

    def loss(self, model: WorldModel, example: Example, times: Tensor, noise: Tensor) -> Tensor:
        """Mean over all but the batch."""
        from worldloom.model.flow import interpolate, velocity

        plan = model.plan(example.history, example.query)
        found = model.velocity(interpolate(example.target, noise, times), times, plan, example.query)
        error = found.float() - velocity(example.target, noise).float()
        return error.square().flatten(1).mean(dim=1)
