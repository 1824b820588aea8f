"""What moves by itself while the camera moves: optical flow that no motion of the camera explains.

With poses, a still point moves along its epipolar line, no farther than the nearest thing of the scene would; without
them, or where the camera only turns, it moves by one homography. What moves along its epipolar line no farther than
that looks like a still thing that is nearer than it is, and is not found.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.catalogs.cameras import matrix_of


@dataclass(frozen=True)
class StillMotion:
    """How still points move from one frame to another, in pixels of the working picture.

    Attributes:
        homography: (3, 3) motion of points at infinity (or of the whole picture where `epipole` is None).
        epipole: (3,) image of the first camera's centre in the second picture, homogeneous; None without parallax.
        nearest: depth of the nearest still thing, in the unit of the poses.
    """

    homography: np.ndarray
    epipole: np.ndarray | None
    nearest: float = 0.0


def motion_from_poses(
    c2w_a: np.ndarray, c2w_b: np.ndarray, k_a: np.ndarray, k_b: np.ndarray, nearest: float | None
) -> StillMotion:
    """The motion that two known poses give.

    Args:
        c2w_a: (4, 4) of the first frame.
        c2w_b: (4, 4) of the second.
        k_a: (4,) intrinsics in pixels of the working picture.
        k_b: (4,).
        nearest: depth of the nearest still thing; None where translation is unknown or means nothing.
    """
    relative = np.linalg.inv(c2w_b) @ c2w_a
    homography = matrix_of(k_b) @ relative[:3, :3] @ np.linalg.inv(matrix_of(k_a))
    if nearest is None:
        return StillMotion(homography, None)
    return StillMotion(homography, matrix_of(k_b) @ relative[:3, 3], nearest)


def tracked_features(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of one picture and where they are in another, each (n, 2) px; only those that track back.

    Args:
        first: (h, w) uint8.
        second: (h, w) uint8.
    """
    none = np.zeros((0, 2), np.float32)
    points = cv2.goodFeaturesToTrack(first, maxCorners=300, qualityLevel=0.01, minDistance=6)
    if points is None:
        return none, none
    moved, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points, None, winSize=(15, 15), maxLevel=3)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(second, first, moved, None, winSize=(15, 15), maxLevel=3)
    kept = (found.ravel() == 1) & (found_back.ravel() == 1)
    kept &= np.linalg.norm((back - points).reshape(-1, 2), axis=1) < 0.7
    return points.reshape(-1, 2)[kept], moved.reshape(-1, 2)[kept]


def motion_from_features(first: np.ndarray, second: np.ndarray) -> tuple[StillMotion, float]:
    """The homography most features agree on, and their share; identity and 0 where there are too few.

    Args:
        first: (h, w) uint8.
        second: (h, w) uint8.
    """
    points, moved = tracked_features(first, second)
    homography = None
    if len(points) >= 12:
        cv2.setRNGSeed(0)
        homography, inliers = cv2.findHomography(points, moved, cv2.RANSAC, 1.5, maxIters=500)
    if homography is None:
        return StillMotion(np.eye(3), None), 0.0
    return StillMotion(homography, None), float(inliers.mean())


def residual(flow: np.ndarray, motion: StillMotion) -> np.ndarray:
    """(h, w) px: how far the flow is from the nearest motion that a still point could have; NaN where it may vanish.

    Args:
        flow: (h, w, 2) px, from the first frame to the second.
        motion: of still points.
    """
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    far = np.einsum("ij,hwj->hwi", motion.homography, np.stack([x, y, np.ones_like(x)], axis=-1))
    far_xy = far[..., :2] / far[..., 2:]
    landed = np.stack([x, y], axis=-1) + flow
    away = landed - far_xy
    if motion.epipole is None:
        return np.asarray(np.linalg.norm(away, axis=-1), np.float32)
    # A still point at depth z lands at far + e / z: between the point at infinity and the nearest thing of the scene.
    near = far + motion.epipole / max(motion.nearest, 1e-12)
    beside = near[..., 2] > 1e-6
    span = np.where(beside[..., None], near[..., :2] / np.where(beside, near[..., 2], 1.0)[..., None] - far_xy, 0.0)
    square = np.maximum((span**2).sum(axis=-1), 1e-12)
    share = np.clip((away * span).sum(axis=-1) / square, 0.0, 1.0)
    left_over = np.linalg.norm(away - share[..., None] * span, axis=-1)
    return np.where(beside, left_over, np.nan).astype(np.float32)


def dense_flow(first: np.ndarray, second: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """(h, w, 2) float32 px; DIS, medium preset."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    begin = np.zeros((*first.shape, 2), np.float32) if start is None else start.copy()
    return np.asarray(dis.calc(first, second, begin), np.float32)


def mismatch(flow: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(h, w) mean 8-bit difference of a pixel's 5x5 surroundings from where the flow takes them; inf outside.

    Args:
        flow: (h, w, 2) px.
        first: (h, w) uint8.
        second: (h, w) uint8.
    """
    height, width = first.shape
    x = (np.arange(width) + flow[..., 0]).astype(np.float32)
    y = (np.arange(height)[:, None] + flow[..., 1]).astype(np.float32)
    fetched = cv2.remap(second, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = cv2.blur(cv2.absdiff(first, fetched).astype(np.float32), (5, 5))
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.where(inside, difference, np.inf).astype(np.float32)
