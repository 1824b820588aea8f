"""How right depth and revisits are (definitions 4)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Literal

import numpy as np

from worldloom.catalogs.clip import Depth, Revisits
from worldloom.catalogs.overlap import RevisitRules, find_revisits

DEAD_ZONE = (0.4, 0.6)
"""True overlaps in between are not scored (definitions 4)."""


@dataclass(frozen=True)
class DepthScores:
    """Depth against truth.

    Attributes:
        abs_rel: mean of |z - true z| / true z over pixels valid in both; NaN without any.
        delta1: share of these with max(z / true z, true z / z) < 1.25.
        coverage: share of the pixels with truth that the prediction calls valid.
        scale: what the predicted depth was multiplied by (median over maps).
        maps: frames present in both.
    """

    abs_rel: float
    delta1: float
    coverage: float
    scale: float
    maps: int


def abs_rel(
    depth: Depth,
    truth: Depth,
    scale_align: Literal["median"] | None = None,
    scale: float | np.ndarray = 1.0,
) -> DepthScores:
    """Absolute relative error of z-depth on the frames both have, at the resolution of the prediction.

    Predicted depth is in the unit of the predicted camera's translation. Compare it through the scale that aligned
    the poses (`AteResult.scale`): that scores depth and camera as one. Aligning medians map by map instead hides a
    disagreement between the two, and is here for methods without a camera.

    Args:
        depth: prediction.
        truth: true z in its unit, at any resolution; sampled at the centre of each predicted pixel.
        scale_align: `median` multiplies each map by the ratio of medians over pixels valid in both, instead of `scale`.
        scale: factor from the prediction's unit to the truth's: one, or (T,) one per frame of the clip.
    """
    errors, near_enough, covered, scales = [], [], [], []
    where_true = {int(frame): j for j, frame in enumerate(truth.frames)}
    for i, frame in enumerate(depth.frames):
        j = where_true.get(int(frame))
        if j is None:
            continue
        true_z, true_valid = _sampled(truth, j, depth.z.shape[1:])
        both = depth.valid[i] & true_valid
        covered.append(depth.valid[i][true_valid])
        if not both.any():
            continue
        z, right = depth.z[i][both].astype(np.float64), true_z[both].astype(np.float64)
        factor = np.median(right) / np.median(z) if scale_align == "median" else _at(scale, int(frame))
        scales.append(float(factor))
        errors.append(np.abs(factor * z - right) / right)
        near_enough.append(np.maximum(factor * z / right, right / (factor * z)) < 1.25)
    nan = float("nan")
    return DepthScores(
        abs_rel=float(np.mean(np.concatenate(errors))) if errors else nan,
        delta1=float(np.mean(np.concatenate(near_enough))) if errors else nan,
        coverage=float(np.mean(np.concatenate(covered))) if covered else nan,
        scale=float(np.median(scales)) if scales else nan,
        maps=len(covered),
    )


def _at(scale: float | np.ndarray, frame: int) -> float:
    return float(scale[frame]) if isinstance(scale, np.ndarray) else float(scale)


def _sampled(depth: Depth, index: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A map of truth at the pixel centres of another resolution: the nearest pixel, never a blend over an edge."""
    height, width = depth.z.shape[1:]
    rows = np.minimum(((np.arange(shape[0]) + 0.5) * height / shape[0]).astype(int), height - 1)
    columns = np.minimum(((np.arange(shape[1]) + 0.5) * width / shape[1]).astype(int), width - 1)
    pick = np.ix_(rows, columns)
    return depth.z[index][pick], depth.valid[index][pick]


@dataclass(frozen=True)
class RevisitScores:
    """Counts of revisit pairs, of which precision and recall are made; adds up over clips with `+`.

    Attributes:
        found: true pairs that were predicted.
        true: true pairs outside the dead zone.
        right: predicted pairs that are true.
        predicted: predicted pairs outside the dead zone.
        unscored: predicted pairs in the dead zone, or of frames without true overlap.
    """

    found: int = 0
    true: int = 0
    right: int = 0
    predicted: int = 0
    unscored: int = 0

    def __add__(self, other: RevisitScores) -> RevisitScores:
        return RevisitScores(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def precision(self) -> float:
        """Share of the scored predicted pairs that are true; NaN without any."""
        return self.right / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true pairs that were predicted; NaN without any."""
        return self.found / self.true if self.true else float("nan")


def revisit_scores(
    predicted: Revisits,
    overlap: np.ndarray,
    frames: np.ndarray,
    fps: Fraction | float,
    rules: RevisitRules | None = None,
    *,
    looked_at: np.ndarray | None = None,
    tolerance_frames: int = 0,
    dead_zone: tuple[float, float] = DEAD_ZONE,
) -> RevisitScores:
    """Precision and recall of revisit pairs outside the dead zone of true overlap (definitions 4).

    A true pair keeps all the rules of a revisit, with an overlap of at least the upper end of the dead zone. A
    predicted one is left out where the true overlap lies inside the zone and the other rules hold; one that breaks
    another rule (too near in time, never out of sight) is wrong.

    Args:
        predicted: to score.
        overlap: (N, N) true overlap, NaN where unknown.
        frames: (N,) ascending, which frame each row is.
        fps: frames per second.
        rules: of a revisit.
        looked_at: frames the prediction is about; true pairs of other frames are not asked for. All by default.
        tolerance_frames: how far a predicted frame may lie from the row it is scored at.
        dead_zone: overlaps strictly in between are not scored.
    """
    rules = rules or RevisitRules()
    frames = np.asarray(frames, np.int64)
    low, high = dead_zone
    positive = _pairs(overlap, frames, fps, rules, high)
    zone = _pairs(overlap, frames, fps, rules, np.nextafter(low, 1.0)) - positive
    known = np.isfinite(overlap)
    if looked_at is not None:
        rows = {_row(frames, int(frame), tolerance_frames) for frame in looked_at}
        positive_asked = {pair for pair in positive if pair[0] in rows and pair[1] in rows}
    else:
        positive_asked = positive
    guesses, outside = set(), 0
    for first, second in predicted.pairs:
        pair = (_row(frames, int(first), tolerance_frames), _row(frames, int(second), tolerance_frames))
        if -1 in pair or not known[pair]:
            outside += 1
        else:
            guesses.add(pair)
    scored = guesses - zone
    right = scored & positive
    return RevisitScores(
        found=len(right & positive_asked),
        true=len(positive_asked),
        right=len(right),
        predicted=len(scored),
        unscored=len(guesses & zone) + outside,
    )


def _pairs(
    overlap: np.ndarray, frames: np.ndarray, fps: Fraction | float, rules: RevisitRules, pair_from: float
) -> set[tuple[int, int]]:
    stricter = rules.model_copy(update={"pair_from": float(pair_from)})
    found = find_revisits(overlap, frames, fps, int(frames[-1]) + 1 if len(frames) else 0, stricter)
    rows = np.searchsorted(frames, found.pairs)
    return {(int(i), int(j)) for i, j in rows}


def _row(frames: np.ndarray, frame: int, tolerance: int) -> int:
    """Row of the nearest frame, -1 where none is within the tolerance."""
    if not len(frames):
        return -1
    nearest = int(np.abs(frames - frame).argmin())
    return nearest if abs(int(frames[nearest]) - frame) <= tolerance else -1
