"""Ground and growth: asphalt, paving, gravel, grass, bark, leaves, water, roof tiles."""

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


def asphalt(colour: Colour = (0.33, 0.33, 0.35)) -> Material:
    """Worn asphalt: chippings, oil stains, tar-filled cracks, patches from road works."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, colour)
        for _ in range(int(rng.poisson(0.03 * sheet.size_m[0] * sheet.size_m[1]))):
            corner = (rng.random(2) * (sheet.width, sheet.height)).astype(int)
            extent = ((0.4 + 1.8 * rng.random(2)) * sheet.per_m).astype(int)
            cv2.rectangle(picture, corner.tolist(), (corner + extent).tolist(), vary(rng, colour, 0.25), -1)
        modulate(picture, fractal(sheet, 1.5, 0.85), 0.10)
        tint(picture, fractal(sheet, 0.8, 0.6) - 1.2, (0.16, 0.15, 0.15), 0.7)
        light = [(0.62, 0.61, 0.58), (0.2, 0.2, 0.2), (0.52, 0.5, 0.5), (0.46, 0.40, 0.34)]
        flecks(sheet, picture, 90, (0.005, 0.022), light, 0.7)
        scratches(sheet, picture, 0.5, 2.0, (0.1, 0.1, 0.1), 0.8)
        return np.clip(picture, 0.03, 1.0)

    return paint


def paving(colours: list[Colour], slab_m: tuple[float, float], joint: Colour = (0.35, 0.33, 0.3)) -> Material:
    """Slabs with cut corners, stains, moss in the joints, a leaf here and there."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, joint)
        line, top = max(1, sheet.texels(0.012)), 0.0
        palette = shades_of(rng, colours, 0.16, 64)
        while top < sheet.height:
            rows = slab_m[1] * sheet.per_m
            left = -rng.random() * slab_m[0] * sheet.per_m
            while left < sheet.width:
                width = slab_m[0] * sheet.per_m * (0.7 + 0.6 * rng.random())
                colour = palette[int(64 * rng.random())]
                cv2.rectangle(
                    picture,
                    (int(left), int(top)),
                    (int(left + width) - line - 1, int(top + rows) - line - 1),
                    colour,
                    -1,
                )
                left += width
            top += rows
        modulate(picture, fractal(sheet, 0.6, 0.85), 0.10)
        tint(picture, fractal(sheet, 0.9, 0.7) - 1.1, (0.27, 0.28, 0.18), 0.35)
        flecks(sheet, picture, 55, (0.004, 0.025), [(0.25, 0.22, 0.2), (0.75, 0.72, 0.68), (0.55, 0.35, 0.15)], 0.6)
        return np.clip(picture, 0.03, 1.0)

    return paint


def gravel(colour: Colour = (0.72, 0.63, 0.50)) -> Material:
    """A path of fine gravel with larger pebbles, leaves and trodden hollows."""

    def paint(sheet: Sheet) -> np.ndarray:
        picture = plain(sheet, colour)
        modulate(picture, fractal(sheet, 0.9, 0.9), 0.09)
        tint(picture, fractal(sheet, 1.2, 0.7) - 0.9, (0.45, 0.37, 0.27), 0.4)
        stones = [(0.85, 0.8, 0.72), (0.5, 0.44, 0.37), (0.62, 0.55, 0.5), (0.38, 0.33, 0.3)]
        flecks(sheet, picture, 130, (0.006, 0.026), stones, 0.9)
        flecks(sheet, picture, 5, (0.02, 0.05), [(0.66, 0.42, 0.12), (0.5, 0.45, 0.15), (0.6, 0.25, 0.1)], 1.0)
        return np.clip(picture, 0.03, 1.0)

    return paint


def grass(colour: Colour = (0.33, 0.48, 0.17), flowers: float = 6.0) -> Material:
    """Lawn: blades, bare and lush patches, clover, daisies, fallen leaves."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, colour)
        modulate(picture, fractal(sheet, 2.0, 0.92), 0.17)
        tint(picture, fractal(sheet, 1.8, 0.75) - 0.5, (0.50, 0.52, 0.20), 0.35)
        tint(picture, fractal(sheet, 1.2, 0.75) - 0.9, (0.18, 0.33, 0.10), 0.45)
        tint(picture, fractal(sheet, 0.9, 0.7) - 1.6, (0.45, 0.36, 0.22), 0.6)
        count = int(min(120 * sheet.size_m[0] * sheet.size_m[1], sheet.height * sheet.width / 30))
        start = rng.random((count, 2)) * (sheet.width, sheet.height)
        lean = rng.normal(0, 0.05, (count, 2)) * sheet.per_m
        shades = [
            vary(rng, c, 0.2) for c in ((0.46, 0.62, 0.22), (0.24, 0.40, 0.12), (0.58, 0.62, 0.28)) for _ in range(6)
        ]
        ends = np.stack([start, start + lean], 1).astype(np.int32)
        for k, shade in enumerate(shades):
            cv2.polylines(picture, list(ends[k :: len(shades)]), False, shade, 1)
        petals = [(0.95, 0.95, 0.9), (0.95, 0.85, 0.2), (0.72, 0.5, 0.8), (0.9, 0.4, 0.45)]
        flecks(sheet, picture, flowers, (0.012, 0.03), petals)
        flecks(sheet, picture, 2.5, (0.03, 0.06), [(0.62, 0.40, 0.12), (0.55, 0.3, 0.12)])
        return np.clip(picture, 0.03, 1.0)

    return paint


def bark(colour: Colour = (0.40, 0.31, 0.23)) -> Material:
    """Furrowed bark; furrows run along v."""

    @Stuff
    def paint(sheet: Sheet) -> np.ndarray:
        turned = Sheet(sheet.width, sheet.height, (sheet.size_m[1], sheet.size_m[0]), sheet.rng)
        ridges = np.ascontiguousarray(fractal(turned, 0.12, 0.85, stretch=5.0).T)
        picture = modulate(plain(sheet, colour), ridges, 0.3)
        tint(picture, fractal(sheet, 0.5, 0.7) - 0.9, (0.45, 0.52, 0.28), 0.5)
        return np.clip(picture, 0.03, 1.0)

    return paint


def foliage(colour: Colour, blossom: Colour | None = None) -> Material:
    """Dense leaves seen from outside (hedges, the inside of a crown)."""

    @Stuff
    def paint(sheet: Sheet) -> np.ndarray:
        picture = plain(sheet, (colour[0] * 0.45, colour[1] * 0.45, colour[2] * 0.45))
        modulate(picture, fractal(sheet, 0.5, 0.8), 0.15)
        shades = [
            colour,
            (colour[0] * 1.3, colour[1] * 1.25, colour[2]),
            (colour[0] * 0.7, colour[1] * 0.75, colour[2] * 0.7),
        ]
        flecks(sheet, picture, 900, (0.012, 0.035), [(min(r, 1.0), min(g, 1.0), b) for r, g, b in shades])
        if blossom is not None:
            flecks(sheet, picture, 70, (0.015, 0.04), [blossom])
        return np.clip(picture, 0.02, 1.0)

    return paint


def water(colour: Colour = (0.25, 0.42, 0.48)) -> Material:
    """A still pond: sky and trees mirrored, ripples, lily pads with blossoms, duckweed."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, colour)
        tint(picture, fractal(sheet, 2.5, 0.7, stretch=2.0), (0.62, 0.75, 0.82), 0.45)
        tint(picture, fractal(sheet, 1.5, 0.7, stretch=2.0) - 0.6, (0.12, 0.22, 0.16), 0.6)
        modulate(picture, fractal(sheet, 0.3, 0.85, stretch=4.0), 0.05)
        for _ in range(int(2.2 * sheet.size_m[0] * sheet.size_m[1])):
            at = (rng.random(2) * (sheet.width, sheet.height)).astype(int)
            radius = sheet.texels(0.06 + 0.13 * rng.random(), 2)
            angle = float(rng.random() * 360)
            pad = vary(rng, (0.30, 0.50, 0.22), 0.3)
            cv2.ellipse(picture, at.tolist(), (radius, int(radius * 0.9)), angle, 20, 345, pad, -1)
            cv2.ellipse(
                picture, at.tolist(), (radius, int(radius * 0.9)), angle, 20, 345, vary(rng, (0.2, 0.36, 0.15), 0.2), 1
            )
            if rng.random() < 0.3:
                cv2.circle(picture, at.tolist(), max(1, radius // 3), vary(rng, (0.95, 0.75, 0.85), 0.1), -1)
        flecks(sheet, picture, 30, (0.004, 0.015), [(0.45, 0.6, 0.25), (0.6, 0.68, 0.3)])
        return np.clip(picture, 0.03, 1.0)

    return paint


def roof_tiles(colour: Colour = (0.60, 0.30, 0.20)) -> Material:
    """Clay tiles in overlapping rows, sun-bleached, mossy."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, (colour[0] * 0.4, colour[1] * 0.4, colour[2] * 0.4))
        row, width = sheet.texels(0.28, 3), sheet.texels(0.22, 3)
        palette = shades_of(rng, [colour], 0.25, 64)
        for top in range(0, sheet.height, row):
            for left in range(-int(rng.integers(width)), sheet.width, width):
                end = (left + width - 2, top + row - max(1, row // 8) - 1)
                cv2.rectangle(picture, (left, top), end, palette[int(64 * rng.random())], -1)
        modulate(picture, fractal(sheet, 0.8, 0.85), 0.10)
        tint(picture, fractal(sheet, 1.0, 0.7) - 1.2, (0.35, 0.38, 0.22), 0.5)
        return np.clip(picture, 0.03, 1.0)

    return paint
