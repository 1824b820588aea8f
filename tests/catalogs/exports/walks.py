"""Clips to export: every frame of the video shows its number, the camera walks a curve."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.catalogs.numbered_video import numbered
from worldloom.catalogs.clip import Actions, Camera, Clip, Hands, Provenance, clip_key
from worldloom.catalogs.encode import encode_frames

WIDTH, HEIGHT = 64, 48


@functools.cache
def video(frames: int, fps: Fraction = Fraction(10), size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.mp4"
        encode_frames(path, [numbered(i, size[1], size[0]) for i in range(frames)], fps, crf=10)
        return path.read_bytes()


def walk(
    number: int = 0,
    frames: int = 12,
    *,
    fps: Fraction = Fraction(10),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    missing: tuple[int, ...] = (),
    licence: str = "CC-BY-4.0",
    hands: bool = False,
    scale: str = "metric",
) -> Clip:
    """A clip of `frames` numbered pictures; no pose at `missing`."""
    t = np.arange(frames)
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    turn = Rotation.from_euler("yx", np.c_[0.03 * t * (1 + number), 0.1 * np.sin(t / 5)])
    c2w[:, :3, :3] = turn.as_matrix()
    c2w[:, :3, 3] = np.c_[np.sin(t / 9) + number, 0.02 * t, 0.3 * t + 1]
    c2w[list(missing)] = np.nan
    width, height = size
    camera = Camera.known(
        c2w, np.array([70.0, 71.0, width / 2 + 0.5, height / 2 - 0.25]), scale, up=np.array([0.0, -1, 0])
    )
    rng = np.random.default_rng(number)
    joints = rng.normal(size=(frames, 3, 3)).astype(np.float32)
    return Clip(
        key=clip_key(f"walk {number}", 0, 0, frames),
        fps=fps,
        frames=frames,
        height=height,
        width=width,
        pts_s=t / float(fps) + 5.0,
        provenance=Provenance("folder", f"walks/{number}.mp4", f"{number:064d}", licence, "2024-05-01T00:00:00Z"),
        video=video(frames, fps, size),
        camera=camera,
        actions=Actions(
            np.full(frames, 1, np.uint8),
            np.r_[np.full(frames - 1, 3), 9].astype(np.uint8),
            np.zeros((frames, 2), np.float32),
            np.zeros((frames, 4)),
        ),
        hands=Hands(["leftHand", "leftThumbTip", "rightHand"], joints, np.ones((frames, 3), np.float32))
        if hands
        else None,
    )


def two_units(clip: Clip, at: int) -> Clip:
    """The same clip with another unit of length from frame `at` on."""
    assert clip.camera is not None
    groups = (np.arange(clip.frames) >= at).astype(np.int32)
    return dataclasses.replace(clip, camera=dataclasses.replace(clip.camera, scale_group=groups))
