"""Clips of the textured room with everything about them known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.annotators.textured_room import look
from worldloom.catalogs.clip import Camera, Clip, Depth, Provenance
from worldloom.catalogs.video import encode_frames

WIDTH, HEIGHT = 240, 136
K = np.array([210.0, 210.0, 120.0, 68.0])


def pose(x: float, y: float, z: float, yaw_deg: float = 0.0) -> np.ndarray:
    c2w = np.eye(4)
    c2w[:3, :3] = Rotation.from_euler("y", yaw_deg, degrees=True).as_matrix()
    c2w[:3, 3] = (x, y, z)
    return c2w


def room_clip(path: list[np.ndarray], folder: Path, fps: int = 16) -> tuple[Clip, Depth]:
    """A clip along a path with its true camera, and the true depth of every eighth frame."""
    seen = [look(c2w, K, WIDTH, HEIGHT) for c2w in path]
    return clip_of([rgb for rgb, _ in seen], folder, fps, Camera.known(np.stack(path), K)), Depth(
        frames=np.arange(0, len(path), 8, dtype=np.int32),
        z=np.stack([z for _, z in seen[::8]]).astype(np.float32),
        valid=np.ones((len(seen[::8]), HEIGHT, WIDTH), bool),
        confidence=np.ones(len(seen[::8]), np.float32),
        scale="metric",
        stated_error=0.0,
    )


def clip_of(pictures: list[np.ndarray], folder: Path, fps: int = 16, camera: Camera | None = None) -> Clip:
    video = folder / "clip.mp4"
    height, width = pictures[0].shape[:2]
    encode_frames(video, iter(pictures), Fraction(fps), crf=6)
    return Clip(
        key="a" * 26,
        fps=Fraction(fps),
        frames=len(pictures),
        height=height,
        width=width,
        pts_s=np.arange(len(pictures)) / fps,
        provenance=Provenance("folder", "clip.mp4", "0" * 64),
        video=video,
        camera=camera,
    )
