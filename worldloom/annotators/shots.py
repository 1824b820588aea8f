"""Hard cuts: where one continuous shot ends and the next begins.

A false cut throws footage away and a missed one only costs a clip whose pose then fails, so everything here leans
towards no cut. A frame starts a new shot when all of these hold:

1. The picture changed much, in layout (a 32x18 luma) and in colour (a histogram), against the frame before it.
2. The change stands out against the changes around it: a fast pan or a shaking camera changes every frame.
3. It lasts: the frames after a flash look like those before it.
4. Nothing links both sides: no half of the picture is found shifted on the other side, and features matched across
   do not agree on one motion.

Dissolves and fades are not cuts and are not found.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict

Share = Annotated[float, Field(gt=0, lt=1)]


class ShotRules(Strict):
    """What counts as a hard cut; all defaults ours, set on real clips joined, flashed, dimmed and panned.

    Attributes:
        layout_change: mean luma difference of the 32x18 pictures, 0..1, that a cut has at least.
        colour_change: half the L1 distance of the colour histograms, 0..1, that a cut has at least.
        strong_layout_change: a layout change this large needs no change of colour.
        peak_ratio: how many times the change must be the median change around it.
        flash_frames: a change undone within so many frames is a flash; also how far the detector looks ahead.
        same_scene_shift: correlation from which half a picture counts as found again (98 % of foreign pictures
            stay below 0.83, 99 % below 0.85).
        same_scene_matches: features that must agree on one homography to link both sides.
    """

    layout_change: Share = 0.06
    colour_change: Share = 0.18
    strong_layout_change: Share = 0.16
    peak_ratio: Annotated[float, Field(ge=1)] = 2.0
    flash_frames: Annotated[int, Field(ge=1, le=12)] = 4
    same_scene_shift: Share = 0.86
    same_scene_matches: Annotated[int, Field(ge=4)] = 14


@dataclass
class _Look:
    """What is kept of a frame: a few kB to compare, and a small picture to match features in."""

    layout: np.ndarray
    colour: np.ndarray
    picture: np.ndarray


def find_cuts(frames: Iterable[np.ndarray], rules: ShotRules | None = None) -> list[int]:
    """First frame of each new shot, in order; 0 is not among them.

    Streams: at most `2 * flash_frames + 2` small pictures are held.

    Args:
        frames: (H, W, 3) uint8 RGB, in order.
        rules: thresholds.
    """
    return list(iter_cuts(frames, rules or ShotRules()))


def iter_cuts(frames: Iterable[np.ndarray], rules: ShotRules) -> Iterator[int]:
    """The cuts of `find_cuts`, each as soon as the frames after it have settled it."""
    before, after = rules.flash_frames + 1, rules.flash_frames
    window: deque[_Look] = deque(maxlen=before + 1 + after)
    changes: deque[float] = deque(maxlen=before + 1 + after)
    last_cut, count = 0, 0
    for frame in frames:
        look = _look(frame)
        changes.append(_change(window[-1], look) if window else 0.0)
        window.append(look)
        count += 1
        centre = count - 1 - after
        if centre >= 1 and _is_cut(window, changes, len(window) - 1 - after, centre - last_cut, rules):
            last_cut = centre
            yield centre
    for centre in range(max(1, count - after), count):
        if _is_cut(window, changes, len(window) - (count - centre), centre - last_cut, rules):
            last_cut = centre
            yield centre


def _look(frame: np.ndarray) -> _Look:
    height, width = frame.shape[:2]
    scale = min(1.0, 256 / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    layout = cv2.resize(luma, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2Lab)
    colour = cv2.calcHist([lab], [0, 1, 2], None, [12, 16, 16], [0, 256, 64, 192, 64, 192])
    return _Look(layout, cv2.GaussianBlur(colour.reshape(12, -1), (1, 3), 0.8).ravel() / luma.size, luma)


def _change(left: _Look, right: _Look) -> float:
    """Mean luma difference of two layouts after the better of their own levels and equal mean and contrast."""
    raw = float(np.abs(left.layout - right.layout).mean())
    levelled = float(np.abs(_level(left.layout) - _level(right.layout)).mean())
    return min(raw, levelled)


def _level(layout: np.ndarray) -> np.ndarray:
    """Mean 0.5 and standard deviation 0.2, so that a lamp or an exposure step is no change of layout."""
    return 0.5 + 0.2 * (layout - layout.mean()) / max(float(layout.std()), 0.02)


def _colour_change(left: _Look, right: _Look) -> float:
    return 0.5 * float(np.abs(left.colour - right.colour).sum())


def _is_cut(window: deque[_Look], changes: deque[float], at: int, since_cut: int, rules: ShotRules) -> bool:
    """Whether `window[at]` starts a new shot; `since_cut` frames have passed since the last one."""
    if at < 1 or not _differs(window[at - 1], window[at], rules):
        return False
    first = max(1, at - rules.flash_frames, at - since_cut + 1)
    around = [changes[i] for i in range(first, min(len(changes), at + rules.flash_frames + 1)) if i != at]
    if around and changes[at] < rules.peak_ratio * float(np.median(around)):
        return False
    earliest = max(0, at - rules.flash_frames, at - since_cut)
    latest = min(len(window) - 1, at + rules.flash_frames)
    for i in range(earliest, at):
        for j in range(at, latest + 1):
            if j - i <= rules.flash_frames + 1 and not _differs(window[i], window[j], rules):
                return False
    return not _same_scene(window, at, earliest, latest, rules)


def _differs(left: _Look, right: _Look, rules: ShotRules) -> bool:
    layout = _change(left, right)
    if layout < rules.layout_change:
        return False
    return layout >= rules.strong_layout_change or _colour_change(left, right) >= rules.colour_change


def _same_scene(window: deque[_Look], at: int, earliest: int, latest: int, rules: ShotRules) -> bool:
    """A frame before and one after show one place: next to the cut, and around a flash."""
    pairs = {(at - 1, at), (earliest, latest), (at - 1, latest), (earliest, at)}
    return any(
        shifted(window[i].picture, window[j].picture) >= rules.same_scene_shift
        or linked(window[i].picture, window[j].picture) >= rules.same_scene_matches
        for i, j in sorted(pairs)
    )


def shifted(left: np.ndarray, right: np.ndarray) -> float:
    """Best correlation, up to 1, of a half of `left` found anywhere in `right`; both grey, (h, w) uint8.

    Sees through the blur of a whip pan, where no feature survives; -1 where no half has texture.
    """
    width, height = 64, max(8, round(64 * left.shape[0] / left.shape[1]))
    left, right = (
        cv2.GaussianBlur(cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA), (0, 0), 1.0)
        for one in (left, right)
    )
    x, y = width // 2, height // 2
    halves = (left[:, :x], left[:, x:], left[:y], left[y:], left[y // 2 : -(y // 2), x // 2 : -(x // 2)])
    textured = [half for half in halves if half.std() >= 6.0]
    return max((float(cv2.matchTemplate(right, half, cv2.TM_CCOEFF_NORMED).max()) for half in textured), default=-1.0)


def linked(left: np.ndarray, right: np.ndarray) -> int:
    """How many features of two grey pictures (h, w) uint8 agree on one homography."""
    orb = cv2.ORB.create(nfeatures=500, scaleFactor=1.3, nlevels=5, edgeThreshold=8, patchSize=17, fastThreshold=7)
    points_l, words_l = orb.detectAndCompute(left, None)
    points_r, words_r = orb.detectAndCompute(right, None)
    if words_l is None or words_r is None or min(len(points_l), len(points_r)) < 8:
        return 0
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(words_l, words_r)
    matches = [match for match in matches if match.distance < 56]
    if len(matches) < 8:
        return 0
    source = np.array([points_l[match.queryIdx].pt for match in matches], np.float32)
    target = np.array([points_r[match.trainIdx].pt for match in matches], np.float32)
    cv2.setRNGSeed(0)
    _, inliers = cv2.findHomography(source, target, cv2.RANSAC, 4.0, maxIters=500)
    return 0 if inliers is None else int(inliers.sum())


class ShotAnnotator(Annotator):
    """Counts the cuts left inside a clip; ingest has cut already, so one here marks a clip to drop."""

    name = "shots"
    version = "1"
    method = "histogram"
    needs = ("frames",)
    gives = "quality"
    Config = ShotRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """`quality.cuts`: how many hard cuts the clip holds; where they are stands in the notes."""
        with clip.open_frames() as frames:
            cuts = find_cuts(frames, self.config)
        return Given({"cuts": float(len(cuts))}, notes={"cuts": cuts})
