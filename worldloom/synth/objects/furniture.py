"""Furniture, each piece around the origin with its back towards +y, standing on z = 0."""

from __future__ import annotations

import numpy as np

from worldloom.synth.geometry import Piece, placed, tilted
from worldloom.synth.materials.fabrics import cloth, leather, painted, printed, rug, stripes
from worldloom.synth.materials.noise import Colour, Material, vary
from worldloom.synth.materials.pictures import SPINES, abstract, bookshelf, landscape
from worldloom.synth.materials.wood import wood
from worldloom.synth.shapes import ball, box, cylinder, disc, loft, quad, tube

OAK: Colour = (0.62, 0.44, 0.26)
WALNUT: Colour = (0.42, 0.27, 0.17)
BRASS: Colour = (0.75, 0.58, 0.28)


def sofa(rng: np.random.Generator, width: float, cover: Material, seats: int = 3) -> list[Piece]:
    """A sofa with loose cushions and a few pillows of other cloth."""
    arm, depth = 0.2, 0.9
    parts = box((-width / 2, -depth / 2, 0.08), (width / 2, depth / 2, 0.3), cover, skip="bottom")
    for side in (-1, 1):
        parts.append(ball((arm / 2, depth / 2, 0.29), (side * (width - arm) / 2, 0, 0.34), cover, power=5))
        for y in (-0.36, 0.36):
            parts += placed(cylinder(0.025, 0, 0.09, wood(WALNUT), 8, cap=False), (side * (width / 2 - 0.1), y, 0))
    room = (width - 2 * arm) / seats
    parts.append(ball((width / 2, 0.14, 0.42), (0, 0.34, 0.46), cover, power=5))
    for k in range(seats):
        x = -width / 2 + arm + (k + 0.5) * room
        parts.append(ball((room / 2 - 0.005, 0.36, 0.1), (x, -0.08, 0.36), cover, power=4.5))
        back = tilted([ball((room / 2 - 0.01, 0.10, 0.24), (0, 0, 0), cover, power=4)], about_x_deg=-12)
        parts += placed(back, (x, 0.17, 0.66))
    for k in range(seats):
        if rng.random() < 0.8:
            pillow = printed(vary(rng, SPINES[int(rng.integers(len(SPINES)))], 0.3), SPINES, 0.03)
            soft = tilted(
                [ball((0.22, 0.075, 0.21), (0, 0, 0), pillow, power=3)], about_x_deg=-25, about_y_deg=rng.normal(0, 12)
            )
            parts += placed(
                soft, (-width / 2 + arm + (k + 0.3 + 0.4 * rng.random()) * room, -0.02, 0.62), rng.normal(0, 15)
            )
    return parts


def table(width: float, depth: float, height: float, top: Material, leg: Material, thick: float = 0.04) -> list[Piece]:
    """Four legs and a top."""
    parts = box((-width / 2, -depth / 2, height - thick), (width / 2, depth / 2, height), top)
    parts += box(
        (-width / 2 + 0.06, -depth / 2 + 0.06, height - thick - 0.07),
        (width / 2 - 0.06, depth / 2 - 0.06, height - thick),
        leg,
        skip="top bottom",
    )
    for x in (-width / 2 + 0.07, width / 2 - 0.07):
        for y in (-depth / 2 + 0.07, depth / 2 - 0.07):
            parts += box((x - 0.03, y - 0.03, 0), (x + 0.03, y + 0.03, height - thick), leg, skip="top bottom")
    return parts


def chair(seat: Material, frame: Material) -> list[Piece]:
    """A chair with a slatted back."""
    parts: list[Piece] = [ball((0.22, 0.22, 0.035), (0, 0, 0.46), seat, power=5)]
    for x in (-0.19, 0.19):
        parts += box((x - 0.02, -0.21, 0), (x + 0.02, -0.17, 0.44), frame, skip="top bottom")
        parts += box((x - 0.02, 0.17, 0), (x + 0.02, 0.21, 0.95), frame, skip="bottom")
    for z in (0.62, 0.74, 0.86):
        parts += box((-0.19, 0.18, z), (0.19, 0.2, z + 0.07), frame)
    return parts


def bookcase(width: float, height: float, board: Colour, depth: float = 0.32) -> list[Piece]:
    """A case of shelves full of books; every shelf stands out a little before the spines."""
    timber = wood(board, upright=True)
    half, thick = width / 2, 0.035
    parts = box((-half, -depth / 2, 0), (-half + thick, depth / 2, height), timber, skip="bottom back")
    parts += box((half - thick, -depth / 2, 0), (half, depth / 2, height), timber, skip="bottom back")
    parts += box((-half - 0.03, -depth / 2 - 0.03, height), (half + 0.03, depth / 2, height + 0.06), wood(board))
    parts += box((-half, -depth / 2 + 0.01, 0), (half, depth / 2, 0.1), wood(board), skip="bottom back")
    shelves = max(1, round((height - 0.1) / 0.34))
    step = (height - 0.1) / shelves
    front = -depth / 2 + 0.05
    parts.append(quad((-half, front, height), (width, 0, 0), (0, 0, -(height - 0.1)), bookshelf(board, step), 1.4))
    for k in range(1, shelves):
        z = 0.1 + k * step
        parts += box(
            (-half, -depth / 2 + 0.005, z - 0.012), (half, front + 0.01, z + 0.012), wood(board), skip="back left right"
        )
    return parts


def pile_of_books(rng: np.random.Generator, count: int) -> list[Piece]:
    """Books lying on each other."""
    parts: list[Piece] = []
    z = 0.0
    for _ in range(count):
        thick = 0.02 + 0.03 * rng.random()
        w, d = 0.1 + 0.04 * rng.random(), 0.075 + 0.03 * rng.random()
        cover = printed(vary(rng, SPINES[int(rng.integers(len(SPINES)))], 0.3), SPINES, 0.02, 300)
        pages = stripes([(0.92, 0.88, 0.78), (0.82, 0.78, 0.68)], 0.004, upright=False)
        parts += placed(
            box((-w, -d, z), (w, d, z + thick), {"top": cover, "back": cover, "rest": pages}, 2.0, "bottom"),
            yaw_deg=rng.normal(0, 14),
        )
        z += thick
    return parts


def vase(height: float, paint: Material) -> list[Piece]:
    """A turned vase."""
    r = height * 0.32
    return [
        loft(
            [
                (height, r * 0.55, r * 0.55),
                (height * 0.86, r * 0.42, r * 0.42),
                (height * 0.5, r, r),
                (height * 0.2, r * 0.8, r * 0.8),
                (0, r * 0.5, r * 0.5),
            ],
            paint,
            20,
            detail=2.0,
        )
    ]


def floor_lamp(glow: float = 1.6) -> list[Piece]:
    """A standing lamp, the shade's middle at 1.55 m."""
    metal = painted(BRASS)
    shade = loft([(1.72, 0.16, 0.16), (1.4, 0.26, 0.26)], cloth((0.96, 0.86, 0.66)), 24, emission=glow)
    parts: list[Piece] = [
        shade,
        *cylinder(0.17, 0, 0.03, metal),
        tube([(0, 0, 0.03), (0, 0, 0.8), (0, 0, 1.5)], 0.014, metal),
    ]
    return [*parts, disc(0.2, 1.56, cloth((1.0, 0.9, 0.7)))]


def desk_lamp(glow: float = 1.4) -> list[Piece]:
    """A reader's lamp with a green glass shade, 0.42 m tall."""
    metal = painted(BRASS)
    glass = loft(
        [(0.42, 0.04, 0.02), (0.41, 0.16, 0.06), (0.35, 0.19, 0.085)],
        painted((0.16, 0.52, 0.30)),
        20,
        3,
        emission=glow * 0.5,
    )
    return [glass, *cylinder(0.08, 0, 0.025, metal), tube([(0, 0, 0.02), (0, 0.02, 0.2), (0, 0, 0.38)], 0.01, metal)]


def pendant(drop: float, glow: float = 2.0) -> list[Piece]:
    """A lamp that hangs `drop` below the origin."""
    shade = loft(
        [(-drop + 0.16, 0.03, 0.03), (-drop + 0.12, 0.12, 0.12), (-drop, 0.24, 0.24)],
        painted((0.85, 0.8, 0.7)),
        20,
        emission=glow * 0.4,
    )
    bulb = ball((0.07, 0.07, 0.07), (0, 0, -drop + 0.05), cloth((1.0, 0.95, 0.8)), 12, emission=glow)
    return [shade, bulb, tube([(0, 0, 0), (0, 0, -drop / 2), (0, 0, -drop + 0.15)], 0.008, painted((0.1, 0.1, 0.1)))]


def framed(rng: np.random.Generator, width: float, height: float) -> list[Piece]:
    """A picture to hang at y = 0, its middle at the origin."""
    art = landscape() if rng.random() < 0.55 else abstract()
    edge = wood(WALNUT)
    return box((-width / 2, -0.035, -height / 2), (width / 2, 0, height / 2), {"front": art, "rest": edge}, 1.8, "back")


def carpet(width: float, depth: float, colours: list[Colour]) -> list[Piece]:
    """A rug on the floor."""
    return box(
        (-width / 2, -depth / 2, 0),
        (width / 2, depth / 2, 0.012),
        {"top": rug(colours), "rest": cloth(colours[0])},
        1.2,
        "bottom",
    )


def armchair(cover: Material) -> list[Piece]:
    """A wing chair."""
    parts: list[Piece] = box((-0.36, -0.38, 0.12), (0.36, 0.38, 0.32), cover, skip="bottom")
    parts.append(ball((0.28, 0.32, 0.1), (0, -0.06, 0.38), cover, power=4))
    parts += placed(tilted([ball((0.38, 0.11, 0.42), (0, 0, 0), cover, power=3.5)], about_x_deg=-10), (0, 0.3, 0.72))
    for side in (-1, 1):
        parts.append(ball((0.1, 0.38, 0.22), (side * 0.36, 0, 0.42), cover, power=4))
        for y in (-0.3, 0.3):
            parts += placed(cylinder(0.022, 0, 0.13, wood(WALNUT), 8, cap=False), (side * 0.3, y, 0))
    return parts


def stool(cover: Colour = (0.45, 0.25, 0.15)) -> list[Piece]:
    """A round leather stool."""
    legs = [
        tube(
            [
                (0.1 * np.cos(a), 0.1 * np.sin(a), 0.4),
                (0.13 * np.cos(a), 0.13 * np.sin(a), 0.2),
                (0.17 * np.cos(a), 0.17 * np.sin(a), 0),
            ],
            0.018,
            wood(WALNUT),
        )
        for a in (0.8, 2.4, 3.9, 5.5)
    ]
    return [ball((0.19, 0.19, 0.06), (0, 0, 0.44), leather(cover), power=3), *legs]
