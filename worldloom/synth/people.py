"""The people of a clip at one moment: where they are in the picture, their shading, their shadows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldloom.synth.mesh import new_scene
from worldloom.synth.plan import SubjectPlan
from worldloom.synth.raycast import open3d
from worldloom.synth.walker import Figure, figure
from worldloom.synth.world import World, as_picture, in_shadow

_NEAR_M = 0.08
"""What is nearer to the camera's plane than this is not projected."""
_MOST_SAMPLES = 8_000
"""The part of a projection beyond the picture is counted on at most about this many rays."""


@dataclass(frozen=True, eq=False)
class View:
    """A camera at one moment.

    Attributes:
        c2w: (4, 4).
        focal: pixels.
        width: pixels.
        height: pixels.
    """

    c2w: np.ndarray
    focal: float
    width: int
    height: int

    def rays(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(N, 6) float32 rays through picture coordinates; directions have length 1 along the camera's z-axis."""
        local = np.empty((len(u), 3), np.float32)
        np.subtract(u, np.float32(self.width / 2), out=local[:, 0], casting="same_kind")
        np.subtract(v, np.float32(self.height / 2), out=local[:, 1], casting="same_kind")
        local[:, 2] = self.focal
        rays = np.empty((len(u), 6), np.float32)
        rays[:, :3] = self.c2w[:3, 3]
        rays[:, 3:] = local @ (self.c2w[:3, :3].T / self.focal).astype(np.float32)
        return rays

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Picture coordinates (N, 2) and z (N,) of (N, 3) world points; coordinates are capped near the plane."""
        local = (points - self.c2w[:3, 3].astype(np.float32)) @ self.c2w[:3, :3].astype(np.float32)
        z = local[:, 2]
        uv = local[:, :2] * (np.float32(self.focal) / np.maximum(z, np.float32(_NEAR_M)))[:, None]
        return uv + np.array((self.width / 2, self.height / 2), np.float32), z


class Actor:
    """One person over the clip, and posed at one moment."""

    def __init__(self, plan: SubjectPlan, times: np.ndarray) -> None:
        self.figure: Figure = figure(plan.look, plan.height_m)
        self.position, self.heading, self.walked, self.walking = plan.walk().at(times)
        self.height_m = plan.height_m

    def centre(self) -> np.ndarray:
        """(T, 3) middle of the body at every frame."""
        return np.concatenate([self.position, np.full((len(self.position), 1), self.height_m / 2)], 1)

    def posed(self, frame: int) -> Posed:
        """The person's mesh at a frame."""
        at = self.position[frame]
        corners, normals = self.figure.posed(
            at, float(self.heading[frame]), float(self.walked[frame]), bool(self.walking[frame])
        )
        return Posed(self.figure, np.append(at, 0.0), corners, normals)


class Posed:
    """A person's mesh at one moment."""

    def __init__(self, figure: Figure, foot: np.ndarray, corners: np.ndarray, normals: np.ndarray) -> None:
        self.figure, self.foot, self.corners, self.normals = figure, foot, corners, normals
        self.scene = new_scene(corners)
        flat = corners.reshape(-1, 3)
        self.low, self.high = flat.min(0), flat.max(0)

    def box(self, view: View) -> np.ndarray | None:
        """(4,) x0 y0 x1 y1 of the full projection, unclipped; None where all of it is behind the camera."""
        uv, z = view.project(self.corners.reshape(-1, 3))
        ahead = z > _NEAR_M
        if not ahead.any():
            return None
        return np.concatenate([uv[ahead].min(0), uv[ahead].max(0)])

    def cast(self, rays: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Depth (N,), triangle (N,) and barycentric coordinates (N, 2) of rays, infinite and -1 for misses."""
        answer = self.scene.cast_rays(open3d().core.Tensor(rays), nthreads=threads)
        depth = answer["t_hit"].numpy()
        depth[depth < _NEAR_M] = np.inf
        return depth, answer["primitive_ids"].numpy().astype(np.int32), answer["primitive_uvs"].numpy()

    def may_shade(self, points: np.ndarray, towards: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """(N,) bool: the way from a point `towards` a far light passes the bounding cylinder, widened by `margin`."""
        length = max(float(np.hypot(towards[0], towards[1])), 1e-4)
        middle = (self.low + self.high).astype(np.float32) / 2
        radius = float(np.hypot(*(self.high - self.low)[:2]) / 2) + margin
        x, y = middle[0] - points[:, 0], middle[1] - points[:, 1]
        aside = np.abs(x * towards[1] - y * towards[0])
        along = x * towards[0] + y * towards[1]
        rise = points[:, 2] + (along / length - radius) * (towards[2] / length)
        return (aside < radius * length) & (along > -radius * length) & (rise < self.high[2] + 0.02 + margin)

    def shadow(self, points: np.ndarray, towards: np.ndarray, threads: int = 1) -> np.ndarray:
        """(N,) float32, 1 where the person stands between a point and a far light."""
        dark = np.zeros(len(points), np.float32)
        near = np.flatnonzero(self.may_shade(points, towards))
        if len(near):
            dark[near] = in_shadow(self.scene, points[near] + np.float32(0.005), towards, threads)
        return dark

    def share_in_frame(self, view: View, box: np.ndarray, inside: int, threads: int = 1) -> tuple[float, float]:
        """Share of the full projection inside the picture, and the full projection in pixels.

        Args:
            view: the camera.
            box: of the full projection.
            inside: pixels of the projection inside the picture, unoccluded.
            threads: of Embree.
        """
        x0, y0, x1, y1 = np.floor(box[0]), np.floor(box[1]), np.ceil(box[2]), np.ceil(box[3])
        if x0 >= 0 and y0 >= 0 and x1 <= view.width and y1 <= view.height:
            return (1.0, float(inside)) if inside else (0.0, 0.0)
        step = float(np.ceil(np.sqrt(max(1.0, (x1 - x0) * (y1 - y0) / _MOST_SAMPLES))))
        u, v = np.meshgrid(np.arange(x0, x1, step) + step / 2, np.arange(y0, y1, step) + step / 2)
        beyond = (u < 0) | (u > view.width) | (v < 0) | (v > view.height)
        hit = np.isfinite(self.cast(view.rays(u[beyond], v[beyond]), threads)[0])
        full = inside + float(hit.sum()) * step**2
        return (inside / full, full) if full else (0.0, 0.0)

    def shade(
        self,
        world: World,
        rays: np.ndarray,
        depth: np.ndarray,
        triangle: np.ndarray,
        bary: np.ndarray,
        focal: float,
        threads: int = 1,
    ) -> np.ndarray:
        """(N, 3) uint8 colours of hits on this person."""
        row = self.figure.table[triangle]
        x = row[:, 0] + bary[:, 0] * row[:, 2] + bary[:, 1] * row[:, 4]
        y = row[:, 1] + bary[:, 0] * row[:, 3] + bary[:, 1] * row[:, 5]
        level = row[:, 6] + np.log2(np.maximum(depth, 0.1) / focal)
        albedo = self.figure.atlas.sample(as_picture(x), as_picture(y), as_picture(level), blend=False).reshape(-1, 4)[
            : len(rays), :3
        ]
        corner = self.normals[triangle]
        b = bary[:, :, None]
        normal = corner[:, 0] * (1 - b[:, 0] - b[:, 1]) + corner[:, 1] * b[:, 0] + corner[:, 2] * b[:, 1]
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        points = rays[:, :3] + rays[:, 3:] * depth[:, None]
        around = world.light_around(self.foot + np.array([0, 0, 0.55 * self.figure.height_m]))
        weight = np.concatenate([np.maximum(normal, 0), np.maximum(-normal, 0)], 1)[:, [0, 3, 1, 4, 2, 5]] ** 2
        arriving = weight @ around
        low = np.clip((points[:, 2] - self.foot[2]) / 0.5, 0, 1)
        arriving *= (0.7 + 0.3 * low)[:, None]  # legs see less of the light: the ground and the other leg are near
        arriving += world.key_light(points, normal, self.scene, threads)
        shown = world.shown((albedo.astype(np.float32) / 255) ** 2 * arriving)
        return (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)
