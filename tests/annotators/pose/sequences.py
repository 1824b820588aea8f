"""Short clips of the textured room whose camera walks, turns or stands, and clips that nothing can be said about."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from tests.annotators.moving_camera import pose
from tests.annotators.textured_room import look

WIDTH, HEIGHT = 320, 180
K = np.array([280.0, 280.0, 160.0, 90.0])


@cache
def pictures(kind: str) -> tuple[list[np.ndarray], np.ndarray]:
    """RGB frames and true c2w (T, 4, 4)."""
    path = {
        "walk": [pose(-1.2 + 0.05 * t, 0.1 * np.sin(t / 6), 0.06 * t, 0.9 * t - 12) for t in range(30)],
        "turn": [pose(0.2, 0.1, 0.3, 1.5 * t - 20) for t in range(24)],
        "stand": [pose(0.2, 0.1, 0.3, 5.0)],
    }[kind]
    frames = [look(c2w, K, WIDTH, HEIGHT)[0] for c2w in path]
    if kind == "stand":
        path, frames = path * 20, [noisy(frames[0], t) for t in range(20)]
    return frames, np.stack(path)


def noisy(rgb: np.ndarray, seed: int, sigma: float = 2.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def with_person(frames: list[np.ndarray]) -> list[np.ndarray]:
    """A textured block a seventh of the picture wide crosses it."""
    rng = np.random.default_rng(7)
    coat = cv2.resize(rng.integers(0, 255, (30, 16, 3)).astype(np.uint8), (46, 110), interpolation=cv2.INTER_CUBIC)
    out = []
    for t, rgb in enumerate(frames):
        rgb, x = rgb.copy(), 20 + 9 * t
        part = coat[:, : max(0, min(46, WIDTH - x))]
        rgb[60:170, x : x + part.shape[1]] = part
        out.append(rgb)
    return out


def gray(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in frames]
