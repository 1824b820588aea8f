"""Real processes, killed and told to stop at moments nobody chose."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.train.recipes import tiny_recipe
from tests.train.test_order import order_of
from tests.train.test_training import figures
from worldloom.train.batches import BatchReader
from worldloom.train.callbacks.log import read_log
from worldloom.train.checkpoint import checkpoints
from worldloom.train.loader import Loader, WorkerDied
from worldloom.train.loop import TrainResult, train
from worldloom.train.order import Position
from worldloom.train.recipe import Recipe, recipe_yaml

STEPS = 18
CHILD = Path(__file__).with_name("child.py")


def longer(out: Path, walks: Path, workers: int = 0) -> Recipe:
    return tiny_recipe(
        out, walks, steps=STEPS, save_every=3, validate_every=7, batch__workers=workers, ema_decay=0.99
    )  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(walks: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(longer(tmp_path_factory.mktemp("uninterrupted") / "out", walks))


def start(recipe: Recipe, folder: Path) -> subprocess.Popen[str]:
    path = folder / "walk.yaml"
    path.write_text(recipe_yaml(recipe))
    root = str(Path(__file__).parents[2])
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(path)],
        env=environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_step(process: subprocess.Popen[str], out: Path, step: int) -> None:
    """Returns while the child is at work beyond this step."""
    deadline = time.monotonic() + 60
    while max((line["step"] for line in read_log(out)), default=0) < step:
        if process.poll() is not None:
            raise AssertionError(f"the child ended by itself: {process.communicate()[1]}")
        assert time.monotonic() < deadline, "the child makes no steps"
        time.sleep(0.002)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Iterator[random.Random]:
    """Random moments; a failure prints the seed that repeats them (WORLDLOOM_TEST_SEED)."""
    seed = int(os.environ.get("WORLDLOOM_TEST_SEED", time.time_ns() % 10**6))
    print(f"WORLDLOOM_TEST_SEED={seed}")
    yield random.Random(seed)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(0, 2), (2, 1)])
def test_killed_and_resumed_gives_the_same_numbers(
    uninterrupted: TrainResult, walks: Path, tmp_path: Path, workers: int, kills: int, chance: random.Random
) -> None:
    recipe = longer(tmp_path / "out", walks, workers)
    for low, high in ((1, STEPS // 2), (STEPS // 2 + 1, STEPS - 3))[:kills]:
        step = chance.randint(low, high)
        print("killed after step", step)
        process = start(recipe, tmp_path)
        try:
            wait_for_step(process, recipe.out, step)
        finally:
            process.kill()
            process.communicate(timeout=30)  # ends when the last worker has gone as well
        assert max(line["step"] for line in read_log(recipe.out)) < STEPS
    saved = checkpoints(recipe.out / "checkpoints")  # none where it was killed before the first
    result = train(recipe)
    assert (result.resumed_from is not None, result.step) == (bool(saved), STEPS)
    assert figures(recipe.out) == figures(uninterrupted.out)
    assert result.checkpoint is not None and uninterrupted.checkpoint is not None
    for name in ("model.safetensors", "ema.safetensors", "optimizer.safetensors"):
        assert (result.checkpoint / name).read_bytes() == (uninterrupted.checkpoint / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "number"), [(0, signal.SIGTERM), (2, signal.SIGINT)])
def test_told_to_stop_it_saves_and_ends_with_130(
    uninterrupted: TrainResult, walks: Path, tmp_path: Path, workers: int, number: signal.Signals, chance: random.Random
) -> None:
    recipe = longer(tmp_path / "out", walks, workers).model_copy(update={"save_every": 1000})
    process = start(recipe, tmp_path)
    wait_for_step(process, recipe.out, chance.randint(1, STEPS - 5))
    os.killpg(process.pid, number)  # as schedulers and terminals do: workers get it too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    stopped = max(line["step"] for line in read_log(recipe.out))
    result = train(recipe)
    assert result.resumed_from == stopped
    assert figures(recipe.out) == figures(uninterrupted.out)


def test_a_dead_worker_is_a_clear_error(walks: Path, tmp_path: Path) -> None:
    order = order_of(tiny_recipe(tmp_path, walks))
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    batches = iter(Loader(order, BatchReader(order.pool.datasets), Position(), 1000, workers=1))
    next(batches)
    workers = [
        child
        for child in psutil.Process().children(recursive=True)
        if child.pid not in before and not child.children() and "forkserver" in " ".join(child.cmdline())
    ]
    assert workers
    for worker in workers:
        worker.kill()
    with pytest.raises(WorkerDied, match=r"decodes video ended by itself.*batch\.workers.*resumes"):
        for _ in range(1000):
            next(batches)
