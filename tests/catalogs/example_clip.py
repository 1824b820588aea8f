"""A small clip that has every annotation, and a dataset of such clips."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import (
    Actions,
    Annotation,
    Camera,
    Caption,
    Clip,
    Depth,
    Event,
    Hands,
    Provenance,
    Revisits,
    Subjects,
    clip_key,
)
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.shards import write_shard

FRAMES, HEIGHT, WIDTH = 12, 32, 48
FPS = Fraction(30000, 1001)


def example_clip(number: int = 0, video: Path | bytes | None = None) -> Clip:
    """Every member filled; floats are those that survive storing."""
    rng = np.random.default_rng(number)
    c2w = np.tile(np.eye(4), (FRAMES, 1, 1))
    c2w[:, 2, 3] = np.arange(FRAMES) * 0.5
    c2w[5] = np.nan
    camera = Camera.known(c2w, np.array([40.0, 40.0, 24.0, 16.0]), "metric", up=np.array([0.0, -1.0, 0.0]))
    camera.sigma_position = rng.random(FRAMES).astype(np.float32)
    z = rng.uniform(1, 20, (2, 8, 12)).astype(np.float32)
    valid = rng.random((2, 8, 12)) > 0.2
    box = rng.uniform(0, 30, (2, FRAMES, 4)).astype(np.float32)
    box[0, 3:6] = np.nan
    return Clip(
        key=clip_key(f"source {number}", 0, 0, 11),
        fps=FPS,
        frames=FRAMES,
        height=HEIGHT,
        width=WIDTH,
        pts_s=np.arange(FRAMES) / float(FPS) + 7.25,
        provenance=Provenance(
            "folder",
            f"walks/{number}.mp4",
            "ab" * 32,
            "CC-BY-4.0",
            "2024-05-01T00:00:00Z",
            0,
            (7.25, 7.65),
            (),
            ("cut",),
        ),
        video=video,
        camera=camera,
        actions=Actions(
            move=np.array([1] * (FRAMES - 1) + [9], np.uint8),
            view=np.array([0] * (FRAMES - 1) + [9], np.uint8),
            margins=rng.random((FRAMES, 2)).astype(np.float32),
            motion=rng.random((FRAMES, 4)),
        ),
        subjects=Subjects(
            id=np.array([4, 7], np.int32),
            label=["person", "hündchen"],
            box=box,
            visibility=rng.random((2, FRAMES)).astype(np.float32),
            source=["rendered", "human"],
            position=rng.random((2, FRAMES, 3)),
            in_frame=rng.random((2, FRAMES)).astype(np.float32),
        ),
        depth=Depth(
            np.array([0, 8], np.int32), np.where(valid, z, np.nan), valid, np.ones(2, np.float32), "metric", 0.02
        ),
        hands=Hands(["left", "right"], rng.random((FRAMES, 2, 3)).astype(np.float32), np.ones((FRAMES, 2), np.float32)),
        events=[Event(4, 3, 6, "left_view", "left_view", "left", "left"), Event(7, None, 2, None, "occluded")],
        revisits=Revisits(np.array([[0, 10]], np.int32), np.array([0.75], np.float32), 0.25),
        quality={"sharpness": round(0.1 * number + 0.05, 6), "brightness": 0.5},
        captions=[Caption("a walk through a « hall »", "human")],
        annotations={
            "pose": Annotation("ok", "sfm", "1", confidence=0.9, notes={"registered": 11}),
            "quality": Annotation("ok", "pixels", "1"),
            "events": Annotation("ok", "boxes", "1"),
            "depth": Annotation("absent", "sweep", "1", "no parallax", 0.0),
        },
    )


def example_video(path: Path, number: int = 0) -> Path:
    """The video that goes with it: a moving gradient."""
    x = np.arange(WIDTH)
    pictures = [
        np.broadcast_to(((x * 3 + 5 * i + 40 * number) % 200 + 20).astype(np.uint8)[None, :, None], (HEIGHT, WIDTH, 3))
        for i in range(FRAMES)
    ]
    encode_frames(path, pictures, FPS)
    return path


def example_dataset(folder: Path, clips: int = 5, per_shard: int = 2) -> Path:
    """A committed dataset: training shards, and the last clip as test split."""
    dataset = folder / "dataset"
    (dataset / "shards").mkdir(parents=True)
    made = [example_clip(i, example_video(folder / f"{i}.mp4", i)) for i in range(clips)]
    plan = [("train", made[i : i + per_shard]) for i in range(0, clips - 1, per_shard)]
    plan = [(split, [clip for clip in part if clip is not made[-1]]) for split, part in plan] + [("test", made[-1:])]
    shards, rows = [], []
    for number, (split, part) in enumerate(plan):
        name = f"{split}-0123456789abcdef-{number:05d}.tar"
        info = write_shard(dataset / "shards" / name, [(clip.key, clip_to_members(clip)) for clip in part])
        path = f"shards/{name}"
        shards.append(ShardEntry(path=path, bytes=info.bytes, sha256=info.sha256, split=split, samples=info.samples))
        rows += [
            catalog_row(clip, split=split, shard=path, entry=entry)
            for clip, entry in zip(part, info.entries, strict=True)
        ]
    catalog = write_catalog(dataset, rows)
    commit(dataset, Manifest(number=1, name="walks", samples=clips, shards=tuple(shards), catalog=catalog))
    return dataset
