"""Pieces of geometry that carry their own picture: grids of quadrilaterals and heaps of leaves.

A world is a list of pieces. Each has a chart, a rectangle of the world's atlas that its material paints and its light
is baked into; (u, v) in [0, 1] x [0, 1] runs over the chart, v = 0 being its upper edge. World axes: x and y on the
ground, z up, metres.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from worldloom.synth.materials.noise import Material, Sheet


@dataclass(frozen=True, eq=False)
class Patch:
    """A grid of quadrilaterals under one picture.

    Attributes:
        grid: (n + 1, m + 1, 3) float64 corners; rows go with v, columns with u. The outside is where u runs to the
            right and v down.
        material: paints the chart.
        detail: texel density over that of the world.
        emission: light given off, in units of a sunlit white surface; 0 for all but lamps and bright windows.
        smooth: shade by interpolated normals (curved things) instead of by those of the faces, which then are
            surfaces of their own with a visible edge between them.
        soft: part of a crown of leaves, within which outlines need no smoothing.
    """

    grid: np.ndarray
    material: Material
    detail: float = 1.0
    emission: float = 0.0
    smooth: bool = False
    soft: bool = False

    @cached_property
    def size_m(self) -> tuple[float, float]:
        """Mean length along u and along v."""
        along = np.linalg.norm(np.diff(self.grid, axis=1), axis=-1).sum(1).mean()
        down = np.linalg.norm(np.diff(self.grid, axis=0), axis=-1).sum(0).mean()
        return max(float(along), 0.01), max(float(down), 0.01)

    def moved(self, matrix: np.ndarray) -> Patch:
        """The same under a (4, 4) transform."""
        return replace(self, grid=self.grid @ matrix[:3, :3].T + matrix[:3, 3])

    def triangles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Corners (n, 3, 3), their (u, v) (n, 3, 2), and the facet each triangle belongs to (n,)."""
        rows, columns = self.grid.shape[0] - 1, self.grid.shape[1] - 1
        uv = np.stack(np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1)), -1)
        i, j = (k.ravel() for k in np.mgrid[:rows, :columns])
        cells = np.array([[(i, j), (i + 1, j), (i, j + 1)], [(i + 1, j + 1), (i, j + 1), (i + 1, j)]])
        index = np.moveaxis(cells, -1, 0).reshape(-1, 3, 2)  # (triangles, corner, row and column)
        corners, uv = self.grid[index[..., 0], index[..., 1]], uv[index[..., 0], index[..., 1]]
        facet = np.zeros(len(corners), np.int32) if self.smooth else np.arange(len(corners), dtype=np.int32) // 2
        return corners, uv, facet

    def normals(self) -> np.ndarray:
        """(n + 1, m + 1, 3) outward unit normals at the grid's corners."""
        along = np.gradient(self.grid, axis=1)
        down = np.gradient(self.grid, axis=0)
        return _unit(np.cross(down, along))

    def lumels(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Points and outward normals at the centres of a (height, width) raster of the chart, both (h * w, 3)."""
        rows, columns = self.grid.shape[0] - 1, self.grid.shape[1] - 1
        if rows == columns == 1:
            return self._flat_lumels(height, width)
        x = ((np.arange(width) + 0.5) / width * columns).astype(np.float32)
        y = ((np.arange(height) + 0.5) / height * rows).astype(np.float32)
        x, y = np.meshgrid(x, y)
        points = cv2.remap(self.grid.astype(np.float32), x, y, cv2.INTER_LINEAR)
        if self.smooth:
            normals = cv2.remap(self.normals().astype(np.float32), x, y, cv2.INTER_LINEAR)
        else:
            g = self.grid
            along = g[:-1, 1:] + g[1:, 1:] - g[:-1, :-1] - g[1:, :-1]
            down = g[1:, :-1] + g[1:, 1:] - g[:-1, :-1] - g[:-1, 1:]
            faces = _unit(np.cross(down, along)).astype(np.float32)
            normals = faces[np.minimum(y.astype(int), rows - 1), np.minimum(x.astype(int), columns - 1)]
        return points.reshape(-1, 3), _unit(normals).reshape(-1, 3)

    def _flat_lumels(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """`lumels` of one quadrilateral, quickly: most pieces are one."""
        (tl, tr), (bl, br) = self.grid
        u = ((np.arange(width) + 0.5) / width)[None, :, None]
        v = ((np.arange(height) + 0.5) / height)[:, None, None]
        points = (tl * (1 - u) + tr * u) * (1 - v) + (bl * (1 - u) + br * u) * v
        return points.reshape(-1, 3), np.broadcast_to(self._flat_normal, (height * width, 3))

    @cached_property
    def _flat_normal(self) -> np.ndarray:
        (tl, tr), (bl, br) = self.grid
        return _unit(np.cross(bl + br - tl - tr, tr + br - tl - bl))


@dataclass(frozen=True, eq=False)
class Leaves:
    """Many small quadrilaterals, each with a colour and a light of its own: foliage, flowers, tufts.

    Attributes:
        quads: (K, 4, 3) corners in the order of a ring.
        colours: (K, 3) in [0, 1], as displayed.
        outward: (K, 3) unit vectors; leaves are lit as if they faced this way (away from the crown's middle).
        cell: texels along the side of one leaf.
        soft: within a crown outlines need no smoothing.
    """

    quads: np.ndarray
    colours: np.ndarray
    outward: np.ndarray
    cell: int = 6
    soft: bool = True

    def moved(self, matrix: np.ndarray) -> Leaves:
        """The same under a (4, 4) transform."""
        turned = self.outward @ matrix[:3, :3].T
        return replace(self, quads=self.quads @ matrix[:3, :3].T + matrix[:3, 3], outward=_unit(turned))

    @property
    def side(self) -> int:
        """Leaves lie on the chart in rows of this many."""
        return int(np.ceil(np.sqrt(len(self.quads))))

    def triangles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Corners (2 K, 3, 3), their (u, v), and the leaf each triangle belongs to."""
        count, side = len(self.quads), self.side
        corner = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])
        place = np.stack([np.arange(count) % side, np.arange(count) // side], -1)
        uv = (place[:, None] + corner) / side
        pick = np.array([[0, 1, 2], [0, 2, 3]])
        return (
            self.quads[:, pick].reshape(-1, 3, 3),
            uv[:, pick].reshape(-1, 3, 2),
            np.repeat(np.arange(count, dtype=np.int32), 2),
        )

    def lumels(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """One point per leaf on the raster of the chart (`side` x `side`, whatever is asked), both (side^2, 3)."""
        fill = np.minimum(np.arange(self.side**2), len(self.quads) - 1)
        # Light comes through leaves and off their neighbours: they are lit as if they faced the sky a little.
        return self.quads.mean(1)[fill], _unit(self.outward[fill] + (0, 0, 0.7))

    def paint(self, rng: np.random.Generator) -> np.ndarray:
        """(side * cell, side * cell, 3) float32 albedo: every leaf with a midrib and a spot or two."""
        side, cell = self.side, self.cell
        colours = np.zeros((side * side, 3), np.float32)
        colours[: len(self.colours)] = self.colours
        picture = np.repeat(np.repeat(colours.reshape(side, side, 3), cell, 0), cell, 1)
        shade = 0.82 + 0.36 * rng.random(picture.shape[:2], np.float32)
        rib = np.abs((np.arange(side * cell) % cell) - (cell - 1) / 2) < 0.6
        shade[:, rib] *= 1.18
        return np.clip(picture * shade[..., None], 0.02, 1.0)


Piece = Patch | Leaves


def placed(
    pieces: Iterable[Piece], at: tuple[float, float, float] = (0, 0, 0), yaw_deg: float = 0.0, scale: float = 1.0
) -> list[Piece]:
    """Pieces turned about z (counter-clockwise from above), scaled, and moved to `at`."""
    angle = np.radians(yaw_deg)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, :3] *= scale
    matrix[:3, 3] = at
    return [piece.moved(matrix) for piece in pieces]


def tilted(pieces: Iterable[Piece], about_x_deg: float = 0.0, about_y_deg: float = 0.0) -> list[Piece]:
    """Pieces turned about x, then about y, around the origin."""
    a, b = np.radians(about_x_deg), np.radians(about_y_deg)
    matrix = np.eye(4)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    matrix[:3, :3] = about_y @ about_x
    return [piece.moved(matrix) for piece in pieces]


def coarser(pieces: Iterable[Piece], factor: float) -> list[Piece]:
    """Pieces whose pictures have `factor` times the texels per metre, for what is only seen from afar."""
    return [replace(piece, detail=piece.detail * factor) if isinstance(piece, Patch) else piece for piece in pieces]


def sheet_of(piece: Patch, height: int, width: int, rng: np.random.Generator) -> Sheet:
    """The sheet that a patch's material paints."""
    return Sheet(height, width, piece.size_m, rng)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9))
