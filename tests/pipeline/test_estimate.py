"""What a job takes before it runs: the statistics, and a sample that is run for real."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.pipeline.conftest import write_video
from tests.pipeline.fakes import Brightness, Still
from worldloom.annotators.annotator import Absent, Given, Resources
from worldloom.catalogs.clip import Clip
from worldloom.pipeline import preflight
from worldloom.pipeline.engine import Stage
from worldloom.pipeline.envelope import Envelope
from worldloom.pipeline.estimate import Estimate, Figure, Observation, derived_share, estimate_job, ratio_estimate
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Annotate, Compose, Derive, Execution, Job

ANNOTATE = ["tests.pipeline.fakes:Brightness", "tests.pipeline.fakes:Still"]


def observed(sizes: list[float], values: list[float]) -> list[Observation]:
    return [Observation(size, {"x": value}) for size, value in zip(sizes, values, strict=True)]


def test_what_is_proportional_to_size_is_known_exactly() -> None:
    figure = ratio_estimate(observed([1, 2, 5], [3, 6, 15]), "x", 100)
    assert (figure.value, figure.spread) == (pytest.approx(300), pytest.approx(0))


def test_one_observation_has_no_spread() -> None:
    assert ratio_estimate(observed([2], [3]), "x", 10) == Figure(15.0)


def test_all_observed_is_known_exactly() -> None:
    figure = ratio_estimate(observed([1, 2, 3], [5, 1, 9]), "x", 6)
    assert (figure.value, figure.spread) == (pytest.approx(15), pytest.approx(0))


def test_the_truth_lies_within_the_spread_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    sizes = draw.uniform(1, 10, 400)
    values = sizes * 3 + draw.normal(0, 2, 400)
    hits = 0
    for _ in range(300):
        chosen = draw.choice(400, 30, replace=False)
        figure = ratio_estimate(observed(sizes[chosen].tolist(), values[chosen].tolist()), "x", float(sizes.sum()))
        assert figure.spread is not None
        hits += abs(figure.value - values.sum()) <= figure.spread
    assert 0.88 < hits / 300 < 0.99, "two standard errors are 95 % for large samples, a little less for 30"


def test_derived_clips_are_counted() -> None:
    assert derived_share(Compose()) == 1
    rules = Compose(derive=(Derive(reverse="loop", share=0.5), Derive(window_frames=8)))
    assert derived_share(rules) == pytest.approx(1 + 0.5 * 2 + 1)


@pytest.fixture
def job(tmp_path: Path, make_job: Callable[..., Job]) -> Job:
    videos = tmp_path / "videos"
    videos.mkdir()
    for seed in range(4):
        write_video(videos / f"{seed}.mp4", 16 + 4 * seed, seed)
    (videos / "notes.txt").write_text("not a video")
    source: dict[str, Any] = {"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}
    return make_job(sources=[source], annotate=ANNOTATE, execution={"workers": 1})


def estimated(job: Job, sample: int = 0, **asked: Any) -> Estimate:
    return estimate_job(job, run_job(job, dry_run=True, **asked), sample=sample, **asked)


def test_without_rows_and_without_a_sample_nothing_is_claimed(job: Job) -> None:
    found = estimated(job)
    assert found.unknown == ["ingest", "brightness", "pose"]
    assert found.core_seconds == {} and found.observed == 0 and found.clips.value == 0


def test_a_sample_runs_for_real_and_leaves_nothing_behind(job: Job, tmp_path: Path) -> None:
    found = estimated(job, sample=2)
    assert not (job.out).exists() and found.unknown == [] and found.observed == 2
    assert set(found.core_seconds) == {"ingest", "brightness", "pose", "pack"}
    assert all(figure.value > 0 and figure.spread is not None for figure in found.core_seconds.values())
    assert 2 < found.clips.value < 8 and found.shards == 1
    assert found.wall_seconds(2).value == pytest.approx(found.wall_seconds(1).value / 2)


def test_rows_that_ran_tell_what_the_rest_takes(job: Job) -> None:
    with InProcess(job.execution) as engine:
        run_job(job, engine=engine, limit=2)
    found = estimated(job)
    assert found.unknown == [] and found.observed == 2
    assert found.core_seconds["brightness"].value > 0
    with InProcess(job.execution) as engine:
        run_job(job, engine=engine)
    done = estimated(job)
    assert done.total_core_seconds.value == 0, "a finished job takes nothing more"
    assert done.clips == Figure(4.0, pytest.approx(0.0))
    assert done.clip_bytes.value == sum(path.stat().st_size for path in (job.out / "clips").rglob("*.mp4"))  # type: ignore[operator]


class OnGpu(Still):
    """Says that it takes half a GPU."""

    name = "on_gpu"
    gives = "depth"
    resources = Resources(gpus=0.5, memory_mb=500)

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        return Absent("nothing to see")


class OnFourCores(Brightness):
    """Says that it takes four cores."""

    name = "four"
    resources = Resources(cpus=4, memory_mb=500)


def test_the_first_items_of_a_job_are_all_that_is_told_of(job: Job) -> None:
    with InProcess(job.execution) as engine:
        run_job(job, engine=engine, only="ingest")
    found, all_of_it = estimated(job, limit=1), estimated(job)
    assert (found.items, all_of_it.items) == (1, 5) and (found.clips.value, all_of_it.clips.value) == (1, 4)
    sampled = estimated(job, sample=4, limit=2)
    assert sampled.items == sampled.observed == sampled.clips.value == 2


def test_one_pass_is_told_of_alone(job: Job) -> None:
    assert estimated(job, only="annotate").unknown == ["brightness", "pose"]
    assert set(estimated(job, sample=1, only="ingest").core_seconds) == {"ingest"}
    assert set(estimated(job, sample=1, only="pack").core_seconds) == {"pack"}
    assert estimated(job, sample=1, only="compose").core_seconds == {}


def test_the_workers_asked_for_are_those_that_share_the_time(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(preflight, "gpu_count", lambda: 1)
    entries = [Annotate(name=f"tests.pipeline.test_estimate:{name}") for name in ("OnGpu", "OnFourCores")]
    job = job.model_copy(update={"annotate": tuple(entries), "execution": Execution()})
    took = {"ingest": Figure(80.0, 8.0), "on_gpu": Figure(10.0, 2.0), "four": Figure(12.0, 0.0)}

    def on(nodes: int, gpu_workers: int | None = None, **asked: Any) -> tuple[Any, int, int]:
        own = job.model_copy(update={"execution": Execution(gpu_workers=gpu_workers)})
        found = replace(estimated(own, **asked), core_seconds=took)
        return pytest.approx(found.wall_seconds(nodes).value), found.workers(nodes), found.gpu_workers(nodes)

    assert on(1) == (80 / 8 + 10 / 2 + 12 / 2, 8, 2)
    assert on(3) == ((80 / 8 + 10 / 2 + 12 / 2) / 3, 24, 6)
    assert on(1, gpu_workers=1) == (80 / 8 + 10 / 1 + 12 / 2, 8, 1)
    assert on(2, workers=3) == (80 / 6 + 10 / 4 + 12 / 2, 6, 4), "three on each node"
    assert on(1, address="auto") == (80 / 8 + 10 / 2 + 12 / 2, 8, 2)
    assert on(4, workers=10, address="auto") == (80 / 10 + 10 / 8 + 12 / 8, 10, 8), "ten on the cluster"
    spread = replace(estimated(job), core_seconds=took).wall_seconds(1).spread
    assert spread == pytest.approx(8 / 8 + 2 / 2)


def test_what_is_neither_a_file_nor_a_folder_has_a_size_too(job: Job, tmp_path: Path) -> None:
    (tmp_path / "videos" / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "videos" / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(tmp_path / "videos" / "pipe.mp4")
    assert estimated(job).items == 8
    assert estimated(job, sample=8).observed == 8


def test_an_interrupted_sample_gives_up_what_is_at_work(make_job: Callable[..., Job], tmp_path: Path) -> None:
    seen, videos = tmp_path / "seen", tmp_path / "videos"
    seen.mkdir()
    videos.mkdir()
    for seed in range(2):
        write_video(videos / f"{seed}.mp4", 12 + seed, seed)
    rules = {"tests.pipeline.sleepers:Stuck": {"frames": 12, "seen": str(seen)}}
    job = make_job(sources=[{"kind": "folder", "path": str(videos)}], annotate=[rules], execution={"workers": 2})

    def interrupt() -> None:
        while not list(seen.iterdir()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        estimated(job, sample=2)
    (process,) = seen.iterdir()
    assert not psutil.pid_exists(int(process.name)), "no second one was started"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("row")]


def test_rows_at_work_are_given_up_when_whoever_takes_them_stops() -> None:
    with InProcess(Execution(workers=2)) as engine:
        stage = Stage("wait", "tests.pipeline.test_estimate:Waiter", {})
        results = engine.run(stage, [{"for_s": for_s} for for_s in (0, 3600, 3600, 3600)])
        assert next(results) == ({"waited": 0}, b"")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("row")]
    assert list(results) == []


def test_rows_that_take_a_gpu_are_sampled_by_as_many_workers_as_a_run_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Waiter, "made", 0)
    with InProcess(Execution(workers=3, gpu_workers=1)) as engine:
        stage = Stage("wait", "tests.pipeline.test_estimate:Waiter", {}, gpus=1.0)
        assert len(list(engine.run(stage, [{"for_s": 0}] * 4))) == 4
    assert Waiter.made == 1


class Waiter:
    """Waits as long as a row says."""

    made = 0

    def __init__(self) -> None:
        Waiter.made += 1
        self._envelope = Envelope("tests.pipeline.test_estimate:wait", deadline_s=3600, memory_mb=500, recycle_after=99)

    def __call__(self, row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        return self._envelope.call(row).result, b""

    def interrupt(self) -> None:
        self._envelope.interrupt()


def wait(payload: dict[str, Any]) -> dict[str, Any]:
    """Runs in a child."""
    time.sleep(payload["for_s"])
    return {"waited": payload["for_s"]}
