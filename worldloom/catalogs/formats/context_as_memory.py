"""Context-as-Memory: one JSON per scene with location and rotation of the camera in every frame.

{"CineCameraActor": {"0": {"position": [x, y, z], "rotation": [a, b, c], "scale": [1, 1, 1]}, ...}}, centimetres and
degrees. Which angle a, b and c are is not published, and those who use the data disagree, so the order is an argument
and `annotators.rotation_order` finds it from the pictures. The field of view is not published either.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import (
    Trajectory,
    array_of,
    read_json,
    read_text,
    require_all_posed,
    require_poses,
    write_json,
)
from worldloom.catalogs.formats.unreal import UP, pose_from_rotator, rotator_of_pose

RotationOrder = Literal[
    "pitch_yaw_roll", "roll_pitch_yaw", "yaw_pitch_roll", "pitch_roll_yaw", "roll_yaw_pitch", "yaw_roll_pitch"
]
ORDERS: tuple[RotationOrder, ...] = (
    "pitch_yaw_roll",
    "roll_pitch_yaw",
    "yaw_pitch_roll",
    "pitch_roll_yaw",
    "roll_yaw_pitch",
    "yaw_roll_pitch",
)
"""What the three numbers may be; Unreal's own FRotator first, then the two in use."""

MAX_FRAMES = 1_000_000


def read_locations(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Location (T, 3) in centimetres and the three angles (T, 3) in degrees, as they are stored.

    Raises:
        BadInput: `bad_poses`, naming the frame, or a file that cannot be read.
    """
    value = read_json(path)
    actors = [one for one in value.values() if isinstance(one, dict)] if isinstance(value, dict) else []
    if len(actors) != 1:
        what = f"a mapping with one camera actor expected, found {len(actors)}"
        raise BadInput("bad_poses", what, where=path)
    frames: dict[str, Any] = actors[0]
    if not frames or len(frames) > MAX_FRAMES:
        raise BadInput("bad_poses", f"the camera has {len(frames)} frames", where=path)
    rows = []
    for i in range(len(frames)):
        row = frames.get(str(i))
        if not isinstance(row, dict):
            raise BadInput("bad_poses", f"there is no frame {i} of {len(frames)}", where=path)
        position = array_of(row.get("position"), (3,), path, f"frame {i}: position")
        rows.append(np.concatenate([position, array_of(row.get("rotation"), (3,), path, f"frame {i}: rotation")]))
    table = np.array(rows)
    return table[:, :3], table[:, 3:]


def poses_in_order(location_cm: np.ndarray, angles_deg: np.ndarray, order: RotationOrder) -> np.ndarray:
    """c2w (T, 4, 4), metres, with the angles (T, 3) taken in this order."""
    at = {name: i for i, name in enumerate(order.split("_"))}
    pitch, yaw, roll = (angles_deg[:, at[name]] for name in ("pitch", "yaw", "roll"))
    return pose_from_rotator(location_cm, pitch, yaw, roll)


def read_context_as_memory(
    path: str | Path, order: RotationOrder, focal_px: float, size: tuple[int, int]
) -> Trajectory:
    """The cameras of a scene.

    Args:
        path: `jsons/<scene>.json`.
        order: of the angles.
        focal_px: focal length, in pixels of the frames.
        size: width and height of the frames.

    Raises:
        BadInput: as `read_locations`.
    """
    c2w = poses_in_order(*read_locations(path), order)
    require_poses(c2w, path)
    k = np.tile([focal_px, focal_px, size[0] / 2, size[1] / 2], (len(c2w), 1))
    return Trajectory(c2w=c2w, scale="metric", intrinsics=k, size=size, up=UP.copy())


def write_context_as_memory(path: str | Path, trajectory: Trajectory, order: RotationOrder) -> None:
    """Write a scene's cameras, the angles in this order.

    Raises:
        BadInput: `missing_poses`.
    """
    require_all_posed(trajectory, path)
    location, angles = rotator_of_pose(trajectory.c2w)
    places = [("pitch", "yaw", "roll").index(name) for name in order.split("_")]
    frames = {
        str(i): {"position": at.tolist(), "rotation": turn[places].tolist(), "scale": [1.0, 1.0, 1.0]}
        for i, (at, turn) in enumerate(zip(location, angles, strict=True))
    }
    write_json(path, {"CineCameraActor": frames})


def read_captions(path: str | Path) -> list[tuple[str, int, int, str]]:
    """Scene, first and last frame, and text of every line `<scene>/<start>_<end>.mp4<blank or tab>text`.

    Raises:
        BadInput: `bad_captions`, naming the line.
    """
    found = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        parts = re.match(r"\s*(.+?)/(\d{1,9})_(\d{1,9})\.mp4\s+(\S.*)", line)
        if parts is None or int(parts[2]) > int(parts[3]):
            what = f"line {number} is not <scene>/<start>_<end>.mp4 and a text"
            raise BadInput("bad_captions", what, where=path)
        found.append((parts[1].strip("/"), int(parts[2]), int(parts[3]), parts[4].strip()))
    return found
