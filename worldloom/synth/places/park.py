"""A park in summer: lawns, gravel paths, trees, a pond, a fountain, a pavilion, flower beds, benches, a fence."""

from __future__ import annotations

import numpy as np

from worldloom.synth.bake import Resolution
from worldloom.synth.geometry import Patch, Piece, coarser, placed
from worldloom.synth.light import Key, Light
from worldloom.synth.materials.ground import grass, gravel, water
from worldloom.synth.materials.noise import Colour, vary
from worldloom.synth.materials.walls import rubble
from worldloom.synth.objects.houses import house
from worldloom.synth.objects.outdoor import STONE, bench, bin_for_litter, fountain, lamp_post, pavilion, picket_fence
from worldloom.synth.objects.plants import bush, flower_bed, hedge, tree
from worldloom.synth.objects.sky import garden_view, sky_colour
from worldloom.synth.shapes import ball, disc, loft, quad
from worldloom.synth.world import Place

HALF = 17.0

PATHS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((-17, -3), (-12, -4), (-6, -1.5), (0, -3.0), (6, -1.5), (12, -3.5), (17, -2)),
    ((-2, -17), (-1, -12), (0.5, -7), (0, -3), (1.5, 2), (0.5, 8), (2, 17)),
    ((6, -1.5), (9, 2), (9.5, 6), (7, 9.5), (1.5, 10)),
)
"""Middle lines of the gravel paths."""

GREENS: list[Colour] = [
    (0.30, 0.47, 0.16),
    (0.38, 0.50, 0.18),
    (0.24, 0.42, 0.20),
    (0.46, 0.48, 0.16),
    (0.52, 0.34, 0.16),
]
BLOSSOMS: list[list[Colour]] = [
    [(0.90, 0.25, 0.25), (0.96, 0.82, 0.25)],
    [(0.60, 0.35, 0.75), (0.95, 0.95, 0.92)],
    [(0.95, 0.55, 0.65), (0.85, 0.25, 0.45)],
    [(0.98, 0.60, 0.20), (0.95, 0.85, 0.40)],
]


def park(rng: np.random.Generator) -> Place:
    """The place; trees, bushes and flowers follow `rng`."""
    pieces = _ground() + _water() + _trees(rng) + _flowers(rng) + _things(rng) + _edge(rng)
    sun = Key((-0.60, -0.50, 0.72), (2.6, 2.35, 1.9), 0.012)
    return Place(
        name="a park",
        pieces=pieces,
        light=Light(sun, (), lambda d: 1.6 * sky_colour(d), 0.95, (0.03, 0.035, 0.03)),
        area=(-13.5, -13.5, 13.5, 13.5),
        inside=(0.3, -8.0),
        resolution=Resolution(texels_per_m=70, light_per_m=3.0, key_per_m=16, gather=64, key_samples=3),
        backdrop=garden_view,
        sights=(
            (-8.0, 5.5),
            (8.5, -9.0),
            (7.0, 6.0),
            (0.0, -3.0),
            (-7.0, -9.0),
            (-12.0, 12.0),
            (12.0, 12.0),
            (3.0, 12.0),
        ),
    )


def _ground() -> list[Piece]:
    pieces: list[Piece] = [
        quad((-HALF, HALF, 0), (2 * HALF, 0, 0), (0, -2 * HALF, 0), grass()),
        quad((-70, 70, -0.02), (140, 0, 0), (0, -140, 0), grass((0.36, 0.48, 0.18)), 0.12),
    ]
    for k, line in enumerate(PATHS):
        pieces.append(_path(np.array(line, float), 1.1 - 0.15 * (k == 2), 0.012 + 0.003 * k))
    pieces += placed([disc(3.6, 0.02, gravel(), 30)], (0, -3, 0))
    return pieces


def _path(line: np.ndarray, half_width: float, z: float) -> Patch:
    for _ in range(3):
        line = np.concatenate(
            [
                line[:1],
                np.stack([0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]], 1).reshape(-1, 2),
                line[-1:],
            ]
        )
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.stack([-tangent[:, 1], tangent[:, 0]], -1) * half_width
    rows = [np.concatenate([line + s * side, np.full((len(line), 1), z)], 1) for s in (1, -1)]
    return Patch(np.array(rows), gravel(), smooth=True)


def _water() -> list[Piece]:
    """The pond with its rim of stones, too high to step over: nobody walks on water."""
    rng = np.random.default_rng(5)
    rim = rubble(STONE, (0.4, 0.38, 0.35), 0.25)
    parts: list[Piece] = [disc(3.6, 0.03, water(), 36, stretch=0.72)]
    parts.append(loft([(0.10, 3.5, 2.5), (0.24, 3.58, 2.58), (0.23, 3.8, 2.78), (0, 3.86, 2.84)], rim, 40))
    for k in range(26):
        a = k / 26 * 6.283
        size = rng.uniform(0.14, 0.3)
        stone = ball((size, size * 0.8, size * 0.6), (0, 0, size * 0.3), rubble(STONE, (0.4, 0.38, 0.35), 0.5), 10, 2.6)
        parts += placed([stone], (3.75 * np.cos(a), 2.72 * np.sin(a), 0.02), rng.random() * 360)
    return placed(parts, (-8.0, 5.5, 0), 20)


def _trees(rng: np.random.Generator) -> list[Piece]:
    spots = [
        (-5, -8.5),
        (-10.5, -8),
        (5.2, -8),
        (11, -6.5),
        (12, 1.5),
        (4.3, 5.0),
        (-3.6, 8.6),
        (-12, 0.5),
        (-5.4, 13.2),
        (6.2, 13.5),
        (12.5, 10),
        (-13.2, 9.5),
        (13.5, -12.5),
        (-13.5, -13),
    ]
    spots += [(a, b) for a in (-20, -10, 1, 10, 20) for b in (-20, 21)] + [
        (a, b) for a in (-21, 21) for b in (-11, 1, 12)
    ]
    parts: list[Piece] = []
    for k, (x, y) in enumerate(spots):
        near = k < 14
        green = vary(rng, GREENS[int(rng.integers(len(GREENS)))], 0.2)
        grown = tree(rng, float(rng.uniform(5.5, 8.0)), float(rng.uniform(1.9, 2.7)), green, 800 if near else 260)
        parts += placed(grown, (x, y, 0), rng.random() * 360)
    return parts


def _flowers(rng: np.random.Generator) -> list[Piece]:
    parts: list[Piece] = []
    beds = (
        (-3.6, -1.0, 35, 2.6),
        (3.8, -5.2, 20, 2.8),
        (-4.2, -5.4, -25, 2.4),
        (3.8, -0.2, -30, 2.2),
        (6.0, 6.8, 60, 3.0),
        (-1.6, 4.4, 80, 2.6),
    )
    for k, (x, y, turn, length) in enumerate(beds):
        parts += placed(flower_bed(rng, length, 0.9, BLOSSOMS[k % len(BLOSSOMS)]), (x, y, 0), turn)
    for x, y, r in (
        (-2.4, -10.5, 0.7),
        (3.0, -11.5, 0.8),
        (8.2, -5.2, 0.6),
        (-8.6, -4.8, 0.7),
        (11.5, 4.8, 0.8),
        (-3.5, 1.6, 0.6),
        (3.6, 8.2, 0.7),
        (-11.6, 3.0, 0.8),
        (-6.6, 10.6, 0.9),
    ):
        bloom = BLOSSOMS[int(rng.integers(4))][0] if rng.random() < 0.6 else None
        parts += placed(bush(rng, r, vary(rng, (0.28, 0.44, 0.18), 0.25), bloom), (x, y, 0), rng.random() * 360)
    return parts


def _things(rng: np.random.Generator) -> list[Piece]:
    parts = placed(fountain(), (0, -3.0, 0.02))
    parts += placed(pavilion(rng), (8.5, -10.0, 0))
    for x, y, turn in (
        (-3.2, -4.9, 130),
        (2.9, -0.6, -35),
        (-6.4, 0.6, 10),
        (2.6, 4.2, -90),
        (7.4, 2.9, 60),
        (-1.9, 10.2, 80),
        (-2.9, -13.0, 95),
    ):
        parts += placed(bench(vary(rng, (0.50, 0.33, 0.20), 0.25)), (x, y, 0), turn)
    for x, y in ((-4.2, -3.6), (4.4, -3.4), (2.4, 6.6), (-9.4, -1.6), (10.6, -0.4), (-1.3, -9.4)):
        parts += placed(lamp_post(3.6), (x, y, 0))
    for x, y in ((3.2, 3.2), (-5.0, 0.2)):
        parts += placed(bin_for_litter(), (x, y, 0))
    return parts


def _edge(rng: np.random.Generator) -> list[Piece]:
    """Fences and hedges around the park, houses beyond."""
    parts: list[Piece] = []
    for turn in (0, 90, 180, 270):
        for x in (-11.5, -5.7, 5.7, 11.5):
            piece = (
                picket_fence(rng, 5.6)
                if (x + turn) % 2 < 1
                else hedge(rng, 5.6, 1.25, 0.7, vary(rng, (0.26, 0.42, 0.18), 0.2))
            )
            parts += placed(placed(piece, (x, 15.2, 0)), (0, 0, 0), turn)
    for turn, x in ((0, -9.0), (0, 8.0), (90, 2.0), (270, -5.0), (180, 7.0)):
        home = coarser(house(rng, 8.0, 2, kind=int(rng.integers(4))), 0.4)
        parts += placed(placed(home, (x, 27.0, 0)), (0, 0, 0), turn)
    return parts
