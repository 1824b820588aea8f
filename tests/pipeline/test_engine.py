from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.pipeline.engine import RETRIES, Engine, Stage
from worldloom.pipeline.settings import Execution
from worldloom.pipeline.stretches import ROUNDS_ALONE

pytestmark = pytest.mark.slow


class Doubler:
    """Doubles numbers; dies of SIGKILL, as the kernel does it when memory runs out, `deaths` times at number 3."""

    def __init__(self, *, folder: str, deaths: int) -> None:
        self._folder, self._deaths = Path(folder), deaths

    def __call__(self, row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        died = len(list(self._folder.iterdir()))
        if row["number"] == 3 and died < self._deaths:
            (self._folder / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if row["number"] == 1_000:
            raise KeyError("an error of ours")
        if row.get("trace"):
            (self._folder / f"{row['number']}").touch()
            time.sleep(0.2)
        time.sleep(row.get("sleep_s", 0.0))
        return {"number": row["number"], "double": 2 * row["number"]}, b"\0" * row["number"]

    @staticmethod
    def lost(row: dict[str, Any], error: str, attempts: int) -> tuple[dict[str, Any], bytes]:
        return {"number": row["number"], "double": 2 * row["number"], "lost": error, "attempts": attempts}, b""


def doubler(folder: Path, deaths: int = 0, **resources: float) -> Stage:
    settings = {"folder": str(folder), "deaths": deaths}
    return Stage("double", "tests.pipeline.test_engine:Doubler", settings, **{"memory_mb": 100, **resources})  # type: ignore[arg-type]


@pytest.mark.parametrize("deaths", [0, 1])
def test_every_row_comes_out_once_also_when_an_actor_dies(shared_ray: Engine, tmp_path: Path, deaths: int) -> None:
    with Engine(Execution(workers=2)) as engine:
        results = list(engine.run(doubler(tmp_path, deaths), [{"number": number} for number in range(12)]))
    assert sorted(result["number"] for result, _ in results) == list(range(12))
    for result, payload in results:
        assert result["double"] == 2 * result["number"] and len(payload) == result["number"]
    assert len(list(tmp_path.iterdir())) == deaths


def test_a_row_that_kills_its_worker_every_time_is_told_as_lost_and_its_siblings_are_not(
    shared_ray: Engine, tmp_path: Path
) -> None:
    with Engine(Execution(workers=2)) as engine:
        results = list(engine.run(doubler(tmp_path, deaths=99), [{"number": number} for number in range(8)]))
    assert sorted(result["number"] for result, _ in results) == list(range(8))
    lost = [result for result, _ in results if "lost" in result]
    times = ROUNDS_ALONE * (1 + RETRIES)
    assert [(one["number"], one["attempts"]) for one in lost] == [(3, times)]
    assert "double: the worker died" in lost[0]["lost"]
    assert len(list(tmp_path.iterdir())) == times


def test_rows_that_shared_a_task_with_a_killer_are_done_without_it(
    shared_ray: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(Execution(workers=2)) as engine:
        list(engine.run(doubler(tmp_path), [{"number": 0} for _ in range(40)]))  # now the pace is known
        out = list(engine.run(doubler(tmp_path, deaths=99), ({"number": number} for number in range(40))))
    assert sorted(result["number"] for result, _ in out) == list(range(40))
    assert [result["number"] for result, _ in out if "lost" in result] == [3]
    assert len(list(tmp_path.iterdir())) == (1 + ROUNDS_ALONE) * (1 + RETRIES), "once with them, then alone"


def test_rows_leave_one_by_one_and_are_read_as_they_are_needed(
    shared_ray: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldloom.pipeline.stretches.ROWS_AT_LEAST", 16)
    monkeypatch.setattr("worldloom.pipeline.stretches.ROWS_PER_WORKER", 4)
    read: list[int] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(64):
            read.append(number)
            yield {"number": number, "sleep_s": 0.01}

    with Engine(Execution(workers=2)) as engine:
        results = engine.run(doubler(tmp_path), rows())
        first, _ = next(results)
        assert len(read) == 16
        rest = [result["number"] for result, _ in results]
    assert sorted([first["number"], *rest]) == list(range(64))


def test_an_error_of_the_program_ends_the_run_and_shows_where(shared_ray: Engine, tmp_path: Path) -> None:
    with (
        Engine(Execution(workers=1)) as engine,
        pytest.raises(WorldloomError, match=r"an error in the program(.|\n)*test_engine.py(.|\n)*an error of ours"),
    ):
        list(engine.run(doubler(tmp_path), [{"number": 1_000}]))


def test_a_supervisor_that_cannot_be_built_ends_the_run(shared_ray: Engine, tmp_path: Path) -> None:
    stage = Stage("double", "tests.pipeline.test_engine:Doubler", {"nonsense": 1}, memory_mb=100)
    with Engine(Execution(workers=1)) as engine, pytest.raises(WorldloomError, match=r"double: Ray failed .*nonsense"):
        list(engine.run(stage, [{"number": 1}]))


def test_what_no_node_can_run_is_refused_before_anything_starts(shared_ray: Engine, tmp_path: Path) -> None:
    with Engine(Execution()) as engine:
        engine.stages = [doubler(tmp_path, memory_mb=10_000_000)]
        with pytest.raises(UsageError, match="double wants 10000000 MB of memory per worker"):
            engine.start()


def test_nothing_to_do_starts_nothing() -> None:
    with Engine(Execution()) as engine:
        assert list(engine.run(doubler(Path()), [])) == []
        assert not engine.started


def test_rows_that_share_a_task_leave_it_one_by_one(shared_ray: Engine, tmp_path: Path) -> None:
    with Engine(Execution(workers=1)) as engine:
        list(engine.run(doubler(tmp_path), [{"number": 0} for _ in range(40)]))  # short rows: the next share tasks
        results = engine.run(doubler(tmp_path), ({"number": number, "trace": True} for number in range(100, 150)))
        next(results)
        begun = len(list(tmp_path.iterdir()))
        assert begun < 5  # of the 12 in the first task
        assert len(list(results)) == 49


LISTENERS = """
import json, psutil
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.settings import Execution

with Engine(Execution(workers=1)) as engine:
    engine.start()
    here = psutil.Process()
    family = [here, *here.children(recursive=True)]
    ours = [one for one in family if one.name() in ("gcs_server", "raylet") or one.name().startswith("ray::")]
    found = [[one.name(), link.laddr.ip] for one in ours for link in one.net_connections(kind="inet")
             if link.status == psutil.CONN_LISTEN]
    print(json.dumps({"found": found, "notes": engine.notes}))
"""


def test_ray_on_one_machine_listens_on_loopback_alone() -> None:
    # In a process of its own: whoever imported ray first decides what it listens on.
    done = subprocess.run([sys.executable, "-c", LISTENERS], capture_output=True, text=True, timeout=120, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert {"gcs_server", "raylet"} <= {name for name, _ in told["found"]}
    assert all(ipaddress.ip_address(ip.removeprefix("::ffff:")).is_loopback for _, ip in told["found"])
    assert told["notes"] == []
