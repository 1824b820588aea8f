"""Borders that show nothing: letterbox, pillarbox, a frame of one colour around the picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BLACK_LUMA = 36.0
"""8-bit luma under which a line of a border counts as black: video black is 16 and codecs smear it (default ours)."""

SPREAD = 8.0
"""8-bit luma between the 2nd and the 98th percentile of a line of a border, at most (default ours)."""

_MOST = 0.45
"""Of the picture, trimmed from one side at most: what is left must be a picture."""


class Borders(NamedTuple):
    """Share of the picture's height or width that is border, per side."""

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    @property
    def area(self) -> float:
        """Share of the picture that is border, in [0, 1)."""
        return 1.0 - (1.0 - self.top - self.bottom) * (1.0 - self.left - self.right)

    def inside(self, picture: np.ndarray) -> np.ndarray:
        """The picture without its borders.

        Args:
            picture: (h, w) or (h, w, 3).
        """
        height, width = picture.shape[:2]
        rows = slice(round(self.top * height), height - round(self.bottom * height))
        columns = slice(round(self.left * width), width - round(self.right * width))
        return picture[rows, columns]


def find_borders(luma: np.ndarray) -> Borders:
    """Lines at the sides that have one and the same colour along their length and in every frame.

    Black ones count on each side by itself. Of another colour they count only where both opposite sides have it: a
    burnt-out sky is no border.

    Args:
        luma: (n, h, w) uint8, some frames of one clip.

    Returns:
        All zero where the whole picture is of one colour.
    """
    top, bottom = _pair(*_line_levels(luma, axis=1))
    left, right = _pair(*_line_levels(luma, axis=2))
    found = Borders(top / luma.shape[1], bottom / luma.shape[1], left / luma.shape[2], right / luma.shape[2])
    return found if top + bottom < luma.shape[1] and left + right < luma.shape[2] else Borders()


def _line_levels(luma: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(lines, 2): 2nd and 98th percentile of each row (axis 1) or column (axis 2) over its length and all frames."""
    lines = np.moveaxis(luma, axis, 0).reshape(luma.shape[axis], -1)
    low, high = np.percentile(lines, (2, 98), axis=1)
    return low, high


def _pair(low: np.ndarray, high: np.ndarray) -> tuple[int, int]:
    """Lines of border at both ends."""
    flat = high - low <= SPREAD
    if flat.all():
        return len(flat), 0
    most = int(_MOST * len(flat))
    black = flat & (high <= BLACK_LUMA)
    ends = _run(black, most), _run(black[::-1], most)
    if any(ends):
        return ends
    middle = (low + high) / 2
    if abs(float(middle[0] - middle[-1])) > SPREAD:
        return 0, 0
    same = flat & (np.abs(middle - middle[0]) <= SPREAD)
    ends = _run(same, most), _run(same[::-1], most)
    return ends if all(ends) else (0, 0)


def _run(wanted: np.ndarray, most: int) -> int:
    """How many lines hold from the start on."""
    missing = np.flatnonzero(~wanted)
    return min(int(missing[0]) if len(missing) else len(wanted), most)
