"""Wood: boards with their own colour, grain and knots."""

from __future__ import annotations

import cv2
import numpy as np

from worldloom.synth.materials.noise import (
    Colour,
    Material,
    Sheet,
    Stuff,
    fractal,
    modulate,
    plain,
    scratches,
    tint,
    vary,
)


def _grain(sheet: Sheet) -> np.ndarray:
    """Lines along u that bend around knots: (height, width) float32, about -1 to 1."""
    rng = sheet.rng
    across = np.arange(sheet.height, dtype=np.float32)[:, None] / sheet.per_m
    along = np.arange(sheet.width, dtype=np.float32)[None, :] / sheet.per_m
    rings = across * 55.0 + 1.6 * fractal(sheet, 0.8, 0.55, stretch=5.0)
    for _ in range(min(12, int(rng.poisson(0.9 * sheet.size_m[0] * sheet.size_m[1]) + 1))):
        x, y = rng.random(2) * sheet.size_m
        radius = 0.03 + 0.05 * rng.random()
        rows = slice(*np.searchsorted(across[:, 0], (y - 3 * radius, y + 3 * radius)))
        columns = slice(*np.searchsorted(along[0], (x - 9 * radius, x + 9 * radius)))
        near = ((along[:, columns] - x) / (3 * radius)) ** 2 + ((across[rows] - y) / radius) ** 2
        rings[rows, columns] += 5.0 * np.exp(-near)
    return 0.6 * np.sin(6.2832 * rings * 0.5) + 0.7 * fractal(sheet, 0.12, 0.85, stretch=8.0)


def wood(colour: Colour, contrast: float = 0.12, upright: bool = False) -> Material:
    """One piece of timber (furniture, frames, doors); grain along u, or along v where `upright`."""

    @Stuff
    def paint(sheet: Sheet) -> np.ndarray:
        if upright:
            turned = Sheet(sheet.width, sheet.height, (sheet.size_m[1], sheet.size_m[0]), sheet.rng)
            return np.ascontiguousarray(np.swapaxes(_timber(turned, colour, contrast), 0, 1))
        return _timber(sheet, colour, contrast)

    return paint


def _timber(sheet: Sheet, colour: Colour, contrast: float) -> np.ndarray:
    picture = plain(sheet, vary(sheet.rng, colour, 0.06))
    modulate(picture, _grain(sheet), contrast)
    modulate(picture, fractal(sheet, 0.6, 0.8), contrast * 0.5)
    return np.clip(picture, 0.02, 1.0)


def planks(
    colour: Colour, width_m: float = 0.14, length_m: float = 1.5, spread: float = 0.22, gap: float = 0.45
) -> Material:
    """Boards laid along u, each cut at its own length and from its own tree."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, colour)
        seams = np.ones((sheet.height, sheet.width), np.float32)
        shift = np.zeros((sheet.height, sheet.width), np.float32)
        top, line = 0, max(1, sheet.texels(0.004))
        while top < sheet.height:
            bottom = top + sheet.texels(width_m * (0.75 + 0.5 * rng.random()), 3)
            left = -int(rng.random() * length_m * sheet.per_m)
            while left < sheet.width:
                right = left + sheet.texels(length_m * (0.55 + 0.9 * rng.random()))
                corner, end = (max(left, 0), top), (right - 1, bottom - 1)
                cv2.rectangle(picture, corner, end, vary(rng, colour, spread), -1)
                cv2.rectangle(shift, corner, end, float(rng.normal()), -1)
                cv2.rectangle(seams, (left, top), end, 1.0 - gap, line)
                for peg in (left + 2 * line, right - 3 * line):
                    cv2.circle(seams, (peg, (top + bottom) // 2), line, 1.0 - gap, -1)
                left = right
            top = bottom
        modulate(picture, _grain(sheet) + 0.3 * shift, 0.11)
        modulate(picture, fractal(sheet, 1.2, 0.8), 0.07)
        scratches(sheet, picture, 2.0, 0.25, (0.9, 0.85, 0.75), 0.25)
        tint(picture, fractal(sheet, 1.5, 0.6) - 1.3, (0.12, 0.07, 0.03), 0.4)
        return np.clip(picture * seams[..., None], 0.02, 1.0)

    return paint
