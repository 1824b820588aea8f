"""A dataset to be edited: six clips in three shards, two of one source, two derived from another."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.catalogs.example_clip import example_clip, example_video
from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit, latest, manifest_name
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.shards import write_shard

KEYS = [example_clip(number).key for number in range(12)]


@functools.cache
def video() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return example_video(Path(folder) / "x.mp4").read_bytes()


def sha256_of(number: int) -> str:
    return hashlib.sha256(f"source {number}".encode()).hexdigest()


def clip(number: int, *, source: int | None = None, parents: Sequence[str] = (), caption: str = "a walk") -> Clip:
    source = number if source is None else source
    made = example_clip(number, video())
    made.provenance = dataclasses.replace(
        made.provenance, uri=f"walks/{source}.mp4", sha256=sha256_of(source), parents=tuple(parents)
    )
    made.captions[0] = dataclasses.replace(made.captions[0], text=caption)
    return made


def six_clips() -> list[tuple[str, list[Clip]]]:
    """2 and 3 are of one source; 4 is derived from 1, and 5 from 4."""
    return [
        ("train", [clip(0), clip(1), clip(2)]),
        ("train", [clip(3, source=2), clip(4, source=4, parents=[KEYS[1]])]),
        ("test", [clip(5, source=5, parents=[KEYS[4]])]),
    ]


def build(dataset: Path, plan: Sequence[tuple[str, Sequence[Clip]]], *, number: int = 1, name: str = "walks") -> Path:
    """Commit a dataset of these shards; equal plans give equal names, whatever is in them."""
    (dataset / "shards").mkdir(parents=True, exist_ok=True)
    shards, rows = [], []
    for index, (split, clips) in enumerate(plan):
        path = f"shards/{split}-0123456789abcdef-{number:02d}{index:03d}.tar"
        info = write_shard(dataset / path, [(one.key, clip_to_members(one)) for one in clips], durable=False)
        shards.append(ShardEntry(path=path, bytes=info.bytes, sha256=info.sha256, split=split, samples=info.samples))
        rows += [
            catalog_row(one, split=split, shard=path, entry=entry)
            for one, entry in zip(clips, info.entries, strict=True)
        ]
    commit(
        dataset,
        Manifest(
            number=number,
            parent=number - 1 or None,
            name=name,
            samples=len(rows),
            shards=tuple(sorted(shards, key=lambda shard: shard.path)),
            catalog=write_catalog(dataset, rows),
        ),
    )
    return dataset


def with_catalog(dataset: Path, change: Callable[[pa.Table], pa.Table]) -> Path:
    """As somebody hostile hands it over: the catalog is another one, and the manifest says so."""
    now = latest(dataset)
    path = dataset / now.catalog.path
    pq.write_table(change(pq.read_table(path)), path)
    entry = {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return with_manifest(dataset, lambda values: values["catalog"].update(entry))


def with_manifest(dataset: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """With other values in the latest manifest."""
    path = dataset / manifest_name(latest(dataset).number)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    return dataset
