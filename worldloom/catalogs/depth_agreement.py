"""Does depth agree with the cameras? Points of one frame, carried into another, must lie at the depth seen there."""

from __future__ import annotations

import numpy as np

from worldloom.catalogs.cameras import pixel_centres, project, unproject


def depth_agreement(z: np.ndarray, valid: np.ndarray, c2w: np.ndarray, intrinsics: np.ndarray) -> float:
    """Median relative difference between carried and seen depth, over all pairs of neighbouring frames.

    What is hidden in the other frame or moves by itself is a minority and does not count. NaN where no pair shares
    enough, or where no camera moves by more than a thousandth of the depth: then nothing can be said.

    Args:
        z: (N, h, w) z-depth, in the unit of the cameras.
        valid: (N, h, w) bool.
        c2w: (N, 4, 4).
        intrinsics: (N, 4) in pixels of the maps.
    """
    height, width = z.shape[1:]
    uv = pixel_centres(width, height)
    differences = []
    for i in range(len(z) - 1):
        j = i + 1
        if not valid[i].any() or not valid[j].any():
            continue
        points = unproject(uv[valid[i]], z[i][valid[i]], c2w[i], intrinsics[i])
        seen, there = project(points, c2w[j], intrinsics[j])
        moved = np.linalg.norm(points - c2w[i, :3, 3], axis=-1) - np.linalg.norm(points - c2w[j, :3, 3], axis=-1)
        turned = np.arccos(np.clip((np.trace(c2w[i, :3, :3].T @ c2w[j, :3, :3]) - 1) / 2, -1, 1))
        x, y = np.floor(np.nan_to_num(seen, nan=-1, posinf=-1, neginf=-1)).astype(np.int64).clip(-1, 1 << 20).T
        inside = (there > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        if inside.sum() < 0.1 * inside.size:
            continue
        if np.median(np.abs(moved)) < 1e-3 * np.median(there[inside]) and turned < 0.02:
            continue
        at = z[j][y[inside], x[inside]]
        good = valid[j][y[inside], x[inside]]
        differences.append(np.abs(there[inside][good] - at[good]) / at[good])
    together = np.concatenate([*differences, np.zeros(0)])
    return float(np.median(together)) if len(together) >= 100 else float("nan")
