"""COLMAP text models: `cameras.txt` and `images.txt`; world-to-camera, OpenCV axes, pixel centres at +0.5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.cameras import invert_poses, quaternion_from_rotation, rotation_from_quaternion
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import Trajectory, exact, numbers, read_text, require_all_posed

MODELS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
}
"""Parameters of the models read here, in COLMAP's order. Fisheye lenses are none of them: no pinhole comes close."""

_FOCAL = ("f", "fx", "fy", "cx", "cy")


def read_colmap(folder: str | Path) -> Trajectory:
    """Read a text model; images in the order of their names, scale relative.

    Args:
        folder: with `cameras.txt` and `images.txt`.

    Returns:
        Intrinsics in pixels of `size`, which all images must share; distortion of the first camera that has any in
        `notes["distortion"]`, and its model in `notes["model"]`.

    Raises:
        BadInput: `bad_poses` naming file and line, `no_poses`, or a file that cannot be read.
    """
    folder = Path(folder)
    cameras = _read_cameras(folder / "cameras.txt")
    path = folder / "images.txt"
    images = []
    for line_number, line in _image_lines(path):
        fields = line.split(maxsplit=9)
        if len(fields) != 10:
            message = (
                f"line {line_number} has {len(fields)} columns, 10 expected (id, qw qx qy qz, tx ty tz, camera, name)"
            )
            raise BadInput("bad_poses", message, where=path)
        row = numbers(fields[1:8], path, line_number, "qw qx qy qz tx ty tz")
        if fields[8] not in cameras:
            raise BadInput("bad_poses", f"line {line_number} names camera {fields[8]}, not in cameras.txt", where=path)
        if not np.linalg.norm(row[:4]) > 1e-6:
            raise BadInput("bad_poses", f"line {line_number} has a quaternion of length zero", where=path)
        images.append((fields[9], row, cameras[fields[8]]))
    if not images:
        raise BadInput("no_poses", "no image in the model", where=path)
    images.sort(key=lambda image: image[0])
    table = np.array([row for _, row, _ in images])
    w2c = np.tile(np.eye(4), (len(table), 1, 1))
    w2c[:, :3, :3] = rotation_from_quaternion(table[:, [1, 2, 3, 0]])
    w2c[:, :3, 3] = table[:, 4:]
    sizes = {camera["size"] for _, _, camera in images}
    if len(sizes) > 1:
        raise BadInput("bad_poses", f"images of different sizes {sorted(sizes)} are no video", where=path)
    distorted = [camera for _, _, camera in images if camera["distortion"]]
    notes: dict[str, Any] = {"model": images[0][2]["model"]}
    if distorted:
        notes["distortion"] = {"model": distorted[0]["model"], **distorted[0]["distortion"]}
    return Trajectory(
        c2w=invert_poses(w2c),
        scale="relative",
        intrinsics=np.array([camera["intrinsics"] for _, _, camera in images]),
        size=sizes.pop(),
        names=[name for name, _, _ in images],
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


def _read_cameras(path: Path) -> dict[str, dict[str, Any]]:
    cameras = {}
    for i, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        model = fields[1] if len(fields) > 1 else ""
        if model not in MODELS:
            message = f"line {i} has camera model '{model}', one of {', '.join(MODELS)} expected"
            raise BadInput("bad_poses", message, where=path, remedy="Undistort the images with COLMAP first.")
        names = MODELS[model]
        values = numbers(fields[2:], path, i, f"width height {' '.join(names)}", 2 + len(names))
        named = dict(zip(names, values[2:], strict=True))
        focal = named.get("f", 0.0)
        cameras[fields[0]] = {
            "model": model,
            "size": (int(values[0]), int(values[1])),
            "intrinsics": [named.get("fx", focal), named.get("fy", focal), named["cx"], named["cy"]],
            "distortion": {name: value for name, value in named.items() if name not in _FOCAL and value},
        }
    if not cameras:
        raise BadInput("no_poses", "no camera in the model", where=path)
    return cameras


def _image_lines(path: Path) -> list[tuple[int, str]]:
    """Every other line: the line of points that follows each image may be empty, but it is there."""
    lines = [(i, line) for i, line in enumerate(read_text(path).splitlines(), start=1) if not line.startswith("#")]
    while lines and not lines[0][1].strip():
        lines.pop(0)
    return [(i, line) for i, line in lines[::2] if line.strip()]
