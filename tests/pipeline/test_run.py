"""Whole jobs: small videos, quick annotators, one Ray for all of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.conftest import write_video
from tests.real_data import real_data
from worldloom.catalogs.clip import Annotation, Camera, same_value
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.edits import remove
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.manifest import latest
from worldloom.catalogs.verify import verify
from worldloom.pipeline.answers import encode_annotation, encode_value
from worldloom.pipeline.availability import COLUMNS, availability
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.ledger import HUMAN, Entry, Ledger
from worldloom.pipeline.parcel import pack_parcel
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job
from worldloom.pipeline.workspace import Workspace
from worldloom.report.site.problems import problems_of

pytestmark = pytest.mark.slow

FAKES = "tests.pipeline.fakes:"
ANNOTATE: list[Any] = [FAKES + "Brightness", FAKES + "Still", {FAKES + "Labels": {"times": 1.0}}, FAKES + "Measured"]


def values(videos: Path, **changes: Any) -> dict[str, Any]:
    return {
        "sources": [{"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}],
        "annotate": ANNOTATE,
        "compose": {"derive": [{"reverse": "loop"}], "split": {"test": 0.4}},
        "pack": {"target_mb": 0.05, "bucket_by": ["resolution"]},
        **changes,
    }


def digests(dataset: Path) -> dict[str, str]:
    """Of everything the manifest names."""
    manifest = latest(dataset)
    found = {}
    for entry in (*manifest.shards, manifest.catalog):
        found[entry.path] = hashlib.sha256((dataset / entry.path).read_bytes()).hexdigest()
        assert found[entry.path] == entry.sha256
    return found


def balanced(summary: RunSummary) -> bool:
    return all(tally.balanced for tally in summary.tables)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, videos: Path, shared_ray: Engine) -> Path:
    """The working folder of a job that ran with one worker; tests work on copies of it."""
    from worldloom.catalogs.config import load

    out = tmp_path_factory.mktemp("done") / "out"
    job = load(Job, {"name": "test", "out": str(out), **values(videos)})
    summary = run_job(job, workers=1)
    assert summary.exit_code == 0 and balanced(summary) and summary.committed
    return out


@pytest.fixture
def out(done: Path, tmp_path: Path) -> Path:
    shutil.copytree(done, tmp_path / "out")
    return tmp_path / "out"


def test_a_folder_of_videos_becomes_a_dataset(done: Path) -> None:
    summary = Workspace(done).summary()
    ingest = summary.table("ingest")
    assert (ingest.inputs, ingest.ok, ingest.dropped, ingest.out) == (4, 3, {"not_video": 1}, 3)
    assert summary.table("pose").absent == {"odd_number_of_frames": 1}
    assert summary.table("labels").absent == {"needs_camera": 1}
    assert summary.table("brightness").ok == summary.table("depth").ok == 3
    assert (summary.table("compose").inputs, summary.table("compose").out) == (3, 6)
    assert verify(done / "dataset").problems == []
    dataset = ShardDataset(done / "dataset")
    assert len(dataset) == 6
    assert {clip.frames for clip in dataset} == {20, 21, 24, 39, 41, 47}
    assert all(clip.provenance.licence == "CC0-1.0" for clip in dataset)
    loops = [clip for clip in dataset if clip.provenance.parents]
    assert len(loops) == 3
    for loop in loops:
        assert loop.provenance.parents[0] in dataset.keys
        with loop.open_frames() as frames:
            assert len(frames) == loop.frames


def test_one_worker_and_two_make_the_same_bytes(
    done: Path, make_job: Callable[..., Job], videos: Path, shared_ray: Engine
) -> None:
    job = make_job(**values(videos))
    summary = run_job(job, workers=2)
    assert summary.exit_code == 0
    assert digests(job.out / "dataset") == digests(done / "dataset")


def test_the_same_command_again_does_nothing_without_ray(out: Path, make_job: Callable[..., Job], videos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (out / "dataset").rglob("*")}
    summary = run_job(make_job(**values(videos)))
    assert not summary.ray_started and not summary.committed and summary.ran == {}
    assert summary.manifest == 1 and summary.dataset == out / "dataset"
    assert summary.tables == Workspace(out).summary().tables
    assert {path: path.stat().st_mtime_ns for path in (out / "dataset").rglob("*")} == before
    plan = run_job(make_job(**values(videos)), dry_run=True).plan
    assert all(due.due == 0 for due in plan) and {due.name for due in plan} >= {"ingest", "pose", "pack"}


def test_a_changed_threshold_recomputes_only_what_depends_on_it(
    out: Path, make_job: Callable[..., Job], videos: Path, shared_ray: Engine
) -> None:
    annotate = [FAKES + "Brightness", FAKES + "Still", {FAKES + "Labels": {"times": 2.0}}, FAKES + "Measured"]
    job = make_job(**values(videos, annotate=annotate))
    plan = {due.name: due for due in run_job(job, dry_run=True).plan}
    assert plan["labels"].due == 3 and plan["pose"].due == 0 and plan["labels"].seconds is not None
    summary = run_job(job)
    assert set(summary.ran) == {"labels", "pack"} and summary.ran["labels"] == 3
    assert summary.committed and summary.manifest == 2
    assert verify(out / "dataset").problems == []
    back = run_job(make_job(**values(videos)))
    assert back.ran == {} and back.manifest == 3, "the old answers are still there"


def test_a_condition_changes_the_dataset_and_runs_no_annotator(
    out: Path, make_job: Callable[..., Job], videos: Path, shared_ray: Engine
) -> None:
    compose = {"require": ["pose"], "where": {"too_long": "frames < 24"}}
    summary = run_job(make_job(**values(videos, compose=compose)))
    assert set(summary.ran) == {"pack"}
    assert summary.table("compose").dropped == {"missing_pose": 1, "too_long": 1}
    assert [clip.frames for clip in ShardDataset(out / "dataset")] == [20]


def test_a_correction_is_packed_and_only_what_builds_on_it_runs_again(
    out: Path, make_job: Callable[..., Job], videos: Path, shared_ray: Engine
) -> None:
    space = Workspace(out)
    key = next(key for key in space.clips() if space.clip(key).frames == 21)
    line = encode_annotation(Annotation("ok", "human", "1", "", 1.0))
    camera = Camera.known(np.tile(np.eye(4), (21, 1, 1)), (50, 50, 32, 24), "none")
    payload = pack_parcel({"annotation.json": line, **encode_value("camera", camera)})
    with Ledger(out, writable=True) as ledger:
        digest = hashlib.sha256(payload).hexdigest()
        ledger.append(Entry(key, "pose", HUMAN, "anything", "ok", digest=digest, payload=payload, bytes=len(payload)))
    job = make_job(**values(videos))
    summary = run_job(job)
    assert summary.ran["labels"] == 1 and set(summary.ran) == {"labels", "pack"} and summary.committed
    assert summary.table("pose").ok == 3 and summary.table("labels").ok == 3
    corrected = ShardDataset(out / "dataset").get(key)
    assert corrected.annotations["pose"].method == "human" and same_value(corrected.camera, camera)
    assert corrected.annotations["labels"].status == "ok", "absent before there was a camera"
    assert run_job(job).ran == {}


def test_append_leaves_the_shards_that_are_there(
    out: Path, make_job: Callable[..., Job], videos: Path, tmp_path: Path, shared_ray: Engine
) -> None:
    folder = tmp_path / "more"
    shutil.copytree(videos, folder)
    write_video(folder / "d.mp4", 30, 9)
    before = latest(out / "dataset")
    job = make_job(**values(folder))
    first = run_job(job, append=True)
    after = latest(out / "dataset")
    assert first.committed and after.operation == "append" and after.parent == before.number
    assert set(before.shards) < set(after.shards) and after.samples == before.samples + 2
    assert {clip.frames for clip in ShardDataset(out / "dataset")} == {20, 21, 24, 30, 39, 41, 47, 59}
    assert verify(out / "dataset").problems == []
    again = run_job(job, append=True)
    assert again.ran == {} and not again.committed and "nothing new" in again.notes[-1]
    fresh = run_job(make_job(**values(folder, out=str(tmp_path / "fresh"))))
    assert fresh.committed
    assert run_job(job).committed, "without append the plan is a function of the contents alone"
    assert digests(out / "dataset") == digests(tmp_path / "fresh" / "dataset")


def test_what_was_taken_down_does_not_come_back(
    out: Path, make_job: Callable[..., Job], videos: Path, shared_ray: Engine
) -> None:
    space = Workspace(out)
    keys = {space.clip(key).frames: key for key in space.clips()}
    sha256 = space.clip(keys[24]).sha256
    remove(out / "dataset", [keys[20], f"sha256:{sha256}"])
    removed = [{"key": keys[20]}, {"sha256": sha256, "uri": space.clip(keys[24]).uri}]
    summary = run_job(make_job(**values(videos)))
    assert summary.table("compose").dropped == {"taken_down": 2} and balanced(summary)
    assert {clip.frames for clip in ShardDataset(out / "dataset")} == {21, 41}
    assert latest(out / "dataset").notes["removed"] == removed, "and never does"
    assert not run_job(make_job(**values(videos))).committed


def test_a_new_video_costs_itself_and_a_lost_one_leaves_the_dataset(
    out: Path, make_job: Callable[..., Job], videos: Path, tmp_path: Path, shared_ray: Engine
) -> None:
    folder = tmp_path / "more"
    shutil.copytree(videos, folder)
    job = make_job(**values(folder))
    assert "brightness" not in run_job(job).ran, "the same videos elsewhere are the same clips"
    write_video(folder / "d.mp4", 30, 9)
    (folder / "a.mp4").unlink()
    summary = run_job(job)
    assert summary.ran["ingest"] == 1 and summary.ran["brightness"] == 1
    assert {clip.frames for clip in ShardDataset(out / "dataset") if not clip.provenance.parents} == {21, 24, 30}


def test_the_same_video_twice_is_one_clip(
    make_job: Callable[..., Job], videos: Path, tmp_path: Path, shared_ray: Engine
) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copyfile(videos / "a.mp4", folder / name)
    summary = run_job(make_job(**values(folder, annotate=[])))
    assert summary.table("ingest").dropped == {"duplicate": 1} and summary.table("ingest").out == 1
    assert balanced(summary)
    # Whoever asks which one it was, and of what, is told.
    space = Workspace(summary.out)
    (row,) = space.problems()
    assert (row.item.split(":", 2)[-1], row.status, row.reason) == ("b.mp4", "dropped", "duplicate")
    assert "a.mp4 (folder)" in row.error
    (shown,) = problems_of(space)
    assert shown.item == "b.mp4" and "a.mp4" in shown.said and shown.command == ""
    told = [dict(zip(COLUMNS, values, strict=True)) for values in availability(space)]
    assert [(one["uri"], one["status"], one["reason"], one["clips"]) for one in told] == [
        ("a.mp4", "ok", "", 1),
        ("b.mp4", "dropped", "duplicate", 0),
    ]


def test_trouble_costs_one_row_each(
    make_job: Callable[..., Job], videos: Path, tmp_path: Path, shared_ray: Engine
) -> None:
    """SIGSEGV, an endless loop, an exception: among good clips, and with good operations before and after."""
    folder = tmp_path / "five"
    shutil.copytree(videos, folder)
    for number, frames in enumerate((30, 32)):
        write_video(folder / f"x{number}.mp4", frames, 20 + number)
    trouble = {FAKES + "Trouble": {"dies": 20, "hangs": 24, "raises": 32}}
    job = make_job(**values(folder, annotate=[FAKES + "Brightness", trouble, FAKES + "Still", FAKES + "Labels"]))
    summary = run_job(job, workers=2)
    assert balanced(summary)
    tally = summary.table("trouble")
    assert tally.ok == 2 and tally.failed == {"crashed": 1, "timeout": 1, "exception": 1}
    assert summary.table("annotate").failed == {"trouble": 3}
    assert summary.table("brightness").ok == 5 and summary.table("pose").ok == 4
    assert summary.exit_code == 3 and summary.committed, "over the budget, and packed all the same"
    assert verify(summary.out / "dataset").problems == []
    notes = [json.loads(path.read_text()) for path in (summary.out / "quarantine" / "trouble").iterdir()]
    assert sorted(note["attempts"] for note in notes) == [1, 1, 2]
    assert any("not to my liking" in " ".join(note["trace"]) for note in notes)
    again = run_job(job)
    assert not again.ray_started and again.exit_code == 3, "a failure is an answer until somebody asks again"
    retried = run_job(job, retry="exception")
    assert retried.ran == {"trouble": 1}
    assert any("no row has this reason" in note for note in run_job(job, retry="nothing").notes)


def test_one_driver_at_a_time(out: Path, make_job: Callable[..., Job], videos: Path) -> None:
    from worldloom.pipeline.lock import Lock

    with Lock(out), pytest.raises(UsageError, match="is working there"):
        run_job(make_job(**values(videos)))


def test_passes_one_by_one_and_a_few_videos_first(
    make_job: Callable[..., Job], videos: Path, shared_ray: Engine
) -> None:
    job = make_job(**values(videos, annotate=[FAKES + "Brightness"]))
    assert run_job(job, limit=2, only="ingest").ran == {"ingest": 2}
    assert run_job(job, only="annotate").ran == {"brightness": 2}
    few = run_job(job, limit=2)
    assert few.ran.keys() == {"pack"} and few.table("pack").ok == 4
    everything = run_job(job)
    assert everything.ran["ingest"] == 2 and everything.ran["brightness"] == 1
    with pytest.raises(UsageError, match="did you mean 'annotate'"):
        run_job(job, only="anotate")


def test_odd_files_all_end_somewhere(make_job: Callable[..., Job], shared_ray: Engine) -> None:
    job = make_job(
        sources=[{"kind": "folder", "path": str(real_data("odd"))}],
        ingest={"height": 120, "min_seconds": 0.5},
    )
    summary = run_job(job)
    ingest = summary.table("ingest")
    assert ingest.inputs == 16 and ingest.balanced
    assert ingest.dropped["not_video"] == 3
    assert not ingest.failed
    assert set(ingest.dropped) <= {
        "not_video", "too_small", "cannot_open", "no_frames", "encrypted", "truncated", "too_short",
    }  # fmt: skip
    assert ingest.ok >= 6
    workspace = Workspace(summary.out)
    by_uri = {clip.provenance.uri: clip for clip in map(workspace.load, workspace.clips())}
    assert by_uri["corrupted.mp4"].quality["damaged"] > 0
    assert by_uri["fire2.mp4"].annotations["ingest"].notes["variable_rate"]
    assert verify(summary.out / "dataset").problems == []


DRIVER = """
import sys
from worldloom.pipeline.job import load_job
from worldloom.pipeline.run import run_job

class Loud:
    def start(self, stage, total, note=""): print("start", stage, flush=True)
    def advance(self, stage, count=1, note=""): print("advance", stage, flush=True)
    def finish(self, stage, note=""): print("finish", stage, flush=True)

run_job(load_job(sys.argv[1]), workers=2, progress=Loud())
"""


def test_a_driver_killed_in_the_middle_of_annotate_loses_nothing(
    tmp_path: Path, make_job: Callable[..., Job], videos: Path, shared_ray: Engine
) -> None:
    folder = tmp_path / "six"
    folder.mkdir()
    for number in range(6):
        write_video(folder / f"{number}.mp4", 20 + number, number)
    undisturbed = make_job(**values(folder, out=str(tmp_path / "undisturbed")))
    run_job(undisturbed)
    killed = make_job(**values(folder, out=str(tmp_path / "killed")))
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "job.yaml")], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert driver.stdout is not None
    advances = 0
    for line in driver.stdout:
        advances += line.strip() == "advance annotate"
        if advances == 2:
            driver.send_signal(signal.SIGKILL)
            break
    assert driver.wait() == -signal.SIGKILL
    assert not (killed.out / "dataset" / "manifests").exists()
    summary = run_job(killed)
    assert summary.exit_code == 0 and balanced(summary)
    assert "took over the lock" in summary.notes[0]
    assert "ingest" not in summary.ran, "what was finished before stays finished"
    assert digests(killed.out / "dataset") == digests(undisturbed.out / "dataset")
