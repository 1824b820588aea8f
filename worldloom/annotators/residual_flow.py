"""What moves by itself while the camera moves: optical flow that no motion of the camera explains.

With poses, a still point moves along its epipolar line, away from the epipole; without them, or where the camera only
turns, it moves by one homography. What moves along its epipolar line outwards looks like a near still thing and is
not found.
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
    """

    homography: np.ndarray
    epipole: np.ndarray | None


def motion_from_poses(
    c2w_a: np.ndarray, c2w_b: np.ndarray, k_a: np.ndarray, k_b: np.ndarray, moves: bool
) -> StillMotion:
    """The motion that two known poses give.

    Args:
        c2w_a: (4, 4) of the first frame.
        c2w_b: (4, 4) of the second.
        k_a: (4,) intrinsics in pixels of the working picture.
        k_b: (4,).
        moves: false where translation is unknown or means nothing.
    """
    relative = np.linalg.inv(c2w_b) @ c2w_a
    homography = matrix_of(k_b) @ relative[:3, :3] @ np.linalg.inv(matrix_of(k_a))
    return StillMotion(homography, matrix_of(k_b) @ relative[:3, 3] if moves else None)


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
    """(h, w) px: how far the flow is from the nearest motion that a still point could have.

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
    # A still point at inverse depth q > 0 lands at (far + q e): from the far point towards or away from the epipole.
    along = motion.epipole[:2] - far_xy * motion.epipole[2]
    length = np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    along = along / length
    forward = (away * along).sum(axis=-1)
    across = np.abs(away[..., 0] * along[..., 1] - away[..., 1] * along[..., 0])
    return np.asarray(np.where(forward >= 0, across, np.hypot(across, forward)), np.float32)


def dense_flow(first: np.ndarray, second: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """(h, w, 2) float32 px; DIS, medium preset."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    begin = np.zeros((*first.shape, 2), np.float32) if start is None else start.copy()
    return np.asarray(dis.calc(first, second, begin), np.float32)


def inconsistent(there: np.ndarray, back: np.ndarray, tolerance: float) -> np.ndarray:
    """(h, w) bool: going there and back does not return: occluded, or flow that means nothing."""
    height, width = there.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    returned = cv2.remap(back, x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.linalg.norm(there + returned, axis=-1) > tolerance)
