"""How usable the picture is: sharpness, light, contrast, motion. Numbers only; compose decides what to drop."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict


class QualityRules(Strict):
    """What is measured; defaults ours.

    Attributes:
        samples: pairs of neighbouring frames looked at, spread evenly over the clip.
        height: pixels; taller pictures are reduced to it first, so that figures compare.
        dark_below: 8-bit luma under which a pixel counts as dark.
        bright_above: 8-bit luma above which a pixel counts as burnt out.
        still_below: mean 8-bit luma difference under which two frames count as one.
    """

    samples: Annotated[int, Field(ge=1)] = 16
    height: Annotated[int, Field(ge=32)] = 270
    dark_below: Annotated[int, Field(ge=0, le=255)] = 20
    bright_above: Annotated[int, Field(ge=0, le=255)] = 250
    still_below: Annotated[float, Field(ge=0)] = 0.25


def sharpness(luma: np.ndarray) -> float:
    """1 - the blur of Crete et al. 2007 ("The blur effect"), in [0, 1]: 0.2 is soft, 0.6 crisp, 0 flat.

    Blurring a sharp picture takes much of its gradients away, blurring a blurred one little.

    Args:
        luma: (h, w) uint8.
    """
    picture = luma.astype(np.float32)
    worst = 0.0
    for axis in (0, 1):
        reblurred = cv2.blur(picture, (1, 9) if axis == 0 else (9, 1))
        steps = np.abs(np.diff(picture, axis=axis))
        lost = np.clip(steps - np.abs(np.diff(reblurred, axis=axis)), 0, None)
        total = float(steps.sum())
        worst = max(worst, 1.0 - float(lost.sum()) / total if total > 0 else 1.0)
    return 1.0 - worst


def motion_per_s(first: np.ndarray, second: np.ndarray, fps: float) -> float:
    """Median length of the optical flow (DIS), in picture widths per second.

    Args:
        first: (h, w) uint8 luma.
        second: the frame after it.
        fps: frames per second.
    """
    size = (160, max(16, round(160 * first.shape[0] / first.shape[1])))
    pair = [cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (first, second)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(
        pair[0], pair[1], np.zeros((*pair[0].shape, 2), np.float32)
    )
    return float(np.median(np.linalg.norm(flow, axis=-1))) / 160 * fps


class QualityAnnotator(Annotator):
    """Fills `Clip.quality` with floats; each is a mean over the sampled frames unless it says otherwise.

    `sharpness` 0..1; `sharpness_low` the 10th percentile over frames; `brightness` mean luma 0..1; `contrast` standard
    deviation of the luma, 0..0.5; `dark` and `burnt` shares of pixels; `motion` picture widths per second; `still`
    share of frame pairs without any change (frozen or doubled frames).
    """

    name = "quality"
    version = "1"
    method = "measures"
    needs = ("frames",)
    gives = "quality"
    Config = QualityRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Look at pairs of neighbouring frames, spread over the clip."""
        cv2.setNumThreads(1)
        first = sample_frames(clip.frames, self.config.samples)
        wanted = sorted({frame for start in first for frame in (start, min(start + 1, clip.frames - 1))})
        with clip.open_frames() as frames:
            luma = dict(zip(wanted, (_luma(one, self.config.height) for one in frames[wanted]), strict=True))
        return Given(self._figures([luma[start] for start in first], [luma.get(s + 1) for s in first], clip.fps))

    def _figures(self, shown: list[np.ndarray], after: list[np.ndarray | None], fps: Fraction) -> dict[str, float]:
        rules = self.config
        sharp = [sharpness(one) for one in shown]
        pairs = [(one, two) for one, two in zip(shown, after, strict=True) if two is not None]
        still = [float(cv2.absdiff(one, two).mean()) < rules.still_below for one, two in pairs]
        motion = [motion_per_s(one, two, float(fps)) for one, two in pairs]
        figures = {
            "sharpness": np.mean(sharp),
            "sharpness_low": np.percentile(sharp, 10),
            "brightness": np.mean([one.mean() for one in shown]) / 255,
            "contrast": np.mean([one.std() for one in shown]) / 255,
            "dark": np.mean([(one < rules.dark_below).mean() for one in shown]),
            "burnt": np.mean([(one > rules.bright_above).mean() for one in shown]),
            "motion": np.mean(motion) if motion else 0.0,
            "still": np.mean(still) if still else 0.0,
        }
        return {name: round(float(value), 6) for name, value in figures.items()}


def sample_frames(frames: int, samples: int) -> list[int]:
    """At most `samples` frames, spread evenly from 0 to frames - 2 (so that each has a next one)."""
    last = max(frames - 2, 0)
    return sorted({round(i) for i in np.linspace(0, last, min(samples, last + 1))})


def _luma(frame: np.ndarray, height: int) -> np.ndarray:
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if luma.shape[0] <= height:
        return luma
    width = max(2, round(luma.shape[1] * height / luma.shape[0]))
    return cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
