"""Videos that lie in an object store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import object_store
from tests.pipeline.conftest import write_video
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import latest
from worldloom.catalogs.storage import open_store
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job
from worldloom.pipeline.sources.folder import FolderSource
from worldloom.pipeline.sources.footage import Workplace


def run(job: Job) -> RunSummary:
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine)


def put(bucket: str, name: str, data: bytes) -> None:
    """Write a file under whatever name, as other programs do."""
    from worldloom.catalogs import object_requests

    store = open_store(bucket)
    store.size("any")  # connects
    object_requests.put(store._client, name, data)  # type: ignore[attr-defined]


def test_a_folder_in_an_object_store_gives_the_clips_of_a_folder(
    tmp_path: Path, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "videos"
    (folder / "deep").mkdir(parents=True)
    write_video(folder / "a.mp4", 20, 0)
    write_video(folder / "deep" / "b.mp4", 21, 1)
    (folder / "notes.txt").write_text("no video")
    with object_store(monkeypatch) as bucket:
        for path in folder.rglob("*.*"):
            put(bucket, f"videos/{path.relative_to(folder).as_posix()}", path.read_bytes())
        there: dict[str, Any] = {"kind": "folder", "path": f"{bucket}/videos", "licence": "CC0-1.0"}
        here = {**there, "path": str(folder)}
        local, stored = make_job(sources=[here], out="local"), make_job(sources=[there], out="stored")
        assert run(local).committed
        summary = run(stored)
        assert (summary.tables[0].ok, summary.tables[0].dropped) == (2, {"not_video": 1})
        samples = [latest(tmp_path / out / "dataset").shards[0].samples for out in ("local", "stored")]
        assert samples == [2, 2]
        names = {path.stem for path in (tmp_path / "stored" / "clips").rglob("*.mp4")}
        assert names == {path.stem for path in (tmp_path / "local" / "clips").rglob("*.mp4")}, "equal keys"

        assert run(stored).ran == {}
        write_video(folder / "a.mp4", 22, 5)
        put(bucket, "videos/a.mp4", (folder / "a.mp4").read_bytes())
        assert run(stored).ran["ingest"] == 1, "what has changed is ingested again, and nothing else"


def test_every_object_is_a_row_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with object_store(monkeypatch) as bucket:
        for name in (
            "p/b.mp4",
            "p/a.mp4",
            "p/deep/c.mp4",
            "p/.hidden.mp4",
            "p/.git/d.mp4",
            "p/bad name.mp4",
            "q/e.mp4",
        ):
            put(bucket, name, b"x")
        source = FolderSource.model_validate({"kind": "folder", "path": f"{bucket}/p"})
        source.check("sources.0", None, None, 60.0)
        items = list(source.listed())
        assert [item.uri for item in items] == ["a.mp4", "b.mp4", "bad name.mp4", "deep/c.mp4"]
        assert [item.problem[0] if item.problem else "" for item in items] == ["", "", "bad_name", ""]
        assert len({item.fingerprint() for item in items}) == 4 and len({item.id for item in items}) == 4
        flat = FolderSource.model_validate({"kind": "folder", "path": f"{bucket}/p", "recursive": False})
        assert [item.uri for item in flat.items()] == ["a.mp4", "b.mp4", "bad name.mp4"]
        open_store(f"{bucket}/p").delete("a.mp4")
        with pytest.raises(BadInput) as found:
            source.footage(items[0], Workplace(tmp_path, tmp_path))
        assert found.value.reason == "gone"


def test_an_address_that_is_none_is_refused() -> None:
    for place in ("s3://me:hush@bucket/p", "s3:///p"):
        source = FolderSource.model_validate({"kind": "folder", "path": place})
        with pytest.raises(UsageError, match=r"sources\.0\.path") as found:
            source.check("sources.0", None, None, 60.0)
        assert "hush" not in str(found.value)
