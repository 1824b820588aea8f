"""Town houses: façades with windows, doors, shops, balconies and tiled roofs."""

from __future__ import annotations

import numpy as np

from worldloom.synth.geometry import Piece, coarser, placed
from worldloom.synth.materials.fabrics import painted, stripes
from worldloom.synth.materials.ground import roof_tiles
from worldloom.synth.materials.noise import Colour, Material, vary
from worldloom.synth.materials.pictures import panelled_door, poster, sign, window
from worldloom.synth.materials.walls import courses, plaster, red_brick, rubble
from worldloom.synth.materials.wood import planks
from worldloom.synth.objects.plants import flower_bed
from worldloom.synth.shapes import box, quad, quad4, tube

STUCCO: list[Colour] = [
    (0.90, 0.78, 0.56),
    (0.86, 0.62, 0.50),
    (0.74, 0.80, 0.74),
    (0.92, 0.88, 0.78),
    (0.66, 0.74, 0.84),
    (0.84, 0.70, 0.70),
]
PAINTS: list[Colour] = [
    (0.55, 0.16, 0.13),
    (0.16, 0.30, 0.42),
    (0.18, 0.38, 0.26),
    (0.30, 0.24, 0.20),
    (0.68, 0.50, 0.18),
    (0.36, 0.22, 0.40),
]
SHOPS = ("BAKERY", "BOOKS", "CAFE ROMA", "FLOWERS", "BARBER", "CYCLES", "PHARMACY", "GROCER", "TAILOR", "RECORDS")


def _wall(rng: np.random.Generator, kind: int) -> Material:
    if kind == 0:
        return red_brick(0.95 + 0.15 * rng.random())
    if kind == 1:
        return plaster(STUCCO[int(rng.integers(len(STUCCO)))], 1.0)
    if kind == 2:
        return courses(
            [(0.72, 0.66, 0.55), (0.66, 0.60, 0.50), (0.78, 0.72, 0.62)], (0.5, 0.46, 0.4), (0.5, 0.26), 0.014, 0.12
        )
    return plaster(vary(rng, STUCCO[int(rng.integers(len(STUCCO)))], 0.1), 0.8)


def house(
    rng: np.random.Generator, width: float, floors: int, depth: float = 7.0, shop: bool = False, kind: int = 0
) -> list[Piece]:
    """A house along x whose front lies at y = 0 and faces -y.

    Args:
        rng: chance.
        width: of the front.
        floors: storeys of 3 m.
        depth: to the back, towards +y.
        shop: the ground floor is a shop with a window, an awning and a sign.
        kind: 0 brick, 1 and 3 stucco, 2 blocks of stone.
    """
    tall = 3.0 * floors + 0.4
    wall, half = _wall(rng, kind), width / 2
    parts: list[Piece] = [
        quad((-half, 0, 3.2), (width, 0, 0), (0, 0, -3.2), wall),
        quad((-half, 0, tall), (width, 0, 0), (0, 0, 3.2 - tall), wall, 0.7),
    ]
    parts.append(quad((-half, depth, tall), (0, -depth, 0), (0, 0, -tall), wall, 0.2))
    parts.append(quad((half, 0, tall), (0, depth, 0), (0, 0, -tall), wall, 0.2))
    parts += box(
        (-half - 0.02, -0.06, 0),
        (half + 0.02, 0.02, 0.55),
        rubble([(0.5, 0.48, 0.45), (0.42, 0.4, 0.38)], (0.3, 0.29, 0.27), 0.3),
        1.0,
        "bottom back",
    )
    trim, frame = plaster((0.90, 0.87, 0.80), 0.6), vary(rng, (0.93, 0.92, 0.88), 0.1)
    shutter = PAINTS[int(rng.integers(len(PAINTS)))]
    columns = max(2, round(width / 2.3))
    door_at = int(rng.integers(columns))
    for floor in range(floors):
        for column in range(columns):
            x, z = -half + (column + 0.5) * width / columns, 3.0 * floor
            if floor == 0 and shop:
                continue
            if floor == 0 and column == door_at:
                parts += _door(rng, x, trim)
                continue
            flowers = floor > 0 and rng.random() < 0.5
            parts += coarser(_window(rng, x, z + 1.0, frame, trim, shutter, flowers), 1.0 if floor == 0 else 0.7)
        if floor:
            parts += box(
                (-half - 0.03, -0.07, 3.0 * floor + 0.2), (half + 0.03, 0.02, 3.0 * floor + 0.34), trim, 0.6, "back"
            )
    if shop:
        parts += _shop(rng, width, trim)
    parts += box((-half - 0.12, -0.3, tall - 0.12), (half + 0.12, 0.02, tall + 0.1), trim, 0.6, "back")
    tiles, ridge = roof_tiles(vary(rng, (0.60, 0.31, 0.22), 0.3)), tall + 0.32 * depth
    parts.append(
        quad4(
            (-half - 0.1, depth / 2, ridge),
            (half + 0.1, depth / 2, ridge),
            (-half - 0.1, -0.4, tall),
            (half + 0.1, -0.4, tall),
            tiles,
            0.5,
        )
    )
    parts.append(
        quad4(
            (half, depth / 2, ridge), (-half, depth / 2, ridge), (half, depth, tall), (-half, depth, tall), tiles, 0.15
        )
    )
    for side in (-1, 1):
        gable = (side * half, depth / 2, ridge)
        feet = (
            ((side * half, depth, tall), (side * half, 0, tall))
            if side < 0
            else ((side * half, 0, tall), (side * half, depth, tall))
        )
        parts.append(quad4(gable, gable, feet[0], feet[1], wall, 0.2))
    at = (rng.random() - 0.5) * width * 0.6
    parts += box(
        (at - 0.35, depth * 0.3, tall + 0.8), (at + 0.35, depth * 0.3 + 0.5, ridge + 0.9), red_brick(), 0.5, "bottom"
    )
    parts.append(
        tube(
            [(half - 0.2, -0.1, tall), (half - 0.2, -0.1, tall / 2), (half - 0.2, -0.1, 0)],
            0.05,
            painted((0.45, 0.48, 0.46), 0.8),
        )
    )
    return parts


def _window(
    rng: np.random.Generator,
    x: float,
    sill: float,
    frame: Colour,
    trim: Material,
    shutter: Colour,
    box_of_flowers: bool,
) -> list[Piece]:
    wide, tall = 0.95, 1.45
    panes = (2, 3) if rng.random() < 0.5 else (2, 2)
    parts: list[Piece] = [
        quad((x - wide / 2, -0.015, sill + tall), (wide, 0, 0), (0, 0, -tall), window(frame, panes), 1.25)
    ]
    for a, b in ((x - wide / 2 - 0.1, x - wide / 2), (x + wide / 2, x + wide / 2 + 0.1)):
        parts += box((a, -0.07, sill), (b, 0, sill + tall), trim, 0.6, "back")
    parts += box(
        (x - wide / 2 - 0.13, -0.09, sill + tall), (x + wide / 2 + 0.13, 0, sill + tall + 0.14), trim, 0.6, "back"
    )
    parts += box((x - wide / 2 - 0.13, -0.14, sill - 0.09), (x + wide / 2 + 0.13, 0, sill), trim, 0.6, "back")
    for side in (-1, 1):
        a = x + side * (wide / 2 + 0.1)
        low, high = min(a, a + side * 0.42), max(a, a + side * 0.42)
        parts += box(
            (low, -0.05, sill),
            (high, 0, sill + tall),
            {"front": planks(shutter, 0.07, 2.0, 0.1, 0.5), "rest": painted(shutter)},
            0.9,
            "back bottom",
        )
    if box_of_flowers:
        parts += box((x - 0.5, -0.34, sill - 0.02), (x + 0.5, -0.14, sill + 0.16), painted((0.55, 0.30, 0.20)), 0.7)
        blossom = [vary(rng, c, 0.2) for c in ((0.88, 0.20, 0.25), (0.95, 0.55, 0.70), (0.95, 0.80, 0.25))]
        parts += placed(flower_bed(rng, 0.95, 0.24, blossom), (x, -0.24, sill + 0.12))
    return parts


def _door(rng: np.random.Generator, x: float, trim: Material) -> list[Piece]:
    colour = PAINTS[int(rng.integers(len(PAINTS)))]
    parts: list[Piece] = [
        quad((x - 0.55, -0.02, 2.55), (1.1, 0, 0), (0, 0, -2.2), panelled_door(colour, glass=True), 1.4)
    ]
    for a, b in ((x - 0.72, x - 0.55), (x + 0.55, x + 0.72)):
        parts += box((a, -0.1, 0.35), (b, 0, 2.55), trim, 0.8, "back")
    parts += box((x - 0.8, -0.16, 2.55), (x + 0.8, 0, 2.78), trim, 0.8, "back")
    stone = plaster((0.62, 0.60, 0.56), 1.0)
    parts += box((x - 0.85, -0.75, 0), (x + 0.85, 0, 0.17), stone, 1.0, "back bottom")
    parts += box((x - 0.75, -0.42, 0.17), (x + 0.75, 0, 0.34), stone, 1.0, "back bottom")
    return parts


def _shop(rng: np.random.Generator, width: float, trim: Material) -> list[Piece]:
    colour, name = PAINTS[int(rng.integers(len(PAINTS)))], SHOPS[int(rng.integers(len(SHOPS)))]
    half, front = width / 2 - 0.3, painted(colour, 0.5)
    parts = box((-half, -0.1, 0), (half, 0, 2.9), front, 0.8, "back bottom")
    parts.append(
        quad(
            (-half + 0.1, -0.13, 2.85),
            (2 * half - 0.2, 0, 0),
            (0, 0, -0.5),
            sign(name, colour, (0.95, 0.90, 0.72)),
            1.2,
        )
    )
    parts.append(
        quad(
            (half - 1.15, -0.12, 2.2),
            (0.95, 0, 0),
            (0, 0, -2.15),
            panelled_door(vary(rng, colour, 0.3), glass=True),
            1.3,
        )
    )
    room = 2 * half - 1.5
    glass = window((colour[0] * 0.7, colour[1] * 0.7, colour[2] * 0.7), (max(2, round(room / 1.1)), 1), (0.8, 0.7, 0.5))
    parts.append(quad((-half + 0.15, -0.12, 2.2), (room, 0, 0), (0, 0, -1.5), glass, 1.2))
    for k in range(int(rng.integers(1, 4))):
        bill = quad(
            (-half + 0.3 + 0.75 * k, -0.125, 1.9 - 0.3 * rng.random()), (0.5, 0, 0), (0, 0, -0.7), poster(), 2.0
        )
        parts.append(bill)
    cloth = stripes([vary(rng, colour, 0.2), (0.93, 0.90, 0.82)], 0.22)
    parts.append(quad4((-half, -0.1, 2.95), (half, -0.1, 2.95), (-half, -1.1, 2.4), (half, -1.1, 2.4), cloth))
    parts.append(quad4((half, -0.1, 2.93), (-half, -0.1, 2.93), (half, -1.1, 2.38), (-half, -1.1, 2.38), cloth, 0.5))
    parts.append(quad((-half, -1.1, 2.4), (2 * half, 0, 0), (0, 0, -0.22), cloth))
    parts += box((-half, -0.16, 0), (half, 0, 0.12), trim, 0.6, "back bottom")
    return parts
