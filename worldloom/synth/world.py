"""A world: a place that was painted and lit once, and answers rays with colour and depth."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError
from worldloom.synth.bake import Resolution, atlas_table, bake
from worldloom.synth.freespace import FreeSpace
from worldloom.synth.geometry import Piece
from worldloom.synth.light import Light, display
from worldloom.synth.materials.noise import Sheet
from worldloom.synth.mesh import Mesh
from worldloom.synth.raycast import open3d

PLACES = {
    "living_room": "worldloom.synth.places.living_room:living_room",
    "library": "worldloom.synth.places.library:library",
    "street": "worldloom.synth.places.street:street",
    "park": "worldloom.synth.places.park:park",
}
"""Every place by name: a function from a random generator to a `Place`; add yours here."""

_NO_SKY = np.full((2, 4, 3), 128, np.uint8)


@dataclass(frozen=True, eq=False)
class Place:
    """What a place is made of.

    Attributes:
        name: in plain words, for captions.
        pieces: everything that stands still.
        light: all its light.
        area: x0, y0, x1, y1 of the ground where cameras and subjects may be.
        inside: a free spot in it.
        resolution: of pictures and light.
        backdrop: paints the sky and all that is too far to be built, as a panorama: u is the compass angle from -180
            to 180 degrees counter-clockwise from +x, v runs from 90 degrees up to -30; None for closed rooms.
        sights: (x, y) of what is worth looking at; cameras start facing one of them.
    """

    name: str
    pieces: list[Piece]
    light: Light
    area: tuple[float, float, float, float]
    inside: tuple[float, float]
    resolution: Resolution = field(default_factory=Resolution)
    backdrop: Callable[[Sheet], np.ndarray] | None = None
    sights: tuple[tuple[float, float], ...] = ((0.0, 0.0),)


class Layout:
    """A place's geometry without paint and light: enough to plan walks and camera paths in it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.mesh = Mesh(place.pieces)
        self.free = FreeSpace.of(self.mesh, place.area, place.inside)


@lru_cache(maxsize=16)
def layout(place: str, look: int) -> Layout:
    """The layout of look number `look` of a place.

    Raises:
        UsageError: no such place, with the nearest name.
    """
    if place not in PLACES:
        raise UsageError(f"synth: unknown place '{place}'" + nearest(place, list(PLACES)))
    module, _, name = PLACES[place].partition(":")
    build = getattr(importlib.import_module(module), name)
    return Layout(build(np.random.default_rng((sum(map(ord, place)), look))))


@lru_cache(maxsize=4)
def world(place: str, look: int) -> World:
    """The painted and lit world; kept, since baking takes seconds and many clips share one.

    Raises:
        UsageError: no such place.
    """
    return World(layout(place, look), look)


class World:
    """A lit place.

    Attributes:
        place: what it was made from.
        mesh: its triangles.
    """

    def __init__(self, plan: Layout, seed: int, threads: int = 1) -> None:
        self.place, self.mesh, self.free = plan.place, plan.mesh, plan.free
        pieces, light = self.place.pieces, self.place.light
        self._atlas, self._radiosity = bake(pieces, self.mesh, light, self.place.resolution, seed, threads)
        self._table = atlas_table(self.mesh, self._atlas.slots, pieces)
        self._lights: dict[tuple[float, float, float], np.ndarray] = {}
        self._backdrop = _NO_SKY
        if self.place.backdrop is not None:
            painted = self.place.backdrop(Sheet(1024, 3072, (60.0, 20.0), np.random.default_rng((seed, 7))))
            self._backdrop = (np.clip(painted, 0, 1) * 255 + 0.5).astype(np.uint8)

    def cast(self, rays: np.ndarray, focal: float, threads: int = 1, blend: bool = True) -> Hits:
        """Colour and depth of what rays meet.

        Args:
            rays: (N, 6) float32, directions of length 1 along the camera's z-axis.
            focal: of the camera, in pixels.
            threads: of Embree.
            blend: as of `Atlas.sample`.
        """
        depth, triangle, bary, normal = self.mesh.cast(rays, threads)
        row = np.take(self._table, triangle, axis=0)
        x = row[:, 0] + bary[:, 0] * row[:, 2] + bary[:, 1] * row[:, 4]
        y = row[:, 1] + bary[:, 0] * row[:, 3] + bary[:, 1] * row[:, 5]
        direction = rays[:, 3:]
        length2 = np.einsum("ij,ij->i", direction, direction)
        cosine2 = np.einsum("ij,ij->i", direction, normal)
        cosine2 *= cosine2
        cosine2 /= length2
        spot = np.where(triangle < 0, np.float32(1), depth)  # metres that a pixel covers, to the fourth power
        spot *= spot
        spot *= length2
        spot *= spot
        spot /= np.maximum(cosine2, np.float32(0.02))
        level = row[:, 6] + (0.25 * np.log2(spot) - np.float32(np.log2(focal) + 0.35))
        colour = self._atlas.sample(as_picture(x), as_picture(y), as_picture(level), blend)
        colour = colour.reshape(-1, 4)[: len(rays)]
        miss = np.flatnonzero(triangle < 0)
        if len(miss):
            colour[miss, :3] = self._sky(direction[miss])
            colour[miss, 3] = 255
        return Hits(colour, depth, triangle, row[:, 7])

    def _sky(self, direction: np.ndarray) -> np.ndarray:
        rows, columns = self._backdrop.shape[:2]
        angle = np.arctan2(direction[:, 1], direction[:, 0])
        rise = np.arctan2(direction[:, 2], np.hypot(direction[:, 0], direction[:, 1]))
        x = (angle * np.float32(0.5 / np.pi) + np.float32(0.5)) * columns - np.float32(0.5)
        y = (90 - np.degrees(rise)) * np.float32(rows / 120) - np.float32(0.5)
        shape = as_picture(x), as_picture(y)
        return cv2.remap(self._backdrop, *shape, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).reshape(-1, 3)[: len(x)]

    def light_around(self, point: np.ndarray) -> np.ndarray:
        """(6, 3) irradiance at a point for surfaces facing +x, -x, +y, -y, +z, -z, without the key light."""
        low = np.floor(point[:2])
        share = point[:2] - low
        total = np.zeros((6, 3), np.float32)
        for dx in (0, 1):
            for dy in (0, 1):
                weight = (share[0] if dx else 1 - share[0]) * (share[1] if dy else 1 - share[1])
                total += np.float32(weight) * self._light_at((float(low[0] + dx), float(low[1] + dy), float(point[2])))
        return total

    def _light_at(self, point: tuple[float, float, float]) -> np.ndarray:
        if point not in self._lights:
            axes = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
            arriving = self._radiosity.arriving(np.repeat(np.array([point], np.float32), 6, 0), axes)
            self._lights[point] = arriving + np.asarray(self.place.light.ambient, np.float32)
        return self._lights[point]

    def key_light(self, points: np.ndarray, normals: np.ndarray, other: Any, threads: int = 1) -> np.ndarray:
        """(N, 3) irradiance from the key light at points on a moving body.

        Args:
            points: (N, 3).
            normals: (N, 3).
            other: a `RaycastingScene` that casts shadows too: the body itself.
            threads: of Embree.
        """
        key = self.place.light.key
        amount = np.maximum(normals @ key.direction, 0).astype(np.float32)
        for scene in (other, self.mesh.scene):
            lit = np.flatnonzero(amount > 1e-3)
            if len(lit):
                start = points[lit] + np.float32(0.012) * normals[lit]
                amount[lit] *= ~in_shadow(scene, start, key.direction, threads)
        return np.asarray(amount[:, None] * np.asarray(key.colour, np.float32))

    def shown(self, radiance: np.ndarray) -> np.ndarray:
        """(..., 3) picture values in [0, 1] of radiance in this world's light."""
        return display(radiance * np.float32(self.place.light.exposure))


def in_shadow(scene: Any, points: np.ndarray, direction: np.ndarray, threads: int) -> np.ndarray:
    """(N,) bool: something of `scene` stands between a point (N, 3) and a light far away in `direction` (3,)."""
    rays = np.empty((len(points), 6), np.float32)
    rays[:, :3], rays[:, 3:] = points, direction
    return np.asarray(scene.test_occlusions(open3d().core.Tensor(rays), nthreads=threads).numpy())


@dataclass(frozen=True, eq=False)
class Hits:
    """Answers of a world to N rays.

    Attributes:
        colour: (N, 4) uint8 red, green, blue, and the share that remains in the key light's shadow.
        depth: (N,) float32 in ray lengths: z-depth; infinite for the sky.
        triangle: (N,) int32, -1 for the sky.
        facet: (N,) float32, number of the smooth surface hit.
    """

    colour: np.ndarray
    depth: np.ndarray
    triangle: np.ndarray
    facet: np.ndarray


def as_picture(values: np.ndarray, width: int = 480) -> np.ndarray:
    """(N,) values as a (rows, width) raster, which is what `cv2.remap` takes; the tail repeats the last one."""
    rows = -(-len(values) // width)
    if rows * width == len(values):
        return np.ascontiguousarray(values, np.float32).reshape(rows, width)
    padded = np.empty(rows * width, np.float32)
    padded[: len(values)], padded[len(values) :] = values, values[-1]
    return padded.reshape(rows, width)
