"""Random fields that the materials are woven from.

Structure from motion needs surfaces on which no two spots look alike: periodic or cloud-like walls gave camera paths
5 to 19 % off, non-repeating detail at all scales 0.07 %. So every field here is drawn over the whole sheet, and the
finest octave is one texel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 1], as displayed (not linear)."""


@dataclass(frozen=True)
class Sheet:
    """A piece of surface to be painted.

    Attributes:
        height: rows of texels.
        width: columns of texels.
        size_m: width and height in metres.
        rng: the only source of chance.
    """

    height: int
    width: int
    size_m: tuple[float, float]
    rng: np.random.Generator

    @classmethod
    def of(cls, picture: np.ndarray, size_m: tuple[float, float], rng: np.random.Generator) -> Sheet:
        """The sheet under a (height, width, 3) picture."""
        return cls(picture.shape[0], picture.shape[1], size_m, rng)

    @property
    def per_m(self) -> float:
        """Texels per metre."""
        return 0.5 * (self.width / self.size_m[0] + self.height / self.size_m[1])

    def texels(self, metres: float, least: int = 1) -> int:
        """A length on the sheet, in whole texels."""
        return max(least, round(metres * self.per_m))


Material = Callable[[Sheet], np.ndarray]
"""From a sheet to (height, width, 3) float32 albedo in [0, 1], as displayed; row 0 is the top."""


class Stuff:
    """A material that looks alike all over a surface (wood, cloth, paint), so that small pieces may share a sheet."""

    def __init__(self, paint: Material) -> None:
        self._paint = paint

    def __call__(self, sheet: Sheet) -> np.ndarray:
        """Paint a sheet."""
        return self._paint(sheet)


_SHADES = 12
"""Colours that the flecks of one call are drawn in."""


def fractal(sheet: Sheet, coarsest_m: float = 0.5, gain: float = 0.7, stretch: float = 1.0) -> np.ndarray:
    """Noise with equal say for every scale from `coarsest_m` down to a texel.

    Args:
        sheet: where it lies.
        coarsest_m: size of the largest blotches.
        gain: strength of an octave over that of the next coarser one; high keeps the fine detail strong.
        stretch: how much longer features are along columns (u) than along rows.

    Returns:
        (height, width) float32, mean about 0, standard deviation about 1.
    """
    octaves = max(1, int(np.ceil(np.log2(max(2.0, coarsest_m * sheet.per_m)))))
    height, width = sheet.height, sheet.width
    field = np.zeros((1, 1), np.float32)
    power, strength = 0.0, 1.0
    for octave in range(octaves, -1, -1):
        rows = max(1, -(-height // 2**octave))
        columns = max(1, -(-int(width / stretch) // 2**octave))
        field = cv2.resize(field, (columns, rows), interpolation=cv2.INTER_LINEAR).reshape(rows, columns)
        field = field + np.float32(strength) * (sheet.rng.random((rows, columns), np.float32) * 3.46 - 1.73)
        power += strength**2
        strength *= gain
    if field.shape != (height, width):
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width)
    return field * np.float32(1.0 / np.sqrt(power))


def plain(sheet: Sheet, colour: Colour) -> np.ndarray:
    """One colour all over."""
    return np.broadcast_to(np.asarray(colour, np.float32), (sheet.height, sheet.width, 3)).copy()


def modulate(picture: np.ndarray, field: np.ndarray, strength: float) -> np.ndarray:
    """`picture` made lighter and darker by `field`, in place."""
    picture *= (1.0 + np.float32(strength) * field)[..., None]
    return picture


def tint(picture: np.ndarray, field: np.ndarray, towards: Colour, strength: float) -> np.ndarray:
    """`picture` mixed with a colour where `field` is above 0 (all of it at 1 / strength), in place."""
    share = np.clip(field * np.float32(strength), 0.0, 1.0)[..., None]
    picture += (np.asarray(towards, np.float32) - picture) * share
    return picture


def flecks(
    sheet: Sheet,
    picture: np.ndarray,
    per_m2: float,
    size_m: tuple[float, float],
    colours: list[Colour],
    alpha: float = 1.0,
) -> np.ndarray:
    """Scatter small ellipses (pebbles, chips, petals, stains) over `picture`, in place.

    Args:
        sheet: where they lie.
        picture: (height, width, 3) float32.
        per_m2: how many.
        size_m: smallest and largest half axis.
        colours: drawn from at random and varied by a tenth.
        alpha: 1 covers, less lets the picture through.
    """
    rng = sheet.rng
    most = sheet.height * sheet.width / 12
    count = int(min(rng.poisson(per_m2 * sheet.size_m[0] * sheet.size_m[1]), most))
    if not count:
        return picture
    target = picture if alpha >= 1.0 else picture.copy()
    spread = rng.random((count, 2), np.float32) ** 2 * (size_m[1] - size_m[0]) + size_m[0]
    axes = spread * sheet.per_m
    axes = axes[axes.max(1) >= 0.3]  # what is far smaller than a texel does not show
    count = len(axes)
    large = axes.max(1, initial=0) >= 0.9
    centres = rng.random((count, 2), np.float32) * np.array((sheet.width, sheet.height), np.float32)
    shades = shades_of(rng, colours, 0.15, _SHADES)
    dots = centres[~large].astype(np.int32)
    target[dots[:, 1], dots[:, 0]] = np.asarray(shades, np.float32)[rng.integers(0, _SHADES, len(dots))]
    outlines = ellipses(centres[large], np.maximum(axes[large], 0.7), rng.random(int(large.sum()), np.float32) * 6.2832)
    for k, shade in enumerate(shades):
        # One call for many outlines: where two of a shade overlap, the overlap stays open, as good a figure as any.
        cv2.fillPoly(target, list(outlines[k::_SHADES]), shade, cv2.LINE_8, 3)
    if target is not picture:
        picture += np.float32(alpha) * (target - picture)
    return picture


def ellipses(centres: np.ndarray, axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(N, 10, 2) int32 corners of ellipses in eighths of a texel."""
    around = np.arange(10, dtype=np.float32) * np.float32(0.62832)
    x, y = axes[:, :1] * np.cos(around), axes[:, 1:] * np.sin(around)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    outline = np.stack([x * cos - y * sin, x * sin + y * cos], -1) + centres[:, None]
    return np.asarray((outline * 8).astype(np.int32))


def scratches(
    sheet: Sheet, picture: np.ndarray, per_m2: float, length_m: float, colour: Colour, alpha: float
) -> np.ndarray:
    """Thin crooked lines (cracks, scuffs, hairs), in place."""
    rng = sheet.rng
    count = int(rng.poisson(per_m2 * sheet.size_m[0] * sheet.size_m[1]))
    if not count:
        return picture
    target = picture.copy()
    turn = rng.random((count, 1)) * 2 * np.pi + np.cumsum(rng.normal(0, 0.5, (count, 6)), 1)
    step = length_m * sheet.per_m / 6 * (0.4 + 1.2 * rng.random((count, 1, 1)))
    paths = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], -1) * step, 1)
    paths += rng.random((count, 1, 2)) * (sheet.width, sheet.height)
    cv2.polylines(target, list((paths * 8).astype(np.int32)), False, colour, 1, cv2.LINE_8, 3)
    picture += np.float32(alpha) * (target - picture)
    return picture


def vary(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    """A colour near `colour`: lighter or darker by up to `amount`, and each channel by a third of that."""
    overall, *single = (rng.random(4) * 2 - 1).tolist()
    red, green, blue = (
        min(1.0, max(0.0, value * (1 + amount * (overall + shift / 3))))
        for value, shift in zip(colour, single, strict=True)
    )
    return red, green, blue


def shades_of(rng: np.random.Generator, colours: list[Colour], amount: float, count: int = 32) -> list[Colour]:
    """`count` colours near those given, in turn, each as of `vary`: a palette to draw many things from."""
    base = np.asarray(colours, np.float64)[np.arange(count) % len(colours)]
    shift = rng.random((count, 4)) * 2 - 1
    near = np.clip(base * (1 + amount * (shift[:, :1] + shift[:, 1:] / 3)), 0, 1)
    return [(red, green, blue) for red, green, blue in near.tolist()]
