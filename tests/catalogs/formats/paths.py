"""Paths that the format tests write and read again, and the geometry of real frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from worldloom.catalogs.cameras import invert_poses, matrix_of
from worldloom.catalogs.formats.trajectory import Trajectory


def some_trajectory(length: int = 7, seed: int = 0) -> Trajectory:
    rng = np.random.default_rng(seed)
    c2w = np.tile(np.eye(4), (length, 1, 1))
    c2w[:, :3, :3] = Rotation.random(length, rng=rng).as_matrix()
    c2w[:, :3, 3] = rng.normal(size=(length, 3))
    return Trajectory(
        c2w=c2w,
        scale="metric",
        intrinsics=np.tile([500.0, 510.0, 321.5, 240.25], (length, 1)),
        size=(640, 480),
        timestamps_s=np.arange(length) / 8,
        names=[f"images/{i:03d}.jpg" for i in range(length)],
    )


def video_frames(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        ok, frame = capture.read()
        if not ok:
            return frames
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))


def epipolar_error_px(first: np.ndarray, second: np.ndarray, k: np.ndarray, c2w: np.ndarray) -> float:
    """Median Sampson distance of matched corners of two frames from the epipolar geometry of their two poses.

    Wrong axes, a wrong direction (c2w for w2c), or a wrong focal length make it tens of pixels.
    """
    sift = cv2.SIFT_create(2000)
    (key_a, seen_a), (key_b, seen_b) = (sift.detectAndCompute(frame, None) for frame in (first, second))
    found = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(seen_a, seen_b)
    a = np.array([key_a[match.queryIdx].pt for match in found]) + 0.5
    b = np.array([key_b[match.trainIdx].pt for match in found]) + 0.5
    _, mask = cv2.findFundamentalMat(a, b, cv2.FM_RANSAC, 1.0, 0.999)
    keep = mask.ravel() > 0
    a, b = np.c_[a[keep], np.ones(keep.sum())], np.c_[b[keep], np.ones(keep.sum())]
    relative = invert_poses(c2w[1]) @ c2w[0]
    x, y, z = relative[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ relative[:3, :3]
    inverse_k = np.linalg.inv(matrix_of(k))
    fundamental = inverse_k.T @ essential @ inverse_k
    line_b, line_a = a @ fundamental.T, b @ fundamental
    scale = np.sqrt((line_b[:, :2] ** 2).sum(1) + (line_a[:, :2] ** 2).sum(1))
    return float(np.median(np.abs((b * line_b).sum(1)) / scale))
