from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.catalogs.edited import KEYS, build, clip, six_clips, with_manifest
from worldloom.catalogs import merge as merging
from worldloom.catalogs.clip import Annotation
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.edits import remove
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import ManifestConflict, latest, latest_or_none, removed_list
from worldloom.catalogs.merge import merge
from worldloom.catalogs.rewrite import bring
from worldloom.catalogs.storage import FolderStore, inside, open_store
from worldloom.catalogs.verify import verify

Put = Callable[[Path], str]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("one") / "dataset", six_clips(), name="one")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shares clip 0 with the first; its shards have the same names, and it has an operation more."""
    seventh = clip(7)
    seventh.annotations["weather"] = Annotation("ok", "sky", "1")
    seventh.quality["contrast"] = 0.5
    return build(tmp_path_factory.mktemp("other") / "dataset", [("train", [seventh, clip(0)])], name="other")


def test_two_become_one(one: Path, other: Path, put: Put) -> None:
    places = [put(one), put(other)]
    out = str(inside(places[0], "merged"))
    done = merge(places, out)
    assert (done.twice, done.left_out, done.astride) == (1, 0, 0)
    united = ShardDataset(out)
    assert united.keys == sorted([*KEYS[:6], KEYS[7]])
    assert (done.manifest.number, done.manifest.operation, done.manifest.name) == (1, "merge", "one + other")
    assert verify(out).problems == []
    for place in places:
        own = ShardDataset(place)
        for i, key in enumerate(own.keys):
            assert united.read(united.keys.index(key)) == own.read(i)
    assert ShardDataset(out, where="weather.status = 'ok' and quality.contrast > 0.1").keys == [KEYS[7]]


def test_shards_of_one_disk_are_linked(one: Path, other: Path, tmp_path: Path) -> None:
    merge([one, other], tmp_path / "merged")
    for shard in latest(one).shards:
        assert (tmp_path / "merged" / shard.path).samefile(one / shard.path)


def test_a_folder_and_an_object_store_become_one(one: Path, other: Path, bucket: str, tmp_path: Path) -> None:
    there = f"{bucket}/mixed"
    merge([one, build(tmp_path / "third", [("train", [clip(9)])])], there)
    merge([there, other], tmp_path / "back")
    assert ShardDataset(tmp_path / "back").keys == sorted([*KEYS[:6], KEYS[7], KEYS[9]])
    assert verify(there).problems == []
    assert verify(tmp_path / "back").problems == []


def test_one_key_with_different_bytes_is_refused(one: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "other", [("train", [clip(0, caption="another walk"), clip(8)])])
    with pytest.raises(UsageError, match=KEYS[0]) as refusal:
        merge([one, other], tmp_path / "merged")
    assert str(one) in str(refusal.value) and str(other) in str(refusal.value) and "--prefer" in str(refusal.value)
    assert latest_or_none(tmp_path / "merged") is None
    for prefer, caption in ((one, "a walk"), (other, "another walk")):
        out = tmp_path / f"merged {caption}".replace(" ", "-")
        merge([one, other], out, prefer=prefer)
        assert ShardDataset(out).get(KEYS[0]).captions[0].text == caption
        assert len(ShardDataset(out)) == 7 and verify(out).problems == []
    with pytest.raises(UsageError, match="none of the datasets"):
        merge([one, other], tmp_path / "merged", prefer=tmp_path)


def test_a_takedown_while_the_shards_are_copied_does_not_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = build(tmp_path / "one", six_clips())
    other = build(tmp_path / "other", [("train", [clip(8)])])
    united = merging._united

    def meanwhile(*arguments: Any) -> Any:
        found = united(*arguments)
        remove(one, [KEYS[0]])
        return found

    monkeypatch.setattr(merging, "_united", meanwhile)
    with pytest.raises(ManifestConflict, match=r"edited meanwhile .manifest 1 was read, it is at 2"):
        merge([one, other], tmp_path / "out")
    monkeypatch.undo()
    assert latest_or_none(tmp_path / "out") is None
    merge([one, other], tmp_path / "out")
    assert KEYS[0] not in ShardDataset(tmp_path / "out").keys and verify(tmp_path / "out").problems == []


def test_what_one_has_taken_down_does_not_come_in_with_another(tmp_path: Path) -> None:
    one = build(tmp_path / "one", six_clips())
    other = build(tmp_path / "other", [("train", [clip(8), clip(1)])])
    remove(one, [KEYS[1]])
    done = merge([one, other], tmp_path / "merged")
    assert done.left_out == 1
    assert ShardDataset(tmp_path / "merged").keys == sorted([KEYS[0], KEYS[2], KEYS[3], KEYS[8]])
    assert removed_list(done.manifest) == [{"key": KEYS[1]}]
    assert verify(tmp_path / "merged").problems == []


def test_a_source_on_both_sides_of_a_split_is_counted(one: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "other", [("test", [clip(8, source=0)])])
    assert merge([one, other], tmp_path / "merged").astride == 1


def test_the_place_must_be_empty_unless_it_is_this_merge(one: Path, other: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    made = merge([one, other], out).manifest
    (out / "README.md").unlink()  # as if killed before the card
    assert merge([one, other], out).manifest == made and (out / "README.md").is_file()
    with pytest.raises(UsageError, match="there is a dataset already"):
        merge([one, build(tmp_path / "third", [("train", [clip(9)])])], out)
    with pytest.raises(UsageError, match="two or more different"):
        merge([one, one], tmp_path / "x")
    with pytest.raises(UsageError, match="no dataset here"):
        merge([one, tmp_path / "nothing"], tmp_path / "x")


def test_a_damaged_shard_is_not_merged(one: Path, bucket: str, tmp_path: Path) -> None:
    other = build(tmp_path / "other", [("train", [clip(8)])])
    shard = other / latest(other).shards[0].path
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    with pytest.raises(BadInput, match=r"its sha256 is not the one in the manifest"):
        merge([one, other], f"{bucket}/damaged")
    assert latest_or_none(f"{bucket}/damaged") is None
    assert open_store(one).exists("manifests/000001.json")


def test_a_missing_shard_is_named(one: Path, tmp_path: Path, bucket: str) -> None:
    other = build(tmp_path / "other", [("train", [clip(8)])])
    (shard,) = latest(other).shards
    (other / shard.path).unlink()
    for out in (tmp_path / "merged", f"{bucket}/missing"):
        with pytest.raises(BadInput, match=r"Copy the dataset anew") as refusal:
            merge([one, other], out)
        assert refusal.value.reason == "missing_file" and str(other / shard.path) in str(refusal.value)
        assert latest_or_none(out) is None


def test_no_name_leads_out_of_the_merged_dataset(one: Path, tmp_path: Path) -> None:
    """The same name of a shard in both has the second one renamed, after its split."""
    other = build(tmp_path / "other", [("train", [clip(8)])])
    with_manifest(other, lambda values: values["shards"][0].update(split="../../../outside/x"))
    with pytest.raises(BadInput, match=r"shards\.0\.split"):
        merge([one, other], tmp_path / "deep" / "merged")
    shard = latest(one).shards[0]
    source, target = (FolderStore(folder) for folder in (one, tmp_path / "deep" / "target"))
    with pytest.raises(ValueError, match="plain relative path"):
        bring(source, shard, target, "shards/../../../outside/x.tar", tmp_path)
    assert not (tmp_path / "outside").exists() and not (tmp_path.parent / "outside").exists()
