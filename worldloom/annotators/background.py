"""What differs from the still scene behind it, for a camera that stands still."""

from __future__ import annotations

import cv2
import numpy as np


def background_of(samples: np.ndarray, tolerance: float = 14.0, power: float = 6.0) -> np.ndarray:
    """What each part of the picture comes back to: the look that recurs over the longest stretch of time.

    A median, or the most frequent value, fails where people stand in one place for more than half of the time. Two
    people in black look alike pixel by pixel, so a look is compared over a neighbourhood: sample i at a pixel scores
    sum_j |i - j| a_ij^power, a_ij the share of the neighbourhood in which the samples i and j agree.

    Args:
        samples: (n, h, w, 3) uint8, in order, spread over the clip.
        tolerance: 8-bit levels within which two samples agree in a pixel (default ours).
        power: how much of the neighbourhood must agree (default ours).

    Returns:
        (h, w, 3) uint8.
    """
    count, height, width = samples.shape[:3]
    size = (max(16, width // 2), max(16, height // 2))
    small = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in samples])
    side = max(3, size[0] // 8) | 1
    score = np.zeros((count, size[1], size[0]), np.float32)
    for i in range(count):
        for j in range(i + 1, count):
            agree = (cv2.absdiff(small[i], small[j]).max(axis=2) <= tolerance).astype(np.float32)
            weight = (j - i) * cv2.boxFilter(agree, -1, (side, side)) ** power * agree
            score[i] += weight
            score[j] += weight
    full = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in score])
    which = full.argmax(axis=0)
    rows, columns = np.indices(which.shape)
    return np.asarray(samples[which, rows, columns])


def foreground(frame: np.ndarray, background: np.ndarray, threshold: float) -> np.ndarray:
    """(h, w) bool: differs from the background, and is not merely its shadow.

    The frame's overall gain is taken out first (exposure drifts); a pixel that is darker by up to half with the same
    colour and the same texture is a shadow.

    Args:
        frame: (h, w, 3) uint8.
        background: (h, w, 3) uint8.
        threshold: of the largest difference over channels, 8-bit levels.
    """
    now, still = frame.astype(np.float32), background.astype(np.float32)
    gain = np.median((now + 1) / (still + 1), axis=(0, 1))
    now = now / np.clip(gain, 0.5, 2.0)
    changed = np.abs(cv2.GaussianBlur(now, (0, 0), 1.0) - cv2.GaussianBlur(still, (0, 0), 1.0)).max(axis=2) > threshold
    return changed & ~_shadow(now, still)


def _shadow(now: np.ndarray, still: np.ndarray) -> np.ndarray:
    smooth_now, smooth_still = (cv2.boxFilter(one, -1, (7, 7)) for one in (now, still))
    ratio = (smooth_now + 4) / (smooth_still + 4)
    darker = (ratio.max(axis=2) < 0.97) & (ratio.min(axis=2) > 0.45)
    same_colour = np.ptp(ratio, axis=2) < 0.12
    detail_now, detail_still = (now - smooth_now).mean(axis=2), (still - smooth_still).mean(axis=2)
    gain = ratio.mean(axis=2)
    changed_detail = cv2.boxFilter(np.abs(detail_now - gain * detail_still), -1, (7, 7))
    return darker & same_colour & (changed_detail < 4.0)
