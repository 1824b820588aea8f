"""Which frames help to see the depth of a frame, and between which depths to look."""

from __future__ import annotations

import cv2
import numpy as np

from worldloom.annotators.plane_sweep import View
from worldloom.catalogs.cameras import unproject


def choose_neighbours(
    frame: int,
    candidates: np.ndarray,
    c2w: np.ndarray,
    k: np.ndarray,
    size: tuple[int, int],
    depth: float,
    count: int,
    angle_deg: float,
) -> tuple[list[int], float]:
    """The frames whose views meet at a good angle, spread over space, and together see the whole picture.

    A frame is worth, at each of 25 points at the scene's depth that it sees, exp(-(a - a0)^2 / 2 s^2): the weight of
    MVSNet (Yao et al. 2018, 4.1; a0 = 5 deg, s = 1 below and 10 above it; s = 2 below is ours). A point already seen
    by a chosen frame counts less (ours).

    Args:
        frame: to label.
        candidates: frames that may help.
        c2w: (T, 4, 4).
        k: (T, 4) intrinsics of the working picture.
        size: width, height of the working picture.
        depth: typical depth of the scene.
        count: how many neighbours are wanted.
        angle_deg: wanted angle.

    Returns:
        Neighbours, best first, and the widest median angle among them in degrees; none where no frame helps.
    """
    x, y = np.meshgrid(np.linspace(0.1, 0.9, 5) * size[0], np.linspace(0.1, 0.9, 5) * size[1])
    points = unproject(np.stack([x, y], -1).reshape(-1, 2), np.full(x.size, depth), c2w[frame], k[frame])
    angles = {int(j): _angles(points, c2w[frame], c2w[j], k[j], size) for j in candidates if j != frame}
    worth = {j: _worth(angle, angle_deg) for j, angle in angles.items()}
    chosen: list[int] = []
    need = np.ones(len(points))
    while len(chosen) < count:
        gain = {
            j: float((w * need).mean()) * _fresh(j, chosen, c2w, frame) for j, w in worth.items() if j not in chosen
        }
        best = max(gain, key=lambda j: (gain[j], -j), default=-1)
        if best < 0 or gain[best] < 0.02:
            break
        chosen.append(best)
        need *= 1 - 0.6 * worth[best]
    seen = [angles[j][np.isfinite(angles[j])] for j in chosen]
    return chosen, max((float(np.median(angle)) for angle in seen), default=0.0)


def _angles(
    points: np.ndarray, here: np.ndarray, there: np.ndarray, k: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """(n,) degrees between the rays from both cameras; NaN for points outside the other picture."""
    local = (points - there[:3, 3]) @ there[:3, :3]
    z = np.maximum(local[:, 2], 1e-9)
    u, v = k[0] * local[:, 0] / z + k[2], k[1] * local[:, 1] / z + k[3]
    inside = (local[:, 2] > 1e-9) & (u >= 0) & (u < size[0]) & (v >= 0) & (v < size[1])
    rays = [points - here[:3, 3], points - there[:3, 3]]
    rays = [ray / np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-12) for ray in rays]
    angle = np.degrees(np.arccos(np.clip((rays[0] * rays[1]).sum(axis=1), -1, 1)))
    return np.where(inside, angle, np.nan)


def _worth(angles: np.ndarray, wanted: float) -> np.ndarray:
    """(n,) in [0, 1]; 0 for points outside the picture, and for angles that say nothing."""
    spread = np.where(angles < wanted, wanted / 2.5, 2 * wanted)
    worth = np.exp(-((angles - wanted) ** 2) / (2 * spread**2))
    return np.where(angles > 0.1 * wanted, worth, 0.0)


def _fresh(frame: int, chosen: list[int], c2w: np.ndarray, reference: int) -> float:
    """1 for a view unlike those chosen, down to 0 for one beside them, by distance over the reference's distance."""
    if not chosen:
        return 1.0
    baseline = np.linalg.norm(c2w[frame, :3, 3] - c2w[reference, :3, 3])
    nearest = min(float(np.linalg.norm(c2w[frame, :3, 3] - c2w[j, :3, 3])) for j in chosen)
    return float(np.clip(nearest / max(float(baseline), 1e-12) / 0.3, 0.05, 1))


def views_for_range(frame: int, neighbours: list[int], usable: np.ndarray) -> list[int]:
    """The neighbours, and frames a third as far away: near things move too far to be followed all the way.

    Args:
        frame: to label.
        neighbours: of it.
        usable: frames with a pose in the same scale group.
    """
    nearer = {frame + round((j - frame) / 3) for j in neighbours} & {int(j) for j in usable}
    return sorted((nearer | set(neighbours)) - {frame})


def depth_range(here: View, others: list[View], least: int = 30) -> tuple[float, float] | None:
    """Near and far depth of the scene, from sparse features that the known poses triangulate; None with too few.

    Args:
        here: view to label.
        others: its neighbours.
        least: features that must be left.
    """
    corners = cv2.goodFeaturesToTrack(here.grey, maxCorners=400, qualityLevel=0.005, minDistance=4)
    if corners is None:
        return None
    apart = [float(np.linalg.norm(other.c2w[:3, 3] - here.c2w[:3, 3])) for other in others]
    far_enough = 0.1 * max(apart, default=0.0)  # a camera that stood for a while gives no depth, only noise
    found = [_triangulated(corners, here, other) for other, far in zip(others, apart, strict=True) if far > far_enough]
    z = np.concatenate(found) if found else np.zeros(0)
    if len(z) < least:
        return None
    near, far = np.percentile(z, [1, 97])
    return 0.6 * float(near), 1.7 * float(far)


def _triangulated(corners: np.ndarray, here: View, there: View) -> np.ndarray:
    """Depths in `here` of the corners tracked into `there` that lie on their epipolar line, in front of both."""
    relative = np.linalg.inv(there.c2w) @ here.c2w
    start = _by_rotation(corners.reshape(-1, 2), here, there, relative)
    guess = start.astype(np.float32).reshape(-1, 1, 2)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        here.grey, there.grey, corners, guess.copy(), winSize=(13, 13), maxLevel=2, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        there.grey, here.grey, moved, corners.copy(), winSize=(13, 13), maxLevel=2, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    kept = (found.ravel() == 1) & (found_back.ravel() == 1)
    kept &= np.linalg.norm((back - corners).reshape(-1, 2), axis=1) < 0.5
    ray_a = _rays(corners.reshape(-1, 2)[kept], here.k) @ relative[:3, :3].T
    ray_b = _rays(moved.reshape(-1, 2)[kept], there.k)
    # z_b b = z_a a + t: least squares in z_a and z_b through the normal equations of two unknowns.
    t = relative[:3, 3]
    aa, ab, bb = (ray_a * ray_a).sum(1), (ray_a * ray_b).sum(1), (ray_b * ray_b).sum(1)
    at, bt = ray_a @ t, ray_b @ t
    determinant = np.maximum(aa * bb - ab * ab, 1e-15)
    z_a = (ab * bt - bb * at) / determinant
    z_b = (aa * bt - ab * at) / determinant
    miss = np.linalg.norm(z_b[:, None] * ray_b - z_a[:, None] * ray_a - t, axis=1)
    angle = np.degrees(np.arcsin(np.clip(np.sqrt(determinant / np.maximum(aa * bb, 1e-15)), 0, 1)))
    ok = (z_a > 0) & (z_b > 0) & (angle > 0.5) & (angle < 45)
    ok &= miss / np.maximum(z_b, 1e-12) * there.k[0] < 1.0
    return np.asarray(z_a[ok], np.float64)


def _rays(pixels: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(n, 3) with z = 1; OpenCV counts pixel centres from 0, the intrinsics from 0.5."""
    return np.stack([(pixels[:, 0] + 0.5 - k[2]) / k[0], (pixels[:, 1] + 0.5 - k[3]) / k[1], np.ones(len(pixels))], -1)


def _by_rotation(pixels: np.ndarray, here: View, there: View, relative: np.ndarray) -> np.ndarray:
    turned = _rays(pixels, here.k) @ relative[:3, :3].T
    z = np.maximum(turned[:, 2:], 0.1)
    return turned[:, :2] / z * there.k[:2] + there.k[2:] - 0.5
