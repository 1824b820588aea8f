from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.catalogs.edited import with_catalog
from tests.catalogs.example_clip import example_clip, example_dataset
from worldloom.catalogs.catalog import catalog_table
from worldloom.catalogs.clip import same_value
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import latest
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.storage import ObjectStore, open_store


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_dataset(tmp_path_factory.mktemp("dataset"))


def test_clips_come_back_whole(dataset: Path) -> None:
    originals = {clip.key: clip for clip in (example_clip(i) for i in range(5))}
    opened = ShardDataset(dataset)
    assert sorted(opened.keys) == opened.keys == sorted(originals)
    for clip in opened:
        original = originals[clip.key]
        original.video = clip.video
        assert clip_to_members(clip) == clip_to_members(original)
        with clip.open_frames() as frames:
            assert frames[:].shape == (12, 32, 48, 3)


def test_positions_keys_and_slices_agree(dataset: Path) -> None:
    opened = ShardDataset(dataset)
    assert len(opened) == 5
    assert same_value(opened[-1], opened.get(opened.keys[4]))
    assert [clip.key for clip in opened[1:4]] == opened.keys[1:4]
    assert opened[np.int64(2)].key == opened.keys[2]
    with pytest.raises(IndexError):
        opened[5]
    with pytest.raises(KeyError):
        opened.get("nobody")


def test_conditions_and_splits_choose(dataset: Path) -> None:
    chosen = ShardDataset(dataset, where="quality.sharpness > 0.2 and events.pairs = 1 and pose.status = 'ok'")
    assert sorted(chosen.keys) == sorted(example_clip(i).key for i in (2, 3, 4))
    assert len(ShardDataset(dataset, split="test")) == 1
    assert len(ShardDataset(dataset, split="train")) == 4
    assert len(ShardDataset(dataset, where="depth.status = 'ok'")) == 0
    assert chosen.get(example_clip(3).key).quality["sharpness"] == pytest.approx(0.35)


def test_wrong_questions_get_a_clear_answer(dataset: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'sharpness'"):
        ShardDataset(dataset, where="quality.sharpnes > 0.2")
    with pytest.raises(UsageError, match="no valid condition"):
        ShardDataset(dataset, where="quality.sharpness >")
    with pytest.raises(UsageError, match="did you mean 'train'"):
        ShardDataset(dataset, split="trian")
    with pytest.raises(UsageError, match=r"did you mean 'camera\.npz'"):
        ShardDataset(dataset, members=["camera"])
    with pytest.raises(UsageError, match="no dataset here"):
        ShardDataset(dataset.parent)


def test_a_condition_reaches_no_files(dataset: Path) -> None:
    for where in ("(SELECT count(*) FROM read_text('/etc/hostname')) > 0", "getenv('HOME') = 'x'"):
        with pytest.raises(UsageError):
            ShardDataset(dataset, where=where)


def test_only_the_wanted_members_are_read(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = ShardDataset(dataset, members=["camera.npz"])
    read: list[int] = []
    pread = os.pread

    def counting(descriptor: int, length: int, offset: int) -> bytes:
        read.append(length)
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", counting)
    clip = opened[0]
    assert clip.video is None
    assert clip.camera is not None
    assert clip.depth is None
    spans = {one["name"]: one["length"] for one in opened.table.column("members")[0].as_py()}
    assert sorted(read) == sorted([spans["json"], spans["camera.npz"]])


def test_a_torn_member_is_named(tmp_path: Path) -> None:
    dataset = example_dataset(tmp_path, clips=2, per_shard=1)
    opened = ShardDataset(dataset)
    row = opened.table.to_pylist()[0]
    span = next(one for one in row["members"] if one["name"] == "mp4")
    path = dataset / row["shard"]
    data = bytearray(path.read_bytes())
    data[span["offset"] + 10] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match=f"{row['key']}.mp4") as refusal:
        opened[0]
    assert refusal.value.reason == "torn_shard"
    path.write_bytes(data[: span["offset"] + 5])
    with pytest.raises(BadInput, match=f"ends inside member {row['key']}.mp4"):
        opened[0]
    path.unlink()
    with pytest.raises(BadInput, match="cannot be opened"):
        opened[0]


def test_a_length_beyond_the_file_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def longer(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        for span in rows[0]["members"]:
            span["length"] = 1 << 32
        return catalog_table(rows)

    opened = ShardDataset(with_catalog(example_dataset(tmp_path, clips=2), longer))
    pread = os.pread
    monkeypatch.setattr(
        os,
        "pread",
        lambda file, length, at: (
            pread(file, min(length, 1 << 20), at) if length < 1 << 30 else pytest.fail("4 GiB asked for")
        ),
    )
    with pytest.raises(BadInput, match="ends inside member"):
        opened[0]


@pytest.mark.parametrize("shard", ["../../etc/passwd", "/etc/passwd", "shards/\0.tar", "shards/other.tar"])
def test_a_shard_that_the_manifest_does_not_name_is_refused(tmp_path: Path, shard: str) -> None:
    dataset = example_dataset(tmp_path, clips=2)
    with_catalog(dataset, lambda table: catalog_table([{**row, "shard": shard} for row in table.to_pylist()]))
    with pytest.raises(BadInput, match="which the manifest does not"):
        ShardDataset(dataset)


def test_another_count_than_that_of_the_manifest_is_refused(tmp_path: Path) -> None:
    dataset = with_catalog(example_dataset(tmp_path, clips=2), lambda table: table[:1])
    with pytest.raises(BadInput, match="has 1 rows, the manifest counts 2"):
        ShardDataset(dataset)


def _keys_of(opened: ShardDataset) -> list[str]:
    return [clip.key for clip in opened]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read_the_same(dataset: Path, method: str) -> None:
    opened = ShardDataset(dataset, split="train")
    expected = _keys_of(opened)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_keys_of, [opened, opened]) == [expected, expected]


def test_it_pickles(dataset: Path) -> None:
    opened = ShardDataset(dataset, where="frames > 3", members=["mp4"])
    copy = pickle.loads(pickle.dumps(opened))
    assert copy.keys == opened.keys
    assert same_value(copy[1], opened[1])


@pytest.fixture(scope="module")
def address(dataset: Path, bucket: str) -> str:
    store = open_store(f"{bucket}/walks")
    for path in dataset.rglob("*"):
        if path.is_file():
            store.write(path.relative_to(dataset).as_posix(), path.read_bytes())
    return store.place


def test_an_object_store_gives_the_same(dataset: Path, address: str) -> None:
    here, there = ShardDataset(dataset), ShardDataset(address)
    assert there.keys == here.keys
    for mine, theirs in zip(here, there, strict=True):
        assert same_value(mine, theirs)
    assert same_value(there[-2], here[-2])
    some = ShardDataset(address, where="frames > 3", split="train", members=["camera.npz"])
    assert len(some) == 4 and some[0].video is None and some[0].camera is not None


def test_a_sample_is_one_request(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = ShardDataset(address)
    asked: list[tuple[int, int | None]] = []
    read = ObjectStore.read

    def counting(self: ObjectStore, name: str, offset: int = 0, length: int | None = None) -> bytes:
        asked.append((offset, length))
        return read(self, name, offset, length)

    monkeypatch.setattr(ObjectStore, "read", counting)
    opened[0]
    (offset, length) = asked.pop()
    row = opened.table.slice(0, 1).to_pylist()[0]
    assert not asked and row["offset"] < offset and length is not None and length < row["length"]


def test_any_order_is_read_ahead_within_bounds(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = ShardDataset(address, read_ahead_mb=0.03)
    started: list[int] = []
    read = opened.read

    def counting(position: int) -> dict[str, bytes]:
        started.append(position)
        return read(position)

    monkeypatch.setattr(opened, "read", counting)
    order = [4, 0, 3, 3, 1]
    ahead = opened.in_order(order)
    assert next(ahead).key == opened.keys[4]
    most = 1 + 0.03e6 // min(opened.table.column("length").to_pylist())
    assert len(started) <= most + 1 < 5
    assert [clip.key for clip in ahead] == [opened.keys[i] for i in order[1:]]
    assert started == order
    abandoned = opened.in_order(order)
    next(abandoned)
    abandoned.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]
    with pytest.raises(IndexError):
        list(opened.in_order([9]))


def test_shard_order_goes_through_shard_after_shard(dataset: Path) -> None:
    opened = ShardDataset(dataset)
    places = [(row["shard"], row["offset"]) for row in opened.table.select(["shard", "offset"]).to_pylist()]
    order = opened.shard_order()
    assert [places[i] for i in order] == sorted(places) and order != sorted(order)
    assert [clip.key for clip in opened.in_order(order)] == [opened.keys[i] for i in order]


def test_damage_in_an_object_store_is_named(dataset: Path, bucket: str) -> None:
    store = open_store(f"{bucket}/damaged")
    for path in dataset.rglob("*"):
        if path.is_file():
            store.write(path.relative_to(dataset).as_posix(), path.read_bytes())
    opened = ShardDataset(store.place)
    row = opened.table.to_pylist()[0]
    span = next(one for one in row["members"] if one["name"] == "mp4")
    data = bytearray(store.read(row["shard"]))
    data[span["offset"] + 10] ^= 1
    store.write(row["shard"], bytes(data))
    with pytest.raises(BadInput, match=rf"{row['key']}\.mp4 differs"):
        opened[0]
    store.write(row["shard"], bytes(data[: span["offset"] + 5]))
    with pytest.raises(BadInput, match=rf"ends inside member {row['key']}\.mp4"):
        opened[0]
    store.delete(row["shard"])
    with pytest.raises(BadInput, match="cannot be opened") as refusal:
        list(opened)
    assert row["shard"] in str(refusal.value)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read_an_object_store(address: str, method: str) -> None:
    opened = ShardDataset(address, split="train")
    expected = _keys_of(opened)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(_keys_of, [opened, opened]).get(timeout=120) == [expected, expected]


def test_a_torch_loader_reads_it(dataset: Path) -> None:
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(ShardDataset(dataset), batch_size=None, shuffle=True)
    assert sorted(clip.key for clip in loader) == ShardDataset(dataset).keys


def test_an_older_manifest_can_be_opened(dataset: Path) -> None:
    assert len(ShardDataset(dataset, number=1)) == latest(dataset).samples
    with pytest.raises(BadInput, match="no such manifest"):
        ShardDataset(dataset, number=9)


def test_it_imports_no_framework(dataset: Path) -> None:
    script = (
        "import sys; from worldloom import ShardDataset\n"
        f"assert len(list(ShardDataset({str(dataset)!r}, where='frames > 0'))) == 5\n"
        "assert not {'torch', 'webdataset', 'ray', 'cv2', 'av'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
