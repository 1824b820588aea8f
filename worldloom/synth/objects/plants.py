"""Plants: trees, bushes, hedges, flower beds, a plant in a pot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worldloom.synth.geometry import Leaves, Piece, placed
from worldloom.synth.materials.fabrics import painted
from worldloom.synth.materials.ground import bark, foliage
from worldloom.synth.materials.noise import Colour, vary
from worldloom.synth.shapes import ball, box, loft, tube


def leaves(
    rng: np.random.Generator,
    centres: np.ndarray,
    outward: np.ndarray,
    size: float,
    colours: list[Colour],
    droop: float = 0.0,
) -> Leaves:
    """One quadrilateral per centre, turned at random, kept in an order in which neighbours in space are neighbours.

    Args:
        rng: chance.
        centres: (K, 3).
        outward: (K, 3) directions away from the plant's middle.
        size: side of a leaf (or of a spray of leaves) in metres.
        colours: drawn at random and varied.
        droop: 1 hangs the leaves down, 0 turns them any way.
    """
    order = np.lexsort((centres[:, 0], np.round(centres[:, 1] * 2), np.round(centres[:, 2] * 2)))
    centres, outward = centres[order], outward[order]
    count = len(centres)
    first = rng.normal(size=(count, 3))
    first[:, 2] *= 1 - droop
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(first, outward + 0.8 * rng.normal(size=(count, 3)))
    second /= np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-6)
    extent = size * (0.6 + 0.8 * rng.random((count, 1))) / 2
    a, b = first * extent, second * extent * 0.8
    quads = np.stack([centres - a, centres + b * 0.9, centres + a, centres - b * 0.9], 1)
    table = np.array([vary(rng, colours[k % len(colours)], 0.3) for k in range(64)])
    shade = table[rng.integers(0, 64, count)]
    return Leaves(quads, shade, outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6))


def tree(rng: np.random.Generator, height: float, crown: float, colour: Colour, sprays: int = 1400) -> list[Piece]:
    """A broad-leaved tree: trunk, boughs, lumps of foliage under a coat of sprays of leaves."""
    trunk = height * (0.36 + 0.06 * rng.random())
    lean = rng.normal(0, 0.12, 2)
    wood_paint = bark(vary(rng, (0.40, 0.31, 0.23), 0.2))
    girth = 0.035 * height
    path = [
        (0, 0, 0),
        (lean[0] * 0.3, lean[1] * 0.3, trunk * 0.5),
        (lean[0], lean[1], trunk),
        (lean[0] * 1.3, lean[1] * 1.3, height * 0.7),
    ]
    parts: list[Piece] = [tube(path, [girth * 1.5, girth, girth * 0.85, girth * 0.3], wood_paint, 12)]
    lumps = []
    for k in range(9):
        angle = k * 2.4 + rng.normal(0, 0.3)
        reach = crown * (0.62 * np.sqrt((k + 0.3) / 9)) * (0.8 + 0.4 * rng.random())
        z = trunk + (height - trunk) * (0.38 + 0.45 * (1 - (k / 9) ** 1.3) + rng.normal(0, 0.05))
        lumps.append(
            (lean[0] + reach * np.cos(angle), lean[1] + reach * np.sin(angle), z, crown * (0.34 + 0.16 * rng.random()))
        )
    inner = foliage((colour[0] * 0.75, colour[1] * 0.75, colour[2] * 0.75))
    for x, y, z, _ in lumps[:6]:
        bough = [
            (lean[0], lean[1], trunk * 0.95),
            ((lean[0] + x) / 2, (lean[1] + y) / 2, trunk * 0.4 + z * 0.6),
            (x, y, z),
        ]
        parts.append(tube(bough, [girth * 0.55, girth * 0.4, girth * 0.2], wood_paint, 8))
    for x, y, z, r in lumps:
        core = ball((r * 0.86, r * 0.86, r * 0.7), (x, y, z), inner, 12, detail=0.35)
        parts.append(replace(core, soft=True))
    which = rng.integers(0, len(lumps), sprays)
    spheres = np.array(lumps)[which]
    direction = rng.normal(size=(sprays, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centres = spheres[:, :3] + direction * spheres[:, 3:] * (1, 1, 0.82) * (0.84 + 0.28 * rng.random((sprays, 1)))
    middle = np.array([lean[0], lean[1], trunk + 0.45 * (height - trunk)])
    outward = direction + 0.6 * (centres - middle) / crown
    shades = [
        colour,
        (colour[0] * 1.25, colour[1] * 1.15, colour[2] * 0.9),
        (colour[0] * 0.75, colour[1] * 0.85, colour[2]),
    ]
    parts.append(leaves(rng, centres, outward, 0.085 * crown + 0.12, [(min(r, 1), min(g, 1), b) for r, g, b in shades]))
    return parts


def bush(rng: np.random.Generator, radius: float, colour: Colour, blossom: Colour | None = None) -> list[Piece]:
    """A round bush, in bloom where `blossom` is given."""
    parts: list[Piece] = [
        ball((radius * 0.85, radius * 0.85, radius * 0.75), (0, 0, radius * 0.6), foliage(colour, blossom), 14)
    ]
    count = int(260 * radius + 60)
    direction = rng.normal(size=(count, 3))
    direction[:, 2] = np.abs(direction[:, 2]) - 0.3
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centres = direction * (radius, radius, radius * 0.9) * (0.85 + 0.2 * rng.random((count, 1))) + (0, 0, radius * 0.6)
    shades = [colour, vary(rng, colour, 0.3)] + ([blossom] if blossom else [])
    parts.append(leaves(rng, np.maximum(centres, (-9, -9, 0.02)), direction, 0.09 + 0.05 * radius, shades))
    return parts


def hedge(rng: np.random.Generator, length: float, height: float, thick: float, colour: Colour) -> list[Piece]:
    """A clipped hedge along x, its middle at the origin."""
    parts = box((-length / 2, -thick / 2, 0), (length / 2, thick / 2, height), foliage(colour), skip="bottom")
    count = int(110 * length * (height + thick / 2))
    face = rng.random(count)
    centres = np.stack(
        [(rng.random(count) - 0.5) * length, np.where(face < 0.5, -1, 1) * thick / 2, rng.random(count) * height], -1
    )
    on_top = rng.random(count) < thick / (2 * height + thick)
    centres[on_top, 1], centres[on_top, 2] = (rng.random(on_top.sum()) - 0.5) * thick, height
    outward = np.where(on_top[:, None], (0, 0, 1.0), np.stack([0 * face, np.sign(centres[:, 1]), 0.3 + 0 * face], -1))
    parts.append(leaves(rng, centres + 0.02 * outward, outward, 0.1, [colour, vary(rng, colour, 0.35)]))
    return parts


def flower_bed(rng: np.random.Generator, length: float, width: float, blossoms: list[Colour]) -> list[Piece]:
    """A bed of flowers along x between two rows of green."""
    count = int(75 * length * width)
    x, y = (rng.random(count) - 0.5) * length, (rng.random(count) - 0.5) * width
    tall = 0.12 + 0.22 * rng.random(count)
    up = np.tile((0.0, 0.0, 1.0), (count, 1)) + 0.3 * rng.normal(size=(count, 3))
    green = leaves(rng, np.stack([x, y, tall * 0.5], -1), up, 0.16, [(0.28, 0.45, 0.16), (0.38, 0.52, 0.2)])
    bloom = leaves(rng, np.stack([x, y, tall], -1), up, 0.09, blossoms)
    return [green, bloom]


def potted(rng: np.random.Generator, height: float = 1.1, pot: Colour = (0.70, 0.38, 0.25)) -> list[Piece]:
    """A leafy plant in a pot."""
    rim = height * 0.16
    parts: list[Piece] = [
        loft(
            [(height * 0.3, rim, rim), (height * 0.27, rim * 0.95, rim * 0.95), (0, rim * 0.7, rim * 0.7)],
            painted(pot),
            16,
        )
    ]
    count = 130
    angle, rise = rng.random(count) * 6.28, rng.random(count)
    reach = height * (0.12 + 0.26 * np.sin(rise * 2.6)) * (0.6 + 0.6 * rng.random(count))
    centres = np.stack([reach * np.cos(angle), reach * np.sin(angle), height * (0.34 + 0.62 * rise)], -1)
    outward = np.stack([np.cos(angle), np.sin(angle), 0.5 + rise], -1)
    parts.append(
        leaves(
            rng,
            centres,
            outward,
            0.17 * height,
            [(0.22, 0.45, 0.16), (0.34, 0.55, 0.22), (0.18, 0.36, 0.18)],
            droop=0.3,
        )
    )
    parts += placed(
        [tube([(0, 0, height * 0.25), (0.02, 0, height * 0.5), (0, 0.02, height * 0.85)], 0.012 * height, bark())]
    )
    return parts
