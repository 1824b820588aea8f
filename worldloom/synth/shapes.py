"""Constructors of patches: quadrilaterals, boxes, lofts, tubes, cushions, cloth, ground."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from worldloom.synth.geometry import Patch, Piece
from worldloom.synth.materials.noise import Material

Point = tuple[float, float, float]


def quad(
    corner: Point, along: Point, down: Point, material: Material, detail: float = 1.0, emission: float = 0.0
) -> Patch:
    """A parallelogram seen from its front: upper left corner, edge to the right, edge downwards."""
    c, a, d = (np.asarray(p, np.float64) for p in (corner, along, down))
    return Patch(np.array([[c, c + a], [c + d, c + a + d]]), material, detail, emission)


def quad4(tl: Point, tr: Point, bl: Point, br: Point, material: Material, detail: float = 1.0) -> Patch:
    """A quadrilateral seen from its front by its corners; two may coincide."""
    return Patch(np.array([[tl, tr], [bl, br]], np.float64), material, detail)


def box(
    low: Point,
    high: Point,
    material: Material | Mapping[str, Material],
    detail: float = 1.0,
    skip: str = "",
    emission: float = 0.0,
) -> list[Piece]:
    """A box along the axes.

    Args:
        low: smallest corner.
        high: largest corner.
        material: one for all faces, or by face: `front` (-y), `back` (+y), `left` (-x), `right` (+x), `top`,
            `bottom`, with `rest` for the others.
        detail: texel density over that of the world.
        skip: names of faces that nobody sees, separated by blanks.
        emission: light given off.
    """
    (x0, y0, z0), (x1, y1, z1) = low, high
    w, d, h = x1 - x0, y1 - y0, z1 - z0
    faces: dict[str, tuple[Point, Point, Point]] = {
        "front": ((x0, y0, z1), (w, 0, 0), (0, 0, -h)),
        "back": ((x1, y1, z1), (-w, 0, 0), (0, 0, -h)),
        "left": ((x0, y1, z1), (0, -d, 0), (0, 0, -h)),
        "right": ((x1, y0, z1), (0, d, 0), (0, 0, -h)),
        "top": ((x0, y1, z1), (w, 0, 0), (0, -d, 0)),
        "bottom": ((x0, y0, z0), (w, 0, 0), (0, d, 0)),
    }
    left_out = set(skip.split())
    result: list[Piece] = []
    if callable(material) and not left_out & {"front", "left", "right"}:
        # One picture wraps around the upright sides: fewer charts, and the grain goes around the corner.
        ring = [(x0, y1), (x0, y0), (x1, y0), (x1, y1)] + ([] if "back" in left_out else [(x0, y1)])
        grid = np.array([[(x, y, z) for x, y in ring] for z in (z1, z0)], np.float64)
        result.append(Patch(grid, material, detail, emission))
        left_out |= {"front", "left", "right", "back"}
    for name, (corner, along, down) in faces.items():
        if name in left_out:
            continue
        paint = material if callable(material) else (material.get(name) or material["rest"])
        result.append(quad(corner, along, down, paint, detail, emission))
    return result


def loft(
    rings: Sequence[Sequence[float]],
    material: Material,
    segments: int = 16,
    power: float = 2.0,
    detail: float = 1.0,
    emission: float = 0.0,
    smooth: bool = True,
) -> Patch:
    """A body of (super)elliptic rings stacked along z; u runs around, beginning at +y.

    Args:
        rings: (z, radius x, radius y[, centre x, centre y]) from the top down; a radius of 0 closes the body.
        material: paints the unrolled side.
        segments: corners of a ring.
        power: 2 for ellipses, 4 or more for rounded rectangles.
        detail: texel density over that of the world.
        emission: light given off.
        smooth: shade as a curved surface.
    """
    angle = np.pi / 2 + np.linspace(0, 2 * np.pi, segments + 1)
    cos, sin = (np.sign(f) * np.abs(f) ** (2.0 / power) for f in (np.cos(angle), np.sin(angle)))
    rows = []
    for ring in rings:
        z, rx, ry, cx, cy = (*ring, 0.0, 0.0)[:5]
        rows.append(np.stack([cx + max(rx, 1e-3) * cos, cy + max(ry, 1e-3) * sin, np.full_like(cos, z)], -1))
    return Patch(np.array(rows), material, detail, emission, smooth)


def cylinder(
    radius: float,
    bottom: float,
    top: float,
    material: Material,
    segments: int = 16,
    detail: float = 1.0,
    cap: bool = True,
) -> list[Piece]:
    """An upright cylinder, with its upper face where `cap`."""
    side: list[Piece] = [loft([(top, radius, radius), (bottom, radius, radius)], material, segments, detail=detail)]
    if cap:
        side.append(disc(radius, top, material, segments, detail))
    return side


def disc(
    radius: float, z: float, material: Material, segments: int = 16, detail: float = 1.0, stretch: float = 1.0
) -> Patch:
    """A horizontal (elliptic) disc seen from above, painted as a square that is pulled round."""
    side = np.linspace(-1, 1, max(2, segments // 3) + 1)
    x, y = np.meshgrid(side, side[::-1])
    grid = np.stack([x * np.sqrt(1 - y**2 / 2), y * np.sqrt(1 - x**2 / 2) * stretch, np.zeros_like(x)], -1) * radius
    return Patch(grid + np.array([0, 0, z]), material, detail)


def ball(
    radii: Point,
    centre: Point,
    material: Material,
    segments: int = 18,
    power: float = 2.0,
    detail: float = 1.0,
    emission: float = 0.0,
) -> Patch:
    """An ellipsoid, or with `power` above 2 a cushion."""
    latitude = np.linspace(np.pi / 2, -np.pi / 2, max(6, segments // 2) + 1)
    height = np.sign(np.sin(latitude)) * np.abs(np.sin(latitude)) ** (2 / power)
    girth = np.abs(np.cos(latitude)) ** (2 / power)
    rings = [
        (centre[2] + radii[2] * h, radii[0] * g, radii[1] * g, centre[0], centre[1])
        for h, g in zip(height, girth, strict=True)
    ]
    return loft(rings, material, segments, power, detail, emission)


def tube(
    path: Sequence[Point], radius: float | Sequence[float], material: Material, segments: int = 8, detail: float = 1.0
) -> Patch:
    """A round rod along `path` (rails, branches, lamp arms), of constant or given radius per point."""
    points = np.asarray(path, np.float64)
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    guide = np.array([1.0, 0, 0]) if abs(tangent[:, 0]).mean() < 0.8 else np.array([0, 1.0, 0])
    side = guide - (tangent @ guide)[:, None] * tangent
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    reach = np.broadcast_to(np.asarray(radius, np.float64), len(points))[:, None, None]
    ring = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    return Patch(points[:, None] + reach * ring, material, detail, smooth=True)


def cloth_sheet(
    corner: Point, along: Point, drop: float, folds: int, depth: float, material: Material, detail: float = 1.0
) -> Patch:
    """A hanging curtain: folds along `along`, deeper towards the hem."""
    c, a = np.asarray(corner, np.float64), np.asarray(along, np.float64)
    u, v = np.meshgrid(np.linspace(0, 1, folds * 6 + 1), np.linspace(0, 1, 5))
    front = np.cross((0, 0, -1.0), a / np.linalg.norm(a))
    wave = depth * (0.5 + 0.5 * np.sin(2 * np.pi * (folds * u + 0.3 * np.sin(5 * u)))) * (0.5 + 0.5 * v)
    grid = c + u[..., None] * a + v[..., None] * (0, 0, -drop) + wave[..., None] * front
    return Patch(grid, material, detail, smooth=True)


def ground(
    low: tuple[float, float], high: tuple[float, float], height: Callable[[np.ndarray, np.ndarray], np.ndarray] | float,
    material: Material, cells: int = 1, detail: float = 1.0,
) -> Patch:  # fmt: skip
    """A piece of ground, level or with `height(x, y)`."""
    steps_x = np.linspace(low[0], high[0], cells + 1)
    x, y = np.meshgrid(steps_x, np.linspace(high[1], low[1], cells + 1))
    z = height(x, y) if callable(height) else np.full_like(x, height)
    return Patch(np.stack([x, y, z], -1), material, detail, smooth=cells > 1)
