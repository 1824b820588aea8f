"""How usable the picture is: sharpness, light, motion, borders, overlaid text. Numbers only; compose decides."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.annotators.borders import find_borders
from worldloom.annotators.overlays import overlaid
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict

NOISE = 2.0
"""Steps of 8-bit luma between neighbouring pixels up to which `sharpness` takes them for noise."""


class QualityRules(Strict):
    """What is measured; defaults ours.

    Attributes:
        samples: runs of three neighbouring frames looked at, spread evenly over the clip.
        height: pixels; taller pictures are reduced to it first, so that figures compare.
        dark_below: 8-bit luma under which a pixel counts as dark.
        bright_above: 8-bit luma above which a pixel counts as burnt out.
        still_below: mean 8-bit luma difference under which two frames count as one.
        static_below: motion in picture widths per second under which a moment counts as static.
    """

    samples: Annotated[int, Field(ge=1)] = 16
    height: Annotated[int, Field(ge=32)] = 270
    dark_below: Annotated[int, Field(ge=0, le=255)] = 20
    bright_above: Annotated[int, Field(ge=0, le=255)] = 250
    still_below: Annotated[float, Field(ge=0)] = 0.25
    static_below: Annotated[float, Field(ge=0)] = 0.002


def sharpness(luma: np.ndarray) -> float:
    """1 - the blur of Crete et al. 2007 ("The blur effect"), in [0, 1]: 0.2 is soft, 0.6 crisp, 0 flat.

    Blurring a sharp picture takes much of its gradients away, blurring a blurred one little. Steps of two levels or
    less are rounding and what the codec left, and not counted (ours): they made blurred videos look crisper. Of a
    picture that has hardly any others the figure says little.

    Args:
        luma: (h, w) uint8.
    """
    picture = luma.astype(np.float32)
    worst = 0.0
    for axis in (0, 1):
        reblurred = cv2.blur(picture, (1, 9) if axis == 0 else (9, 1))
        steps = np.abs(np.diff(picture, axis=axis))
        steps = np.where(steps > NOISE, steps, 0)
        lost = np.clip(steps - np.abs(np.diff(reblurred, axis=axis)), 0, None)
        total = float(steps.sum())
        worst = max(worst, 1.0 - float(lost.sum()) / total if total > 0 else 1.0)
    return 1.0 - worst


def flow_lengths(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Length of the optical flow (DIS) at every point of a picture 160 pixels wide, in picture widths.

    Args:
        first: (h, w) uint8 luma.
        second: the frame after it.
    """
    size = (160, max(16, round(160 * first.shape[0] / first.shape[1])))
    pair = [cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (first, second)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(
        pair[0], pair[1], np.zeros((*pair[0].shape, 2), np.float32)
    )
    return np.asarray(np.linalg.norm(flow, axis=-1)) / 160


def motion_per_s(first: np.ndarray, second: np.ndarray, fps: float) -> float:
    """Median length of the optical flow (DIS), in picture widths per second.

    Args:
        first: (h, w) uint8 luma.
        second: the frame after it.
        fps: frames per second.
    """
    return float(np.median(flow_lengths(first, second))) * fps


def flicker(levels: np.ndarray) -> float:
    """Mean second difference of the picture's mean luma over three frames in a row, as a share of the range.

    A fade or a lamp that is switched changes the light once; flicker changes it back. 0.01 cannot be seen, a strobe
    reaches 1.

    Args:
        levels: (n, 3) mean luma, 0..255.
    """
    bend = np.abs(levels[:, 0] - 2 * levels[:, 1] + levels[:, 2])
    # Up and back: a change in one direction alone is no flicker, however fast.
    back = (levels[:, 1] - levels[:, 0]) * (levels[:, 2] - levels[:, 1]) < 0
    return float(np.mean(np.where(back, bend / 2, 0.0))) / 255 if len(levels) else 0.0


def combing(luma: np.ndarray) -> float:
    """Share of the moving edges where every second line steps aside: 0 of a progressive picture, up to 1.

    At full height; reduced pictures have lost their fields.

    Args:
        luma: (h, w) uint8.
    """
    lines = luma.astype(np.int16)
    middle = lines[1:-3]
    # A line far from both neighbours while those agree, twice in a row and in opposite directions.
    up, down, next_down = lines[:-4] - middle, lines[2:-2] - middle, lines[3:-1] - lines[2:-2]
    comb = (np.abs(up) > 12) & (np.abs(down) > 12) & (up * down > 0) & (down * next_down < 0) & (np.abs(next_down) > 12)
    edge = (np.abs(up) > 12) | (np.abs(down) > 12)
    return float(comb.sum()) / float(edge.sum()) if edge.sum() >= 0.002 * edge.size else 0.0


class QualityAnnotator(Annotator):
    """Fills `Clip.quality` with floats; each is a mean over the sampled frames unless it says otherwise.

    - `sharpness` 0..1; `sharpness_low` the 10th percentile over frames.
    - `brightness` mean luma 0..1; `contrast` standard deviation of the luma, 0..0.5; `dark` and `burnt` shares of
      pixels; `flicker` 0..1, see the function. All of what is inside the borders.
    - `motion` picture widths per second; `motion_high` the 90th percentile over moments; `still` share of frame pairs
      without any change (frozen or doubled frames); `static` share of moments where nine tenths of the picture rest: 1
      of a still, near 1 of a slide show.
    - `borders` share of the picture, and `border_top`, `border_bottom`, `border_left`, `border_right` shares of its
      height and width, that show nothing (letterbox, pillarbox, a frame).
    - `text` share of the picture covered by what stands still with hard edges while the rest moves: captions,
      watermarks, clocks; 0 where nothing moves, see `worldloom.annotators.overlays`.
    - `interlaced` 0..1, see `combing`.
    """

    name = "quality"
    version = "2"
    method = "measures"
    needs = ("frames",)
    gives = "quality"
    Config = QualityRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Look at runs of neighbouring frames, spread over the clip."""
        cv2.setNumThreads(1)
        first = sample_frames(clip.frames, self.config.samples)
        last = clip.frames - 1
        runs = [[start, min(start + 1, last), min(start + 2, last)] for start in first]
        wanted = sorted({frame for run in runs for frame in run})
        luma, combed = {}, []
        with clip.open_frames() as frames:
            for frame, picture in zip(wanted, frames[wanted], strict=True):
                full = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
                luma[frame] = _reduced(full, self.config.height)
                if frame in first:
                    combed.append(combing(full))
        figures = self._figures([[luma[frame] for frame in run] for run in runs], runs, clip.fps)
        figures["interlaced"] = float(np.mean(combed))
        return Given({name: round(float(value), 6) for name, value in figures.items()})

    def _figures(self, pictures: list[list[np.ndarray]], runs: list[list[int]], fps: Fraction) -> dict[str, float]:
        rules = self.config
        borders = find_borders(np.stack([run[0] for run in pictures]))
        inside = [[borders.inside(one) for one in run] for run in pictures]
        shown = [run[0] for run in inside]
        sharp = [sharpness(one) for one in shown]
        pairs = [(run[0], run[1]) for run, frames in zip(inside, runs, strict=True) if frames[1] > frames[0]]
        still = [float(cv2.absdiff(one, two).mean()) < rules.still_below for one, two in pairs]
        flows = [flow_lengths(one, two) * float(fps) for one, two in pairs]
        motion = [float(np.median(one)) for one in flows]
        static = [float(np.percentile(one, 90)) < rules.static_below for one in flows]
        levels = [
            [one.mean() for one in run]
            for run, frames in zip(inside, runs, strict=True)
            if frames[2] > frames[1] > frames[0]
        ]
        return {
            "sharpness": np.mean(sharp),
            "sharpness_low": np.percentile(sharp, 10),
            "brightness": np.mean([one.mean() for one in shown]) / 255,
            "contrast": np.mean([one.std() for one in shown]) / 255,
            "dark": np.mean([(one < rules.dark_below).mean() for one in shown]),
            "burnt": np.mean([(one > rules.bright_above).mean() for one in shown]),
            "flicker": flicker(np.array(levels).reshape(-1, 3)),
            "motion": np.mean(motion) if motion else 0.0,
            "motion_high": np.percentile(motion, 90) if motion else 0.0,
            "still": np.mean(still) if still else 0.0,
            "static": np.mean(static) if static else 1.0,
            "borders": borders.area,
            **{f"border_{side}": getattr(borders, side) for side in borders._fields},
            "text": overlaid(shown) * (1 - borders.area),
        }


def sample_frames(frames: int, samples: int) -> list[int]:
    """At most `samples` frames, spread evenly from 0 to frames - 2 (so that each has a next one)."""
    last = max(frames - 2, 0)
    return sorted({round(i) for i in np.linspace(0, last, min(samples, last + 1))})


def _reduced(luma: np.ndarray, height: int) -> np.ndarray:
    if luma.shape[0] <= height:
        return luma
    width = max(2, round(luma.shape[1] * height / luma.shape[0]))
    return cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
