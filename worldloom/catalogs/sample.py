"""One clip as the members of a WebDataset sample, and back. No pickle, equal bytes for equal clips."""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.clip import (
    Actions,
    Camera,
    Clip,
    Depth,
    Event,
    Hands,
    Revisits,
    Subjects,
)
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample_checks import Header, check_arrays, check_record

SCHEMA_VERSION = 1
MEMBERS = ("mp4", "json", "camera.npz", "actions.npz", "subjects.npz", "depth.npz", "hands.npz", "latents.safetensors")
"""Closed list of what a sample may hold, in the order in which it is written."""

_DEPTH_STEP = 2.0**-10
"""Step of ln(z) in stored depth: uint16 of ln(z / z_min) covers a ratio of e^64 at a relative error below 0.0005."""

_MAX_NPZ_BYTES = 1 << 31
_MAX_ARRAYS = 64
_HEAD_BYTES = 1 << 16
"""Read of every array of an npz before any is unpacked: its header, or all of a small one."""

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes; the others pack a thousand times more into a byte."""


_DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    OSError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)
"""What reading damaged or hostile members may raise; MemoryError is none of them."""


def write_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Compressed npz with fixed time stamps and order, so that equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(arrays):
            body = io.BytesIO()
            np.lib.format.write_array(body, np.asarray(arrays[name], order="C"), allow_pickle=False)
            info = zipfile.ZipInfo(name + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, body.getvalue())
    return buffer.getvalue()


def read_npz(
    data: bytes, *, where: str = "npz", check: Callable[[Mapping[str, Header]], None] | None = None
) -> dict[str, np.ndarray]:
    """Arrays of an npz, never unpickled.

    Args:
        data: the archive.
        where: for messages.
        check: given shapes and types by name before any array is unpacked; refuses by raising BadInput.

    Raises:
        BadInput: `bad_npz`, not an npz, or one that claims more than 2 GiB or more than it holds.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > _MAX_NPZ_BYTES:
                raise BadInput("bad_npz", "the archive unpacks to more than 2 GiB", where=where)
            if len(entries) > _MAX_ARRAYS or any(entry.compress_type not in _COMPRESSIONS for entry in entries):
                raise BadInput("bad_npz", f"more than {_MAX_ARRAYS} arrays, or not deflated", where=where)
            heads = {entry.filename.removesuffix(".npy"): (entry, _head(archive, entry)) for entry in entries}
            if len(heads) < len(entries):
                raise BadInput("bad_npz", "an array comes twice", where=where)
            headers = {name: _header(head, entry.file_size) for name, (entry, head) in heads.items()}
            if check is not None:
                check(headers)
            contents = (
                (name, head if len(head) == entry.file_size else archive.read(entry))
                for name, (entry, head) in heads.items()
            )
            return {
                name: np.lib.format.read_array(io.BytesIO(content), allow_pickle=False) for name, content in contents
            }
    except _DAMAGE as error:
        raise BadInput("bad_npz", f"not a readable npz ({error})", where=where) from None


def _head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as stream:
        return stream.read(_HEAD_BYTES)


def _header(head: bytes, size: int) -> Header:
    """Shape and type of an array, held to the bytes that follow before anything of that size is allocated."""
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read_header(stream)
    if kind.hasobject or math.prod(shape) * kind.itemsize != size - stream.tell():
        raise ValueError(f"an array of shape {shape} and type {kind} does not fit its {size} bytes")
    return Header(shape, kind)


def clip_to_members(clip: Clip, video: bytes | None = None) -> dict[str, bytes]:
    """Members of the sample by extension, in the order of `MEMBERS`.

    Args:
        clip: what to write.
        video: the mp4; read from `clip.video` when not given.
    """
    if video is None and clip.video is not None:
        video = clip.video if isinstance(clip.video, bytes) else Path(clip.video).read_bytes()
    members: dict[str, bytes] = {}
    if video is not None:
        members["mp4"] = video
    members["json"] = json.dumps(clip_to_json(clip), sort_keys=True, ensure_ascii=False).encode()
    members["camera.npz"] = write_npz({"pts_s": np.asarray(clip.pts_s, np.float64), **camera_arrays(clip.camera)})
    if clip.actions is not None:
        members["actions.npz"] = write_npz(actions_arrays(clip.actions))
    if clip.subjects is not None:
        members["subjects.npz"] = write_npz(subjects_arrays(clip.subjects))
    if clip.depth is not None:
        members["depth.npz"] = write_npz(depth_arrays(clip.depth))
    if clip.hands is not None:
        members["hands.npz"] = write_npz(hands_arrays(clip.hands))
    return members


def members_to_clip(key: str, members: Mapping[str, bytes]) -> Clip:
    """The clip of a sample; members that are absent leave their annotation None.

    Raises:
        BadInput: `bad_sample`, naming the member that cannot be read.
    """
    if "json" not in members:
        raise BadInput("bad_sample", f"sample {key} has no json member", where=key)
    try:
        values = json.loads(members["json"])
        if values["schema_version"] > SCHEMA_VERSION:
            raise BadInput(
                "bad_sample",
                f"written by schema {values['schema_version']}, this worldloom reads up to {SCHEMA_VERSION}",
                where=f"{key}.json",
                remedy="Update worldloom.",
            )
        clip = json_to_clip(values)
    except _DAMAGE as error:
        raise BadInput("bad_sample", f"not a clip record ({error!r})", where=f"{key}.json") from None
    if clip.key != key:
        raise BadInput("bad_sample", f"sample {key} holds the record of clip {clip.key}", where=f"{key}.json")
    clip.video = members.get("mp4")

    def arrays(member: str) -> dict[str, np.ndarray] | None:
        if member not in members:
            return None

        def check(headers: Mapping[str, Header]) -> None:
            try:
                check_arrays(member.removesuffix(".npz"), headers, frames=clip.frames, size=(clip.height, clip.width))
            except ValueError as error:
                raise BadInput("bad_sample", str(error), where=f"{key}.{member}") from None

        return read_npz(members[member], where=f"{key}.{member}", check=check)

    try:
        if (camera := arrays("camera.npz")) is not None:
            clip.pts_s = camera.pop("pts_s")
            clip.camera = arrays_camera(camera) if camera else None
        if (actions := arrays("actions.npz")) is not None:
            clip.actions = arrays_actions(actions)
        if (subjects := arrays("subjects.npz")) is not None:
            clip.subjects = arrays_subjects(subjects)
        if (depth := arrays("depth.npz")) is not None:
            clip.depth = arrays_depth(depth)
        if (hands := arrays("hands.npz")) is not None:
            clip.hands = arrays_hands(hands)
    except _DAMAGE as error:
        raise BadInput("bad_sample", f"an array is missing or malformed ({error})", where=key) from None
    return clip


def clip_to_json(clip: Clip) -> dict[str, Any]:
    """The JSON member: everything that is not an array (events and revisits included)."""
    values: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "key": clip.key,
        "fps": f"{clip.fps.numerator}/{clip.fps.denominator}",
        "frames": clip.frames,
        "height": clip.height,
        "width": clip.width,
        "captions": [asdict(caption) for caption in clip.captions],
        "events": events_to_json(clip.events),
        "revisits": revisits_to_json(clip.revisits),
        "quality": {name: round(float(value), 6) for name, value in sorted(clip.quality.items())},
        "annotations": {name: asdict(note) for name, note in sorted(clip.annotations.items())},
        "provenance": asdict(clip.provenance),
    }
    if clip.attributes:  # a sample without any is byte for byte what it was before there were attributes
        values["attributes"] = dict(sorted(clip.attributes.items()))
    return values


def json_to_clip(values: Mapping[str, Any]) -> Clip:
    """The inverse of `clip_to_json`; arrays and video are still missing, `pts_s` is i / fps.

    Raises:
        ValueError, KeyError: a value is missing, of another type, or out of bounds.
    """
    record = check_record(values)
    fps = Fraction(record.fps)
    return Clip(
        key=record.key,
        fps=fps,
        frames=record.frames,
        height=record.height,
        width=record.width,
        pts_s=np.arange(record.frames) / float(fps),
        provenance=record.provenance,
        events=json_to_events(record.events),
        revisits=json_to_revisits(values["revisits"]),
        quality=record.quality,
        captions=record.captions,
        annotations=record.annotations,
        attributes=record.attributes,
    )


def events_to_json(events: list[Event]) -> list[dict[str, Any]]:
    """Events as plain data, `kind` added for readers."""
    return [{**asdict(event), "kind": event.kind} for event in events]


def json_to_events(values: list[dict[str, Any]]) -> list[Event]:
    """The inverse of `events_to_json`."""
    return [Event(**{name: value for name, value in event.items() if name != "kind"}) for event in values]


def revisits_to_json(revisits: Revisits | None) -> dict[str, Any] | None:
    """Revisits as plain data; overlap with four digits."""
    if revisits is None:
        return None
    return {
        "pairs": revisits.pairs.tolist(),
        "overlap": [round(float(value), 4) for value in revisits.overlap],
        "density": round(float(revisits.density), 6),
        "from_depth": bool(revisits.from_depth),
    }


def json_to_revisits(values: dict[str, Any] | None) -> Revisits | None:
    """The inverse of `revisits_to_json`."""
    if values is None:
        return None
    return Revisits(
        pairs=np.asarray(values["pairs"], np.int32).reshape(-1, 2),
        overlap=np.asarray(values["overlap"], np.float32),
        density=float(values["density"]),
        from_depth=bool(values["from_depth"]),
    )


def camera_arrays(camera: Camera | None) -> dict[str, np.ndarray]:
    """Arrays of the camera; none where there is no camera."""
    if camera is None:
        return {}
    arrays = {
        "c2w": camera.c2w.astype(np.float64),
        "intrinsics": camera.intrinsics.astype(np.float64),
        "scale": np.array(camera.scale),
        "confidence": camera.confidence.astype(np.float32),
        "valid": camera.valid.astype(bool),
        "translation_known": camera.translation_known.astype(bool),
        "scale_group": camera.scale_group.astype(np.int32),
    }
    if camera.up is not None:
        arrays["up"] = camera.up.astype(np.float64)
    for name in ("sigma_position", "sigma_rotation_deg", "median_depth"):
        if (value := getattr(camera, name)) is not None:
            arrays[name] = value.astype(np.float32)
    return arrays


def arrays_camera(arrays: Mapping[str, np.ndarray]) -> Camera:
    """The inverse of `camera_arrays`."""
    values: dict[str, Any] = dict(arrays)
    values["scale"] = str(values["scale"])
    return Camera(**values)


def actions_arrays(actions: Actions) -> dict[str, np.ndarray]:
    """Arrays of the action labels."""
    return {
        "move": actions.move.astype(np.uint8),
        "view": actions.view.astype(np.uint8),
        "margins": actions.margins.astype(np.float32),
        "motion": actions.motion.astype(np.float64),
        "unit": np.array(actions.unit),
        "up": np.array(actions.up),
        "thresholds": np.asarray(actions.thresholds, np.float64),
    }


def arrays_actions(arrays: Mapping[str, np.ndarray]) -> Actions:
    """The inverse of `actions_arrays`."""
    floor, trigger, view_floor, view_trigger = (float(value) for value in arrays["thresholds"])
    return Actions(
        move=arrays["move"],
        view=arrays["view"],
        margins=arrays["margins"],
        motion=arrays["motion"],
        unit=str(arrays["unit"]),
        up=str(arrays["up"]),
        thresholds=(floor, trigger, view_floor, view_trigger),
    )


def subjects_arrays(subjects: Subjects) -> dict[str, np.ndarray]:
    """Arrays of the subjects; names as fixed-width unicode."""
    arrays = {
        "id": subjects.id.astype(np.int32),
        "label": np.array(subjects.label, dtype=np.str_).reshape(-1),
        "source": np.array(subjects.source, dtype=np.str_).reshape(-1),
        "box": subjects.box.astype(np.float32),
        "visibility": subjects.visibility.astype(np.float32),
    }
    for name, kind in (("position", np.float64), ("in_frame", np.float32), ("full_box", np.float32)):
        if (value := getattr(subjects, name)) is not None:
            arrays[name] = value.astype(kind)
    return arrays


def arrays_subjects(arrays: Mapping[str, np.ndarray]) -> Subjects:
    """The inverse of `subjects_arrays`."""
    return Subjects(
        id=arrays["id"],
        label=[str(name) for name in arrays["label"]],
        source=[str(name) for name in arrays["source"]],
        box=arrays["box"],
        visibility=arrays["visibility"],
        position=arrays.get("position"),
        in_frame=arrays.get("in_frame"),
        full_box=arrays.get("full_box"),
    )


def depth_arrays(depth: Depth) -> dict[str, np.ndarray]:
    """Arrays of the depth: uint16 steps of ln(z), 0 where not valid; relative error below 0.0005."""
    valid = depth.valid & np.isfinite(depth.z) & (depth.z > 0)
    smallest = float(depth.z[valid].min()) if valid.any() else 1.0
    steps = np.zeros(depth.z.shape, np.uint16)
    level = np.round(np.log(depth.z[valid].astype(np.float64) / smallest) / _DEPTH_STEP) + 1
    steps[valid] = np.minimum(level, 65535).astype(np.uint16)
    return {
        "frames": depth.frames.astype(np.int32),
        "log_steps": steps,
        "smallest": np.array(smallest, np.float64),
        "step": np.array(_DEPTH_STEP, np.float64),
        "confidence": depth.confidence.astype(np.float32),
        "scale": np.array(depth.scale),
        "stated_error": np.array(depth.stated_error, np.float64),
    }


def arrays_depth(arrays: Mapping[str, np.ndarray]) -> Depth:
    """The inverse of `depth_arrays`, up to its stated error; z is NaN where not valid."""
    steps = arrays["log_steps"]
    valid = steps > 0
    z = np.exp((steps.astype(np.float64) - 1) * float(arrays["step"])) * float(arrays["smallest"])
    return Depth(
        frames=arrays["frames"],
        z=np.where(valid, z, np.nan).astype(np.float32),
        valid=valid,
        confidence=arrays["confidence"],
        scale=str(arrays["scale"]),  # type: ignore[arg-type]
        stated_error=float(arrays["stated_error"]),
    )


def hands_arrays(hands: Hands) -> dict[str, np.ndarray]:
    """Arrays of the hand joints."""
    return {
        "names": np.array(hands.names, dtype=np.str_).reshape(-1),
        "joints": hands.joints.astype(np.float32),
        "confidence": hands.confidence.astype(np.float32),
    }


def arrays_hands(arrays: Mapping[str, np.ndarray]) -> Hands:
    """The inverse of `hands_arrays`."""
    return Hands([str(name) for name in arrays["names"]], arrays["joints"], arrays["confidence"])
