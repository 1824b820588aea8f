"""Things with a picture on them: paintings, posters, shop signs, book spines, windows, the view outside."""

from __future__ import annotations

import cv2
import numpy as np

from worldloom.synth.materials.noise import (
    Colour,
    Material,
    Sheet,
    flecks,
    fractal,
    modulate,
    plain,
    scratches,
    tint,
    vary,
)

SPINES: list[Colour] = [
    (0.55, 0.12, 0.10),
    (0.12, 0.22, 0.42),
    (0.15, 0.35, 0.22),
    (0.75, 0.62, 0.35),
    (0.30, 0.18, 0.12),
    (0.82, 0.78, 0.68),
    (0.42, 0.10, 0.25),
    (0.10, 0.35, 0.40),
    (0.85, 0.45, 0.15),
    (0.20, 0.20, 0.22),
    (0.55, 0.60, 0.30),
    (0.35, 0.45, 0.62),
]
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def bookshelf(board: Colour, shelf_m: float = 0.33, depth_shade: float = 0.25) -> Material:
    """The front of a shelf full of books: thickness, height, colour, bands and title differ for every book."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, (board[0] * depth_shade, board[1] * depth_shade, board[2] * depth_shade))
        shelves = max(1, round(sheet.size_m[1] / shelf_m))
        rows, plank = sheet.height / shelves, max(1, sheet.texels(0.022))
        for k in range(shelves):
            floor = int((k + 1) * rows) - plank
            _row_of_books(sheet, picture, floor, int(rows - plank))
            cv2.rectangle(picture, (0, floor), (sheet.width, floor + plank), vary(rng, board, 0.1), -1)
        modulate(picture, fractal(sheet, 0.15, 0.9), 0.07)
        return np.clip(picture, 0.02, 1.0)

    return paint


def _row_of_books(sheet: Sheet, picture: np.ndarray, floor: int, room: int) -> None:
    rng, left = sheet.rng, 0
    while left < sheet.width:
        thick = sheet.texels(0.016 + 0.045 * rng.random() ** 1.5, 2)
        if rng.random() < 0.04:
            left += sheet.texels(0.04 + 0.1 * rng.random())
            continue
        tall = int(room * (0.66 + 0.28 * rng.random()))
        colour = vary(rng, SPINES[int(rng.integers(len(SPINES)))], 0.3)
        right, top = min(left + thick - 1, sheet.width), floor - tall
        cv2.rectangle(picture, (left, top), (right, floor), colour, -1)
        cv2.line(picture, (left, top), (left, floor), (colour[0] * 0.5, colour[1] * 0.5, colour[2] * 0.5), 1)
        mark = vary(rng, (0.85, 0.7, 0.35) if rng.random() < 0.6 else (0.9, 0.9, 0.85), 0.2)
        for _ in range(int(rng.integers(1, 4))):
            band = top + int(rng.random() * tall)
            cv2.rectangle(picture, (left, band), (right, band + max(1, int(tall * 0.03 * rng.random()))), mark, -1)
        if thick >= 5:
            title = top + int((0.2 + 0.3 * rng.random()) * tall)
            for y in range(title, min(title + int(0.35 * tall), floor - 2), 2):
                if rng.random() < 0.7:
                    cv2.line(picture, (left + thick // 3, y), (left + 2 * thick // 3, y), mark, 1)
        left += thick


def landscape(frame: Colour = (0.45, 0.33, 0.15), frame_m: float = 0.05) -> Material:
    """A framed oil painting of hills, trees and a sky."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        sky, low = vary(rng, (0.45, 0.62, 0.82), 0.3), vary(rng, (0.95, 0.82, 0.65), 0.2)
        fade = np.linspace(0, 1, sheet.height, dtype=np.float32)[:, None, None]
        picture = np.broadcast_to(np.asarray(sky) * (1 - fade) + np.asarray(low) * fade, (sheet.height, sheet.width, 3))
        picture = np.ascontiguousarray(picture, np.float32)
        tint(picture, fractal(sheet, 0.4, 0.7, stretch=2.0), (0.97, 0.95, 0.92), 0.5)
        columns = np.arange(sheet.width)
        for k in range(5):
            level = (0.45 + 0.12 * k) * sheet.height
            waves = sum(
                rng.normal(0, 0.05) * sheet.height * np.sin(columns / sheet.width * f * 6.28 + rng.random() * 6.28)
                for f in (0.7, 1.7, 3.9, 9.1)
            )
            hill = np.stack([columns, level + waves], 1)
            edge = np.concatenate([hill, [[sheet.width, sheet.height], [0, sheet.height]]]).astype(np.int32)
            cv2.fillPoly(picture, [edge], vary(rng, (0.30 + 0.05 * k, 0.45 + 0.02 * k, 0.40 - 0.06 * k), 0.35))
        greens = [vary(rng, (0.2, 0.35, 0.15), 0.5) for _ in range(6)] + [(0.75, 0.35, 0.2), (0.85, 0.7, 0.3)]
        lower = picture[sheet.height // 2 :]
        flecks(Sheet.of(lower, (sheet.size_m[0], sheet.size_m[1] / 2), rng), lower, 500, (0.006, 0.03), greens)
        modulate(picture, fractal(sheet, 0.05, 0.9), 0.07)
        return _framed(sheet, np.clip(picture, 0.02, 1.0), frame, frame_m)

    return paint


def abstract(frame: Colour = (0.12, 0.11, 0.10), frame_m: float = 0.03) -> Material:
    """A framed print of overlapping shapes."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = plain(sheet, vary(rng, (0.88, 0.84, 0.76), 0.12))
        palette = np.clip(rng.random((5, 3)) * 0.8 + 0.1, 0, 1)
        for _ in range(26):
            colour = vary(rng, tuple(palette[int(rng.integers(5))]), 0.15)
            centre, reach = rng.random(2) * (sheet.width, sheet.height), 0.04 + 0.2 * rng.random() ** 2
            if rng.random() < 0.4:
                cv2.circle(picture, centre.astype(int).tolist(), max(1, int(reach * sheet.height)), colour, -1)
            else:
                corners = centre + rng.normal(0, reach, (int(rng.integers(3, 6)), 2)) * sheet.height
                cv2.fillPoly(picture, [cv2.convexHull(corners.astype(np.int32))], colour)
        scratches(sheet, picture, 40, 0.2, (0.1, 0.1, 0.1), 0.8)
        modulate(picture, fractal(sheet, 0.1, 0.9), 0.05)
        return _framed(sheet, np.clip(picture, 0.02, 1.0), frame, frame_m)

    return paint


def _framed(sheet: Sheet, picture: np.ndarray, frame: Colour, frame_m: float) -> np.ndarray:
    width = sheet.texels(frame_m, 2)
    shade = vary(sheet.rng, frame, 0.2)
    light = (min(1, shade[0] * 1.5), min(1, shade[1] * 1.5), min(1, shade[2] * 1.5))
    far = (sheet.width - 1, sheet.height - 1)
    for k, colour in ((width, (0.92, 0.9, 0.85)), (width * 2 // 3, shade), (width // 4, light)):
        cv2.rectangle(picture, (0, 0), far, colour, max(1, k) * 2 - 1)
    return picture


def _letters(
    picture: np.ndarray, text: str, font: int, centre: tuple[float, float], room: tuple[float, float], ink: Colour
) -> None:
    """Write `text` around `centre`, as large as `room` (pixels) allows, in place."""
    (wide, tall), _ = cv2.getTextSize(text, font, 1.0, 2)
    scale = min(room[0] / wide, room[1] / tall)
    at = (int(centre[0] - wide * scale / 2), int(centre[1] + tall * scale / 2))
    mask = np.zeros(picture.shape[:2], np.uint8)  # OpenCV writes letters on 8-bit pictures only
    cv2.putText(mask, text, at, font, scale, 255, max(1, round(2.6 * scale)), cv2.LINE_AA)
    picture += (np.asarray(ink, np.float32) - picture) * (mask.astype(np.float32) / 255)[..., None]


def sign(text: str, ground: Colour, ink: Colour) -> Material:
    """A lettered board."""

    def paint(sheet: Sheet) -> np.ndarray:
        picture = modulate(plain(sheet, ground), fractal(sheet, 0.5, 0.85), 0.06)
        font = FONTS[int(sheet.rng.integers(1, len(FONTS)))]
        _letters(
            picture, text, font, (sheet.width / 2, sheet.height / 2), (0.86 * sheet.width, 0.6 * sheet.height), ink
        )
        cv2.rectangle(picture, (0, 0), (sheet.width - 1, sheet.height - 1), ink, max(2, sheet.height // 14))
        scratches(sheet, picture, 8, 0.3, (0.3, 0.28, 0.25), 0.3)
        return np.clip(picture, 0.02, 1.0)

    return paint


def poster(words: tuple[str, ...] = ("CIRCUS", "JAZZ", "EXPO", "MARKET", "OPERA", "CINEMA")) -> Material:
    """A printed poster: a picture with a line of letters."""
    picture_of = abstract((0.9, 0.88, 0.82), 0.02)

    def paint(sheet: Sheet) -> np.ndarray:
        picture = picture_of(sheet)
        word = words[int(sheet.rng.integers(len(words)))]
        font = FONTS[int(sheet.rng.integers(1, len(FONTS)))]
        tall = 0.18 * sheet.height
        middle = (0.2 + 0.65 * sheet.rng.random()) * sheet.height
        band = (0, int(middle - 0.8 * tall)), (sheet.width, int(middle + 0.8 * tall))
        cv2.rectangle(picture, *band, (0.93, 0.9, 0.82), -1)
        _letters(picture, word, font, (sheet.width / 2, middle), (0.8 * sheet.width, tall), (0.1, 0.1, 0.12))
        return picture

    return paint


def window(bars: Colour, panes: tuple[int, int] = (2, 2), curtain: Colour | None = None) -> Material:
    """A window from outside: mirrored sky in the panes, a curtain or a dark room behind them."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        fade = np.linspace(0.75, 0.35, sheet.height, dtype=np.float32)[:, None, None]
        picture = np.ascontiguousarray(
            np.broadcast_to(fade * np.asarray((0.62, 0.74, 0.86), np.float32), (sheet.height, sheet.width, 3))
        )
        tint(picture, fractal(sheet, 0.5, 0.8) - 0.2, (0.16, 0.18, 0.22), 0.35)
        cloth = curtain or vary(rng, (0.85, 0.8, 0.7), 0.2)
        for side in (0, 1):
            share = int(sheet.width * (0.12 + 0.18 * rng.random()))
            left = 0 if side == 0 else sheet.width - share
            for x in range(left, left + share, 2):
                cv2.line(picture, (x, 0), (x, sheet.height), vary(rng, cloth, 0.25), 2)
        if rng.random() < 0.5:
            pot = (int(sheet.width * (0.3 + 0.4 * rng.random())), sheet.height - sheet.texels(0.12))
            cv2.circle(picture, pot, sheet.texels(0.12), vary(rng, (0.25, 0.45, 0.18), 0.3), -1)
        bar = sheet.texels(0.035, 2)
        for k in range(panes[0] + 1):
            x = int(k * (sheet.width - 1) / panes[0])
            cv2.line(picture, (x, 0), (x, sheet.height), vary(rng, bars, 0.06), bar if 0 < k < panes[0] else 2 * bar)
        for k in range(panes[1] + 1):
            y = int(k * (sheet.height - 1) / panes[1])
            cv2.line(picture, (0, y), (sheet.width, y), vary(rng, bars, 0.06), bar if 0 < k < panes[1] else 2 * bar)
        return np.clip(modulate(picture, fractal(sheet, 0.2, 0.85), 0.04), 0.02, 1.0)

    return paint


def panelled_door(colour: Colour, glass: bool = False) -> Material:
    """A door with panels, letter slot and handle."""

    def paint(sheet: Sheet) -> np.ndarray:
        rng = sheet.rng
        picture = modulate(plain(sheet, colour), fractal(sheet, 0.5, 0.85), 0.06)
        dark, light = (colour[0] * 0.55, colour[1] * 0.55, colour[2] * 0.55), vary(rng, colour, 0.05)
        for row, (top, bottom) in enumerate(((0.06, 0.36), (0.42, 0.62), (0.68, 0.94))):
            for left, right in ((0.10, 0.46), (0.54, 0.90)):
                a = (int(left * sheet.width), int(top * sheet.height))
                b = (int(right * sheet.width), int(bottom * sheet.height))
                fill = vary(rng, (0.45, 0.55, 0.65), 0.3) if glass and row == 0 else light
                cv2.rectangle(picture, a, b, fill, -1)
                cv2.rectangle(picture, a, b, dark, max(1, sheet.texels(0.012)))
        cv2.circle(
            picture, (int(0.92 * sheet.width), int(0.52 * sheet.height)), sheet.texels(0.03, 2), (0.85, 0.7, 0.3), -1
        )
        cv2.rectangle(picture, (0, 0), (sheet.width - 1, sheet.height - 1), dark, max(1, sheet.texels(0.015)))
        scratches(sheet, picture, 4, 0.2, dark, 0.4)
        return np.clip(picture, 0.02, 1.0)

    return paint
