from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.fakes import Still
from worldloom.annotators.annotator import Resources
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.job import job_for_folder, job_yaml, load_job
from worldloom.pipeline.operations import ingest_recipe, plan_operations
from worldloom.pipeline.settings import Job

BRIGHTNESS = "tests.pipeline.fakes:Brightness"
STILL = "tests.pipeline.fakes:Still"
LABELS = "tests.pipeline.fakes:Labels"


class Endless(Still):
    """Declares a deadline that is none."""

    name = "endless"
    resources = Resources(deadline_s=float("inf"))


def folder_source(path: Path) -> list[dict[str, str]]:
    return [{"kind": "folder", "path": str(path)}]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ingset": {}}, "unknown key 'ingset'; did you mean 'ingest'"),
        ({"ingest": {"heigth": 480}}, "did you mean 'height'"),
        ({"compose": {"split": {"bye": "source"}}}, "did you mean 'by'"),
        ({"annotate": ["qualty"]}, "unknown annotator 'qualty'; did you mean 'quality'"),
        ({"annotate": [{BRIGHTNESS: {"time": 2}}]}, "did you mean 'times'"),
        ({"annotate": [LABELS]}, "'labels' needs camera, which nothing in this job gives; add 'pose'"),
        ({"annotate": [BRIGHTNESS, BRIGHTNESS]}, "twice"),
        ({"annotate": ["tests.pipeline.test_job:Endless"]}, "'endless' declares deadline_s inf, it must be more"),
        ({"execution": {"deadline_s": float("inf")}}, "execution.deadline_s: input should be less than or equal to 1"),
        ({"execution": {"deadline_s": float("nan")}}, "execution.deadline_s: input should be"),
        ({"execution": {"deadline_s": 1e8}}, "execution.deadline_s: input should be less than or equal to 10000000"),
        ({"execution": {"memory_mb": 10**8}}, "execution.memory_mb: input should be less than or equal to 10000000"),
        ({"execution": {"recycle_after": 10**8}}, "execution.recycle_after: input should be less than or equal to"),
        ({"annotate": "quality"}, "a list of names"),
        ({"annotate": [STILL], "compose": {"require": ["pos"]}}, "'pos' is not an operation of this job; did you"),
        ({"compose": {"where": "qualty.sharpness > 1"}}, "no clip has 'qualty'"),
        ({"compose": {"where": "quality.sharpness >"}}, "is no valid condition"),
        ({"compose": {"derive": [{"reverse": "loop", "window_frames": 3}]}}, "give one of"),
        ({"ingest": {"min_seconds": 4, "max_seconds": 5}}, "at least twice min_seconds"),
        ({"sources": [{"kind": "foldr", "path": "."}]}, "unknown kind 'foldr'; did you mean 'folder'"),
        ({"sources": [{"kind": "folder", "path": "nowhere"}]}, "sources.0.path: no such folder"),
        ({"sources": [{"kind": "folder", "path": "job.yaml"}]}, "is not a folder"),
        ({"sources": [{"kind": "folder", "path": "${data}"}]}, "unknown variable '${data}'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_message(
    make_job: Callable[..., Job], videos: Path, values: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        make_job(**{"sources": folder_source(videos), **values})
    assert caught.value.exit_code == 2


def test_a_misspelt_key_on_the_command_line(make_job: Callable[..., Job], videos: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'ingest'"):
        make_job(("ingset=3",), sources=folder_source(videos))
    with pytest.raises(UsageError, match="did you mean 'fps'"):
        make_job(("ingest.fsp=3",), sources=folder_source(videos))
    with pytest.raises(UsageError, match="expected key=value"):
        make_job(("ingest.fps",), sources=folder_source(videos))
    with pytest.raises(UsageError, match="no entry '7' among 1"):
        make_job(("sources.7.path=x",), sources=folder_source(videos))


def test_paths_are_relative_to_the_job_file_and_overrides_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs" / "here").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    job = tmp_path / "jobs" / "walks.yaml"
    job.write_text("sources: [{kind: folder, path: here}]")
    monkeypatch.chdir(tmp_path)
    loaded = load_job("jobs/walks.yaml")
    assert loaded.name == "walks"
    assert loaded.sources[0].folders()["path"] == tmp_path / "jobs" / "here"
    assert loaded.out == tmp_path / "jobs" / "runs" / "walks"
    changed = load_job("jobs/walks.yaml", ["sources.0.path=there", "out=elsewhere", "ingest.fps=16"])
    assert changed.sources[0].folders()["path"] == tmp_path / "there"
    assert changed.out == tmp_path / "elsewhere"
    assert changed.ingest.fps == 16


def test_weights_of_an_annotator_are_a_folder_and_its_other_keys_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldloom.pipeline import job as jobs

    monkeypatch.setattr(jobs, "check_job", lambda job: None)
    (tmp_path / "jobs" / "videos").mkdir(parents=True)
    path = tmp_path / "jobs" / "job.yaml"
    path.write_text(
        "vars: {models: ../models}\nsources: [{kind: folder, path: videos}]\n"
        'annotate: [quality, {embedding: {weights: dino}}, {"mine:Mine": {weights: "${models}/mine", list: short}}]'
    )
    monkeypatch.chdir(tmp_path)

    def configs(*overrides: str) -> list[dict[str, object]]:
        return [entry.config for entry in load_job("jobs/job.yaml", overrides).annotate]

    mine = {"weights": str(tmp_path / "models" / "mine"), "list": "short"}
    assert configs() == [{}, {"weights": str(tmp_path / "jobs" / "dino")}, mine]
    changed = configs("annotate.embedding.weights=there", "annotate.quality.path=x")
    assert changed == [{"path": "x"}, {"weights": str(tmp_path / "there")}, mine]


def test_a_variable_stands_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "odd").mkdir(parents=True)
    (tmp_path / "jobs").mkdir()
    job = tmp_path / "jobs" / "job.yaml"
    job.write_text('vars: {data: ../data}\nsources: [{kind: folder, path: "${data}/odd"}]')
    assert load_job(job).sources[0].folders()["path"] == tmp_path / "data" / "odd"
    (tmp_path / "other" / "odd").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert load_job(job, ["data=other"]).sources[0].folders()["path"] == tmp_path / "other" / "odd"


def test_the_file_a_run_leaves_behind_is_the_same_job(
    make_job: Callable[..., Job], videos: Path, tmp_path: Path
) -> None:
    job = make_job(
        ("annotate.quality.samples=5",),
        sources=folder_source(videos),
        ingest={"fps": 8},
        annotate=["quality", {BRIGHTNESS: {"times": 2}}],
        compose={"where": "quality.brightness > 1", "derive": [{"reverse": "plain"}]},
    )
    path = tmp_path / "left" / "job.yaml"
    path.parent.mkdir()
    path.write_text(job_yaml(job))
    assert load_job(path) == job
    assert [entry.config for entry in job.annotate] == [{"samples": 5}, {"times": 2}]


def test_the_job_of_a_folder_requires_nothing_and_stays_outside(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = job_for_folder(videos)
    assert job.out == tmp_path / "runs" / videos.name
    assert job.ingest.fps is None
    assert job.compose.require == () and job.compose.where is None
    names = {operation.name for operation in plan_operations(job)}
    assert {"pose", "actions", "events"} <= names and "embedding" not in names
    with pytest.raises(UsageError, match="nothing is ever written there"):
        job_for_folder(videos, videos / "runs")
    with pytest.raises(UsageError, match="no such folder"):
        job_for_folder(tmp_path / "nowhere")


def test_recipes_follow_what_changes_results_and_nothing_else(make_job: Callable[..., Job], videos: Path) -> None:
    def recipes(overrides: tuple[str, ...] = (), labels: float = 1.0, brightness: float = 1.0) -> dict[str, str]:
        annotate = [{BRIGHTNESS: {"times": brightness}}, {LABELS: {"times": labels}}, STILL]
        job = make_job(overrides, sources=folder_source(videos), annotate=annotate)
        return {operation.name: operation.recipe for operation in plan_operations(job)}

    plain = recipes()
    assert list(plain) == ["brightness", "pose", "labels"], "each after what it needs"
    same = recipes(("execution.workers=7", "execution.deadline_s=9", "pack.target_mb=3", "out=elsewhere"))
    assert same == plain

    def changed(other: dict[str, str]) -> set[str]:
        return {name for name in plain if plain[name] != other[name]}

    assert changed(recipes(labels=2)) == {"labels"}
    assert changed(recipes(brightness=2)) == {"brightness"}
    assert changed(recipes(("ingest.height=32",))) == set(plain)


def test_the_ingest_recipe_ignores_where_things_lie(make_job: Callable[..., Job], videos: Path) -> None:
    job = make_job(sources=folder_source(videos))
    other = make_job(("out=elsewhere",), sources=folder_source(videos.parent))
    assert ingest_recipe(job) == ingest_recipe(other)
