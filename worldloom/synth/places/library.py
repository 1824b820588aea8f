"""A reading room: cases of books to the ceiling, long tables with green lamps, tall windows, a globe."""

from __future__ import annotations

import numpy as np

from worldloom.synth.bake import Resolution
from worldloom.synth.geometry import Piece, placed, tilted
from worldloom.synth.light import Key, Lamp, Light
from worldloom.synth.materials.fabrics import leather, painted
from worldloom.synth.materials.noise import Colour
from worldloom.synth.materials.pictures import landscape, panelled_door, poster
from worldloom.synth.materials.walls import plaster, rubble
from worldloom.synth.materials.wood import planks, wood
from worldloom.synth.objects import furniture as f
from worldloom.synth.objects.plants import potted
from worldloom.synth.objects.sky import town_view
from worldloom.synth.shapes import ball, box, cylinder, loft, quad, tube
from worldloom.synth.world import Place

HALF_X, HALF_Y, HEIGHT = 5.6, 4.4, 3.9
WINDOWS = (-3.9, -1.3, 1.3, 3.9)
"""Middle (along x) of the openings in the wall towards -y, 1.1 m wide."""
SILL, HEAD = 0.9, 3.4

SCHEMES: list[tuple[Colour, Colour, list[Colour], Colour]] = [
    (
        f.WALNUT,
        (0.80, 0.74, 0.58),
        [(0.40, 0.10, 0.10), (0.80, 0.66, 0.40), (0.16, 0.18, 0.30), (0.30, 0.36, 0.24)],
        (0.36, 0.13, 0.10),
    ),
    (
        (0.55, 0.36, 0.20),
        (0.58, 0.68, 0.62),
        [(0.12, 0.26, 0.30), (0.82, 0.74, 0.56), (0.56, 0.24, 0.14), (0.26, 0.36, 0.28)],
        (0.14, 0.26, 0.20),
    ),
]
"""Timber, wall, runner, leather: one row per look."""


def library(rng: np.random.Generator) -> Place:
    """The place; timber, walls and the books follow `rng`."""
    timber, wall, runner, hide = SCHEMES[int(rng.integers(len(SCHEMES)))]
    pieces = _shell(timber, wall, runner) + _windows(timber) + _cases(rng, timber)
    pieces += _tables(rng, timber, hide) + _things(rng, hide)
    day, bulb = (0.95, 1.0, 1.1), (0.85, 0.62, 0.36)
    lamps = [Lamp((x, -HALF_Y + 0.2, z), day, (0, 1, 0), 0.35) for x in WINDOWS for z in (1.6, 2.8)]
    lamps += [Lamp((x, y, HEIGHT - 0.95), (2.0, 1.5, 0.95), None, 0.25, 0.4) for x, y in ((-2.6, 0.4), (2.6, 0.4))]
    lamps += [Lamp((x, y, 1.1), bulb, None, 0.08, 0.22) for x, y, _ in _desk_lamps()]
    sun = Key((0.45, -1.0, 0.80), (3.0, 2.6, 2.0), 0.02)
    return Place(
        name="a library",
        pieces=pieces,
        light=Light(sun, tuple(lamps), None, 1.6, (0.06, 0.055, 0.05)),
        area=(-HALF_X, -HALF_Y, HALF_X, HALF_Y),
        inside=(0.0, 2.4),
        resolution=Resolution(texels_per_m=140, light_per_m=7, key_per_m=26),
        backdrop=town_view,
        sights=((0.0, 4.0), (-5.0, 0.5), (5.0, 0.5), (0.0, -0.2), (-2.5, 3.8)),
    )


def _shell(timber: Colour, wall: Colour, runner: list[Colour]) -> list[Piece]:
    x, y, h = HALF_X, HALF_Y, HEIGHT
    paint = plaster(wall, 0.8)
    floor = planks((0.50, 0.33, 0.20), 0.11, 0.9, 0.3)
    pieces: list[Piece] = [
        quad((-x, y, 0), (2 * x, 0, 0), (0, -2 * y, 0), floor),
        quad((-x, -y, h), (2 * x, 0, 0), (0, 2 * y, 0), plaster((0.88, 0.84, 0.75), 0.8), 0.5),
        quad((-x, y, h), (2 * x, 0, 0), (0, 0, -h), paint, 0.8),
        quad((x, y, h), (0, -2 * y, 0), (0, 0, -h), paint, 0.8),
        quad((-x, -y, h), (0, 2 * y, 0), (0, 0, -h), paint, 0.8),
    ]
    for k in range(6):
        at = -x + (k + 0.5) * 2 * x / 6
        pieces += box(
            (at - 0.1, -y, h - 0.22), (at + 0.1, y, h), wood(timber, 0.16, upright=True), 0.6, "top front back"
        )
    for at in (-1.6, 1.6):
        pieces += box((-x, at - 0.1, h - 0.22), (x, at + 0.1, h), wood(timber, 0.16), 0.6, "top left right")
    pieces += placed(f.carpet(8.4, 1.3, runner), (0, 2.25, 0))
    return pieces


def _windows(timber: Colour) -> list[Piece]:
    y, paint = -HALF_Y, rubble([(0.75, 0.70, 0.60), (0.68, 0.62, 0.54), (0.80, 0.76, 0.68)], (0.55, 0.5, 0.44), 0.35)
    pieces: list[Piece] = []

    def wall(x0: float, x1: float, z0: float, z1: float) -> None:
        pieces.append(quad((x1, y, z1), (x0 - x1, 0, 0), (0, 0, z0 - z1), paint, 0.9))
        pieces.append(quad((x0, y - 0.3, z1), (x1 - x0, 0, 0), (0, 0, z0 - z1), paint, 0.05))

    left = -HALF_X
    for middle in WINDOWS:
        a, b = middle - 0.55, middle + 0.55
        wall(left, a, 0, HEIGHT)
        wall(a, b, 0, SILL)
        wall(a, b, HEAD, HEIGHT)
        left = b
        for x in (a, middle, b):
            pieces += box(
                (x - 0.03, y - 0.2, SILL), (x + 0.03, y - 0.13, HEAD), wood(timber, upright=True), 0.8, "top bottom"
            )
        for z in (SILL, SILL + 0.8, SILL + 1.6, HEAD):
            pieces += box((a, y - 0.19, z - 0.03), (b, y - 0.14, z + 0.03), wood(timber), 0.8, "left right")
        pieces += box((a - 0.08, y - 0.3, SILL - 0.06), (b + 0.08, y + 0.14, SILL), plaster((0.85, 0.82, 0.75), 0.5))
        for x, face in ((a, 1), (b, -1)):
            start = (x, y - 0.3, HEAD) if face > 0 else (x, y, HEAD)
            pieces.append(quad(start, (0, 0.3 * face, 0), (0, 0, SILL - HEAD), paint, 0.8))
        pieces.append(quad((a, y - 0.3, HEAD), (b - a, 0, 0), (0, 0.3, 0), paint, 0.8))
    wall(left, HALF_X, 0, HEIGHT)
    return pieces


def _cases(rng: np.random.Generator, timber: Colour) -> list[Piece]:
    """Books along three walls, and two low double cases that stand free."""
    parts: list[Piece] = []
    for k in range(5):
        if k != 2:
            parts += placed(f.bookcase(1.9, 3.0, timber), (-4.1 + 2.05 * k, HALF_Y - 0.18, 0))
    for k in range(3):
        y = -1.9 + 2.15 * k
        parts += placed(f.bookcase(2.0, 3.0, timber), (-HALF_X + 0.18, y, 0), 90)
        if k != 0:
            parts += placed(f.bookcase(2.0, 3.0, timber), (HALF_X - 0.18, y, 0), -90)
    for x in (-3.9, 3.9):
        for side in (0, 180):
            parts += placed(placed(f.bookcase(1.7, 1.35, timber), (0, -0.16, 0)), (x, 0.3, 0), 90 + side)
        parts += placed(f.pile_of_books(rng, 3), (x, 0.6, 1.41), 20)
        parts += placed(f.vase(0.3, plaster((0.85, 0.8, 0.7), 0.9)), (x, -0.1, 1.41))
    door = {"front": panelled_door((0.45, 0.28, 0.17)), "rest": wood(timber, upright=True)}
    parts += placed(box((-0.6, -0.08, 0), (0.6, 0, 2.5), door, 1.2, "bottom back"), (0, HALF_Y, 0))
    parts += placed(
        box((-0.72, -0.12, 0), (-0.6, 0, 2.62), wood(timber, upright=True), 1, "bottom back"), (0, HALF_Y, 0)
    )
    parts += placed(box((0.6, -0.12, 0), (0.72, 0, 2.62), wood(timber, upright=True), 1, "bottom back"), (0, HALF_Y, 0))
    art = {"front": landscape(), "rest": wood(timber)}
    parts += placed(box((-0.55, -0.06, 2.75), (0.55, 0, 3.45), art, 1.5, "back"), (0, HALF_Y, 0))
    rails = [
        tube([(s * 0.22, -0.75, 0), (s * 0.22, -0.38, 1.4), (s * 0.22, 0, 2.8)], 0.025, wood(f.OAK, upright=True))
        for s in (-1, 1)
    ]
    steps = [
        tube(
            [
                (-0.22, -0.75 + 0.072 * k, 0.28 * k),
                (0, -0.75 + 0.072 * k, 0.28 * k),
                (0.22, -0.75 + 0.072 * k, 0.28 * k),
            ],
            0.018,
            wood(f.OAK),
        )
        for k in range(1, 10)
    ]
    parts += placed([*rails, *steps], (-2.6, HALF_Y - 0.36, 0))
    return parts


_TABLES = ((-1.5, -0.6), (1.5, -0.6))


def _desk_lamps() -> list[tuple[float, float, float]]:
    return [(x + s * 0.62, y, 0.76) for x, y in _TABLES for s in (-1, 1)]


def _tables(rng: np.random.Generator, timber: Colour, hide: Colour) -> list[Piece]:
    parts: list[Piece] = []
    for x, y in _TABLES:
        parts += placed(f.table(2.1, 1.0, 0.76, wood(f.OAK), wood(timber)), (x, y, 0))
        parts += placed(box((-0.8, -0.36, 0), (0.8, 0.36, 0.006), leather(hide), 1.2, "bottom"), (x, y, 0.76))
        for k in range(3):
            spot = (x - 0.7 + 0.7 * k + rng.normal(0, 0.06), y + rng.normal(0, 0.2), 0.767)
            parts += placed(f.pile_of_books(rng, int(rng.integers(1, 5))), spot, rng.random() * 180)
        paper = [quad((-0.15, 0.1, 0.768), (0.3, 0, 0), (0, -0.21, 0), poster(("NEWS", "TIMES", "POST")), 2.5)]
        parts += placed(paper, (x + rng.normal(0.1, 0.2), y + rng.normal(-0.2, 0.05), 0), rng.normal(0, 15))
        for dx in (-0.6, 0.5):
            parts += placed(
                f.chair(leather(hide), wood(timber, upright=True)),
                (x + dx, y + 0.72 + 0.1 * rng.random(), 0),
                rng.normal(0, 12),
            )
            parts += placed(
                f.chair(leather(hide), wood(timber, upright=True)), (x + dx, y - 0.74, 0), 180 + rng.normal(0, 12)
            )
    for x, y, z in _desk_lamps():
        parts += placed(f.desk_lamp(), (x, y, z))
    return parts


def _things(rng: np.random.Generator, hide: Colour) -> list[Piece]:
    """A globe, a bust, wing chairs, plants, hanging lamps."""
    from worldloom.synth.materials.ground import water

    stand = [
        tube(
            [(0.25 * np.cos(a), 0.25 * np.sin(a), 0), (0.06 * np.cos(a), 0.06 * np.sin(a), 0.35), (0, 0, 0.5)],
            0.02,
            wood(f.WALNUT),
        )
        for a in (0.5, 2.6, 4.7)
    ]
    globe = ball((0.3, 0.3, 0.3), (0, 0, 0.85), water((0.22, 0.42, 0.60)), 24, detail=1.3)
    ring = loft([(0.87, 0.36, 0.36), (0.83, 0.36, 0.36)], wood(f.OAK), 24)
    parts = placed(tilted([*stand, globe, ring], 0, 0), (4.75, -3.55, 0))
    marble = plaster((0.88, 0.86, 0.82), 0.7)
    bust = [
        *box(
            (-0.2, -0.2, 0),
            (0.2, 0.2, 1.05),
            rubble([(0.6, 0.57, 0.52), (0.7, 0.66, 0.6)], (0.5, 0.47, 0.42), 0.2),
            1,
            "bottom",
        ),
        loft([(1.45, 0.05, 0.05), (1.36, 0.12, 0.2), (1.22, 0.13, 0.24), (1.05, 0.1, 0.1)], marble, 18),
        loft(
            [
                (1.82, 0.0, 0.0),
                (1.79, 0.07, 0.06),
                (1.68, 0.11, 0.085),
                (1.56, 0.09, 0.075),
                (1.48, 0.055, 0.055),
                (1.4, 0.06, 0.06),
            ],
            marble,
            18,
        ),
    ]
    parts += placed(bust, (-4.85, -3.6, 0), -60)
    for x, turn in ((-0.75, 165), (0.75, 195)):
        parts += placed(f.armchair(leather(hide)), (x, -3.55, 0), turn)
    parts += placed(
        [*cylinder(0.28, 0.45, 0.49, wood(f.OAK)), *cylinder(0.04, 0, 0.45, wood(f.OAK), cap=False)], (0, -3.5, 0)
    )
    parts += placed(f.pile_of_books(rng, 3), (0, -3.5, 0.49))
    for x, y, s in ((-2.6, -3.95, 1.2), (2.6, -3.95, 1.3), (5.1, -1.9, 1.0)):
        parts += placed(potted(rng, s), (x, y, 0))
    for x in (-2.6, 2.6):
        parts += placed(f.pendant(1.0, 1.6), (x, 0.4, HEIGHT))
    rack = painted((0.25, 0.22, 0.20))
    parts += placed(cylinder(0.1, 0, 0.55, rack, cap=False), (5.2, -2.6, 0))
    return parts
