"""What is drawn over the picture: captions, watermarks, clocks, found because it stands still where all else moves.

A pixel counts as overlay if it is an edge in nearly every sampled frame, in one direction and about as strong, while
the picture around it changes. Words that come and go (captions that change every two seconds) are only found as far as
their outlines last over half of the clip; what is half transparent, or softer than the picture, is missed; of a fixed
camera nothing can be said, and nothing is.
"""

from __future__ import annotations

import cv2
import numpy as np

EDGE = 40.0
"""Sobel magnitude of 8-bit luma, over 8 (steps of luma per pixel), from which a pixel is an edge in overlays (ours)."""

LASTS = 0.8
"""Share of the samples in which the edge has to be there (ours)."""

MOVES = 12.0
"""Mean 8-bit luma change of the picture between samples from which it counts as moving (ours)."""

_LEAST_AREA = 0.0004
"""Of the picture: smaller specks are dirt on the lens, or chance."""


def overlaid(pictures: list[np.ndarray]) -> float:
    """Share of the picture covered by overlays, in [0, 1]; 0 where the picture does not move enough to tell.

    Args:
        pictures: (h, w) uint8 luma, at least 4, spread over the clip.
    """
    mask = overlay_mask(pictures)
    return float(mask.mean())


def overlay_mask(pictures: list[np.ndarray]) -> np.ndarray:
    """(h, w) bool: where the overlays are, filled between their outlines; see `overlaid`."""
    nothing = np.zeros(pictures[0].shape, bool)
    if len(pictures) < 4:
        return nothing
    stack = np.stack(pictures).astype(np.float32)
    change = np.abs(np.diff(stack, axis=0)).mean(axis=0)
    if float(np.median(change)) < MOVES / 2 or float(change.mean()) < MOVES / 2:
        return nothing
    gradients = np.stack([[cv2.Sobel(one, cv2.CV_32F, *way) / 8 for way in ((1, 0), (0, 1))] for one in stack])
    strong = np.hypot(gradients[:, 0], gradients[:, 1])
    mean = gradients.mean(axis=0)
    # One direction: the mean of the vectors is nearly as long as the mean of their lengths.
    steady = np.hypot(mean[0], mean[1]) >= LASTS * strong.mean(axis=0)
    lasting = (strong >= EDGE / 2).mean(axis=0) >= LASTS
    outline = (steady & lasting & (strong.mean(axis=0) >= EDGE / 2)).astype(np.uint8)
    return _filled(outline)


def _filled(outline: np.ndarray) -> np.ndarray:
    """Outlines that lie close together, as one area each; specks are left out."""
    height, width = outline.shape
    reach = max(3, round(height / 60)) | 1
    joined = cv2.morphologyEx(outline, cv2.MORPH_CLOSE, np.ones((reach, 2 * reach + 1), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    found = np.zeros(outline.shape, bool)
    for label in range(1, count):
        edges = int(outline[labels == label].sum())
        if stats[label, cv2.CC_STAT_AREA] >= _LEAST_AREA * height * width and edges >= 8:
            found |= labels == label
    return found
