"""What a job takes before it runs: the statistics, and a sample that is run for real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.conftest import write_video
from worldloom.pipeline.estimate import Estimate, Figure, Observation, derived_share, estimate_job, ratio_estimate
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Compose, Derive, Job

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


def estimated(job: Job, sample: int = 0) -> Estimate:
    return estimate_job(job, run_job(job, dry_run=True), sample=sample)


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
