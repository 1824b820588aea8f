from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.recipes import TINY_MODEL, tiny_recipe
from worldloom.catalogs.errors import UsageError
from worldloom.train.estimate import dry_run
from worldloom.train.run import build_run


def test_parameters_and_windows_are_those_of_the_run(walks: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "out", walks, batch__history_frames=5)
    estimate = dry_run(recipe)
    run = build_run(recipe)
    assert sum(estimate.parameters.values()) == sum(weight.numel() for weight in run.model.parameters())
    assert {"dit", "action_encoder"} <= estimate.parameters.keys()
    assert estimate.data is not None
    assert estimate.data.clips == 6
    assert estimate.data.windows == sum(clip.frames - 13 + 1 for clip in run.pool.clips)
    assert (estimate.history_latents, estimate.target_latents, estimate.tokens) == (2, 3, 3 * 1 * 2)
    weights = sum(estimate.parameters.values()) * 4
    assert (estimate.weight_bytes, estimate.optimizer_bytes, estimate.ema_bytes) == (weights, 2 * weights, weights)
    assert not (tmp_path / "out").exists()


def test_a_batch_of_two_costs_twice_and_recomputing_one_more_forward(walks: Path, tmp_path: Path) -> None:
    one, two = (dry_run(tiny_recipe(tmp_path, walks, batch__size=size)) for size in (1, 2))
    assert two.flops == 2 * one.flops > 0
    assert two.activation_bytes == 2 * one.activation_bytes > 0
    model = {**TINY_MODEL, "dit": {**TINY_MODEL["dit"], "checkpoint_blocks": True}}
    assert dry_run(tiny_recipe(tmp_path, walks, batch__size=1, model=model)).flops * 3 == one.flops * 4


def test_it_plans_before_there_is_data(tmp_path: Path) -> None:
    estimate = dry_run(tiny_recipe(tmp_path, tmp_path / "nowhere"))
    assert estimate.data is None
    assert "no dataset here" in estimate.no_data
    with pytest.raises(UsageError, match="no data says them"):
        dry_run(tiny_recipe(tmp_path, tmp_path / "nowhere", batch__height=None, batch__width=None))


def test_the_released_size_is_estimated_without_making_it(tmp_path: Path) -> None:
    model = {
        "codec": "haar:16",
        "memory": {"kind": "hpmc"},
        "dit": {"dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30, "text_dim": 4096},
    }
    batch = {"size": 1, "target_frames": 81, "history_frames": [1, 317], "height": 448, "width": 896}
    estimate = dry_run(tiny_recipe(tmp_path, tmp_path / "nowhere", model=model, batch=batch))
    assert estimate.tokens == 21 * 1568
    assert estimate.parameters["action_encoder"] == pytest.approx(2_369_024, rel=0.01)
    assert 1.3e9 < sum(estimate.parameters.values()) < 1.6e9
    assert estimate.total_bytes > 20 * sum(estimate.parameters.values())
