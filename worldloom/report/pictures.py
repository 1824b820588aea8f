"""Pixels: frames of a clip read once, film strips, boxes, and pictures as data for a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

import numpy as np

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput


class FrameStore:
    """Frames of one clip, made small, decoded at most once each.

    Args:
        clip: where the frames come from.
        width: largest width kept, pixels.
    """

    def __init__(self, clip: Clip, width: int = 480) -> None:
        self.clip = clip
        self.scale = min(1.0, width / max(1, clip.width))
        self.error = ""
        self._kept: dict[int, np.ndarray] = {}

    def read(self, wanted: Iterable[int]) -> list[np.ndarray | None]:
        """(h, w, 3) uint8 per frame asked for; None where the video cannot be read (`error` then says why)."""
        order = [min(max(0, int(i)), self.clip.frames - 1) for i in wanted]
        missing = sorted(set(order) - set(self._kept))
        if missing and not self.error:
            try:
                with self.clip.open_frames() as frames:
                    for index in missing:
                        self._kept[index] = shrink(np.asarray(frames[index]), self.scale)
            except BadInput as error:
                self.error = error.message
        return [self._kept.get(index) for index in order]

    def one(self, index: int) -> np.ndarray | None:
        """One frame, as `read`."""
        return self.read([index])[0]

    def or_grey(self, index: int) -> np.ndarray:
        """One frame, or an even grey of the same size."""
        found = self.one(index)
        if found is not None:
            return found
        size = (max(1, round(self.clip.height * self.scale)), max(1, round(self.clip.width * self.scale)), 3)
        return np.full(size, 226, np.uint8)


def shrink(rgb: np.ndarray, scale: float) -> np.ndarray:
    """A frame resized by `scale` <= 1 (area-weighted)."""
    if scale >= 1.0:
        return rgb
    from PIL import Image

    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))


def spread(frames: int, count: int) -> list[int]:
    """`count` frame numbers evenly over 0..frames-1, the ends included."""
    return sorted({round(value) for value in np.linspace(0, frames - 1, max(1, min(count, frames)))})


def film_strip(pictures: list[np.ndarray], gap: int = 6) -> np.ndarray:
    """Pictures of one height side by side on white."""
    height = min(len(picture) for picture in pictures)
    bar = np.full((height, gap, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (bar, picture[:height])][1:]
    return np.concatenate(parts, axis=1)


def with_box(rgb: np.ndarray, box: np.ndarray, colour: str, width: int = 3) -> np.ndarray:
    """A copy of a frame with a rectangle drawn on it.

    Args:
        rgb: (h, w, 3) uint8.
        box: (4,) x0 y0 x1 y1 in its pixels; not drawn where not finite.
        colour: of the line, `#rrggbb`.
        width: of the line, pixels.
    """
    from PIL import Image, ImageDraw

    if not np.isfinite(box).all():
        return rgb
    height, length = rgb.shape[:2]
    x0, x1 = np.clip([box[0], box[2]], 0, length - 1)
    y0, y1 = np.clip([box[1], box[3]], 0, height - 1)
    picture = Image.fromarray(rgb)
    ImageDraw.Draw(picture).rectangle([x0, y0, max(x0, x1), max(y0, y1)], outline=colour, width=width)
    return np.asarray(picture)


def jpeg(rgb: np.ndarray, quality: int = 82) -> bytes:
    """JPEG of a picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def width_of(png: bytes) -> int:
    """Width of a PNG in pixels, from its header."""
    return int.from_bytes(png[16:20], "big")


def data_uri(picture: bytes) -> str:
    """A picture as the source of an `img`: it travels inside the page."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
