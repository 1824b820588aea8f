"""Walls: plaster, wallpaper, tiles, brick, stone."""

from __future__ import annotations

import cv2
import numpy as np

from worldloom.synth.materials.noise import (
    Colour,
    Material,
    Sheet,
    Stuff,
    flecks,
    fractal,
    modulate,
    plain,
    scratches,
    shades_of,
    tint,
    vary,
)


def plaster(colour: Colour, age: float = 0.5) -> Material:
    """Trowelled plaster with stains, chips and hairline cracks; `age` 0 is fresh, 1 is old."""

    @Stuff
    def paint(sheet: Sheet) -> np.ndarray:
        picture = plain(sheet, colour)
        modulate(picture, fractal(sheet, 1.0, 0.8), 0.035 + 0.05 * age)
        dark = (colour[0] * 0.6, colour[1] * 0.55, colour[2] * 0.5)
        pale = (min(1, colour[0] * 1.15), min(1, colour[1] * 1.15), min(1, colour[2] * 1.15))
        tint(picture, fractal(sheet, 0.7, 0.65) - 0.9, dark, 0.35 * age)
        flecks(sheet, picture, 80 + 140 * age, (0.002, 0.018), [dark, pale], 0.25 + 0.25 * age)
        scratches(sheet, picture, 1 + 3 * age, 0.5, dark, 0.6)
        return np.clip(picture, 0.02, 1.0)

    return paint


def wallpaper(ground: Colour, leaves: list[Colour], per_m2: float = 22.0) -> Material:
    """Hand-printed botanical wallpaper: twigs, leaves and blossoms strewn without a repeat."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, ground)
        modulate(picture, fractal(sheet, 0.8, 0.8), 0.03)
        flecks(sheet, picture, 260, (0.002, 0.009), [vary(rng, ground, 0.25), leaves[0]], 0.35)
        for _ in range(int(per_m2 * sheet.size_m[0] * sheet.size_m[1])):
            spot = rng.random(2) * (sheet.width, sheet.height)
            _twig(sheet, picture, spot, leaves)
        modulate(picture, fractal(sheet, 0.05, 0.9), 0.025)
        return np.clip(picture, 0.02, 1.0)

    return paint


def _twig(sheet: Sheet, picture: np.ndarray, spot: np.ndarray, leaves: list[Colour]) -> None:
    rng, unit = sheet.rng, sheet.per_m
    turn = rng.random() * 2 * np.pi + np.cumsum(rng.normal(0, 0.28, 7))
    step = (0.018 + 0.022 * rng.random()) * unit
    path = spot + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1) * step, 0)
    stem, colour = vary(rng, leaves[0], 0.3), leaves[int(rng.integers(len(leaves)))]
    cv2.polylines(picture, [(path * 8).astype(np.int32)], False, stem, max(1, round(0.003 * unit)), cv2.LINE_8, 3)
    for point, angle in zip(path, turn, strict=True):
        for side in (-1.0, 1.0):
            if rng.random() < 0.25:
                continue
            lean = angle + side * (0.7 + 0.3 * rng.random())
            length = (0.012 + 0.016 * rng.random()) * unit
            middle = ((point + length * np.array([np.cos(lean), np.sin(lean)])) * 8).astype(int)
            axes = (max(6, int(length * 8)), max(5, int(length * 3)))
            cv2.ellipse(
                picture, middle.tolist(), axes, np.degrees(lean), 0, 360, vary(rng, colour, 0.2), -1, cv2.LINE_8, 3
            )
    if rng.random() < 0.5:
        _blossom(sheet, picture, path[-1], vary(rng, leaves[-1], 0.2))


def _blossom(sheet: Sheet, picture: np.ndarray, centre: np.ndarray, colour: Colour) -> None:
    radius = (0.010 + 0.016 * sheet.rng.random()) * sheet.per_m
    start, petals = sheet.rng.random() * 6.28, int(sheet.rng.integers(5, 8))
    for k in range(petals):
        angle = start + k * 6.2832 / petals
        at = ((centre + radius * np.array([np.cos(angle), np.sin(angle)])) * 8).astype(int)
        axes = (max(5, int(radius * 6)), max(5, int(radius * 4)))
        cv2.ellipse(picture, at.tolist(), axes, np.degrees(angle), 0, 360, colour, -1, cv2.LINE_8, 3)
    cv2.circle(
        picture, (centre * 8).astype(int).tolist(), max(4, int(radius * 3.5)), (0.85, 0.65, 0.2), -1, cv2.LINE_8, 3
    )


def courses(
    colours: list[Colour],
    mortar: Colour,
    brick_m: tuple[float, float],
    joint_m: float = 0.012,
    spread: float = 0.18,
    uneven: float = 0.1,
) -> Material:
    """Bricks or blocks in courses, each with a colour, a length and blemishes of its own.

    Args:
        colours: of the bricks, drawn at random.
        mortar: of the joints.
        brick_m: length and height.
        joint_m: width of the joints.
        spread: how much bricks of one colour differ.
        uneven: how much their lengths differ, as a share.
    """

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, mortar)
        modulate(picture, fractal(sheet, 0.1, 0.9), 0.1)
        joint = max(1, sheet.texels(joint_m))
        palette, top = shades_of(rng, colours, spread, 64), 0.0
        while top < sheet.height:
            rows = brick_m[1] * sheet.per_m * (1 + uneven * (rng.random() - 0.5))
            left = -rng.random() * brick_m[0] * sheet.per_m
            while left < sheet.width:
                length = brick_m[0] * sheet.per_m * (1 + uneven * (2 * rng.random() - 1))
                colour = palette[int(64 * rng.random())]
                end = (int(left + length) - joint - 1, int(top + rows) - joint - 1)
                cv2.rectangle(picture, (int(left), int(top)), end, colour, -1)
                left += length
            top += rows
        modulate(picture, fractal(sheet, 0.35, 0.85), 0.10)
        tint(picture, fractal(sheet, 1.4, 0.6) - 1.0, (0.18, 0.15, 0.12), 0.3)
        flecks(sheet, picture, 180, (0.002, 0.014), [(0.2, 0.16, 0.14), (0.85, 0.8, 0.75)], 0.45)
        return np.clip(picture, 0.02, 1.0)

    return paint


def red_brick(warm: float = 1.0) -> Material:
    """House brick."""
    colours = [(0.62 * warm, 0.32, 0.24), (0.70 * warm, 0.40, 0.29), (0.52 * warm, 0.27, 0.22), (0.58, 0.38, 0.30)]
    return courses([(min(r, 1.0), g, b) for r, g, b in colours], (0.72, 0.69, 0.64), (0.24, 0.075), 0.012)


def rubble(colours: list[Colour], joint: Colour, size_m: float = 0.3) -> Material:
    """Irregular stones (natural stone walls, crazy paving): cells of random points."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        scale = max(1, sheet.texels(size_m) // 24)
        rows, columns = max(2, sheet.height // scale), max(2, sheet.width // scale)
        cell = max(3.0, size_m * sheet.per_m / scale)
        grid = np.stack(np.meshgrid(np.arange(0, columns, cell), np.arange(0, rows, cell)), -1).reshape(-1, 2)
        points = grid + rng.random(grid.shape) * cell * 0.95
        seeds = np.full((rows, columns), 255, np.uint8)
        inside = (points[:, 0] < columns) & (points[:, 1] < rows)
        seeds[points[inside, 1].astype(int), points[inside, 0].astype(int)] = 0
        _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        labels = cv2.resize(labels.astype(np.float32), (sheet.width, sheet.height), interpolation=cv2.INTER_NEAREST)
        table = np.asarray(colours, np.float32)[rng.integers(0, len(colours), int(labels.max()) + 1)]
        table *= 0.8 + 0.4 * rng.random((len(table), 1), np.float32)
        picture = table[labels.astype(np.int32)]
        width = max(1, sheet.texels(0.012)) * 2 + 1
        kernel = np.ones((width, width), np.uint8)
        edge = (cv2.dilate(labels, kernel) != cv2.erode(labels, kernel))[..., None]
        picture = np.where(edge, np.asarray(joint, np.float32), picture)
        modulate(picture, fractal(sheet, 0.3, 0.85), 0.12)
        flecks(sheet, picture, 160, (0.003, 0.016), [(0.3, 0.28, 0.25), (0.8, 0.78, 0.72), colours[0]], 0.4)
        return np.clip(picture, 0.02, 1.0)

    return paint


def painted_tiles(colours: list[Colour], ground: Colour, size_m: float = 0.15) -> Material:
    """Hand-painted tiles, no two with the same figure."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, ground)
        side = max(6, sheet.texels(size_m))
        for top in range(0, sheet.height, side):
            for left in range(0, sheet.width, side):
                cv2.rectangle(picture, (left, top), (left + side, top + side), vary(rng, ground, 0.3), -1)
                centre = np.array([left + side / 2, top + side / 2])
                colour, other = (vary(rng, colours[int(rng.integers(len(colours)))], 0.2) for _ in range(2))
                for _ in range(int(rng.integers(3, 7))):
                    at = centre + rng.normal(0, 0.2 * side, 2)
                    axes = (int(side * (0.05 + 0.2 * rng.random()) * 8), int(side * (0.04 + 0.1 * rng.random()) * 8))
                    fill = -1 if rng.random() < 0.6 else max(1, side // 20)
                    shade = colour if rng.random() < 0.6 else other
                    cv2.ellipse(
                        picture,
                        (at * 8).astype(int).tolist(),
                        axes,
                        rng.random() * 180,
                        0,
                        360,
                        shade,
                        fill,
                        cv2.LINE_8,
                        3,
                    )
                cv2.rectangle(
                    picture,
                    (left, top),
                    (left + side, top + side),
                    vary(rng, (0.55, 0.53, 0.5), 0.3),
                    max(1, side // 40),
                )
        modulate(picture, fractal(sheet, 0.3, 0.85), 0.05)
        return np.clip(picture, 0.02, 1.0)

    return paint
