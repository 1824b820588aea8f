"""A room with a pillar, drawn by ray casting in NumPy: the true depth of every pixel is known exactly."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

WALLS = (np.array([-4.0, -1.5, -3.0]), np.array([4.0, 1.5, 7.0]))
PILLAR = (np.array([0.2, -1.5, 3.0]), np.array([0.9, 1.5, 3.6]))
TEXELS_PER_M = 40


@cache
def texture(side: int, plain: bool) -> np.ndarray:
    """Non-repeating noise of several scales, (480, 480, 3) uint8."""
    rng = np.random.default_rng(side)
    total = np.zeros((480, 480, 3), np.float32)
    for cells, weight in ((6, 0.8), (30, 0.7), (120, 0.6), (240, 0.5)):
        layer = rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        total += weight * cv2.resize(layer, (480, 480), interpolation=cv2.INTER_CUBIC)
    level = np.array(rng.uniform(90, 160, 3), np.float32)
    return np.clip(level + (0 if plain else 60) * total, 0, 255).astype(np.uint8)


def look(c2w: np.ndarray, k: np.ndarray, width: int, height: int, plain: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """One picture (h, w, 3) uint8 and its z-depth (h, w), from inside the room."""
    fine_rgb, _ = _cast(c2w, k * 2, 2 * width, 2 * height, plain)
    rgb = cv2.resize(fine_rgb, (width, height), interpolation=cv2.INTER_AREA)
    return rgb, _cast(c2w, k, width, height, plain)[1]


def _cast(c2w: np.ndarray, k: np.ndarray, width: int, height: int, plain: bool) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(x - k[2]) / k[0], (y - k[3]) / k[1], np.ones_like(x)], -1) @ c2w[:3, :3].T
    origin = c2w[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        wall = np.maximum((WALLS[0] - origin) / rays, (WALLS[1] - origin) / rays)
        near = np.minimum((PILLAR[0] - origin) / rays, (PILLAR[1] - origin) / rays)
        far = np.maximum((PILLAR[0] - origin) / rays, (PILLAR[1] - origin) / rays)
    z_wall, side_wall = wall.min(-1), wall.argmin(-1)
    z_pillar, side_pillar = near.max(-1), near.argmax(-1)
    hit = (z_pillar < far.min(-1)) & (z_pillar > 0)
    z = np.where(hit, z_pillar, z_wall)
    axis = np.where(hit, side_pillar, side_wall)
    points = origin + rays * z[..., None]
    side = 2 * axis + (np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0) + 6 * hit
    rgb = np.zeros((height, width, 3), np.uint8)
    for one in np.unique(side):
        on = side == one
        u, v = np.delete(points[on], (one % 6) // 2, axis=1).T
        rgb[on] = texture(int(one), plain)[_texel(v), _texel(u)]
    return rgb, z


def _texel(metres: np.ndarray) -> np.ndarray:
    return np.clip(((metres + 5.0) * TEXELS_PER_M).astype(int), 0, 479)
