"""Small datasets of moving stripes, written straight into shards."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Actions, Annotation, Camera, Clip, Provenance, Revisits, clip_key
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit, latest
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.shards import write_shard

FPS = Fraction(16)
FOCAL = 40.0


def walk(
    number: int,
    frames: int = 21,
    height: int = 32,
    width: int = 48,
    actions: bool = True,
    camera: bool = True,
    pairs: Sequence[tuple[int, int]] | None = None,
    video: Path | bytes | None = None,
) -> Clip:
    """Clip `number`; entry i of its actions is (i % 9, (i + 1) % 9), its camera goes 0.1 ahead per frame."""
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    c2w[:, 2, 3] = 0.1 * np.arange(frames)
    entries = np.arange(frames)
    move, view = (entries % 9).astype(np.uint8), ((entries + 1) % 9).astype(np.uint8)
    move[-1] = view[-1] = 9
    return Clip(
        key=clip_key(f"walk {number}", 0, 0, frames - 1),
        fps=FPS,
        frames=frames,
        height=height,
        width=width,
        pts_s=entries / float(FPS),
        provenance=Provenance("folder", f"{number}.mp4", "ab" * 32),
        video=video,
        camera=Camera.known(c2w, np.array([FOCAL, FOCAL, width / 2, height / 2])) if camera else None,
        actions=Actions(move, view, np.zeros((frames, 2), np.float32), np.zeros((frames, 4))) if actions else None,
        revisits=None
        if pairs is None
        else Revisits(np.array(pairs, np.int32).reshape(-1, 2), np.full(len(pairs), 0.75, np.float32), 0.5),
        annotations={"pose": Annotation("ok", "known", "1")},
    )


def stripes(number: int, frames: int, height: int, width: int) -> list[np.ndarray]:
    """Colour stripes that drift; frame i is as bright on the left as its number says."""
    x, y = np.arange(width), np.arange(height)
    pictures = []
    for i in range(frames):
        phase = 0.25 * x[None, :] + 0.1 * y[:, None] + 0.4 * i + number
        pictures.append(
            np.stack([128 + 90 * np.sin(phase + shift) for shift in (0.0, 1.0, 2.0)], axis=-1).astype(np.uint8)
        )
    return pictures


def write_dataset(folder: Path, clips: Sequence[Clip], splits: Sequence[str] | None = None, number: int = 1) -> Path:
    """A committed dataset of clips without their videos, which are made here; one shard per split."""
    dataset = folder / "dataset"
    (dataset / "shards").mkdir(parents=True, exist_ok=True)
    splits = list(splits or ["train"] * len(clips))
    shards: list[ShardEntry] = []
    rows: list[dict[str, Any]] = []
    for split in sorted(set(splits)):
        part = [clip for clip, its in zip(clips, splits, strict=True) if its == split]
        for i, clip in enumerate(part):
            path = folder / f"{clip.key}.mp4"
            encode_frames(path, stripes(i, clip.frames, clip.height, clip.width), FPS)
            clip.video = path
        name = f"shards/{split}-0123456789abcdef-{number:05d}.tar"
        info = write_shard(dataset / name, [(clip.key, clip_to_members(clip)) for clip in part])
        shards.append(ShardEntry(path=name, bytes=info.bytes, sha256=info.sha256, split=split, samples=info.samples))
        rows += [
            catalog_row(clip, split=split, shard=name, entry=entry)
            for clip, entry in zip(part, info.entries, strict=True)
        ]
    catalog = write_catalog(dataset, rows)
    commit(dataset, Manifest(number=number, name="walks", samples=len(clips), shards=tuple(shards), catalog=catalog))
    return dataset


def touch_manifest(dataset: Path) -> None:
    """Another manifest with the same files, as an append or a takedown would leave."""
    now = latest(dataset)
    commit(dataset, now.model_copy(update={"number": now.number + 1, "parent": now.number, "operation": "append"}))
