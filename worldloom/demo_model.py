"""The demo's second half: a small model learns from the shards just packed, and walks where nobody showed it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from worldloom.training_line import line_of

if TYPE_CHECKING:
    from worldloom.catalogs.clip import Clip
    from worldloom.report.content import TrainingContent, WalkContent
    from worldloom.train.callbacks.callback import StepReport, ValidationReport
    from worldloom.train.recipe import Recipe

STEPS = 400
"""Of training: under two minutes (ours); 600 changed the walk by 0.2 dB."""
FRAMES = 33
"""Generated from one, the first included: two chunks, whose histories are as long as those trained with (ours)."""
SAMPLING_STEPS = 10
"""Of the sampler (ours; the release takes 30): more change these blurred pictures little."""

RECIPE: dict[str, Any] = {
    "model": {
        "codec": "haar:16",
        "dit": {"dim": 128, "ffn_dim": 512, "num_heads": 4, "num_layers": 4, "freq_dim": 64},
        "actions": {"kind": "released", "dim_embed": 64},
        "memory": {"kind": "hpmc", "hidden": 32, "num_heads": 2, "groups": 8},
    },
    "method": {"kind": "flow_matching", "shift": 3.0},
    "batch": {"size": 4, "target_frames": 17, "history_frames": [1, 17], "height": 80, "width": 144},
    "optimizer": {"lr": 3e-3, "warmup_steps": 20},
    "ema_decay": 0.98,
    "steps": STEPS,
    "save_every": 100,
    "keep": 1,
    "validate_every": STEPS,
    "validation": {"split": "test", "clips": 2},
    "threads": 1,
}
"""What the demo trains; every size small, every part the real one."""


class Steps(Protocol):
    """Who is told about the stages: `worldloom.demo.Diary`."""

    def start(self, stage: str, total: int | None, note: str = "") -> None:
        """A stage begins."""

    def advance(self, stage: str, count: int = 1, note: str = "") -> None:
        """More of it is done."""

    def finish(self, stage: str, note: str = "") -> None:
        """It is over."""

    def step(self, stage: str) -> AbstractContextManager[Callable[[str], None]]:
        """A stage of one item."""


class _Told:
    """Passes the progress of a training on to the demo's stages."""

    def __init__(self, diary: Steps) -> None:
        self._diary = diary

    def start(self, done: int, total: int) -> None:
        self._diary.advance("train", done)

    def step(self, report: StepReport, total: int) -> None:
        self._diary.advance("train", note=line_of([report], total))

    def validated(self, report: ValidationReport) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def train_and_walk(out: Path, dataset: Path, truths: dict[str, Clip], diary: Steps) -> TrainingContent:
    """Train on the dataset's training split, and generate from the first frame of a clip of the other split.

    Args:
        out: working folder of the demo; the run goes into a folder of it that is named by the dataset's state.
        dataset: with the splits `train` and `test`.
        truths: true clips by key, whose actions are followed.
        diary: told about it.
    """
    from worldloom.train.loop import train

    recipe = demo_recipe(out, dataset)
    diary.start("train", recipe.steps)
    result = train(recipe, progress=_Told(diary))
    losses = _losses(recipe.out)
    diary.finish("train", f"loss {losses[0][1]:.3f} at first, {losses[-1][1]:.3f} at last")
    if result.interrupted:
        raise KeyboardInterrupt
    with diary.step("generate") as says:
        walk = _walk(recipe, truths)
        from worldloom.report.training import walk_words

        says(walk_words(walk))
    return _content(recipe, losses, [walk])


def demo_recipe(out: Path, dataset: Path) -> Recipe:
    """The recipe for this state of the dataset; another state is another run."""
    from worldloom.catalogs.config import digest, load
    from worldloom.catalogs.manifest import latest
    from worldloom.train.recipe import Recipe

    state = digest(latest(dataset), length=8)
    values = {
        **RECIPE,
        "name": "demo-model",
        "out": str((out / f"model-{state}").absolute()),
        "data": [{"path": str(dataset.absolute()), "split": "train"}],
    }
    return load(Recipe, values, where="demo")


def _walk(recipe: Recipe, truths: dict[str, Clip]) -> WalkContent:
    from worldloom.catalogs.dataset import ShardDataset
    from worldloom.report.content import WalkContent
    from worldloom.train.evaluate.walk import Sampling, walk_again
    from worldloom.train.saved_run import open_checkpoint

    model, codec, recipe, _ = open_checkpoint(recipe.out)
    held_out = ShardDataset(recipe.data[0].path, split="test")
    key = min(key for key in held_out.keys if key in truths)  # no derived clip: its truth is known
    truth = truths[key]
    walk = walk_again(
        model,
        codec,
        recipe,
        held_out.get(key),
        actions=truth.actions,
        sampling=Sampling(steps=SAMPLING_STEPS),
        most_frames=FRAMES,
    )
    return WalkContent(truth.provenance.uri, walk.true, walk.codec, walk.generated, walk.actions, walk.fps)


def _losses(out: Path) -> list[tuple[int, float]]:
    from worldloom.train.callbacks.log import read_log

    return [(line["step"], line["loss"]) for line in read_log(out) if "loss" in line]


def _content(recipe: Recipe, losses: list[tuple[int, float]], walks: list[WalkContent]) -> TrainingContent:
    import numpy as np

    from worldloom.report.content import TrainingContent
    from worldloom.train.callbacks.log import read_log
    from worldloom.train.estimate import dry_run

    validations = [line["validation"] for line in read_log(recipe.out) if "validation" in line]
    levels = [{float(level): loss for level, loss in one["loss_at"].items()} for one in validations]
    estimate = dry_run(recipe)
    found = estimate.data
    facts = {
        "parameters": f"{sum(estimate.parameters.values()) / 1e6:.1f} M",
        "batch": f"{recipe.batch.size} windows of {recipe.batch.width} x {recipe.batch.height}",
        "codec": recipe.model.codec,
        "memory": recipe.model.memory.kind,
        "windows": "" if found is None else f"{found.windows} of {found.clips} clips",
    }
    return TrainingContent(
        np.array([step for step, _ in losses]),
        np.array([loss for _, loss in losses]),
        levels[0] if levels else {},
        levels[-1] if len(levels) > 1 else {},
        {name: value for name, value in facts.items() if value},
        walks,
    )
