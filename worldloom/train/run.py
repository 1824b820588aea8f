"""A run in memory: the parts that the loop, the callbacks and the checkpoints share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from worldloom.catalogs.errors import UsageError
from worldloom.train.callbacks.callback import Callback
from worldloom.train.callbacks.ema import Ema
from worldloom.train.draws import seed_of
from worldloom.train.method import Method, needs_of
from worldloom.train.methods.registry import build_method
from worldloom.train.order import Position
from worldloom.train.recipe import OptimizerConfig, Recipe
from worldloom.train.windows import Pool, open_pool

if TYPE_CHECKING:
    from worldloom.model.codecs.codec import Codec
    from worldloom.model.world import WorldModel


@dataclass(eq=False)
class Run:
    """Everything a step changes, and what it needs.

    Attributes:
        recipe: as it was given.
        device: where the model is.
        model: being trained.
        codec: frozen.
        method: owns the loss.
        optimizer: AdamW.
        pool: clips.
        manifests: digest of the manifest of every dataset in use, by its path.
        ema: moving average, where the recipe wants one.
        step: how many are done.
        position: in the order of the data.
        resumed: whether a checkpoint was read.
        callbacks: called in this order.
    """

    recipe: Recipe
    device: torch.device
    model: WorldModel
    codec: Codec
    method: Method
    optimizer: torch.optim.AdamW
    pool: Pool
    manifests: dict[str, str]
    ema: Ema | None = None
    step: int = 0
    position: Position = field(default_factory=Position)
    resumed: bool = False
    callbacks: list[Callback] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Tell every callback something a person should know."""
        for callback in self.callbacks:
            callback.note(text)

    def precision(self) -> torch.autocast:
        """Context in which the model computes in the recipe's dtype."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.dtype == "bfloat16")


def build_run(recipe: Recipe) -> Run:
    """Open the data and make the model, at step 0; nothing is written.

    Raises:
        UsageError: the recipe cannot be followed: no usable clip, no such device or codec, a method that refuses.
    """
    from worldloom.model.codecs.registry import codec_from
    from worldloom.model.world import WorldModel

    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    device = device_of(recipe)
    method = build_method(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("weights", recipe.seed))
        model = WorldModel(recipe.model)
    pool = open_pool(recipe.data, recipe.batch, needs_of(method, recipe, model.memory.needs_cameras))
    codec = codec_from(recipe.model.codec).to(device)
    model.to(device).train()
    run = Run(recipe, device, model, codec, method, optimizer_for(model, recipe.optimizer), pool, pool.manifests)
    run.ema = Ema(model, recipe.ema_decay) if recipe.ema_decay is not None else None
    return run


def device_of(recipe: Recipe) -> torch.device:
    """The device a recipe names.

    Raises:
        UsageError: it is not there.
    """
    if recipe.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(recipe.device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device: '{recipe.device}' cannot be used ({reason}); take auto or cpu") from None
    return device


def optimizer_for(model: torch.nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW; matrices and kernels are decayed, vectors are not."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [weight for weight in weights if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr, betas=config.betas)


def learning_rate(config: OptimizerConfig, step: int) -> float:
    """Rate of step `step`, counted from 1: lr min(1, step / warmup_steps)."""
    return config.lr * min(1.0, step / config.warmup_steps) if config.warmup_steps else config.lr
