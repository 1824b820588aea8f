"""How much a source of one's own takes: a file of less than 80 lines, named in the job, run from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.pipeline.conftest import write_video
from tests.pipeline.sources.tripod import TripodSource
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.availability import availability
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.job import Job, job_yaml, load_job
from worldloom.pipeline.run import run_job
from worldloom.pipeline.workspace import Workspace

KIND = "tests.pipeline.sources.tripod:TripodSource"
CODE = Path(__file__).with_name("tripod.py")


def job_of(folder: Path, kind: str = KIND, **more: object) -> Job:
    values = {
        "sources": [{"kind": kind, "path": "videos", "licence": "CC0-1.0", **more}],
        "compose": {"require": ["pose"]},
        "execution": {"workers": 1},
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(values))
    return load_job(folder / "job.yaml")


def videos(folder: Path) -> Path:
    (folder / "videos" / "north").mkdir(parents=True)
    for seed, name in enumerate(("north/gate.mp4", "hall.mp4", "attic.mp4", "yard.mp4")):
        write_video(folder / "videos" / name, 20, seed)
    lines = ["file,focal_px,place", "north/gate.mp4,88,main gate", "hall.mp4,90.5,hall", "yard.mp4,wide,yard"]
    (folder / "videos" / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_source_of_ones_own_takes_less_than_80_lines_and_the_docs_show_it() -> None:
    code = CODE.read_text()
    assert len(code.splitlines()) < 80
    pages = (CODE.parents[3] / "docs").glob("*sources*.md")
    assert any(code in page.read_text() for page in pages), "docs show another source than the one that is tested"


def test_it_is_run_from_end_to_end(tmp_path: Path) -> None:
    job = job_of(videos(tmp_path))
    with InProcess(job.execution) as engine:
        summary = run_job(job, engine=engine)
    (ingest, *_) = summary.tables
    assert ingest.balanced and summary.manifest == 1
    assert dict(ingest.dropped) == {"not_listed": 1, "no_intrinsics": 1}
    clips = {clip.provenance.uri: clip for clip in ShardDataset(Path(job.out) / "dataset", split="train")}
    assert set(clips) == {"north/gate.mp4", "hall.mp4"}
    gate = clips["north/gate.mp4"]
    assert gate.attributes == {"scene": "main gate"} and gate.provenance.kind == KIND
    said = {row[1]: row for row in availability(Workspace(summary.out))}
    assert said["attic.mp4"][0] == KIND and said["attic.mp4"][3] == "not_listed"
    assert said["yard.mp4"][7] == "clips.csv: its focal_px is no number. Write pixels, 880 for example."
    assert gate.camera is not None and gate.camera.scale == "none"
    assert gate.camera.intrinsics[0].tolist() == [88, 88, 32, 24]
    assert said["north/gate.mp4"][:3] == (KIND, "north/gate.mp4", "ok")
    assert clips["hall.mp4"].camera is not None and clips["hall.mp4"].camera.intrinsics[0, 0] == 90.5


def test_a_job_with_it_is_written_and_read_again(tmp_path: Path) -> None:
    job = job_of(videos(tmp_path))
    (tmp_path / "again.yaml").write_text(job_yaml(job))
    again = load_job(tmp_path / "again.yaml")
    assert again.sources == job.sources and isinstance(again.sources[0], TripodSource)
    dumped = job.model_dump(mode="json")
    assert dumped["sources"][0]["path"] == str(tmp_path / "videos")
    assert Job.model_validate(dumped).sources == job.sources


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("no_such_module:Source", {}, "'no_such_module:Source' cannot be loaded .*No module named"),
        ("tests.pipeline.sources.tripod:Nothing", {}, "cannot be loaded .*Nothing"),
        (":Nothing", {}, "cannot be loaded"),
        ("pathlib:Path", {}, "is not a subclass of worldloom.pipeline.sources.source.Source"),
        (KIND, {"pathh": "x"}, "unknown key 'pathh'; did you mean 'path'"),
        ("tripod", {}, "unknown kind 'tripod'"),
    ],
)
def test_what_is_no_source_is_named(tmp_path: Path, kind: str, more: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        job_of(videos(tmp_path), kind, **more)
