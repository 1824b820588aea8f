"""A clip in some hundred bytes, by which its copies are found: hashes of what is seen and of what moves, over time.

Three 64-bit words per sample at a fixed rate in seconds, so that another frame rate changes nothing:

- *sight*: signs of the 63 lowest frequencies (8 x 8 without the mean) of the cosine transform of the picture without
  its borders, made 32 x 32. That is the perceptual hash known as pHash (Zauner 2010) with zero instead of the median
  as its threshold: the frequencies of pictures have no preferred sign, and a mirrored or turned picture then has a
  hash that can be computed from the first one (`worldloom.pipeline.duplicates`).
- *inner*: the same of the middle of the picture, so that a copy whose sides were cut away is found.
- *motion*: which of 8 x 8 cells changed since the sample before. It tells two stretches of one fixed camera apart,
  which look the same but for who walks through them.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.annotators.borders import Borders, find_borders
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict

SIDE = 32
"""Pixels of the picture that is transformed; pHash's size."""

INNER = 0.85
"""Share of the width and of the height in the middle; copies cropped by 10 and by 20 % are both near it (ours)."""


class FingerprintRules(Strict):
    """How a clip is sampled; defaults ours.

    Attributes:
        rate: samples per second. A copy trimmed somewhere is sampled up to half a step aside, and a camera that turns
            45 degrees per second turns 5.6 in 1/8 s, a tenth of a usual field of view.
        max_samples: of a clip; longer ones are sampled more rarely, at half the rate, a quarter, and so on.
        least_detail: standard deviation of the 32 x 32 luma, 0..128, under which a sample has nothing to be known by.
        moved: mean 8-bit luma change of a cell that counts as motion.
    """

    rate: Annotated[float, Field(gt=0, le=60)] = 4.0
    max_samples: Annotated[int, Field(ge=8, le=4096)] = 480
    least_detail: Annotated[float, Field(ge=0, le=128)] = 4.0
    moved: Annotated[float, Field(gt=0, le=255)] = 6.0


class FingerprintAnnotator(Annotator):
    """Leaves the words in its notes, base64 of big-endian uint64; `quality.detail` is the share of usable samples.

    Beside them the notes hold `rate`, samples per second, and `borders`, as `find_borders` gives them.
    """

    name = "fingerprint"
    version = "1"
    method = "dct"
    needs = ("frames",)
    gives = "quality"
    Config = FingerprintRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Hash what is seen and what moves at every sample."""
        cv2.setNumThreads(1)
        rules: FingerprintRules = self.config
        frames, rate = sample_times(clip.frames, float(clip.fps), rules.rate, rules.max_samples)
        pictures = _pictures(clip, frames)
        borders = find_borders(pictures)
        small = np.stack([_square(borders.inside(one)) for one in pictures])
        detailed = small.std(axis=(1, 2)) >= rules.least_detail
        if not detailed.any():
            return Absent("no detail")
        side = (1 - INNER) / 2
        middle = Borders(side, side, side, side)
        inner = np.stack([_square(middle.inside(borders.inside(one))) for one in pictures])
        sight, inside = (np.where(detailed, sight_words(one), np.uint64(0)) for one in (small, inner))
        words = {"sight": sight, "inner": inside, "motion": motion_words(small, rules.moved)}
        notes = {
            "rate": rate,
            "borders": [round(one, 4) for one in borders],
            **{name: to_text(one) for name, one in words.items()},
        }
        return Given({"detail": round(float(detailed.mean()), 6)}, notes=notes)


def sample_times(frames: int, fps: float, rate: float, most: int) -> tuple[np.ndarray, float]:
    """Frames nearest to 0, 1 / rate, 2 / rate ... seconds, and the rate, halved until there are at most `most`.

    Args:
        frames: of the clip.
        fps: of the clip; a clip slower than the rate is sampled with repeated frames.
        rate: samples per second.
        most: samples.
    """
    last_s = (frames - 1) / fps
    while int(last_s * rate + 1e-6) + 1 > most:
        rate /= 2
    times = np.arange(int(last_s * rate + 1e-6) + 1) / rate
    return np.minimum(np.round(times * fps).astype(np.int64), frames - 1), rate


def sight_words(small: np.ndarray) -> np.ndarray:
    """Hash of each picture.

    Bit 8 v + u from the top is whether the cosine transform at u cycles across and v down (in half periods) is
    positive; bit 0, the mean, is never set.

    Args:
        small: (n, 32, 32) luma.

    Returns:
        (n,) uint64.
    """
    spectra = np.stack([cv2.dct(one.astype(np.float32))[:8, :8] for one in small])
    signs = spectra.reshape(-1, 64) > 0
    signs[:, 0] = False
    return packed(signs)


def motion_words(small: np.ndarray, moved: float) -> np.ndarray:
    """Which cells of an 8 x 8 grid differ from the sample before, with the light of the whole picture set equal.

    Args:
        small: (n, 32, 32) luma.
        moved: mean 8-bit change of a cell that counts.

    Returns:
        (n,) uint64; the first is 0.
    """
    levelled = small.astype(np.float32) - np.median(small, axis=(1, 2), keepdims=True)
    change = np.abs(np.diff(levelled, axis=0, prepend=levelled[:1]))
    cells = change.reshape(len(small), 8, 4, 8, 4).mean(axis=(2, 4))
    return packed(cells.reshape(-1, 64) > moved)


def packed(bits: np.ndarray) -> np.ndarray:
    """(n, 64) bool to (n,) uint64, the first bit highest."""
    return np.packbits(bits, axis=1).view(">u8").reshape(-1).astype(np.uint64)


def to_text(words: np.ndarray) -> str:
    """Base64 of big-endian words."""
    return base64.b64encode(words.astype(">u8").tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    """The inverse of `to_text`.

    Raises:
        ValueError: it is no such text.
    """
    data = base64.b64decode(text, validate=True)
    if len(data) % 8:
        raise ValueError(f"{len(data)} bytes are no 64-bit words")
    return np.frombuffer(data, ">u8").astype(np.uint64)


def _pictures(clip: Clip, frames: np.ndarray) -> np.ndarray:
    """(n, h, w) luma of these frames, 128 pixels wide or high at most: borders are found to a hundredth."""
    scale = min(1.0, 128 / max(clip.height, clip.width))
    size = (max(8, round(clip.width * scale)), max(8, round(clip.height * scale)))
    pictures: dict[int, np.ndarray] = {}
    wanted = set(frames.tolist())
    with clip.open_frames() as opened:
        for number, frame in enumerate(opened):
            if number in wanted:
                small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
                pictures[number] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return np.stack([pictures[number] for number in frames.tolist()])


def _square(luma: np.ndarray) -> np.ndarray:
    return cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
