"""EgoDex and ARKit: metres, world y up. EgoDex's camera has OpenCV axes, ARKit's looks along -z with y up.

Read here are tables of an episode (camera as position and roll, pitch, yaw; joints as positions), as they circulate
beside the video. The turning order is measured: only R = Rz(yaw) Ry(pitch) Rx(roll) puts the joints on the hands.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from worldloom.catalogs.cameras import invert_poses
from worldloom.catalogs.clip import Hands
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import (
    GL_TO_CV,
    Trajectory,
    exact,
    numbers,
    read_text,
    require_all_posed,
    require_poses,
)

SIZE = (1920, 1080)
INTRINSICS = (736.6339, 736.6339, 960.0, 540.0)
"""Pixels of 1920x1080; the same in every episode."""

FPS = 30
UP = np.array([0.0, 1.0, 0.0])
"""Against gravity in ARKit's world."""

CAMERA_COLUMNS = ("frame", "pos_x", "pos_y", "pos_z", "roll", "pitch", "yaw")


def arkit_to_opencv(c2w: np.ndarray) -> np.ndarray:
    """ARKit camera-to-world (..., 4, 4) with our camera axes; the world stays ARKit's, y up, metres. Undoes itself."""
    return np.asarray(c2w, np.float64) @ GL_TO_CV


def read_egodex_csv(path: str | Path) -> Trajectory:
    """Read `<n>_camera_trajectory.csv`: frame, position in metres, roll, pitch, yaw in degrees.

    Raises:
        BadInput: `bad_poses` naming the line, or a file that cannot be read.
    """
    from scipy.spatial.transform import Rotation

    header, table = _read_table(path)
    if tuple(header) != CAMERA_COLUMNS:
        message = f"columns {','.join(header)[:80]}; {','.join(CAMERA_COLUMNS)} expected"
        raise BadInput("bad_poses", message, where=path)
    c2w = np.tile(np.eye(4), (len(table), 1, 1))
    c2w[:, :3, 3] = table[:, 1:4]
    c2w[:, :3, :3] = Rotation.from_euler("xyz", table[:, 4:7], degrees=True).as_matrix()
    return egodex_trajectory(c2w, path)


def write_egodex_csv(path: str | Path, trajectory: Trajectory) -> None:
    """Write positions and angles as `read_egodex_csv` reads them; the world must have y up."""
    from scipy.spatial.transform import Rotation

    require_all_posed(trajectory, path)
    angles = Rotation.from_matrix(trajectory.c2w[:, :3, :3]).as_euler("xyz", degrees=True)
    rows = np.concatenate([trajectory.c2w[:, :3, 3], angles], axis=1)
    _write_table(path, CAMERA_COLUMNS, rows)


def egodex_trajectory(c2w: np.ndarray, where: str | Path, intrinsics: Sequence[float] | None = None) -> Trajectory:
    """EgoDex's `transforms/camera` (T, 4, 4), which is camera-to-world with OpenCV axes, as a trajectory.

    Args:
        c2w: as in the file.
        where: the file, for messages.
        intrinsics: fx fy cx cy in pixels of 1920x1080; where None, those of every released episode are taken, and
            `notes["intrinsics"]` is `default`.

    Raises:
        BadInput: `bad_poses`.
    """
    require_poses(c2w, where)
    return Trajectory(
        c2w=np.asarray(c2w, np.float64),
        scale="metric",
        intrinsics=np.tile(INTRINSICS if intrinsics is None else intrinsics, (len(c2w), 1)),
        size=SIZE,
        up=UP.copy(),
        timestamps_s=np.arange(len(c2w)) / FPS,
        notes={"intrinsics": "default"} if intrinsics is None else {},
    )


def which_caption(attributes: Mapping[str, str | float | bool]) -> tuple[str, str]:
    """The description of an episode by its attributes, and the name of the attribute; both empty where there is none.

    Tasks that can be undone have one file per direction, and `which_llm_description` says which of `llm_description`
    and `llm_description2` is about this one. A description 'None' counts as missing; then the other one is taken,
    and where neither is there, `description` and `description2`, which people wrote.
    """
    which = str(attributes.get("which_llm_description", "")).strip().lower()
    second = which.removesuffix(".0").removeprefix("llm_description") == "2"
    for stem in ("llm_description", "description"):
        for name in (f"{stem}2", stem) if second else (stem, f"{stem}2"):
            text = str(attributes.get(name, "")).strip()
            if text and text.lower() not in ("none", "nan", "null"):
                return text, name
    return "", ""


def read_egodex_hands_csv(path: str | Path, camera: Trajectory) -> Hands:
    """Read `<n>_hand_poses.csv`: per frame x, y, z of every joint in the world, and carry them to the camera.

    Args:
        path: of the table, columns frame, then `<joint>_x`, `<joint>_y`, `<joint>_z` per joint.
        camera: of the same episode.

    Returns:
        Joints in camera space, confidence 1: the table states none.

    Raises:
        BadInput: `bad_poses`, naming the line, or a number of frames that is not the camera's.
    """
    header, table = _read_table(path)
    names = [name.removesuffix("_x") for name in header[1::3]]
    if header[1:] != [f"{name}_{axis}" for name in names for axis in "xyz"]:
        raise BadInput("bad_poses", "columns are not <joint>_x, <joint>_y, <joint>_z per joint", where=path)
    if len(table) != len(camera):
        raise BadInput("bad_poses", f"{len(table)} frames, the camera has {len(camera)}", where=path)
    world = table[:, 1:].reshape(len(table), -1, 3)
    w2c = invert_poses(camera.c2w)
    local = world @ w2c[:, :3, :3].transpose(0, 2, 1) + w2c[:, None, :3, 3]
    return Hands(names, local.astype(np.float32), np.ones(local.shape[:2], np.float32))


def write_egodex_hands_csv(path: str | Path, hands: Hands, camera: Trajectory) -> None:
    """Write joints as `read_egodex_hands_csv` reads them."""
    c2w = camera.c2w
    world = hands.joints.astype(np.float64) @ c2w[:, :3, :3].transpose(0, 2, 1) + c2w[:, None, :3, 3]
    columns = ["frame", *(f"{name}_{axis}" for name in hands.names for axis in "xyz")]
    _write_table(path, columns, world.reshape(len(world), -1))


def _read_table(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Header and (T, columns) of a table whose first column counts frames from 0."""
    try:
        lines = list(csv.reader(io.StringIO(read_text(path))))
    except csv.Error as error:
        raise BadInput("bad_poses", f"not a table of comma-separated values ({error})", where=path) from None
    if len(lines) < 2:
        raise BadInput("no_poses", "a header and at least one line expected", where=path)
    header = [name.strip() for name in lines[0]]
    rows = [
        numbers(line, path, i, "one per column of the header", len(header))
        for i, line in enumerate(lines[1:], 2)
        if line
    ]
    table = np.array(rows)
    wrong = np.flatnonzero(table[:, 0] != np.arange(len(table)))
    if len(wrong):
        message = f"line {wrong[0] + 2} is frame {table[wrong[0], 0]:g}, frame {wrong[0]} expected"
        raise BadInput("bad_poses", message, where=path)
    return header, table


def _write_table(path: str | Path, columns: tuple[str, ...] | list[str], rows: np.ndarray) -> None:
    lines = [",".join(columns), *(",".join([str(i), *map(exact, row)]) for i, row in enumerate(rows))]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
