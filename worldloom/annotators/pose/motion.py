"""Is the camera standing? Followed points of a standing camera stay where they are, apart from people's."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from worldloom.annotators.pose.tracks import Tracks
from worldloom.catalogs.config import Strict


class StillRules(Strict):
    """When a camera counts as standing (defaults ours). Pixels of a picture 480 wide; they grow with the width."""

    still_px: float = 0.5
    """Most the picture's corners may move over the whole clip."""
    fit_px: float = 1.0
    """A point within this of the common motion belongs to the background."""
    background: float = 0.4
    """Least share of the points that belongs to it."""
    looks: int = 40
    """Frames looked at, evenly spread."""


def is_still(tracks: Tracks, size: tuple[int, int], rules: StillRules) -> bool:
    """Whether one common motion of the background, a similarity close to the identity, holds for the whole clip."""
    unit = max(size) / 480
    looks = np.unique(np.linspace(0, len(tracks) - 1, rules.looks).round().astype(int))
    total = np.eye(3)
    anchor, at_anchor = 0, np.eye(3)
    for before, frame in itertools.pairwise(looks):
        if len(tracks.shared(anchor, int(frame))[0]) < 0.3 * len(tracks.ids[anchor]):
            anchor, at_anchor = int(before), total
        step = _common_motion(tracks, anchor, int(frame), rules.fit_px * unit, rules.background)
        if step is None:
            return False
        total = step @ at_anchor
        if _corner_motion(total, size) > rules.still_px * unit:
            return False
    return True


def _common_motion(tracks: Tracks, a: int, b: int, fit_px: float, background: float) -> np.ndarray | None:
    _, from_xy, to_xy = tracks.shared(a, b)
    if len(from_xy) < 12:
        return None
    cv2.setRNGSeed(0)
    found, fits = cv2.estimateAffinePartial2D(from_xy, to_xy, method=cv2.RANSAC, ransacReprojThreshold=fit_px)
    if found is None or fits.mean() < background:
        return None
    return np.vstack([found, [0, 0, 1]])


def _corner_motion(similarity: np.ndarray, size: tuple[int, int]) -> float:
    width, height = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
    return float(np.linalg.norm(corners @ similarity.T - corners, axis=1).max())
