"""One operation on one clip: what the child process of the annotate pass does.

The child is warm: the clip of the last call and, where they fit, its decoded frames are kept, so that all operations
of a clip run on one decode.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.annotators.annotator import Absent, Annotator, annotator_class
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.video import Frames
from worldloom.pipeline.answers import BLOBS, attach, encode_annotation, encode_value, facts_of
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import read_payload
from worldloom.pipeline.operation import GIVEN_BY, Operation
from worldloom.pipeline.parcel import pack_parcel
from worldloom.pipeline.workspace import answer_of, record_of

HELD_BYTES = 1_000_000_000
"""Decoded frames are kept up to this size (77 frames of 832x480 are 92 MB); longer clips are decoded per operation."""


class HeldFrames(Frames):
    """Frames that are decoded already."""

    def __init__(self, pictures: np.ndarray, pts_s: np.ndarray) -> None:
        self._pictures = pictures
        self._index = np.arange(len(pictures))
        self.pts_s = pts_s
        self.height, self.width = pictures.shape[1:3]

    def __iter__(self) -> Any:
        # Copies, as a decoder gives them: one annotator that draws on a frame must not change what the next one sees.
        return (picture.copy() for picture in self._pictures)

    def close(self) -> None:
        """Nothing: the frames stay for the next operation."""

    def _gather(self, wanted: np.ndarray) -> np.ndarray:
        return self._pictures[wanted]


class HeldClip(Clip):
    """A clip whose frames are decoded once, by whichever operation asks first."""

    def open_frames(self) -> Frames:
        """Frames from memory where they fit."""
        if self.frames * self.height * self.width * 3 > HELD_BYTES:
            return super().open_frames()
        return _desk.frames_of(self)


class _Desk:
    """What the child remembers between two calls."""

    def __init__(self) -> None:
        self.record: Clip | None = None
        self.pictures: tuple[str, np.ndarray, np.ndarray] | None = None
        self.annotators: dict[str, Annotator] = {}

    def frames_of(self, clip: Clip) -> Frames:
        if self.pictures is None or self.pictures[0] != clip.key:
            with Frames(clip.video, index=clip.frame_index) as frames:  # type: ignore[arg-type]
                self.pictures = clip.key, frames[:], frames.pts_s
        return HeldFrames(*self.pictures[1:])

    def take(self, layout: Layout, key: str, record: tuple[str, int]) -> Clip:
        if self.record is None or self.record.key != key:
            self.record = record_of(layout, key, record)
            self.pictures = None
        return self.record

    def annotator(self, operation: Operation) -> Annotator:
        if operation.recipe not in self.annotators:
            self.annotators[operation.recipe] = annotator_class(operation.place)(operation.config)
        return self.annotators[operation.recipe]


_desk = _Desk()


def annotate_clip(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run one operation.

    Args:
        payload: `out`, `key`, `record` (place of the clip's record), `operation`, `gives` (member by operation built
            on), `known` (places of answers in part files), `fresh` (answers of this very clip, as bytes).

    Returns:
        `status` (`ok` or `absent`), `reason`, `facts`, `digest`, and `payload`, the answer as a parcel.

    Raises:
        BadInput: from the annotator.
    """
    layout = Layout(payload["out"])
    operation = Operation.from_json(payload["operation"])
    record = _desk.take(layout, payload["key"], tuple(payload["record"]))
    answers = {name: read_payload(layout.store, *place) for name, place in payload["known"].items()} | payload["fresh"]
    clip = _view(record, operation)
    for name, gives in payload["gives"].items():
        if name in answers and gives in operation.sees:
            attach(clip, name, gives, answer_of(layout, answers[name]))
    annotator = _desk.annotator(operation)
    missing = [need for need in operation.needs if _is_missing(clip, need, payload["gives"])]
    if missing:
        return _encoded(layout, operation, clip.key, annotator, Absent(f"needs_{missing[0]}"))
    with layout.scratch() as scratch:
        return _encoded(layout, operation, clip.key, annotator, annotator.annotate(clip, scratch))


def _view(record: Clip, operation: Operation) -> Clip:
    """The clip as the operation may see it: what it does not declare cannot decide its result."""
    kept = {field.name: getattr(record, field.name) for field in fields(Clip)}
    for member in ("camera", "actions", "subjects", "depth", "hands", "revisits"):
        if member not in operation.sees:
            kept[member] = None
    told = {name for name, member in GIVEN_BY.items() if member in operation.sees}
    kept |= {
        "events": list(record.events) if "events" in operation.sees else [],
        "captions": list(record.captions) if "captions" in operation.sees else [],
        "quality": dict(record.quality) if "quality" in operation.sees else {},
        "annotations": {name: line for name, line in record.annotations.items() if name in told},
        "video": record.video if operation.sees_frames else None,
    }
    return HeldClip(**kept)


def _is_missing(clip: Clip, need: str, gives: Mapping[str, str]) -> bool:
    if need in ("events", "captions", "quality"):  # an empty list of events is an answer as well
        return not any(
            clip.annotations[name].status == "ok"
            for name in (need, *(name for name, member in gives.items() if member == need))
            if name in clip.annotations
        )
    return getattr(clip, need) is None


def _encoded(layout: Layout, operation: Operation, key: str, annotator: Annotator, answer: Any) -> dict[str, Any]:
    line = annotator.record(answer)
    value = {}
    if line.status == "ok":
        value = encode_value(operation.gives, answer.value)
    else:
        counted = slug(line.reason)
        why = {"why": line.reason} if counted != line.reason else {}
        line = replace(line, reason=counted, notes={**line.notes, **why})
    head = {"annotation.json": encode_annotation(line)}
    stored = value
    if value and operation.gives in BLOBS:
        stored = _as_blob(layout, operation, key, value["value.npz"])
    return {
        "status": line.status,
        "reason": line.reason,
        "facts": facts_of(operation.name, operation.gives, {**head, **value}),
        "digest": hashlib.sha256(pack_parcel({**head, **value})).hexdigest(),
        "payload": pack_parcel({**head, **stored}),
        "bytes": sum(map(len, value.values())),
    }


def _as_blob(layout: Layout, operation: Operation, key: str, data: bytes) -> dict[str, bytes]:
    """Put a large value into a file of its own; the parcel keeps its path and digest."""
    sha256 = hashlib.sha256(data).hexdigest()
    place = layout.blob_name(operation.name, operation.recipe, key, sha256)
    with layout.scratch() as scratch:
        draft = Path(scratch, "blob.npz")
        draft.write_bytes(data)
        layout.store.take(draft, place)
    return {"blob": place.encode(), "blob.sha256": sha256.encode()}


def slug(reason: str) -> str:
    """A reason as the table counts it: `no parallax` becomes `no_parallax`; the sentence stays in the annotation."""
    return re.sub(r"[^a-z0-9]+", "_", reason.lower()).strip("_")[:60] or "absent"
