"""Numbered pictures as footage: one file per frame, read like a video from first to last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from worldloom.catalogs.containers import VideoLimits
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.probe import VideoInfo

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".exr")

_REMEDY = "Make it again, or take it and its row out."


def read_picture(path: Path | str) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright as its EXIF says; EXR is turned from linear light into sRGB, 16 bits into 8.

    Raises:
        BadInput: `missing_file`, or `not_image`.
    """
    import cv2

    path = Path(path)
    if path.suffix.lower() == ".exr":
        from worldloom.catalogs.formats.exr import read_exr_rgb

        return read_exr_rgb(path)
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError:
        raise BadInput("missing_file", "no such picture", where=path) from None
    except OSError as error:
        raise BadInput("not_image", f"cannot be read ({error.strerror})", where=path) from None
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error as error:
        message = str(error).strip().splitlines()[-1][:200]
        raise BadInput("not_image", f"cannot be read as a picture ({message})", where=path, remedy=_REMEDY) from None
    if picture is None:
        raise BadInput("not_image", "cannot be read as a picture", where=path, remedy=_REMEDY)
    return np.ascontiguousarray(picture[:, :, ::-1])


class PictureFrames:
    """Iterates once over (number, rgb) of numbered pictures, as `SourceFrames` does over a video's.

    Attributes:
        frames: how many came out so far.
        damaged: 0; a picture that cannot be read is refused by name, since its row would go astray.
        error: empty.
    """

    damaged = 0
    error = ""

    def __init__(self, paths: Sequence[Path], first: int = 0) -> None:
        self._paths, self._first = paths, first
        self.frames = 0

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        shape: tuple[int, ...] | None = None
        for number, path in enumerate(self._paths, self._first):
            picture = read_picture(path)
            if shape is not None and picture.shape != shape:
                message = (
                    f"{picture.shape[1]} x {picture.shape[0]} pixels, the pictures before it have "
                    f"{shape[1]} x {shape[0]}"
                )
                raise BadInput("mixed_sizes", message, where=path, remedy="Make all pictures of one size.")
            shape = picture.shape
            self.frames += 1
            yield number, picture


def probe_pictures(
    paths: Sequence[Path], fps: Fraction, limits: VideoLimits | None = None, *, first: int = 0
) -> VideoInfo:
    """Look at the first of numbered pictures.

    Args:
        paths: in order.
        fps: their rate; the PTS of picture i is `first` + i, in units of 1 / fps.
        limits: what a picture may claim.
        first: number of the first one.

    Raises:
        BadInput: `no_images`, `not_image`, `too_large` or `too_small`.
    """
    limits = limits or VideoLimits()
    if not paths:
        raise BadInput("no_images", "there is no picture")
    height, width = read_picture(paths[0]).shape[:2]
    if width * height > limits.max_pixels:
        message = f"{width} x {height} pixels, at most {limits.max_pixels} are read"
        raise BadInput("too_large", message, where=paths[0], remedy="Scale the pictures down first.")
    if min(width, height) < limits.min_side:
        raise BadInput("too_small", f"{width} x {height} pixels, a side has at least {limits.min_side}", where=paths[0])
    return VideoInfo(
        path=None,
        width=width,
        height=height,
        fps=fps,
        frames=len(paths),
        duration_s=float(len(paths) / fps),
        codec=paths[0].suffix.lower().lstrip("."),
        pix_fmt="rgb24",
        rotation=0,
        mirrored=False,
        stream=0,
        time_base=1 / fps,
        variable=False,
        keyframe_gap=1,
        pixel_aspect=Fraction(1),
        size_bytes=sum(path.stat().st_size for path in paths if path.exists()),
        streams=1,
        first_pts=first,
    )
