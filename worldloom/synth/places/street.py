"""A street of small town houses in the sun: shops, parked cars, trees, lamp posts, a crossing."""

from __future__ import annotations

import cv2
import numpy as np

from worldloom.synth.bake import Resolution
from worldloom.synth.geometry import Piece, coarser, placed
from worldloom.synth.light import Key, Light
from worldloom.synth.materials.ground import asphalt, bark, grass, paving
from worldloom.synth.materials.noise import Colour, Material, Sheet, vary
from worldloom.synth.materials.walls import courses
from worldloom.synth.objects.houses import house
from worldloom.synth.objects.outdoor import bench, bin_for_litter, car, lamp_post, poster_pillar
from worldloom.synth.objects.plants import bush, potted, tree
from worldloom.synth.objects.sky import sky_colour, town_view
from worldloom.synth.shapes import box, quad
from worldloom.synth.world import Place

HALF_LENGTH, ROAD, KERB = 24.0, 3.3, 6.2
"""The street runs along x; the road is 2 x 3.3 m wide, pavements reach to 6.2 m from its middle."""

CARS: list[Colour] = [
    (0.68, 0.13, 0.12),
    (0.16, 0.32, 0.58),
    (0.85, 0.84, 0.80),
    (0.20, 0.42, 0.36),
    (0.92, 0.70, 0.18),
    (0.32, 0.33, 0.36),
]


def street(rng: np.random.Generator) -> Place:
    """The place; houses, shops, cars and trees follow `rng`."""
    pieces = _ground() + _houses(rng) + _kerbside(rng)
    sun = Key((0.62, -0.36, 0.84), (2.5, 2.25, 1.85), 0.010)
    return Place(
        name="a street",
        pieces=pieces,
        light=Light(sun, (), lambda d: 3.0 * sky_colour(d), 1.3, (0.07, 0.07, 0.07)),
        area=(-HALF_LENGTH + 4, -KERB + 0.3, HALF_LENGTH - 4, KERB - 0.3),
        inside=(0.0, 0.5),
        resolution=Resolution(texels_per_m=72, light_per_m=3.0, key_per_m=16, gather=64, key_samples=3),
        backdrop=town_view,
        sights=(
            (-16.0, 7.0),
            (-8.0, 7.0),
            (0.0, 7.0),
            (9.0, 7.0),
            (-14.0, -7.0),
            (2.0, -7.0),
            (12.0, -7.0),
            (22.0, 1.0),
            (-22.0, 1.0),
        ),
    )


def _marked_road() -> Material:
    """Asphalt with a broken middle line and a zebra crossing, both worn."""
    ground = asphalt()

    def paint(sheet: Sheet) -> np.ndarray:
        picture = ground(sheet)
        lines = np.zeros((sheet.height, sheet.width), np.float32)
        unit, rng = sheet.per_m, sheet.rng
        middle = sheet.height // 2
        for x in np.arange(0.5, sheet.size_m[0], 3.0):
            end = (int((x + 1.5 + 0.1 * rng.random()) * unit), middle + int(0.06 * unit))
            cv2.rectangle(lines, (int(x * unit), middle - int(0.06 * unit)), end, 1.0, -1)
        start = int((HALF_LENGTH - 3.2) * unit)
        for y in np.arange(0.3, sheet.size_m[1] - 0.4, 0.85):
            end = (start + int(2.6 * unit), int((y + 0.45) * unit))
            cv2.rectangle(lines, (start, int(y * unit)), end, 1.0, -1)
        wear = np.clip(0.75 + 0.35 * rng.standard_normal((sheet.height, sheet.width)).astype(np.float32), 0, 1)
        share = (lines * wear)[..., None]
        return picture + (np.float32(0.80) - picture) * share * np.float32(0.85)

    return paint


def _ground() -> list[Piece]:
    x = HALF_LENGTH + 8
    slabs = paving([(0.62, 0.58, 0.52), (0.56, 0.53, 0.49), (0.68, 0.62, 0.55)], (0.55, 0.4))
    stone = courses([(0.60, 0.58, 0.55), (0.52, 0.50, 0.48)], (0.3, 0.29, 0.28), (0.9, 0.3), 0.01, 0.12)
    pieces: list[Piece] = [
        quad((-HALF_LENGTH, ROAD, 0), (2 * HALF_LENGTH, 0, 0), (0, -2 * ROAD, 0), _marked_road(), 1.1),
        quad((-x, ROAD, -0.001), (x - HALF_LENGTH, 0, 0), (0, -2 * ROAD, 0), asphalt(), 0.6),
        quad((HALF_LENGTH, ROAD, -0.001), (x - HALF_LENGTH, 0, 0), (0, -2 * ROAD, 0), asphalt(), 0.6),
        quad((-70, 70, -0.03), (140, 0, 0), (0, -140, 0), grass(), 0.08),
    ]
    for side in (-1, 1):
        low, high = sorted((side * (ROAD + 0.15), side * (KERB + 0.3)))
        pieces.append(quad((-x, high, 0.12), (2 * x, 0, 0), (0, low - high, 0), slabs, 1.1))
        low, high = sorted((side * ROAD, side * (ROAD + 0.15)))
        pieces += box((-x, low, 0), (x, high, 0.125), stone, 0.7, "bottom left right")
    return pieces


def _houses(rng: np.random.Generator) -> list[Piece]:
    parts: list[Piece] = []
    for turn, side in ((0, 1), (180, -1)):
        left, number = -HALF_LENGTH - 1, int(rng.integers(4))
        while left < HALF_LENGTH + 1:
            width = float(rng.uniform(6.0, 8.5))
            shop = bool(rng.random() < 0.45)
            front = house(rng, width, int(rng.integers(2, 4)), shop=shop, kind=number % 4)
            parts += placed(front, (left + width / 2, side * KERB, 0.1), turn)
            left, number = left + width + (0.0 if rng.random() < 0.75 else 1.2), number + 1
    for x, turn in ((-HALF_LENGTH - 9, 90), (HALF_LENGTH + 9, -90)):
        for k in range(3):
            front = house(rng, 7.5, 3, shop=k == 1, kind=int(rng.integers(4)))
            parts += placed(coarser(front, 0.45), (x, -8.0 + 8.0 * k, 0.05), turn)
    return parts


def _kerbside(rng: np.random.Generator) -> list[Piece]:
    parts: list[Piece] = []
    for side in (-1, 1):
        for k in range(7):
            x = -19.5 + 6.5 * k + side * 1.2
            if rng.random() < 0.62 and abs(x + 2) > 2.8:
                colour = vary(rng, CARS[int(rng.integers(len(CARS)))], 0.15)
                parts += placed(
                    car(rng, colour, float(rng.uniform(3.9, 4.5))), (x, side * (ROAD - 1.05), 0), 0 if side < 0 else 180
                )
        for k in range(5):
            x = -18.0 + 9.0 * k - side * 1.5
            green = vary(rng, (0.30, 0.46, 0.16), 0.25)
            parts += placed(
                tree(rng, float(rng.uniform(5.2, 6.8)), float(rng.uniform(1.6, 2.2)), green, 900),
                (x, side * (ROAD + 0.75), 0.1),
                rng.random() * 360,
            )
            rim = box((-0.5, -0.5, 0), (0.5, 0.5, 0.03), bark((0.30, 0.22, 0.16)), 0.8, "bottom")
            parts += placed(rim, (x, side * (ROAD + 0.75), 0.12))
            parts += placed(lamp_post(), (x + 4.5, side * (ROAD + 0.5), 0.12))
        for x in (-13.0, 7.5):
            parts += placed(bench(), (x + side, side * (KERB - 0.75), 0.12), 0 if side > 0 else 180)
            parts += placed(bin_for_litter(), (x + side + 1.4, side * (KERB - 0.5), 0.12))
        for _ in range(6):
            x = float(rng.uniform(-20, 20))
            pot = (
                potted(rng, float(rng.uniform(0.8, 1.2)))
                if rng.random() < 0.6
                else bush(rng, 0.38, (0.25, 0.42, 0.18), (0.9, 0.5, 0.6))
            )
            parts += placed(pot, (x, side * (KERB - 0.45), 0.12))
    return parts + placed(poster_pillar(), (4.0, ROAD + 1.2, 0.12))
