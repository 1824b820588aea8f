from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.settings import Bounds, Execution

ROOT = Path(__file__).parents[2]


class Where:
    """Says which process and which GPUs a row was worked on with."""

    def __call__(self, row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        time.sleep(0.4)
        return {"pid": os.getpid(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "")}, b""

    @staticmethod
    def lost(row: dict[str, Any], error: str, attempts: int) -> tuple[dict[str, Any], bytes]:
        raise AssertionError(error)


DRIVER = """
import json, os
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
import ray
from worldloom.pipeline.engine import Engine, Stage
from worldloom.pipeline.settings import Execution

ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, object_store_memory=80_000_000)
place = "tests.pipeline.test_engine_pools:Where"
told = {}
for name, gpus, execution in (
    ("all", 1, {"workers": 3}),
    ("one", 1, {"workers": 3, "gpu_workers": 1}),
    ("halves", 0.5, {"workers": 3, "gpu_workers": {"min": 2, "max": 3}}),
    ("cpus", 0, {"workers": 3, "gpu_workers": 1}),
):
    stage = Stage(name, place, {}, cpus=1, gpus=gpus, memory_mb=100)
    with Engine(Execution.model_validate(execution)) as engine:
        engine.stages = [stage]
        told[name] = [row for row, _ in engine.run(stage, [{}] * 12)]
for bounds in ({"min": 3},):
    try:
        with Engine(Execution.model_validate({"gpu_workers": bounds})) as engine:
            engine.stages = [Stage("depth", place, {}, gpus=1, memory_mb=100)]
            engine.start()
    except Exception as error:
        told["refused"] = str(error)
print(json.dumps(told))
"""


@pytest.mark.slow
def test_operations_with_and_without_gpus_get_pools_within_their_bounds() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    pids = {name: len({row["pid"] for row in rows}) for name, rows in told.items() if name != "refused"}
    gpus = {name: {row["gpus"] for row in rows} for name, rows in told.items() if name != "refused"}
    assert pids == {"all": 2, "one": 1, "halves": 3, "cpus": 3}
    assert gpus["all"] == {"0", "1"} and gpus["one"] < {"0", "1"} and gpus["halves"] == {"0", "1"}
    assert gpus["cpus"].isdisjoint({"0", "1"})
    assert told["refused"] == (
        "depth wants 3 workers at least, 2 fit at the same time; lower the min of execution.gpu_workers, or add nodes"
    )


def test_bounds_are_a_number_or_two() -> None:
    execution = Execution.model_validate({"workers": {"min": 2, "max": 5}, "gpu_workers": 3})
    assert execution.bounds(gpus=0) == Bounds(min=2, max=5) and execution.worker_count == 5
    assert execution.bounds(gpus=0.5) == Bounds(min=1, max=3)
    assert Execution().bounds(gpus=1) == Bounds()


@pytest.mark.parametrize("workers", [0, {"min": 3, "max": 2}, {"min": 0}, {"most": 2}, 5000])
def test_bounds_that_mean_nothing_are_refused(workers: Any) -> None:
    from worldloom.catalogs.config import load

    with pytest.raises(UsageError, match="workers"):
        load(Execution, {"workers": workers}, where="execution")
