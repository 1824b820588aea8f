"""Small videos, jobs over them, and one Ray for all tests that need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from worldloom.catalogs.video import encode_frames
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.job import load_job
from worldloom.pipeline.settings import Execution, Job

LENGTHS = {"a.mp4": 20, "b.mp4": 21, "c.mp4": 24}
"""Frames, at 10 per second, of the videos in `videos`."""


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Coarse noise that survives H.264."""
    small = np.random.default_rng(seed).integers(30, 220, (height // 8, width // 8, 3), np.uint8)
    return np.ascontiguousarray(small.repeat(8, 0).repeat(8, 1))


def write_video(
    path: Path, frames: int, seed: int, *, fps: Fraction = Fraction(10), size: tuple[int, int] = (48, 64)
) -> Path:
    """A picture that moves two pixels to the side per frame."""
    still = picture(seed, *size)
    encode_frames(path, (np.roll(still, 2 * t, axis=1) for t in range(frames)), fps)
    return path


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three small videos and a text file."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, (name, frames) in enumerate(LENGTHS.items()):
        write_video(folder / name, frames, seed)
    (folder / "notes.txt").write_text("not a video")
    return folder


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """A job from YAML values, written into the test's own folder and loaded from there."""

    def make(overrides: tuple[str, ...] = (), **values: Any) -> Job:
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump({"name": "test", "out": "out", **values}), encoding="utf-8")
        return load_job(path, overrides)

    return make


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[Engine]:
    """Ray with room for two workers, started once; runs use it as they find it."""
    with Engine(Execution(workers=2)) as engine:
        engine.start()
        yield engine
