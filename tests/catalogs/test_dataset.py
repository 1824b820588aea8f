from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.example_clip import example_clip, example_dataset
from worldloom.catalogs.clip import same_value
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import latest
from worldloom.catalogs.sample import clip_to_members


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
