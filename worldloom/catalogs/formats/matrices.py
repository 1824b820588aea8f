"""Plain matrices: 12 or 16 numbers per line (KITTI, HoloLens), one 4x4 file per frame (7-Scenes), or an .npy array."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Literal

import numpy as np

from worldloom.catalogs.cameras import invert_poses
from worldloom.catalogs.clip import Scale
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import (
    LARGEST,
    MAX_BYTES,
    Trajectory,
    exact,
    numbers,
    read_text,
    require_poses,
)

Direction = Literal["c2w", "w2c"]
_UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, TokenError, TypeError, OverflowError, MemoryError)
"""What NumPy raises on damaged headers: it parses them as Python and believes the shape."""

MEANING = "a 3x4 or 4x4 pose, row by row"


def read_matrices(path: str | Path, scale: Scale = "metric", direction: Direction = "c2w") -> Trajectory:
    """Read a path of matrices with OpenCV camera axes; a line of `nan` is a frame without a pose.

    Args:
        path: `.npy` with (T, 3, 4) or (T, 4, 4); a folder with one text file of 4x4 numbers per frame, in name order;
            or a text file with 12 or 16 numbers per line.
        scale: unit of translation, which no such file states.
        direction: of the matrices.

    Raises:
        BadInput: `bad_poses` naming file and line or row, `no_poses`, or a file that cannot be read.
    """
    path = Path(path)
    names = None
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.name.endswith(("pose.txt", ".pose")))
        names = [file.name for file in files]
        poses = [_read_one(file) for file in files]
    elif path.suffix == ".npy":
        poses = [_complete(pose) for pose in _read_npy(path)]
    else:
        poses = _read_lines(path)
    if not poses:
        raise BadInput("no_poses", f"nothing that holds {MEANING}", where=path)
    c2w = np.array(poses)
    require_poses(c2w, path)
    return Trajectory(c2w=invert_poses(c2w) if direction == "w2c" else c2w, scale=scale, names=names)


def write_matrices(path: str | Path, trajectory: Trajectory, columns: Literal[12, 16] = 16) -> None:
    """Write camera-to-world matrices, one per line, or as `.npy` (T, 4, 4) float64."""
    path = Path(path)
    if path.suffix == ".npy":
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(trajectory.c2w), allow_pickle=False)
        return
    rows = trajectory.c2w.reshape(-1, 16)[:, :columns]
    path.write_text("".join(" ".join(map(exact, row)) + "\n" for row in rows), encoding="utf-8")


def _read_lines(path: Path) -> list[np.ndarray]:
    poses = []
    for i, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split("#", 1)[0].replace(",", " ").split()
        if not fields:
            continue
        if len(fields) not in (12, 16):
            message = f"line {i} has {len(fields)} columns, 12 or 16 expected ({MEANING})"
            raise BadInput("bad_poses", message, where=path)
        if all(word.lower() == "nan" for word in fields):
            poses.append(np.full((4, 4), np.nan))
            continue
        poses.append(_complete(np.array(numbers(fields, path, i, MEANING)).reshape(-1, 4)))
    return poses


def _read_one(path: Path) -> np.ndarray:
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if len(lines) not in (3, 4):
        raise BadInput("bad_poses", f"{len(lines)} lines, a 4x4 matrix expected", where=path)
    return _complete(np.array([numbers(line, path, i, "a row of a pose", 4) for i, line in enumerate(lines, start=1)]))


def _read_npy(path: Path) -> np.ndarray:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput("too_large", f"larger than {MAX_BYTES >> 20} MiB, no camera file", where=path)
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise BadInput("no_file", "no such file", where=path) from None
    except _UNREADABLE as error:
        raise BadInput("bad_poses", f"not a plain .npy array ({error})", where=path) from None
    if array.ndim != 3 or array.shape[1:] not in ((3, 4), (4, 4)) or array.dtype.kind not in "fi":
        raise BadInput("bad_poses", f"array {array.dtype} {array.shape}, numbers (T, 4, 4) expected", where=path)
    array = array.astype(np.float64)
    if (np.abs(array) > LARGEST).any():
        raise BadInput("bad_poses", f"numbers beyond {LARGEST:g} are no poses", where=path)
    return array


def _complete(pose: np.ndarray) -> np.ndarray:
    return pose if len(pose) == 4 else np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])
