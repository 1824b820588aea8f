"""Where a person or a camera can stand: a raster of the ground with the distance to the nearest obstacle."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.synth.mesh import Mesh

_STEP_M = 0.1
_HEAD_M = 2.05
"""Things that hang higher than this are in nobody's way."""
_KNEE_M = 0.16
"""Things lower than this above the ground (rugs, kerbs) are stepped over."""


@dataclass(frozen=True, eq=False)
class FreeSpace:
    """Clearance over the ground.

    Attributes:
        origin: (2,) x and y of the raster's corner.
        clearance: (rows, columns) float32 metres to the nearest obstacle or to unreachable ground; rows go with y.
    """

    origin: np.ndarray
    clearance: np.ndarray

    @classmethod
    def of(cls, mesh: Mesh, area: tuple[float, float, float, float], inside: tuple[float, float]) -> FreeSpace:
        """Probe the world with rays: down from head height and to all sides.

        Args:
            mesh: of the world.
            area: x0, y0, x1, y1 of the ground looked at.
            inside: a free spot; only ground connected to it counts.

        Raises:
            ValueError: `inside` is not free.
        """
        x = np.arange(area[0] + _STEP_M / 2, area[2], _STEP_M, dtype=np.float32)
        y = np.arange(area[1] + _STEP_M / 2, area[3], _STEP_M, dtype=np.float32)
        px, py = np.meshgrid(x, y)
        free = np.ones(px.shape, bool)
        for height, direction in [(_HEAD_M, (0, 0, -1))] + [
            (z, d) for z in (0.5, 1.1, 1.7) for d in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0))
        ]:
            rays = np.empty((px.size, 6), np.float32)
            rays[:, 0], rays[:, 1], rays[:, 2] = px.ravel(), py.ravel(), height
            rays[:, 3:] = direction
            distance = mesh.cast(rays)[0].reshape(px.shape)
            if direction[2]:
                free &= (distance > _HEAD_M - _KNEE_M) & np.isfinite(distance)
            else:
                free &= distance > _STEP_M
        _, labels = cv2.connectedComponents(free.astype(np.uint8), connectivity=4)
        row, column = int((inside[1] - area[1]) / _STEP_M), int((inside[0] - area[0]) / _STEP_M)
        if not free[row, column]:
            raise ValueError(f"the spot {inside} that should be free is not")
        reachable = (labels == labels[row, column]) & free
        padded = np.pad(reachable.astype(np.uint8), 1)
        clearance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] * _STEP_M
        return cls(np.array(area[:2], np.float64), clearance.astype(np.float32))

    def at(self, points: np.ndarray) -> np.ndarray:
        """(...,) metres of clearance at (..., 2) points; 0 outside the raster."""
        cell = np.floor((points - self.origin) / _STEP_M).astype(int)
        rows, columns = self.clearance.shape
        inside = (cell[..., 0] >= 0) & (cell[..., 0] < columns) & (cell[..., 1] >= 0) & (cell[..., 1] < rows)
        column, row = np.clip(cell[..., 0], 0, columns - 1), np.clip(cell[..., 1], 0, rows - 1)
        return np.where(inside, self.clearance[row, column], 0.0)

    def draw(self, rng: np.random.Generator, least_m: float, count: int = 1) -> np.ndarray:
        """(count, 2) random points with at least this clearance.

        Raises:
            ValueError: the world has no such point.
        """
        rows, columns = np.nonzero(self.clearance >= least_m)
        if not len(rows):
            raise ValueError(f"no spot with {least_m} m around it")
        pick = rng.integers(0, len(rows), count)
        return np.asarray(self.origin + (np.stack([columns[pick], rows[pick]], -1) + rng.random((count, 2))) * _STEP_M)
