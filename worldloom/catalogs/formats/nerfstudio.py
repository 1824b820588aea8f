"""nerfstudio and instant-ngp: `transforms.json`, camera-to-world with OpenGL axes (x right, y up, z backward)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import (
    GL_TO_CV,
    Trajectory,
    array_of,
    read_json,
    require_all_posed,
    require_poses,
    write_json,
)

DISTORTION = ("k1", "k2", "p1", "p2", "k3", "k4")
"""nerfstudio's coefficients; one that is missing is 0. All but k4, of the eighth power of the radius, are OpenCV's."""

LENSES = ("OPENCV", "FULL_OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
"""Values of `camera_model` that a pinhole with OpenCV's distortion stands for."""

_SUFFIXES = ("", ".png", ".jpg", ".jpeg")
"""Original NeRF files leave the suffix out."""


def read_nerfstudio(path: str | Path, only_existing: bool = True) -> Trajectory:
    """Read `transforms.json`; frames in the order of their file names, scale relative.

    Args:
        path: of the JSON; image paths in it are relative to its folder.
        only_existing: leave out frames whose image is not there, and name them in `notes["missing"]`.

    Returns:
        Intrinsics in pixels of `size`; distortion, where there is any, in `distortion` and `notes["distortion"]`
        (nothing here undistorts: undistort at ingest or carry the model).

    Raises:
        BadInput: `bad_poses` naming the frame, `no_poses`, or a file that cannot be read.
    """
    path = Path(path)
    value = read_json(path)
    frames = value.get("frames") if isinstance(value, dict) else None
    if not isinstance(frames, list) or not all(
        isinstance(f, dict) and isinstance(f.get("file_path"), str) for f in frames
    ):
        raise BadInput("bad_poses", "a list 'frames' with a file_path each expected", where=path)
    frames = sorted(frames, key=lambda frame: frame["file_path"])
    missing = [frame["file_path"] for frame in frames if only_existing and not _exists(path, frame["file_path"])]
    kept = [frame for frame in frames if frame["file_path"] not in set(missing)]
    if not kept:
        raise BadInput("no_poses", f"none of the {len(frames)} images is there", where=path)
    names = [frame["file_path"] for frame in kept]
    gl = np.array([array_of(frame.get("transform_matrix"), (4, 4), path, frame["file_path"]) for frame in kept])
    c2w = gl @ GL_TO_CV
    require_poses(c2w, path)
    size = _size(value, path)
    lens = value.get("camera_model", "OPENCV")
    if lens not in LENSES:
        message = f"camera_model is {str(lens)[:40]!r}, one of {', '.join(LENSES)} expected"
        raise BadInput("bad_poses", message, where=path, remedy="Undistort the images first.")
    notes: dict[str, Any] = {"missing": missing} if missing else {}
    coefficients = array_of(
        [value.get(name, 0.0) for name in DISTORTION], (len(DISTORTION),), path, "k1 k2 p1 p2 k3 k4"
    )
    distortion = {name: float(x) for name, x in zip(DISTORTION, coefficients, strict=True) if x}
    if distortion:
        notes["distortion"] = {"model": lens, **distortion}
    if "k4" in distortion:
        message = "k4 is not 0, and nothing here undistorts by the eighth power of the radius"
        raise BadInput("bad_poses", message, where=path, remedy="Undistort the images first.")
    rows = np.tile([*coefficients[:5], 0.0, 0.0, 0.0], (len(kept), 1)) if distortion else None
    intrinsics = np.array([_intrinsics({**value, **frame}, size, path) for frame in kept])
    return Trajectory(
        c2w=c2w,
        scale="relative",
        intrinsics=intrinsics,
        size=size,
        names=names,
        distortion=rows,
        notes=notes,
    )


def write_nerfstudio(path: str | Path, trajectory: Trajectory) -> None:
    """Write `transforms.json`; intrinsics once where all frames share them, else per frame.

    Raises:
        BadInput: `no_intrinsics`, `missing_poses`, or pixel intrinsics without the size they belong to.
    """
    require_all_posed(trajectory, path)
    if trajectory.intrinsics is None or trajectory.size is None:
        raise BadInput("no_intrinsics", "transforms.json needs intrinsics and the size they belong to", where=path)
    width, height = trajectory.size
    k = trajectory.pixel_intrinsics(width, height)
    assert k is not None
    shared = bool((k == k[0]).all())
    value: dict[str, Any] = {"camera_model": "OPENCV", "w": width, "h": height}
    if shared:
        value |= _named(k[0])
    value |= {name: x for name, x in trajectory.notes.get("distortion", {}).items() if name in DISTORTION}
    names = trajectory.names or [f"images/{i:05d}.png" for i in range(len(trajectory))]
    value["frames"] = [
        {"file_path": name, **({} if shared else _named(row)), "transform_matrix": matrix.tolist()}
        for name, row, matrix in zip(names, k, trajectory.c2w @ GL_TO_CV, strict=True)
    ]
    write_json(path, value)


def _exists(path: Path, name: str) -> bool:
    return any((path.parent / (name + suffix)).is_file() for suffix in _SUFFIXES)


def _size(value: dict[str, Any], path: Path) -> tuple[int, int]:
    frame = value["frames"][0]
    size = array_of([value.get("w", frame.get("w")), value.get("h", frame.get("h"))], (2,), path, "w and h")
    if (size < 1).any():
        raise BadInput("bad_poses", "w and h, the size of the images, are not positive", where=path)
    return int(size[0]), int(size[1])


def _intrinsics(value: dict[str, Any], size: tuple[int, int], path: Path) -> np.ndarray:
    """Pixels, from `fl_x` or, where that is missing, from the angle of view."""
    width, height = size
    focal_x = value.get("fl_x")
    if focal_x is None and isinstance(value.get("camera_angle_x"), int | float):
        focal_x = width / 2 / np.tan(value["camera_angle_x"] / 2)
    if focal_x is None:
        raise BadInput("no_intrinsics", "neither fl_x nor camera_angle_x", where=path)
    row = [focal_x, value.get("fl_y", focal_x), value.get("cx", width / 2), value.get("cy", height / 2)]
    return array_of(row, (4,), path, "fl_x fl_y cx cy")


def _named(row: np.ndarray) -> dict[str, float]:
    return dict(zip(("fl_x", "fl_y", "cx", "cy"), row.tolist(), strict=True))
