"""Key frames, and matches between key frames that tracks do not join: SIFT, mutual nearest neighbours, ratio test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.annotators.pose.tracks import Tracks
from worldloom.catalogs.config import Strict


class LinkRules(Strict):
    """Which frames become key frames, and how they are matched (defaults ours unless said)."""

    max_keyframes: int = 60
    """Where motion asks for more, the step between key frames grows."""
    min_keyframes: int = 30
    """Where motion asks for fewer, the step shrinks."""
    step: float = 0.05
    """A new key frame after the points have moved by this share of the picture's longer side (median)."""
    least_step: float = 0.01
    """The step shrinks no further than this."""
    survival: float = 0.6
    """... or when fewer than this share of the last key frame's points is still followed."""
    max_features: int = 1500
    """SIFT features per key frame."""
    contrast: float = 0.01
    """SIFT's contrast threshold; Lowe's 0.04 leaves too few features on plain walls."""
    ratio: float = 0.8
    """Best over second-best distance (Lowe 2004, section 7.1)."""
    window: int = 3
    """Key frames so near are matched without looking first whether they look alike."""
    screen_features: int = 300
    """Strongest features by which all other pairs are looked over."""
    screen_matches: int = 12
    """Matches among them that make a pair worth matching in full ..."""
    most_alike: int = 300
    """... but of so many pairs at most, those that look most alike: matching and verifying one takes 0.04 s, and a clip
    of 60 key frames that shows one place again and again has 1,600."""
    enough_tracks: int = 120
    """Pairs that share so many tracks need no features."""
    reach: int = 5
    """Tracks join each key frame with so many following ones, and with some further ones at growing distance: all
    pairs would say little more and take twice the time."""


@dataclass(eq=False)
class Features:
    """SIFT of one key frame, strongest first: places (n, 2) float32, centres at +0.5, descriptors (n, 128)."""

    xy: np.ndarray
    descriptors: np.ndarray


def choose_keyframes(tracks: Tracks, longer_side: int, rules: LinkRules) -> list[int]:
    """Frames far enough apart to differ, first and last included."""
    step, survival = rules.step, rules.survival
    chosen = _keyframes(tracks, step * longer_side, survival)
    while len(chosen) < min(rules.min_keyframes, len(tracks)) and step > rules.least_step:
        step = max(step / 1.3, rules.least_step)
        chosen = _keyframes(tracks, step * longer_side, survival)
    while len(chosen) > rules.max_keyframes:
        if step > 1:  # neighbours share nothing: take every n-th
            return sorted(set(np.linspace(0, len(tracks) - 1, rules.max_keyframes).round().astype(int).tolist()))
        step, survival = step * 1.3, survival / 1.3
        chosen = _keyframes(tracks, step * longer_side, survival)
    return chosen


def _keyframes(tracks: Tracks, step: float, survival: float) -> list[int]:
    chosen = [0]
    for frame in range(1, len(tracks)):
        ids, before, now = tracks.shared(chosen[-1], frame)
        moved = float(np.median(np.linalg.norm(now - before, axis=1))) if len(ids) else np.inf
        if moved > step or len(ids) < survival * len(tracks.ids[chosen[-1]]):
            chosen.append(frame)
    if chosen[-1] != len(tracks) - 1:
        chosen.append(len(tracks) - 1)
    return chosen


def describe(grays: Sequence[np.ndarray], rules: LinkRules) -> list[Features]:
    """SIFT features of each picture (h, w) uint8."""
    sift = cv2.SIFT.create(nfeatures=rules.max_features, contrastThreshold=rules.contrast)
    return [_describe(sift, gray, rules) for gray in grays]


def _describe(sift: cv2.SIFT, gray: np.ndarray, rules: LinkRules) -> Features:
    points, descriptors = sift.detectAndCompute(gray, None)
    if descriptors is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    order = np.lexsort(([p.pt[1] for p in points], [p.pt[0] for p in points], [-p.response for p in points]))
    order = order[: rules.max_features]
    xy = np.array([points[i].pt for i in order], np.float32) + np.float32(0.5)
    # RootSIFT (Arandjelovic and Zisserman 2012), kept in whole numbers: inner products stay below 2^24 and are thus
    # exact in float32, whatever the order in which a BLAS adds them up.
    rows = descriptors[order]
    root = np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1.0))
    return Features(xy, np.rint(512 * root).astype(np.float32))


def match(a: Features, b: Features, ratio: float, limit: int | None = None) -> np.ndarray:
    """Mutual nearest neighbours that pass the ratio test from a to b: (m, 2) int64, rows of a and b."""
    left, right = a.descriptors[:limit], b.descriptors[:limit]
    if len(left) < 2 or len(right) < 2:
        return np.zeros((0, 2), np.int64)
    squared = left @ (-2 * right.T)
    squared += (left**2).sum(1)[:, None]
    squared += (right**2).sum(1)[None]
    rows, back, best = np.arange(len(left)), squared.argmin(axis=0), squared.argmin(axis=1)
    nearest = squared[rows, best]
    squared[rows, best] = np.inf
    passed = (nearest < ratio**2 * squared.min(axis=1)) & (back[best] == rows)
    return np.stack([rows[passed], best[passed]], axis=1)


def link(
    tracks: Tracks, keyframes: list[int], features: list[Features], rules: LinkRules
) -> dict[tuple[int, int], np.ndarray]:
    """Matches for pairs (i, j), i < j, of positions in `keyframes`: tracks, and SIFT where tracks are few.

    Returns:
        Rows (m, 2) of the keypoint lists of i and j, in which the features follow the tracks.
    """
    count = len(keyframes)
    every = [(i, j) for i in range(count) for j in range(i + 1, count)]
    rows = {(i, j): _common_rows(tracks, keyframes[i], keyframes[j]) for i, j in every}
    few = [pair for pair in every if len(rows[pair]) < rules.enough_tracks]
    featured = {pair for pair in few if pair[1] - pair[0] <= rules.window} | _alike(features, few, rules)
    links: dict[tuple[int, int], np.ndarray] = {}
    for i, j in every:
        parts = [rows[i, j]] if _joins(j - i, rules.reach) else []
        if (i, j) in featured:
            before = np.array([len(tracks.ids[keyframes[i]]), len(tracks.ids[keyframes[j]])])
            parts.append(match(features[i], features[j], rules.ratio) + before)
        if parts:
            links[i, j] = np.concatenate(parts)
    return links


def _common_rows(tracks: Tracks, a: int, b: int) -> np.ndarray:
    """Rows (m, 2) of the points of frames `a` and `b` that belong to the same track."""
    _, at_a, at_b = np.intersect1d(tracks.ids[a], tracks.ids[b], assume_unique=True, return_indices=True)
    return np.stack([at_a, at_b], axis=1)


def _joins(distance: int, reach: int) -> bool:
    """1, 2, ... reach, then steps that grow with the distance: with 5, 7 9 11 13 15 18 21 24 27 30 35 ..."""
    if distance <= reach:
        return True
    return distance % (1 + distance // reach) == 0


def _alike(features: list[Features], pairs: Sequence[tuple[int, int]], rules: LinkRules) -> set[tuple[int, int]]:
    """The pairs further apart than the window that look alike, the most alike first, up to `most_alike`."""
    far = [(i, j) for i, j in pairs if j - i > rules.window]
    alike = [len(match(features[i], features[j], rules.ratio, rules.screen_features)) for i, j in far]
    order = np.argsort(-np.array(alike, np.int64), kind="stable")[: rules.most_alike]
    return {far[k] for k in order if alike[k] >= rules.screen_matches}
