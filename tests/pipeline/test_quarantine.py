"""A failed row leaves a file, the file does the work again alone, and a retry that succeeds takes it away."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tests.object_store import object_store
from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import FolderStore, open_store
from worldloom.cli import app
from worldloom.pipeline.again import do_again, is_case
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.envelope import Ending
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.job import load_job
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Entry
from worldloom.pipeline.operation import LIMIT_AT_MOST
from worldloom.pipeline.quarantine import case_name, forget_solved, read_case, write_case
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Execution, Job

FLAKY = "tests.pipeline.test_quarantine:Flaky"
MakeJob = Callable[..., Job]


class FlakyRules(Strict):
    """Clips of `frames` frames end the process while the file `trouble` is there."""

    trouble: str
    frames: int = 20


class Flaky(Annotator):
    """Builds on the pictures' brightness, and dies as long as a file says so."""

    name = "flaky"
    version = "1"
    method = "flaky"
    needs = ("quality",)
    gives = "captions"
    Config = FlakyRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        assert clip.quality["brightness"] > 0
        (scratch / "left_behind").write_text("x")
        if clip.frames == self.config.frames and Path(self.config.trouble).exists():
            print("about to leave https://me:secret@example.org/a.mp4?key=1")
            os._exit(9)
        return Given([])


def files_of(out: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(out.rglob("*")) if path.is_file()
    }


def annotate_command(path: Path | str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["annotate", str(path)])
    return done.exit_code, done.output


def test_a_clip_that_ends_its_process_is_repeated_alone(
    make_job: MakeJob, videos: Path, shared_ray: Engine, tmp_path: Path
) -> None:
    trouble = tmp_path / "trouble"
    trouble.touch()
    job = make_job(
        sources=[{"kind": "folder", "path": str(videos)}],
        annotate=["tests.pipeline.fakes:Brightness", {FLAKY: {"trouble": str(trouble)}}],
        execution={"deadline_s": 33},
    )
    run_job(job)
    (path,) = (job.out / "quarantine" / "flaky").iterdir()
    case = read_case(FolderStore(path.parent), path.name)
    assert (case.stage, case.operation, case.reason, case.attempts) == ("annotate", "flaky", "crashed", 2)
    assert case.limits["deadline_s"] == 33 and case.versions["worldloom"] and case.host
    assert shlex.split(case.command) == ["worldloom", "annotate", str(path)]
    text = path.read_text()
    assert "about to leave https://example.org/a.mp4?..." in "\n".join(case.trace) and "secret" not in text

    before = files_of(job.out)
    code, told = annotate_command(path)
    assert code == 1 and "code 9" in told and "about to leave" in told and "crashed after 2 attempts" in told
    trouble.unlink()
    code, told = annotate_command(path)
    assert code == 0 and f"worldloom run {job.out / 'job.yaml'} --retry crashed" in told
    assert files_of(job.out) == before, "repeating writes nothing into OUT"

    run_job(job, retry="crashed")
    assert not path.exists()


def test_a_video_and_a_shard_are_repeated_alone(make_job: MakeJob, videos: Path, shared_ray: Engine) -> None:
    sources = [{"kind": "folder", "path": str(videos)}]
    run_job(make_job(sources=sources, execution={"deadline_s": 0.0001}))
    job = make_job(sources=sources)
    failed = sorted((job.out / "quarantine" / "ingest").iterdir())
    assert len(failed) == 4, "three videos and a text file"
    repeat = do_again(failed[0])
    assert (repeat.ending.status, repeat.ending.reason) == ("failed", "timeout") and not repeat.mended
    failed[0].write_text(json.dumps({**json.loads(failed[0].read_text()), "limits": {"deadline_s": 60}}))
    assert do_again(failed[0]).mended
    assert not (job.out / "clips").exists()

    run_job(job, retry="timeout", only="ingest")
    assert not list((job.out / "quarantine" / "ingest").iterdir())
    clip = next((job.out / "clips").rglob("*.mp4"))
    clip.rename(clip.with_suffix(".away"))
    assert run_job(job).exit_code == 1
    (shard,) = (job.out / "quarantine" / "pack").iterdir()
    repeat = do_again(shard)
    assert repeat.ending.status == "failed" and clip.name in repeat.ending.error
    clip.with_suffix(".away").rename(clip)
    assert do_again(shard).mended
    assert not list((job.out / "dataset").rglob("*.tar"))
    assert run_job(job).exit_code == 0 and not shard.exists()


def test_what_failed_in_an_object_store_is_repeated_from_there(
    make_job: MakeJob, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = tmp_path / "trouble"
    trouble.touch()
    with object_store(monkeypatch) as bucket:
        job = make_job(
            out=f"{bucket}/runs/one",
            sources=[{"kind": "folder", "path": str(videos)}],
            annotate=["tests.pipeline.fakes:Brightness", {FLAKY: {"trouble": str(trouble)}}],
        )
        with InProcess(job.execution) as engine:
            run_job(job, engine=engine)
        store = open_store(job.out)
        (name,) = store.names("quarantine/flaky")
        place = shlex.split(read_case(store, name).command)[-1]
        assert place == f"{job.out}/{name}"
        before = {one: store.read(one) for one in store.names()}
        code, told = annotate_command(place)
        assert code == 1 and "crashed after 2 attempts" in told and "about to leave" in told
        trouble.unlink()
        code, told = annotate_command(place)
        assert code == 0 and f"worldloom run {job.out}/job.yaml --retry crashed" in "".join(told.split("\n"))
        assert {one: store.read(one) for one in store.names()} == before, "repeating writes nothing into OUT"

        job = load_job(f"{job.out}/job.yaml")
        with InProcess(job.execution) as engine:
            assert run_job(job, engine=engine, retry="crashed").committed
        assert not store.exists(name)
        code, told = annotate_command(place)
        assert code == 2 and "neither a video nor a file" in told
        with pytest.raises(UsageError, match="no such file"):
            load_job(f"{job.out}/gone.yaml")


def entry(item: str, reason: str = "crashed") -> Entry:
    return Entry(item, "pose", "recipe", "source", "failed", reason, "it is gone")


def test_every_item_has_a_file_of_its_own(tmp_path: Path) -> None:
    items = ["a", "a/b", "a_b", "../../etc/passwd", ".hidden", "", "x" * 300, "y" + "x" * 299, "ä", "a\0b", "a b"]
    layout = Layout(tmp_path)
    paths = [tmp_path / write_case(layout, entry(item), {}) for item in items]
    assert len(set(paths)) == len(items)
    for item, path in zip(items, paths, strict=True):
        assert path.resolve().parent == (tmp_path / "quarantine" / "pose").resolve() and len(path.name) < 200
        assert read_case(FolderStore(path.parent), path.name).item == item
    for number, path in enumerate(paths):
        statuses = ["ok" if place <= number else "failed" for place in range(len(items))]
        forget_solved(layout, "pose", pa.chunked_array([items]), pa.chunked_array([statuses]))
        assert not path.exists() and all(one.exists() for one in paths[number + 1 :])
    forget_solved(layout, "never", pa.chunked_array([["a"]]), pa.chunked_array([["ok"]]))
    assert (tmp_path / case_name("../up", "a")).resolve().is_relative_to((tmp_path / "quarantine").resolve())


def test_the_largest_limits_of_a_job_may_stand_in_a_file(tmp_path: Path) -> None:
    most = Execution(deadline_s=LIMIT_AT_MOST, memory_mb=LIMIT_AT_MOST, recycle_after=LIMIT_AT_MOST)
    limits = most.model_dump(include={"deadline_s", "memory_mb", "recycle_after"})
    name = write_case(Layout(tmp_path), entry("a"), {"entry": "a:b", "payload": {}, "limits": limits})
    assert read_case(FolderStore(tmp_path), name).limits == limits


@pytest.mark.parametrize("limits", [{"deadline_s": float("inf")}, {"recycle_after": 10**8}, {"threads": "two"}, 3])
def test_no_value_keeps_a_failed_row_from_being_told(tmp_path: Path, limits: object) -> None:
    name = write_case(Layout(tmp_path), entry("a"), {"limits": limits, "trace": ["here"]})
    assert json.loads((tmp_path / name).read_text())["trace"] == ["here"]
    with pytest.raises(UsageError, match="not a quarantine file"):
        read_case(FolderStore(tmp_path), name)


def test_only_our_own_functions_are_called(tmp_path: Path) -> None:
    path = tmp_path / write_case(
        Layout(tmp_path), entry("a"), {"entry": "os:system", "payload": {"command": "touch here"}}
    )
    with pytest.raises(UsageError, match="os:system"):
        do_again(path)
    path = tmp_path / write_case(Layout(tmp_path), entry("b"), {})
    with pytest.raises(UsageError, match="worker died"):
        do_again(path)


def test_what_is_no_quarantine_file_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "quarantine" / "pose"
    folder.mkdir(parents=True)
    for number, text in enumerate(["", "[]", "{}", "[" * 100_000, '{"stage": 1}', "\ud800".encode("utf-8", "replace")]):
        path = folder / f"{number}.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert is_case(path)
        code, told = annotate_command(path)
        assert code == 2 and "not a quarantine file" in told
    elsewhere = tmp_path / "a.json"
    elsewhere.write_text("{}")
    code, told = annotate_command(elsewhere)
    assert code == 2 and "neither a video" in told


def test_the_evidence_of_a_success_is_empty() -> None:
    assert Ending("ok").evidence() == {}
