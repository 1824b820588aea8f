"""The dry run: what a recipe costs, found without a GPU and without making the model.

Weights, gradients and AdamW are float32 (4 + 4 + 8 bytes per parameter), the moving average 4 more. Activations are
those of the model's own count, which is for bfloat16; float32 doubles them. The figures leave out what the codec
needs, and what allocators waste.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from worldloom.catalogs.errors import UsageError
from worldloom.train.method import Method, needs_of
from worldloom.train.methods.registry import build_method
from worldloom.train.order import Order
from worldloom.train.recipe import FRAME_STRIDE, Recipe
from worldloom.train.windows import Pool, open_pool

if TYPE_CHECKING:
    from worldloom.model.world import WorldModel

FLOAT_BYTES = 4
PIXEL_STRIDE = 8
"""Pixels per latent position, of every codec here (Wan 2.1)."""
BACKWARD_FLOPS = 2
"""A backward pass costs twice the forward pass: gradients of the inputs and of the weights."""


@dataclass(frozen=True)
class DataFound:
    """What the datasets hold for this recipe.

    Attributes:
        clips: usable ones.
        windows: different ones, with the shortest history each clip allows.
        batches: steps of the first epoch.
        refused: clips that cannot be used, by reason.
        refusals: the same as a sentence.
    """

    clips: int
    windows: int
    batches: int
    refused: dict[str, int]
    refusals: str


@dataclass(frozen=True)
class Estimate:
    """One step of a recipe, with the longest history it may draw.

    Attributes:
        parameters: by part of the model: `dit`, `memory`, `action_encoder`.
        height: pixels.
        width: pixels.
        history_latents: of one window.
        target_latents: of one window.
        tokens: the target's, of one window.
        flops: of one step: forward and backward of the whole batch.
        weight_bytes: of the model.
        gradient_bytes: of it.
        optimizer_bytes: of AdamW.
        ema_bytes: of the moving average, 0 without one.
        activation_bytes: of the whole batch.
        data: what the datasets hold; None where there are none yet.
        no_data: why not; empty where there are.
    """

    parameters: dict[str, int]
    height: int
    width: int
    history_latents: int
    target_latents: int
    tokens: int
    flops: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    ema_bytes: int
    activation_bytes: int
    data: DataFound | None
    no_data: str = ""

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weight_bytes + self.gradient_bytes + self.optimizer_bytes + self.ema_bytes + self.activation_bytes


def dry_run(recipe: Recipe) -> Estimate:
    """What one step of the recipe costs.

    Raises:
        UsageError: the method refuses the recipe, or neither the recipe nor the data says how large pictures are.
        BadInput: a dataset is damaged.
    """
    from worldloom.model.world import WorldModel

    method = build_method(recipe)
    with torch.device("meta"):
        model = WorldModel(recipe.model)
    parameters = {name: sum(weight.numel() for weight in part.parameters()) for name, part in model.named_children()}
    pool, no_data = _look(recipe, method, model)
    height, width = recipe.batch.size_hw or _largest(pool, no_data)
    history = 1 + (recipe.batch.history_choices[-1] - 1) // FRAME_STRIDE
    target = 1 + (recipe.batch.target_frames - 1) // FRAME_STRIDE
    rows, columns = height // PIXEL_STRIDE, width // PIXEL_STRIDE
    cost = model.cost(target, rows, columns, history)
    # Recomputing every block costs one more forward pass.
    passes = 1 + BACKWARD_FLOPS + (1 if recipe.model.dit.checkpoint_blocks else 0)
    learned = sum(parameters.values())
    _, patch_rows, patch_columns = recipe.model.dit.patch_size
    return Estimate(
        parameters=parameters,
        height=height,
        width=width,
        history_latents=history,
        target_latents=target,
        tokens=target * (rows // patch_rows) * (columns // patch_columns),
        flops=passes * cost.flops * recipe.batch.size,
        weight_bytes=FLOAT_BYTES * learned,
        gradient_bytes=FLOAT_BYTES * learned,
        optimizer_bytes=2 * FLOAT_BYTES * learned,
        ema_bytes=FLOAT_BYTES * learned if recipe.ema_decay is not None else 0,
        activation_bytes=cost.activation_bytes * recipe.batch.size * (1 if recipe.dtype == "bfloat16" else 2),
        data=None if pool is None else _found(recipe, method, pool),
        no_data=no_data,
    )


def _look(recipe: Recipe, method: Method, model: WorldModel) -> tuple[Pool | None, str]:
    """The pool, or why there is none: a dry run also serves to plan before there is data."""
    try:
        return open_pool(recipe.data, recipe.batch, needs_of(method, recipe, model.memory.needs_cameras)), ""
    except UsageError as error:
        return None, str(error)


def _largest(pool: Pool | None, no_data: str) -> tuple[int, int]:
    if pool is None:
        raise UsageError(f"batch.height and batch.width are not given, and no data says them ({no_data})")
    return max((clip.crop.size for clip in pool.clips), key=lambda size: size[0] * size[1])


def _found(recipe: Recipe, method: Method, pool: Pool) -> DataFound:
    batch = recipe.batch
    windows = sum(len(method.starts(clip, clip.histories[0], batch.target_frames)) for clip in pool.clips)
    batches = len(Order(pool, batch, method.starts, recipe.seed).epoch(0))
    return DataFound(len(pool.clips), windows, batches, dict(pool.refused), pool.refusals())
