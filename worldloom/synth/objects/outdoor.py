"""What stands in streets and parks: cars, lamp posts, benches, fences, bins, a fountain, a pavilion."""

from __future__ import annotations

import cv2
import numpy as np

from worldloom.synth.geometry import Piece, placed, tilted
from worldloom.synth.materials.fabrics import cloth, painted
from worldloom.synth.materials.ground import roof_tiles, water
from worldloom.synth.materials.noise import Colour, Material, Sheet, fractal, modulate, plain, vary
from worldloom.synth.materials.pictures import poster, sign
from worldloom.synth.materials.walls import plaster, rubble
from worldloom.synth.materials.wood import planks, wood
from worldloom.synth.shapes import ball, box, cylinder, disc, loft, quad, quad4, tube

IRON: Colour = (0.13, 0.16, 0.15)
STONE: list[Colour] = [(0.62, 0.59, 0.53), (0.70, 0.66, 0.58), (0.55, 0.52, 0.48)]


def _car_body(colour: Colour) -> Material:
    """Unrolled car body: paint with door gaps, handles and a dirty belly; u = 0 and 1 is the middle of the roof."""

    def paint(sheet: Sheet) -> np.ndarray:
        picture = painted(colour, 0.2)(sheet)
        height, width = sheet.height, sheet.width
        dark = (colour[0] * 0.35, colour[1] * 0.35, colour[2] * 0.35)
        line = max(1, sheet.texels(0.008))
        for v in (0.32, 0.50, 0.68):
            for a, b in ((0.10, 0.36), (0.64, 0.90)):
                cv2.line(picture, (int(a * width), int(v * height)), (int(b * width), int(v * height)), dark, line)
        for v in (0.46, 0.64):
            for u in (0.17, 0.83):
                cv2.rectangle(
                    picture,
                    (int(u * width), int(v * height)),
                    (int((u + 0.012) * width), int((v + 0.03) * height)),
                    (0.8, 0.8, 0.8),
                    -1,
                )
        off = np.abs(np.arange(width) / width - 0.5)
        belly = np.where(off < 0.16, 0.35 + 2.0 * np.maximum(off - 0.05, 0), 1.0)
        picture *= belly.astype(np.float32)[None, :, None]
        return np.clip(picture, 0.02, 1.0)

    return paint


def _glasshouse(colour: Colour) -> Material:
    """The cabin: glass that mirrors the sky between pillars, under a painted roof."""

    def paint(sheet: Sheet) -> np.ndarray:
        glass = modulate(plain(sheet, (0.22, 0.28, 0.33)), fractal(sheet, 0.6, 0.7), 0.22)
        u = np.arange(sheet.width) / sheet.width
        off = np.minimum(u, 1 - u)
        glass[:, off < 0.17] = colour
        rows = np.arange(sheet.height) / sheet.height
        for pillar in (0.26, 0.52, 0.76):
            glass[np.abs(rows - pillar) < 0.016] = (colour[0] * 0.5, colour[1] * 0.5, colour[2] * 0.5)
        return np.clip(modulate(glass, fractal(sheet, 0.3, 0.8), 0.05), 0.02, 1.0)

    return paint


def car(rng: np.random.Generator, colour: Colour, length: float = 4.2) -> list[Piece]:
    """A parked car along x, its nose towards +x."""
    k = length / 4.2
    body = [  # x from the nose backwards: half width, half height, height of the middle
        (2.10, 0.55, 0.12, 0.52),
        (2.05, 0.72, 0.20, 0.52),
        (1.85, 0.80, 0.27, 0.54),
        (1.2, 0.86, 0.33, 0.58),
        (0.5, 0.87, 0.36, 0.60),
        (-0.6, 0.87, 0.37, 0.61),
        (-1.5, 0.85, 0.36, 0.63),
        (-1.95, 0.79, 0.31, 0.62),
        (-2.08, 0.70, 0.24, 0.60),
        (-2.10, 0.5, 0.14, 0.58),
    ]
    cabin = [
        (1.02, 0.55, 0.03, 0.92),
        (0.95, 0.66, 0.10, 0.95),
        (0.35, 0.68, 0.33, 1.10),
        (-0.3, 0.68, 0.36, 1.12),
        (-1.1, 0.66, 0.31, 1.09),
        (-1.55, 0.62, 0.12, 0.98),
        (-1.62, 0.5, 0.03, 0.93),
    ]

    def along_x(rows: list[tuple[float, float, float, float]], paint: Material, power: float) -> Piece:
        rings = [(x * k, high, half, middle, 0.0) for x, half, high, middle in rows]
        upright = loft([(z, rx, ry, cx, 0.0) for z, rx, ry, cx, _ in rings], paint, 24, power)
        turn = np.eye(4)  # (x, y, z) of the loft is (height, side, length) of the car
        turn[:3, :3] = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
        flipped = upright.moved(turn)
        grid = np.roll(flipped.grid[:, :-1], -18, axis=1)[:, ::-1]
        return type(flipped)(np.concatenate([grid, grid[:, :1]], 1), paint, 0.9, smooth=True)

    parts: list[Piece] = [along_x(body, _car_body(colour), 3.4), along_x(cabin, _glasshouse(colour), 3.0)]
    tyre, rim = painted((0.10, 0.10, 0.11)), painted((0.68, 0.70, 0.72))
    for x in (1.28 * k, -1.28 * k):
        for side in (-1, 1):
            wheel = placed([*cylinder(0.32, -0.11, 0.11, tyre, 16), disc(0.2, 0.115, rim, 12)])
            parts += placed(tilted(wheel, about_x_deg=-90 * side), (x, side * 0.76, 0.32))
    for side in (-1, 1):
        parts.append(ball((0.05, 0.15, 0.08), (2.02 * k, side * 0.52, 0.62), cloth((0.95, 0.95, 0.88), 0.05), 10))
        parts.append(ball((0.04, 0.13, 0.08), (-2.05 * k, side * 0.56, 0.70), painted((0.75, 0.10, 0.08)), 10))
        parts.append(ball((0.09, 0.06, 0.06), (0.75 * k, side * 0.92, 0.92), painted(colour), 10))
    letters = "".join(chr(65 + int(c)) for c in rng.integers(0, 26, 3)) + str(int(rng.integers(100, 999)))
    plate = sign(letters, (0.92, 0.92, 0.85), (0.1, 0.1, 0.12))
    parts.append(quad((2.115 * k, -0.25, 0.52), (0, 0.5, 0), (0, 0, -0.11), plate, 2.0))
    parts.append(quad((-2.115 * k, 0.25, 0.66), (0, -0.5, 0), (0, 0, -0.11), plate, 2.0))
    return parts


def lamp_post(height: float = 4.2) -> list[Piece]:
    """A cast-iron street lamp with a lantern."""
    iron = painted(IRON, 0.6)
    parts: list[Piece] = [
        loft([(0.5, 0.07, 0.07), (0.42, 0.12, 0.12), (0.1, 0.14, 0.14), (0, 0.18, 0.18)], iron, 12),
        tube([(0, 0, 0.4), (0, 0, height / 2), (0, 0, height - 0.4)], [0.055, 0.045, 0.035], iron, 10),
        loft([(height, 0.14, 0.14), (height - 0.4, 0.08, 0.08)], cloth((0.95, 0.90, 0.75)), 6, smooth=False),
        loft(
            [(height + 0.2, 0.0, 0.0), (height + 0.16, 0.03, 0.03), (height, 0.19, 0.19), (height - 0.01, 0.0, 0.0)],
            iron,
            6,
            smooth=False,
        ),
    ]
    return [*parts, tube([(-0.3, 0, height - 0.62), (0, 0, height - 0.66), (0.3, 0, height - 0.62)], 0.018, iron)]


def bench(colour: Colour = (0.50, 0.33, 0.20), width: float = 1.7) -> list[Piece]:
    """A park bench that faces -y."""
    slat, iron = wood(colour, 0.18), painted(IRON, 0.6)
    parts: list[Piece] = []
    for k in range(4):
        parts += box((-width / 2, -0.25 + 0.13 * k, 0.43), (width / 2, -0.15 + 0.13 * k, 0.47), slat)
    for k in range(3):
        parts += placed(
            tilted(box((-width / 2, 0, 0.0), (width / 2, 0.03, 0.11), slat), about_x_deg=-10),
            (0, 0.26 + 0.03 * k, 0.52 + 0.15 * k),
        )
    for x in (-width / 2 + 0.12, width / 2 - 0.12):
        parts += box((x - 0.03, -0.24, 0), (x + 0.03, -0.18, 0.43), iron)
        parts += box((x - 0.03, 0.22, 0), (x + 0.03, 0.28, 0.46), iron)
        parts.append(tube([(x, -0.24, 0.4), (x, -0.26, 0.64), (x, 0.1, 0.66), (x, 0.3, 0.62)], 0.022, iron))
        parts.append(tube([(x, 0.25, 0.4), (x, 0.3, 0.7), (x, 0.36, 0.98)], 0.022, iron))
    return parts


def bin_for_litter(colour: Colour = (0.20, 0.34, 0.24)) -> list[Piece]:
    """A litter bin with an open lid."""
    paint = painted(colour, 0.9)
    return [
        loft(
            [(0.9, 0.22, 0.22), (0.86, 0.26, 0.26), (0.84, 0.23, 0.23), (0.04, 0.19, 0.19), (0, 0.16, 0.16)], paint, 16
        ),
        disc(0.21, 0.88, painted((0.08, 0.08, 0.08)), 12),
    ]


def picket_fence(
    rng: np.random.Generator, length: float, height: float = 1.0, colour: Colour = (0.90, 0.88, 0.82)
) -> list[Piece]:
    """Upright boards along x, each a little different."""
    parts: list[Piece] = []
    for z in (0.3, 0.75):
        parts += box(
            (-length / 2, 0.0, z * height), (length / 2, 0.04, z * height + 0.07), wood(colour, 0.1), 0.6, "left right"
        )
    count = max(2, round(length / 0.17))
    boards = [wood(vary(rng, colour, 0.12), 0.14, upright=True) for _ in range(4)]
    for k in range(count):
        x, top = -length / 2 + (k + 0.5) * length / count, height * (0.95 + 0.08 * rng.random())
        parts += box(
            (x - 0.045, -0.025, 0.04),
            (x + 0.045, 0.0, top),
            boards[int(rng.integers(4))],
            0.5,
            "bottom",
        )
    return parts


def railing(length: float, height: float = 1.0) -> list[Piece]:
    """An iron railing along x."""
    iron = painted(IRON, 0.7)
    parts: list[Piece] = [
        tube([(-length / 2, 0, z), (0, 0, z), (length / 2, 0, z)], 0.018, iron, 6) for z in (0.12, height)
    ]
    count = max(2, round(length / 0.22))
    for k in range(count + 1):
        x = -length / 2 + k * length / count
        parts.append(tube([(x, 0, 0), (x, 0, height / 2), (x, 0, height + 0.12)], 0.011, iron, 5))
    return parts


def fountain() -> list[Piece]:
    """A round stone fountain with two bowls."""
    stone = rubble(STONE, (0.45, 0.43, 0.4), 0.28)
    smooth = plaster((0.72, 0.69, 0.62), 0.9)
    rim = loft(
        [(0.55, 1.75, 1.75), (0.6, 1.85, 1.85), (0.6, 2.1, 2.1), (0.5, 2.12, 2.12), (0.48, 2.0, 2.0), (0, 2.1, 2.1)],
        stone,
        32,
    )
    pillar = loft([(1.2, 0.25, 0.25), (1.0, 0.18, 0.18), (0.6, 0.24, 0.24), (0.4, 0.4, 0.4)], smooth, 18)
    bowl = loft([(1.42, 0.9, 0.9), (1.38, 0.95, 0.95), (1.3, 0.8, 0.8), (1.18, 0.3, 0.3)], smooth, 24)
    top = loft(
        [
            (2.25, 0.0, 0.0),
            (2.2, 0.08, 0.08),
            (2.0, 0.13, 0.13),
            (1.9, 0.4, 0.4),
            (1.85, 0.38, 0.38),
            (1.7, 0.1, 0.1),
            (1.35, 0.14, 0.14),
        ],
        smooth,
        20,
    )
    return [rim, pillar, bowl, top, disc(1.8, 0.46, water(), 30), disc(0.86, 1.36, water(), 20)]


def pavilion(rng: np.random.Generator, radius: float = 2.2) -> list[Piece]:
    """An open wooden pavilion with six posts under a tiled roof."""
    white = (0.90, 0.88, 0.82)
    timber, floor = wood(white, 0.1), planks(white)
    corners = [(radius * np.cos(a), radius * np.sin(a)) for a in np.arange(6) * np.pi / 3 + 0.3]
    parts: list[Piece] = [
        loft(
            [(0.14, radius * 1.12, radius * 1.12), (0, radius * 1.15, radius * 1.15)],
            rubble(STONE, (0.4, 0.38, 0.35), 0.25),
            24,
        )
    ]
    parts.append(disc(radius * 1.12, 0.14, planks((0.52, 0.38, 0.26)), 24))
    top, peak, out = 2.5, 3.9, 1.25
    for k, (x, y) in enumerate(corners):
        nx, ny = corners[(k + 1) % 6]
        parts.append(tube([(x, y, 0.1), (x, y, 1.3), (x, y, top)], 0.07, timber, 8))
        parts.append(
            tube(
                [(x, y, top - 0.08), ((x + nx) / 2, (y + ny) / 2, top - 0.02), (nx, ny, top - 0.08)],
                0.06,
                timber,
                6,
            )
        )
        if k not in (1, 4):
            for z in (0.4, 0.95):
                parts.append(tube([(x, y, z), ((x + nx) / 2, (y + ny) / 2, z), (nx, ny, z)], 0.03, timber, 6))
            for s in np.linspace(0.1, 0.9, 9):
                px, py = x + s * (nx - x), y + s * (ny - y)
                parts.append(tube([(px, py, 0.4), (px, py, 0.7), (px, py, 0.95)], 0.018, timber, 5))
        parts.append(
            quad4(
                (0, 0, peak),
                (0, 0, peak),
                (x * out, y * out, top - 0.12),
                (nx * out, ny * out, top - 0.12),
                roof_tiles(vary(rng, (0.58, 0.30, 0.22), 0.15)),
            )
        )
        parts.append(
            quad4(
                (0, 0, peak - 0.06),
                (0, 0, peak - 0.06),
                (nx * out, ny * out, top - 0.14),
                (x * out, y * out, top - 0.14),
                floor,
                0.6,
            )
        )
    return [*parts, ball((0.14, 0.14, 0.2), (0, 0, peak + 0.1), painted((0.75, 0.62, 0.3)), 12)]


def poster_pillar() -> list[Piece]:
    """An advertising column covered with posters."""
    parts: list[Piece] = [
        loft([(2.5, 0.6, 0.6), (0.1, 0.6, 0.6), (0, 0.68, 0.68)], painted((0.25, 0.36, 0.30), 0.6), 24)
    ]
    for k in range(5):
        for z in (0.35, 1.4):
            angles = np.linspace(k * 1.2566 + 0.06, (k + 1) * 1.2566 - 0.06, 7)[::-1]
            ring = np.stack([0.61 * np.cos(angles), 0.61 * np.sin(angles)], -1)
            grid = np.array([[(x, y, z + h) for x, y in ring[::-1]] for h in (0.98, 0.0)])
            parts.append(
                quad((0, 0, 0), (1, 0, 0), (0, 0, -1), poster(), 1.5).__class__(grid, poster(), 1.5, smooth=True)
            )
    dome = loft(
        [(3.15, 0.0, 0.0), (3.1, 0.06, 0.06), (2.85, 0.35, 0.35), (2.6, 0.72, 0.72), (2.5, 0.72, 0.72)],
        painted((0.25, 0.36, 0.30), 0.6),
        24,
    )
    return [*parts, dome]
