"""A whole job whose working folder lies in an object store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.object_store import object_store
from tests.pipeline.conftest import write_video
from worldloom.catalogs.manifest import latest
from worldloom.cli import app
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job
from worldloom.pipeline.workspace import Workspace

FAKES = "tests.pipeline.fakes:"


def run(job: Job) -> RunSummary:
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine)


def test_a_job_in_an_object_store_makes_what_it_makes_in_a_folder(
    tmp_path: Path, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "videos").mkdir()
    for seed, frames in enumerate((20, 21)):
        write_video(tmp_path / "videos" / f"{seed}.mp4", frames, seed)
    values: dict[str, Any] = {
        "sources": [{"kind": "folder", "path": str(tmp_path / "videos")}],
        "annotate": [FAKES + "Brightness", FAKES + "Still", FAKES + "Measured"],
        "compose": {"derive": [{"reverse": "loop"}], "where": "brightness.status = 'ok'"},
    }
    local = make_job(**values, out=str(tmp_path / "out"))
    assert run(local).committed
    with object_store(monkeypatch) as bucket:
        job = make_job(**values, out=f"{bucket}/runs/one")
        summary = run(job)
        assert summary.committed and all(tally.balanced for tally in summary.tables)
        there, here = latest(summary.dataset or ""), latest(tmp_path / "out" / "dataset")
        assert (there.shards, there.catalog) == (here.shards, here.catalog), "equal digests"
        again = run(job)
        assert again.ran == {} and again.tables == summary.tables
        space = Workspace(job.out)
        assert [space.load(key).depth is not None for key in space.clips()] == [True, True]

        page = tmp_path / "pages"
        for words in (["status"], ["verify"], ["inspect", "--page", str(page)], ["run"]):
            place = f"{job.out}/job.yaml" if words == ["run"] else str(job.out)
            done = CliRunner().invoke(app, [words[0], place, *words[1:]])
            assert done.exit_code == 0 and "s3:/b" not in done.output, done.output
        assert (page / "quarantine.html").is_file()
        assert len(list((page / "thumbs").rglob("*.webp"))) == len(list((page / "clips").glob("*.html"))) == 4
        done = CliRunner().invoke(app, ["clean", str(job.out)])
        assert done.exit_code == 2 and "clean works on folders" in done.output
        monkeypatch.chdir(tmp_path)
        command = ["run", str(tmp_path / "videos"), "--out", f"{bucket}/runs/two", "--dry-run"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0 and not list(tmp_path.glob("s3*")), done.output
