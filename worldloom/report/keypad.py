"""The actions drawn on the picture, as the keys that a person would hold: WASD on the left, arrows on the right."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from worldloom.catalogs.actions import SIDE_AHEAD, UNCERTAIN

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

PLACES = ((1, 0), (0, 1), (1, 1), (2, 1))
"""Column and row of the keys up, left, down, right in their pad."""
STEPS = ((0, 1), (-1, 0), (0, -1), (1, 0))
"""Direction (right, forward) of the same keys."""
LETTERS = "WASD"
SHARE = 0.085
"""Side of a key as a share of the picture's height (ours: to be read at 480 lines, and out of the way)."""
PRESSED, RESTING = (255, 196, 76, 235), (18, 24, 30, 110)
ON_PRESSED, ON_RESTING = (35, 30, 10, 255), (255, 255, 255, 190)


def with_keypad(rgb: np.ndarray, move: int, view: int) -> np.ndarray:
    """A copy of a frame with both pads drawn on it.

    Args:
        rgb: (H, W, 3) uint8.
        move: 0..9; 9 draws the pad with question marks.
        view: 0..9.
    """
    from PIL import Image

    height, width = rgb.shape[:2]
    picture = Image.fromarray(rgb).convert("RGBA")
    overlay = Image.fromarray(_pads(width, height, int(move), int(view)))
    return np.asarray(Image.alpha_composite(picture, overlay).convert("RGB"))


@lru_cache(maxsize=128)
def _pads(width: int, height: int, move: int, view: int) -> np.ndarray:
    """(H, W, 4) uint8, transparent but for the keys; drawn at four times the size, so that corners are round."""
    from PIL import Image, ImageDraw

    fine = 4
    canvas = Image.new("RGBA", (width * fine, height * fine))
    brush = ImageDraw.Draw(canvas)
    side = max(8.0, SHARE * min(height, width)) * fine
    gap = 0.14 * side
    span = 3 * side + 2 * gap
    top = height * fine - 2 * side - gap - 0.6 * side
    for action, left, letters in ((move, 0.6 * side, LETTERS), (view, width * fine - span - 0.6 * side, "")):
        for number, (column, row) in enumerate(PLACES):
            x, y = left + column * (side + gap), top + row * (side + gap)
            held = _holds(action, STEPS[number])
            box = (x, y, x + side, y + side)
            brush.rounded_rectangle(box, 0.22 * side, fill=PRESSED if held else RESTING, outline=(255, 255, 255, 110),
                                    width=max(1, fine // 2))  # fmt: skip
            ink = ON_PRESSED if held else ON_RESTING
            centre = (x + side / 2, y + side / 2)
            if action == UNCERTAIN:
                brush.text(centre, "?", fill=ink, font=_font(0.6 * side), anchor="mm")
            elif letters:
                brush.text(centre, letters[number], fill=ink, font=_font(0.6 * side), anchor="mm")
            else:
                brush.polygon(_arrow(centre, STEPS[number], 0.26 * side), fill=ink)
    return np.asarray(canvas.resize((width, height), Image.Resampling.BOX))


def _holds(action: int, step: tuple[int, int]) -> bool:
    if action == UNCERTAIN:
        return False
    right, forward = SIDE_AHEAD[action]
    return (step[0] != 0 and step[0] == right) or (step[1] != 0 and step[1] == forward)


def _arrow(centre: tuple[float, float], step: tuple[int, int], reach: float) -> list[tuple[float, float]]:
    right, up = step
    tip = (centre[0] + right * reach, centre[1] - up * reach)
    base = (centre[0] - right * 0.7 * reach, centre[1] + up * 0.7 * reach)
    return [tip, (base[0] + up * reach, base[1] + right * reach), (base[0] - up * reach, base[1] - right * reach)]


@lru_cache(maxsize=8)
def _font(size: float) -> FreeTypeFont:
    from matplotlib.font_manager import findfont  # the one font that comes with what is installed anyway
    from PIL import ImageFont

    return ImageFont.truetype(findfont("DejaVu Sans:bold"), max(6, round(size)))
