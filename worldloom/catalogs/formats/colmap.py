"""COLMAP models, text and binary: world-to-camera, OpenCV axes, pixel centres at +0.5.

`cameras`, `images` and, for the depth of what is seen, `points3D`; each `.bin` or `.txt`. Text is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.cameras import invert_poses, quaternion_from_rotation, rotation_from_quaternion
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.colmap_binary import read_camera_rows, read_image_rows, read_point_rows
from worldloom.catalogs.formats.trajectory import (
    LARGEST,
    MAX_BYTES,
    Trajectory,
    exact,
    numbers,
    read_text,
    require_all_posed,
)

MODELS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
}
"""Parameters of the models read here, in COLMAP's order. Fisheye lenses are none of them: no pinhole comes close."""

COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
"""Of `Trajectory.distortion`; one that a model does not have is 0."""

MIN_POINTS = 5
"""Seen in a picture, before their median is its depth (default ours)."""

_FOCAL = ("f", "fx", "fy", "cx", "cy")
_UNDISTORT = "Undistort the images with COLMAP first: colmap image_undistorter."


@dataclass(frozen=True)
class _Lens:
    """One entry of `cameras`."""

    model: str
    size: tuple[int, int]
    intrinsics: tuple[float, ...]
    distortion: dict[str, float]


@dataclass(frozen=True)
class _View:
    """One entry of `images`: world to camera as qw qx qy qz tx ty tz, and the ids of the points it sees."""

    name: str
    pose: tuple[float, ...]
    lens: _Lens
    points: np.ndarray


def read_colmap(folder: str | Path, points: bool = True) -> Trajectory:
    """Read a model; images in the order of their names, scale relative.

    Args:
        folder: with `cameras` and `images`, both `.bin` (preferred) or both `.txt`.
        points: read `points3D` too, if it is there and no larger than 256 MiB, for `median_depth`.

    Returns:
        Intrinsics in pixels of `size`, which all images must share. Where images are distorted, `distortion` has a row
        for each, and `notes["distortion"]` model and parameters of the first that is; `notes["model"]` is the first
        camera's.

    Raises:
        BadInput: `bad_poses` naming file and line or entry, `no_poses`, or a file that cannot be read.
    """
    folder = Path(folder)
    binary = (folder / "images.bin").is_file()
    views = sorted(_binary_views(folder) if binary else _text_views(folder), key=lambda view: view.name)
    path = folder / ("images.bin" if binary else "images.txt")
    if not views:
        raise BadInput("no_poses", "no image in the model", where=path)
    for first, second in pairwise(views):
        if first.name == second.name:
            raise BadInput("bad_poses", f"image {first.name} comes twice", where=path)
    table = np.array([view.pose for view in views])
    w2c = np.tile(np.eye(4), (len(table), 1, 1))
    w2c[:, :3, :3] = rotation_from_quaternion(table[:, [1, 2, 3, 0]])
    w2c[:, :3, 3] = table[:, 4:]
    sizes = {view.lens.size for view in views}
    if len(sizes) > 1:
        raise BadInput("bad_poses", f"images of different sizes {sorted(sizes)} are no video", where=path)
    distorted = [view.lens for view in views if view.lens.distortion]
    notes: dict[str, Any] = {"model": views[0].lens.model}
    if distorted:
        notes["distortion"] = {"model": distorted[0].model, **distorted[0].distortion}
    rows = [[view.lens.distortion.get(name, 0.0) for name in COEFFICIENTS] for view in views] if distorted else None
    return Trajectory(
        c2w=invert_poses(w2c),
        scale="relative",
        intrinsics=np.array([view.lens.intrinsics for view in views]),
        size=sizes.pop(),
        names=[view.name for view in views],
        distortion=None if rows is None else np.array(rows),
        median_depth=_median_depth(folder, binary, views, w2c) if points else None,
        notes=notes,
    )


def write_colmap(folder: str | Path, trajectory: Trajectory) -> None:
    """Write a text model without points; one PINHOLE camera per distinct row of intrinsics (OPENCV where distorted).

    Raises:
        BadInput: `no_intrinsics` or `missing_poses`.
    """
    folder = Path(folder)
    require_all_posed(trajectory, folder)
    if trajectory.intrinsics is None or trajectory.size is None:
        raise BadInput("no_intrinsics", "a COLMAP model needs intrinsics and the size they belong to", where=folder)
    folder.mkdir(parents=True, exist_ok=True)
    width, height = trajectory.size
    k = trajectory.pixel_intrinsics(width, height)
    assert k is not None
    distinct, camera_of = np.unique(k, axis=0, return_inverse=True)
    distortion = trajectory.notes.get("distortion", {})
    extra = [distortion.get(name, 0.0) for name in MODELS["OPENCV"][4:]] if distortion else []
    model = "OPENCV" if extra else "PINHOLE"
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for i, row in enumerate(distinct, start=1):
        lines.append(" ".join([f"{i} {model} {width} {height}", *map(exact, [*row, *extra])]))
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    w2c = invert_poses(trajectory.c2w)
    xyzw = quaternion_from_rotation(w2c[:, :3, :3])
    names = trajectory.names or [f"{i:05d}.png" for i in range(len(trajectory))]
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for i, (name, q, pose, camera) in enumerate(zip(names, xyzw, w2c, camera_of.ravel(), strict=True), start=1):
        values = " ".join(map(exact, [q[3], q[0], q[1], q[2], *pose[:3, 3]]))
        lines += [f"{i} {values} {camera + 1} {name}", ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "points3D.txt").write_text("# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n", encoding="utf-8")


def _text_views(folder: Path) -> list[_View]:
    lenses = _text_lenses(folder / "cameras.txt")
    path = folder / "images.txt"
    views = []
    for line_number, line, seen in _image_lines(path):
        fields = line.split(maxsplit=9)
        if len(fields) != 10:
            message = (
                f"line {line_number} has {len(fields)} columns, 10 expected (id, qw qx qy qz, tx ty tz, camera, name)"
            )
            raise BadInput("bad_poses", message, where=path)
        row = numbers(fields[1:8], path, line_number, "qw qx qy qz tx ty tz")
        if fields[8] not in lenses:
            raise BadInput("bad_poses", f"line {line_number} names camera {fields[8]}, not in cameras.txt", where=path)
        views.append(_view(fields[9], row, lenses[fields[8]], _ids(seen), f"line {line_number}", path))
    return views


def _text_lenses(path: Path) -> dict[str, _Lens]:
    lenses = {}
    for i, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        model = fields[1] if len(fields) > 1 else ""
        names = _parameters(model, f"line {i}", path)
        values = numbers(fields[2:], path, i, f"width height {' '.join(names)}", 2 + len(names))
        lenses[fields[0]] = _lens(model, values, f"line {i}", path)
    if not lenses:
        raise BadInput("no_poses", "no camera in the model", where=path)
    return lenses


def _binary_views(folder: Path) -> list[_View]:
    lenses = {}
    for number, model, values in read_camera_rows(folder / "cameras.bin"):
        names = _parameters(model, f"camera {number}", folder / "cameras.bin")
        assert len(values) == 2 + len(names)
        lenses[number] = _lens(model, values, f"camera {number}", folder / "cameras.bin")
    path = folder / "images.bin"
    views = []
    for number, row, camera, name, seen in read_image_rows(path):
        if camera not in lenses:
            raise BadInput("bad_poses", f"image {number} names camera {camera}, not in cameras.bin", where=path)
        views.append(_view(name, row, lenses[camera], seen, f"image {number}", path))
    return views


def _parameters(model: str, entry: str, path: Path) -> tuple[str, ...]:
    if model not in MODELS:
        message = f"{entry} has camera model '{model}', one of {', '.join(MODELS)} expected"
        raise BadInput("bad_poses", message, where=path, remedy=_UNDISTORT)
    return MODELS[model]


def _lens(model: str, values: list[float], entry: str, path: Path) -> _Lens:
    names = MODELS[model]
    named = dict(zip(names, values[2:], strict=True))
    focal = named.get("f", 0.0)
    k = named.get("fx", focal), named.get("fy", focal), named["cx"], named["cy"]
    if not (min(values[:2]) >= 1 and min(k[:2]) > 0 and all(abs(value) <= LARGEST for value in values)):
        raise BadInput("bad_poses", f"{entry} is no camera: {' '.join(f'{value:g}' for value in values)}", where=path)
    distortion = {name: value for name, value in named.items() if name not in _FOCAL and value}
    return _Lens(model, (int(values[0]), int(values[1])), k, distortion)


def _view(name: str, row: list[float], lens: _Lens, points: np.ndarray, entry: str, path: Path) -> _View:
    if not np.linalg.norm(row[:4]) > 1e-6:
        raise BadInput("bad_poses", f"{entry} has a quaternion of length zero", where=path)
    if not all(abs(value) <= LARGEST for value in row):
        raise BadInput("bad_poses", f"{entry} holds numbers that are not finite", where=path)
    return _View(name, tuple(row), lens, points)


def _image_lines(path: Path) -> list[tuple[int, str, str]]:
    """Every other line with the line of points that follows it; that one may be empty, but it is there."""
    lines = [(i, line) for i, line in enumerate(read_text(path).splitlines(), start=1) if not line.startswith("#")]
    while lines and not lines[0][1].strip():
        lines.pop(0)
    seen = [line for _, line in lines[1::2]] + [""]
    return [(i, line, points) for (i, line), points in zip(lines[::2], seen, strict=False) if line.strip()]


def _ids(line: str) -> np.ndarray:
    """Points seen, of a line of x, y, id; those that were not made into points have id -1."""
    try:
        return np.array(line.split()[2::3], np.int64)
    except (ValueError, OverflowError):
        return np.empty(0, np.int64)


def _median_depth(folder: Path, binary: bool, views: list[_View], w2c: np.ndarray) -> np.ndarray | None:
    """(T,) median z of the points that each image sees; None where the model comes without points."""
    path = folder / ("points3D.bin" if binary else "points3D.txt")
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    ids, xyz = read_point_rows(path) if binary else _text_points(path)
    if not len(ids):
        return None
    order = np.argsort(ids)
    ids, xyz = ids[order], xyz[order]
    depth = np.full(len(views), np.nan)
    for i, view in enumerate(views):
        place = np.minimum(np.searchsorted(ids, view.points), len(ids) - 1)
        z = xyz[place[ids[place] == view.points]] @ w2c[i, 2, :3] + w2c[i, 2, 3]
        z = z[z > 0]
        if len(z) >= MIN_POINTS:
            depth[i] = np.median(z)
    return depth


def _text_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    ids, xyz = [], []
    for i, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split(maxsplit=4)
        if not fields or fields[0].startswith("#"):
            continue
        row = numbers(fields[:4], path, i, "id x y z", 4)
        ids.append(row[0])
        xyz.append(row[1:])
    return np.array(ids, np.float64).astype(np.int64), np.array(xyz).reshape(-1, 3)
