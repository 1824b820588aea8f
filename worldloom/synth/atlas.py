"""One picture that holds every surface of a world, with its smaller copies, and the table from a hit to its texel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

LEVELS = 6
"""Copies of the atlas, each half the size of the one before: far surfaces read the small ones and do not flicker."""

_PAD = 4
"""Texels of margin around a chart, so that filtering does not mix neighbours (down to level 2)."""


@dataclass(frozen=True, eq=False)
class Slots:
    """Where charts lie in the atlas.

    Attributes:
        x: (C,) left texel of each chart's inside.
        y: (C,) top texel.
        width: (C,) texels.
        height: (C,) texels.
        atlas_width: texels.
        atlas_height: texels.
    """

    x: np.ndarray
    y: np.ndarray
    width: np.ndarray
    height: np.ndarray
    atlas_width: int
    atlas_height: int


def pack(sizes: np.ndarray, atlas_width: int = 4096) -> Slots:
    """Shelves of charts, tallest first.

    Args:
        sizes: (C, 2) width and height in texels, widths of at most `atlas_width` less two margins.
        atlas_width: of the result; the height follows.
    """
    step = 2 ** (LEVELS - 1)
    outer = sizes + 2 * _PAD
    x, y = np.zeros(len(sizes), np.int32), np.zeros(len(sizes), np.int32)
    left = top = tall = 0
    for k in np.lexsort((np.arange(len(sizes)), -outer[:, 0], -outer[:, 1])):
        width, height = int(outer[k, 0]), int(outer[k, 1])
        if left + width > atlas_width:
            left, top, tall = 0, top + tall, 0
        x[k], y[k] = left + _PAD, top + _PAD
        left, tall = left + width, max(tall, height)
    rows = -(-(top + tall) // step) * step
    return Slots(x, y, sizes[:, 0].astype(np.int32), sizes[:, 1].astype(np.int32), atlas_width, rows)


class Atlas:
    """The pyramid: level 0 on the left, the others stacked to its right, in one array that `cv2.remap` reads.

    Attributes:
        texels: (rows, 1.5 * atlas_width, 4) uint8: red, green, blue as displayed in full light, and the share of it
            that remains where the key light is blocked.
    """

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        width, height = slots.atlas_width, slots.atlas_height
        self.texels = np.zeros((height, width + width // 2, 4), np.uint8)
        self._offset_x = np.array([0.0] + [width] * (LEVELS - 1), np.float32)
        tops = np.cumsum([0] + [height >> level for level in range(1, LEVELS - 1)])
        self._offset_y = np.array([0.0, *tops], np.float32)
        self._shrink = np.array([0.5**level for level in range(LEVELS)], np.float32)

    def store(self, chart: int, picture: np.ndarray) -> None:
        """Write a chart's (height, width, 4) uint8 picture with its margin."""
        x, y = int(self.slots.x[chart]) - _PAD, int(self.slots.y[chart]) - _PAD
        padded = cv2.copyMakeBorder(picture, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_REPLICATE)
        self.texels[y : y + padded.shape[0], x : x + padded.shape[1]] = padded

    def read(self, chart: int) -> np.ndarray:
        """A view of a chart's inside."""
        s = self.slots
        return self.texels[s.y[chart] : s.y[chart] + s.height[chart], s.x[chart] : s.x[chart] + s.width[chart]]

    def finish(self) -> None:
        """Make the smaller copies."""
        width, height = self.slots.atlas_width, self.slots.atlas_height
        level = self.texels[:, :width]
        for k in range(1, LEVELS):
            level = cv2.resize(level, (width >> k, height >> k), interpolation=cv2.INTER_AREA)
            top = int(self._offset_y[k])
            self.texels[top : top + (height >> k), width : width + (width >> k)] = level

    def sample(self, x: np.ndarray, y: np.ndarray, level: np.ndarray, blend: bool = True) -> np.ndarray:
        """Bilinear reading from the level whose texels are as large as the pixels.

        Args:
            x: (h, w) float32 texel coordinates on level 0, 0 at the left edge of texel 0.
            y: the same downwards.
            level: (h, w) float32, 0 the full size.
            blend: mix the two nearest levels, so that no seam shows where they meet.

        Returns:
            (h, w, 4) uint8.
        """
        if not blend:
            return self._read(x, y, np.clip(level + np.float32(0.5), 0, LEVELS - 1).astype(np.int32))
        level = np.clip(level, 0, LEVELS - 1.001)
        low = level.astype(np.int32)
        share = level - low.astype(np.float32)
        return np.asarray(cv2.blendLinear(self._read(x, y, low), self._read(x, y, low + 1), 1 - share, share))

    def _read(self, x: np.ndarray, y: np.ndarray, level: np.ndarray) -> np.ndarray:
        shrink = self._shrink[level]
        map_x = x * shrink + (self._offset_x[level] - np.float32(0.5))
        map_y = y * shrink + (self._offset_y[level] - np.float32(0.5))
        return cv2.remap(self.texels, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
