"""Corrections through whole runs: what a person says wins, survives relabelling, and can be taken back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.conftest import write_video
from worldloom.catalogs.clip import Camera
from worldloom.catalogs.dataset import ShardDataset
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.overrides import Overrides
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job
from worldloom.pipeline.workspace import Workspace

FAKES = "tests.pipeline.fakes:"
FRAMES = {"a.mp4": 20, "b.mp4": 21}


def values(videos: Path, labels: float = 1.0, brightness: float = 1.0) -> dict[str, Any]:
    annotate = [
        {FAKES + "Brightness": {"times": brightness}},
        FAKES + "Still",
        {FAKES + "Labels": {"times": labels}},
    ]
    source = {"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}
    return {"sources": [source], "annotate": annotate, "execution": {"workers": 1}}


def run(job: Job) -> RunSummary:
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from worldloom.catalogs.config import load

    folder = tmp_path_factory.mktemp("overridden")
    (folder / "videos").mkdir()
    for seed, (name, frames) in enumerate(FRAMES.items()):
        write_video(folder / "videos" / name, frames, seed)
    run(load(Job, {"name": "test", "out": str(folder / "out"), **values(folder / "videos")}))
    return folder


@pytest.fixture
def out(done: Path, tmp_path: Path) -> Path:
    shutil.copytree(done / "out", tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def again(out: Path, done: Path, make_job: Callable[..., Job]) -> Callable[..., RunSummary]:
    return lambda **changes: run(make_job(**values(done / "videos", **changes)))


def clip_of(out: Path, frames: int) -> str:
    space = Workspace(out)
    (key,) = (key for key in space.clips() if space.load(key).frames == frames)
    return key


def camera(frames: int, x: float) -> Camera:
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    c2w[:, 0, 3] = x * np.arange(frames)
    return Camera.known(c2w, (100, 100, 32, 24), "metric")


def test_a_correction_reaches_the_shard_and_is_not_done_twice(out: Path, again: Callable[..., RunSummary]) -> None:
    key = clip_of(out, 20)
    Overrides(out).set(key, "brightness", {"brightness": 7.0}, who="ann")
    assert set(again().ran) == {"pack"}, "nothing builds on brightness"
    clip = ShardDataset(out / "dataset").get(key)
    assert clip.quality["brightness"] == 7.0
    assert clip.annotations["brightness"].method == "human"
    summary = again()
    assert summary.ran == {} and not summary.ray_started and not summary.committed


def test_exactly_the_clips_dependants_are_computed_again(out: Path, again: Callable[..., RunSummary]) -> None:
    key, other = clip_of(out, 21), clip_of(out, 20)
    before = Workspace(out).load(other)
    assert Workspace(out).load(key).annotations["labels"].reason == "needs_camera"
    Overrides(out).set(key, "pose", camera(21, 0.1), who="ann")
    summary = again()
    assert summary.ran == {"labels": 1, "pack": 1}
    clip = ShardDataset(out / "dataset").get(key)
    assert clip.annotations["pose"].method == "human" and clip.quality["labels"] == 21
    np.testing.assert_allclose(clip.camera.c2w, camera(21, 0.1).c2w)
    assert Workspace(out).load(other).quality == before.quality


def test_a_correction_survives_relabelling(out: Path, again: Callable[..., RunSummary]) -> None:
    key, other = clip_of(out, 20), clip_of(out, 21)
    Overrides(out).set(key, "brightness", {"brightness": 7.0}, who="ann")
    again()
    again(brightness=2.0)
    space = Workspace(out)
    assert space.load(key).quality["brightness"] == 7.0
    assert space.load(other).annotations["brightness"].method == "mean"
    assert ShardDataset(out / "dataset").get(key).quality["brightness"] == 7.0


def test_a_withdrawn_correction_gives_the_annotators_answer_back(out: Path, again: Callable[..., RunSummary]) -> None:
    key = clip_of(out, 20)
    before = ShardDataset(out / "dataset").get(key).quality
    Overrides(out).set(key, "pose", camera(20, 0.5), who="ann")
    Overrides(out).set(key, "brightness", {"brightness": 7.0}, who="ann")
    again()
    Overrides(out).withdraw(key, "pose", who="bob")
    Overrides(out).withdraw(key, "brightness", who="bob")
    summary = again()
    assert set(summary.ran) <= {"pack"}, "the answers of before are in the ledger still"
    assert ShardDataset(out / "dataset").get(key).quality == before
    assert Workspace(out).load(key).annotations["pose"].method == "still"


def test_rows_of_nobody_are_told_and_end_no_run(out: Path, again: Callable[..., RunSummary]) -> None:
    Overrides(out).set("z" * 26, "brightness", {"brightness": 1.0}, who="ann")
    Overrides(out).set(clip_of(out, 20), "brightnes", {"brightness": 1.0}, who="ann")
    summary = again()
    assert summary.ran == {} and summary.exit_code == 0
    assert any("no operation of this job; did you mean 'brightness'?" in note for note in summary.notes)
    assert any("belong to no clip" in note for note in summary.notes)
