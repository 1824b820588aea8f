"""From the stored picture to the size that is trained on: scale down, then cut around the centre; intrinsics follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldloom.catalogs.cameras import crop_intrinsics, resize_intrinsics
from worldloom.train.recipe import SIDE_MULTIPLE


@dataclass(frozen=True)
class Crop:
    """One way from a stored picture to a trained one.

    Attributes:
        stored: (height, width) of the video.
        scaled: (height, width) after scaling; both sides are at least those of `size`.
        size: (height, width) that is cut out around the centre, rounded to the upper left.
    """

    stored: tuple[int, int]
    scaled: tuple[int, int]
    size: tuple[int, int]

    @property
    def corner(self) -> tuple[int, int]:
        """(top, left) of the cut in the scaled picture."""
        return (self.scaled[0] - self.size[0]) // 2, (self.scaled[1] - self.size[1]) // 2

    def pictures(self, frames: np.ndarray) -> np.ndarray:
        """(T, H, W, 3) uint8 at the stored size to (T, h, w, 3)."""
        import cv2

        (top, left), (height, width) = self.corner, self.size
        if self.scaled == self.stored:
            return np.ascontiguousarray(frames[:, top : top + height, left : left + width])
        out = np.empty((len(frames), height, width, 3), np.uint8)
        for target, picture in zip(out, frames, strict=True):
            scaled = cv2.resize(picture, self.scaled[::-1], interpolation=cv2.INTER_AREA)
            target[:] = scaled[top : top + height, left : left + width]
        return out

    def intrinsics(self, intrinsics: np.ndarray) -> np.ndarray:
        """(..., 4) of the stored video to those of the crop; exact, because pixel centres lie at +0.5.

        The two sides are scaled by their own factors, which differ by the rounding of the scaled size.
        """
        scaled = resize_intrinsics(intrinsics, self.scaled[1] / self.stored[1], self.scaled[0] / self.stored[0])
        return crop_intrinsics(scaled, self.corner[1], self.corner[0])


def crop_for(height: int, width: int, wanted: tuple[int, int] | None) -> Crop | None:
    """The crop of a clip of this size, or None where it is too small: pictures are never made larger.

    Args:
        height: of the stored video.
        width: of it.
        wanted: (height, width); None: its own size, cut down to multiples of 16.
    """
    if wanted is None:
        size = (height // SIDE_MULTIPLE * SIDE_MULTIPLE, width // SIDE_MULTIPLE * SIDE_MULTIPLE)
        return Crop((height, width), (height, width), size) if min(size) > 0 else None
    if height < wanted[0] or width < wanted[1]:
        return None
    factor = max(wanted[0] / height, wanted[1] / width)
    scaled = (max(wanted[0], round(height * factor)), max(wanted[1], round(width * factor)))
    return Crop((height, width), scaled, wanted)
