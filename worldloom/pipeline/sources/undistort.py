"""Pictures of a lens made into those of a pinhole, so that four numbers per frame say all there is to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import Trajectory

_HALF = np.array([0.0, 0.0, 0.5, 0.5])
"""Our pixel centres lie at +0.5, OpenCV's at 0."""

_PNG_LEVEL = 1
"""Of compression: these files live for a minute."""


def pinhole_intrinsics(trajectory: Trajectory) -> np.ndarray:
    """(T, 4) fx fy cx cy of the undistorted pictures, in pixels of `trajectory.size`: as large as the distorted ones,
    and of what the lens saw, the largest rectangle without empty corners.
    """
    assert trajectory.intrinsics is not None and trajectory.size is not None and trajectory.distortion is not None
    rows, which = _distinct(trajectory)
    made = np.array([_pinhole(row[:4], row[4:], trajectory.size) for row in rows])
    return made[which]


def undistort(pictures: Sequence[Path], trajectory: Trajectory, folder: Path) -> tuple[Path, ...]:
    """Write undistorted pictures, lossless, in the order of the old ones.

    Args:
        pictures: of `trajectory.size`, one per row of it; how EXIF says they should be turned is not looked at.
        trajectory: with intrinsics and distortion, in pixels of its size.
        folder: an empty place for them.

    Raises:
        BadInput: `not_image`, or `bad_poses` for a picture of another size.
    """
    assert trajectory.size is not None
    width, height = trajectory.size
    rows, which = _distinct(trajectory)
    folder.mkdir()
    made, maps, mapped = [], None, -1
    for number, path in enumerate(pictures):
        if which[number] != mapped:
            mapped = int(which[number])
            maps = _maps(rows[mapped], trajectory.size)
        assert maps is not None
        try:
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            picture = None
        if picture is None:
            raise BadInput("not_image", "cannot be read as a picture", where=path)
        if picture.shape[:2] != (height, width):
            message = f"{picture.shape[1]} x {picture.shape[0]} pixels, its camera is of {width} x {height}"
            raise BadInput("bad_poses", message, where=path, remedy="Use the pictures that the model was made of.")
        straight = cv2.remap(picture, *maps, cv2.INTER_CUBIC)
        made.append(folder / f"{number:06d}.png")
        cv2.imwrite(str(made[-1]), straight, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    return tuple(made)


def _distinct(trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """(L, 12) intrinsics and coefficients of each lens, and (T,) which one each picture was taken with."""
    assert trajectory.intrinsics is not None and trajectory.distortion is not None
    rows, which = np.unique(np.hstack([trajectory.intrinsics, trajectory.distortion]), axis=0, return_inverse=True)
    return rows, which.ravel()


def _pinhole(intrinsics: np.ndarray, distortion: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    k, _ = cv2.getOptimalNewCameraMatrix(_matrix(intrinsics), distortion, size, 0.0)
    return np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]) + _HALF


def _maps(row: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    target = _matrix(_pinhole(row[:4], row[4:], size))
    x, y = cv2.initUndistortRectifyMap(_matrix(row[:4]), row[4:], None, target, size, cv2.CV_32FC1)
    return x, y


def _matrix(intrinsics: np.ndarray) -> np.ndarray:
    fx, fy, cx, cy = intrinsics - _HALF
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
