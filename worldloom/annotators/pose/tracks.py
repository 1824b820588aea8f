"""Points followed from frame to frame: sparse pyramidal Lucas-Kanade with a forward-backward check.

Neighbouring frames of a video differ little, so following corners costs a tenth of describing and matching them, finds
them to about 0.1 px, and reaches every frame, key frame or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from worldloom.catalogs.config import Strict


class TrackRules(Strict):
    """How corners are found and followed (defaults ours). Pixels are those of the working picture."""

    max_points: int = 600
    """Corners followed at a time."""
    min_distance_px: float = 9.0
    """Between two corners."""
    quality: float = 0.002
    """Weakest corner kept, as a share of the strongest one's score (smaller eigenvalue of the structure tensor)."""
    floor: float = 2e-5
    """Weakest corner kept at all, in the same score for grey values in 0..1: below, there is only noise."""
    window_px: int = 15
    """Side of the patch compared."""
    levels: int = 4
    """Pyramid levels above the picture: motion of up to about window / 2 * 2^levels px per frame is followed."""
    return_px: float = 0.5
    """A point followed forward and back must return this close to where it started."""
    refill: float = 0.85
    """New corners are looked for where fewer than this share of `max_points` is alive."""


@dataclass(eq=False)
class Tracks:
    """Every point at every frame it was seen in.

    Attributes:
        ids: per frame (n,) int64, increasing: the track each point belongs to.
        xy: per frame (n, 2) float32, pixels, centres at +0.5.
        count: number of tracks.
    """

    ids: list[np.ndarray]
    xy: list[np.ndarray]
    count: int

    def __len__(self) -> int:
        return len(self.ids)

    def shared(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tracks seen in frames `a` and `b`: ids (n,), their places (n, 2) in a and (n, 2) in b."""
        ids, at_a, at_b = np.intersect1d(self.ids[a], self.ids[b], assume_unique=True, return_indices=True)
        return ids, self.xy[a][at_a], self.xy[b][at_b]


def follow(grays: Sequence[np.ndarray], rules: TrackRules) -> Tracks:
    """Follow corners through all frames.

    Args:
        grays: T pictures (h, w) uint8.
        rules: how.

    Returns:
        Tracks over T frames; frames without texture hold none.
    """
    ids: list[np.ndarray] = []
    xy: list[np.ndarray] = []
    count = 0
    alive_ids, alive = np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
    before: np.ndarray | None = None
    for gray in grays:
        if before is not None and len(alive):
            alive, kept = _step(before, gray, alive, rules)
            alive_ids = alive_ids[kept]
        if len(alive) < rules.refill * rules.max_points:
            fresh = _corners(gray, alive, rules)
            alive = np.concatenate([alive, fresh])
            alive_ids = np.concatenate([alive_ids, np.arange(count, count + len(fresh))])
            count += len(fresh)
        ids.append(alive_ids)
        xy.append(alive + np.float32(0.5))  # OpenCV's pixel centres lie at whole numbers
        before = gray
    return Tracks(ids, xy, count)


def _step(
    before: np.ndarray, after: np.ndarray, points: np.ndarray, rules: TrackRules
) -> tuple[np.ndarray, np.ndarray]:
    """Places (m, 2) of the points that could be followed, and which (n,) bool of `points` (n, 2) they are."""
    options: dict[str, Any] = {
        "winSize": (rules.window_px, rules.window_px),
        "maxLevel": rules.levels,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
        "minEigThreshold": 1e-5,
    }
    empty: Any = None  # places to start from: none
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points.reshape(-1, 1, 2), empty, **options)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, empty, **options)
    there = there.reshape(-1, 2)
    error = np.linalg.norm(back.reshape(-1, 2) - points, axis=1)
    edge = rules.window_px / 3
    height, width = before.shape[:2]
    inside = (there > edge).all(axis=1) & (there[:, 0] < width - 1 - edge) & (there[:, 1] < height - 1 - edge)
    kept = (found.ravel() == 1) & (returned.ravel() == 1) & (error < rules.return_px) & inside
    kept &= ~_crowded(there, kept, rules.min_distance_px / 3)
    return there[kept], kept


def _crowded(points: np.ndarray, kept: np.ndarray, distance: float) -> np.ndarray:
    """Points (n,) bool that an older track already stands beside: two tracks on one corner tell nothing new."""
    cells = np.floor(points / distance).astype(np.int64)
    cells[~kept] = -1 - np.arange(len(points))[~kept, None]
    _, first = np.unique(cells, axis=0, return_index=True)
    crowded = np.ones(len(points), bool)
    crowded[first] = False
    return crowded & kept


def _corners(gray: np.ndarray, alive: np.ndarray, rules: TrackRules) -> np.ndarray:
    """New corners (n, 2) float32 away from the living ones, refined below a pixel."""
    mask = np.full(gray.shape, 255, np.uint8)
    edge = int(rules.window_px / 3) + 1
    mask[:edge], mask[-edge:], mask[:, :edge], mask[:, -edge:] = 0, 0, 0, 0
    for x, y in np.rint(alive).astype(int):
        cv2.circle(mask, (int(x), int(y)), int(rules.min_distance_px), 0, -1)
    score = cv2.cornerMinEigenVal(gray, 5, ksize=3)
    mask[score < rules.floor] = 0
    wanted = rules.max_points - len(alive)
    found = cv2.goodFeaturesToTrack(gray, wanted, rules.quality, rules.min_distance_px, mask=mask, blockSize=5)
    return np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2).astype(np.float32)
