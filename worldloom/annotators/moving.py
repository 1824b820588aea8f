"""Boxes around what moves by itself, frame by frame, before a still or a moving camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.background import background_of, foreground
from worldloom.annotators.plane_sweep import View
from worldloom.annotators.residual_flow import (
    StillMotion,
    dense_flow,
    mismatch,
    motion_from_features,
    motion_from_poses,
    residual,
)
from worldloom.annotators.sweep_views import depth_range
from worldloom.annotators.tracking import Detection
from worldloom.catalogs.config import Strict


@dataclass
class Poses:
    """What is known of the camera at the frames looked at.

    Attributes:
        c2w: (n, 4, 4).
        k: (n, 4) intrinsics in pixels of the working picture.
        moves: (n,) bool, translation is known.
        group: (n,) scale group.
        nearest: (n,) depth of the nearest still thing, NaN where unknown; filled in by `find_moving`.
    """

    c2w: np.ndarray
    k: np.ndarray
    moves: np.ndarray
    group: np.ndarray
    nearest: np.ndarray | None = None


class MovingRules(Strict):
    """What counts as moving by itself; all defaults ours, pixels are those of a working picture 320 wide.

    Attributes:
        background_samples: frames the background is learned from.
        difference: 8-bit levels by which the largest channel must differ from the background.
        flow_s: time between the two frames whose flow is looked at.
        residual_px: least flow that no camera motion explains.
        residual_spreads: the same in median absolute residuals of the picture (flow is noisier in some).
        plane_from: share of features on one homography from which what it leaves over counts beside known poses.
        most_parallax: share of the picture up to which what it leaves over may be subjects.
        flow_error: share of the flow's length that may be its error; taken off the residual.
        most_mismatch: 8-bit levels between a pixel's surroundings and where the flow takes them; above, it was guessed.
        least_area: of a blob, as a share of the picture.
        most_area: of a blob; more is no subject but a failure.
    """

    background_samples: Annotated[int, Field(ge=3, le=96)] = 48
    difference: Annotated[float, Field(gt=0)] = 24.0
    flow_s: Annotated[float, Field(gt=0)] = 0.15
    residual_px: Annotated[float, Field(gt=0)] = 1.2
    residual_spreads: Annotated[float, Field(gt=0)] = 5.0
    plane_from: Annotated[float, Field(ge=0, le=1)] = 0.6
    most_parallax: Annotated[float, Field(ge=0, le=1)] = 0.12
    flow_error: Annotated[float, Field(ge=0, lt=1)] = 0.08
    most_mismatch: Annotated[float, Field(gt=0)] = 10.0
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

    Poses leave room for things that are near: who walks along the line of sight is not found with them. Where one
    homography explains most of the picture, what it leaves over counts as well, as long as the track is sure of itself
    at some time (`TrackRules.least_sure`).

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
    if poses is not None:
        poses = replace(poses, nearest=nearest_things(grey, poses))
    step = max(1, min(round(rules.flow_s * fps), len(grey) - 1))
    sure: list[list[np.ndarray]] = [[] for _ in grey]
    likely: list[list[np.ndarray]] = [[] for _ in grey]
    shifts, shares = [np.eye(3)], []
    for t in range(len(grey)):
        if t > 0:
            motion, share = _still_motion(grey, t - 1, t, poses)
            shifts.append(motion.homography)
            shares.append(share)
        for a, b in ((t, t + step), (t + step, t)) if t + step < len(grey) else ():
            flow = dense_flow(grey[a], grey[b])
            miss = mismatch(flow, grey[a], grey[b])
            motion, _ = _still_motion(grey, a, b, poses)
            sure[a].append(unexplained(flow, miss, motion, rules))
            if motion.epipole is not None:
                plane, share = motion_from_features(grey[a], grey[b])
                motion = plane if share >= rules.plane_from else motion
            likely[a].append(unexplained(flow, miss, motion, rules))
    found = []
    for picture, one, other in zip(pictures, sure, likely, strict=True):
        certain = moving_mask(np.fmin.reduce(one), rules)
        mask = moving_mask(np.fmin.reduce(other), rules) | certain
        if (mask & ~certain).mean() > rules.most_parallax:  # near still things, not people: the poses alone are right
            mask = certain
        found.append(detections(mask, picture, rules, certain))
    return found, shifts, float(np.median(shares))


def _still_motion(grey: list[np.ndarray], a: int, b: int, poses: Poses | None) -> tuple[StillMotion, float]:
    if poses is None or not np.isfinite(poses.c2w[[a, b]]).all():
        return motion_from_features(grey[a], grey[b])
    moves = poses.moves[a] and poses.moves[b] and poses.group[a] == poses.group[b]
    nearest = float(poses.nearest[a]) if moves and poses.nearest is not None else np.nan
    known = nearest if np.isfinite(nearest) else None
    return motion_from_poses(poses.c2w[a], poses.c2w[b], poses.k[a], poses.k[b], known), 1.0


def nearest_things(grey: list[np.ndarray], poses: Poses, every: int = 8) -> np.ndarray:
    """(n,) depth of the nearest still thing around each frame, from features that the poses triangulate.

    NaN in scale groups where nothing could be triangulated.

    Args:
        grey: (h, w) uint8, in order.
        poses: of them.
        every: frames between two that are looked at; each frame takes the nearer of the two around it.
    """
    near = np.full(len(grey), np.nan)
    for group in np.unique(poses.group[poses.moves]):
        rows = np.flatnonzero(poses.moves & (poses.group == group) & np.isfinite(poses.c2w).all(axis=(1, 2)))
        found = []
        for t in rows[:: min(every, max(1, len(rows) // 2))]:
            others = [int(j) for j in rows if abs(int(j) - int(t)) in (2, 4, 8)]
            views = [View(grey[j], poses.c2w[j], poses.k[j]) for j in (int(t), *others)]
            between = depth_range(views[0], views[1:])
            found += [(int(t), 0.7 * between[0])] if between else []
        if found:
            times, depths = np.array(found).T
            apart = np.abs(rows[:, None] - times[None])
            around = apart <= max(every, float(apart.min(axis=1).max()))
            near[rows] = np.where(around, depths, np.inf).min(axis=1)
    return near


def unexplained(flow: np.ndarray, miss: np.ndarray, motion: StillMotion, rules: MovingRules) -> np.ndarray:
    """(h, w) px of flow that no still thing has; NaN where the flow was guessed.

    Args:
        flow: (h, w, 2) px.
        miss: (h, w) of `mismatch`.
        motion: of still points.
        rules: thresholds.
    """
    left_over = residual(flow, motion)
    left_over -= rules.flow_error * np.linalg.norm(flow, axis=-1)
    return np.where(miss <= rules.most_mismatch, np.maximum(left_over, 0), np.nan).astype(np.float32)


def moving_mask(left_over: np.ndarray, rules: MovingRules) -> np.ndarray:
    """(h, w) bool: regions of unexplained flow that somewhere exceed twice the threshold.

    Flow behind an edge is wrong on the side that is hidden in the other frame, so `left_over` should be the smaller of
    the flow to a later and to an earlier frame: what moves is unexplained in both.

    Args:
        left_over: (h, w) px, NaN where unknown.
        rules: thresholds.
    """
    seen = np.isfinite(left_over)
    if not seen.any():
        return np.zeros(left_over.shape, bool)
    scale = left_over.shape[1] / 320
    least = max(rules.residual_px * scale, rules.residual_spreads * float(np.median(left_over[seen])))
    weak = seen & (left_over > least)
    _, regions = cv2.connectedComponents(weak.astype(np.uint8))
    strong = np.unique(regions[seen & (left_over > 2 * least)])
    return np.asarray(weak & np.isin(regions, strong))


def detections(
    mask: np.ndarray, picture: np.ndarray, rules: MovingRules, certain: np.ndarray | None = None
) -> list[Detection]:
    """Boxes around the blobs of a mask, parts of one thing joined, in order of area.

    Args:
        mask: (h, w) bool.
        picture: (h, w, 3) uint8.
        rules: thresholds.
        certain: (h, w) bool, the part of the mask that no still thing explains; all of it where not given.
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
        sure = 1.0 if certain is None else float(certain[y0:y1, x0:x1][body > 0].mean())
        found.append((area, Detection(box, colours_of(picture[y0:y1, x0:x1], body), sure)))
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
    return bool(both >= 0.5 * narrow and gap <= 0.35 * tall)


def colours_of(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(768,) histograms of lightness and colour of the upper and the lower half, slightly smeared, summing to 1.

    Args:
        picture: (h, w, 3) uint8, what is inside the box.
        mask: (h, w) uint8, what of it belongs to the subject.
    """
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2Lab)
    middle = max(1, len(lab) // 2)
    halves = [
        _histogram(lab[rows], mask[rows]) for rows in (slice(None, middle), slice(middle, None)) if len(lab[rows])
    ]
    return np.concatenate([halves[0], halves[-1]]) / 2


def _histogram(lab: np.ndarray, mask: np.ndarray) -> np.ndarray:
    histogram = cv2.calcHist([lab], [0, 1, 2], mask, [6, 8, 8], [0, 256, 80, 176, 80, 176])
    smeared = np.stack([cv2.GaussianBlur(plane, (3, 3), 0.7) for plane in histogram])
    return np.asarray(smeared.ravel() / max(float(smeared.sum()), 1e-9), np.float32)
