"""A person who walks: joint angles over the stride, a path through the world, and the mesh at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from worldloom.synth.atlas import Atlas, pack
from worldloom.synth.bake import atlas_table, chart_sizes, paint
from worldloom.synth.body import (
    ANKLE,
    FOREARM,
    HIP,
    HIP_HALF,
    KNEE,
    NECK,
    PARTS,
    SHOULDER,
    SHOULDER_HALF,
    UPPER_ARM,
    make_body,
)
from worldloom.synth.geometry import Piece
from worldloom.synth.mesh import Mesh

_TEXELS_PER_M = 220.0
_STRIDE = 0.78
"""Length of a full stride (two steps) as a share of the body's height at walking pace."""


def _turn(axis: str, degrees: float) -> np.ndarray:
    """(4, 4) rotation: `z` turns left, `y` swings a hanging limb forward, `x` rolls to the right."""
    a = np.radians(degrees)
    c, s = np.cos(a), np.sin(a)
    matrix = np.eye(4)
    if axis == "z":
        matrix[:2, :2] = [[c, -s], [s, c]]
    elif axis == "y":
        matrix[0, 0], matrix[0, 2], matrix[2, 0], matrix[2, 2] = c, -s, s, c
    else:
        matrix[1, 1], matrix[1, 2], matrix[2, 1], matrix[2, 2] = c, -s, s, c
    return matrix


def _shift(x: float, y: float, z: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def joints(phase: float, vigour: float, h: float) -> np.ndarray:
    """(parts, 4, 4) placement of each part of a body of height `h` that stands on z = 0 at the origin, facing +x.

    Args:
        phase: of the stride in turns; at 0 the left heel strikes.
        vigour: 0 stands, 1 walks.
        h: metres.
    """
    swing = 24.0 * vigour
    pelvis = _turn("z", 4 * vigour * np.cos(2 * np.pi * phase))
    place = {
        "pelvis": pelvis,
        "torso": pelvis @ _turn("y", -3.0 * vigour) @ _turn("z", -9 * vigour * np.cos(2 * np.pi * phase)),
    }
    place["head"] = (
        place["torso"]
        @ _shift(0, 0, (NECK - HIP) * h)
        @ _turn("y", 2.0)
        @ _turn("z", 5 * vigour * np.cos(2 * np.pi * phase))
    )
    for side, sign, lead in (("left", 1, 0.0), ("right", -1, 0.5)):
        angle = 2 * np.pi * (phase + lead)
        hip = swing * np.cos(angle) + 3 * vigour
        knee = 5 * vigour + 54 * vigour * max(0.0, -np.sin(angle + 0.35)) ** 1.5
        foot = (
            -hip
            + knee
            + 16 * vigour * np.cos(angle + 0.2) * (np.cos(angle + 0.2) > 0)
            - 20 * vigour * max(0.0, -np.cos(angle - 0.3)) ** 2
        )
        thigh = pelvis @ _shift(0, sign * HIP_HALF * h, -0.01 * h) @ _turn("y", hip)
        shin = thigh @ _shift(0, 0, -(HIP - KNEE) * h) @ _turn("y", -knee)
        place[f"{side}_thigh"], place[f"{side}_shin"] = thigh, shin
        place[f"{side}_foot"] = shin @ _shift(0, 0, -(KNEE - ANKLE) * h) @ _turn("y", foot)
        arm = place["torso"] @ _shift(0, sign * SHOULDER_HALF * h, (SHOULDER - HIP) * h) @ _turn("x", sign * 7)
        arm = arm @ _turn("y", -0.95 * swing * np.cos(angle))
        forearm = (
            arm @ _shift(0, 0, -UPPER_ARM * h) @ _turn("y", 10 + 16 * vigour * (1 - np.cos(angle)) / 2 + 4 * vigour)
        )
        place[f"{side}_arm"], place[f"{side}_forearm"] = arm, forearm
        place[f"{side}_hand"] = forearm @ _shift(0, 0, -FOREARM * h)
    lowest = min(
        (place[f"{side}_foot"] @ [x, 0, -0.045 * h, 1])[2] for side in ("left", "right") for x in (-0.03 * h, 0.1 * h)
    )
    return _shift(0, 0, -lowest) @ np.array([place[name] for name in PARTS])


class Figure:
    """One person's mesh and clothes, ready to be posed.

    Attributes:
        height_m: of the person.
        atlas: albedo as displayed.
        table: as of `atlas_table`.
        part: (n,) index into `PARTS` per triangle.
    """

    def __init__(self, look: int, height_m: float) -> None:
        rng = np.random.default_rng((look, 99))
        body = make_body(rng, height_m)
        pieces: list[Piece] = list(body.patches)
        mesh = Mesh(pieces)
        sizes = chart_sizes(pieces, _TEXELS_PER_M, 500)
        self.atlas = Atlas(pack(sizes, 512))
        for k, picture in enumerate(paint(pieces, sizes, look)):
            self.atlas.store(k, np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]))
        self.atlas.finish()
        part = np.array(body.part, np.int32)[mesh.piece]
        order = np.argsort(part, kind="stable")  # parts in one block each: one product poses a block
        self.part = part[order]
        self.table = atlas_table(mesh, self.atlas.slots, pieces)[order]
        self._block = np.searchsorted(self.part, np.arange(len(PARTS) + 1))
        self.height_m = height_m
        self._stride = _STRIDE * height_m * (0.85 if body.skirt else 1.0)
        self._vigour = 0.8 if body.skirt else 1.0
        self._corners = mesh.corners.astype(np.float32)[order]
        normals = [_corner_normals(patch.grid, patch.normals()) for patch in body.patches]
        self._normals = np.concatenate(normals).astype(np.float32)[order]

    def posed(self, at: np.ndarray, heading: float, walked_m: float, walking: bool) -> tuple[np.ndarray, np.ndarray]:
        """World corners (n, 3, 3) and the normals there (n, 3, 3).

        Args:
            at: (2,) or (3,) where the person stands.
            heading: radians, counter-clockwise from +x.
            walked_m: way so far; sets the phase of the stride.
            walking: false for someone who stands.
        """
        local = joints(walked_m / self._stride % 1.0, self._vigour if walking else 0.0, self.height_m)
        world = _shift(at[0], at[1], at[2] if len(at) > 2 else 0.0) @ _turn("z", np.degrees(heading)) @ local
        corners, normals = np.empty_like(self._corners), np.empty_like(self._normals)
        for number, matrix in enumerate(world.astype(np.float32)):
            block = slice(self._block[number], self._block[number + 1])
            corners[block] = (self._corners[block].reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]).reshape(-1, 3, 3)
            normals[block] = (self._normals[block].reshape(-1, 3) @ matrix[:3, :3].T).reshape(-1, 3, 3)
        return corners, normals


def _corner_normals(grid: np.ndarray, normals: np.ndarray) -> np.ndarray:
    rows, columns = grid.shape[0] - 1, grid.shape[1] - 1
    i, j = (k.ravel() for k in np.mgrid[:rows, :columns])
    cells = np.array([[(i, j), (i + 1, j), (i, j + 1)], [(i + 1, j + 1), (i, j + 1), (i + 1, j)]])
    index = np.moveaxis(cells, -1, 0).reshape(-1, 3, 2)
    return np.asarray(normals[index[..., 0], index[..., 1]])


@lru_cache(maxsize=32)
def figure(look: int, height_m: float) -> Figure:
    """The figure of a look; kept, since painting it takes a moment."""
    return Figure(look, height_m)


@dataclass(frozen=True, eq=False)
class Walk:
    """Where a walker is over time.

    Attributes:
        points: (N, 2) polyline, densely sampled; closed walks repeat the first point at the end.
        closed: walks around for ever; otherwise stops at the end.
        speed_m_s: constant.
        start_m: way along the polyline at time 0.
    """

    points: np.ndarray
    closed: bool
    speed_m_s: float
    start_m: float

    @classmethod
    def along(cls, corners: np.ndarray, closed: bool, speed_m_s: float, start_m: float) -> Walk:
        """A walk that rounds the corners of a polygon (Chaikin's corner cutting, four times)."""
        points = np.asarray(corners, np.float64)
        for _ in range(4):
            ahead = np.roll(points, -1, 0) if closed else points[1:]
            here = points if closed else points[:-1]
            cut = np.stack([0.75 * here + 0.25 * ahead, 0.25 * here + 0.75 * ahead], 1).reshape(-1, 2)
            points = cut if closed else np.concatenate([points[:1], cut[1:-1], points[-1:]])
        if closed:
            points = np.concatenate([points, points[:1]])
        return cls(points, closed, speed_m_s, start_m)

    @property
    def length_m(self) -> float:
        """Of the polyline."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def at(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Positions (T, 2), headings (T,) in radians, way walked (T,), and whether walking (T,), at given times."""
        step = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        way = np.concatenate([[0.0], np.cumsum(step)])
        walked = self.start_m + self.speed_m_s * np.asarray(seconds, np.float64)
        place = walked % way[-1] if self.closed else np.clip(walked, 0, way[-1])
        position = self._point(way, place)
        reach = 0.25
        if self.closed:
            ahead, behind = self._point(way, (place + reach) % way[-1]), self._point(way, (place - reach) % way[-1])
        else:
            ahead = self._point(way, np.clip(place + reach, 0, way[-1]))
            behind = self._point(way, np.clip(place - reach, 0, way[-1]))
        direction = ahead - behind
        walking = np.ones(len(walked), bool) if self.closed else (walked < way[-1]) & (self.speed_m_s > 0)
        return position, np.arctan2(direction[:, 1], direction[:, 0]), walked, walking

    def _point(self, way: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(place, way, self.points[:, 0]), np.interp(place, way, self.points[:, 1])], -1)
