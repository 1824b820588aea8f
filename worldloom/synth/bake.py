"""Paint every chart, light it once, and write both into the atlas, so that a frame is one cast and one look-up."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.synth.atlas import Atlas, Slots, pack
from worldloom.synth.geometry import Leaves, Patch, Piece, sheet_of
from worldloom.synth.light import Light, Shadows, cosine_directions, display, frames_of, smooth_chart
from worldloom.synth.materials.noise import Sheet, Stuff
from worldloom.synth.mesh import Mesh, chart_position

_SWATCH = 192
"""Side, in texels, of the sheet that small pieces of one stuff are cut from."""

_THROUGH_LEAVES = 0.16
"""Share of the key light that shines through a crown to every leaf in it (ours)."""

_LIFT_M = 0.004
"""Rays start this far above the surface they leave."""


@dataclass(frozen=True)
class Resolution:
    """How finely a place is painted and lit (defaults ours).

    Attributes:
        texels_per_m: of pictures.
        light_per_m: of the light that lamps and other surfaces send.
        key_per_m: of the key light's shadows.
        gather: rays that look for light from other surfaces, per point.
        key_samples: rays per point to the key light.
    """

    texels_per_m: float = 160.0
    light_per_m: float = 8.0
    key_per_m: float = 28.0
    gather: int = 96
    key_samples: int = 4


class _Points:
    """Points spread over all charts at one density, one after the other."""

    def __init__(self, pieces: list[Piece], per_m: float, most: np.ndarray) -> None:
        self.shapes: list[tuple[int, int]] = []
        points, normals = [], []
        for piece, (width, height) in zip(pieces, most, strict=True):
            shape = _raster(piece, per_m, int(width), int(height))
            at, normal = piece.lumels(*shape)
            self.shapes.append(shape)
            points.append(at + _LIFT_M * normal)
            normals.append(normal)
        self.points = np.concatenate(points).astype(np.float32)
        self.normals = np.concatenate(normals).astype(np.float32)
        counts = np.array([h * w for h, w in self.shapes])
        self.start = np.concatenate([[0], np.cumsum(counts)])

    def of(self, values: np.ndarray, chart: int) -> np.ndarray:
        """The part of (L, ...) values that lies on a chart, as (h, w, c)."""
        return values[self.start[chart] : self.start[chart + 1]].reshape(*self.shapes[chart], -1)


def _raster(piece: Piece, per_m: float, width: int, height: int) -> tuple[int, int]:
    if isinstance(piece, Leaves):
        return piece.side, piece.side
    wide, tall = piece.size_m
    per_m *= min(1.0, 2.0 * piece.detail)  # what is painted coarsely because it is far is lit coarsely too
    return min(max(2, round(tall * per_m)), height), min(max(2, round(wide * per_m)), width)


def chart_sizes(pieces: list[Piece], texels_per_m: float, widest: int) -> np.ndarray:
    """(C, 2) int32 width and height of each piece's chart in texels."""
    sizes = []
    for piece in pieces:
        if isinstance(piece, Leaves):
            sizes.append((piece.side * piece.cell,) * 2)
        else:
            length = np.array(piece.size_m) * texels_per_m * piece.detail
            sizes.append(tuple(np.clip(np.ceil(length), 6, widest).astype(int)))
    return np.array(sizes, np.int32)


def paint(pieces: list[Piece], sizes: np.ndarray, seed: int) -> list[np.ndarray]:
    """Albedo of each chart as displayed, (height, width, 3) uint8; a chart's randomness depends on its number only.

    Small pieces of one stuff are cut from a sheet that they share: a fence of a hundred boards is painted once.
    """
    pictures: list[np.ndarray] = []
    sheets: dict[tuple[int, float], np.ndarray] = {}
    for k, (piece, (width, height)) in enumerate(zip(pieces, sizes.tolist(), strict=True)):
        rng = np.random.default_rng((seed, k))
        if isinstance(piece, Leaves):
            pictures.append(_bytes(piece.paint(rng)))
        elif isinstance(piece.material, Stuff) and max(width, height) <= _SWATCH // 2:
            name = (id(piece.material), piece.detail)
            if name not in sheets:
                per_m = np.sqrt(width * height / (piece.size_m[0] * piece.size_m[1]))
                side = _SWATCH / float(per_m)
                sheets[name] = _bytes(piece.material(Sheet(_SWATCH, _SWATCH, (side, side), rng)))
            x, y = (int(rng.random() * (_SWATCH - size)) for size in (width, height))
            pictures.append(sheets[name][y : y + height, x : x + width])
        else:
            pictures.append(_bytes(piece.material(sheet_of(piece, height, width, rng))))
    return pictures


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.asarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def bake(
    pieces: list[Piece], mesh: Mesh, light: Light, resolution: Resolution, seed: int, threads: int = 1
) -> tuple[Atlas, Radiosity]:
    """The lit atlas of a place, and the light its surfaces send out (for what moves among them)."""
    sizes = chart_sizes(pieces, resolution.texels_per_m, 4096 - 32)
    pictures = paint(pieces, sizes, seed)
    shadows = Shadows(mesh.scene, np.random.default_rng((seed, 1 << 20)), threads)
    fine = _Points(pieces, resolution.key_per_m, sizes)
    key = shadows.key_light(light.key, fine.points, fine.normals, resolution.key_samples)
    coarse = _Points(pieces, resolution.light_per_m, sizes)
    lamps = np.zeros((len(coarse.points), 3), np.float32) + np.asarray(light.ambient, np.float32)
    for lamp in light.lamps:
        lamps += shadows.lamp_light(lamp, coarse.points, coarse.normals, resolution.key_samples)
    radiosity = Radiosity(pieces, mesh, coarse, pictures, light, threads)
    key_coarse = np.concatenate([_resized(fine.of(key, k), coarse.shapes[k]).reshape(-1) for k in range(len(pieces))])
    indirect = radiosity.bounce(
        lamps + key_coarse[:, None] * np.asarray(light.key.colour, np.float32), resolution.gather
    )
    atlas = Atlas(pack(sizes))
    for k, piece in enumerate(pieces):
        still = smooth_chart((lamps + indirect)[coarse.start[k] : coarse.start[k + 1]], coarse.shapes[k])
        atlas.store(k, _compose(piece, pictures[k], still.reshape(*coarse.shapes[k], 3), fine.of(key, k), light))
    atlas.finish()
    return atlas, radiosity


def _compose(piece: Piece, picture: np.ndarray, still: np.ndarray, key: np.ndarray, light: Light) -> np.ndarray:
    """(h, w, 4) uint8: the lit picture, and in the last channel what remains of it in the key light's shadow."""
    height, width = picture.shape[:2]
    nearest = isinstance(piece, Leaves)
    albedo = (picture.astype(np.float32) * np.float32(1 / 255)) ** 2
    base = _enlarged(still, (height, width), nearest)
    direct = _enlarged(key, (height, width), nearest).reshape(height, width, 1) * np.asarray(
        light.key.colour, np.float32
    )
    if isinstance(piece, Patch) and piece.emission > 0:
        base = base + np.float32(piece.emission)
    if piece.soft:
        base = base + np.float32(_THROUGH_LEAVES) * np.asarray(light.key.colour, np.float32)
    scale = np.float32(light.exposure)
    full, shade = display(albedo * (base + direct) * scale), display(albedo * base * scale)
    lit = np.empty((height, width, 4), np.float32)
    lit[..., :3] = full
    lit[..., 3] = shade[..., 1] / np.maximum(full[..., 1], 1e-3)  # green stands for all: shadows have no colour
    return np.asarray((lit * 255 + 0.5).astype(np.uint8))


def _enlarged(values: np.ndarray, shape: tuple[int, int], nearest: bool) -> np.ndarray:
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (shape[1], shape[0]), interpolation=how))


def _resized(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_AREA))


class Radiosity:
    """What every surface sends out, and what arrives from it at points in the world."""

    def __init__(
        self, pieces: list[Piece], mesh: Mesh, points: _Points, pictures: list[np.ndarray], light: Light, threads: int
    ) -> None:
        self._mesh, self._points, self._light, self._threads = mesh, points, light, threads
        coarse = [
            _resized(picture, shape).reshape(-1, 3) for picture, shape in zip(pictures, points.shapes, strict=True)
        ]
        self._albedo = (np.concatenate(coarse).astype(np.float32) / 255) ** 2
        glow = [getattr(piece, "emission", 0.0) for piece in pieces]
        counts = np.diff(points.start)
        self._emission = np.repeat(np.array(glow, np.float32), counts)[:, None]
        self._size = np.array(points.shapes, np.int32)
        self.sent = np.zeros_like(self._albedo)

    def bounce(self, direct: np.ndarray, rays: int) -> np.ndarray:
        """(L, 3) irradiance at every point from other surfaces and the sky, after two bounces."""
        self.sent = self._albedo * (direct + self._emission)
        hits, sky = self._look(self._points.points, self._points.normals, rays)
        once = self._arriving(hits, sky)
        self.sent = self._albedo * (direct + once + self._emission)
        twice = self._arriving(hits, sky)
        self.sent = self._albedo * (direct + twice + self._emission)
        return twice

    def arriving(self, points: np.ndarray, normals: np.ndarray, rays: int = 128) -> np.ndarray:
        """(N, 3) irradiance at free points in space for surfaces facing `normals`."""
        return self._arriving(*self._look(points.astype(np.float32), normals.astype(np.float32), rays))

    def _look(self, points: np.ndarray, normals: np.ndarray, rays: int) -> tuple[np.ndarray, np.ndarray]:
        """Index of the surface point each ray meets (N, rays), -1 for the sky; and the sky's mean share (N, 3)."""
        directions = cosine_directions(rays)
        hits = np.empty((len(points), rays), np.int32)
        sky = np.zeros((len(points), 3), np.float32)
        spin = (np.arange(len(points)) * 0.618034 % 1.0 * 2 * np.pi).astype(np.float32)
        step = max(1, (1 << 20) // rays)
        for k in range(0, len(points), step):
            part = slice(k, k + step)
            frame = frames_of(normals[part])
            cos, sin = np.cos(spin[part])[:, None], np.sin(spin[part])[:, None]
            first = frame[..., 0] * cos + frame[..., 1] * sin
            second = frame[..., 1] * cos - frame[..., 0] * sin
            basis = np.stack([first, second, frame[..., 2]], 1)
            world = (directions[None] @ basis).reshape(-1, 3)
            origin = np.repeat(points[part], rays, 0)
            _, triangle, bary, _ = self._mesh.cast(np.concatenate([origin, world], 1).astype(np.float32), self._threads)
            hits[part] = self._surface_point(triangle, bary).reshape(-1, rays)
            if self._light.sky is not None:
                miss = np.flatnonzero(triangle < 0)
                amount = np.zeros((len(triangle), 3), np.float32)
                amount[miss] = self._light.sky(world[miss])
                sky[part] = amount.reshape(-1, rays, 3).mean(1)
        return hits, sky

    def _surface_point(self, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        piece = self._mesh.piece[triangle]
        uv = chart_position(self._mesh.uv, triangle, barycentric)
        rows, columns = self._size[piece, 0], self._size[piece, 1]
        row = np.minimum((uv[:, 1] * rows).astype(np.int32), rows - 1)
        column = np.minimum((uv[:, 0] * columns).astype(np.int32), columns - 1)
        index = self._points.start[piece] + row * columns + column
        return np.where(triangle < 0, -1, index).astype(np.int32)

    def _arriving(self, hits: np.ndarray, sky: np.ndarray) -> np.ndarray:
        from scipy.sparse import csr_array

        rows, rays = hits.shape
        known = (hits >= 0).ravel()
        first = np.concatenate([[0], np.cumsum(known.reshape(rows, rays).sum(1))])
        weights = np.full(int(first[-1]), 1.0 / rays, np.float32)
        seen = csr_array((weights, hits.ravel()[known], first), shape=(rows, len(self.sent)))
        return np.asarray(seen @ self.sent + sky, np.float32)


def atlas_table(mesh: Mesh, slots: Slots, pieces: list[Piece]) -> np.ndarray:
    """(n, 8) float32 per triangle: x, y of its first corner in texels, the way to the second and third, log2 of the
    texels per metre, and the facet's number."""
    size = np.stack([slots.width, slots.height], -1)[mesh.piece].astype(np.float32)
    corner = mesh.uv * size[:, None] + np.stack([slots.x, slots.y], -1)[mesh.piece][:, None]
    edges = corner[:, 1:] - corner[:, :1]
    texels = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
    metres = np.linalg.norm(
        np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0]), axis=1
    )
    density = 0.5 * np.log2(np.maximum(texels, 1e-3) / np.maximum(metres, 1e-8))
    columns = [corner[:, 0], edges[:, 0], edges[:, 1], density[:, None], mesh.facet[:, None]]
    return np.ascontiguousarray(np.concatenate(columns, 1), np.float32)
