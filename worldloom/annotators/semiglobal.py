"""Semi-global smoothing of a matching cost (Hirschmueller 2008, "Stereo Processing by Semiglobal Matching")."""

from __future__ import annotations

import numpy as np


def smooth_costs(cost: np.ndarray, guide: np.ndarray, small_step: float, large_step: float) -> np.ndarray:
    """Sum over eight directions of the cheapest path to each pixel and plane.

    L_r(p, d) = C(p, d) + min(L_r(p - r, d), L_r(p - r, d +- 1) + P1, min_k L_r(p - r, k) + P2) - min_k L_r(p - r, k),
    and P2 falls where the guide has an edge: depth may jump there.

    Args:
        cost: (D, h, w) float32 in [0, 1].
        guide: (h, w) float32, grey levels 0..255.
        small_step: P1, paid for a step of one plane.
        large_step: P2, paid for a larger step in a flat part of the picture; at least P1 everywhere.

    Returns:
        (D, h, w) float32.
    """
    total = np.zeros_like(cost)
    rows = np.ascontiguousarray(cost.transpose(1, 0, 2))
    summed_rows = np.zeros_like(rows)
    columns = np.ascontiguousarray(cost.transpose(2, 0, 1))
    summed_columns = np.zeros_like(columns)
    for shift in (-1, 0, 1):
        for backwards in (False, True):
            _sweep(rows, guide, shift, backwards, small_step, large_step, summed_rows)
    for backwards in (False, True):
        _sweep(columns, guide.T, 0, backwards, small_step, large_step, summed_columns)
    total += summed_rows.transpose(1, 0, 2)
    total += summed_columns.transpose(1, 2, 0)
    return total


def _sweep(
    cost: np.ndarray,
    guide: np.ndarray,
    shift: int,
    backwards: bool,
    small_step: float,
    large_step: float,
    total: np.ndarray,
) -> None:
    """One direction, a line at a time: cost and total (lines, D, n), guide (lines, n); adds to total."""
    lines = range(len(cost) - 1, -1, -1) if backwards else range(len(cost))
    previous = None
    last = 0
    for line in lines:
        if previous is None:
            path = cost[line].copy()
        else:
            before = _shifted(previous, shift)
            edge = np.abs(guide[line] - _shifted(guide[last][None], shift)[0])
            jump = np.maximum(large_step / (1.0 + edge / 8.0), small_step)
            lowest = before.min(axis=0)
            best = np.minimum(before, lowest + jump)
            np.minimum(best[1:], before[:-1] + small_step, out=best[1:])
            np.minimum(best[:-1], before[1:] + small_step, out=best[:-1])
            path = cost[line] + best
            path -= lowest
        total[line] += path
        previous, last = path, line


def _shifted(line: np.ndarray, shift: int) -> np.ndarray:
    """(..., n) moved by `shift`; the end repeats."""
    if shift == 0:
        return line
    out = np.empty_like(line)
    if shift > 0:
        out[..., 1:], out[..., 0] = line[..., :-1], line[..., 0]
    else:
        out[..., :-1], out[..., -1] = line[..., 1:], line[..., -1]
    return out
