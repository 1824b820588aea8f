"""`worldloom train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldloom import console

if TYPE_CHECKING:
    from worldloom.train.estimate import Estimate


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE.yaml", help="What to train, on what, and how long.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Keys of the recipe, e.g. batch.size=4")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost: parameters, FLOPs, memory. Trains nothing.")
    ] = False,
) -> None:
    """Train a world model on packed shards. The same command again resumes."""
    from worldloom.train.recipe import load_recipe

    chosen = load_recipe(recipe, overrides or [])  # before torch: a misspelt key answers at once
    if dry_run:
        from worldloom.train.estimate import dry_run as estimate

        _print_estimate(estimate(chosen))
        console.following(f"worldloom train {recipe}")
        return
    from worldloom.train.loop import train as run
    from worldloom.training_line import TrainingLine

    result = run(chosen, progress=TrainingLine())
    if result.interrupted:
        console.error(f"interrupted after step {result.step}; saved, and the same command resumes")
        raise typer.Exit(130)
    console.say(f"checkpoint: {result.checkpoint}")
    console.say(f"curve: {_draw(chosen.out)}")
    console.following(f"worldloom generate {chosen.out} --image PICTURE --actions 'w w a a'")


def _draw(out: Path) -> Path:
    """The loss of every step of the run so far."""
    import numpy as np

    from worldloom.report.training import loss_curve
    from worldloom.train.callbacks.log import read_log

    lines = [line for line in read_log(out) if "loss" in line]
    steps, losses = (np.array([line[name] for line in lines]) for name in ("step", "loss"))
    picture = out / "loss.png"
    picture.write_bytes(loss_curve(steps, losses))
    return picture


def _tera(flops: float) -> str:
    value = flops / 1e12
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _print_estimate(estimate: Estimate) -> None:
    """Everything a dry run knows, as tables."""
    parts = [[name, f"{count:,}"] for name, count in estimate.parameters.items() if count]
    console.table(["part", "parameters"], [*parts, ["all", f"{sum(estimate.parameters.values()):,}"]])
    memory = {
        "weights": estimate.weight_bytes,
        "gradients": estimate.gradient_bytes,
        "optimizer": estimate.optimizer_bytes,
        "moving average": estimate.ema_bytes,
        "activations": estimate.activation_bytes,
        "all": estimate.total_bytes,
    }
    console.table(["memory of one step", "size"], [[name, console.size(value)] for name, value in memory.items()])
    console.say(
        f"one step: {estimate.history_latents} + {estimate.target_latents} latents of {estimate.width} x "
        f"{estimate.height}, {estimate.tokens:,} tokens per target, {_tera(estimate.flops)} TFLOP"
    )
    if estimate.data is None:
        console.say(f"data: {estimate.no_data}")
        return
    found = estimate.data
    console.say(f"data: {found.clips} clips, {found.windows} windows, {found.batches} steps in the first epoch")
    if found.refused:
        console.say(f"not used: {found.refusals}")
