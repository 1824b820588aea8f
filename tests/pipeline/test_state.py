"""What a working folder says about its last run, and what is said where one of its files is damaged."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tests.pipeline.conftest import write_video
from worldloom.catalogs.config import load
from worldloom.catalogs.errors import WorldloomError
from worldloom.catalogs.manifest import commit, latest
from worldloom.cli import app
from worldloom.pipeline import run as run_module
from worldloom.pipeline.clean import DRAFT_AGE_S, PUT_AWAY, find_redundant
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job
from worldloom.pipeline.state import STATE, read_json, read_state
from worldloom.pipeline.workspace import ITEMS, Workspace


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    for seed, name in enumerate(("a.mp4", "b.mp4")):
        write_video(folder / name, 20 + seed, seed)
    return folder


def run_in(out: Path, videos: Path, **options: Any) -> RunSummary:
    source = {"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}
    values = {"annotate": ["tests.pipeline.fakes:Brightness"], "execution": {"workers": 1}}
    job = load(Job, {"name": "test", "out": str(out), "sources": [source], **values})
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine, **options)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    """The working folder of a job that has packed its clips."""
    out = tmp_path_factory.mktemp("done") / "out"
    assert run_in(out, videos).committed
    return out


@pytest.fixture
def out(done: Path, tmp_path: Path) -> Path:
    shutil.copytree(done, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def again(out: Path, videos: Path) -> Callable[..., RunSummary]:
    return lambda **options: run_in(out, videos, **options)


def killed(again: Callable[..., RunSummary]) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module, "known_clips", kill)
        again()


def worldloom(verb: str, *words: object) -> Result:
    return CliRunner().invoke(app, [verb, *map(str, words)])


@pytest.mark.parametrize("last", ["ingest", "annotate", "killed"])
def test_a_run_that_packs_nothing_leaves_what_is_known_of_the_dataset(
    out: Path, last: str, again: Callable[..., RunSummary]
) -> None:
    before = Workspace(out).summary()
    assert before.manifest == 1 and not before.notes
    for _ in range(2):
        if last == "killed":
            killed(again)
        else:
            summary = again(only=last)
            assert (summary.manifest, summary.dataset) == (1, out / "dataset") and not summary.committed
        after = Workspace(out).summary()
        assert (after.tables, after.manifest, after.dataset) == (before.tables, 1, before.dataset)
        assert after.notes == ("compose and pack: as of an earlier run, which got further than the last",)
    said = worldloom("status", out).stdout
    assert "manifest 1 (unchanged)" in said and "none packed yet" not in said and after.notes[0] in said
    assert again().manifest == 1
    assert Workspace(out).summary() == before


def test_the_number_is_that_of_the_dataset_as_it_is_now(out: Path) -> None:
    dataset = out / "dataset"
    commit(dataset, latest(dataset).model_copy(update={"number": 2, "parent": 1, "operation": "rollback"}))
    assert Workspace(out).summary().manifest == 2


def test_shards_of_a_run_that_was_killed_stay_whatever_was_committed_before(
    out: Path, again: Callable[..., RunSummary]
) -> None:
    killed(again)
    stray = out / "dataset/shards/train-0000-00000.tar"
    stray.write_bytes(b"of a run that will go on")
    os.utime(stray, (time.time() - 2 * DRAFT_AGE_S,) * 2)
    found = find_redundant(Layout(out))
    assert not found.kinds and any("did not commit" in note for note in found.notes)


def test_a_folder_without_a_dataset_has_none(tmp_path: Path, videos: Path) -> None:
    summary = run_in(tmp_path / "out", videos, only="ingest")
    assert (summary.dataset, summary.manifest) == (None, 0)
    assert Workspace(tmp_path / "out").summary().dataset is None
    assert "none packed yet" in worldloom("status", tmp_path / "out").stdout


def refused(result: Result, file: Path, remedy: str) -> None:
    assert result.exit_code == 1
    assert f"{file}: damaged" in result.stderr and remedy in result.stderr
    assert "fault of worldloom" not in result.stderr


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}", b"[]", b"\xff\xfe", b'{"ingest": "i", "operations": [{"name": "a"}]}', b"[" * 100_000],
    ids=["empty", "ends early", "no keys", "a list", "no text", "an operation without recipe", "deep"],
)
def test_a_damaged_state_is_named_and_the_next_run_writes_it_anew(
    out: Path, content: bytes, again: Callable[..., RunSummary]
) -> None:
    file = out / STATE
    file.write_bytes(content)
    refused(worldloom("status", out), file, "run the job again, which writes it anew")
    refused(worldloom("clean", out), file, "run the job again")
    assert again().ran == {}
    assert read_state(Layout(out)).manifest == 1 and worldloom("status", out).exit_code == 0


def test_a_damaged_state_says_where(out: Path) -> None:
    state = json.loads((out / STATE).read_text())
    del state["operations"][0]["recipe"]
    (out / STATE).write_text(json.dumps(state))
    with pytest.raises(WorldloomError, match=r"operations\.0\.recipe: Field required"):
        read_state(Layout(out))


@pytest.mark.parametrize("content", [b"", b"no parquet", "other columns", None])
def test_damaged_items_are_named_and_the_next_run_writes_them_anew(
    out: Path, content: bytes | str | None, again: Callable[..., RunSummary]
) -> None:
    file = out / ITEMS
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is None:
        file.unlink()
    else:
        pq.write_table(pa.table({"item": ["a"]}), file)
    result = worldloom("status", out)
    assert result.exit_code == 1 and f"{file}: " in result.stderr and "writes it anew" in result.stderr
    assert "fault of worldloom" not in result.stderr
    assert again().ran == {} and worldloom("status", out).exit_code == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"a": [1, 2]}', b'{"clips/ab/../../up.mp4": [1, 2]}', b'{"clips/ab/cd/%s.mp4": [1]}' % (b"a" * 26)],
    ids=["empty", "a list", "no name of a clip", "a name that leads out", "no checksum"],
)
def test_a_damaged_list_of_clips_put_away_is_named_before_anything_goes(out: Path, content: bytes) -> None:
    file = out / PUT_AWAY
    file.write_bytes(content)
    for words in (["--bring-back"], ["--clips", "--yes"]):
        refused(worldloom("clean", out, *words), file, "restore it from a copy")
    assert len(list((out / "clips").rglob("*.mp4"))) == 2


def test_a_damaged_segment_of_the_ledger_is_named_by_every_command(out: Path) -> None:
    (segment, *_) = (out / "ledger").iterdir()
    segment.write_bytes(b"no parquet")
    for verb, *words in (["status", out], ["clean", out], ["run", out / "job.yaml", "--out", out]):
        result = worldloom(str(verb), *words)
        assert result.exit_code == 1, verb
        assert f"{segment}: this segment of the ledger is damaged" in result.stderr, verb
        assert "fault of worldloom" not in result.stderr


def test_a_small_file_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(Layout(tmp_path).store, "none.json", list[str], "")
