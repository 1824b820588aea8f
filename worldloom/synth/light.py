"""Light, computed once per world: a key light with shadows, lamps, the sky, and two bounces between surfaces.

Light is measured so that a white surface facing the key light at its reference strength has radiance 1. Pictures hold
sqrt(radiance) after a soft shoulder, which stands in for the display's gamma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from worldloom.synth.raycast import open3d

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Key:
    """The sun: the light whose shadows are drawn sharply, also those of the people.

    Attributes:
        towards: direction to it, of any length.
        colour: irradiance on a surface that faces it.
        radius: of its disc as a tangent: softness of the shadows.
    """

    towards: Vector
    colour: Vector
    radius: float = 0.012

    @property
    def direction(self) -> np.ndarray:
        """(3,) float32 unit vector to the sun."""
        light = np.asarray(self.towards, np.float32)
        return np.asarray(light / np.linalg.norm(light))


@dataclass(frozen=True)
class Lamp:
    """A further source: a bulb, or a piece of a bright window where `facing` is given.

    Attributes:
        at: position.
        colour: irradiance at 1 m.
        facing: unit vector it shines along (cosine emitter); None for all directions.
        radius: softness, metres.
        clear: distance around it within which nothing blocks it, metres.
    """

    at: Vector
    colour: Vector
    facing: Vector | None = None
    radius: float = 0.1
    clear: float = 0.0


@dataclass(frozen=True)
class Light:
    """All light of a place.

    Attributes:
        key: the main light.
        lamps: further lights.
        sky: from (N, 3) directions to (N, 3) radiance for rays that leave the world; None where no light comes in
            that way (rooms: their windows are lamps).
        exposure: factor before the shoulder.
        ambient: radiance added everywhere, for what two bounces miss.
    """

    key: Key
    lamps: tuple[Lamp, ...] = ()
    sky: Callable[[np.ndarray], np.ndarray] | None = None
    exposure: float = 1.0
    ambient: Vector = (0.0, 0.0, 0.0)


def display(radiance: np.ndarray) -> np.ndarray:
    """From linear radiance (an array, not negative) to the picture's values in [0, 1].

    A shoulder keeps the highlights, a square root stands in for the gamma.
    """
    below = radiance + np.float32(1)
    shown = radiance * np.float32(1 / 9)
    shown += np.float32(1)
    shown *= radiance
    shown /= below
    np.minimum(shown, 1, out=shown)
    return np.sqrt(shown, out=shown)


def cosine_directions(count: int) -> np.ndarray:
    """(count, 3) directions over the upper half space, denser around z by the cosine (a Fibonacci spiral)."""
    k = np.arange(count) + 0.5
    radius, angle = np.sqrt(k / count), k * 2.399963
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - k / count)], -1).astype(np.float32)


def frames_of(normals: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations whose columns are two tangents and the normal."""
    guide = np.where(np.abs(normals[:, 2:]) < 0.9, np.array([[0, 0, 1]], np.float32), np.array([[1, 0, 0]], np.float32))
    first = np.cross(guide, normals)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    return np.stack([first, np.cross(normals, first), normals], -1)


class Shadows:
    """Asks a scene which lights a point sees."""

    def __init__(self, scene: Any, rng: np.random.Generator, threads: int = 1) -> None:
        self.scene, self.rng, self.threads = scene, rng, threads

    def blocked(self, points: np.ndarray, rays: np.ndarray, until: float = np.inf) -> np.ndarray:
        """(N,) bool: something lies on the way from a point along its ray, up to `until` ray lengths."""
        tensor = open3d().core.Tensor
        result = np.empty(len(points), bool)
        for k in range(0, len(points), 1 << 19):
            part = slice(k, k + (1 << 19))
            pairs = tensor(np.concatenate([points[part], rays[part]], 1).astype(np.float32))
            result[part] = self.scene.test_occlusions(pairs, tfar=until, nthreads=self.threads).numpy()
        return result

    def key_light(self, key: Key, points: np.ndarray, normals: np.ndarray, samples: int) -> np.ndarray:
        """(N,) irradiance from the key light relative to its colour, with soft shadows."""
        total = np.maximum(normals @ key.direction, 0).astype(np.float32)
        lit = np.flatnonzero(total > 1e-5)
        seen = np.zeros(len(lit), np.float32)
        for _ in range(samples):
            jitter = self.rng.standard_normal((len(lit), 3), np.float32) * np.float32(0.7 * key.radius)
            seen += ~self.blocked(points[lit], key.direction + jitter)
        total[lit] *= seen / samples
        return total

    def lamp_light(self, lamp: Lamp, points: np.ndarray, normals: np.ndarray, samples: int) -> np.ndarray:
        """(N, 3) irradiance from one lamp."""
        ways = np.asarray(lamp.at, np.float32) - points
        square = np.maximum((ways**2).sum(1), 1e-3)
        towards = ways / np.sqrt(square)[:, None]
        amount = np.maximum((towards * normals).sum(1), 0) / square
        if lamp.facing is not None:
            amount = amount * np.maximum(-towards @ np.asarray(lamp.facing, np.float32), 0)
        lit = np.flatnonzero(amount > 1e-3)
        seen = np.zeros(len(lit), np.float32)
        for _ in range(samples):
            jitter = self.rng.standard_normal((len(lit), 3), np.float32) * np.float32(0.7 * lamp.radius)
            away = ways[lit] + jitter
            clear = lamp.clear + 0.01  # rays start this far from the bulb: its shade does not block it
            start = points[lit] + away * (1 - clear / np.maximum(np.sqrt(square[lit]), clear))[:, None]
            seen += ~self.blocked(start, points[lit] - start, 1 - 1e-3)
        amount[lit] *= seen / samples
        return np.asarray(amount[:, None] * np.asarray(lamp.colour, np.float32), np.float32)


def smooth_chart(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Blur (h * w, c) values over their chart a little, edges replicated: takes the grain out of gathered light."""
    if min(shape) < 3:
        return values
    picture = values.reshape(*shape, -1)
    return cv2.GaussianBlur(picture, (5, 5), 1.0, borderType=cv2.BORDER_REPLICATE).reshape(values.shape)
