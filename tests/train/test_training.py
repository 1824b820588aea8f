from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.train.recipes import TINY_MODEL, tiny_recipe
from tests.train.walks import touch_manifest, walk, write_dataset
from worldloom.catalogs.errors import BadInput, UsageError, WorldloomError
from worldloom.train.batches import BatchReader
from worldloom.train.callbacks.ema import Ema
from worldloom.train.callbacks.log import cut_log, read_log
from worldloom.train.checkpoint import checkpoints
from worldloom.train.loop import TrainResult, train, train_step
from worldloom.train.order import Order
from worldloom.train.run import Run, build_run, learning_rate
from worldloom.train.saved_run import open_checkpoint, resume
from worldloom.train.validation import Validation, validation_pool


def figures(out: Path) -> list[tuple[Any, ...]]:
    """What a log says, but for its times."""
    return [
        (line["step"], line["loss"], line["grad_norm"], line["lr"], line["epoch"])
        if "loss" in line
        else (line["step"], line["validation"]["loss"], tuple(line["validation"]["loss_at"].items()))
        for line in read_log(out)
    ]


@pytest.fixture(scope="module")
def straight(walks: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Six steps without interruption."""
    return train(tiny_recipe(tmp_path_factory.mktemp("straight") / "out", walks))


def test_a_run_leaves_what_it_says(straight: TrainResult) -> None:
    assert (straight.step, straight.exit_code, straight.resumed_from) == (6, 0, None)
    assert {entry.name for entry in straight.out.iterdir()} == {
        "lock",
        "recipe.yaml",
        "log.jsonl",
        "tensorboard",
        "checkpoints",
    }
    names = [entry.name for entry in checkpoints(straight.out / "checkpoints")]
    assert names == ["step-00000002", "step-00000004", "step-00000006"]
    assert straight.checkpoint is not None
    assert {entry.name for entry in straight.checkpoint.iterdir()} == {
        "model.safetensors",
        "ema.safetensors",
        "optimizer.safetensors",
        "state.json",
        "config.json",
        "recipe.yaml",
    }
    assert list((straight.out / "tensorboard").iterdir())


def test_the_log_holds_each_step_once_and_validations_between(straight: TrainResult) -> None:
    lines = read_log(straight.out)
    assert [(line["step"], "loss" in line) for line in lines] == [
        (0, False), (1, True), (2, True), (3, True), (3, False), (4, True), (5, True), (6, True), (6, False),
    ]  # fmt: skip
    assert {"loss", "grad_norm", "lr", "frames_per_s", "data_wait_s", "seconds"} <= lines[1].keys()
    assert set(lines[0]["validation"]["loss_at"]) == {"0.2", "0.8"}


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_a_run_in_pieces_gives_the_same_numbers(
    straight: TrainResult, walks: Path, tmp_path: Path, stop_after: int
) -> None:
    recipe = tiny_recipe(tmp_path / "out", walks, save_every=5)
    first = train(recipe, stop_after=stop_after)
    assert (first.step, first.interrupted) == (stop_after, False)
    second = train(recipe)
    assert (second.step, second.resumed_from) == (6, stop_after)
    assert figures(recipe.out) == figures(straight.out)
    assert second.checkpoint is not None and straight.checkpoint is not None
    for name in ("model.safetensors", "ema.safetensors", "optimizer.safetensors"):
        assert (second.checkpoint / name).read_bytes() == (straight.checkpoint / name).read_bytes()
    third = train(recipe)
    assert (third.step, third.loss) == (6, None)
    assert figures(recipe.out) == figures(straight.out)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "optimizer.safetensors", "ema.safetensors", "config.json", "recipe.yaml", "state.json"],
)
def test_a_torn_checkpoint_is_passed_over_and_the_numbers_stay(
    straight: TrainResult, walks: Path, tmp_path: Path, name: str
) -> None:
    recipe = tiny_recipe(tmp_path / "out", walks)
    train(recipe, stop_after=4)
    torn = recipe.out / "checkpoints/step-00000004" / name
    torn.write_bytes(torn.read_bytes()[:-7])
    with pytest.warns(UserWarning, match=f"{name}.*passed over"):
        result = train(recipe)
    assert result.resumed_from == 2
    assert any(name in note for note in result.notes)
    assert figures(recipe.out) == figures(straight.out)


def test_another_recipe_is_refused_where_only_checkpoints_are_left(walks: Path, tmp_path: Path) -> None:
    train(tiny_recipe(tmp_path / "run", walks, steps=2))
    (tmp_path / "run" / "recipe.yaml").unlink()
    with pytest.raises(UsageError, match=r"model\.dit\.dim"):
        train(tiny_recipe(tmp_path / "run", walks, steps=4, model__dit__dim=32))


def test_weights_of_another_shape_name_the_tensor(walks: Path, tmp_path: Path) -> None:
    train(tiny_recipe(tmp_path / "run", walks, steps=2))
    other = build_run(tiny_recipe(tmp_path / "other", walks, model__dit__dim=32))
    other.recipe = other.recipe.model_copy(update={"out": tmp_path / "run"})
    with pytest.raises(BadInput, match=r"model\.safetensors: \S+ is \(16.*\), \(32.*\) expected"):
        resume(other, lambda text: None)


def test_another_recipe_is_refused_naming_the_keys(walks: Path, tmp_path: Path) -> None:
    train(tiny_recipe(tmp_path, walks), stop_after=1)
    with pytest.raises(UsageError, match=r"different: batch\.size, optimizer\.lr\."):
        train(tiny_recipe(tmp_path, walks, batch__size=1, optimizer__lr=1.0))
    assert train(tiny_recipe(tmp_path, walks, steps=2, save_every=1, keep=1, validate_every=9)).step == 2


def test_a_changed_dataset_is_refused_on_resuming(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [walk(0), walk(1), walk(2)], ["train", "train", "test"])
    recipe = tiny_recipe(tmp_path / "out", dataset)
    train(recipe, stop_after=1)
    touch_manifest(dataset)
    with pytest.raises(UsageError, match=r"the dataset changed since the checkpoint of step 1.*rollback"):
        train(recipe)


def test_a_second_trainer_is_refused(walks: Path, tmp_path: Path) -> None:
    from worldloom.train.lock import only_trainer

    with only_trainer(tmp_path), pytest.raises(UsageError, match="is training there"):
        train(tiny_recipe(tmp_path, walks))


def test_the_average_follows_its_formula(walks: Path, tmp_path: Path) -> None:
    run = build_run(tiny_recipe(tmp_path, walks))
    assert run.ema is not None
    name, weight = next((name, weight) for name, weight in run.model.named_parameters() if "blocks.0" in name)
    history = [weight.detach().double().clone()]
    for batch in batches_of(run, 4):
        train_step(run, batch)
        run.ema.follow(run.model)
        history.append(weight.detach().double().clone())
    expected = 0.9**4 * history[0] + sum(0.1 * 0.9 ** (4 - k) * history[k] for k in range(1, 5))
    np.testing.assert_allclose(run.ema.weights[name], expected, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(run.ema.weights[name], weight)


def batches_of(run: Run, count: int) -> list[Any]:
    order = Order(run.pool, run.recipe.batch, run.method.starts, run.recipe.seed)
    return [BatchReader(run.pool.datasets).read(plan) for plan in order.epoch(0)[:count]]


def test_validation_gives_the_same_twice_and_leaves_the_weights(walks: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, walks)
    run = build_run(recipe)
    assert recipe.validation is not None and run.ema is not None
    pool = validation_pool(recipe, recipe.validation, run.method, needs_cameras=False)
    validation = Validation(recipe, recipe.validation, pool, run.method)
    train_step(run, batches_of(run, 1)[0])
    before = {name: weight.clone() for name, weight in run.model.state_dict().items()}
    one, two = validation.measure(run), validation.measure(run)
    assert (one.loss, one.loss_at) == (two.loss, two.loss_at)
    assert all(torch.equal(before[name], weight) for name, weight in run.model.state_dict().items())
    assert run.model.training
    with run.ema.in_place(run.model):  # the average is what was measured
        run.ema, average = None, run.ema
        assert validation.measure(run).loss == one.loss
    run.ema = average
    train_step(run, batches_of(run, 1)[0])
    assert validation.measure(run).loss == one.loss  # the average has not moved
    run.ema.follow(run.model)
    assert validation.measure(run).loss != one.loss


def test_the_loss_falls_on_one_batch(walks: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, walks, batch__action_dropout=0.0, optimizer__clip_grad_norm=None)
    run = build_run(recipe)
    batch = batches_of(run, 1)[0]
    losses = [train_step(run, batch)[0] for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


def test_warm_up_rises_and_stays(tmp_path: Path) -> None:
    config = tiny_recipe(tmp_path, tmp_path, optimizer__warmup_steps=4, optimizer__lr=0.8).optimizer
    assert [learning_rate(config, step) for step in (1, 2, 4, 5, 100)] == pytest.approx([0.2, 0.4, 0.8, 0.8, 0.8])


def test_only_matrices_are_decayed(walks: Path, tmp_path: Path) -> None:
    run = build_run(tiny_recipe(tmp_path, walks))
    decay = {id(w): group["weight_decay"] for group in run.optimizer.param_groups for w in group["params"]}
    for weight in run.model.parameters():
        assert decay[id(weight)] == (0.01 if weight.dim() > 1 else 0.0)


def test_a_loss_that_is_no_number_stops_before_the_update(walks: Path, tmp_path: Path) -> None:
    run = build_run(tiny_recipe(tmp_path, walks))
    batch = batches_of(run, 1)[0]
    with torch.no_grad():
        next(run.model.parameters()).fill_(float("nan"))
    before = [weight.clone() for weight in run.model.parameters()]
    with pytest.raises(WorldloomError, match=r"step 1: the loss is nan.*optimizer\.lr"):
        train_step(run, batch)
    assert all(torch.equal(a, b) for a, b in zip(before[1:], list(run.model.parameters())[1:], strict=True))


@pytest.mark.parametrize("size", [(16, 32), (None, None)])
def test_data_without_camera_and_revisits_trains(tmp_path: Path, size: tuple[int | None, int | None]) -> None:
    dataset = write_dataset(tmp_path, [walk(i, camera=False, height=32 + 16 * (i % 2)) for i in range(4)])
    changes = {"validation": None, "batch__height": size[0], "batch__width": size[1], "steps": 3}
    recipe = tiny_recipe(tmp_path / "out", dataset, **changes)
    assert train(recipe).step == 3


def test_a_model_without_actions_and_average_trains_in_bfloat16(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [walk(i, actions=False) for i in range(2)])
    model = {**TINY_MODEL, "actions": None}
    changes = {"model": model, "dtype": "bfloat16", "ema_decay": None, "validation": None, "steps": 2}
    result = train(tiny_recipe(tmp_path / "out", dataset, **changes))
    assert result.checkpoint is not None
    assert not (result.checkpoint / "ema.safetensors").exists()
    assert open_checkpoint(result.out)[3] == 2


def test_hpmc_trains_on_revisits_with_a_long_history(tmp_path: Path) -> None:
    clips = [walk(i, frames=45, pairs=[(2, 40)]) for i in range(2)] + [walk(2, frames=45)]
    dataset = write_dataset(tmp_path, clips)
    memory = {"kind": "hpmc", "hidden": 32, "num_heads": 2, "strides": [1, 2], "windows": 3, "window_latents": 4}
    memory["direct_latents"] = 6  # a history of 8 or 10 latents is Mode 2
    changes = {
        "model": {**TINY_MODEL, "memory": memory},
        "method": {"kind": "revisit_dense"},
        "batch__history_frames": [29, 37],
        "validation": None,
        "steps": 2,
    }
    with pytest.warns(UserWarning, match=r"1 clip without revisits"):
        result = train(tiny_recipe(tmp_path / "out", dataset, **changes))
    assert result.refused == {"no_revisits": 1}


def test_the_average_is_preferred_on_opening(straight: TrainResult) -> None:
    from safetensors.torch import load_file

    assert straight.checkpoint is not None
    for path in (straight.out, straight.out / "checkpoints", straight.checkpoint):
        model, _, recipe, step = open_checkpoint(path)
        assert (step, recipe.name, model.training) == (6, "tiny", False)
    for ema, name in ((True, "ema.safetensors"), (False, "model.safetensors")):
        model = open_checkpoint(straight.out, ema=ema)[0]
        saved = load_file(straight.checkpoint / name)
        assert all(torch.equal(saved[key], value) for key, value in model.state_dict().items())
    with pytest.raises(UsageError, match="no checkpoint here"):
        open_checkpoint(straight.out / "tensorboard")


def test_a_run_starts_from_the_weights_of_another(straight: TrainResult, walks: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "out", walks, init=str(straight.out), steps=2, method={"kind": "flow_matching"})
    train(recipe, stop_after=1)
    before, now = read_log(straight.out)[-1], read_log(recipe.out)[0]
    assert now["step"] == 0
    assert now["validation"]["loss_at"] == before["validation"]["loss_at"]
    assert train(recipe).resumed_from == 1
    other = tiny_recipe(tmp_path / "other", walks, init=str(straight.out), model__codec="haar:5")
    with pytest.raises(UsageError, match=r"init: .* holds another model"):
        train(other)


def test_opening_only_torn_checkpoints_says_so(walks: Path, tmp_path: Path) -> None:
    result = train(tiny_recipe(tmp_path / "out", walks), stop_after=1)
    assert result.checkpoint is not None
    (result.checkpoint / "model.safetensors").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"no checkpoint there is whole.*model\.safetensors"):
        open_checkpoint(result.out)


def test_a_log_is_cut_behind_the_resumed_step(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": step, "loss": 0.5}) + "\n" for step in range(5)) + '{"step": 5, "lo')
    cut_log(path, 3)
    assert [line["step"] for line in read_log(tmp_path)] == [0, 1, 2, 3]
    cut_log(path, -1)
    assert path.read_text() == ""


def test_swapping_the_average_in_survives_an_error() -> None:
    model = torch.nn.Linear(2, 2)
    ema = Ema(model, 0.5)
    before = model.weight.clone()
    ema.weights["weight"].zero_()
    with pytest.raises(RuntimeError, match="on purpose"), ema.in_place(model):
        assert not model.weight.any()
        raise RuntimeError("on purpose")
    assert torch.equal(model.weight, before)
