"""A moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from worldloom.train.callbacks.callback import Callback, StepReport

if TYPE_CHECKING:
    from worldloom.train.run import Run


class Ema(Callback):
    """average <- decay average + (1 - decay) weight after every step, from the first weights on, in float32.

    Attributes:
        weights: by parameter name.

    Args:
        model: whose parameters are averaged.
        decay: in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights: dict[str, Tensor] = {}
        self.restart(model)

    def restart(self, model: nn.Module) -> None:
        """Forget the past: the average is the weights as they are."""
        self.weights = {name: weight.detach().float().clone() for name, weight in model.named_parameters()}

    @torch.no_grad()
    def after_step(self, run: Run, report: StepReport) -> None:
        """Follow the weights."""
        self.follow(run.model)

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """One update."""
        for name, weight in model.named_parameters():
            self.weights[name].mul_(self.decay).add_(weight.float(), alpha=1 - self.decay)

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """The model computes with the average inside of this; nothing is copied but where types differ."""
        kept: dict[str, Tensor] = {}
        try:
            for name, weight in model.named_parameters():
                kept[name] = weight.data
                weight.data = self.weights[name].to(weight.dtype)
            yield
        finally:
            for name, weight in model.named_parameters():
                if name in kept:
                    weight.data = kept[name]
