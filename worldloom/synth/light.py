"""Light, computed once per world: a key light with shadows, lamps, the sky, and two bounces between surfaces.

Light is measured so that a white surface facing the key light at its reference strength has radiance 1. Pictures hold
sqrt(radiance) after a soft shoulder, which stands in for the display's gamma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.synth.raycast import open3d

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Key:
    """The light whose shadows are drawn sharply, also those of the subjects.

    Attributes:
        towards: direction to the sun, or the lamp's position where `near`.
        colour: irradiance on a surface that faces it (at 1 m for a lamp).
        radius: of the sun's disc as a tangent, or of the lamp in metres: softness of the shadows.
        near: a lamp in the room instead of the sun.
        clear: distance around a lamp within which nothing blocks it (its shade), metres.
    """

    towards: Vector
    colour: Vector
    radius: float = 0.012
    near: bool = False
    clear: float = 0.0

    def rays(self, points: np.ndarray, jitter: np.ndarray | None = None) -> np.ndarray:
        """(N, 3) vectors from points to the light: to its centre, or shifted by (N, 3) `jitter` within its radius."""
        light = np.asarray(self.towards, np.float32)
        if self.near:
            goal = light if jitter is None else light + jitter * np.float32(self.radius)
            return np.asarray(goal - points)
        direction = light / np.linalg.norm(light)
        if jitter is None:
            return np.broadcast_to(direction, points.shape)
        return np.asarray(direction + jitter * np.float32(self.radius))

    def strength(self, rays: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(N,) irradiance relative to `colour`, without shadow: cosine, and distance for a lamp."""
        square = np.maximum((rays**2).sum(-1), 1e-4)
        cosine = np.maximum((rays * normals).sum(-1) / np.sqrt(square), 0)
        return np.asarray(cosine / square if self.near else cosine)


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
    """From linear radiance to the picture's values in [0, 1]: a shoulder that keeps highlights, then a square root."""
    x = np.maximum(radiance, 0)
    return np.sqrt(np.minimum(x * (1 + x * np.float32(1 / 9)) / (1 + x), 1.0))


def cosine_directions(count: int) -> np.ndarray:
    """(count, 3) directions over the upper half space, denser around z by the cosine (a Fibonacci spiral)."""
    k = np.arange(count) + 0.5
    radius, angle = np.sqrt(k / count), k * 2.399963
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - k / count)], -1).astype(np.float32)


def frames_of(normals: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations whose columns are two tangents and the normal."""
    guide = np.where(np.abs(normals[:, 2:]) < 0.9, np.float32([[0, 0, 1]]), np.float32([[1, 0, 0]]))
    first = np.cross(guide, normals)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    return np.stack([first, np.cross(normals, first), normals], -1)


class Shadows:
    """Asks a scene which lights a point sees."""

    def __init__(self, scene: object, rng: np.random.Generator, threads: int = 1) -> None:
        self.scene, self.rng, self.threads = scene, rng, threads

    def blocked(self, points: np.ndarray, rays: np.ndarray, until: np.ndarray | float = np.inf) -> np.ndarray:
        """(N,) bool: something lies on the way from a point along its ray, up to `until` ray lengths."""
        tensor = open3d().core.Tensor
        pairs = np.concatenate([points, rays], 1).astype(np.float32)
        far = np.broadcast_to(np.asarray(until, np.float32), len(pairs))
        result = np.empty(len(pairs), bool)
        step = 1 << 20
        for k in range(0, len(pairs), step):
            part = slice(k, k + step)
            if np.isinf(far[part]).all():
                hit = self.scene.test_occlusions(tensor(pairs[part]), nthreads=self.threads)  # type: ignore[attr-defined]
                result[part] = hit.numpy()
            else:
                answer = self.scene.cast_rays(tensor(pairs[part]), nthreads=self.threads)  # type: ignore[attr-defined]
                result[part] = answer["t_hit"].numpy() < far[part]
        return result

    def key_light(self, key: Key, points: np.ndarray, normals: np.ndarray, samples: int) -> np.ndarray:
        """(N,) irradiance from the key light relative to its colour, with soft shadows."""
        total = key.strength(key.rays(points), normals).astype(np.float32)
        lit = np.flatnonzero(total > 1e-5)
        seen = np.zeros(len(lit), np.float32)
        for _ in range(samples):
            jitter = self.rng.normal(0, 0.7, (len(lit), 3)).astype(np.float32)
            rays = key.rays(points[lit], jitter)
            reach = np.linalg.norm(rays, axis=1) if key.near else None
            seen += ~self.blocked(points[lit], rays, np.inf if reach is None else 1 - (key.clear + 0.01) / reach)
        total[lit] *= seen / samples
        return total

    def lamp_light(self, lamp: Lamp, points: np.ndarray, normals: np.ndarray, samples: int) -> np.ndarray:
        """(N, 3) irradiance from one lamp."""
        key = Key(lamp.at, lamp.colour, lamp.radius, near=True, clear=lamp.clear)
        amount = self.key_light(key, points, normals, samples)
        if lamp.facing is not None:
            away = points - np.asarray(lamp.at, np.float32)
            away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
            amount = amount * np.maximum(away @ np.asarray(lamp.facing, np.float32), 0)
        return np.asarray(amount[:, None] * np.asarray(lamp.colour, np.float32))


def smooth_chart(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Blur (h * w, c) values over their chart a little, edges replicated: takes the grain out of gathered light."""
    if min(shape) < 3:
        return values
    picture = values.reshape(*shape, -1)
    return cv2.GaussianBlur(picture, (5, 5), 1.0, borderType=cv2.BORDER_REPLICATE).reshape(values.shape)
