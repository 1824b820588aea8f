"""A method: which windows are learned from, at which noise, and the loss. The loop names none of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worldloom.train.recipe import Recipe
from worldloom.train.windows import Needs, UsableClip

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from worldloom.model.world import WorldModel
    from worldloom.train.examples import Example


class Method(ABC):
    """What every method answers."""

    needs_revisits: ClassVar[bool] = False
    """Whether `starts` reads the clips' revisits."""

    def check(self, recipe: Recipe) -> None:  # noqa: B027 - most recipes suit every method
        """Refuse a recipe that this method cannot follow.

        Raises:
            UsageError: naming the key and the remedy.
        """

    @abstractmethod
    def starts(self, clip: UsableClip, history_frames: int, target_frames: int) -> np.ndarray:
        """First frames of the windows wanted, ascending (n,)."""

    @abstractmethod
    def times(self, count: int, generator: torch.Generator) -> Tensor:
        """Noise times (B,) in [0, 1] for one step, drawn on the CPU."""

    @abstractmethod
    def loss(self, model: WorldModel, example: Example, times: Tensor, noise: Tensor) -> Tensor:
        """Loss of each window.

        Args:
            model: being trained.
            example: B windows.
            times: (B,).
            noise: like `example.target`.

        Returns:
            (B,) float32.
        """


def needs_of(method: Method, recipe: Recipe, needs_cameras: bool) -> Needs:
    """What clips must have for this method and this model.

    Args:
        method: says which windows.
        recipe: says whether the model takes actions.
        needs_cameras: whether the memory reads poses.
    """
    return Needs(method.starts, recipe.model.actions is not None, needs_cameras, method.needs_revisits)
