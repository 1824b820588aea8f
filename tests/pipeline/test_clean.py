"""What can go from a working folder, and what a run does afterwards."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.pipeline.conftest import write_video
from worldloom.catalogs.card import write_card
from worldloom.catalogs.catalog import read_catalog
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.edits import remove, rollback, without
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.manifest import Manifest, commit, latest, numbers, read_manifest
from worldloom.catalogs.rewrite import put_catalog, scratch_folder
from worldloom.catalogs.storage import open_store
from worldloom.catalogs.verify import verify
from worldloom.cli import app
from worldloom.pipeline import clean as module
from worldloom.pipeline.clean import PUT_AWAY, BroughtBack, Cleaning, bring_back, find_redundant, remove_redundant
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


def age(*paths: Path) -> None:
    """As if they had been written two hours ago."""
    for path in paths:
        os.utime(path, (time.time() - 7200,) * 2)


def keys_of(out: Path) -> list[str]:
    return [str(key) for key in read_catalog(out / "dataset" / latest(out / "dataset").catalog.path)["key"].to_pylist()]


def shards_of(out: Path, key: str) -> list[Path]:
    """Of the latest manifest, the shard that holds a clip."""
    dataset = ShardDataset(out / "dataset", where=f"key = '{key}'")
    return [out / "dataset" / name for name in dataset.table["shard"].to_pylist()]


def leave_out(out: Path, key: str) -> None:
    """Commit the dataset without a clip, as a stricter condition does; it is not taken down."""
    dataset = out / "dataset"
    store, before = open_store(dataset), latest(dataset)
    table = read_catalog(dataset / before.catalog.path)
    with scratch_folder(store) as scratch:
        shards, rest = without(store, before, table, [key], store, scratch)
    numbered = {"number": before.number + 1, "parent": before.number, "samples": len(rest)}
    commit(dataset, before.model_copy(update={**numbered, "shards": shards, "catalog": put_catalog(store, [rest])}))
    write_card(dataset)


def assert_nothing_to_do(job: Job) -> None:
    summary = run(job)
    assert summary.ran == {} and not summary.ray_started and not summary.committed


def video_of(out: Path, key: str) -> str:
    (name,) = (name for name in files(out) if Path(name).name == f"{key}.mp4")
    return name


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
    assert bring_back(layout) == BroughtBack(2)
    assert not (out / PUT_AWAY).exists()
    assert {name: (out / name).read_bytes() for name in videos} == videos
    assert set(run(job(times=3.0)).ran) == {"labels", "pack"}


def test_a_clip_whose_copy_in_the_dataset_is_damaged_stays(out: Path) -> None:
    layout = Layout(out)
    key = keys_of(out)[0]
    (shard,) = shards_of(out, key)
    whole = shard.read_bytes()
    damages: list[Callable[[], object]] = [
        lambda: shard.write_bytes(whole[:1000]),
        lambda: shard.write_bytes(whole.replace((out / video_of(out, key)).read_bytes()[-64:], bytes(64))),
        shard.unlink,
    ]
    for damage in damages:
        damage()
        found = find_redundant(layout, clips=True)
        listed = [name for kind in found.kinds if kind.kind == "clips" for name in kind.files]
        assert video_of(out, key) not in listed
        assert any("the dataset's copy of them is damaged" in note and shard.name in note for note in found.notes)
        shard.write_bytes(whole)
    assert kinds(find_redundant(layout, clips=True))["clips"] == 2


def test_clips_cut_out_of_a_longer_video_can_go_and_come_back(tmp_path: Path, make_job: Callable[..., Job]) -> None:
    (tmp_path / "long").mkdir()
    write_video(tmp_path / "long" / "a.mp4", 40, 0)
    job = make_job(**values(tmp_path / "long", ingest={"max_seconds": 2.0}))
    assert run(job).committed
    layout, out = Layout(job.out), Path(job.out)
    videos = {name: (out / name).read_bytes() for name in files(out) if name.endswith(".mp4")}
    cut = [clip.provenance.operations for clip in ShardDataset(layout.dataset)]
    assert len(cut) == len(videos) == 2 and all(operations[0].startswith("cut:") for operations in cut)
    found = find_redundant(layout, clips=True)
    assert kinds(found)["clips"] == 2
    remove_redundant(layout, found)
    assert bring_back(layout) == BroughtBack(2)
    assert {name: (out / name).read_bytes() for name in videos} == videos


def put_away(out: Path) -> list[str]:
    """Both clips; their keys."""
    remove_redundant(Layout(out), find_redundant(Layout(out), clips=True))
    keys = sorted(Path(name).stem for name in json.loads((out / PUT_AWAY).read_text()))
    assert len(keys) == 2 and keys == sorted(keys_of(out))
    return keys


def test_other_pictures_under_the_same_key_are_not_brought_back(out: Path, job: Callable[..., Job]) -> None:
    videos = {name: (out / name).read_bytes() for name in files(out) if name.endswith(".mp4")}
    put_away(out)
    small = job().ingest.model_copy(update={"height": 32})
    run(job(ingest=small.model_dump()))
    assert latest(out / "dataset").number == 3, "its clips have the keys of those that were put away"
    assert bring_back(Layout(out)) == BroughtBack(2)
    assert {name: (out / name).read_bytes() for name in videos} == videos


def test_clips_of_an_old_ingest_can_go(out: Path, job: Callable[..., Job]) -> None:
    old = {name for name in files(out) if name.endswith(".mp4")}
    small = job().ingest.model_copy(update={"height": 32})
    run(job(ingest=small.model_dump()))
    layout = Layout(out)
    found = find_redundant(layout)
    (clips,) = (kind for kind in found.kinds if kind.kind == "clips of old settings")
    assert set(clips.files) == old
    remove_redundant(layout, found)
    assert len([name for name in files(out) if name.endswith(".mp4")]) == 2 and not old & set(files(out))
    assert_nothing_to_do(job(ingest=small.model_dump()))
    assert run(job()).ran["ingest"] == 2, "what went is made again"


@pytest.mark.parametrize("purge", [False, True])
def test_a_clip_that_was_taken_down_does_not_come_back(out: Path, purge: bool) -> None:
    gone, stays = put_away(out)
    remove(out / "dataset", [gone], purge=purge)
    done = CliRunner().invoke(app, ["clean", str(out), "--bring-back"])
    assert done.exit_code == 0 and "1 clips were copied back" in done.stdout
    assert f"1 clips were taken down and stay away: {gone}" in done.stdout
    assert [Path(name).stem for name in files(out) if name.endswith(".mp4")] == [stays]
    assert not (out / PUT_AWAY).exists(), "the next run points nobody here again"


def test_a_clip_that_only_an_older_manifest_holds_comes_back(out: Path) -> None:
    layout = Layout(out)
    videos = {name: (out / name).read_bytes() for name in files(out) if name.endswith(".mp4")}
    key, _ = put_away(out)
    leave_out(out, key)
    found = find_redundant(layout, manifests=1)
    assert any("manifest 2 stays, for it alone holds 1 clips" in note for note in found.notes)
    remove_redundant(layout, found)
    assert numbers(out / "dataset") == [2, 3] and key not in keys_of(out)
    assert bring_back(layout) == BroughtBack(2)
    assert {name: (out / name).read_bytes() for name in videos} == videos
    remove_redundant(layout, find_redundant(layout, manifests=1))
    assert numbers(out / "dataset") == [3] and verify(out / "dataset").problems == []


def test_a_clip_that_nobody_holds_costs_itself(out: Path) -> None:
    lost, stays = put_away(out)
    leave_out(out, lost)
    for number in (1, 2):
        (out / "dataset" / f"manifests/{number:06d}.json").unlink()
    done = CliRunner().invoke(app, ["clean", str(out), "--bring-back"])
    assert done.exit_code == 1 and "1 clips were copied back" in done.stdout
    assert f"1 clips are in no manifest any more: {lost}" in " ".join(done.output.split())
    assert [Path(name).stem for name in files(out) if name.endswith(".mp4")] == [stays]
    assert not (out / PUT_AWAY).exists()
    assert CliRunner().invoke(app, ["clean", str(out), "--bring-back"]).exit_code == 0


def test_a_clip_whose_last_copy_cannot_be_read_is_tried_again(out: Path) -> None:
    layout = Layout(out)
    keys = put_away(out)
    (shard,) = {path for key in keys for path in shards_of(out, key)}
    whole = shard.read_bytes()
    for entry in read_manifest(out / "dataset", 1).shards:  # it holds the same clips
        (out / "dataset" / entry.path).unlink()
    shard.write_bytes(whole[: len(whole) // 2])
    done = bring_back(layout)
    assert done.damaged and not done.lost and all(shard.name in why for why in done.damaged.values())
    assert sorted(Path(name).stem for name in json.loads((out / PUT_AWAY).read_text())) == sorted(done.damaged)
    told = CliRunner().invoke(app, ["clean", str(out), "--bring-back"])
    assert told.exit_code == 1 and "is still away" in told.output
    shard.write_bytes(whole)
    assert bring_back(layout) == BroughtBack(len(done.damaged)) and not (out / PUT_AWAY).exists()


def test_a_damaged_manifest_keeps_its_clips_on_the_list(out: Path) -> None:
    key, _ = put_away(out)
    leave_out(out, key)
    older = [out / "dataset" / f"manifests/{number:06d}.json" for number in (1, 2)]
    contents = [path.read_bytes() for path in older]
    for path in older:
        path.write_bytes(b"damaged")
    done = bring_back(Layout(out))
    assert done.clips == 1 and done.damaged.keys() == {key} and "not a manifest" in done.damaged[key]
    for path, content in zip(older, contents, strict=True):
        path.write_bytes(content)
    assert bring_back(Layout(out)) == BroughtBack(1)


def test_a_dataset_that_is_elsewhere_loses_no_clip(out: Path) -> None:
    put_away(out)
    listed = (out / PUT_AWAY).read_bytes()
    (out / "dataset").rename(out / "elsewhere")
    with pytest.raises(UsageError, match="no dataset here"):
        bring_back(Layout(out))
    assert (out / PUT_AWAY).read_bytes() == listed


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
    young = find_redundant(Layout(out))
    assert "shards and catalogs" not in kinds(young) and any("younger than an hour" in note for note in young.notes)
    age(stray)
    assert kinds(find_redundant(Layout(out)))["shards and catalogs"] == 1
    layout = Layout(out)
    state = module._state(layout)
    layout.write_json("state.json", {**state, "manifest": 0})
    found = find_redundant(layout)
    assert "shards and catalogs" not in kinds(found)
    assert any("did not commit" in note for note in found.notes)


@pytest.mark.parametrize("locked_out", [True, False])
def test_an_edit_that_commits_while_the_list_waits_loses_nothing(out: Path, locked_out: bool) -> None:
    """What the takedown has written is listed before it commits; without the count, the names alone protect it."""
    layout, dataset = Layout(out), out / "dataset"
    remove(dataset, [keys_of(out)[0]])
    committed = dataset / "manifests" / "000003.json"
    content = committed.read_bytes()
    committed.unlink()
    taken = Manifest.model_validate_json(content)
    new = [dataset / entry.path for entry in (*taken.shards, taken.catalog)]
    age(*new)
    found = find_redundant(layout)
    listed = [out / name for kind in found.kinds if kind.kind == "shards and catalogs" for name in kind.files]
    assert sorted(listed) == sorted(new) and len(new) == 2
    committed.write_bytes(content)
    if locked_out:
        with pytest.raises(UsageError, match=r"edited while the list waited .*1 to 2, now they are 1 to 3"):
            remove_redundant(layout, found)
    else:
        found.manifests = numbers(dataset)
        remove_redundant(layout, found)
    assert all(path.exists() for path in new) and verify(dataset).problems == []


@pytest.mark.parametrize("locked_out", [True, False])
def test_going_back_while_the_list_waits_loses_nothing(out: Path, locked_out: bool) -> None:
    layout, dataset = Layout(out), out / "dataset"
    found = find_redundant(layout, manifests=1)
    assert kinds(found)["old manifests"] == 1 and kinds(found)["shards and catalogs"] == 2
    rollback(dataset, 1)
    if locked_out:
        with pytest.raises(UsageError, match="edited while the list waited"):
            remove_redundant(layout, found)
        assert numbers(dataset) == [1, 2, 3]
    else:
        found.manifests = numbers(dataset)
        remove_redundant(layout, found)
        assert numbers(dataset) == [2, 3]
    assert verify(dataset).problems == [] and len(keys_of(out)) == 2


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


def test_downloads_go_only_when_named_and_no_clip_misses_them(out: Path, job: Callable[..., Job]) -> None:
    shelf = out / "downloads" / "web" / "ab"
    shelf.mkdir(parents=True)
    for ending in ("video", "json", "lock"):
        (shelf / f"ab12.{ending}").write_bytes(b"x" * 1000)
    assert "downloads" not in kinds(find_redundant(Layout(out), clips=True, manifests=1))
    listed = CliRunner().invoke(app, ["clean", str(out)])
    assert "downloads stay" in listed.stdout and "--downloads" in listed.stdout
    asked = CliRunner().invoke(app, ["clean", str(out), "--downloads", "--manifests", "1"])
    assert asked.stdout.splitlines()[-1].endswith("--downloads --manifests 1 --yes") and shelf.is_dir()
    assert kinds(find_redundant(Layout(out), downloads=True))["downloads"] == 3
    removed = CliRunner().invoke(app, ["clean", str(out), "--downloads", "--yes"])
    assert removed.exit_code == 0 and not shelf.exists()
    assert_nothing_to_do(job())
    assert "downloads stay" not in CliRunner().invoke(app, ["clean", str(out)]).stdout


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
