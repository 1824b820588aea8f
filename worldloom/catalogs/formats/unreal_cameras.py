"""Cameras of an Unreal shot, a row per frame: CSV, JSON, or the texts that Movie Render Queue puts into EXR headers.

Movie Render Queue writes no camera file of its own, so the table is ours: a number, a location in centimetres and an
FRotator in degrees, or a matrix; and a lens, as horizontal field of view or as focal length and filmback.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from worldloom.catalogs.cameras import nearest_rotation
from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import (
    LARGEST,
    Trajectory,
    array_of,
    exact,
    read_json,
    read_text,
    require_all_posed,
    require_poses,
)
from worldloom.catalogs.formats.unreal import (
    UP,
    opencv_to_unreal,
    pose_from_rotator,
    rotator_of_pose,
    row_vector_text,
    unreal_to_opencv,
)

MAX_ROWS = 1_000_000
"""Nine hours at 30 frames/s (ours)."""

_ASPECT_TOLERANCE = 0.01


class CameraColumns(Strict):
    """What the columns (CSV) or keys (JSON) are called; capital letters make no difference.

    Attributes:
        frame: number of the frame, as in the picture's name.
        x: of the location, centimetres.
        y: of the location.
        z: of the location.
        pitch: of the rotator, degrees.
        yaw: of the rotator.
        roll: of the rotator.
        matrix: camera-to-world, instead of location and rotator: 4 x 4 numbers (JSON), or Unreal's text of four rows.
        fov: horizontal field of view, degrees.
        focal_length: millimetres.
        sensor_width: of the filmback, millimetres.
        sensor_height: of the filmback, millimetres.
    """

    frame: str = "frame"
    x: str = "x"
    y: str = "y"
    z: str = "z"
    pitch: str = "pitch"
    yaw: str = "yaw"
    roll: str = "roll"
    matrix: str = "matrix"
    fov: str = "fov"
    focal_length: str = "focal_length"
    sensor_width: str = "sensor_width"
    sensor_height: str = "sensor_height"


class Lens(Strict):
    """What is the same in all frames and stands in no row.

    Attributes:
        fov_deg: horizontal field of view.
        focal_length_mm: instead of it, with `sensor_width_mm`.
        sensor_width_mm: of the filmback.
        sensor_height_mm: of the filmback; only needed where its shape is not that of the picture.
        hold: which field of view the picture keeps where filmback and picture differ in shape: `horizontal` (the
            picture shows the whole width of the filmback) or `vertical`.
    """

    fov_deg: float | None = Field(default=None, gt=0, lt=180)
    focal_length_mm: float | None = Field(default=None, gt=0)
    sensor_width_mm: float | None = Field(default=None, gt=0)
    sensor_height_mm: float | None = Field(default=None, gt=0)
    hold: Literal["horizontal", "vertical"] | None = None


@dataclass(frozen=True, eq=False)
class CameraTable:
    """Frame numbers (T,), ascending, and the path."""

    numbers: np.ndarray
    trajectory: Trajectory


def read_unreal_cameras(
    path: str | Path, width: int, height: int, columns: CameraColumns | None = None, lens: Lens | None = None
) -> CameraTable:
    """Read a camera table.

    Args:
        path: CSV (first line the names of the columns), or JSON: a list of rows, a mapping from frame to row, or
            either of them under `frames` beside values that hold for all rows.
        width: of the pictures.
        height: of the pictures.
        columns: what they are called.
        lens: what stands in no row.

    Raises:
        BadInput: `bad_poses` naming line or frame, `doubled_frames`, `no_intrinsics`, `filmback`.
    """
    path = Path(path)
    columns, lens = columns or CameraColumns(), lens or Lens()
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path, columns)
    return _table(rows, path, width, height, columns, lens)


def cameras_of_texts(
    texts: Sequence[tuple[Path, int, Mapping[str, str]]], width: int, height: int, lens: Lens | None = None
) -> CameraTable:
    """Cameras from the headers of EXR pictures.

    Args:
        texts: per picture its file, its number, and the text attributes of its header: `unreal/camera/curPos/x`,
            `unreal/camera/curRot/pitch`, and with a layer's name in it `.../fov`, `.../focalLength`,
            `.../sensorWidth`, `.../sensorHeight`.
        width: of the pictures.
        height: of the pictures.
        lens: where the headers say nothing.

    Raises:
        BadInput: as `read_unreal_cameras`; `no_poses`, a header without a location, naming the file.
    """
    rows = []
    for path, number, text in texts:
        row: dict[str, Any] = {"frame": number}
        for name, value in text.items():
            words = name.split("/")
            if words[0] != "unreal" or "ActorHitProxyMask" in words[1:2] + words[2:3]:
                continue
            key = _HEADER_KEYS.get("/".join(words[-2:])) or _HEADER_KEYS.get(words[-1])
            if key is not None:
                row.setdefault(key, value)
        if "x" not in row:
            remedy = "Switch on its metadata, or give a camera file."
            raise BadInput("no_poses", "its header has no unreal/camera/curPos", where=path, remedy=remedy)
        rows.append((path.name, row))
    where = texts[0][0].parent if texts else Path()
    return _table(rows, where, width, height, CameraColumns(), lens or Lens())


_HEADER_KEYS = {
    **{f"curPos/{axis}": axis for axis in "xyz"},
    **{f"curRot/{angle}": angle for angle in ("pitch", "yaw", "roll")},
    "fov": "fov",
    "focalLength": "focal_length",
    "sensorWidth": "sensor_width",
    "sensorHeight": "sensor_height",
}


def write_unreal_cameras(
    path: str | Path, numbers: Sequence[int], trajectory: Trajectory, form: Literal["rotator", "matrix"] = "rotator"
) -> None:
    """Write a table that `read_unreal_cameras` reads, CSV or JSON by the ending, with `fov` where fx is known.

    Raises:
        BadInput: `missing_poses`.
    """
    path = Path(path)
    require_all_posed(trajectory, path)
    rows: list[dict[str, Any]] = []
    location, angles = rotator_of_pose(trajectory.c2w)
    for i, number in enumerate(numbers):
        row: dict[str, Any] = {"frame": int(number)}
        if form == "matrix":
            row["matrix"] = opencv_to_unreal(trajectory.c2w[i]).tolist()
        else:
            row |= dict(zip("xyz", map(float, location[i]), strict=True))
            row |= dict(zip(("pitch", "yaw", "roll"), map(float, angles[i]), strict=True))
        if trajectory.intrinsics is not None and trajectory.size is not None:
            row["fov"] = math.degrees(2 * math.atan(trajectory.size[0] / 2 / float(trajectory.intrinsics[i, 0])))
        rows.append(row)
    if path.suffix.lower() != ".csv":
        path.write_text(json.dumps({"frames": rows}, indent=1) + "\n", encoding="utf-8")
        return
    names = list(rows[0]) if rows else ["frame"]
    lines = [",".join(names)]
    for row in rows:
        if "matrix" in row:
            row["matrix"] = " ".join("[" + " ".join(map(exact, line)) + "]" for line in np.array(row["matrix"]).T)
        lines.append(",".join(value if isinstance(value, str) else f"{value!r}" for value in row.values()))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


LAST_FRAME = 1_000_000_000
"""Beyond any shot, and within what a column of numbers holds (ours)."""

Rows = list[tuple[str, dict[str, Any]]]
"""Where a row stands, for messages, and its values under small names."""


def _csv_rows(path: Path) -> Rows:
    lines = csv.reader(io.StringIO(read_text(path)))
    rows: Rows = []
    names: list[str] = []
    try:
        for line in lines:
            if not any(word.strip() for word in line):
                continue
            if not names:
                names = [word.strip().lower() for word in line]
                continue
            if len(line) != len(names):
                what = (
                    f"line {lines.line_num} has {len(line)} columns, {len(names)} expected ({', '.join(names)[:200]})"
                )
                raise BadInput("bad_poses", what, where=path)
            rows.append((f"line {lines.line_num}", dict(zip(names, (word.strip() for word in line), strict=True))))
            _check_count(rows, path)
    except csv.Error as error:
        raise BadInput("bad_poses", f"line {lines.line_num} is no CSV ({error})", where=path) from None
    return rows


def _json_rows(path: Path, columns: CameraColumns) -> Rows:
    value = read_json(path)
    shared: dict[str, Any] = {}
    if isinstance(value, dict) and "frames" in value:
        shared = {str(name).lower(): one for name, one in value.items() if name != "frames"}
        value = value["frames"]
    if isinstance(value, dict):
        value = [
            {columns.frame: number, **row} if isinstance(row, dict) else {columns.frame: number, columns.matrix: row}
            for number, row in value.items()
        ]
    if not isinstance(value, list):
        raise BadInput("bad_poses", "a list of rows, or a mapping from frame to row, expected", where=path)
    rows: Rows = []
    for i, row in enumerate(value):
        if not isinstance(row, dict):
            raise BadInput("bad_poses", f"entry {i} is no mapping of keys to values", where=path)
        rows.append((f"entry {i}", {**shared, **{str(name).lower(): one for name, one in row.items()}}))
        _check_count(rows, path)
    return rows


def _check_count(rows: Rows, path: Path) -> None:
    if len(rows) > MAX_ROWS:
        raise BadInput("too_large", f"more than {MAX_ROWS} rows", where=path)


def _table(rows: Rows, path: Path, width: int, height: int, columns: CameraColumns, lens: Lens) -> CameraTable:
    if not rows:
        raise BadInput("no_poses", "it has no rows", where=path)
    numbers = _numbers(rows, columns, path)
    order = np.argsort(numbers, kind="stable")
    rows = [rows[i] for i in order]
    by_matrix = columns.matrix.lower() in rows[0][1]
    c2w = _from_matrices(rows, columns, path) if by_matrix else _from_rotators(rows, columns, path)
    require_poses(c2w, path)
    c2w[:, :3, :3] = nearest_rotation(c2w[:, :3, :3])
    fx = _focal_px(rows, columns, lens, path, width, height)
    intrinsics = np.stack([fx, fx, np.full(len(fx), width / 2), np.full(len(fx), height / 2)], axis=-1)
    trajectory = Trajectory(c2w=c2w, scale="metric", intrinsics=intrinsics, size=(width, height), up=UP.copy())
    return CameraTable(numbers[order], trajectory)


def _numbers(rows: Rows, columns: CameraColumns, path: Path) -> np.ndarray:
    found: dict[int, str] = {}
    for where, row in rows:
        value = _number(row, columns.frame, where, path)
        if value != int(value) or abs(value) > LAST_FRAME:
            message = f"{where}: frame {value:g} is no whole number of at most {LAST_FRAME:,} on either side of 0"
            raise BadInput("bad_poses", message, where=path)
        if (number := int(value)) in found:
            what = f"frame {number} has two rows, {found[number]} and {where}"
            raise BadInput("doubled_frames", what, where=path, remedy="Keep one of them.")
        found[number] = where
    return np.array(list(found), np.int64)


def _from_rotators(rows: Rows, columns: CameraColumns, path: Path) -> np.ndarray:
    names = (columns.x, columns.y, columns.z, columns.pitch, columns.yaw, columns.roll)
    values = np.array([[_number(row, name, where, path) for name in names] for where, row in rows])
    return pose_from_rotator(values[:, :3], values[:, 3], values[:, 4], values[:, 5])


def _from_matrices(rows: Rows, columns: CameraColumns, path: Path) -> np.ndarray:
    """Text is Unreal's, four row vectors; of numbers, the side where 0 0 0 1 stands tells rows from columns."""
    matrices = []
    by_rows = False
    for where, row in rows:
        value = row.get(columns.matrix.lower())
        if isinstance(value, str):
            matrices.append(row_vector_text(value, path, f"{where}: {columns.matrix}"))
            continue
        matrix = array_of(value, (4, 4), path, f"{where}: {columns.matrix}")
        by_rows = by_rows or bool(np.abs(matrix[3, :3]).max() > 1e-9 >= np.abs(matrix[:3, 3]).max())
        matrices.append(matrix)
    found = np.array(matrices)
    return unreal_to_opencv(found.transpose(0, 2, 1) if by_rows else found)


def _focal_px(rows: Rows, columns: CameraColumns, lens: Lens, path: Path, width: int, height: int) -> np.ndarray:
    """(T,) focal length in pixels: W / 2 / tan(fov / 2), or W x focal length / width of the filmback."""
    focal = []
    for where, row in rows:

        def value(name: str, fixed: float | None, row: dict[str, Any] = row, where: str = where) -> float | None:
            if row.get(name.lower()) in (None, ""):
                return fixed
            number = _number(row, name, where, path)
            if not number > 0:
                raise BadInput("bad_poses", f"{where}: {name} is {number:g}, more than 0 expected", where=path)
            return number

        fov, length = value(columns.fov, lens.fov_deg), value(columns.focal_length, lens.focal_length_mm)
        wide, high = (
            value(columns.sensor_width, lens.sensor_width_mm),
            value(columns.sensor_height, lens.sensor_height_mm),
        )
        if length is not None and wide is not None:
            focal.append(_of_filmback(length, wide, high, lens, width, height, where, path))
        elif fov is not None and fov < 180:
            focal.append(width / 2 / math.tan(math.radians(fov) / 2))
        else:
            what = f"{where} says neither {columns.fov} nor {columns.focal_length} with {columns.sensor_width}"
            raise BadInput("no_intrinsics", what, where=path, remedy="Give lens.fov_deg in the source.")
    return np.array(focal)


def _of_filmback(
    length: float, wide: float, high: float | None, lens: Lens, width: int, height: int, where: str, path: Path
) -> float:
    if lens.hold == "vertical":
        if high is None:
            remedy = "Give lens.sensor_height_mm."
            raise BadInput("filmback", f"{where}: hold is vertical, and no height is known", where=path, remedy=remedy)
        return height * length / high
    if lens.hold is None and high is not None and abs((wide / high) / (width / height) - 1) > _ASPECT_TOLERANCE:
        what = f"{where}: the filmback is {wide:g} x {high:g} mm and the picture {width} x {height}, of another shape"
        remedy = "Say which field of view the picture keeps: lens.hold: horizontal or vertical."
        raise BadInput("filmback", what, where=path, remedy=remedy)
    return width * length / wide


def _number(row: Mapping[str, Any], name: str, where: str, path: Path) -> float:
    if (value := row.get(name.lower())) is None:
        known = ", ".join(sorted(row)[:12])
        remedy = "Name it under `columns` in the source."
        raise BadInput("bad_poses", f"{where} has no {name} (it has {known})", where=path, remedy=remedy)
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= LARGEST:
        raise BadInput("bad_poses", f"{where}: {name} is '{str(value)[:40]}', a finite number expected", where=path)
    return number
