from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.pipeline.engine import Engine, Stage
from worldloom.pipeline.settings import Execution

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
        return {"number": row["number"], "double": 2 * row["number"]}, b"\0" * row["number"]


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


def test_a_row_that_kills_its_actor_every_time_ends_the_run_and_not_never(shared_ray: Engine, tmp_path: Path) -> None:
    with Engine(Execution(workers=1)) as engine, pytest.raises(WorldloomError, match="double: Ray failed"):
        list(engine.run(doubler(tmp_path, deaths=99), [{"number": 3}]))
    assert len(list(tmp_path.iterdir())) <= 4


def test_what_no_node_can_run_is_refused_before_anything_starts(shared_ray: Engine, tmp_path: Path) -> None:
    with Engine(Execution()) as engine:
        engine.stages = [doubler(tmp_path, memory_mb=10_000_000)]
        with pytest.raises(UsageError, match="double wants 10000000 MB of memory per worker"):
            engine.start()


def test_nothing_to_do_starts_nothing() -> None:
    with Engine(Execution()) as engine:
        assert list(engine.run(doubler(Path()), [])) == []
        assert not engine.started
