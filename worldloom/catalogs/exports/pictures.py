"""Frames of a clip as picture files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.video import decode_source

Kind = Literal["png", "jpg"]

_JPEG_QUALITY = 95
_PNG_COMPRESSION = 3
"""Defaults ours: of zlib, three times as fast as 9 and hardly larger."""


def picture_name(frame: int, kind: str) -> str:
    """File name of a frame: its number in the clip, from 0."""
    return f"{frame:06d}.{kind}"


def pictures(clip: Clip, frames: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Number and (H, W, 3) uint8 RGB of frames of a clip, decoded in one pass.

    Args:
        clip: with its video.
        frames: ascending.

    Raises:
        BadInput: `no_video`, `damaged`: there are fewer frames than the record says, or another size.
    """
    if clip.video is None:
        raise BadInput("no_video", "the clip has no video at hand")
    wanted = set(np.asarray(frames).tolist())
    source = decode_source(clip.video)
    seen = 0
    for number, (_, picture) in enumerate(source):
        if picture.shape != (clip.height, clip.width, 3):
            shape = f"{picture.shape[1]} x {picture.shape[0]}"
            raise BadInput("damaged", f"its video shows {shape} pixels, its record says {clip.width} x {clip.height}")
        if number in wanted:
            seen += 1
            yield number, picture
        if seen == len(wanted):
            return
    if seen != len(wanted):
        raise BadInput("damaged", f"its video has {source.frames} frames, its record says {clip.frames}")


def write_pictures(clip: Clip, frames: np.ndarray, folder: Path, kind: Kind) -> list[str]:
    """Write frames of a clip.

    Returns:
        Their file names, in order.

    Raises:
        BadInput: as `pictures`.
    """
    folder.mkdir(parents=True)
    options = [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION]
    if kind == "jpg":
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    names = []
    for number, picture in pictures(clip, frames):
        ok, data = cv2.imencode(f".{kind}", np.ascontiguousarray(picture[..., ::-1]), options)
        if not ok:
            raise BadInput("damaged", f"frame {number} cannot be written as {kind}")
        (folder / picture_name(number, kind)).write_bytes(data.tobytes())  # imwrite would not say that a disk is full
        names.append(picture_name(number, kind))
    return names
