"""OpenEXR pictures: beauty to 8 bits, and the passes beside it (depth, object ids) as numbers.

Scanline files of one or several parts, their headers checked by `exr_header` before the library unpacks anything.
Channels are named as they are stored (`R`, `FinalImageMovieRenderQueue_WorldDepth.R`); those of a named part that do
not carry its name get it in front (`depth.Z`).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.exr_header import ExrPart, read_exr_header

Curve = Literal["clip", "reinhard"]

_BEAUTY_LAYERS = ("", "FinalImage", "FinalImageMovieRenderQueue_Beauty", "Beauty", "rgba", "RGBA", "ViewLayer.Combined")
"""Where the picture itself is looked for, in this order."""

_REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""Chromaticities of sRGB and of an OpenEXR file that states none: red, green, blue, white."""


@dataclass(frozen=True)
class ExrInfo:
    """What a file holds.

    Attributes:
        size: width and height of the picture, pixels.
        channels: full name to `half`, `float` or `uint`.
        text: string attributes of the first part, e.g. `unreal/camera/curPos/x`.
        chromaticities: of the first part; empty where not stated (then Rec. 709).
    """

    size: tuple[int, int]
    channels: dict[str, str]
    text: dict[str, str]
    chromaticities: tuple[float, ...]

    def layers(self) -> dict[str, list[str]]:
        """Layer (what stands before the last dot, or nothing) to its channels' own names, sorted."""
        layers: dict[str, list[str]] = {}
        for name in sorted(self.channels):
            layer, _, own = name.rpartition(".")
            layers.setdefault(layer, []).append(own)
        return layers


def exr_info(path: str | Path) -> ExrInfo:
    """Size, channels and texts of a file; no pixel is read.

    Raises:
        BadInput: `bad_exr`, `exr_layout` or `too_large`.
    """
    parts = read_exr_header(path)
    channels = {full: part.channels[own] for part in parts for full, own in _full_names(part).items()}
    return ExrInfo(parts[0].size, channels, parts[0].text, parts[0].chromaticities)


def read_exr(path: str | Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Channels of a file, as pictures of the size of its display window; what lies outside of the data window is 0.

    Args:
        path: of the file.
        names: full names of the channels wanted; all where not given.

    Returns:
        name -> (H, W), float32 for half and float, uint32 for uint.

    Raises:
        BadInput: as `exr_info`; `exr_no_channel`, naming the channels there are; `bad_exr` for pixels that do not
            decode.
    """
    path = Path(path)
    parts = read_exr_header(path)
    there = [full for part in parts for full in _full_names(part)]
    for name in names or ():
        if name not in there:
            shown = ", ".join(sorted(there)[:12]) + (", ..." if len(there) > 12 else "")
            raise BadInput("exr_no_channel", f"it has no channel '{name}' (it has {shown})", where=path)
    wanted = set(there if names is None else names)
    out: dict[str, np.ndarray] = {}
    for part, pixels in zip(parts, _decoded(path, parts), strict=True):
        for full, own in _full_names(part).items():
            if full in wanted:
                out[full] = _on_display(pixels[own], part)
    return out


def read_exr_rgb(
    path: str | Path, layer: str | None = None, exposure_stops: float = 0.0, curve: Curve = "clip"
) -> np.ndarray:
    """The picture in 8-bit sRGB.

    Light is multiplied by 2^exposure_stops, brought into [0, 1] by `curve`, and encoded with sRGB's transfer function
    (IEC 61966-2-1), rounded to nearest. Colours in OpenEXR are multiplied by alpha already, so what comes out lies
    over black and alpha changes nothing more. Not-a-numbers become 0.

    Args:
        path: of the file.
        layer: whose channels R, G and B (or Y) to take; looked for where not given: those without a layer first.
        exposure_stops: brighter by so many stops.
        curve: `clip` cuts at 1, right for what Movie Render Queue writes with its tone curve on (its default);
            `reinhard` is x / (1 + x), for scene-linear light (default ours).

    Returns:
        (H, W, 3) uint8.

    Raises:
        BadInput: as `read_exr`; `exr_colours`, its primaries are not those of Rec. 709.
    """
    info = exr_info(path)
    names = _beauty(info, layer, path)
    if info.chromaticities and np.abs(np.subtract(info.chromaticities, _REC709)).max() > 0.01:
        what = "its primaries are not those of Rec. 709 (sRGB)"
        raise BadInput("exr_colours", what, where=path, remedy="Render it without a change of colour space.")
    channels = read_exr(path, names)
    light = np.stack([channels[name] for name in names], axis=-1).astype(np.float32)
    return to_srgb(light if light.shape[-1] == 3 else light.repeat(3, axis=-1), exposure_stops, curve)


def to_srgb(light: np.ndarray, exposure_stops: float = 0.0, curve: Curve = "clip") -> np.ndarray:
    """8-bit sRGB (..., 3) of linear light (..., 3); see `read_exr_rgb`."""
    light = np.nan_to_num(light.astype(np.float32), nan=0.0, posinf=65504.0, neginf=0.0)
    light = np.maximum(light, 0) * np.float32(2.0**exposure_stops)
    light = light / (1 + light) if curve == "reinhard" else np.minimum(light, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)


def to_linear(rgb: np.ndarray) -> np.ndarray:
    """Linear light (..., 3) float32 of 8-bit sRGB; `to_srgb` gives the same bytes back."""
    value = rgb.astype(np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def write_exr(
    path: str | Path,
    channels: Mapping[str, np.ndarray],
    text: Mapping[str, str] | None = None,
    compression: Literal["none", "zips", "zip", "piz"] = "zip",
) -> None:
    """Write channels of one size into one part; float16, float32 and uint32 are kept as they are."""
    import OpenEXR

    how = {"none": OpenEXR.NO_COMPRESSION, "zips": OpenEXR.ZIPS_COMPRESSION}
    how |= {"zip": OpenEXR.ZIP_COMPRESSION, "piz": OpenEXR.PIZ_COMPRESSION}
    header = {"compression": how[compression], "type": OpenEXR.scanlineimage, **(text or {})}
    OpenEXR.File(header, {name: np.ascontiguousarray(value) for name, value in channels.items()}).write(str(path))


def _full_names(part: ExrPart) -> dict[str, str]:
    """Full name to own name of each channel."""
    if not part.name:
        return {own: own for own in part.channels}
    return {own if own.startswith(f"{part.name}.") else f"{part.name}.{own}": own for own in part.channels}


def _beauty(info: ExrInfo, layer: str | None, path: str | Path) -> list[str]:
    layers = info.layers()
    for name in _BEAUTY_LAYERS if layer is None else (layer,):
        front = f"{name}." if name else ""
        for own in (["R", "G", "B"], ["Y"]):
            if set(own) <= set(layers.get(name, ())):
                return [front + one for one in own]
    found = ", ".join(repr(name) for name in sorted(layers)[:8])
    what = f"no R, G and B in layer '{layer}'" if layer is not None else "no picture (R, G, B or Y) in it"
    raise BadInput("exr_no_channel", f"{what} (layers: {found})", where=path, remedy="Name the layer of the picture.")


def _on_display(pixels: np.ndarray, part: ExrPart) -> np.ndarray:
    kind = np.uint32 if pixels.dtype == np.uint32 else np.float32
    if part.data_window == part.display_window:
        return pixels.astype(kind)
    x0, y0, x1, y1 = part.data_window
    left, top, right, bottom = part.display_window
    width, height = part.size
    out = np.zeros((height, width), kind)
    a, b, c, d = max(x0, left), max(y0, top), min(x1, right) + 1, min(y1, bottom) + 1
    if a < c and b < d:
        out[b - top : d - top, a - left : c - left] = pixels[b - y0 : d - y0, a - x0 : c - x0]
    return out


def _decoded(path: Path, parts: list[ExrPart]) -> list[dict[str, np.ndarray]]:
    """Per part, its channels; the library says nothing but a line on stderr where a picture is cut short."""
    import OpenEXR

    try:
        with _quiet():
            file = OpenEXR.File(str(path), separate_channels=True, num_threads=0)
            found = [{name: one.pixels for name, one in file.channels(i).items()} for i in range(len(parts))]
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise BadInput("bad_exr", f"its pixels do not decode ({str(error)[:200]})", where=path) from None
    for part, pixels in zip(parts, found, strict=True):
        x0, y0, x1, y1 = part.data_window
        for name in part.channels:
            have: Any = pixels.get(name)
            if have is None or have.shape != (y1 - y0 + 1, x1 - x0 + 1):
                raise BadInput("bad_exr", f"channel '{name}' does not decode", where=path)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library writes about damaged files on file descriptor 2, its binding to `sys.stdout`; so does the error."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except OSError:
            yield
            return
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)
