"""EgoDex as released: one HDF5 file per episode, read without trusting it.

HDF5 follows external links and reads external files as if they were its own, loads filter plugins, and believes the
shapes it is told. So only the names of the schema are looked up, every link on the way must be a hard one, every
dataset plain, of its schema's shape and of moderate size, before a number is read. Call it in a `sandbox.Child` for
files of others. Needs h5py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.cameras import invert_poses
from worldloom.catalogs.clip import Hands
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.formats.egodex import egodex_trajectory
from worldloom.catalogs.formats.trajectory import LARGEST, Trajectory

MAX_FRAMES = 200_000
"""Two hours at 30 fps; the longest episode is far shorter (ours)."""

MAX_CHUNK_BYTES = 64 << 20
MAX_FILE_BYTES = 4 << 30

_BUILT_IN_FILTERS = range(1, 7)
"""deflate, shuffle, fletcher32, szip, nbit, scaleoffset; any other number loads a plugin."""

_FINGERS = ("IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger")
_BONES = ("Metacarpal", "Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
_THUMB = ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
JOINTS = tuple(
    f"{side}{joint}"
    for side in ("left", "right")
    for joint in (
        "Hand",
        *(f"Thumb{bone}" for bone in _THUMB),
        *(f"{finger}{bone}" for finger in _FINGERS for bone in _BONES),
    )
)
"""The wrist and 24 joints of each hand."""

_UNREADABLE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)


def read_egodex_hdf5(path: str | Path) -> tuple[Trajectory, Hands]:
    """Camera and hands of an episode.

    Args:
        path: `<n>.hdf5`.

    Returns:
        The camera in metres, world y up; joints in camera space, NaN and confidence 0 where the file has none.

    Raises:
        BadInput: `bad_poses` or `no_poses`, naming the dataset; `too_large`.
        UsageError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise UsageError("reading EgoDex's HDF5 files needs h5py: pip install 'worldloom[hdf5]'") from None
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput("too_large", f"larger than {MAX_FILE_BYTES >> 30} GiB, no episode", where=path)
        with h5py.File(path, "r") as file:
            c2w = _read(file, "transforms/camera", (None, 4, 4), path)
            if c2w is None:
                raise BadInput("no_poses", "there is no transforms/camera in it", where=path)
            trajectory = egodex_trajectory(c2w, path)
            return trajectory, _hands(file, trajectory, path)
    except _UNREADABLE as error:
        raise BadInput("bad_poses", f"not a readable HDF5 file ({error})", where=path) from None


def _hands(file: Any, camera: Trajectory, path: Path) -> Hands:
    frames = len(camera)
    joints = np.full((frames, len(JOINTS), 3), np.nan, np.float32)
    confidence = np.zeros((frames, len(JOINTS)), np.float32)
    w2c = invert_poses(camera.c2w)
    for number, name in enumerate(JOINTS):
        pose = _read(file, f"transforms/{name}", (frames, 4, 4), path)
        if pose is None:
            continue
        world = pose[:, :3, 3]
        joints[:, number] = np.einsum("tij,tj->ti", w2c[:, :3, :3], world) + w2c[:, :3, 3]
        stated = _read(file, f"confidences/{name}", (frames,), path)
        confidence[:, number] = 1.0 if stated is None else np.clip(stated, 0, 1)
    return Hands(list(JOINTS), joints, confidence)


def _read(file: Any, name: str, shape: tuple[int | None, ...], path: Path) -> np.ndarray | None:
    """A dataset of the schema as float64, or None where the file has none; checked before it is read."""
    import h5py

    node = file
    for part in name.split("/"):
        if not isinstance(node, h5py.Group):
            raise BadInput("bad_poses", f"{name} does not lie in a group", where=path)
        link = node.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise BadInput("bad_poses", f"{name} is a {type(link).__name__}, only plain data are read", where=path)
        node = node[part]
    if problem := _problem(node, shape):
        raise BadInput("bad_poses", f"{name} {problem}", where=path)
    values = np.asarray(node[()], np.float64)
    if not (np.abs(values) <= LARGEST).all():
        raise BadInput("bad_poses", f"{name} holds numbers that are not finite", where=path)
    return values


def _problem(dataset: Any, shape: tuple[int | None, ...]) -> str:
    """Why it is not read; empty where it may be."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        return "is no dataset"
    if dataset.external or dataset.is_virtual:
        return "keeps its data in other files"
    wanted = " x ".join("frames" if size is None else str(size) for size in shape)
    if len(dataset.shape or ()) != len(shape) or dataset.dtype.kind != "f" or dataset.dtype.itemsize > 8:
        return f"is {dataset.dtype} {dataset.shape}, {wanted} floats expected"
    if any(size not in (None, found) for size, found in zip(shape, dataset.shape, strict=True)):
        return f"is {dataset.shape}, {wanted} expected"
    if not 0 < dataset.shape[0] <= MAX_FRAMES:
        return f"claims {dataset.shape[0]} frames"
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK_BYTES:
        return "has chunks that unpack to too much"
    made = dataset.id.get_create_plist()
    if any(made.get_filter(number)[0] not in _BUILT_IN_FILTERS for number in range(made.get_nfilters())):
        return "needs a filter that HDF5 does not bring"
    return ""
