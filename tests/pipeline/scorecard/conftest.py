"""A clip whose truth is known without rendering: a camera that steps aside along a wall and comes back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from worldloom.catalogs.actions import true_actions
from worldloom.catalogs.clip import Annotation, Camera, Clip, Depth, Event, Provenance, Revisits, Subjects

FPS, FRAMES, WIDTH, HEIGHT = 16, 48, 160, 96
K = np.array([140.0, 140.0, 80.0, 48.0])
WALL_M = 3.0


def there_and_back(metres: float) -> np.ndarray:
    """A camera that looks at a wall, steps aside along it and comes back."""
    c2w = np.tile(np.eye(4), (FRAMES, 1, 1))
    half = FRAMES // 2
    side = np.concatenate([np.linspace(0, metres, half), np.linspace(metres, 0, FRAMES - half)])
    c2w[:, 0, 3] = side
    c2w[:, 1, 3] = 0.2 * np.sin(np.linspace(0, np.pi, FRAMES))
    return c2w


def wall_depth(factor: float = 1.0) -> Depth:
    frames = np.arange(0, FRAMES, 4, dtype=np.int32)
    z = np.full((len(frames), 24, 40), WALL_M * factor, np.float32)
    return Depth(frames, z, np.ones(z.shape, bool), np.ones(len(frames), np.float32), "metric", 0.01)


def one_walker() -> Subjects:
    box = np.full((1, FRAMES, 4), np.nan, np.float32)
    box[0, :20] = (60, 20, 90, 80)
    box[0, 36:] = (0, 20, 30, 80)
    visibility = np.isfinite(box[..., 0]).astype(np.float32)
    return Subjects(np.array([4], np.int32), ["walker"], box, visibility, ["rendered"])


@pytest.fixture
def truth() -> Clip:
    camera = Camera.known(there_and_back(4.0), K, up=np.array([0.0, -1.0, 0.0]))
    motion = np.zeros((FRAMES, 4))
    motion[:, 0] = np.where(np.arange(FRAMES) < FRAMES // 2, 2.6, -2.6)
    clip = Clip(
        key="a" * 26,
        fps=Fraction(FPS),
        frames=FRAMES,
        height=HEIGHT,
        width=WIDTH,
        pts_s=np.arange(FRAMES) / FPS,
        provenance=Provenance("worlds", "room", "0" * 64),
        camera=camera,
        actions=true_actions(motion, FPS),
        subjects=one_walker(),
        depth=wall_depth(),
        events=[Event(4, 20, 36, "unexplained", "left_view", None, "left")],
    )
    clip.revisits = Revisits(np.array([[0, 44], [4, 40]], np.int32), np.array([0.9, 0.8], np.float32), 0.2)
    names = ("pose", "actions", "subjects", "events", "depth", "revisits")
    clip.annotations = {name: Annotation("ok", "rendered", "1") for name in names}
    return clip
