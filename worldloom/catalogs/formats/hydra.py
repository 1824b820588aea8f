"""HyDRA and HM-World: one JSON per sample with the cameras of the context and of the target clip.

Accepted are {"cond_cam": {"0": 4x4, ...}, "tgt_cam": {...}} (released samples, HM-World), {"context_camera",
"video_camera"} with (F, 4, 4) or with the twelve numbers the model is fed with, and the authors' older mapping of 149
matrices as text. Matrices are Unreal camera-to-world in column-vector form, centimetres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

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
from worldloom.catalogs.formats.unreal import UP, frame_number, opencv_to_unreal, row_vector_text, unreal_to_opencv

Stream = Literal["cond_cam", "tgt_cam"]

FRAMES = 77
FPS = 15
SIZE = (832, 480)
INTRINSICS = (1257.0, 1257.0, 416.0, 240.0)
"""Pixels of 832x480; measured from the epipolar geometry of the released samples (Unreal's default CineCamera)."""

EVERY = 4
"""The model is fed with every fourth frame: one pose per latent."""

_OTHER_NAME = {"cond_cam": "context_camera", "tgt_cam": "video_camera"}
_LEGACY_FRAMES = 149


def read_hydra_json(path: str | Path, stream: Stream = "cond_cam") -> Trajectory:
    """Read the cameras of one clip: `cond_cam` belongs to the frames of the released mp4, `tgt_cam` to the next ones.

    Both streams share one world. Twelve-number rows are already relative to the first target frame and stand for
    every fourth frame (`notes["every"]`).

    Raises:
        BadInput: `bad_poses`, naming stream and frame, or a file that cannot be read.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not value:
        raise BadInput("bad_poses", "a mapping with cond_cam and tgt_cam expected", where=path)
    if all(isinstance(entry, str) for entry in value.values()):
        return _trajectory(_legacy(value, path)[stream], path, stream)
    name = next((name for name in (stream, _OTHER_NAME[stream]) if name in value), None)
    if name is None:
        raise BadInput("bad_poses", f"no '{stream}' (found {', '.join(sorted(value)[:5])})", where=path)
    rows = _rows(value[name], path, name)
    if isinstance(rows[0], list) and len(rows[0]) == 12:
        return _from_twelve(rows, path, name)
    matrices = np.array([array_of(row, (4, 4), path, f"{name} frame {i}") for i, row in enumerate(rows)])
    return _trajectory(matrices, path, name)


def write_hydra_json(path: str | Path, cond: Trajectory, tgt: Trajectory) -> None:
    """Write the cameras of a context and a target clip, which share one world, as the released samples are written.

    Raises:
        BadInput: `missing_poses`.
    """
    streams: dict[str, dict[str, Any]] = {}
    for name, trajectory in (("cond_cam", cond), ("tgt_cam", tgt)):
        require_all_posed(trajectory, path)
        streams[name] = {str(i): matrix.tolist() for i, matrix in enumerate(opencv_to_unreal(trajectory.c2w))}
    write_json(path, streams)


def _rows(entries: Any, path: str | Path, name: str) -> list[Any]:
    """Frames in order, from a list or from a mapping with the keys 0..F-1."""
    if isinstance(entries, dict):
        missing = [str(i) for i in range(len(entries)) if str(i) not in entries]
        if missing:
            raise BadInput("bad_poses", f"{name} has no frame {missing[0]} of {len(entries)}", where=path)
        entries = [entries[str(i)] for i in range(len(entries))]
    if not isinstance(entries, list) or not entries:
        raise BadInput("bad_poses", f"{name} holds no poses", where=path)
    return entries


def _trajectory(matrices: np.ndarray, path: str | Path, name: str) -> Trajectory:
    c2w = unreal_to_opencv(matrices)
    require_poses(c2w, path, what=f"{name} pose")
    c2w[:, :3, :3] = nearest_rotation(c2w[:, :3, :3])  # the files hold float32, off by up to 1e-6
    return Trajectory(
        c2w=c2w,
        scale="metric",
        intrinsics=np.tile(INTRINSICS, (len(c2w), 1)),
        size=SIZE,
        up=UP.copy(),
        timestamps_s=np.arange(len(c2w)) / FPS,
    )


def _from_twelve(rows: list[Any], path: str | Path, name: str) -> Trajectory:
    """OpenCV axes already, relative to the first target frame, whose gravity is not known any more."""
    c2w = np.tile(np.eye(4), (len(rows), 1, 1))
    for i, row in enumerate(rows):
        c2w[i, :3] = array_of(row, (12,), path, f"{name} row {i}").reshape(3, 4)
    require_poses(c2w, path, what=f"{name} row")
    return Trajectory(
        c2w=c2w,
        scale="metric",
        intrinsics=np.tile(INTRINSICS, (len(c2w), 1)),
        size=SIZE,
        timestamps_s=np.arange(len(c2w)) * EVERY / FPS,
        notes={"every": EVERY},
    )


def _legacy(value: dict[str, str], path: str | Path) -> dict[str, np.ndarray]:
    """The authors' recipe for 149 rendered frames: the first is taken from the second, the last doubled, the halves
    of 75 padded by one copy at both ends."""
    if len(value) != _LEGACY_FRAMES:
        raise BadInput("bad_poses", f"{len(value)} matrices as text, {_LEGACY_FRAMES} expected", where=path)
    frames = [row_vector_text(value[name], path, name) for name in sorted(value, key=frame_number)]
    frames = [frames[1], *frames[1:], frames[-1]]
    half = len(frames) // 2
    padded = [[part[0], *part, part[-1]] for part in (frames[:half], frames[half:])]
    return {"cond_cam": np.array(padded[0]), "tgt_cam": np.array(padded[1])}
