"""Cloth, leather, painted metal and other covers of furniture and clothes."""

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
    tint,
    vary,
)


def cloth(colour: Colour, strength: float = 0.10) -> Material:
    """Woven cloth with folds and wear."""

    @Stuff
    def paint(sheet: Sheet) -> np.ndarray:
        picture = plain(sheet, colour)
        modulate(picture, fractal(sheet, 0.4, 0.9), strength)
        modulate(picture, fractal(sheet, 0.5, 0.6, stretch=3.0), strength * 0.5)
        pale = (min(1.0, colour[0] * 1.35), min(1.0, colour[1] * 1.35), min(1.0, colour[2] * 1.35))
        flecks(sheet, picture, 220, (0.002, 0.008), [pale, (colour[0] * 0.6, colour[1] * 0.6, colour[2] * 0.6)], 0.5)
        return np.clip(picture, 0.02, 1.0)

    return paint


def stripes(colours: list[Colour], width_m: float = 0.05, upright: bool = True) -> Material:
    """Stripes of random width and colour; they run along v where `upright`."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        length = sheet.width if upright else sheet.height
        band = np.zeros((length, 3), np.float32)
        start = 0
        while start < length:
            stop = start + max(1, int(width_m * sheet.per_m * (0.3 + 1.4 * rng.random())))
            band[start:stop] = vary(rng, colours[int(rng.integers(len(colours)))], 0.12)
            start = stop
        picture = np.broadcast_to(band[None] if upright else band[:, None], (sheet.height, sheet.width, 3)).copy()
        modulate(picture, fractal(sheet, 0.3, 0.85), 0.07)
        return np.clip(picture, 0.02, 1.0)

    return paint


def plaid(colours: list[Colour], size_m: float = 0.12) -> Material:
    """Crossing bands, each of its own width and colour."""
    along, across = stripes(colours, size_m, True), stripes(colours, size_m, False)

    def paint(sheet: Sheet) -> np.ndarray:
        return 0.5 * (along(sheet) + across(sheet))

    return paint


def printed(ground: Colour, colours: list[Colour], size_m: float = 0.03, per_m2: float = 180.0) -> Material:
    """Cloth printed with dots and petals of many sizes."""

    def paint(sheet: Sheet) -> np.ndarray:
        picture = cloth(ground, 0.06)(sheet)
        flecks(sheet, picture, per_m2, (0.35 * size_m, size_m), colours)
        return modulate(picture, fractal(sheet, 0.2, 0.85), 0.05)

    return paint


def rug(colours: list[Colour]) -> Material:
    """A knotted rug: borders, medallions and a field of small figures, none twice the same."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, colours[0])
        inset = 0
        for share in (0.02, 0.10, 0.025, 0.015):
            shade = vary(rng, colours[int(rng.integers(len(colours)))], 0.15)
            cv2.rectangle(picture, (inset, inset), (sheet.width - inset - 1, sheet.height - inset - 1), shade, -1)
            _figures(sheet, picture, colours, 60)
            inset += sheet.texels(share * min(sheet.size_m) * 1.6)
        cv2.rectangle(picture, (inset, inset), (sheet.width - inset - 1, sheet.height - inset - 1), colours[0], -1)
        inside = picture[inset : sheet.height - inset, inset : sheet.width - inset]
        patch = np.ascontiguousarray(inside)
        _figures(Sheet.of(patch, sheet.size_m, rng), patch, colours[1:], 170)
        centre = np.array(patch.shape[1::-1]) / 2
        for k, size in enumerate((0.36, 0.30, 0.22, 0.16, 0.08)):
            points = 8 + 2 * int(rng.integers(0, 4))
            angle = np.arange(points) * 2 * np.pi / points
            reach = size * (0.75 + 0.25 * rng.random(points)) * min(patch.shape[:2])
            star = centre + np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None] * (1.5, 1.0)
            cv2.fillPoly(patch, [star.astype(np.int32)], vary(rng, colours[(k + 1) % len(colours)], 0.1))
        inside[:] = patch
        modulate(picture, fractal(sheet, 0.5, 0.95), 0.08)
        return np.clip(picture, 0.02, 1.0)

    return paint


def _figures(sheet: Sheet, picture: np.ndarray, colours: list[Colour], per_m2: float) -> None:
    rng = sheet.rng
    for _ in range(int(per_m2 * sheet.size_m[0] * sheet.size_m[1])):
        centre = rng.random(2) * picture.shape[1::-1]
        corners = int(rng.integers(3, 7))
        angle = rng.random() * 6.28 + np.sort(rng.random(corners)) * 6.28
        reach = (0.012 + 0.04 * rng.random(corners)) * sheet.per_m
        shape = centre + np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]
        cv2.fillPoly(picture, [shape.astype(np.int32)], vary(rng, colours[int(rng.integers(len(colours)))], 0.2))


def painted(colour: Colour, wear: float = 0.3) -> Material:
    """Paint on metal or wood: nearly even, with mirrored light, dust, chips and scratches."""

    @Stuff
    def paint(sheet: Sheet) -> np.ndarray:
        picture = plain(sheet, colour)
        modulate(picture, fractal(sheet, 0.5, 0.75), 0.03 + 0.06 * wear)
        pale = (min(1.0, colour[0] + 0.25), min(1.0, colour[1] + 0.25), min(1.0, colour[2] + 0.25))
        tint(picture, fractal(sheet, 1.2, 0.4, stretch=3.0) - 0.6, pale, 0.2)
        scratches(sheet, picture, 6 * wear, 0.2, pale, 0.5)
        flecks(sheet, picture, 40 * wear, (0.003, 0.012), [(0.3, 0.27, 0.25), pale], 0.5)
        return np.clip(picture, 0.02, 1.0)

    return paint


def leather(colour: Colour) -> Material:
    """Creased leather."""

    @Stuff
    def paint(sheet: Sheet) -> np.ndarray:
        picture = modulate(plain(sheet, colour), fractal(sheet, 0.25, 0.85), 0.12)
        scratches(sheet, picture, 60, 0.1, (colour[0] * 0.45, colour[1] * 0.45, colour[2] * 0.45), 0.6)
        return np.clip(picture, 0.02, 1.0)

    return paint
