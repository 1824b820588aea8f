"""A living room in the afternoon: sun through tall windows, sofa, shelves, pictures, rug, plants."""

from __future__ import annotations

import numpy as np

from worldloom.synth.bake import Resolution
from worldloom.synth.geometry import Piece, placed
from worldloom.synth.light import Key, Lamp, Light
from worldloom.synth.materials.fabrics import cloth, painted, printed, stripes
from worldloom.synth.materials.noise import Colour, Sheet, vary
from worldloom.synth.materials.pictures import SPINES, panelled_door
from worldloom.synth.materials.walls import painted_tiles, plaster, red_brick, wallpaper
from worldloom.synth.materials.wood import planks, wood
from worldloom.synth.objects import furniture as f
from worldloom.synth.objects.plants import potted
from worldloom.synth.objects.sky import garden_view
from worldloom.synth.shapes import box, cloth_sheet, cylinder, disc, quad, tube
from worldloom.synth.world import Place

HALF_X, HALF_Y, HEIGHT = 4.2, 3.4, 2.85
WINDOWS = ((-2.3, 1.5), (0.6, 1.5), (2.9, 1.2))
"""Middle (along x) and width of the openings in the wall towards -y."""
SILL, HEAD = 0.45, 2.45

SCHEMES: list[tuple[Colour, list[Colour], Colour, list[Colour]]] = [
    (
        (0.86, 0.82, 0.70),
        [(0.35, 0.50, 0.36), (0.55, 0.62, 0.42), (0.80, 0.45, 0.38)],
        (0.20, 0.42, 0.45),
        [(0.50, 0.12, 0.12), (0.13, 0.18, 0.36), (0.85, 0.72, 0.45), (0.30, 0.40, 0.28), (0.70, 0.40, 0.20)],
    ),
    (
        (0.70, 0.78, 0.80),
        [(0.22, 0.38, 0.48), (0.85, 0.82, 0.70), (0.90, 0.62, 0.35)],
        (0.78, 0.48, 0.24),
        [(0.16, 0.25, 0.42), (0.85, 0.80, 0.68), (0.70, 0.30, 0.20), (0.35, 0.50, 0.52), (0.88, 0.65, 0.30)],
    ),
    (
        (0.90, 0.76, 0.66),
        [(0.52, 0.28, 0.25), (0.40, 0.45, 0.30), (0.95, 0.88, 0.70)],
        (0.45, 0.50, 0.28),
        [(0.32, 0.30, 0.16), (0.86, 0.74, 0.55), (0.58, 0.18, 0.14), (0.20, 0.34, 0.36), (0.80, 0.52, 0.25)],
    ),
]
"""Wall, print on it, sofa, rug: one row per look."""


def living_room(rng: np.random.Generator) -> Place:
    """The place; colours and the arrangement of small things follow `rng`."""
    wall, print_colours, sofa_colour, rug_colours = SCHEMES[int(rng.integers(len(SCHEMES)))]
    pieces = _shell(rng, wall, print_colours) + _windows(rng, sofa_colour)
    pieces += _seats(rng, sofa_colour, rug_colours) + _along_the_walls(rng)
    glow = (0.9, 0.62, 0.32)
    lamps = [Lamp((x, -HALF_Y + 0.15, z), (0.85, 0.95, 1.1), (0, 1, 0), 0.3) for x, _ in WINDOWS for z in (1.0, 1.9)]
    lamps += [Lamp((-3.6, 2.6, 1.56), glow, None, 0.12, 0.32), Lamp((3.6, -0.2, 1.56), glow, None, 0.12, 0.32)]
    lamps.append(Lamp((0.2, 0.2, 2.2), (0.9, 0.7, 0.45), None, 0.2, 0.35))
    return Place(
        name="a living room",
        pieces=pieces,
        light=Light(Key((-0.35, -1.0, 0.62), (3.2, 2.7, 2.0), 0.02), tuple(lamps), None, 1.5, (0.05, 0.05, 0.05)),
        area=(-HALF_X, -HALF_Y, HALF_X, HALF_Y),
        inside=(2.0, -1.6),
        resolution=Resolution(texels_per_m=165, light_per_m=9, key_per_m=36),
        backdrop=garden_view,
        sights=((-1.0, 2.9), (0.0, 0.6), (3.9, 0.5), (0.5, -3.3), (-4.0, 0.0)),
    )


def _shell(rng: np.random.Generator, wall: Colour, leaves: list[Colour]) -> list[Piece]:
    paper, panel = wallpaper(wall, leaves), wood((0.80, 0.76, 0.68), 0.06, upright=True)
    floor, ceiling = planks((0.60, 0.42, 0.26)), plaster((0.90, 0.88, 0.83), 0.8)
    x, y, h = HALF_X, HALF_Y, HEIGHT
    pieces: list[Piece] = [
        quad((-x, y, 0), (2 * x, 0, 0), (0, -2 * y, 0), floor, 1.1),
        quad((-x, -y, h), (2 * x, 0, 0), (0, 2 * y, 0), ceiling, 0.6),
        quad((-x, y, h), (2 * x, 0, 0), (0, 0, -h), paper),
        quad((x, y, h), (0, -2 * y, 0), (0, 0, -h), paper),
        quad((-x, -y, h), (0, 2 * y, 0), (0, 0, -h), paper),
    ]
    for k in range(5):  # beams
        at = -x + (k + 0.5) * 2 * x / 5
        pieces += box(
            (at - 0.09, -y, h - 0.2), (at + 0.09, y, h), wood(f.WALNUT, 0.16, upright=True), 0.8, "top front back"
        )
    for a, b in (
        ((-x, y - 0.03, 0), (x, y, 0.85)),
        ((-x, -y, 0), (-x + 0.03, y, 0.85)),
        ((x - 0.03, -y, 0), (x, y, 0.85)),
    ):
        pieces += box(a, b, panel, 0.8, "bottom")
    return pieces


def _windows(rng: np.random.Generator, accent: Colour) -> list[Piece]:
    """The wall towards -y with its openings, bars, sills and curtains."""
    y, paint = -HALF_Y, plaster((0.86, 0.82, 0.72), 0.7)
    pieces: list[Piece] = []

    def piece_of_wall(x0: float, x1: float, z0: float, z1: float) -> None:
        pieces.append(quad((x1, y, z1), (x0 - x1, 0, 0), (0, 0, z0 - z1), paint))
        pieces.append(quad((x0, y - 0.25, z1), (x1 - x0, 0, 0), (0, 0, z0 - z1), paint, 0.1))

    left = -HALF_X
    for middle, width in WINDOWS:
        piece_of_wall(left, middle - width / 2, 0, HEIGHT)
        piece_of_wall(middle - width / 2, middle + width / 2, 0, SILL)
        piece_of_wall(middle - width / 2, middle + width / 2, HEAD, HEIGHT)
        left = middle + width / 2
    piece_of_wall(left, HALF_X, 0, HEIGHT)
    white = painted((0.92, 0.90, 0.86))
    curtain = stripes([vary(rng, accent, 0.2), (0.90, 0.85, 0.72), vary(rng, accent, 0.4)], 0.05)
    for middle, width in WINDOWS:
        a, b = middle - width / 2, middle + width / 2
        for x in (a, middle, b):
            pieces += box((x - 0.03, y - 0.16, SILL), (x + 0.03, y - 0.08, HEAD), white, skip="top bottom")
        for z in (SILL, SILL + 1.35, HEAD):
            pieces += box((a, y - 0.15, z - 0.03), (b, y - 0.09, z + 0.03), white, skip="left right")
        pieces += box((a - 0.06, y - 0.25, SILL - 0.05), (b + 0.06, y + 0.1, SILL), white)
        for x, face in ((a, 1), (b, -1)):  # reveals
            start = (x, y - 0.25, HEAD) if face > 0 else (x, y, HEAD)
            pieces.append(quad(start, (0, 0.25 * face, 0), (0, 0, SILL - HEAD), paint))
        pieces.append(quad((a, y - 0.25, HEAD), (b - a, 0, 0), (0, 0.25, 0), paint))
        for x in (a - 0.3, b - 0.1):
            pieces.append(cloth_sheet((x + 0.4, y + 0.07, HEAD + 0.15), (-0.4, 0, 0), HEAD + 0.1, 4, 0.09, curtain))
        rod = [(a - 0.4, y + 0.09, HEAD + 0.17), (middle, y + 0.09, HEAD + 0.17), (b + 0.4, y + 0.09, HEAD + 0.17)]
        pieces.append(tube(rod, 0.015, painted(f.BRASS)))
    return pieces


def _seats(rng: np.random.Generator, cover: Colour, rug_colours: list[Colour]) -> list[Piece]:
    """The sitting corner: rug, sofa, armchair, low table."""
    parts = placed(f.carpet(3.4, 2.3, rug_colours), (-1.0, 1.0, 0))
    parts += placed(f.sofa(rng, 2.3, cloth(cover, 0.08)), (-1.0, 2.35, 0))
    parts += placed(f.armchair(printed((0.72, 0.60, 0.45), rug_colours, 0.03)), (-3.0, 0.7, 0), 90)
    parts += placed(f.table(1.1, 0.6, 0.42, wood(f.OAK), wood(f.WALNUT)), (-1.0, 0.95, 0))
    parts += placed(f.pile_of_books(rng, 4), (-1.25, 0.95, 0.42), 20)
    parts += placed(
        f.vase(0.24, printed((0.30, 0.45, 0.62), [(0.92, 0.9, 0.85), (0.15, 0.2, 0.4)], 0.02, 700)), (-0.75, 1.05, 0.42)
    )
    parts += placed(f.stool(), (0.55, 0.2, 0))
    parts += placed(f.floor_lamp(), (-3.6, 2.6, 0))
    return parts


def _along_the_walls(rng: np.random.Generator) -> list[Piece]:
    """Shelves, chimney, sideboard, pictures, door, plants, ceiling lamp."""
    parts = placed(f.bookcase(1.9, 2.2, f.WALNUT), (1.75, HALF_Y - 0.2, 0))
    parts += placed(f.bookcase(0.95, 2.2, f.WALNUT), (3.3, HALF_Y - 0.2, 0))
    parts += placed(_chimney(rng), (HALF_X - 0.02, 1.4, 0), -90)
    parts += placed(f.floor_lamp(), (3.6, -0.2, 0))
    side = {"top": wood(f.OAK), "front": panelled_door((0.36, 0.45, 0.42)), "rest": wood((0.40, 0.46, 0.42))}
    parts += placed(box((-0.8, -0.22, 0.1), (0.8, 0.22, 0.8), side, 1.4, "bottom"), (-HALF_X + 0.26, -1.4, 0), 90)
    parts += placed(f.pile_of_books(rng, 3), (-HALF_X + 0.26, -1.0, 0.8), 70)
    parts += placed(
        f.vase(0.4, painted_tiles([(0.8, 0.5, 0.2), (0.2, 0.3, 0.5)], (0.85, 0.8, 0.7), 0.06)),
        (-HALF_X + 0.26, -1.8, 0.8),
    )
    for x, z, w, h in (
        (-2.2, 1.75, 0.6, 0.75),
        (-1.25, 1.85, 0.95, 0.62),
        (-0.25, 1.7, 0.55, 0.7),
        (-3.3, 1.8, 0.5, 0.6),
    ):
        parts += placed(f.framed(rng, w, h), (x, HALF_Y - 0.01, z))
    for y, z, w, h in ((-1.4, 1.65, 1.1, 0.8), (0.6, 1.75, 0.7, 0.9), (-2.6, 1.7, 0.5, 0.65), (1.8, 1.7, 0.6, 0.75)):
        parts += placed(f.framed(rng, w, h), (-HALF_X + 0.01, y, z), 90)
    door = {"front": panelled_door((0.70, 0.52, 0.33)), "rest": wood(f.OAK, upright=True)}
    parts += placed(box((-0.48, -0.06, 0), (0.48, 0, 2.1), door, 1.2, "bottom back"), (HALF_X, -1.9, 0), -90)
    for x, y, s in ((-3.75, -2.9, 1.35), (3.75, -2.9, 1.0), (0.35, 3.0, 1.1)):
        parts += placed(potted(rng, s, vary(rng, SPINES[int(rng.integers(len(SPINES)))], 0.3)), (x, y, 0))
    return parts + placed(f.pendant(0.62), (0.2, 0.2, HEIGHT))


def _chimney(rng: np.random.Generator) -> list[Piece]:
    brick, stone = red_brick(), plaster((0.78, 0.75, 0.70), 0.7)
    parts = box((-0.85, -0.42, 0), (-0.45, 0, 1.15), brick, 1.2, "bottom back")
    parts += box((0.45, -0.42, 0), (0.85, 0, 1.15), brick, 1.2, "bottom back")
    parts += box((-0.45, -0.42, 0.8), (0.45, 0, 1.15), brick, 1.2, "back")
    parts += box((-0.95, -0.5, 1.15), (0.95, 0, 1.22), wood(f.WALNUT))
    parts += box((-0.7, -0.34, 1.22), (0.7, 0, HEIGHT - 0.2), red_brick(1.05), 1.0, "bottom back top")
    parts += box((-1.0, -0.8, 0), (1.0, -0.42, 0.06), stone)
    parts.append(quad((-0.45, -0.05, 0.8), (0.9, 0, 0), (0, 0, -0.8), red_brick(0.5)))
    for k in range(4):
        log = [
            (-0.25 + 0.03 * k, -0.25 + 0.05 * k, 0.08 + 0.05 * k),
            (0, -0.22, 0.1 + 0.05 * k),
            (0.27, -0.2 - 0.04 * k, 0.08 + 0.05 * k),
        ]
        parts.append(tube(log, 0.05, wood((0.45, 0.33, 0.22), 0.2)))
    parts += placed(f.framed(rng, 0.9, 0.65), (0, -0.345, 1.75))
    parts += placed(cylinder(0.07, 0, 0.2, painted((0.3, 0.4, 0.5))), (-0.6, -0.3, 1.22))
    parts += placed([disc(0.16, 0, plaster((0.9, 0.88, 0.8), 0.4))], (0.6, -0.3, 1.23))
    return parts


__all__ = ["Sheet", "living_room"]
