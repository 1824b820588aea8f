"""Datasets made clip by clip, hostile ones too, and runs over small videos, for tests of the pages about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.catalogs.example_clip import FRAMES, example_clip, example_video
from tests.pipeline.conftest import write_video
from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Annotation, Caption, Clip
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.shards import write_shard
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job

HOSTILE = "</script><script>alert('x')</script>\"><img src=x onerror=alert(1)>\u2028\\u0027__proto__"


def clip_with(number: int, folder: Path, **changes: Any) -> Clip:
    """Example clip of this number with its video, some members replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = example_clip(number, example_video(folder / f"{number}.mp4", number))
    return replace(clip, **changes)


def hostile_clip(number: int, folder: Path) -> Clip:
    """A clip every text of which tries to break out of a page."""
    clip = clip_with(number, folder)
    clip.provenance = replace(clip.provenance, uri=f"walks/{HOSTILE}", licence=HOSTILE, kind=HOSTILE)
    clip.captions = [Caption(HOSTILE, HOSTILE)]
    clip.attributes = {"title": HOSTILE, "views": 3.0}
    clip.annotations["depth"] = Annotation("absent", HOSTILE, HOSTILE, HOSTILE, 0.0, {HOSTILE: HOSTILE})
    clip.depth = None
    return clip


def dataset_of(folder: Path, clips: Sequence[Clip], *, number: int = 1, name: str = "made") -> Path:
    """A committed dataset of these clips, every third one for testing."""
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    shards, rows = [], []
    for split in ("train", "test"):
        part = [clip for place, clip in enumerate(clips) if (place % 3 == 2) == (split == "test")]
        if not part:
            continue
        path = f"shards/{split}-0123456789abcdef-{number:05d}.tar"
        info = write_shard(folder / path, [(clip.key, clip_to_members(clip)) for clip in part])
        shards.append(ShardEntry(path=path, bytes=info.bytes, sha256=info.sha256, split=split, samples=info.samples))
        rows += [
            catalog_row(clip, split=split, shard=path, entry=one) for clip, one in zip(part, info.entries, strict=True)
        ]
    manifest = Manifest(
        number=number, parent=number - 1 or None, name=name, samples=len(rows), shards=tuple(shards),
        catalog=write_catalog(folder, rows),
    )  # fmt: skip
    commit(folder, manifest)
    return folder


def relabelled(clip: Clip, label: int) -> Clip:
    """The same clip with another label on its first half."""
    assert clip.actions is not None
    move = clip.actions.move.copy()
    move[: FRAMES // 2] = label
    return replace(clip, actions=replace(clip.actions, move=move))


def small_run(folder: Path, **values: Any) -> RunSummary:
    """A finished run over small videos: one that is dropped, one whose label fails, two that are fine."""
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    for seed, frames in enumerate((20, 21, 24)):
        write_video(videos / f"{seed}.mp4", frames, seed)
    (videos / "notes <b>.txt").write_text("not a video")
    job = Job.model_validate(
        {
            "name": "small",
            "out": str(folder / "out"),
            "sources": [{"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}],
            "annotate": [
                "tests.pipeline.fakes:Brightness",
                "tests.pipeline.fakes:Still",
                {"tests.pipeline.fakes:Trouble": {"raises": 24}},
            ],
            "compose": {"where": {"too_short": "frames > 20"}, "derive": [{"reverse": "loop"}]},
            "execution": {"failure_budget": 1.0},
            **values,
        }
    )
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine)


def labels(values: Sequence[int]) -> np.ndarray:
    """Labels as arrays have them."""
    return np.array(values, np.uint8)
