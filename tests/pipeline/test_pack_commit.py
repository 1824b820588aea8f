"""What happens around the commit of a second pack: a takedown meanwhile, and a kill right after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import write_video
from worldloom.catalogs.card import stale_copies
from worldloom.catalogs.config import load
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.edits import remove
from worldloom.catalogs.manifest import ManifestConflict, latest, numbers
from worldloom.catalogs.storage import FolderStore
from worldloom.catalogs.verify import verify
from worldloom.pipeline import run as module
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.passes.compose import Chosen, compose
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job

FAKES = "tests.pipeline.fakes:"


def run(job: Job, **options: Any) -> RunSummary:
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine, **options)


def job_in(out: Path, times: float) -> Job:
    source = {"kind": "folder", "path": str(out.parent / "videos"), "licence": "CC0-1.0"}
    annotate = [FAKES + "Still", {FAKES + "Labels": {"times": times}}]
    values = {"sources": [source], "annotate": annotate, "execution": {"workers": 1}}
    return load(Job, {"name": "test", "out": str(out), **values})


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos and the working folder of a job over two of them, packed once."""
    room = tmp_path_factory.mktemp("packed")
    (room / "videos").mkdir()
    for seed in range(2):
        write_video(room / "videos" / f"{seed}.mp4", 20 + seed, seed)
    assert run(job_in(room / "out", 1.0)).manifest == 1
    return room


@pytest.fixture
def out(packed: Path, tmp_path: Path) -> Path:
    shutil.copytree(packed, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


@pytest.mark.parametrize("append", [False, True])
def test_a_takedown_while_a_job_packs_is_not_undone(out: Path, append: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the samples were chosen: the commit is refused, and the same command leaves the clip out."""
    dataset = out / "dataset"
    key = ShardDataset(dataset).keys[0]
    if append:
        write_video(out.parent / "videos" / "2.mp4", 23, 2)
    job = job_in(out, 1.0 if append else 2.0)

    def meanwhile(*arguments: Any, **named: Any) -> tuple[Chosen, Any]:
        found = compose(*arguments, **named)
        remove(dataset, [key])
        return found

    monkeypatch.setattr(module, "compose", meanwhile)
    with pytest.raises(ManifestConflict, match="run the same command again"):
        run(job, append=append)
    assert numbers(dataset) == [1, 2] and key not in ShardDataset(dataset).keys
    monkeypatch.undo()
    summary = run(job, append=append)
    assert summary.manifest == 3 and summary.table("compose").dropped == {"taken_down": 1}
    assert key not in ShardDataset(dataset).keys and len(ShardDataset(dataset)) == (2 if append else 1)
    assert verify(dataset).problems == []


@pytest.mark.parametrize("step", range(1, 7))
def test_killed_around_the_commit_the_same_command_leaves_nothing_out_of_date(
    out: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each write into the dataset: the manifest, its copy, what was left out, both cards, the copy again."""
    dataset = out / "dataset"
    done: list[str] = []

    def dying(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(store: FolderStore, name: str, data: bytes) -> Any:
            if store.folder != dataset:
                return write(store, name, data)
            done.append(name)
            if len(done) == step:
                raise KeyboardInterrupt
            return write(store, name, data)

        return wrapped

    for name in ("create", "write"):
        monkeypatch.setattr(FolderStore, name, dying(getattr(FolderStore, name)))
    with pytest.raises(KeyboardInterrupt):
        run(job_in(out, 2.0))
    monkeypatch.undo()
    every = ["manifests/000002.json", "manifest.json", "left_out.json", "README.md", "croissant.json", "manifest.json"]
    assert done == every[:step]
    summary = run(job_in(out, 2.0))
    assert summary.manifest == latest(dataset).number == 2 and summary.committed == (step == 1)
    assert stale_copies(dataset) == {} and verify(dataset).problems == []
    assert "Manifest 000002." in (dataset / "README.md").read_text()


def test_where_nothing_is_new_to_append_the_copies_are_mended_too(out: Path) -> None:
    dataset = out / "dataset"
    old = {name: (dataset / name).read_bytes() for name in ("manifest.json", "README.md", "croissant.json")}
    assert run(job_in(out, 2.0)).manifest == 2
    for name, content in old.items():
        (dataset / name).write_bytes(content)
    assert len(verify(dataset).problems) == 3
    summary = run(job_in(out, 2.0), append=True)
    assert not summary.committed and "nothing new" in summary.notes[-1]
    assert stale_copies(dataset) == {} and verify(dataset).problems == []
