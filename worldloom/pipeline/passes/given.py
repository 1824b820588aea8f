"""What a source knows about its footage, put into the clips that ingest makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from worldloom.catalogs.attributes import plain_attributes
from worldloom.catalogs.cameras import resize_intrinsics
from worldloom.catalogs.clip import Annotation, Camera, Clip, Depth, Subjects
from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import (
    actions_arrays,
    camera_arrays,
    depth_arrays,
    events_to_json,
    hands_arrays,
    revisits_to_json,
    subjects_arrays,
    write_npz,
)
from worldloom.catalogs.video import VideoInfo
from worldloom.pipeline.sources.footage import Known

VERSION = "1"

BY_FRAME = ("pose", "subjects", "hands", "depth", "captions")
BOUND_TO_RATE = ("actions", "events", "revisits")
"""Taken only where a clip has the very frames that they were written for: labels are never resampled."""


@dataclass(eq=False)
class Given:
    """What is known about the frames of one footage, in pixels of it.

    Attributes:
        kind: of the source.
        size: (width, height) of the footage, pixels.
        fps: of the footage.
        frames: of the footage.
        known: as the source told it.
        camera: of all frames; None where it knows none.
        record: what an earlier run, or a renderer, knows about these frames; None where there is none.
        taken: operations that may come from `record`.
    """

    kind: str
    size: tuple[int, int]
    fps: Fraction
    frames: int
    known: Known
    camera: Camera | None = None
    record: Clip | None = None
    taken: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: str, info: VideoInfo, known: Known, truth: Clip | None, gives: Sequence[str]) -> Given:
        """Everything that may be given to the clips of a footage.

        Args:
            kind: of the source.
            info: of the footage.
            known: what the source says.
            truth: of a rendered world.
            gives: operations that the source answers.
        """
        size = (info.width, info.height)
        camera = known.trajectory.camera(*size) if known.trajectory is not None else None
        record = truth if truth is not None else known.record
        taken = tuple(name for name in gives if name in (*BY_FRAME, *BOUND_TO_RATE))
        if camera is None and record is not None and "pose" in taken:
            camera = record.camera
        return cls(kind, size, info.fps, info.frames, known, camera, record, taken)

    def check(self, frames: int, where: str) -> None:
        """Refuse what does not have a row per frame that came out of the decoder.

        Raises:
            BadInput: `bad_poses`, `bad_hands`, `bad_subjects`, `bad_depth` or `bad_record`.
        """
        known = self.known
        rows = {
            "poses": ("cameras", None if self.camera is None else len(self.camera)),
            "hands": ("rows of joints", None if known.hands is None else len(known.hands.joints)),
            "subjects": ("rows of boxes", None if known.subjects is None else known.subjects.box.shape[1]),
            "record": ("frames of its record", None if self.record is None else self.record.frames),
        }
        for name, (what, count) in rows.items():
            if count is not None and count != frames:
                message = f"{count} {what} belong to it, and it has {frames} frames"
                raise BadInput(f"bad_{name}", message, where=where)
        record = self.record
        if record is not None and (record.width, record.height) != self.size:
            shown = f"{self.size[0]} x {self.size[1]}"
            message = f"its record is of pictures of {record.width} x {record.height}, and they have {shown}"
            raise BadInput("bad_record", message, where=where, remedy="Its cameras and boxes would lie elsewhere.")
        if known.depth is not None and len(known.depth) and not 0 <= known.depth.frames.max() < frames:
            message = f"its depth is of frame {known.depth.frames.max()}, and it has {frames} frames"
            raise BadInput("bad_depth", message, where=where)

    def give(self, clip: Clip, index: np.ndarray) -> list[str]:
        """Fill the clip with what is known about its frames.

        Args:
            clip: as ingest has made it.
            index: (T,) frame of the footage that each of its frames shows.

        Returns:
            The operations that are answered by it.
        """
        found = self._by_frame(clip, index)
        if self.record is not None:
            found |= self._of_record(index, clip.fps)
        for name, (member, value) in found.items():
            setattr(clip, member, value)
            clip.annotations[name] = self._line(name)
        captions = [*clip.captions, *self.known.captions]
        if captions:
            clip.captions = captions
            if "captions" in self.taken:
                clip.annotations["captions"] = self._line("captions")
                found["captions"] = ("captions", captions)
        clip.attributes = plain_attributes({**clip.attributes, **self.known.attributes})
        return sorted(found)

    def _by_frame(self, clip: Clip, index: np.ndarray) -> dict[str, tuple[str, Any]]:
        size = (clip.width, clip.height)
        scale = (1.0, 1.0) if is_cropped(self.size, size) else (size[0] / self.size[0], size[1] / self.size[1])
        known, record = self.known, self.record
        taken = {name: record is not None and name in self.taken for name in BY_FRAME}
        subjects = known.subjects or (record.subjects if record is not None and taken["subjects"] else None)
        hands = known.hands or (record.hands if record is not None and taken["hands"] else None)
        depth = known.depth or (record.depth if record is not None and taken["depth"] else None)
        found: dict[str, tuple[str, Any]] = {}
        if self.camera is not None:
            found["pose"] = ("camera", camera_at(self.camera, index, *scale))
        if subjects is not None:
            found["subjects"] = ("subjects", subjects_at(subjects, index, *scale))
        if hands is not None:
            found["hands"] = ("hands", replace(hands, joints=hands.joints[index], confidence=hands.confidence[index]))
        if depth is not None and (some := depth_at(depth, index)) is not None:
            found["depth"] = ("depth", some)
        return found

    def _of_record(self, index: np.ndarray, fps: Fraction) -> dict[str, tuple[str, Any]]:
        """What is bound to the rate, where the clip has all frames of the footage at their own rate."""
        record = self.record
        assert record is not None
        if fps != record.fps or not np.array_equal(index, np.arange(self.frames)):
            return {}
        told = {name: (name, getattr(record, name)) for name in BOUND_TO_RATE if name in self.taken}
        ok = {name for name, line in record.annotations.items() if line.status == "ok"}
        # A list of no events is an answer only where somebody has looked for them.
        return {name: value for name, value in told.items() if value[1] is not None and (value[1] != [] or name in ok)}

    def _line(self, name: str) -> Annotation:
        earlier = self.known.record.annotations.get(name) if self.known.record is not None else None
        if earlier is not None and earlier.status == "ok":
            return earlier  # whoever wrote it then
        notes = dict(self.known.notes) if name == "pose" else {}
        return Annotation("ok", f"source:{self.kind}", VERSION, notes=notes)


def camera_at(camera: Camera, index: np.ndarray, scale_x: float, scale_y: float) -> Camera:
    """The camera at frames `index`, its intrinsics for a picture scaled by these factors.

    Args:
        camera: of n source frames.
        index: (T,) source frame of each frame.
        scale_x: width of the clip over width of the source.
        scale_y: the same for heights.
    """
    per_frame = {
        name: value[index]
        for name in (
            "c2w", "confidence", "valid", "translation_known", "scale_group", "sigma_position", "sigma_rotation_deg",
            "median_depth",
        )
        if (value := getattr(camera, name)) is not None
    }  # fmt: skip
    return replace(camera, **per_frame, intrinsics=resize_intrinsics(camera.intrinsics[index], scale_x, scale_y))


def subjects_at(subjects: Subjects, index: np.ndarray, scale_x: float, scale_y: float) -> Subjects:
    """The subjects of frames `index`, boxes for a picture scaled by these factors; those never seen there are left out.

    Args:
        subjects: of n source frames.
        index: (T,) source frame of each frame.
        scale_x: width of the clip over width of the source.
        scale_y: the same for heights.
    """
    factors = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
    changed: dict[str, Any] = {}
    for field in fields(subjects):
        value = getattr(subjects, field.name)
        if isinstance(value, np.ndarray) and value.ndim > 1:
            value = value[:, index]
            changed[field.name] = value * factors if field.name in ("box", "full_box") else value
    there = np.isfinite(changed["box"]).all(axis=-1).any(axis=-1) | (changed["visibility"] > 0).any(axis=-1)
    whole = {**{field.name: getattr(subjects, field.name) for field in fields(subjects)}, **changed}
    kept = np.flatnonzero(there)
    return Subjects(**{name: _rows(value, kept) for name, value in whole.items()})


def _rows(value: Any, kept: np.ndarray) -> Any:
    if value is None or isinstance(value, np.ndarray):
        return None if value is None else value[kept]
    return [value[number] for number in kept.tolist()]


def depth_at(depth: Depth, index: np.ndarray) -> Depth | None:
    """The depth of those of its frames that are among `index`, numbered by where they are shown first; None for none.

    Args:
        depth: of some source frames.
        index: (T,) ascending source frame of each frame.
    """
    at = np.searchsorted(index, depth.frames)
    shown = (at < len(index)) & (index[np.minimum(at, len(index) - 1)] == depth.frames)
    if not shown.any():
        return None
    order = np.flatnonzero(shown)
    return replace(
        depth,
        frames=at[order].astype(np.int32),
        z=depth.z[order],
        valid=depth.valid[order],
        confidence=depth.confidence[order],
    )


def is_cropped(source: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether (width, height) differ by at most the odd row or column, so that the scale stays as it is."""
    return 0 <= source[0] - size[0] <= 1 and 0 <= source[1] - size[1] <= 1


def source_digest(clip: Clip, seen: str = "") -> str:
    """What annotations of the clip depend on beside their recipes: its source, its frames, and what the source gave.

    Args:
        clip: as ingest has made it.
        seen: digest of what it was decoded from, where its origin is only what a dataset claims.
    """
    members = {
        "subjects": subjects_arrays(clip.subjects) if clip.subjects is not None else {},
        "hands": hands_arrays(clip.hands) if clip.hands is not None else {},
        "depth": depth_arrays(clip.depth) if clip.depth is not None else {},
        "actions": actions_arrays(clip.actions) if clip.actions is not None else {},
    }
    arrays = {"pts_s": clip.pts_s, **camera_arrays(clip.camera)}
    for member, parts in members.items():
        arrays |= {f"{member}_{name}": value for name, value in parts.items()}
    told: list[Any] = [clip.provenance.sha256, hashlib.sha256(write_npz(arrays)).hexdigest()]
    if clip.events or clip.revisits is not None:
        told += [events_to_json(clip.events), revisits_to_json(clip.revisits)]
    if seen:
        told.append(seen)
    return digest(told)
