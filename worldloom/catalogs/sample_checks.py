"""What a sample may hold before anything is made of it: shapes and types of arrays, types and bounds of JSON values.

A shard may come from anywhere. Lengths that do not fit the clip are for `verify` to tell; what is checked here is what
would make a reader fail far away from the file: a box that is no array of boxes, a clip of 2^31 frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from worldloom.catalogs.attributes import attributes_problem
from worldloom.catalogs.clip import Annotation, Caption, Event, Provenance

MAX_FRAMES = 10_000_000
"""A week at 16 fps (ours)."""

MAX_SIDE = 65_536
"""Pixels (ours)."""

_ARRAYS: dict[str, dict[str, tuple[str, tuple[str | int, ...]]]] = {
    "camera": {
        "pts_s": ("f", ("T",)),
        "c2w": ("f", ("T", 4, 4)),
        "intrinsics": ("f", ("T", 4)),
        "scale": ("U", ()),
        "confidence": ("f", ("T",)),
        "valid": ("b", ("T",)),
        "translation_known": ("b", ("T",)),
        "scale_group": ("i", ("T",)),
        "up": ("f", (3,)),
        "sigma_position": ("f", ("T",)),
        "sigma_rotation_deg": ("f", ("T",)),
        "median_depth": ("f", ("T",)),
    },
    "actions": {
        "move": ("u", ("T",)),
        "view": ("u", ("T",)),
        "margins": ("f", ("T", 2)),
        "motion": ("f", ("T", 4)),
        "unit": ("U", ()),
        "up": ("U", ()),
        "thresholds": ("f", (4,)),
    },
    "subjects": {
        "id": ("i", ("S",)),
        "label": ("U", ("S",)),
        "source": ("U", ("S",)),
        "box": ("f", ("S", "T", 4)),
        "visibility": ("f", ("S", "T")),
        "position": ("f", ("S", "T", 3)),
        "in_frame": ("f", ("S", "T")),
        "full_box": ("f", ("S", "T", 4)),
    },
    "depth": {
        "frames": ("i", ("N",)),
        "log_steps": ("u", ("N", "h", "w")),
        "smallest": ("f", ()),
        "step": ("f", ()),
        "confidence": ("f", ("N",)),
        "scale": ("U", ()),
        "stated_error": ("f", ()),
    },
    "hands": {"names": ("U", ("J",)), "joints": ("f", ("T", "J", 3)), "confidence": ("f", ("T", "J"))},
}
"""By member and array: numpy's kind of type, and the shape; one letter is one length, T is left to `verify`."""

_KINDS = {"f": "floats", "i": "integers", "u": "unsigned integers", "b": "booleans", "U": "text"}


_MAX_SUBJECTS = 65_536
_MAX_JOINTS = 4096
_MAX_CHARACTERS = 1024
"""Of a name in an array (ours, as the two above)."""


class Header(NamedTuple):
    """What is known of an array before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def check_arrays(member: str, headers: Mapping[str, Header], *, frames: int, size: tuple[int, int]) -> None:
    """Refuse arrays that are not what the member holds, or are out of all proportion to the clip.

    Args:
        member: `camera`, `actions`, `subjects`, `depth` or `hands`.
        headers: by name; names that are missing are for the caller to miss.
        frames: T of the clip; an array may be somewhat longer, which is for `verify` to tell.
        size: (H, W) of the clip, pixels.

    Raises:
        ValueError: naming the array.
    """
    longest = 2 * frames + 1024
    most = {"T": longest, "N": longest, "h": 2 * size[0] + 64, "w": 2 * size[1] + 64, "S": _MAX_SUBJECTS}
    most["J"] = _MAX_JOINTS
    lengths: dict[str, int] = {}
    for name, (shape, dtype) in headers.items():
        if name not in _ARRAYS[member]:
            raise ValueError(f"'{name}' is no array of {member}")
        kind, wanted = _ARRAYS[member][name]
        fits = len(shape) == len(wanted) and dtype.kind == kind
        if not fits or any(not _agrees(one, length, lengths) for one, length in zip(wanted, shape, strict=True)):
            expected = " x ".join(map(str, wanted)) or "one"
            raise ValueError(f"{name} is {dtype} {shape}, {expected} {_KINDS[kind]} expected")
        too_long = any(length > most.get(str(one), length) for one, length in zip(wanted, shape, strict=True))
        if too_long or (kind == "U" and dtype.itemsize > 4 * _MAX_CHARACTERS):
            clip = f"a clip of {frames} frames of {size[1]} x {size[0]} pixels"
            raise ValueError(f"{name} is {dtype} {shape}, too much for {clip}")


def _agrees(wanted: str | int, size: int, lengths: dict[str, int]) -> bool:
    if wanted == "T":
        return True
    return size == (lengths.setdefault(wanted, size) if isinstance(wanted, str) else wanted)


class _Revisits(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pairs: list[tuple[int, int]]
    overlap: list[float]
    density: float
    from_depth: bool


class Record(BaseModel):
    """The JSON member of a sample, checked; see `worldloom.catalogs.clip` for what it says."""

    model_config = ConfigDict(extra="ignore")

    key: str = Field(max_length=128)
    fps: str = Field(pattern=r"^\d{1,9}/\d{1,9}$")
    frames: int = Field(ge=0, le=MAX_FRAMES)
    height: int = Field(ge=0, le=MAX_SIDE)
    width: int = Field(ge=0, le=MAX_SIDE)
    captions: list[Caption]
    events: list[dict[str, Any]]
    revisits: _Revisits | None
    quality: dict[str, float]
    annotations: dict[str, Annotation]
    provenance: Provenance
    attributes: dict[str, bool | float | str] = Field(default={}, strict=True)


_EVENTS = TypeAdapter(list[Event])


def check_record(values: Mapping[str, Any]) -> Record:
    """The JSON member with values of the right types and within bounds.

    Raises:
        ValueError: naming the first that is not.
    """
    try:
        record = Record.model_validate(values)
        _EVENTS.validate_python([_without_kind(event) for event in record.events])
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    try:
        possible = 0 < Fraction(record.fps) <= 100_000
    except (ValueError, ZeroDivisionError):
        possible = False
    if wrong := attributes_problem(values.get("attributes", {})):
        raise ValueError(wrong)
    if not possible:
        raise ValueError(f"fps: {record.fps} frames per second")
    return record


def _without_kind(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "kind"}
