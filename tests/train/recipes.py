"""Recipes that train in milliseconds per step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worldloom.catalogs.config import load
from worldloom.train.recipe import Recipe

TINY_MODEL: dict[str, Any] = {
    "codec": "haar:4",
    "actions": {"kind": "causal", "dim_embed": 4},
    "memory": {"kind": "none"},
    "dit": {"dim": 16, "ffn_dim": 32, "num_heads": 2, "num_layers": 2, "freq_dim": 16},
}


def tiny_recipe(out: Path, dataset: Path, **changes: Any) -> Recipe:
    """Two windows of 5 + 9 frames, cropped to 16 x 32, per step; keys of `changes` are dotted with `__`."""
    values: dict[str, Any] = {
        "name": "tiny",
        "out": str(out),
        "data": [{"path": str(dataset), "split": "train"}],
        "model": {**TINY_MODEL},
        "batch": {"size": 2, "target_frames": 9, "history_frames": [1, 9], "height": 16, "width": 32},
        "optimizer": {"lr": 1e-2},
        "steps": 6,
        "save_every": 2,
        "validate_every": 3,
        "validation": {"split": "test", "clips": 2, "noise_levels": [0.2, 0.8]},
        "ema_decay": 0.9,
        "device": "cpu",
        "threads": 1,
    }
    for key, value in changes.items():
        *parents, last = key.split("__")
        group = values
        for name in parents:
            group[name] = {**group[name]}
            group = group[name]
        group[last] = value
    return load(Recipe, values)
