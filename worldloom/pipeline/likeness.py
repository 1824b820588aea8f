"""What counts as a near-duplicate, and which of several stays: the configuration of `compose.duplicates`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worldloom.catalogs.config import Strict


class Likeness(Strict):
    """When two clips are copies of each other; defaults ours, set on the clips of `benchmarks/duplicates.py`.

    Attributes:
        distance: bits of 63 in which two pictures of one moment differ at most. Unrelated pictures differ in about 31.
        agreement: share of the moments in common that are that near.
        contrast: how many times farther apart two clips must be when shifted against each other by a second: along a
            slow walk every moment is near the next.
        still_distance: distance on average for fixed cameras, whose views know no contrast: these must be nearer, of
            different files, and move alike.
        motion_agreement: moving cells in common over moving cells of either, for fixed cameras that are less near.
        least_s: seconds in common where only the ends of two clips overlap; half as much where one contains the other.
        least_share: of the shorter clip that is in common; half of it at least of a cropped copy and between two clips
            of one file, and seven tenths at another speed.
        mirrored: whether a mirrored copy counts.
        cropped: whether a copy that shows only the middle of the picture counts.
        turned: whether copies turned by 90, 180 or 270 degrees count; looking for them costs four times as much.
        embedding: cosine from which clips of two files are copies by what an encoder sees in them, the mean over the
            best frames; nothing is compared so where not given, and there is no default: it depends on the encoder.
    """

    distance: int = Field(default=12, ge=0, le=24)
    agreement: float = Field(default=0.7, gt=0, le=1)
    contrast: float = Field(default=1.2, ge=1)
    still_distance: float = Field(default=4, ge=0, le=24)
    motion_agreement: float = Field(default=0.7, gt=0, le=1)
    least_s: float = Field(default=2.0, gt=0)
    least_share: float = Field(default=0.25, gt=0, le=1)
    mirrored: bool = True
    cropped: bool = True
    turned: bool = False
    embedding: float | None = Field(default=None, gt=0, le=1)


class Duplicates(Likeness):
    """Near-duplicates over the whole dataset.

    Attributes:
        keep: `best` drops all but the best copy: more pixels, then longer, then sharper, then the smaller key.
            `all` drops none; copies still fall on one side of the split.
        covered: share of a clip that must be in a better one for it to be dropped; default ours: with less, more than
            half of what it shows would be lost.
    """

    keep: Literal["best", "all"] = "best"
    covered: float = Field(default=0.5, gt=0, le=1)
