"""What an OpenEXR file says it holds, read in Python before the library unpacks a pixel.

Layout after the OpenEXR file format: magic number, version and flags, then per part a list of attributes (name, type,
size, data) that ends with an empty name; a file of several parts ends its list of parts with an empty one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from worldloom.catalogs.errors import BadInput

MAX_SIDE = 16_384
MAX_PIXELS = 1 << 26
MAX_CHANNELS = 64
MAX_DECODED_BYTES = 1 << 30
MAX_HEADER_BYTES = 4 << 20
"""Ours: 8K with the passes of Movie Render Queue fits; manifests of Cryptomatte are the longest attributes."""

PIXEL_TYPES = ("uint", "half", "float")
PIXEL_BYTES = {"uint": 4, "half": 2, "float": 4}

COMPRESSIONS = ("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab")
"""By their number in the file; what the library may add to them is not opened."""

_FIRST_BYTES = 64 << 10
_MAGIC = 20000630
_TILED, _DEEP, _PARTS = 0x200, 0x800, 0x1000
_MAX_ATTRIBUTES = 2000
_MAX_PARTS = 32


@dataclass(frozen=True)
class ExrPart:
    """One picture of the file.

    Attributes:
        name: empty where the file has only one.
        channels: name to `half`, `float` or `uint`.
        compression: a word of `COMPRESSIONS`.
        data_window: x0, y0, x1, y1 of the stored pixels, all inclusive.
        display_window: of the picture.
        text: attributes that are strings, e.g. the camera that Unreal writes.
        chromaticities: x and y of red, green, blue and white, where stated.
    """

    name: str
    channels: dict[str, str]
    compression: str
    data_window: tuple[int, int, int, int]
    display_window: tuple[int, int, int, int]
    text: dict[str, str] = field(default_factory=dict)
    chromaticities: tuple[float, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        x0, y0, x1, y1 = self.display_window
        return x1 - x0 + 1, y1 - y0 + 1


def read_exr_header(path: str | Path) -> list[ExrPart]:
    """The parts of a scanline file, checked: nothing larger than the limits above, nothing deep, tiled or subsampled.

    Raises:
        BadInput: `bad_exr` for what is none or is damaged, `exr_layout` for what is not read here, `too_large`.
    """
    path = Path(path)
    for most in (_FIRST_BYTES, MAX_HEADER_BYTES):
        try:
            with path.open("rb") as stream:
                data = stream.read(most)
            return _parts(data, path)
        except FileNotFoundError:
            raise BadInput("no_file", "no such file", where=path) from None
        except OSError as error:
            raise BadInput("bad_exr", f"cannot be read ({error})", where=path) from None
        except (struct.error, IndexError, ValueError) as error:
            if most < MAX_HEADER_BYTES and len(data) == most:
                continue  # a long header, e.g. with a manifest
            what = f"its header is damaged or longer than {MAX_HEADER_BYTES >> 20} MiB ({error})"
            raise BadInput("bad_exr", what, where=path) from None
    raise AssertionError("the last attempt returns or raises")


def _parts(data: bytes, path: Path) -> list[ExrPart]:
    magic, version = struct.unpack_from("<iI", data)
    if magic != _MAGIC or version & 0xFF != 2:
        raise BadInput("bad_exr", "no OpenEXR file of version 2", where=path)
    if version & (_TILED | _DEEP):
        raise BadInput("exr_layout", "tiled or deep pictures are not read", where=path, remedy="Save it by scanlines.")
    at, several, parts = 8, bool(version & _PARTS), list[ExrPart]()
    while data[at] or not parts:
        attributes, at = _attributes(data, at)
        parts.append(_part(attributes, path))
        if not several:
            break
        if len(parts) > _MAX_PARTS:
            raise BadInput("too_large", f"more than {_MAX_PARTS} parts", where=path)
    _check_extent(parts, path)
    return parts


def _attributes(data: bytes, at: int) -> tuple[dict[str, tuple[str, bytes]], int]:
    found: dict[str, tuple[str, bytes]] = {}
    while data[at]:
        name, at = _word(data, at)
        kind, at = _word(data, at)
        (size,) = struct.unpack_from("<i", data, at)
        at += 4
        if size < 0 or at + size >= len(data) or len(found) >= _MAX_ATTRIBUTES:
            raise ValueError(f"attribute '{name[:40]}' is {size} bytes long")
        found[name] = kind, data[at : at + size]
        at += size
    return found, at + 1


def _word(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at, at + 256)
    return data[at:end].decode("utf-8", "replace"), end + 1


def _part(attributes: dict[str, tuple[str, bytes]], path: Path) -> ExrPart:
    def value(name: str, kind: str) -> bytes:
        if name not in attributes or attributes[name][0] != kind:
            raise BadInput("bad_exr", f"its header has no {name}", where=path)
        return attributes[name][1]

    text = {name: raw.decode("utf-8", "replace") for name, (kind, raw) in attributes.items() if kind == "string"}
    if text.get("type", "scanlineimage") != "scanlineimage":
        what = f"a part of it is '{text['type'][:40]}'"
        raise BadInput("exr_layout", f"{what}, scanlines are read", where=path, remedy="Save it by scanlines.")
    number = value("compression", "compression")[0]
    if number >= len(COMPRESSIONS):
        what = f"compression {number} is not read"
        raise BadInput("exr_layout", what, where=path, remedy=f"Save it with one of {', '.join(COMPRESSIONS)}.")
    colours = attributes.get("chromaticities", ("", b""))
    return ExrPart(
        name=text.get("name", ""),
        channels=_channels(value("channels", "chlist"), path),
        compression=COMPRESSIONS[number],
        data_window=struct.unpack("<4i", value("dataWindow", "box2i")),
        display_window=struct.unpack("<4i", value("displayWindow", "box2i")),
        text=text,
        chromaticities=struct.unpack("<8f", colours[1]) if colours[0] == "chromaticities" else (),
    )


def _channels(data: bytes, path: Path) -> dict[str, str]:
    channels: dict[str, str] = {}
    at = 0
    while data[at]:
        name, at = _word(data, at)
        kind, _, across, down = struct.unpack_from("<iiii", data, at)
        at += 16
        if not 0 <= kind < len(PIXEL_TYPES):
            raise ValueError(f"channel '{name[:40]}' has pixels of type {kind}")
        if (across, down) != (1, 1):
            raise BadInput("exr_layout", f"channel '{name[:40]}' has fewer pixels than the picture", where=path)
        channels[name] = PIXEL_TYPES[kind]
        if len(channels) > MAX_CHANNELS:
            raise BadInput("too_large", f"more than {MAX_CHANNELS} channels", where=path)
    if not channels:
        raise BadInput("bad_exr", "it has no channels", where=path)
    return channels


def _check_extent(parts: list[ExrPart], path: Path) -> None:
    total = 0
    for part in parts:
        for window in (part.data_window, part.display_window):
            width, height = window[2] - window[0] + 1, window[3] - window[1] + 1
            if width < 1 or height < 1:
                raise BadInput("bad_exr", f"a window of {width} x {height} pixels", where=path)
            if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
                raise BadInput("too_large", f"{width} x {height} pixels", where=path)
        x0, y0, x1, y1 = part.data_window
        total += (x1 - x0 + 1) * (y1 - y0 + 1) * sum(PIXEL_BYTES[kind] for kind in part.channels.values())
    if total > MAX_DECODED_BYTES:
        what = f"{total >> 20} MiB once unpacked, {MAX_DECODED_BYTES >> 20} are allowed"
        raise BadInput("too_large", what, where=path, remedy="Save fewer passes into one file.")
    if len({part.size for part in parts}) != 1:
        raise BadInput("exr_layout", "its parts differ in size", where=path)
