from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.example_clip import example_clip, example_dataset, example_video
from worldloom.catalogs.catalog import read_catalog, write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Clip, Event
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit, latest, manifest_name
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.shards import write_shard
from worldloom.catalogs.verify import clip_problems, verify


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_dataset(tmp_path_factory.mktemp("verify"), clips=3)


@pytest.fixture
def dataset(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "dataset"))


def spans(dataset: Path) -> list[tuple[str, str, str, int, int]]:
    table = read_catalog(dataset / latest(dataset).catalog.path)
    return [
        (row["shard"], row["key"], one["name"], one["offset"], one["length"])
        for row in table.to_pylist()
        for one in row["members"]
    ]


def dataset_of(folder: Path, clip: Clip) -> Path:
    dataset = folder / "one"
    (dataset / "shards").mkdir(parents=True)
    info = write_shard(dataset / "shards" / "train-0.tar", [(clip.key, clip_to_members(clip))])
    path = "shards/train-0.tar"
    shard = ShardEntry(path=path, bytes=info.bytes, sha256=info.sha256, split="train", samples=1)
    row = catalog_row(clip, split="train", shard=path, entry=info.entries[0])
    commit(dataset, Manifest(number=1, samples=1, shards=(shard,), catalog=write_catalog(dataset, [row])))
    return dataset


def test_a_sound_dataset_has_no_problems(pristine: Path) -> None:
    report = verify(pristine)
    assert report.problems == []
    assert (report.shards, report.samples, report.number) == (2, 3, 1)


def test_a_flipped_byte_in_any_member_is_named(dataset: Path) -> None:
    rng = np.random.default_rng(0)
    for shard, key, name, offset, length in spans(dataset):
        path = dataset / shard
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[offset + int(rng.integers(length))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        found = verify(dataset, deep=False).problems
        assert [(problem.file, problem.member) for problem in found] == [(shard, ""), (shard, f"{key}.{name}")]
        path.write_bytes(whole)
    assert verify(dataset, deep=False).problems == []


def test_a_torn_shard_is_named_with_its_member(dataset: Path) -> None:
    shard, key, name, offset, length = spans(dataset)[3]
    path = dataset / shard
    path.write_bytes(path.read_bytes()[: offset + length // 2])
    messages = [str(problem) for problem in verify(dataset).problems]
    assert any(shard in message and f"{key}.{name}" in message and "ends inside" in message for message in messages)
    assert any("bytes, the manifest says" in message for message in messages)


def test_damage_outside_of_members_is_named(dataset: Path) -> None:
    shard = spans(dataset)[0][0]
    path = dataset / shard
    data = bytearray(path.read_bytes())
    data[-5] ^= 1  # behind the end mark
    path.write_bytes(data)
    assert any("headers or padding" in str(problem) for problem in verify(dataset).problems)
    data[10] ^= 1  # the first header
    path.write_bytes(data)
    assert any("header at byte 0" in str(problem) for problem in verify(dataset).problems)


def test_missing_files_are_named(dataset: Path) -> None:
    manifest = latest(dataset)
    (dataset / manifest.shards[0].path).unlink()
    assert manifest.shards[0].path in {problem.file for problem in verify(dataset, deep=False).problems}
    (dataset / manifest.catalog.path).unlink()
    assert manifest.catalog.path in {problem.file for problem in verify(dataset, deep=False).problems}
    with pytest.raises(UsageError):
        verify(dataset / "shards")


def test_a_catalog_that_disagrees_is_named(dataset: Path) -> None:
    manifest = latest(dataset)
    rows = read_catalog(dataset / manifest.catalog.path).to_pylist()
    lost = rows.pop(0)
    rows[0]["members"][0]["offset"] += 512
    rows[1]["members"].append({"name": "hands.npz2", "offset": 0, "length": 0, "crc32": 0})
    catalog = write_catalog(dataset, rows)
    commit(dataset, manifest.model_copy(update={"number": 2, "parent": 1, "catalog": catalog}))
    messages = [str(problem) for problem in verify(dataset, deep=False).problems]
    assert any("has 2 rows, the manifest counts 3" in message for message in messages)
    assert any(lost["key"] in message and "does not know this sample" in message for message in messages)
    assert any(rows[0]["key"] in message and "does not lie where" in message for message in messages)
    assert any("hands.npz2" in message and "not in the shard" in message for message in messages)


def test_counts_of_the_manifest_are_checked(dataset: Path) -> None:
    path = dataset / manifest_name(1)
    values = json.loads(path.read_text())
    values["samples"] = 4
    values["shards"][0]["samples"] = 9
    path.write_text(json.dumps(values))
    messages = [str(problem) for problem in verify(dataset, deep=False).problems]
    assert any("counts 4 samples, 3 found" in message for message in messages)
    assert any("the manifest says 9" in message for message in messages)


def test_a_video_that_does_not_fit_its_record_is_found_in_depth(tmp_path: Path) -> None:
    clip = example_clip(0, example_video(tmp_path / "x.mp4"))
    clip.height = 34
    dataset = dataset_of(tmp_path, clip)
    assert verify(dataset, deep=False).problems == []
    (problem,) = verify(dataset).problems
    assert problem.member == f"{clip.key}.mp4"
    assert "48 x 32 pixels, the record says 48 x 34" in problem.message


def test_a_video_that_is_none_is_found_in_depth(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, example_clip(0, b"#EXTM3U\nhttp://127.0.0.1/x.ts\n"))
    (problem,) = verify(dataset).problems
    assert "text file" in problem.message


def test_a_truncated_video_is_found_in_depth(tmp_path: Path) -> None:
    data = example_video(tmp_path / "x.mp4").read_bytes()
    (problem,) = verify(dataset_of(tmp_path, example_clip(0, data[:-200]))).problems
    assert "of 12 frames decode" in problem.message


def test_arrays_must_fit_the_clip() -> None:
    clip = example_clip()
    assert clip_problems(clip) == []
    clip.actions = dataclasses.replace(clip.actions, move=clip.actions.move[:-1])
    clip.depth = dataclasses.replace(clip.depth, frames=np.array([0, 12], np.int32))
    clip.events = [Event(99, 3, 6)]
    assert {member for member, _ in clip_problems(clip)} == {"actions.npz", "depth.npz", "json"}
    assert any("99" in message for _, message in clip_problems(clip))
