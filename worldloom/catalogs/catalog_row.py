"""What the catalog says about one clip: its row as plain data, and the types of all columns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.shards import Entry

OPERATIONS = (
    "quality",
    "shots",
    "pose",
    "actions",
    "subjects",
    "events",
    "depth",
    "revisits",
    "hands",
    "captions",
)
"""Columns that are always there, whether or not the job ran them."""

WHO = {
    "status": pa.string(),
    "method": pa.string(),
    "version": pa.string(),
    "reason": pa.string(),
    "confidence": pa.float64(),
    "notes": pa.string(),
}
COUNTS = pa.list_(pa.int32())
MEASURES: dict[str, dict[str, pa.DataType]] = {
    "pose": {
        "scale": pa.string(),
        "posed_share": pa.float64(),
        "translation_share": pa.float64(),
        "scale_groups": pa.int32(),
        "path_length": pa.float64(),
    },
    "actions": {"move": COUNTS, "view": COUNTS, "uncertain_share": pa.float64(), "unit": pa.string()},
    "subjects": {"count": pa.int32()},
    "events": {"count": pa.int32(), "pairs": pa.int32(), "exits": pa.int32(), "entries": pa.int32()},
    "depth": {"frames": pa.int32()},
    "revisits": {"pairs": pa.int32(), "density": pa.float64(), "from_depth": pa.bool_()},
    "captions": {"count": pa.int32()},
}
SOURCE = {
    "kind": pa.string(),
    "uri": pa.string(),
    "sha256": pa.string(),
    "licence": pa.string(),
    "retrieved_at": pa.string(),
    "stream": pa.int32(),
    "first_s": pa.float64(),
    "last_s": pa.float64(),
}
MEMBER = pa.struct({"name": pa.string(), "offset": pa.int64(), "length": pa.int64(), "crc32": pa.uint32()})
PLAIN: dict[str, pa.DataType] = {
    "key": pa.string(),
    "split": pa.string(),
    "shard": pa.string(),
    "offset": pa.int64(),
    "length": pa.int64(),
    "members": pa.list_(MEMBER),
    "fps": pa.float64(),
    "fps_fraction": pa.string(),
    "frames": pa.int32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "seconds": pa.float64(),
    "caption": pa.string(),
    "source": pa.struct(SOURCE),
    "parents": pa.list_(pa.string()),
    "operations": pa.list_(pa.string()),
}


def catalog_row(clip: Clip, *, split: str = "", shard: str = "", entry: Entry | None = None) -> dict[str, Any]:
    """What the catalog says about one clip, as plain data; before packing, place and split are empty.

    Args:
        clip: with all its annotations.
        split: name.
        shard: path of the shard in the dataset.
        entry: where the sample lies in it.
    """
    origin = clip.provenance
    members = entry.members.items() if entry else ()
    row: dict[str, Any] = {
        "key": clip.key,
        "split": split,
        "shard": shard,
        "offset": entry.offset if entry else 0,
        "length": entry.length if entry else 0,
        "members": [{"name": name, **span._asdict()} for name, span in members],
        "fps": float(clip.fps),
        "fps_fraction": f"{clip.fps.numerator}/{clip.fps.denominator}",
        "frames": clip.frames,
        "height": clip.height,
        "width": clip.width,
        "seconds": _number(clip.seconds),
        "caption": clip.captions[0].text if clip.captions else None,
        "source": {
            "kind": origin.kind,
            "uri": origin.uri,
            "sha256": origin.sha256,
            "licence": origin.licence,
            "retrieved_at": origin.retrieved_at,
            "stream": origin.stream,
            "first_s": _number(origin.span_s[0]),
            "last_s": _number(origin.span_s[1]),
        },
        "parents": list(origin.parents),
        "operations": list(origin.operations),
    }
    if clip.attributes:
        row["attributes"] = dict(clip.attributes)
    measures = _measures(clip)
    for name in sorted({*clip.annotations, *measures}):
        row[name] = {**_who(clip, name), **measures.get(name, {})}
    return row


def _who(clip: Clip, name: str) -> dict[str, Any]:
    if name in PLAIN or name == "attributes":
        raise ValueError(f"an operation may not be called '{name}'")
    note = clip.annotations.get(name)
    if note is None:
        return {}
    return {
        "status": note.status,
        "method": note.method,
        "version": note.version,
        "reason": note.reason,
        "confidence": _number(note.confidence),
        "notes": json.dumps(note.notes, sort_keys=True) if note.notes else None,
    }


def _measures(clip: Clip) -> dict[str, dict[str, Any]]:
    """Figures per operation, for what the clip holds."""
    found: dict[str, dict[str, Any]] = {}
    if clip.quality:
        found["quality"] = {name: _number(value) for name, value in clip.quality.items() if name not in WHO}
    if (camera := clip.camera) is not None:
        found["pose"] = {
            "scale": camera.scale,
            "posed_share": _number(camera.valid.mean()),
            "translation_share": _number(camera.translation_known.mean()),
            "scale_groups": len(np.unique(camera.scale_group[camera.valid])),
            "path_length": _number(_path_length(camera.c2w[:, :3, 3], camera.scale_group)),
        }
    if (actions := clip.actions) is not None:
        counted = slice(0, max(0, len(actions) - 1))  # the last entry moves nowhere
        found["actions"] = {
            "move": np.bincount(actions.move[counted], minlength=10).tolist(),
            "view": np.bincount(actions.view[counted], minlength=10).tolist(),
            "uncertain_share": _number(np.mean(actions.move[counted] == 9)) if len(actions) > 1 else None,
            "unit": actions.unit,
        }
    if clip.subjects is not None:
        found["subjects"] = {"count": len(clip.subjects)}
    if clip.events or "events" in clip.annotations:
        kinds = [event.kind for event in clip.events]
        found["events"] = {
            "count": len(kinds),
            "pairs": kinds.count("pair"),
            "exits": sum(event.first_hidden is not None for event in clip.events),
            "entries": sum(event.first_visible is not None for event in clip.events),
        }
    if clip.depth is not None:
        found["depth"] = {"frames": len(clip.depth)}
    if (revisits := clip.revisits) is not None:
        density = _number(revisits.density)
        found["revisits"] = {"pairs": len(revisits.pairs), "density": density, "from_depth": revisits.from_depth}
    if clip.hands is not None:
        found["hands"] = {}
    if clip.captions:
        found["captions"] = {"count": len(clip.captions)}
    return found


def _path_length(positions: np.ndarray, group: np.ndarray) -> float:
    """Length of the path over steps inside a scale group whose both ends are known."""
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    return float(np.nansum(steps[group[1:] == group[:-1]]))


def _number(value: Any) -> float | None:
    """Six digits are plenty, and NaN is no number to select by."""
    rounded = round(float(value), 6)
    return rounded if np.isfinite(rounded) else None
