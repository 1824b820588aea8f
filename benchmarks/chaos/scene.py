"""What disturbed jobs work on: small videos of unique content, some of them poisoned, and the job file."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.chaos import annotators
from worldloom.catalogs.encode import encode_frames

HEIGHT, WIDTH = 48, 64


def write_videos(folder: Path, count: int) -> None:
    """Videos of 20 to 50 frames; every other one has to be encoded anew, the fourth has two shots."""
    folder.mkdir(parents=True)
    for number in range(count):
        frames = 20 + number * 7 % 31
        pictures = [*moving(number, frames), *(moving(1000 + number, 25) if number == 3 else ())]
        encode_frames(folder / f"{number:03d}.mp4", pictures, Fraction(10 if number % 2 else 15), preset="ultrafast")


def write_clips(folder: Path, count: int, poisoned: int, seed: int) -> dict[str, int]:
    """Clips of 16 frames, of which some carry poison.

    Args:
        folder: made.
        count: of all files, the poisoned ones included.
        poisoned: how many, spread over the kinds.
        seed: of which ones.

    Returns:
        How many there are of each kind of poison.
    """
    folder.mkdir(parents=True)
    chosen = np.random.default_rng(seed).choice(count, poisoned, replace=False)
    poison = {int(number): POISONS[i % len(POISONS)] for i, number in enumerate(chosen)}
    for number in range(count):
        kind = poison.get(number, "")
        path = folder / f"{number:05d}.mp4"
        if kind == "text":
            path.write_text(f"{number} is no video\n")
            continue
        encode_frames(path, moving(number, 16 + TRAPS.get(kind, 0)), Fraction(16), preset="ultrafast")
        if kind == "truncated":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return {kind: sum(found == kind for found in poison.values()) for kind in POISONS}


TRAPS = {"raises": 1, "crashes": 2, "exits": 3, "hangs": 4, "eats": 5}
"""Frames beyond 16 of the clips on which `Trap` misbehaves."""

POISONS = (*TRAPS, "text", "truncated")


def moving(seed: int, frames: int) -> Iterator[np.ndarray]:
    """Coarse noise that survives H.264, moving two pixels to the side per frame."""
    blocks = np.random.default_rng(seed).integers(30, 220, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    still = np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1))
    return (np.roll(still, 2 * t, axis=1) for t in range(frames))


def write_job(path: Path, videos: Path, out: Path, **changes: Any) -> Path:
    """The job file: ingest, quality, `Toil`, reversal of half of the clips, several shards in two splits."""
    values = {
        "name": "disturbed",
        "out": str(out),
        "sources": [{"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}],
        "ingest": {"fps": 10, "min_seconds": 1},
        "annotate": ["quality", {f"{annotators.__name__}:Toil": {"cpu_s": 0.15}}],
        "compose": {"derive": [{"reverse": "loop", "share": 0.5}], "split": {"test": 0.3}},
        "pack": {"target_mb": 0.15},
        "execution": {"workers": 2},
        **changes,
    }
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path
