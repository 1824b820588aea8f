"""TUM RGB-D trajectories: `timestamp tx ty tz qx qy qz qw` per line, camera-to-world, metres, `#` comments."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldloom.catalogs.cameras import quaternion_from_rotation, rotation_from_quaternion
from worldloom.catalogs.clip import Scale
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import Trajectory, exact, numbers, read_text

COLUMNS = "timestamp tx ty tz qx qy qz qw"


def read_tum(path: str | Path, scale: Scale = "metric") -> Trajectory:
    """Read a trajectory of camera-to-world poses; quaternions have the scalar last and any length but zero.

    Args:
        path: of the text file.
        scale: `relative` for the output of a monocular system.

    Raises:
        BadInput: `bad_poses` naming the line, `no_poses`, or the file cannot be read.
    """
    rows = []
    for i, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.replace(",", " ").split("#", 1)[0].split()
        if not fields:
            continue
        row = numbers(fields, path, i, COLUMNS, 8)
        if not np.linalg.norm(row[4:]) > 1e-6:
            raise BadInput("bad_poses", f"line {i} has a quaternion of length zero", where=path)
        rows.append(row)
    if not rows:
        raise BadInput("no_poses", f"no line with {COLUMNS}", where=path)
    table = np.array(rows)
    c2w = np.tile(np.eye(4), (len(table), 1, 1))
    c2w[:, :3, :3] = rotation_from_quaternion(table[:, 4:])
    c2w[:, :3, 3] = table[:, 1:4]
    return Trajectory(c2w=c2w, scale=scale, timestamps_s=table[:, 0])


def write_tum(path: str | Path, trajectory: Trajectory) -> None:
    """Write all frames that have a pose; frame numbers stand in for timestamps that are not known."""
    quaternion_rows = np.flatnonzero(np.isfinite(trajectory.c2w).all(axis=(1, 2)))
    c2w = trajectory.c2w[quaternion_rows]
    times = trajectory.timestamps_s[quaternion_rows] if trajectory.timestamps_s is not None else quaternion_rows
    table = np.concatenate([c2w[:, :3, 3], quaternion_from_rotation(c2w[:, :3, :3])], axis=1)
    lines = [f"# {COLUMNS}"]
    lines += [" ".join([exact(time), *map(exact, row)]) for time, row in zip(times, table, strict=True)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
