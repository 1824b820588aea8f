"""All pieces of a place as one triangle mesh that rays can hit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldloom.synth.geometry import Piece
from worldloom.synth.raycast import open3d


def new_scene(corners: np.ndarray) -> Any:
    """A `RaycastingScene` of (n, 3, 3) triangles."""
    module = open3d()
    scene = module.t.geometry.RaycastingScene()
    index = np.arange(len(corners) * 3, dtype=np.uint32).reshape(-1, 3)
    vertices = np.ascontiguousarray(corners.reshape(-1, 3), np.float32)
    scene.add_triangles(module.core.Tensor(vertices), module.core.Tensor(index))
    return scene


class Mesh:
    """Triangles of all pieces, in the order of the pieces.

    Attributes:
        corners: (n, 3, 3) float32 world.
        uv: (n, 3, 2) float32 on the chart of the piece.
        piece: (n,) int32, which piece.
        facet: (n,) int32, number of the smooth surface; -1 for all that is soft.
        scene: Open3D's `RaycastingScene`.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        corners, uv, facets, owners = [], [], [], []
        first = 0
        for k, piece in enumerate(pieces):
            c, t, f = piece.triangles()
            corners.append(c.astype(np.float32))
            uv.append(t.astype(np.float32))
            facets.append(np.full(len(f), -1, np.int32) if piece.soft else f + first)
            owners.append(np.full(len(c), k, np.int32))
            first += int(f.max()) + 1
        self.corners = np.concatenate(corners)
        self.uv = np.concatenate(uv)
        self.facet = np.concatenate(facets)
        self.piece = np.concatenate(owners)
        self.scene = new_scene(self.corners)

    def cast(self, rays: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First hit of each ray.

        Args:
            rays: (N, 6) float32, origin and direction (of any length).
            threads: of Embree; the answer does not depend on it.

        Returns:
            Distance in ray lengths (N,) (infinite for a miss), triangle (N,) int32 (-1 for a miss), barycentric
            coordinates (N, 2), and geometric normals (N, 3).
        """
        answer = self.scene.cast_rays(open3d().core.Tensor(rays), nthreads=threads)
        triangle = answer["primitive_ids"].numpy().astype(np.int32)  # a miss is 2^32 - 1, which wraps to -1
        return answer["t_hit"].numpy(), triangle, answer["primitive_uvs"].numpy(), answer["primitive_normals"].numpy()


def chart_position(uv: np.ndarray, triangle: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """(N, 2) chart coordinates of hits, from (n, 3, 2) corner coordinates."""
    corner = uv[triangle]
    b = barycentric[:, :, None]
    return np.asarray(corner[:, 0] + b[:, 0] * (corner[:, 1] - corner[:, 0]) + b[:, 1] * (corner[:, 2] - corner[:, 0]))
