"""RealEstate10K: one text file per clip, 19 columns per frame, and the 12-number JSON that MotionCtrl made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldloom.catalogs.cameras import first_frame_identity, invert_poses, nearest_rotation
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import (
    Trajectory,
    array_of,
    numbers,
    read_json,
    read_text,
    require_all_posed,
    require_poses,
    write_json,
)

COLUMNS = "timestamp, 4 intrinsics, 2 zeros, 12 pose numbers"


def read_re10k(path: str | Path) -> Trajectory:
    """Read `<id>.txt`: a URL, then per frame a timestamp in microseconds, fx/W fy/H cx/W cy/H, 0 0, and [R | t].

    The pose is world-to-camera with OpenCV axes and a scale of its own per clip. The first line may be blank.

    Raises:
        BadInput: `bad_poses` naming the line, `no_poses`, or the file cannot be read.
    """
    lines = read_text(path).splitlines()
    rows = [numbers(line.split(), path, i, COLUMNS, 19) for i, line in enumerate(lines[1:], start=2) if line.strip()]
    if not rows:
        raise BadInput("no_poses", f"no line of 19 columns ({COLUMNS})", where=path)
    table = np.array(rows)
    w2c = np.tile(np.eye(4), (len(table), 1, 1))
    w2c[:, :3] = table[:, 7:].reshape(-1, 3, 4)
    require_poses(w2c, path, what="world-to-camera row")
    w2c[:, :3, :3] = nearest_rotation(w2c[:, :3, :3])
    if (table[:, 1:3] <= 0).any():
        row = int(np.flatnonzero((table[:, 1:3] <= 0).any(axis=1))[0])
        raise BadInput("bad_poses", f"frame {row} has a focal length that is not positive", where=path)
    return Trajectory(
        c2w=invert_poses(w2c),
        scale="relative",
        intrinsics=table[:, 1:5],
        intrinsics_normalised=True,
        timestamps_s=table[:, 0] / 1e6,
        url=lines[0].strip(),
    )


def write_re10k(path: str | Path, trajectory: Trajectory, width: int = 1, height: int = 1) -> None:
    """Write a path as RealEstate10K does, with nine decimals.

    Args:
        path: of the text file.
        trajectory: with intrinsics; poses at every frame.
        width: of the picture that pixel intrinsics belong to; not used for normalised ones.
        height: of it.

    Raises:
        BadInput: `no_intrinsics` or `missing_poses`.
    """
    k = trajectory.intrinsics
    if k is None:
        raise BadInput("no_intrinsics", "RealEstate10K rows need intrinsics", where=path)
    require_all_posed(trajectory, path)
    if not trajectory.intrinsics_normalised:
        width, height = trajectory.size or (width, height)
        k = k / np.array([width, height, width, height])
    times = trajectory.timestamps_s if trajectory.timestamps_s is not None else np.arange(len(k), dtype=float)
    rows = invert_poses(trajectory.c2w)[:, :3].reshape(-1, 12)
    lines = [trajectory.url]
    for time, intrinsics, row in zip(times, k, rows, strict=True):
        values = [*intrinsics, 0.0, 0.0, *row]
        lines.append(" ".join([str(round(time * 1e6)), *(f"{value:.9f}" for value in values)]))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_motionctrl(path: str | Path) -> Trajectory:
    """Read MotionCtrl's JSON: per frame 12 numbers, [R | t] row by row, world-to-camera, the first the identity.

    The direction is measured, no document states it: in the ten files at hand cameras walk forward only this way.

    Raises:
        BadInput: `bad_poses` or `bad_json`.
    """
    value = read_json(path)
    if not isinstance(value, list) or not value:
        raise BadInput("no_poses", "a list of rows of 12 numbers expected", where=path)
    w2c = np.tile(np.eye(4), (len(value), 1, 1))
    for i, row in enumerate(value):
        w2c[i, :3] = array_of(row, (12,), path, f"row {i}").reshape(3, 4)
    require_poses(w2c, path, what="world-to-camera row")
    return Trajectory(c2w=invert_poses(w2c), scale="relative")


def write_motionctrl(path: str | Path, trajectory: Trajectory) -> None:
    """Write a path as MotionCtrl does, relative to its first frame."""
    require_all_posed(trajectory, path)
    w2c = invert_poses(first_frame_identity(trajectory.c2w))
    write_json(path, w2c[:, :3].reshape(-1, 12).tolist())
