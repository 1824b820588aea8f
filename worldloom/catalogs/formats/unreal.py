"""Unreal Engine cameras: left-handed world, x forward, y right, z up, centimetres, yaw turns right.

The change of axes C carries x_cv = y_ue, y_cv = -z_ue, z_cv = x_ue. It mirrors, so R_cv = C R_ue C^T is a proper
rotation in a right-handed world whose up is -y: OpenCV axes for camera and world alike.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.cameras import nearest_rotation
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import (
    Trajectory,
    array_of,
    read_json,
    require_all_posed,
    require_poses,
    write_json,
)

AXES = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""C: Unreal coordinates to OpenCV's."""

UP = np.array([0.0, -1.0, 0.0])
"""Against gravity, after the conversion."""

CM_PER_M = 100.0

_ROW = re.compile(r"\[([^\[\]]*)\]")
_ROUNDING = 1e-4
"""How far an axis written with six digits may be from orthonormal before it is no rounding any more."""


def unreal_to_opencv(matrix: np.ndarray) -> np.ndarray:
    """c2w in our conventions, metres, from Unreal's.

    Args:
        matrix: (..., 4, 4) camera-to-world in column-vector form, centimetres: columns are the camera's forward,
            right and up axis and its position in the Unreal world.

    Returns:
        (..., 4, 4).
    """
    matrix = np.asarray(matrix, np.float64)
    c2w = np.zeros_like(matrix)
    c2w[..., :3, :3] = AXES @ matrix[..., :3, :3] @ AXES.T
    c2w[..., :3, 3] = matrix[..., :3, 3] @ AXES.T / CM_PER_M
    c2w[..., 3, :] = matrix[..., 3, :]
    return c2w


def opencv_to_unreal(c2w: np.ndarray) -> np.ndarray:
    """Undoes `unreal_to_opencv`."""
    c2w = np.asarray(c2w, np.float64)
    matrix = np.zeros_like(c2w)
    matrix[..., :3, :3] = AXES.T @ c2w[..., :3, :3] @ AXES
    matrix[..., :3, 3] = c2w[..., :3, 3] @ AXES * CM_PER_M
    matrix[..., 3, :] = c2w[..., 3, :]
    return matrix


def rotator_to_matrix(pitch_deg: Any, yaw_deg: Any, roll_deg: Any) -> np.ndarray:
    """Rotation (..., 3, 3) of an FRotator, column-vector form, Unreal axes.

    forward = (cos p cos y, cos p sin y, sin p): yaw turns from +x to +y, pitch up, roll clockwise seen from behind.
    """
    pitch, yaw, roll = np.broadcast_arrays(*(np.radians(angle) for angle in (pitch_deg, yaw_deg, roll_deg)))
    sp, cp, sy, cy, sr, cr = np.sin(pitch), np.cos(pitch), np.sin(yaw), np.cos(yaw), np.sin(roll), np.cos(roll)
    forward = np.stack([cp * cy, cp * sy, sp], axis=-1)
    right = np.stack([sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, -sr * cp], axis=-1)
    above = np.stack([-(cr * sp * cy + sr * sy), cy * sr - cr * sp * sy, cr * cp], axis=-1)
    return np.stack([forward, right, above], axis=-1)


def matrix_to_rotator(rotation: np.ndarray) -> np.ndarray:
    """(..., 3) pitch, yaw, roll in degrees from column-vector rotations (..., 3, 3); undoes `rotator_to_matrix`."""
    rotation = np.asarray(rotation, np.float64)
    forward = rotation[..., :, 0]
    pitch = np.arctan2(forward[..., 2], np.hypot(forward[..., 0], forward[..., 1]))
    yaw = np.arctan2(forward[..., 1], forward[..., 0])
    roll = np.arctan2(-rotation[..., 2, 1], rotation[..., 2, 2])
    return np.degrees(np.stack([pitch, yaw, roll], axis=-1))


def pose_from_rotator(location_cm: np.ndarray, pitch_deg: Any, yaw_deg: Any, roll_deg: Any) -> np.ndarray:
    """c2w (..., 4, 4), metres, from what the Unreal editor shows: location (..., 3) and the angles of an FRotator."""
    location_cm = np.asarray(location_cm, np.float64)
    matrix = np.broadcast_to(np.eye(4), (*location_cm.shape[:-1], 4, 4)).copy()
    matrix[..., :3, :3] = rotator_to_matrix(pitch_deg, yaw_deg, roll_deg)
    matrix[..., :3, 3] = location_cm
    return unreal_to_opencv(matrix)


def rotator_of_pose(c2w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Location (..., 3) in centimetres and pitch, yaw, roll (..., 3) in degrees; undoes `pose_from_rotator`."""
    matrix = opencv_to_unreal(c2w)
    return matrix[..., :3, 3], matrix_to_rotator(matrix[..., :3, :3])


def row_vector_text(text: Any, path: str | Path, what: str) -> np.ndarray:
    """Column-vector matrix (4, 4) of Unreal's text form `[a b c d] [..] [..] [x y z 1]`, which holds row vectors.

    Raises:
        BadInput: `bad_poses`, naming `what`.
    """
    rows = [row.split() for row in _ROW.findall(text)] if isinstance(text, str) else []
    matrix = array_of(rows, (4, 4), path, what).T.copy()
    repaired = nearest_rotation(matrix[:3, :3])
    if np.abs(repaired - matrix[:3, :3]).max() < _ROUNDING:
        matrix[:3, :3] = repaired
    return matrix


def recam_cameras(path: str | Path) -> list[str]:
    """Names of the cameras in a ReCamMaster `camera_extrinsics.json`, in order."""
    value = read_json(path)
    first = next(iter(value.values()), None) if isinstance(value, dict) else None
    if not isinstance(first, dict):
        raise BadInput("bad_poses", "a mapping frame -> camera -> matrix expected", where=path)
    return sorted(first)


def read_recam(path: str | Path, camera: str) -> Trajectory:
    """Read one camera of ReCamMaster's `camera_extrinsics.json`: {"frame0": {"cam01": "[..] [..] [..] [..]"}}.

    Args:
        path: of the JSON.
        camera: e.g. `cam01`.

    Raises:
        BadInput: `bad_poses` naming frame and camera, or a file that cannot be read.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not value:
        raise BadInput("bad_poses", "a mapping frame -> camera -> matrix expected", where=path)
    poses = []
    for frame in sorted(value, key=frame_number):
        cameras = value[frame]
        if not isinstance(cameras, dict) or camera not in cameras:
            known = ", ".join(sorted(cameras)) if isinstance(cameras, dict) else "none"
            raise BadInput("bad_poses", f"{frame} has no camera '{camera}' (it has {known})", where=path)
        poses.append(row_vector_text(cameras[camera], path, f"{frame} {camera}"))
    c2w = unreal_to_opencv(np.array(poses))
    require_poses(c2w, path, what=f"{camera} pose")
    return Trajectory(c2w=c2w, scale="metric", up=UP.copy())


def write_recam(path: str | Path, cameras: dict[str, Trajectory]) -> None:
    """Write several cameras of equal length in ReCamMaster's form."""
    lengths = {len(trajectory) for trajectory in cameras.values()}
    if len(lengths) != 1:
        raise BadInput("bad_poses", f"cameras of equal length expected, found {sorted(lengths)}", where=path)
    texts: dict[str, dict[str, str]] = {f"frame{i}": {} for i in range(lengths.pop())}
    for name, trajectory in sorted(cameras.items()):
        require_all_posed(trajectory, path)
        for frame, matrix in zip(texts.values(), opencv_to_unreal(trajectory.c2w), strict=True):
            frame[name] = matrix_to_row_text(matrix)
    write_json(path, texts)


def matrix_to_row_text(matrix: np.ndarray) -> str:
    """Unreal's text form of a column-vector matrix (4, 4); read again by `row_vector_text`."""
    return " ".join("[" + " ".join(f"{value:.12g}" for value in row) + "]" for row in matrix.T) + " "


def frame_number(name: str) -> tuple[int, str]:
    """Sort key that puts frame2 before frame10."""
    digits = re.findall(r"\d+", name)
    return (int(digits[-1]) if digits else -1, name)
