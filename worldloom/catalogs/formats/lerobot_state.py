"""Camera and hands as the columns of a LeRobot dataset, and back.

`observation.state` is the camera's position and unit quaternion (scalar last) in the world, then x, y, z of every hand
joint in camera space (OpenCV axes, metres). LeRobot has no way to say that a number is missing: it is 0, and
`observation.confidence` (the camera's, then one per joint) is 0 too. `observation.intrinsics` is fx fy cx cy in pixels
of the video.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from worldloom.catalogs.cameras import quaternion_from_rotation, rotation_from_quaternion
from worldloom.catalogs.clip import Camera, Hands
from worldloom.catalogs.formats.lerobot import LeRobotFeature
from worldloom.catalogs.formats.trajectory import Trajectory

STATE = "observation.state"
CONFIDENCE = "observation.confidence"
INTRINSICS = "observation.intrinsics"
CAMERA_NAMES = ("camera.x", "camera.y", "camera.z", "camera.qx", "camera.qy", "camera.qz", "camera.qw")


def state_arrays(camera: Camera | None, hands: Hands | None) -> dict[str, np.ndarray]:
    """The columns of a clip.

    Args:
        camera: poses may be missing.
        hands: joints may be missing.

    Returns:
        float32: `observation.state` (T, 7 + 3 J), `observation.confidence` (T, 1 + J), `observation.intrinsics` (T, 4);
        what belongs to a camera or hands that are None is left out.
    """
    state, confidence, arrays = [], [], {}
    if camera is not None:
        posed = np.isfinite(camera.c2w).all(axis=(1, 2))
        pose = np.zeros((len(camera), 7))
        pose[posed, :3] = camera.c2w[posed, :3, 3]
        pose[posed, 3:] = _continuous(quaternion_from_rotation(camera.c2w[posed, :3, :3]))
        state.append(pose)
        confidence.append(np.where(posed, camera.confidence, 0.0)[:, None])
        arrays[INTRINSICS] = np.nan_to_num(camera.intrinsics, posinf=0.0, neginf=0.0).astype(np.float32)
    if hands is not None:
        there = np.isfinite(hands.joints).all(axis=2)
        state.append(np.where(there[..., None], hands.joints, 0.0).reshape(len(there), -1))
        confidence.append(np.where(there, hands.confidence, 0.0))
    if state:
        arrays[STATE] = np.concatenate(state, axis=1).astype(np.float32)
        arrays[CONFIDENCE] = np.nan_to_num(np.concatenate(confidence, axis=1)).astype(np.float32)
    return arrays


def state_features(with_camera: bool, joints: tuple[str, ...], scale: str) -> dict[str, dict[str, Any]]:
    """What `info.json` says about the columns of `state_arrays`.

    Args:
        with_camera: whether they tell a camera.
        joints: names.
        scale: unit of the camera's position.
    """
    names = [*(CAMERA_NAMES if with_camera else ()), *(f"{joint}.{axis}" for joint in joints for axis in "xyz")]
    known = [*(["camera"] if with_camera else []), *joints]
    features: dict[str, dict[str, Any]] = {STATE: {**_vector(names), "info": {"camera.scale": scale}}}
    features[CONFIDENCE] = _vector(known)
    if with_camera:
        features[INTRINSICS] = _vector(["fx", "fy", "cx", "cy"])
    return features


def camera_of(
    features: Mapping[str, LeRobotFeature], rows: Mapping[str, np.ndarray], size: tuple[int, int]
) -> Trajectory | None:
    """The camera that the columns of an episode tell; None where they tell none.

    Args:
        features: of the dataset.
        rows: of `LeRobotDataset.rows`.
        size: width and height of the video.
    """
    feature = features.get(STATE)
    if feature is None or feature.names[: len(CAMERA_NAMES)] != CAMERA_NAMES or INTRINSICS not in rows:
        return None
    pose = rows[STATE][:, :7].astype(np.float64)
    posed = np.isfinite(pose).all(axis=1) & (np.linalg.norm(pose[:, 3:], axis=1) > 0.5)
    c2w = np.full((len(pose), 4, 4), np.nan)
    c2w[posed] = np.eye(4)
    c2w[posed, :3, :3] = rotation_from_quaternion(pose[posed, 3:])
    c2w[posed, :3, 3] = pose[posed, :3]
    scale = (feature.info or {}).get("camera.scale")
    return Trajectory(
        c2w=c2w,
        scale=scale if scale in ("metric", "relative", "none") else "relative",
        intrinsics=rows[INTRINSICS].astype(np.float64),
        size=size,
    )


def hands_of(features: Mapping[str, LeRobotFeature], rows: Mapping[str, np.ndarray]) -> Hands | None:
    """The hands that the columns of an episode tell, as `state_arrays` names them; None where they tell none."""
    feature = features.get(STATE)
    if feature is None or CONFIDENCE not in features or CONFIDENCE not in rows or STATE not in rows:
        return None
    joints = [name for name in features[CONFIDENCE].names if name != "camera"]
    first = len(feature.names) - 3 * len(joints)
    names = tuple(f"{joint}.{axis}" for joint in joints for axis in "xyz")
    if not joints or first not in (0, len(CAMERA_NAMES)) or feature.names[first:] != names:
        return None
    frames = len(rows[CONFIDENCE])
    confidence = rows[CONFIDENCE].reshape(frames, -1)[:, -len(joints) :].astype(np.float32)
    values = rows[STATE][:, first:].reshape(frames, -1, 3).astype(np.float32)
    missing = (confidence == 0) & (values == 0).all(axis=2)
    return Hands(joints, np.where(missing[..., None], np.float32(np.nan), values), confidence)


def _continuous(quaternions: np.ndarray) -> np.ndarray:
    """The same rotations, with the sign of each quaternion chosen so that it lies near the one before."""
    turns = (quaternions[1:] * quaternions[:-1]).sum(axis=1) < 0
    signs = np.cumprod(np.concatenate([[1.0], np.where(turns, -1.0, 1.0)]))[: len(quaternions)]
    return np.asarray(quaternions * signs[:, None])


def _vector(names: list[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [len(names)], "names": names}
