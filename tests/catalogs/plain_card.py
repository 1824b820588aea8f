"""The card's text by plain Python over a dictionary per clip: slow, and what `worldloom.catalogs.card` has to equal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.catalogs.card import (
    _LICENCE_ID,
    _MEMBERS,
    _WITH_WEBDATASET,
    _WITH_WORLDLOOM,
    _cell,
    _duration,
    _table,
)
from worldloom.catalogs.catalog_row import OPERATIONS
from worldloom.catalogs.croissant import croissant
from worldloom.catalogs.manifest import Manifest


def plain_card(manifest: Manifest, table: pa.Table) -> tuple[str, str]:
    """README.md without a scorecard, and croissant.json."""
    rows = table.drop_columns(["members"]).to_pylist()
    licences = sorted({row["source"]["licence"] or "unknown" for row in rows})
    return readme(manifest, rows), croissant(manifest, table.schema, _summary(manifest, rows), licences)


def readme(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> str:
    title = manifest.name or "A worldloom dataset"
    parts = [
        _front_matter(title, rows),
        f"# {_cell(title)}\n\n{_summary(manifest, rows)} Manifest {manifest.number:06d}.",
        "## What is in it\n\n" + _splits(manifest, rows),
        "## Labels\n\n" + _labels(rows),
        _actions(rows),
        "## Sources and licences\n\n" + _sources(rows),
        "## Reading it\n\nEvery shard is a tar that plain WebDataset reads:\n\n"
        f"```python\n{_WITH_WEBDATASET}```\n\nor, with random access and SQL over the catalog:\n\n"
        f"```python\n{_WITH_WORLDLOOM}```",
        "## Members of a sample\n\n" + _table(["member", "content"], _MEMBERS),
        "Lengths compare only inside a `scale_group`; `scale` says whether they are metres. Action i moves frame i to "
        "frame i + 1; 9 is uncertain and is masked in training. `worldloom verify` checks every byte of this folder.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> str:
    seconds = sum(row["seconds"] for row in rows)
    size = sum(shard.bytes for shard in manifest.shards) / 1e6
    return (
        f"{len(rows)} clips, {sum(row['frames'] for row in rows)} frames, {_duration(seconds)} of video with camera "
        f"paths, actions, events and their provenance, in {len(manifest.shards)} shards ({size:.1f} MB)."
    )


def _front_matter(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    licences = sorted({row["source"]["licence"] for row in rows} - {""})
    name = licences[0].lower() if len(licences) == 1 and _LICENCE_ID.match(licences[0]) else "other"
    lines = ["---", f"pretty_name: {json.dumps(title)}", f"license: {json.dumps(name)}"]
    return "\n".join([*lines, "tags: [video, world-model, webdataset, worldloom]", "---"])


def _splits(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for split in sorted({row["split"] for row in rows}):
        own = [row for row in rows if row["split"] == split]
        shards = [shard for shard in manifest.shards if shard.split == split]
        sizes = Counter(f"{row['width']}x{row['height']}" for row in own)
        rates = sorted({round(row["fps"], 3) for row in own})
        lengths = np.array([row["seconds"] for row in own])
        lines.append(
            (
                split,
                len(own),
                _duration(float(lengths.sum())),
                f"{lengths.min():.1f} / {np.median(lengths):.1f} / {lengths.max():.1f}",
                ", ".join(f"{size} ({count})" for size, count in sizes.most_common(4)),
                ", ".join(f"{rate:g}" for rate in rates[:6]) + (" ..." if len(rates) > 6 else ""),
                len(shards),
                f"{sum(shard.bytes for shard in shards) / 1e6:.1f}",
            )
        )
    heads = ["split", "clips", "video", "seconds min / median / max", "size", "frames/s", "shards", "MB"]
    return _table(heads, lines)


def _labels(rows: Sequence[Mapping[str, Any]]) -> str:
    known = [*OPERATIONS, *sorted({name for row in rows for name, value in row.items() if _is_operation(name, value)})]
    lines = []
    for name in dict.fromkeys(known):
        notes = [row[name] for row in rows if row.get(name) and row[name].get("status")]
        if not notes:
            continue
        status = Counter(note["status"] for note in notes)
        methods = Counter(f"{note['method']} {note['version']}" for note in notes)
        reasons = Counter(note["reason"] for note in notes if note["status"] != "ok" and note["reason"])
        lines.append(
            (
                name,
                status["ok"],
                status["absent"],
                status["failed"],
                ", ".join(method for method, _ in methods.most_common(3)),
                ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3)),
                _highlight(name, rows),
            )
        )
    return _table(["label", "ok", "absent", "failed", "method", "why not", "figures"], lines)


def _is_operation(name: str, value: Any) -> bool:
    return name != "source" and isinstance(value, Mapping) and "status" in value


def _highlight(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """What one wants to know first of an operation."""

    def total(field: str) -> int:
        return sum(row[name][field] or 0 for row in rows if row.get(name))

    def mean(field: str) -> float:
        values = [row[name][field] for row in rows if row.get(name) and row[name][field] is not None]
        return float(np.mean(values)) if values else 0.0

    if name == "pose":
        scales = Counter(row[name]["scale"] for row in rows if row.get(name) and row[name]["scale"])
        return ", ".join(f"{scale} {count}" for scale, count in scales.most_common())
    if name == "events":
        return f"{total('count')} events, {total('pairs')} exit-entry pairs"
    if name == "revisits":
        return f"{total('pairs')} pairs, mean density {mean('density'):.2f}"
    if name == "actions":
        return f"{100 * mean('uncertain_share'):.0f} % of moves uncertain"
    if name in ("subjects", "captions"):
        return f"{total('count')}"
    return f"{total('frames')} frames" if name == "depth" else ""


def _actions(rows: Sequence[Mapping[str, Any]]) -> str:
    """How often each of the ten classes occurs."""
    shares = []
    for group in ("move", "view"):
        counts = [row["actions"][group] for row in rows if row.get("actions") and row["actions"][group]]
        if not counts:
            return ""
        shares.append(100 * np.sum(counts, axis=0) / max(1, np.sum(counts)))
    lines = [
        (number, move, f"{shares[0][number]:.1f}", view, f"{shares[1][number]:.1f}")
        for number, (move, view) in enumerate(zip(MOVES, VIEWS, strict=True))
    ]
    return _table(["class", "move", "% of frames", "view", "% of frames"], lines)


def _sources(rows: Sequence[Mapping[str, Any]]) -> str:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["source"]["kind"], row["source"]["licence"] or "unknown"), []).append(row)
    lines = []
    for (kind, licence), own in sorted(groups.items()):
        files = len({row["source"]["sha256"] for row in own})
        derived = sum(bool(row["parents"]) for row in own)
        lines.append((kind, licence, len(own), derived, files, _duration(sum(row["seconds"] for row in own))))
    return _table(["source", "licence", "clips", "of these derived", "files", "video"], lines)
