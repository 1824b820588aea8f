"""A world: a place that was painted and lit once, and answers rays with colour and depth."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from worldloom.synth.people import Posed

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
        self._backdrop = _NO_SKY
        if self.place.backdrop is not None:
            painted = self.place.backdrop(Sheet(1024, 3072, (60.0, 20.0), np.random.default_rng((seed, 7))))
            self._backdrop = (np.clip(painted, 0, 1) * 255 + 0.5).astype(np.uint8)

    def cast(self, rays: np.ndarray, focal: float, threads: int = 1) -> Hits:
        """Colour and depth for (N, 6) float32 rays whose directions have length 1 along the camera's z-axis."""
        depth, triangle, bary, normal = self.mesh.cast(rays, threads)
        row = np.take(self._table, triangle, axis=0)
        x = row[:, 0] + bary[:, 0] * row[:, 2] + bary[:, 1] * row[:, 4]
        y = row[:, 1] + bary[:, 0] * row[:, 3] + bary[:, 1] * row[:, 5]
        direction = rays[:, 3:]
        length2 = np.einsum("ij,ij->i", direction, direction)
        cosine2 = np.einsum("ij,ij->i", direction, normal) ** 2 / length2
        with np.errstate(divide="ignore", invalid="ignore"):
            spot = depth * depth * length2 / (np.maximum(cosine2, 0.02) ** 0.5 * (focal * focal))
            level = row[:, 6] + 0.5 * np.log2(spot) - np.float32(0.35)
        colour = self._atlas.sample(*(as_picture(a) for a in (x, y, level))).reshape(-1, 4)[: len(rays)]
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
        cell = np.round(point / np.array([1.0, 1.0, 0.5]), 0) * np.array([1.0, 1.0, 0.5])
        return self._light_at(tuple(float(c) for c in cell))

    def _light_at(self, point: tuple[float, float, float]) -> np.ndarray:
        cache = self.__dict__.setdefault("_lights", {})
        if point not in cache:
            axes = np.concatenate([np.eye(3), -np.eye(3)])[[0, 3, 1, 4, 2, 5]].astype(np.float32)
            around = self._radiosity.arriving(np.repeat(np.float32([point]), 6, 0), axes)
            cache[point] = around + np.asarray(self.place.light.ambient, np.float32)
        return np.asarray(cache[point])

    def key_light(self, points: np.ndarray, normals: np.ndarray, other: Any, threads: int = 1) -> np.ndarray:
        """(N, 3) irradiance from the key light at points on a moving body.

        Args:
            points: (N, 3).
            normals: (N, 3).
            other: a `RaycastingScene` that casts shadows too: the body itself.
            threads: of Embree.
        """
        key = self.place.light.key
        points = points + np.float32(0.012) * normals
        rays = key.rays(points).astype(np.float32)
        amount = key.strength(rays, normals).astype(np.float32)
        lit = np.flatnonzero(amount > 1e-3)
        if len(lit):
            pairs = open3d().core.Tensor(np.concatenate([points[lit], rays[lit]], 1).astype(np.float32))
            far = 1 - key.clear / np.maximum(np.linalg.norm(rays[lit], axis=1), 1e-3) if key.near else np.inf
            for scene in (self.mesh.scene, other):
                amount[lit] *= scene.cast_rays(pairs, nthreads=threads)["t_hit"].numpy() >= far
        return np.asarray(amount[:, None] * np.asarray(key.colour, np.float32))

    def key_shadow(self, points: np.ndarray, person: Posed, threads: int = 1) -> np.ndarray:
        """(N,) float32, 1 where a person stands between a point and the key light."""
        key = self.place.light.key
        shadow = np.zeros(len(points), np.float32)
        towards = key.rays(points).astype(np.float32)
        length = np.maximum(np.hypot(towards[:, 0], towards[:, 1]), 1e-4)
        middle = (person.low + person.high).astype(np.float32) / 2
        radius = float(np.hypot(*(person.high - person.low)[:2]) / 2)
        away = middle[:2] - points[:, :2]
        aside = np.abs(away[:, 0] * towards[:, 1] - away[:, 1] * towards[:, 0]) / length
        along = (away * towards[:, :2]).sum(1) / length
        rise = points[:, 2] + (along - radius) / length * towards[:, 2]
        near = np.flatnonzero((aside < radius) & (along > -radius) & (rise < person.high[2] + 0.02))
        if len(near):
            pairs = np.concatenate([points[near] + np.float32(0.005), towards[near]], 1).astype(np.float32)
            hit = person.scene.test_occlusions(
                open3d().core.Tensor(pairs), tfar=1.0 if key.near else np.inf, nthreads=threads
            )
            shadow[near] = hit.numpy()
        return shadow

    def shown(self, radiance: np.ndarray) -> np.ndarray:
        """(..., 3) picture values in [0, 1] of radiance in this world's light."""
        return display(radiance * np.float32(self.place.light.exposure))


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
