"""What of a run goes into a checkpoint and comes back: weights, average, optimizer, position, recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.train.checkpoint import STATE, checkpoints, newest_whole, read_state, write_checkpoint
from worldloom.train.order import Position
from worldloom.train.recipe import Recipe, changed_keys, load_recipe, recipe_yaml
from worldloom.train.run import Run

if TYPE_CHECKING:
    from worldloom.model.codecs.codec import Codec
    from worldloom.model.world import WorldModel

RECIPE, CHECKPOINTS = "recipe.yaml", "checkpoints"
EMA, OPTIMIZER = "ema.safetensors", "optimizer.safetensors"


def save_run(run: Run) -> Path:
    """Write a checkpoint of this moment and return its folder."""
    for callback in run.callbacks:
        callback.before_save(run)

    def write(folder: Path) -> None:
        run.model.save(folder)
        save_file(_optimizer_tensors(run), folder / OPTIMIZER)
        if run.ema is not None:
            save_file(_to_save({**run.model.state_dict(), **run.ema.weights}), folder / EMA)
        (folder / RECIPE).write_text(recipe_yaml(run.recipe), encoding="utf-8")

    state = {
        "epoch": run.position.epoch,
        "consumed": run.position.consumed,
        "manifests": run.manifests,
        "seed": run.recipe.seed,
        "torch": torch.__version__,
    }
    return write_checkpoint(run.recipe.out / CHECKPOINTS, run.step, write, state, run.recipe.keep)


def check_same_recipe(recipe: Recipe) -> None:
    """Refuse to continue a run with a recipe that gives other numbers.

    Raises:
        UsageError: naming the keys that differ.
    """
    found = checkpoints(recipe.out / CHECKPOINTS)
    if not found:
        return  # nothing was trained yet
    path = next((one for one in (recipe.out / RECIPE, found[-1] / RECIPE) if one.is_file()), None)
    if path is not None and (keys := changed_keys(load_recipe(path), recipe)):
        raise UsageError(
            f"{recipe.out}: holds a run of another recipe; different: {', '.join(keys)}. Set them back to continue it"
            f" ({path} says what they were), or give another out"
        )


def resume(run: Run, warn: Callable[[str], None]) -> None:
    """Bring the run to its newest whole checkpoint; nothing happens where there is none.

    Raises:
        UsageError: a dataset changed since.
    """
    found = newest_whole(run.recipe.out / CHECKPOINTS, warn)
    if found is None:
        if checkpoints(run.recipe.out / CHECKPOINTS):
            warn(f"{run.recipe.out}: no checkpoint there is whole; the run starts from the beginning")
        return
    folder, state = found
    _check_same_data(run, state)
    _fill(run.model, _tensors(folder / "model.safetensors"), folder / "model.safetensors")
    _restore_optimizer(run, load_file(folder / OPTIMIZER))
    if run.ema is not None:
        average = _tensors(folder / EMA)
        run.ema.weights = {name: average[name].to(run.device) for name in run.ema.weights}
    run.step, run.position = int(state["step"]), Position(int(state["epoch"]), int(state["consumed"]))
    run.resumed = True


def start_from(run: Run, path: Path) -> None:
    """Give a run at step 0 the weights of another one.

    Raises:
        UsageError: no checkpoint there, or of another model.
    """
    model = open_checkpoint(path)[0]
    if model.config != run.model.config:
        raise UsageError(f"init: {path} holds another model; take over `model` from the recipe.yaml there")
    run.model.load_state_dict(model.state_dict())
    if run.ema is not None:
        run.ema.restart(run.model)


def open_checkpoint(path: str | Path, ema: bool = True) -> tuple[WorldModel, Codec, Recipe, int]:
    """A trained model, on the CPU and in evaluation mode.

    Args:
        path: folder of a run, its `checkpoints`, or one checkpoint; of several the newest whole one is taken.
        ema: take the moving average where there is one.

    Returns:
        Model, codec, recipe, and how many steps were done.

    Raises:
        UsageError: no checkpoint there.
        BadInput: `torn_checkpoint`, none there is whole.
    """
    from worldloom.model.codecs.registry import codec_from
    from worldloom.model.world import WorldModel

    folder, state = _find(Path(path))
    recipe = load_recipe(folder / RECIPE)
    model = WorldModel.load(folder)
    if ema and (folder / EMA).is_file():
        _fill(model, _tensors(folder / EMA), folder / EMA)
    return model.eval(), codec_from(recipe.model.codec), recipe, int(state["step"])


def _find(path: Path) -> tuple[Path, dict[str, Any]]:
    if (path / STATE).is_file():
        return path, read_state(path)
    torn: list[str] = []
    for folder in (path / CHECKPOINTS, path):
        if found := newest_whole(folder, torn.append):
            return found
    if torn:
        raise BadInput("torn_checkpoint", "no checkpoint there is whole: " + "; ".join(torn), where=path)
    raise UsageError(f"{path}: no checkpoint here (a folder of `worldloom train`, or step-... in its checkpoints)")


def _check_same_data(run: Run, state: dict[str, Any]) -> None:
    before, now = state["manifests"], run.manifests
    changed = sorted(path for path in now if before.get(path) != now[path])
    if changed:
        raise UsageError(
            f"{', '.join(changed)}: the dataset changed since the checkpoint of step {state['step']}, so the run"
            " cannot be continued as it was. Roll the dataset back (worldloom rollback), or start anew in another out"
        )


def _optimizer_tensors(run: Run) -> dict[str, Tensor]:
    """`exp_avg/NAME`, `exp_avg_sq/NAME` and `step/NAME` of every parameter that was updated."""
    return _to_save(
        {
            f"{key}/{name}": value
            for name, weight in run.model.named_parameters()
            for key, value in run.optimizer.state.get(weight, {}).items()
        }
    )


def _restore_optimizer(run: Run, tensors: dict[str, Tensor]) -> None:
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        by_name.setdefault(name, {})[kind] = value
    for name, weight in run.model.named_parameters():
        if name in by_name:
            # The counter of steps stays on the CPU, where AdamW made it.
            run.optimizer.state[weight] = {
                kind: value if kind == "step" else value.to(weight.device) for kind, value in by_name[name].items()
            }


def _fill(model: nn.Module, tensors: dict[str, Tensor], where: Path) -> None:
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        if name in shapes and shapes[name] != tensor.shape:
            problem = f"{name} is {tuple(tensor.shape)}, {tuple(shapes[name])} expected"
            raise BadInput("other_model", problem, where=where, remedy="Was the model in its recipe.yaml changed?")
    missing, extra = model.load_state_dict(tensors, strict=False)
    if missing or extra:
        problem = f"lacks {missing[0]}" if missing else f"holds {extra[0]}, which this model has not"
        raise BadInput("other_model", problem, where=where, remedy="Was the model in its recipe.yaml changed?")


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise BadInput("torn_checkpoint", "is missing", where=path) from None


def _to_save(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
