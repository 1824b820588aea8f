"""Depth of one frame from neighbouring frames with known poses: sweep planes, smooth, refine.

Shapes: D planes, h x w pixels of the working picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.annotators.semiglobal import smooth_costs
from worldloom.catalogs.cameras import matrix_of


@dataclass(frozen=True)
class View:
    """One frame at working size.

    Attributes:
        grey: (h, w) uint8.
        c2w: (4, 4).
        k: (4,) fx fy cx cy in pixels of the working picture.
        ignore: (h, w) bool, what moves by itself; None where unknown.
    """

    grey: np.ndarray
    c2w: np.ndarray
    k: np.ndarray
    ignore: np.ndarray | None = None


@dataclass(frozen=True)
class Swept:
    """What the sweep says about a frame.

    Attributes:
        z: (h, w) float32.
        trusted: (h, w) bool: the match is good, textured, unambiguous, and inside the range of planes.
        agreement: (h, w) float32 in [-1, 1]: normalised cross-correlation at the chosen depth.
    """

    z: np.ndarray
    trusted: np.ndarray
    agreement: np.ndarray


def inverse_depths(z_near: float, z_far: float, step: float, least: int = 32, most: int = 128) -> np.ndarray:
    """(D,) planes from far to near, evenly spaced in 1 / z.

    Args:
        z_near: nearest depth.
        z_far: farthest depth.
        step: wanted spacing in 1 / z.
        least: planes.
        most: planes.
    """
    span = 1 / z_near - 1 / z_far
    count = int(np.clip(np.ceil(span / max(step, 1e-12)) + 1, least, most))
    return np.linspace(1 / z_far, 1 / z_near, count)


def sweep(
    reference: View,
    neighbours: list[View],
    planes: np.ndarray,
    *,
    window: int = 5,
    least_agreement: float = 0.3,
    most_bend: float = 0.1,
    small_step: float = 0.03,
    large_step: float = 0.6,
) -> Swept:
    """Depth of `reference`.

    Args:
        reference: frame to label.
        neighbours: one or more.
        planes: (D,) inverse depths, ascending.
        window: side of the window of the cross-correlation, pixels.
        least_agreement: normalised cross-correlation from which a match is trusted.
        most_bend: see `bend`; more is an edge of something, where the window saw two surfaces.
        small_step: see `smooth_costs`.
        large_step: see `smooth_costs`.
    """
    cost = matching_costs(reference, neighbours, planes, window)
    smooth = smooth_costs(cost, reference.grey.astype(np.float32), small_step, large_step)
    winner = smooth.argmin(axis=0)
    rows, columns = np.indices(winner.shape)
    inverse = planes[winner] + _offset(smooth, winner) * (planes[1] - planes[0])
    agreement = 1 - 2 * cost[winner, rows, columns]
    trusted = (agreement >= least_agreement) & (winner > 0) & (winner < len(planes) - 1)
    trusted &= bend(inverse.astype(np.float32), window // 2 + 1) <= most_bend
    if reference.ignore is not None:
        trusted &= ~reference.ignore
    return Swept((1 / np.maximum(inverse, 1e-12)).astype(np.float32), trusted, agreement.astype(np.float32))


def matching_costs(reference: View, neighbours: list[View], planes: np.ndarray, window: int) -> np.ndarray:
    """(D, h, w) float32: (1 - NCC) / 2, the mean over the better half of the neighbours that see the pixel.

    The better half, because what one side of the path sees, the other may have hidden behind something. Where nobody
    sees a pixel, or there is no texture, the cost is 0.5 for every plane: no opinion.
    """
    height, width = reference.grey.shape
    per_view = np.stack([_costs_of(reference, one, planes, window) for one in neighbours])
    half = max(1, (len(neighbours) + 1) // 2)
    if len(neighbours) > 1:
        per_view.partition(half - 1, axis=0)
    best = per_view[:half]
    seen = np.isfinite(best)
    count = seen.sum(axis=0)
    total = np.where(seen, best, 0).sum(axis=0)
    cost = np.where(count > 0, total / np.maximum(count, 1), 0.5).astype(np.float32)
    return cost.reshape(len(planes), height, width)


def _costs_of(reference: View, other: View, planes: np.ndarray, window: int) -> np.ndarray:
    """(D, h, w) float32; inf where the other view does not see the pixel."""
    height, width = reference.grey.shape
    size, side = (width, height), (window, window)
    here = reference.grey.astype(np.float32)
    mean_here = cv2.blur(here, side)
    variance_here = np.maximum(cv2.blur(here * here, side) - mean_here**2, 0)
    there = other.grey.astype(np.float32)
    seen = np.ones(there.shape, np.float32)
    if other.ignore is not None:
        seen[other.ignore] = 0
    relative = np.linalg.inv(other.c2w) @ reference.c2w
    k_there, k_here_inverse = matrix_of(other.k), np.linalg.inv(matrix_of(reference.k))
    rotated = k_there @ relative[:3, :3] @ k_here_inverse
    shifted = np.outer(k_there @ relative[:3, 3], k_here_inverse[2])
    centre = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # OpenCV counts pixel centres from 0, we from 0.5
    costs = np.full((len(planes), height, width), np.inf, np.float32)
    for d, plane in enumerate(planes):
        matrix = centre @ (rotated + plane * shifted) @ np.linalg.inv(centre)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(there, matrix, size, flags=flags)
        visible = cv2.warpPerspective(seen, matrix, size, flags=flags)
        mean = cv2.blur(warped, side)
        variance = np.maximum(cv2.blur(warped * warped, side) - mean * mean, 0)
        product = cv2.blur(here * warped, side) - mean_here * mean
        # 4 grey levels squared of noise: a flat window correlates with nothing.
        score = product / np.sqrt((variance_here + 4.0) * (variance + 4.0))
        inside = (cv2.blur(visible, side) > 0.99) & _in_front(matrix, width, height)
        np.copyto(costs[d], 0.5 * (1 - score), where=inside)
    return costs


def _in_front(matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """(h, w) bool: the plane's point lies in front of the other camera (the third homogeneous coordinate)."""
    x, y = np.arange(width), np.arange(height)
    return np.asarray(matrix[2, 0] * x[None] + matrix[2, 1] * y[:, None] + matrix[2, 2] > 0)


def _offset(costs: np.ndarray, winner: np.ndarray) -> np.ndarray:
    """(h, w) in [-0.5, 0.5]: minimum of the parabola through the winning plane and the two beside it."""
    rows, columns = np.indices(winner.shape)
    inner = np.clip(winner, 1, len(costs) - 2)
    below, here, above = (costs[inner + step, rows, columns] for step in (-1, 0, 1))
    bend = below - 2 * here + above
    offset = np.where(bend > 1e-6, 0.5 * (below - above) / np.maximum(bend, 1e-6), 0.0)
    return np.where(inner == winner, np.clip(offset, -0.5, 0.5), 0.0)


def bend(inverse: np.ndarray, reach: int) -> np.ndarray:
    """(h, w) float32: how far 1 / z is from a straight line over 2 `reach` pixels, along rows or columns, relative.

    A plane is straight in 1 / z however steep it is; an edge of something is not.

    Args:
        inverse: (h, w) float32, 1 / z.
        reach: pixels to either side.
    """
    height, width = inverse.shape
    wide = cv2.copyMakeBorder(inverse, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    rows, columns = slice(reach, reach + height), slice(reach, reach + width)
    across = wide[rows, 2 * reach :] + wide[rows, :width] - 2 * inverse
    down = wide[2 * reach :, columns] + wide[:height, columns] - 2 * inverse
    return np.asarray(np.maximum(np.abs(across), np.abs(down)) / np.maximum(inverse, 1e-12))


def points_agree(here: View, z: np.ndarray, there: View, z_there: np.ndarray, trusted_there: np.ndarray) -> np.ndarray:
    """(h, w) float32: relative difference between a pixel's depth seen from `there` and the map of `there`.

    NaN where `there` does not see the point, or does not trust its depth at it.

    Args:
        here: view of the map.
        z: (h, w) its depth.
        there: another view.
        z_there: (h, w) its depth.
        trusted_there: (h, w) bool.
    """
    height, width = z.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(x - here.k[2]) / here.k[0], (y - here.k[3]) / here.k[1], np.ones_like(x)], axis=-1)
    relative = np.linalg.inv(there.c2w) @ here.c2w
    local = (rays * z[..., None]) @ relative[:3, :3].T + relative[:3, 3]
    depth = np.maximum(local[..., 2], 1e-9)
    u = there.k[0] * local[..., 0] / depth + there.k[2]
    v = there.k[1] * local[..., 1] / depth + there.k[3]
    map_height, map_width = z_there.shape
    inside = (local[..., 2] > 1e-9) & (u >= 0) & (u < map_width) & (v >= 0) & (v < map_height)
    column = np.where(inside, u, 0).astype(np.intp)
    row = np.where(inside, v, 0).astype(np.intp)
    difference = np.abs(z_there[row, column] - depth) / depth
    return np.where(inside & trusted_there[row, column], difference, np.nan).astype(np.float32)
