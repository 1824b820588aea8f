"""Boxes around what moves by itself, frame by frame, before a still or a moving camera."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.background import background_of, foreground
from worldloom.annotators.residual_flow import (
    StillMotion,
    dense_flow,
    inconsistent,
    motion_from_features,
    motion_from_poses,
    residual,
)
from worldloom.annotators.tracking import Detection
from worldloom.catalogs.config import Strict

Poses = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""c2w (n, 4, 4), intrinsics (n, 4), translation known (n,), scale group (n,) of the frames looked at."""


class MovingRules(Strict):
    """What counts as moving by itself; all defaults ours, pixels are those of a working picture 320 wide.

    Attributes:
        background_samples: frames the background is learned from.
        difference: 8-bit levels by which the largest channel must differ from the background.
        flow_s: time between the two frames whose flow is looked at.
        residual_px: least flow that no camera motion explains.
        residual_spreads: the same in median absolute residuals of the picture (flow is noisier in some).
        least_area: of a blob, as a share of the picture.
        most_area: of a blob; more is no subject but a failure.
    """

    background_samples: Annotated[int, Field(ge=3, le=96)] = 48
    difference: Annotated[float, Field(gt=0)] = 24.0
    flow_s: Annotated[float, Field(gt=0)] = 0.15
    residual_px: Annotated[float, Field(gt=0)] = 1.2
    residual_spreads: Annotated[float, Field(gt=0)] = 5.0
    least_area: Annotated[float, Field(gt=0, lt=1)] = 0.0025
    most_area: Annotated[float, Field(gt=0, le=1)] = 0.6


def camera_stands(pictures: list[np.ndarray], samples: int = 12, tolerance_px: float = 0.3) -> bool:
    """Whether most edges stay where they are, from each of `samples` frames to the next.

    Args:
        pictures: (h, w, 3) uint8, in order.
        samples: spread over the clip.
        tolerance_px: of the median edge, in pixels of a picture 320 wide.
    """
    chosen = np.unique(np.linspace(0, len(pictures) - 1, samples).astype(int))
    grey = [cv2.cvtColor(pictures[i], cv2.COLOR_RGB2GRAY) for i in chosen]
    shifts = [edge_shift(first, second) * 320 / first.shape[1] for first, second in pairwise(grey)]
    return bool(np.mean(np.array(shifts) <= tolerance_px) >= 0.8)


def edge_shift(first: np.ndarray, second: np.ndarray) -> float:
    """Median over the strongest fifth of the edges of |change| / |gradient|: px that an edge moved, if it moved little.

    Args:
        first: (h, w) uint8.
        second: (h, w) uint8.
    """
    before, after = (cv2.GaussianBlur(one.astype(np.float32), (0, 0), 1.5) for one in (first, second))
    before, after = before - cv2.blur(before, (31, 31)), after - cv2.blur(after, (31, 31))
    slope = np.hypot(cv2.Sobel(before, -1, 1, 0, scale=1 / 8), cv2.Sobel(before, -1, 0, 1, scale=1 / 8))
    edges = slope >= max(float(np.quantile(slope, 0.8)), 0.5)
    return float(np.median(np.abs(after - before)[edges] / slope[edges])) if edges.any() else 0.0


def find_in_front(pictures: list[np.ndarray], rules: MovingRules) -> list[list[Detection]]:
    """Detections per frame of a camera that stands still.

    Args:
        pictures: (h, w, 3) uint8, in order.
        rules: thresholds.
    """
    chosen = np.unique(np.linspace(0, len(pictures) - 1, rules.background_samples).astype(int))
    background = background_of(np.stack([pictures[i] for i in chosen]))
    return [detections(foreground(one, background, rules.difference), one, rules) for one in pictures]


def find_moving(
    pictures: list[np.ndarray], fps: float, rules: MovingRules, poses: Poses | None
) -> tuple[list[list[Detection]], list[np.ndarray], float]:
    """Detections per frame of a moving camera.

    Args:
        pictures: (h, w, 3) uint8, in order.
        fps: of these pictures.
        rules: thresholds.
        poses: where known.

    Returns:
        Detections; per frame the homography of the background from the frame before; the median share of features
        that followed one homography (1 with poses).
    """
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in pictures]
    last, step = len(grey) - 1, max(1, round(rules.flow_s * fps))
    found: list[list[Detection]] = []
    shifts, shares = [np.eye(3)], []
    for t, picture in enumerate(pictures):
        other = t + step if t + step <= last else max(0, t - step)
        motion, share = _still_motion(grey, t, other, poses)
        shares.append(share)
        if t > 0:
            shifts.append(_still_motion(grey, t - 1, t, poses)[0].homography)
        mask = moving_mask(grey[t], grey[other], motion, rules)
        found.append(detections(mask, picture, rules))
    return found, shifts, float(np.median(shares))


def _still_motion(grey: list[np.ndarray], a: int, b: int, poses: Poses | None) -> tuple[StillMotion, float]:
    if poses is None:
        return motion_from_features(grey[a], grey[b])
    c2w, k, known, group = poses
    if not np.isfinite(c2w[[a, b]]).all():
        return motion_from_features(grey[a], grey[b])
    moves = bool(known[a] and known[b] and group[a] == group[b])
    return motion_from_poses(c2w[a], c2w[b], k[a], k[b], moves), 1.0


def moving_mask(first: np.ndarray, second: np.ndarray, motion: StillMotion, rules: MovingRules) -> np.ndarray:
    """(h, w) bool: the flow at this pixel is well measured, and no still thing moves like that."""
    there = dense_flow(first, second)
    back = dense_flow(second, first)
    left_over = residual(there, motion)
    scale = first.shape[1] / 320
    spread = float(np.median(left_over))
    moving = left_over > max(rules.residual_px * scale, rules.residual_spreads * spread)
    moving &= ~inconsistent(there, back, max(1.0 * scale, 0.2 * float(np.median(np.linalg.norm(there, axis=-1)))))
    height, width = first.shape
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    landed_x, landed_y = x + there[..., 0], y + there[..., 1]
    return moving & (landed_x >= 0) & (landed_x < width) & (landed_y >= 0) & (landed_y < height)


def detections(mask: np.ndarray, picture: np.ndarray, rules: MovingRules) -> list[Detection]:
    """Boxes around the blobs of a mask, parts of one thing joined, in order of area.

    Args:
        mask: (h, w) bool.
        picture: (h, w, 3) uint8.
        rules: thresholds.
    """
    width = mask.shape[1]
    unit = max(1, round(width / 320))
    blobs = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2 * unit + 1, 2 * unit + 1), np.uint8))
    blobs = cv2.morphologyEx(blobs, cv2.MORPH_CLOSE, np.ones((8 * unit + 1, 4 * unit + 1), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(blobs)
    parts = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= 0.2 * rules.least_area * mask.size]
    groups = _joined([stats[i, :4] for i in parts])
    found = []
    for group in groups:
        labels_in = [parts[i] for i in group]
        area = int(sum(stats[i, cv2.CC_STAT_AREA] for i in labels_in))
        if not rules.least_area <= area / mask.size <= rules.most_area:
            continue
        x0, y0 = (min(stats[i, axis] for i in labels_in) for axis in (0, 1))
        x1, y1 = (max(stats[i, axis] + stats[i, axis + 2] for i in labels_in) for axis in (0, 1))
        body = np.isin(labels[y0:y1, x0:x1], labels_in).astype(np.uint8)
        box = np.array([x0, y0, x1, y1], np.float64)
        found.append((area, Detection(box, colours_of(picture[y0:y1, x0:x1], body))))
    return [detection for _, detection in sorted(found, key=lambda one: (-one[0], tuple(one[1].box)))]


def _joined(boxes: list[np.ndarray]) -> list[list[int]]:
    """Groups of boxes (x, y, w, h) that stand above each other with little between them: head, body, legs of one."""
    groups = [[i] for i in range(len(boxes))]
    extents = [np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]], float) for b in boxes]
    merged = True
    while merged:
        merged = False
        for i in range(len(groups)):
            for j in range(i + 1, len(groups)):
                if _belong(extents[i], extents[j]):
                    groups[i] += groups.pop(j)
                    low = np.minimum(extents[i][:2], extents[j][:2])
                    high = np.maximum(extents[i][2:], extents.pop(j)[2:])
                    extents[i] = np.r_[low, high]
                    merged = True
                    break
            if merged:
                break
    return groups


def _belong(left: np.ndarray, right: np.ndarray) -> bool:
    both = min(left[2], right[2]) - max(left[0], right[0])
    narrow = min(left[2] - left[0], right[2] - right[0])
    gap = max(left[1], right[1]) - min(left[3], right[3])
    tall = max(left[3] - left[1], right[3] - right[1])
    return bool(both >= 0.5 * narrow and gap <= 0.25 * tall)


def colours_of(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(384,) histogram of lightness and colour over a mask, slightly smeared, summing to 1."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2Lab)
    histogram = cv2.calcHist([lab], [0, 1, 2], mask, [6, 8, 8], [0, 256, 80, 176, 80, 176])
    smeared = np.stack([cv2.GaussianBlur(plane, (3, 3), 0.7) for plane in histogram])
    return np.asarray(smeared.ravel() / max(float(smeared.sum()), 1e-9), np.float32)
