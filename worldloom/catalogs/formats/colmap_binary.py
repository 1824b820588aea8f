"""The rows of COLMAP's binary model files. What a file claims is held to its size before anything is made of it.

Little endian throughout. `cameras.bin`: id, model number, width, height, parameters. `images.bin`: id, qw qx qy qz,
tx ty tz, camera, name, and (x, y, point) of every feature. `points3D.bin`: id, x y z, colour, error, and its track.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import LARGEST, MAX_BYTES

MODEL_NUMBERS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
"""Name and number of parameters by COLMAP's number of the model."""

MAX_IMAGES_BYTES = 2 << 30
"""Of `images.bin`, which holds the features too: 10,000 pictures with 8,000 each (ours)."""

_COUNT = struct.Struct("<Q")
_CAMERA = struct.Struct("<IiQQ")
_IMAGE = struct.Struct("<I7dI")
_POINT = struct.Struct("<Q3d3Bd")
_LONGEST_NAME = 1024
_FEATURE = np.dtype([("x", "<f8"), ("y", "<f8"), ("point", "<i8")])
_TRACK_BYTES = 8


def read_camera_rows(path: Path) -> Iterator[tuple[int, str, list[float]]]:
    """Id, model, and width, height and parameters of each camera.

    Raises:
        BadInput: `bad_poses`, the file is none or ends early, or `no_poses`; or it cannot be read.
    """
    reader = _Reader(path, MAX_BYTES, _CAMERA.size)
    if not reader.count:
        raise BadInput("no_poses", "no camera in the model", where=path)
    for _ in range(reader.count):
        number, model, width, height = reader.take(_CAMERA)
        if model not in MODEL_NUMBERS:
            raise BadInput("bad_poses", f"camera {number} has model number {model}, none of COLMAP's", where=path)
        name, count = MODEL_NUMBERS[model]
        yield number, name, [float(width), float(height), *reader.take(struct.Struct(f"<{count}d"))]
    reader.finish()


def read_image_rows(path: Path) -> Iterator[tuple[int, list[float], int, str, np.ndarray]]:
    """Id, qw qx qy qz tx ty tz, camera, name, and ids of the points seen, of each image.

    Raises:
        BadInput: as `read_camera_rows`.
    """
    reader = _Reader(path, MAX_IMAGES_BYTES, _IMAGE.size + 1 + _COUNT.size)
    for _ in range(reader.count):
        number, *row, camera = reader.take(_IMAGE)
        name = reader.name(number)
        (features,) = reader.take(_COUNT)
        seen = np.frombuffer(reader.span(features, _FEATURE.itemsize), _FEATURE)["point"].copy()
        yield number, row, camera, name, seen
    reader.finish()


def read_point_rows(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Ids (P,) and positions (P, 3) of all points.

    Raises:
        BadInput: as `read_camera_rows`.
    """
    reader = _Reader(path, MAX_BYTES, _POINT.size + _COUNT.size)
    ids = np.empty(reader.count, np.int64)
    xyz = np.empty((reader.count, 3))
    for i in range(reader.count):
        number, *row = reader.take(_POINT)
        ids[i], xyz[i] = number & (2**63 - 1), row[:3]
        (length,) = reader.take(_COUNT)
        reader.span(length, _TRACK_BYTES)
    reader.finish()
    if not (np.abs(xyz) <= LARGEST).all():
        raise BadInput("bad_poses", "a point's position is not finite", where=path)
    return ids, xyz


class _Reader:
    """The bytes of one file, front to back; `count` is what it says it holds."""

    def __init__(self, path: Path, most: int, smallest: int) -> None:
        self.path, self.at = path, 0
        try:
            if path.stat().st_size > most:
                raise BadInput("too_large", f"larger than {most >> 20} MiB", where=path)
            self.data = memoryview(path.read_bytes())
        except FileNotFoundError:
            raise BadInput("no_file", "no such file", where=path) from None
        except OSError as error:
            raise BadInput("bad_poses", f"cannot be read ({error.strerror})", where=path) from None
        (self.count,) = self.take(_COUNT)
        if self.count * smallest > len(self.data):
            message = f"claims {self.count} entries, and {len(self.data)} bytes cannot hold them"
            raise BadInput("bad_poses", message, where=path, remedy="Write the model again.")

    def span(self, count: int, size: int) -> memoryview:
        """The next `count` times `size` bytes."""
        length = count * size
        if length > len(self.data) - self.at:
            message = f"ends at byte {len(self.data)}, within an entry"
            raise BadInput("bad_poses", message, where=self.path, remedy="Write the model again.")
        self.at += length
        return self.data[self.at - length : self.at]

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self.span(1, layout.size))

    def name(self, number: int) -> str:
        """Up to the zero that ends it."""
        text = bytes(self.data[self.at : self.at + _LONGEST_NAME])
        end = text.find(b"\0")
        if end < 0:
            raise BadInput("bad_poses", f"the name of image {number} does not end", where=self.path)
        self.at += end + 1
        try:
            return text[:end].decode()
        except UnicodeDecodeError:
            raise BadInput("bad_poses", f"the name of image {number} is not UTF-8", where=self.path) from None

    def finish(self) -> None:
        """The file ends here."""
        if self.at != len(self.data):
            message = f"{len(self.data) - self.at} bytes follow its last entry: no file of COLMAP's"
            raise BadInput("bad_poses", message, where=self.path)
