"""Cameras as named arrays, as other projects keep them in an npz: any of the usual directions, axes and intrinsics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worldloom.catalogs.cameras import invert_poses
from worldloom.catalogs.clip import Scale
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import GL_TO_CV, LARGEST, Trajectory, require_poses


def trajectory_of_arrays(
    arrays: Mapping[str, np.ndarray],
    where: str,
    *,
    size: tuple[int, int],
    poses: str = "c2w",
    intrinsics: str = "intrinsics",
    world_to_camera: bool = False,
    opengl: bool = False,
    scale: Scale = "relative",
    normalised: bool = False,
) -> Trajectory:
    """The path that arrays tell.

    Args:
        arrays: by name.
        where: the file, for messages.
        size: width and height that intrinsics in pixels belong to.
        poses: name of (T, 4, 4) or (T, 3, 4); a row of NaN is a frame without a pose.
        intrinsics: name of fx fy cx cy, (4,) or (T, 4), or of camera matrices, (3, 3) or (T, 3, 3).
        world_to_camera: what the poses are, else camera to world.
        opengl: camera axes with y up and z backward, else OpenCV's.
        scale: of the translation.
        normalised: fx and cx are shares of the width, fy and cy of the height.

    Raises:
        BadInput: `no_poses`, `no_intrinsics` or `bad_poses`, naming the array.
    """
    if poses not in arrays:
        raise BadInput("no_poses", f"no array '{poses}' (it has {', '.join(sorted(arrays)[:8])})", where=where)
    if intrinsics not in arrays:
        raise BadInput(
            "no_intrinsics", f"no array '{intrinsics}' (it has {', '.join(sorted(arrays)[:8])})", where=where
        )
    given = arrays[poses]
    if given.ndim != 3 or given.shape[1:] not in ((4, 4), (3, 4)) or given.dtype.kind != "f" or not len(given):
        raise BadInput("bad_poses", f"{poses} is {given.dtype} {given.shape}, T x 4 x 4 floats expected", where=where)
    matrices = np.tile(np.eye(4), (len(given), 1, 1))
    matrices[:, : given.shape[1]] = given
    matrices[~np.isfinite(given).all(axis=(1, 2))] = np.nan
    if (np.abs(matrices) > LARGEST).any():
        raise BadInput("bad_poses", f"{poses} holds numbers that are not finite", where=where)
    require_poses(matrices, where)
    c2w = invert_poses(matrices) if world_to_camera else matrices
    k = _rows(arrays[intrinsics], len(c2w))
    if k is None:
        told = f"{arrays[intrinsics].dtype} {arrays[intrinsics].shape}"
        raise BadInput(
            "bad_poses", f"{intrinsics} is {told}, 4 numbers or a matrix, or T of them expected", where=where
        )
    if not ((k[:, :2] > 0).all() and (np.abs(k) <= LARGEST).all()):
        raise BadInput("bad_poses", f"{intrinsics} holds a focal length that is none", where=where)
    return Trajectory(
        c2w=c2w @ GL_TO_CV if opengl else c2w,
        scale=scale,
        intrinsics=k,
        intrinsics_normalised=normalised,
        size=None if normalised else size,
    )


def _rows(k: np.ndarray, frames: int) -> np.ndarray | None:
    """(T, 4) fx fy cx cy; None for what is neither that nor matrices."""
    if k.dtype.kind not in "fiu":
        return None
    k = k.astype(np.float64)
    if k.shape[-2:] == (3, 3):
        k = np.stack([k[..., 0, 0], k[..., 1, 1], k[..., 0, 2], k[..., 1, 2]], axis=-1)
    if k.shape not in ((4,), (frames, 4)):
        return None
    return np.broadcast_to(k, (frames, 4)).copy()
