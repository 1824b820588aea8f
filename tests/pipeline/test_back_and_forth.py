"""A job that goes back to earlier settings, is corrected and uncorrected, or is killed between two answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.catalogs.clip import Camera, Clip, Depth
from worldloom.catalogs.config import Strict
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import WorldloomError
from worldloom.catalogs.verify import verify
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Entry
from worldloom.pipeline.overrides import Overrides
from worldloom.pipeline.passes.work import Work
from worldloom.pipeline.quarantine import FOLDER, case_name, write_case
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job
from worldloom.pipeline.workspace import Workspace

MakeJob = Callable[..., Job]
HERE = "tests.pipeline.test_back_and_forth:"


class Away(Strict):
    """While the file is there, no camera can be found."""

    trouble: str = ""


class Pose(Annotator):
    """A still camera a metre up."""

    name, version, method, gives, Config = "pose", "1", "still", "camera", Away

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        if self.config.trouble and Path(self.config.trouble).exists():
            raise RuntimeError("no camera today")
        return Given(camera(clip.frames, 1.0))


class Heights(Annotator):
    """Depth as large as the camera is high."""

    name, version, method, gives, needs, Config = "depth", "1", "height", "depth", ("camera",), Away

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        assert clip.camera is not None
        z = np.full((1, 6, 8), clip.camera.c2w[0, 1, 3], np.float32)
        return Given(Depth(np.zeros(1, np.int32), z, np.ones(z.shape, bool), np.ones(1, np.float32), "metric", 0.01))


def camera(frames: int, height: float) -> Camera:
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    c2w[:, 1, 3] = height
    return Camera.known(c2w, (100, 100, 32, 24), "metric")


def run(job: Job, **more: Any) -> RunSummary:
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine, **more)


@pytest.fixture
def job(make_job: MakeJob, videos: Path, tmp_path: Path) -> Callable[..., Job]:
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(videos / "a.mp4", folder)
    sources = [{"kind": "folder", "path": str(folder)}]
    return lambda **values: make_job(sources=sources, **values)


def test_going_back_to_an_earlier_ingest_packs_the_videos_of_that_ingest(job: Callable[..., Job]) -> None:
    large, small = {"height": 48, "min_seconds": 0.5}, {"height": 32, "min_seconds": 0.5}
    assert run(job(ingest=large), only="ingest").ran == {"ingest": 1}
    assert run(job(ingest=small), only="ingest").ran == {"ingest": 1}
    summary = run(job(ingest=large))
    assert summary.ran == {"pack": 1} and summary.committed, "what was done before is not done again"
    assert summary.dataset is not None and verify(summary.dataset, deep=True).problems == []
    (clip,) = ShardDataset(summary.dataset)
    with clip.open_frames() as frames:
        assert frames[0].shape == (clip.height, clip.width, 3) == (48, 64, 3)


def test_a_large_answer_of_a_correction_does_not_outlive_it(job: Callable[..., Job]) -> None:
    one = job(annotate=[HERE + "Pose", HERE + "Heights"], compose={"require": ["depth"]})
    run(one)
    (key,) = Workspace(one.out).clips()

    def height() -> float:
        clip = Workspace(one.out).load(key)
        assert clip.camera is not None and clip.depth is not None
        assert clip.depth.z.max() == pytest.approx(clip.camera.c2w[0, 1, 3], abs=0.05)
        return float(clip.depth.z.max())

    assert height() == pytest.approx(1, abs=0.05)
    Overrides(one.out).set(key, "pose", camera(20, 9.0), who="ann")
    assert run(one).ran == {"depth": 1, "pack": 1}
    assert height() == pytest.approx(9, abs=0.05)
    Overrides(one.out).withdraw(key, "pose", who="ann")
    assert "depth" not in run(one).ran, "the answer found without the correction is still there"
    assert height() == pytest.approx(1, abs=0.05)


def test_a_large_answer_that_was_changed_is_not_taken_for_what_was_found(job: Callable[..., Job]) -> None:
    one = job(annotate=[HERE + "Pose", HERE + "Heights"])
    run(one)
    (key,) = Workspace(one.out).clips()
    (blob,) = (one.out / "blobs").rglob("*.npz")
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(WorldloomError, match=f"{blob.name}.*changed"):
        Workspace(one.out).load(key)
    blob.unlink()
    with pytest.raises(WorldloomError, match=f"{blob.name}.*gone"):
        Workspace(one.out).load(key)


def test_a_retry_that_is_killed_leaves_nothing_behind_that_is_out_of_date(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = tmp_path / "trouble"
    trouble.touch()
    one = job(annotate=[{HERE + "Pose": {"trouble": str(trouble)}}, HERE + "Heights"])
    summary = run(one)
    assert summary.table("pose").failed == {"exception": 1} and summary.table("depth").absent == {"needs_camera": 1}
    trouble.unlink()

    def killed(self: Work, entry: Entry, evidence: object = None) -> None:
        if entry.operation == "depth":
            raise KeyboardInterrupt
        self.ledger.append(entry)
        self.ledger.flush()

    with monkeypatch.context() as patch:
        patch.setattr(Work, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            run(one, retry="exception")
    assert (one.out / case_name("pose", Workspace(one.out).clips()[0])).exists(), "it stays until all is on disk"
    again = run(one)
    assert again.ran["depth"] == 1 and "pose" not in again.ran
    assert again.table("pose").ok == again.table("depth").ok == 1
    assert not list((one.out / FOLDER).rglob("*.json")), "what no longer fails has no file"
    assert run(one).ran == {}


def test_a_changed_knob_that_helps_empties_the_quarantine(job: Callable[..., Job], tmp_path: Path) -> None:
    trouble = tmp_path / "trouble"
    trouble.touch()
    one = job(annotate=[{HERE + "Pose": {"trouble": str(trouble)}}])
    run(one)
    layout = Layout(one.out)
    elsewhere = write_case(layout, Entry("folder:x:gone.mp4", "ingest", "r", "s", "failed", "timeout", "too long"), {})
    assert len(list((one.out / FOLDER).rglob("*.json"))) == 2
    run(job(annotate=[HERE + "Pose"]))
    assert list(layout.store.names(FOLDER)) == [elsewhere], "of what this job does not know nothing is said"


def test_a_failed_row_is_never_without_its_file(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = tmp_path / "trouble"
    trouble.touch()
    one = job(annotate=[{HERE + "Pose": {"trouble": str(trouble)}}])

    def full(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("worldloom.pipeline.passes.work.write_case", full)
    with pytest.raises(OSError, match="no room"):
        run(one)
    monkeypatch.undo()
    summary = run(one)
    assert summary.ran["pose"] == 1, "the row did not get into the ledger without it"
    assert len(list((one.out / FOLDER).rglob("*.json"))) == 1
