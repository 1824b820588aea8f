"""EgoDex as released: one HDF5 file per episode, read without trusting it.

HDF5 follows external links and reads external files as if they were its own, loads filter plugins, and believes the
shapes it is told. So only the names of the schema are looked up, every link on the way must be a hard one, every
dataset plain, of its schema's shape and of moderate size, before a number is read. Call it in a `sandbox.Child` for
files of others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.cameras import invert_poses
from worldloom.catalogs.clip import Hands
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.egodex import egodex_trajectory, which_caption
from worldloom.catalogs.formats.trajectory import LARGEST, Trajectory

MAX_FRAMES = 200_000
"""Two hours at 30 fps; the longest episode is far shorter (ours)."""

MAX_CHUNK_BYTES = 64 << 20
MAX_FILE_BYTES = 4 << 30

_LARGEST_INTRINSIC = 1e5
_LAST_ROW_TOLERANCE = 1e-3
"""A camera matrix: pixels of a 1080p picture, and 0 0 1 below (ours)."""

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


ATTRIBUTES = (
    "task",
    "llm_description",
    "llm_description2",
    "which_llm_description",
    "llm_type",
    "llm_verbs",
    "llm_objects",
    "environment",
    "object",
    "session_name",
    "annotated",
    "annotator_version",
    "extra",
    "description",
    "description2",
    "type",
)
"""Root attributes of an episode; no other is looked up."""

MAX_CHARACTERS = 2000
MAX_ATTRIBUTE_BYTES = 1 << 16
MAX_WORDS = 64
"""Of an attribute: its text, what it may claim to hold, and the entries of a list (ours)."""


@dataclass(eq=False)
class Episode:
    """What an episode's HDF5 says.

    Attributes:
        camera: in metres, world y up; `notes["intrinsics"]` is `default` where the file has none.
        hands: in camera space; NaN and confidence 0 where the file has no such joint.
        unsure: joints that come without a confidence; it is taken as 1.
        attributes: of `ATTRIBUTES`, those that are there; lists joined with a comma.
        left_out: of `ATTRIBUTES`, those that are there and are no text, number or short list.
    """

    camera: Trajectory
    hands: Hands
    unsure: tuple[str, ...] = ()
    attributes: dict[str, str | float | bool] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def caption(self) -> tuple[str, str]:
        """The description that fits this episode and the name of the attribute it stands in; see `which_caption`."""
        return which_caption(self.attributes)


def read_egodex_hdf5(path: str | Path) -> Episode:
    """Camera, hands and attributes of an episode.

    Args:
        path: `<n>.hdf5`.

    Raises:
        BadInput: `bad_poses` or `no_poses`, naming the dataset; `too_large`.
    """
    import h5py

    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput("too_large", f"larger than {MAX_FILE_BYTES >> 30} GiB, no episode", where=path)
        with h5py.File(path, "r") as file:
            c2w = _read(file, "transforms/camera", (None, 4, 4), path)
            if c2w is None:
                raise BadInput("no_poses", "there is no transforms/camera in it", where=path)
            camera = egodex_trajectory(c2w, path, _intrinsics(file, path))
            hands, unsure = _hands(file, camera, path)
            attributes, left_out = _attributes(file)
            return Episode(camera, hands, unsure, attributes, left_out)
    except _UNREADABLE as error:
        raise BadInput("bad_poses", f"not a readable HDF5 file ({error})", where=path) from None


def _intrinsics(file: Any, path: Path) -> tuple[float, ...] | None:
    """fx fy cx cy in pixels of the released videos; None where the dataset is missing or empty, as in files of part1.

    Raises:
        BadInput: `bad_poses`, there are numbers in it that are no camera matrix.
    """
    name = "camera/intrinsic"
    node = _node(file, name, path)
    if node is None or 0 in (getattr(node, "shape", None) or ()):
        return None
    k = _read(file, name, (3, 3), path)
    assert k is not None
    row = (k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    if not all(0 < value < _LARGEST_INTRINSIC for value in row) or abs(k[2] - (0, 0, 1)).max() > _LAST_ROW_TOLERANCE:
        told = " ".join(f"{value:g}" for value in k.ravel())
        raise BadInput("bad_poses", f"{name} is no camera matrix in pixels: {told}", where=path)
    return tuple(float(value) for value in row)


def _hands(file: Any, camera: Trajectory, path: Path) -> tuple[Hands, tuple[str, ...]]:
    """The hands, and which joints of theirs state no confidence."""
    frames = len(camera)
    joints = np.full((frames, len(JOINTS), 3), np.nan, np.float32)
    confidence = np.zeros((frames, len(JOINTS)), np.float32)
    unsure = []
    w2c = invert_poses(camera.c2w)
    for number, name in enumerate(JOINTS):
        pose = _read(file, f"transforms/{name}", (frames, 4, 4), path)
        if pose is None:
            continue
        world = pose[:, :3, 3]
        joints[:, number] = np.einsum("tij,tj->ti", w2c[:, :3, :3], world) + w2c[:, :3, 3]
        stated = _read(file, f"confidences/{name}", (frames,), path)
        if stated is None:
            unsure.append(name)
        confidence[:, number] = 1.0 if stated is None else np.clip(stated, 0, 1)
    return Hands(list(JOINTS), joints, confidence), tuple(unsure)


def _attributes(file: Any) -> tuple[dict[str, str | float | bool], tuple[str, ...]]:
    """Root attributes that are safe and small, and the names of those that are not."""
    found: dict[str, str | float | bool] = {}
    left_out = []
    for name in ATTRIBUTES:
        if name in file.attrs:
            value = _plain_value(file.attrs[name]) if _is_plain(file, name) else None
            if value is None:
                left_out.append(name)
            else:
                found[name] = value
    return found, tuple(left_out)


def _is_plain(file: Any, name: str) -> bool:
    """Whether an attribute is a text, a number or a short list of them, by what its header says."""
    from h5py import h5a, h5t

    attribute = h5a.open(file.id, name.encode())
    count = math.prod(attribute.shape or ())
    kind = attribute.get_type()
    return (
        kind.get_class() in (h5t.STRING, h5t.INTEGER, h5t.FLOAT, h5t.ENUM)
        and len(attribute.shape or ()) <= 1
        and 0 < count <= MAX_WORDS
        and count * kind.get_size() <= MAX_ATTRIBUTE_BYTES
    )


def _plain_value(value: Any) -> str | float | bool | None:
    """An attribute as text, number or yes and no; None where it is none of them or too long."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        parts = [_plain_value(one) for one in value]
        value = None if None in parts else ", ".join(map(str, parts))
    elif isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    elif isinstance(value, np.generic):
        value = value.item()
        return _plain_value(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return float(value) if abs(value) <= LARGEST else None
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        return None
    return "".join(one for one in value if one.isprintable() or one in "\n\t").strip()


def _node(file: Any, name: str, path: Path) -> Any:
    """What lies under a name, reached through hard links only; None where nothing does."""
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
    return node


def _read(file: Any, name: str, shape: tuple[int | None, ...], path: Path) -> np.ndarray | None:
    """A dataset of the schema as float64, or None where the file has none; checked before it is read."""
    node = _node(file, name, path)
    if node is None:
        return None
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
