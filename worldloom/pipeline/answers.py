"""Answers of annotators as bytes for the ledger's part files, back into a clip, and as figures for `where`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np

from worldloom.catalogs import sample
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Annotation, Caption, Clip, Provenance

_ARRAYS: dict[str, tuple[Callable[[Any], dict[str, np.ndarray]], Callable[[Any], Any]]] = {
    "camera": (sample.camera_arrays, sample.arrays_camera),
    "actions": (sample.actions_arrays, sample.arrays_actions),
    "subjects": (sample.subjects_arrays, sample.arrays_subjects),
    "depth": (sample.depth_arrays, sample.arrays_depth),
    "hands": (sample.hands_arrays, sample.arrays_hands),
}
_JSON: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "events": (sample.events_to_json, sample.json_to_events),
    "revisits": (sample.revisits_to_json, sample.json_to_revisits),
    "quality": (lambda value: {name: float(figure) for name, figure in value.items()}, dict),
    "captions": (lambda value: [asdict(one) for one in value], lambda rows: [Caption(**row) for row in rows]),
}
MEMBERS_GIVEN = (*_ARRAYS, *_JSON)
"""Members of `Clip` that an annotator may give."""

BLOBS = ("depth",)
"""Members too large for part files: they lie in files of their own."""


_TOLD = {"camera": ("pose",)}
"""Columns of the catalog that a member fills, where they are called otherwise."""


def columns_told(gives: str) -> tuple[str, ...]:
    """Columns of the catalog, beside the one of its own name, in which an operation's figures stand.

    Args:
        gives: the member it fills.
    """
    return _TOLD.get(gives, (gives,))


def encode_value(gives: str, value: Any) -> dict[str, bytes]:
    """The value of a member as one named byte string.

    Args:
        gives: the member, one of `MEMBERS_GIVEN`.
        value: what belongs into it.
    """
    if gives in _ARRAYS:
        return {"value.npz": sample.write_npz(_ARRAYS[gives][0](value))}
    return {"value.json": json.dumps(_JSON[gives][0](value), sort_keys=True, ensure_ascii=False).encode()}


def encode_annotation(annotation: Annotation) -> bytes:
    """Who wrote it and how it ended."""
    return json.dumps(asdict(annotation), sort_keys=True, ensure_ascii=False).encode()


def attach(clip: Clip, operation: str, gives: str, members: Mapping[str, bytes]) -> None:
    """Put an answer into a clip: its line in `annotations`, and its value if there is one.

    Figures of `quality` join those that are there already; every other member is replaced.
    """
    clip.annotations[operation] = Annotation(**json.loads(members["annotation.json"]))
    if "value.npz" in members:
        value = _ARRAYS[gives][1](sample.read_npz(members["value.npz"], where=f"{clip.key} {operation}"))
    elif "value.json" in members:
        value = _JSON[gives][1](json.loads(members["value.json"]))
    else:
        return
    if gives == "quality":
        value = {**clip.quality, **value}
    setattr(clip, gives, value)


def facts_of(operation: str, gives: str, members: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Figures of an answer as the catalog will show them, by column: what a `where` condition can ask for.

    An annotator `sharp` that gives quality fills the column `sharp` (status, method, confidence) and its figures in
    the column `quality`.

    Args:
        operation: name.
        gives: the member it fills.
        members: as `attach` takes them.
    """
    bare = Clip("", Fraction(1), 0, 0, 0, np.zeros(0), Provenance("", "", ""))
    attach(bare, operation, gives, members)
    return {
        name: value
        for name, value in catalog_row(bare).items()
        if isinstance(value, dict) and name not in ("source", "attributes")
    }
