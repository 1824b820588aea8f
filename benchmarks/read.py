"""How fast clips are read from shards: `ShardDataset` against plain webdataset, the same shards, the same decoding.

    python -m benchmarks.read            120 clips of 77 frames 480x272, about seven minutes
    python -m benchmarks.read --quick    24 clips

Both go through all samples of the same local shards, parse the JSON and decode every frame of the mp4 by the same lines
of PyAV on one thread; rounds alternate, each begins with another one, the median counts. Ours also checks a CRC-32 per
member. "Bytes alone" leaves the decoding out. The last rows read the same shards from moto on loopback, which measures
that server more than us.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import webdataset

from benchmarks.timing import medians
from tests.object_store import object_store
from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Clip, Provenance, clip_key
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.shards import write_shard
from worldloom.catalogs.storage import open_store

FRAMES, WIDTH, HEIGHT, FPS, PER_SHARD, ROUNDS = 77, 480, 272, Fraction(16), 40, 7
TARGET = 0.95


def videos(folder: Path, count: int) -> list[bytes]:
    """A few different ones; noise that moves, so that there is something to decode."""
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT // 8, 2 * WIDTH // 8, 3), np.uint8)
    texture = noise.repeat(8, 0).repeat(8, 1)
    made = []
    for number in range(count):
        path = folder / f"{number}.mp4"
        starts = [(number * 40 + 3 * i) % WIDTH for i in range(FRAMES)]
        encode_frames(path, (np.ascontiguousarray(texture[:, at : at + WIDTH]) for at in starts), FPS)
        made.append(path.read_bytes())
    return made


def make_dataset(dataset: Path, clips: int) -> None:
    contents = videos(dataset.parent, 4)
    (dataset / "shards").mkdir(parents=True)
    shards, rows = [], []
    made = [
        Clip(
            key=clip_key(f"source {i}", 0, 0, FRAMES - 1),
            fps=FPS,
            frames=FRAMES,
            height=HEIGHT,
            width=WIDTH,
            pts_s=np.arange(FRAMES) / float(FPS),
            provenance=Provenance("folder", f"{i}.mp4", "ab" * 32, "CC0-1.0", "2024-05-01T00:00:00Z", 0, (0.0, 4.8)),
            video=contents[i % len(contents)],
        )
        for i in range(clips)
    ]
    for number in range(0, clips, PER_SHARD):
        part = made[number : number + PER_SHARD]
        path = f"shards/train-{number:05d}.tar"
        info = write_shard(dataset / path, [(clip.key, clip_to_members(clip)) for clip in part])
        shards.append(ShardEntry(path=path, bytes=info.bytes, sha256=info.sha256, split="train", samples=len(part)))
        rows += [
            catalog_row(clip, split="train", shard=path, entry=entry)
            for clip, entry in zip(part, info.entries, strict=True)
        ]
    commit(dataset, Manifest(number=1, samples=clips, shards=tuple(shards), catalog=write_catalog(dataset, rows)))


def decode(video: bytes) -> int:
    with av.open(io.BytesIO(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(frame.to_ndarray(format="rgb24").shape[0] > 0 for frame in container.decode(video=0))


def ours(place: Path | str, *, by_shard: bool = False) -> Iterator[tuple[bytes, dict]]:
    dataset = ShardDataset(place, members=["mp4"])
    for i in dataset.shard_order() if by_shard else range(len(dataset)):
        members = dataset.read(i)
        yield members["mp4"], json.loads(members["json"])


def our_clips(place: Path | str) -> Iterator[tuple[bytes, dict]]:
    dataset = ShardDataset(place, members=["mp4"])
    for clip in dataset.in_order(dataset.shard_order()):
        assert isinstance(clip.video, bytes)
        yield clip.video, {"frames": clip.frames}


def theirs(folder: Path) -> Iterator[tuple[bytes, dict]]:
    shards = [str(path) for path in sorted((folder / "shards").glob("*.tar"))]
    for sample in webdataset.WebDataset(shards, shardshuffle=False):
        yield sample["mp4"], json.loads(sample["json"])


def count(samples: Iterable[tuple[bytes, dict]], expected: int, decoding: bool) -> None:
    found = 0
    for video, record in samples:
        found += 1
        assert not decoding or decode(video) == record["frames"]
    assert found == expected


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    clips = 24 if parser.parse_args().quick else 120
    top = Path(tempfile.mkdtemp(prefix="worldloom-read-"))
    try:
        dataset = top / "dataset"
        make_dataset(dataset, clips)
        size = sum(path.stat().st_size for path in (dataset / "shards").iterdir()) / 1e6
        print(f"{clips} clips of {FRAMES} frames {WIDTH}x{HEIGHT}, {size:.0f} MB, median of {ROUNDS}; samples/s")
        print(f"{'':44}{'ours':>9}{'webdataset':>12}{'ratio':>8}{'target':>9}")
        for what, decoding, target in (("decoding", True, f">= {TARGET}"), ("bytes alone", False, "")):
            seconds = medians(
                {
                    "webdataset": lambda: count(theirs(dataset), clips, decoding),  # noqa: B023
                    "order of keys": lambda: count(ours(dataset), clips, decoding),  # noqa: B023
                    "shard after shard": lambda: count(ours(dataset, by_shard=True), clips, decoding),  # noqa: B023
                    "as Clip, shard after shard": lambda: count(our_clips(dataset), clips, decoding),  # noqa: B023
                },
                ROUNDS,
                warm_up=True,
            )
            base = seconds.pop("webdataset")
            for order, one in seconds.items():
                ratio = base / one
                print(f"{what + ', ' + order:44}{clips / one:>9.1f}{clips / base:>12.1f}{ratio:>8.2f}{target:>9}")
        with pytest.MonkeyPatch.context() as patch, object_store(patch) as bucket:
            store = open_store(f"{bucket}/dataset")
            for path in dataset.rglob("*"):
                if path.is_file():
                    store.write(path.relative_to(dataset).as_posix(), path.read_bytes())
            seconds = medians(
                {
                    "one after the other": lambda: count(ours(store.place), clips, False),
                    "with read-ahead": lambda: count(our_clips(store.place), clips, False),
                },
                ROUNDS,
                warm_up=True,
            )
            for order, one in seconds.items():
                print(f"{'S3 (moto on loopback), bytes, ' + order:54}{clips / one:>9.1f}")
    finally:
        shutil.rmtree(top)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
