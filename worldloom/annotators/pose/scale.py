"""Where the scale of a model is not carried on: turns on the spot by more than the field of view.

A point ties the scale before frame t to the scale after it if the frames up to t alone see it from different
places, and so do the frames from t on. Where both sides have points of their own but hardly any in common, the
ratio of their scales is chance, however complete the model looks (definitions 1).
"""

from __future__ import annotations

import numpy as np

from worldloom.annotators.pose.sfm import Model

LEAST_ANGLE_DEG = 0.5
"""Between the rays that make a point count on one side (ours: 2 to 6 % of its depth with tracks good to 0.2 px)."""
LEAST_TIES = 8
"""Points in common that carry the scale on (ours)."""
OWN_POINTS = 30
"""Points of its own that make a side able to stand alone (ours)."""


def scale_breaks(model: Model) -> list[int]:
    """Rows k of `model.frames` after which the scale starts anew, increasing."""
    row = np.concatenate([np.full((seen >= 0).sum(), k) for k, seen in enumerate(model.seen)])
    point = np.concatenate([seen[seen >= 0] for seen in model.seen])
    ray = model.points[point] - model.c2w[row, :3, 3]
    ray /= np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-12)
    return _breaks(point, row, ray, 0, len(model.frames) - 1)


def _breaks(point: np.ndarray, row: np.ndarray, ray: np.ndarray, start: int, stop: int) -> list[int]:
    """Split rows start..stop after the weakest one, then look into both parts."""
    here = (row >= start) & (row <= stop)
    if stop - start < 3 or not here.any():
        return []
    point, row, ray = point[here], row[here], ray[here]
    tied_from = _first_tied(point, row, ray, stop + 1)
    tied_until = stop - _first_tied(point, stop - row, ray, stop + 1)
    rows = np.arange(start, stop)
    left = np.array([(tied_from <= k).sum() for k in rows])
    right = np.array([(tied_until > k).sum() for k in rows])
    ties = np.array([((tied_from <= k) & (tied_until > k)).sum() for k in rows])
    weak = (ties < LEAST_TIES) & (left >= OWN_POINTS) & (right >= OWN_POINTS)
    if not weak.any():
        return []
    fewest = rows[weak & (ties == ties[weak].min())]
    split = int(fewest[len(fewest) // 2])
    return [*_breaks(point, row, ray, start, split), split, *_breaks(point, row, ray, split + 1, stop)]


def _first_tied(point: np.ndarray, row: np.ndarray, ray: np.ndarray, never: int) -> np.ndarray:
    """Per point the first row whose ray differs enough from the ray of the point's first row; `never` if none does."""
    order = np.lexsort((row, point))
    point, row, ray = point[order], row[order], ray[order]
    starts = np.flatnonzero(np.r_[True, point[1:] != point[:-1]])
    counts = np.diff(np.r_[starts, len(point)])
    first_ray = np.repeat(ray[starts], counts, axis=0)
    wide = np.degrees(np.arccos(np.clip((ray * first_ray).sum(axis=1), -1, 1))) >= LEAST_ANGLE_DEG
    found = np.full(len(starts), never, np.int64)
    np.minimum.at(found, np.repeat(np.arange(len(starts)), counts)[wide], row[wide])
    return found
