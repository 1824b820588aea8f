"""Camera paths as arrays: checks, motion, alignment, intrinsics, projection, and the forms models are fed with.

Shapes: T frames, N points. `c2w` is (T, 4, 4) camera-to-world with OpenCV axes (x right, y down, z forward);
intrinsics are fx fy cx cy in pixels with pixel centres at +0.5. A frame without a pose is NaN in `c2w`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worldloom.catalogs.clip import Camera

ROTATION_TOLERANCE = 1e-3
"""Largest entry of R R^T - 1 that passes for a rotation; files carry as few as five decimals."""


def check_poses(c2w: np.ndarray, at_least: int = 1) -> None:
    """Refuse what is not a camera path. Rows that are NaN throughout are frames without a pose and pass.

    Args:
        c2w: (T, 4, 4).
        at_least: smallest number of rows.

    Raises:
        ValueError: wrong shape, too few rows, a row that is NaN in part, a rotation that is not one, a last row that
            is not 0 0 0 1; names the first such frame.
    """
    c2w = np.asarray(c2w)
    if c2w.ndim != 3 or c2w.shape[1:] != (4, 4):
        raise ValueError(f"poses have shape {c2w.shape}, (T, 4, 4) expected")
    if len(c2w) < at_least:
        raise ValueError(f"{len(c2w)} poses, at least {at_least} expected")
    finite = np.isfinite(c2w).all(axis=(1, 2))
    partial = ~finite & ~np.isnan(c2w).all(axis=(1, 2))
    if partial.any():
        raise ValueError(f"pose {np.flatnonzero(partial)[0]} is not finite in part of its entries")
    rows = np.flatnonzero(finite)
    rotation = c2w[rows, :3, :3]
    error = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0.0)
    _refuse(rows, error > ROTATION_TOLERANCE, "has a rotation whose axes are not orthonormal")
    _refuse(rows, np.linalg.det(rotation) < 0, "has a mirrored rotation (determinant -1)")
    _refuse(
        rows, np.abs(c2w[rows, 3] - [0, 0, 0, 1]).max(axis=1, initial=0.0) > 1e-6, "has a last row that is not 0 0 0 1"
    )


def _refuse(rows: np.ndarray, wrong: np.ndarray, what: str) -> None:
    if wrong.any():
        raise ValueError(f"pose {rows[wrong][0]} {what}")


def invert_poses(c2w: np.ndarray) -> np.ndarray:
    """World-to-camera from camera-to-world and back: [R | t] becomes [R^T | -R^T t].

    Args:
        c2w: (..., 4, 4) rigid transforms.

    Returns:
        (..., 4, 4).
    """
    c2w = np.asarray(c2w, np.float64)
    inverse = np.zeros_like(c2w)
    rotation = np.swapaxes(c2w[..., :3, :3], -1, -2)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -(rotation @ c2w[..., :3, 3:])[..., 0]
    inverse[..., 3, :] = c2w[..., 3, :]
    return inverse


def relative_poses(c2w: np.ndarray) -> np.ndarray:
    """Motion from each frame to the next, seen from the earlier frame.

    T_i = inv(c2w_i) @ c2w_{i+1}, so a camera going straight ahead gives +z.

    Args:
        c2w: (T, 4, 4), T >= 2.

    Returns:
        (T - 1, 4, 4), same unit of length as `c2w`; NaN next to a frame without a pose.

    Raises:
        ValueError: fewer than two poses, or a rotation that is not one.
    """
    check_poses(c2w, at_least=2)
    return invert_poses(c2w[:-1]) @ c2w[1:]


def first_frame_identity(c2w: np.ndarray) -> np.ndarray:
    """The same path seen from its first posed frame, which becomes the identity.

    Args:
        c2w: (T, 4, 4) with at least one pose.

    Returns:
        (T, 4, 4).

    Raises:
        ValueError: no frame has a pose.
    """
    check_poses(c2w)
    return invert_poses(c2w[_first_posed(c2w)]) @ c2w


def _first_posed(c2w: np.ndarray) -> int:
    posed = np.flatnonzero(np.isfinite(c2w).all(axis=(1, 2)))
    if not len(posed):
        raise ValueError("no frame has a pose")
    return int(posed[0])


def rotation_angle_deg(rotation: np.ndarray) -> np.ndarray:
    """Angle of a rotation, exact for small angles too (atan2 of the skew part against the trace).

    Args:
        rotation: (..., 3, 3).

    Returns:
        (...), degrees in [0, 180].
    """
    rotation = np.asarray(rotation, np.float64)
    skew = np.stack([rotation[..., i, j] - rotation[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], axis=-1)
    trace = np.trace(rotation, axis1=-2, axis2=-1)
    return np.degrees(np.arctan2(np.linalg.norm(skew, axis=-1), trace - 1.0))


def rotation_from_quaternion(xyzw: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) from quaternions (..., 4), scalar last; their length does not matter."""
    from scipy.spatial.transform import Rotation

    xyzw = np.asarray(xyzw, np.float64)
    return Rotation.from_quat(xyzw.reshape(-1, 4)).as_matrix().reshape(*xyzw.shape[:-1], 3, 3)


def quaternion_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4), scalar last and not negative, from rotation matrices (..., 3, 3)."""
    from scipy.spatial.transform import Rotation

    rotation = np.asarray(rotation, np.float64)
    flat = Rotation.from_matrix(rotation.reshape(-1, 3, 3)).as_quat(canonical=True)
    return flat.reshape(*rotation.shape[:-2], 4)


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation closest to each matrix (..., 3, 3) in the Frobenius norm; removes the rounding of text files."""
    left, _, right = np.linalg.svd(np.asarray(matrix, np.float64))
    sign = np.linalg.det(left @ right)
    left[..., :, 2] *= sign[..., None]
    return left @ right


def align_sim3(source: np.ndarray, target: np.ndarray, with_scale: bool = True) -> tuple[float, np.ndarray, np.ndarray]:
    """Similarity that carries `source` onto `target` with the least squared error (Umeyama 1991, eq. 40-43).

    target ~ scale * R @ source + t.

    Args:
        source: (N, 3), N >= 3, not all on one line.
        target: (N, 3).
        with_scale: fit the scale; else it is 1.

    Returns:
        scale, R (3, 3), t (3,).

    Raises:
        ValueError: shapes differ, or fewer than one point, or all points of `source` in one place.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3 or not len(source):
        raise ValueError(f"points of shapes {source.shape} and {target.shape}, two (N, 3) expected")
    centre_source, centre_target = source.mean(axis=0), target.mean(axis=0)
    a, b = source - centre_source, target - centre_target
    variance = float((a**2).sum() / len(a))
    if variance <= 0:
        raise ValueError("all points lie in one place: no alignment")
    left, singular, right = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(sign) @ right
    scale = float((singular * sign).sum() / variance) if with_scale else 1.0
    return scale, rotation, centre_target - scale * rotation @ centre_source


def apply_sim3_to_poses(c2w: np.ndarray, scale: float, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """The path after a similarity of the world; the orientation only turns.

    Args:
        c2w: (T, 4, 4).
        scale: factor of lengths.
        rotation: (3, 3).
        translation: (3,).

    Returns:
        (T, 4, 4).
    """
    moved = np.array(c2w, np.float64)
    moved[:, :3, :3] = rotation @ c2w[:, :3, :3]
    moved[:, :3, 3] = scale * c2w[:, :3, 3] @ np.asarray(rotation).T + translation
    return moved


def resize_intrinsics(intrinsics: np.ndarray, sx: float, sy: float) -> np.ndarray:
    """Intrinsics after the picture is resized: K' = S K, exact because pixel centres lie at +0.5.

    Args:
        intrinsics: (..., 4) pixels.
        sx: new width / old width.
        sy: new height / old height.
    """
    return np.asarray(intrinsics, np.float64) * np.array([sx, sy, sx, sy])


def crop_intrinsics(intrinsics: np.ndarray, x0: float, y0: float) -> np.ndarray:
    """Intrinsics (..., 4) after the picture is cropped so that pixel (x0, y0) becomes its corner."""
    return np.asarray(intrinsics, np.float64) - np.array([0.0, 0.0, x0, y0])


def matrix_of(intrinsics: np.ndarray) -> np.ndarray:
    """The 3x3 camera matrix of fx fy cx cy; (..., 4) gives (..., 3, 3)."""
    intrinsics = np.asarray(intrinsics, np.float64)
    matrix = np.zeros((*intrinsics.shape[:-1], 3, 3))
    matrix[..., 0, 0], matrix[..., 1, 1] = intrinsics[..., 0], intrinsics[..., 1]
    matrix[..., 0, 2], matrix[..., 1, 2] = intrinsics[..., 2], intrinsics[..., 3]
    matrix[..., 2, 2] = 1.0
    return matrix


def project(points: np.ndarray, c2w: np.ndarray, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where world points appear in one camera.

    Args:
        points: (..., 3) world.
        c2w: (4, 4).
        intrinsics: (4,).

    Returns:
        uv (..., 2) in pixels and z (...), the depth along the optical axis. uv is meaningless where z <= 0.
    """
    local = (np.asarray(points, np.float64) - c2w[:3, 3]) @ c2w[:3, :3]
    z = local[..., 2]
    fx, fy, cx, cy = intrinsics
    with np.errstate(divide="ignore", invalid="ignore"):
        uv = np.stack([fx * local[..., 0] / z + cx, fy * local[..., 1] / z + cy], axis=-1)
    return uv, z


def unproject(uv: np.ndarray, z: np.ndarray, c2w: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """World points (..., 3) of pixels uv (..., 2) at depth z (...) along the optical axis; undoes `project`."""
    fx, fy, cx, cy = intrinsics
    uv = np.asarray(uv, np.float64)
    local = np.stack([(uv[..., 0] - cx) / fx * z, (uv[..., 1] - cy) / fy * z, np.asarray(z, np.float64)], axis=-1)
    return local @ c2w[:3, :3].T + c2w[:3, 3]


def pixel_centres(width: int, height: int) -> np.ndarray:
    """(H, W, 2) coordinates of the pixel centres, the corner pixel at (0.5, 0.5)."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x, y], axis=-1)


def unit_normal_form(camera: Camera, depth: float | None = None) -> tuple[Camera, float]:
    """The form for training: first posed frame the identity, lengths in metres or in median scene depths.

    Args:
        camera: any camera with at least one pose.
        depth: length that becomes 1. Without it: metric cameras keep their metres, relative ones are divided by the
            median of `median_depth`, and keep their own unit where that is unknown.

    Returns:
        The camera and the factor its lengths were multiplied by.

    Raises:
        ValueError: no pose, or a depth that is not positive.
    """
    known = camera.median_depth
    if depth is None and camera.scale == "relative" and known is not None and np.isfinite(known).any():
        depth = float(np.nanmedian(known))
    if depth is not None and not depth > 0:
        raise ValueError(f"depth {depth} is not positive")
    factor = 1.0 if depth is None else 1.0 / depth
    check_poses(camera.c2w)
    first = camera.c2w[_first_posed(camera.c2w)]
    c2w = invert_poses(first) @ camera.c2w
    c2w[:, :3, 3] *= factor
    sigma = camera.sigma_position
    normal = replace(
        camera,
        c2w=c2w,
        scale="relative" if camera.scale == "metric" and factor != 1.0 else camera.scale,
        up=None if camera.up is None else first[:3, :3].T @ camera.up,
        sigma_position=None if sigma is None else (sigma * factor).astype(np.float32),
        median_depth=None if known is None else (known * factor).astype(np.float32),
    )
    return normal, factor


def plucker(c2w: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Plücker coordinates of the ray through every pixel: moment o x d first, then the unit direction d.

    Args:
        c2w: (T, 4, 4).
        intrinsics: (4,) or (T, 4), in pixels of a picture of height x width.
        height: h.
        width: w.

    Returns:
        (T, h, w, 6) float32 in world axes; |d| = 1 and moment . d = 0.
    """
    c2w = np.asarray(c2w, np.float64)
    intrinsics = np.broadcast_to(np.asarray(intrinsics, np.float64), (len(c2w), 4))
    rays = np.empty((len(c2w), height, width, 6), np.float32)
    uv = pixel_centres(width, height)
    for t, (pose, k) in enumerate(zip(c2w, intrinsics, strict=True)):
        direction = unproject(uv, np.ones((height, width)), pose, k) - pose[:3, 3]
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        rays[t, ..., :3] = np.cross(np.broadcast_to(pose[:3, 3], direction.shape), direction)
        rays[t, ..., 3:] = direction
    return rays


def hydra12(c2w: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """Twelve numbers per frame in HyDRA's order: [R | t] row by row, relative to a reference pose.

    Args:
        c2w: (T, 4, 4), metres.
        reference: (4, 4) pose that becomes the identity: for HyDRA the first *target* frame, for context and target
            alike; the first posed frame of `c2w` by default.

    Returns:
        (T, 12): R00 R01 R02 tx R10 R11 R12 ty R20 R21 R22 tz.
    """
    check_poses(c2w)
    if reference is None:
        reference = c2w[_first_posed(c2w)]
    return (invert_poses(reference) @ c2w)[:, :3, :].reshape(len(c2w), 12)
