"""What can go from a working folder, and what a run does afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.pipeline.conftest import write_video
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.manifest import latest, numbers
from worldloom.catalogs.verify import verify
from worldloom.cli import app
from worldloom.pipeline import clean as module
from worldloom.pipeline.clean import Cleaning, bring_back, find_redundant, remove_redundant
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Ledger
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job

FAKES = "tests.pipeline.fakes:"


def values(videos: Path, times: float = 1.0, **changes: Any) -> dict[str, Any]:
    annotate = [FAKES + "Brightness", FAKES + "Still", {FAKES + "Labels": {"times": times}}, FAKES + "Measured"]
    source = {"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}
    return {"sources": [source], "annotate": annotate, "execution": {"workers": 1}, **changes}


def run(job: Job) -> RunSummary:
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine)


@pytest.fixture(scope="module")
def two_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    write_video(folder / "a.mp4", 20, 0)
    write_video(folder / "b.mp4", 22, 1)
    return folder


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory, two_videos: Path) -> Path:
    """A job that ran twice, the second time with another threshold: two manifests."""
    from worldloom.catalogs.config import load

    out = tmp_path_factory.mktemp("changed") / "out"
    for times in (1.0, 2.0):
        summary = run(load(Job, {"name": "test", "out": str(out), **values(two_videos, times)}))
        assert summary.exit_code == 0 and summary.committed
    return out


@pytest.fixture
def out(changed: Path, tmp_path: Path) -> Path:
    shutil.copytree(changed, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def job(out: Path, make_job: Callable[..., Job], two_videos: Path) -> Callable[..., Job]:
    def make(times: float = 2.0, **changes: Any) -> Job:
        return make_job(**values(two_videos, times, **changes))

    return make


def kinds(found: Cleaning) -> dict[str, int]:
    return {kind.kind: len(kind.files) for kind in found.kinds}


def files(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def assert_nothing_to_do(job: Job) -> None:
    summary = run(job)
    assert summary.ran == {} and not summary.ray_started and not summary.committed


def test_answers_of_an_old_threshold_can_go(out: Path, job: Callable[..., Job]) -> None:
    layout = Layout(out)
    found = find_redundant(layout)
    assert kinds(found) == {"answers": 1} and len(found.stale) == 2
    before = len(Ledger(out).latest())
    remove_redundant(layout, found)
    assert len(Ledger(out).latest()) == before - 2
    assert find_redundant(layout).kinds == [] and find_redundant(layout).stale == []
    assert verify(out / "dataset").problems == []
    assert_nothing_to_do(job())
    assert set(run(job(times=3.0)).ran) == {"labels", "pack"}


def test_finding_changes_nothing(out: Path) -> None:
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    find_redundant(Layout(out), clips=True, manifests=1)
    assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == before


def test_old_manifests_take_their_shards_along(out: Path, job: Callable[..., Job]) -> None:
    layout = Layout(out)
    found = find_redundant(layout, manifests=1)
    assert kinds(found) == {"answers": 2, "old manifests": 1, "shards and catalogs": 2}
    remove_redundant(layout, found)
    assert numbers(out / "dataset") == [2]
    named = latest(out / "dataset")
    there = {name for name in files(out / "dataset") if name.startswith(("shards/", "catalog-"))}
    assert there == {entry.path for entry in (*named.shards, named.catalog)}
    assert verify(out / "dataset").problems == []
    assert_nothing_to_do(job())
    assert run(job(times=1.0)).manifest == 3, "what was removed can be made again"


def test_clips_that_the_dataset_holds_can_go_and_come_back(out: Path, job: Callable[..., Job]) -> None:
    layout = Layout(out)
    videos = {name: (out / name).read_bytes() for name in files(out) if name.endswith(".mp4")}
    found = find_redundant(layout, clips=True)
    assert kinds(found)["clips"] == len(videos) == 2
    assert any("--bring-back" in note for note in found.notes)
    remove_redundant(layout, found)
    assert not [name for name in files(out) if name.endswith(".mp4")]
    assert verify(out / "dataset").problems == []
    assert_nothing_to_do(job())
    assert bring_back(layout) == 2
    assert {name: (out / name).read_bytes() for name in videos} == videos
    assert set(run(job(times=3.0)).ran) == {"labels", "pack"}


def test_a_clip_whose_file_differs_from_the_dataset_stays(out: Path) -> None:
    (name, *_) = (name for name in files(out) if name.endswith(".mp4"))
    content = bytearray((out / name).read_bytes())
    content[-1] ^= 1
    (out / name).write_bytes(content)
    found = find_redundant(Layout(out), clips=True)
    assert kinds(found)["clips"] == 1 and name not in found.kinds[-1].files


def test_shards_of_a_run_that_did_not_commit_stay(out: Path) -> None:
    stray = out / "dataset" / "shards" / "train-0000-00000.tar"
    stray.write_bytes(b"half a run")
    assert kinds(find_redundant(Layout(out)))["shards and catalogs"] == 1
    layout = Layout(out)
    state = module._state(layout)
    layout.write_json("state.json", {**state, "manifest": 0})
    found = find_redundant(layout)
    assert "shards and catalogs" not in kinds(found)
    assert any("did not commit" in note for note in found.notes)


@pytest.mark.parametrize("moment", range(6))
def test_killed_at_any_moment_it_can_be_run_again(
    out: Path, job: Callable[..., Job], moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every removal of a file is a moment; what is left is a folder that runs, verifies, and can be cleaned."""
    layout = Layout(out)
    found = find_redundant(layout, manifests=1)
    unlink, calls = Path.unlink, 0

    def killed(path: Path, missing_ok: bool = False) -> None:
        nonlocal calls
        if calls == moment:
            raise KeyboardInterrupt
        calls += 1
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_redundant(layout, found)
    monkeypatch.undo()
    assert verify(out / "dataset").problems == []
    assert_nothing_to_do(job())
    remove_redundant(layout, find_redundant(layout, manifests=1))
    assert numbers(out / "dataset") == [2] and verify(out / "dataset").problems == []
    assert_nothing_to_do(job())


def test_the_command_lists_and_removes_only_when_told(out: Path) -> None:
    listed = CliRunner().invoke(app, ["clean", str(out)])
    assert listed.exit_code == 0 and "nothing was removed" in listed.stdout
    assert listed.stdout.splitlines()[-1].endswith("--yes")
    assert find_redundant(Layout(out)).kinds
    removed = CliRunner().invoke(app, ["clean", str(out), "--yes"])
    assert removed.exit_code == 0 and "removed " in removed.stdout
    assert not find_redundant(Layout(out)).kinds
    assert "nothing to remove" in CliRunner().invoke(app, ["clean", str(out)]).stdout


def test_a_folder_where_nothing_ran_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing has run here yet"):
        find_redundant(Layout(tmp_path))
