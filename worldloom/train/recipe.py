"""The recipe: everything that decides what is trained, on what, and how long. Strict YAML, no torch.

Lengths count video frames at the clip's own rate; sizes are pixels; a latent frame is 4 video frames and 8 pixels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from worldloom.catalogs.config import Strict, load, read_yaml
from worldloom.catalogs.errors import UsageError
from worldloom.model.config import ModelConfig
from worldloom.train.methods.config import FlowMatchingConfig, MethodConfig

FRAME_STRIDE = 4
"""Video frames per latent frame, of every codec here (Wan 2.1)."""
SIDE_MULTIPLE = 16
"""Sides are multiples of this: 8 of the codec times 2 of the patch (Wan 2.1)."""

FREE_KEYS = (
    "out",
    "steps",
    "save_every",
    "keep",
    "validate_every",
    "batch.workers",
    "batch.keep_mb",
    "threads",
    "device",
)
"""What may differ when a run is continued; all else decides the numbers."""


class DataConfig(Strict):
    """One dataset.

    Attributes:
        path: its folder.
        split: only clips of this split; all where not given.
        where: only clips for which this condition over the catalog holds, e.g. `quality.sharpness > 0.2`.
        weight: how often each of its windows is visited, relative to those of the other datasets.
    """

    path: Path
    split: str | None = None
    where: str | None = None
    weight: float = Field(default=1.0, gt=0, le=100)


class BatchConfig(Strict):
    """What one step sees.

    Attributes:
        size: windows per step.
        target_frames: video frames to be generated, 1 + 4n; the first repeats the last one of the history
            (Infinite-World: 81).
        history_frames: video frames before them, 1 + 4m: a number, or [least, most], drawn per step.
        height: pixels, a multiple of 16; clips are scaled down and cropped around the centre. Not given, with
            `width` not given either: each clip's own size, cropped to multiples of 16.
        width: pixels, a multiple of 16.
        action_dropout: share of windows whose actions all become 9, uncertain, which guidance needs (default ours).
        workers: processes that decode ahead; 0: the training process decodes.
        keep_mb: clips that take no more than this together, decoded and cropped, are decoded once by each process and
            kept in memory (default ours).
    """

    size: int = Field(default=1, ge=1)
    target_frames: int = Field(default=81, ge=1)
    history_frames: int | tuple[int, int] = 1
    height: int | None = Field(default=None, ge=SIDE_MULTIPLE, multiple_of=SIDE_MULTIPLE)
    width: int | None = Field(default=None, ge=SIDE_MULTIPLE, multiple_of=SIDE_MULTIPLE)
    action_dropout: float = Field(default=0.1, ge=0, le=1)
    workers: int = Field(default=0, ge=0, le=256)
    keep_mb: int = Field(default=512, ge=0)

    @property
    def history_choices(self) -> range:
        """Every length of history that may be drawn, ascending."""
        least, most = (self.history_frames,) * 2 if isinstance(self.history_frames, int) else self.history_frames
        return range(least, most + 1, FRAME_STRIDE)

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """(height, width), or None for the clips' own."""
        return None if self.height is None or self.width is None else (self.height, self.width)

    @model_validator(mode="after")
    def _whole_latents(self) -> BatchConfig:
        history = (self.history_frames,) if isinstance(self.history_frames, int) else self.history_frames
        for name, frames in (("target_frames", self.target_frames), *(("history_frames", one) for one in history)):
            if frames < 1 or frames % FRAME_STRIDE != 1:
                near = max(1, round((frames - 1) / FRAME_STRIDE) * FRAME_STRIDE + 1)
                raise ValueError(f"{name} must be 1 + 4n; {frames} is not, {near} is")
        if history[0] > history[-1]:
            raise ValueError("history_frames: [least, most] are in the wrong order")
        if self.target_frames == 1:
            raise ValueError("target_frames: 1 is only the repeated last frame of the history; take at least 5")
        if (self.height is None) != (self.width is None):
            raise ValueError("give both height and width, or neither")
        return self


class OptimizerConfig(Strict):
    """AdamW with a warm-up and then a constant rate (Infinite-World: constant; its value is not published).

    Attributes:
        lr: learning rate after the warm-up (default ours).
        weight_decay: of matrices and kernels; vectors (biases, gains) are not decayed (default ours).
        betas: of AdamW (default ours).
        warmup_steps: steps over which the rate rises linearly from lr / warmup_steps.
        clip_grad_norm: gradients are scaled down to this norm; None: they are left alone.
    """

    lr: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    warmup_steps: int = Field(default=0, ge=0)
    clip_grad_norm: float | None = Field(default=1.0, gt=0)


class ValidationConfig(Strict):
    """Fixed clips, windows and noise.

    Attributes:
        path: a dataset; the ones trained on where not given.
        split: of it.
        clips: at most so many, the first by key.
        noise_levels: times t in (0, 1] at which the loss is measured (default ours).
    """

    path: Path | None = None
    split: str | None = None
    clips: int = Field(default=8, ge=1)
    noise_levels: tuple[float, ...] = Field(default=(0.1, 0.3, 0.5, 0.7, 0.9), min_length=1)

    @field_validator("noise_levels")
    @classmethod
    def _levels_are_times(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < level <= 1 for level in levels):
            raise ValueError("noise_levels lie in (0, 1]")
        return levels

    @model_validator(mode="after")
    def _has_a_place(self) -> ValidationConfig:
        if self.path is None and self.split is None:
            raise ValueError("give split or path; the clips trained on are no validation")
        return self


class Recipe(Strict):
    """One training run.

    Attributes:
        name: of the run.
        out: folder of the run.
        data: datasets.
        model: see `ModelConfig`.
        method: what is learned from which windows.
        batch: what one step sees.
        optimizer: how weights follow gradients.
        init: a run or checkpoint whose weights this one starts from, the moving average where it has one; its model
            must be the same. None: fresh weights.
        steps: in all.
        seed: of weights, order, noise and dropout.
        save_every: steps between checkpoints.
        keep: checkpoints kept, the newest.
        validate_every: steps between validations.
        validation: what to validate on; None: nothing.
        ema_decay: of the moving average of the weights, which is then what is validated and preferred on opening;
            None: no average.
        device: `auto` takes the first GPU where there is one; else as torch names it (`cpu`, `cuda:1`).
        dtype: of the arithmetic; weights, gradients and the optimizer are float32 always.
        threads: of torch on the CPU; None leaves its default. Other counts may round differently.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    out: Path
    data: tuple[DataConfig, ...] = Field(min_length=1)
    model: ModelConfig
    method: MethodConfig = FlowMatchingConfig()
    batch: BatchConfig = BatchConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    init: Path | None = None
    steps: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    save_every: int = Field(default=500, ge=1)
    keep: int = Field(default=3, ge=1)
    validate_every: int = Field(default=500, ge=1)
    validation: ValidationConfig | None = None
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    device: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int | None = Field(default=None, ge=1)

    @field_validator("method", mode="before")
    @classmethod
    def _usual_method(cls, method: Any) -> Any:
        # So that `method.shift=7` alone does not need the kind said as well.
        return {"kind": "flow_matching", **method} if isinstance(method, dict) else method


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: of the YAML file; `name` is its stem and `out` is runs/NAME of the working directory where not given.
            Other paths in it are relative to the folder it lies in.
        overrides: `key=value` with dotted keys (`batch.size=4`, `data.0.path=walks`); paths in them are relative to
            the working directory.

    Raises:
        UsageError: what is wrong, with the nearest right key.
    """
    path = Path(path)
    values = read_yaml(path)
    _place(values, path.parent.absolute())
    values.setdefault("name", path.stem)
    for text in overrides:
        _override(values, text)
    values.setdefault("out", f"runs/{values['name']}")
    _place(values, Path.cwd())
    return load(Recipe, values, where=str(path))


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, defaults included; `load_recipe` reads it back to the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def changed_keys(one: Recipe, other: Recipe) -> list[str]:
    """Dotted names of the keys that differ and decide the numbers, sorted; `FREE_KEYS` may differ."""
    left, right = (dict(_leaves(recipe.model_dump(mode="json"))) for recipe in (one, other))
    names = {name for name in left.keys() | right.keys() if left.get(name, "") != right.get(name, "")}
    return sorted(name for name in names if name not in FREE_KEYS)


def _leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        parts = value.items()
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        parts = {str(number): one for number, one in enumerate(value)}.items()
    else:
        return [(name, value)]
    return [leaf for key, one in parts for leaf in _leaves(one, f"{name}.{key}" if name else str(key))]


def _place(values: dict[str, Any], folder: Path) -> None:
    """Make the paths of a recipe absolute; what is not of the right shape is left to the check that follows."""

    def absolute(where: Any, key: str) -> None:
        if isinstance(where, dict) and isinstance(where.get(key), str):
            where[key] = os.path.normpath(folder / Path(where[key]).expanduser())

    absolute(values, "out")
    absolute(values, "init")
    absolute(values.get("validation"), "path")
    for one in values["data"] if isinstance(values.get("data"), list) else ():
        absolute(one, "path")
    model = values.get("model")
    if isinstance(model, dict) and isinstance(model.get("codec"), str):
        family, colon, rest = model["codec"].partition(":")
        if family == "wan" and rest:
            model["codec"] = f"{family}{colon}{os.path.normpath(folder / Path(rest).expanduser())}"


def _override(values: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"'{text}': expected key=value, e.g. batch.size=4")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"'{text}': the value is not YAML ({error})") from None
    parts = key.split(".")
    current: Any = values
    for depth, part in enumerate(parts[:-1], start=1):
        if isinstance(current, dict) and current.get(part) is None:
            current[part] = {}
        current = current[part if isinstance(current, dict) else _entry(current, part, key)]
        if not isinstance(current, (dict, list)):
            raise UsageError(f"'{text}': '{'.'.join(parts[:depth])}' is not a group of keys")
    current[parts[-1] if isinstance(current, dict) else _entry(current, parts[-1], key)] = parsed


def _entry(entries: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(entries):
        raise UsageError(f"'{key}': there is no entry '{part}' among {len(entries)}")
    return int(part)
