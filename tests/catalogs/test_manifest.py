from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import (
    FileEntry,
    Manifest,
    ManifestConflict,
    ShardEntry,
    commit,
    latest,
    latest_or_none,
    manifest_name,
    numbers,
    read_manifest,
    removed_list,
)
from worldloom.catalogs.storage import FolderStore, open_store


def manifest(dataset: Path, number: int = 1, **change: object) -> Manifest:
    content = f"content {number}".encode()
    (dataset / "shards").mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()
    shard, catalog = f"shards/train-{number:05d}.tar", f"catalog-{number:04d}.parquet"
    for path in (shard, catalog):
        (dataset / path).write_bytes(content)
    return Manifest(
        number=number,
        parent=number - 1 or None,
        name="walks",
        samples=3,
        shards=(ShardEntry(path=shard, bytes=len(content), sha256=digest, split="train", samples=3),),
        catalog=FileEntry(path=catalog, bytes=len(content), sha256=digest),
        **change,
    )


def test_the_highest_number_is_the_dataset(tmp_path: Path) -> None:
    assert latest_or_none(tmp_path) is None
    made = [manifest(tmp_path, number) for number in (1, 2, 3)]
    for one in made:
        commit(tmp_path, one)
    assert numbers(tmp_path) == [1, 2, 3]
    assert latest(tmp_path) == made[2]
    assert read_manifest(tmp_path, 1) == made[0]
    assert json.loads((tmp_path / "manifest.json").read_text())["number"] == 3
    assert [path.name for path in tmp_path.rglob("*partial*")] == []


def test_no_dataset_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dataset here"):
        latest(tmp_path)


def test_a_number_is_committed_once(tmp_path: Path) -> None:
    commit(tmp_path, manifest(tmp_path))
    before = (tmp_path / manifest_name(1)).read_bytes()
    with pytest.raises(ManifestConflict, match="another run"):
        commit(tmp_path, manifest(tmp_path, notes={"job": "other"}))
    assert (tmp_path / manifest_name(1)).read_bytes() == before
    assert [path.name for path in (tmp_path / "manifests").iterdir()] == ["000001.json"]


RACER = """
import sys
import threading
from pathlib import Path
from worldloom.catalogs.manifest import Manifest, ManifestConflict, commit
manifest = Manifest.model_validate_json(sys.stdin.read())
try:
    commit(Path(sys.argv[1]), manifest)
    print("won")
except ManifestConflict:
    print("lost")
"""


def test_of_two_that_commit_at_once_one_wins(tmp_path: Path) -> None:
    text = manifest(tmp_path).model_dump_json()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    for racer in racers:
        racer.stdin.write(text)
        racer.stdin.close()
    assert sorted(racer.stdout.read().strip() for racer in racers) == ["lost", "lost", "won"]
    assert [racer.wait() for racer in racers] == [0, 0, 0]


def test_of_two_that_commit_at_once_one_wins_in_an_object_store(tmp_path: Path, bucket: str) -> None:
    place = f"{bucket}/race"
    planned = manifest(tmp_path)
    store = open_store(place)
    for path in (planned.shards[0].path, planned.catalog.path):
        store.write(path, (tmp_path / path).read_bytes())
    gate = threading.Barrier(4)
    ends: list[str] = []

    def attempt(number: int) -> None:
        gate.wait()
        try:
            commit(place, planned.model_copy(update={"notes": {"writer": number}}))
            ends.append(f"won {number}")
        except ManifestConflict as error:
            assert "run the same command again" in str(error)
            ends.append("lost")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends)[:3] == ["lost"] * 3
    assert f"won {latest(place).notes['writer']}" in ends
    assert numbers(place) == [1]


def test_what_was_taken_down_is_carried_on_by_whoever_commits(tmp_path: Path) -> None:
    catalog = {"catalog": write_catalog(tmp_path, [])}
    notes = {"removed": [{"sha256": "a", "uri": "x.mp4"}], "job": "walks"}
    commit(tmp_path, manifest(tmp_path, 1, notes={"removed": [{"key": "b"}]}).model_copy(update=catalog))
    commit(tmp_path, manifest(tmp_path, 2).model_copy(update=catalog))
    commit(tmp_path, manifest(tmp_path, 3, notes=notes).model_copy(update=catalog))
    assert removed_list(latest(tmp_path)) == [{"key": "b"}, {"sha256": "a", "uri": "x.mp4"}]
    assert latest(tmp_path).notes["job"] == "walks"


def test_the_copy_of_an_older_manifest_never_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second commit comes after the first has read the latest manifest and before it writes the copy."""
    planned, write = manifest(tmp_path, 2), FolderStore.write

    def late(store: FolderStore, name: str, data: bytes) -> None:
        if name == "manifest.json" and numbers(tmp_path) == [1]:
            commit(tmp_path, planned)
        write(store, name, data)

    monkeypatch.setattr(FolderStore, "write", late)
    commit(tmp_path, manifest(tmp_path, 1))
    assert json.loads((tmp_path / "manifest.json").read_text())["number"] == 2


def test_numbers_have_no_gaps(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such manifest"):
        commit(tmp_path, manifest(tmp_path, 2))
    assert numbers(tmp_path) == []


@pytest.mark.parametrize("removed", ["all", [1], [{"uri": "x"}], [{"key": 5}], [{"sha256": "a", "uri": None}]])
def test_a_list_of_what_was_taken_down_that_is_none_is_refused(tmp_path: Path, removed: object) -> None:
    with pytest.raises(BadInput, match="removed"):
        removed_list(manifest(tmp_path, notes={"removed": removed}))


def test_nothing_is_committed_before_its_files_are_there(tmp_path: Path) -> None:
    planned = manifest(tmp_path)
    (tmp_path / planned.shards[0].path).write_bytes(b"torn")
    with pytest.raises(BadInput, match=r"train-00001\.tar"):
        commit(tmp_path, planned)
    (tmp_path / planned.shards[0].path).unlink()
    with pytest.raises(BadInput, match=r"train-00001\.tar"):
        commit(tmp_path, planned)
    assert numbers(tmp_path) == []


def test_equal_manifests_are_equal_bytes(tmp_path: Path) -> None:
    one = manifest(tmp_path, notes={"b": 1, "a": 2})
    other = manifest(tmp_path, notes={"a": 2, "b": 1})
    assert one.to_json() == other.to_json()
    assert one.same_contents(other)
    assert not one.same_contents(manifest(tmp_path, 2))
    assert not one.same_contents(None)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"schema_version": 99}, "Update worldloom"),
        ({"number": 7}, "holds manifest 7"),
        ({"surprise": 1}, "surprise"),
        ({"samples": -1}, "samples"),
        ({"format": "other"}, "format"),
        ({"catalog": {"path": "../x", "bytes": 1, "sha256": "0" * 64}}, r"catalog\.path"),
        ({"catalog": {"path": "/etc/passwd", "bytes": 1, "sha256": "0" * 64}}, r"catalog\.path"),
        ({"catalog": {"path": "x", "bytes": 1, "sha256": "zz"}}, r"catalog\.sha256"),
        ({"name": "a\nb"}, "name"),
        ({"operation": "../x"}, "operation"),
    ],
)
def test_damaged_and_hostile_manifests_are_refused(tmp_path: Path, change: dict, word: str) -> None:
    commit(tmp_path, manifest(tmp_path))
    path = tmp_path / manifest_name(1)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadInput, match=word) as refusal:
        latest(tmp_path)
    assert refusal.value.reason == "bad_manifest"


@pytest.mark.parametrize("split", ["../../../outside/x", "", "..", "a/b", "a b", ".hidden", "x" * 200, "train\n", 5])
def test_a_split_is_a_plain_name(tmp_path: Path, split: object) -> None:
    commit(tmp_path, manifest(tmp_path))
    path = tmp_path / manifest_name(1)
    values = json.loads(path.read_text())
    values["shards"][0]["split"] = split
    path.write_text(json.dumps(values))
    with pytest.raises(BadInput, match=r"000001\.json: .*shards\.0\.split") as refusal:
        latest(tmp_path)
    assert refusal.value.reason == "bad_manifest"


def test_only_what_bears_the_name_of_a_manifest_is_one(tmp_path: Path) -> None:
    commit(tmp_path, manifest(tmp_path))
    for name in ("old/000007.json", "0000008.json", "000009.json.bak", "x000010.json"):
        (tmp_path / "manifests" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "manifests" / name).write_text("a copy somebody kept")
    assert numbers(tmp_path) == [1] and latest(tmp_path).number == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    commit(tmp_path, manifest(tmp_path))
    (tmp_path / manifest_name(1)).write_text(text)
    with pytest.raises(BadInput):
        latest(tmp_path)
