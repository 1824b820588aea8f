"""`worldloom inspect`: where it writes, what it says, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.object_store import object_store
from tests.pipeline.conftest import write_video
from tests.report.made_sets import clip_with, dataset_of
from worldloom.catalogs.storage import open_store
from worldloom.cli import app
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.job import load_job
from worldloom.pipeline.run import run_job


def worldloom(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspected")
    return dataset_of(folder / "set", [clip_with(i, folder) for i in range(2)])


def test_it_writes_into_the_place_and_ends_with_the_next_command(dataset: Path) -> None:
    done = worldloom("inspect", dataset, "--pages", 1)
    assert done.exit_code == 0, done.output
    assert f"wrote {dataset}/inspect/index.html" in done.output
    assert "2 clips, frames of 2 decoded; 1 have a page of their own" in done.output
    assert f"worldloom inspect {dataset} KEY" in done.output and "--pages 2" in done.output
    assert f"next: worldloom verify {dataset}" in done.output
    assert worldloom("verify", dataset).exit_code == 0, "the pages are no part of the dataset, and do no harm to it"


def test_one_clip(dataset: Path, tmp_path: Path) -> None:
    key = next(line for line in (dataset / "inspect" / "data" / "clips.js").read_text().split('"') if len(line) == 26)
    done = worldloom("inspect", dataset, key, "--out", tmp_path / "one")
    assert done.exit_code == 0, done.output
    assert f"wrote {tmp_path}/one/clips/{key}.html" in done.output
    assert (tmp_path / "one" / "clips" / f"{key}.mp4").read_bytes()[4:8] == b"ftyp"


def test_against_another(dataset: Path, tmp_path: Path) -> None:
    done = worldloom("inspect", dataset, "--against", f"{dataset}@1", "--page", tmp_path / "site", "--pages", 0)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "site" / "compare.html").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rerun"], "give its KEY"),
        (["zzzz"], "there is no clip zzzz"),
        (["--against", "nowhere"], "nowhere: neither a dataset"),
    ],
)
def test_what_cannot_be_done_is_said(dataset: Path, words: list[str], says: str, tmp_path: Path) -> None:
    done = worldloom("inspect", dataset, "--out", tmp_path / "site", *words)
    assert done.exit_code == 2 and says in done.output


def test_a_file_is_no_folder(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("mine")
    done = worldloom("inspect", dataset, "--page", tmp_path / "page.html")
    assert done.exit_code == 2 and "is a file" in done.output
    assert (tmp_path / "page.html").read_text() == "mine"


def test_a_dataset_in_an_object_store_is_looked_at_from_here(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with object_store(monkeypatch) as bucket:
        store = open_store(f"{bucket}/sets/far")
        for file in sorted(dataset.rglob("*")):
            name = file.relative_to(dataset).as_posix()
            if file.is_file() and not name.startswith("inspect/"):
                store.write(name, file.read_bytes())
        done = worldloom("inspect", f"{bucket}/sets/far", "--pages", 1)
        assert done.exit_code == 0, done.output
        assert len(list((tmp_path / "inspect-far" / "thumbs").rglob("*.webp"))) == 2
        assert not any(name.startswith("inspect") for name in store.names()), "nothing is written there"


def test_a_run_that_chose_no_clip_is_looked_at_and_has_nothing_to_verify(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", 20, 0)
    (tmp_path / "job.yaml").write_text(
        f"name: none\nout: {tmp_path}/out\n"
        f"sources: [{{kind: folder, path: {tmp_path}/videos, licence: CC0-1.0}}]\n"
        "annotate: []\ncompose: {where: {too_short: seconds > 100}}\nexecution: {workers: 1}\n"
    )
    job = load_job(tmp_path / "job.yaml")
    with InProcess(job.execution) as engine:
        summary = run_job(job, engine=engine)
    assert summary.dataset is None and summary.table("compose").dropped == {"too_short": 1}
    assert worldloom("status", tmp_path / "out").output.splitlines()[-1] == f"next: worldloom inspect {tmp_path}/out"
    done = worldloom("inspect", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == f"next: worldloom status {tmp_path}/out --all"
