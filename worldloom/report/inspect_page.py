"""Pages to look at a dataset or a run: an index of what is in it, and everything known about one clip."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.storage import absolute
from worldloom.report.cards import ORDER, STRIP_WIDTH, clip_card, name_of
from worldloom.report.collection import ClipRow, Collection, open_collection, sum_of_shares
from worldloom.report.content import ClipEntry, FunnelRow
from worldloom.report.counts import action_histogram, density_histogram, length_histogram
from worldloom.report.page import Drawn, write_page
from worldloom.report.pictures import FrameStore, spread
from worldloom.report.views import action_picture, depth_picture, loop_picture, path_picture, timeline_picture

SHOWN = 24
LISTED = 500
KINDS = {"pair": "exit-entry pair", "interval": "hidden in between", "exit": "exit only", "entry": "entry only"}


def write_inspect(place: Path | str, path: Path, key: str | None = None, shown: int = SHOWN) -> Path:
    """Write a page of what is in a run or a dataset, or of one clip of it.

    Args:
        place: a run's working folder, or a dataset; a folder or `s3://bucket/prefix`.
        path: the HTML file to write.
        key: of the clip to show; the index where not given. The beginning of a key does, if only one has it.
        shown: clips on the index's contact sheet at most, evenly chosen.

    Returns:
        `path`.

    Raises:
        UsageError: nothing to inspect at `place`, or no such clip.
    """
    collection = open_collection(place)
    if key is None:
        return write_index(collection, path, shown)
    key = whole_key(collection, key)
    return write_clip(collection.load(key), path, collection.truth(key), facts=collection.facts)


def whole_key(collection: Collection, beginning: str) -> str:
    """The one key that begins so.

    Raises:
        UsageError: none does, or several do.
    """
    from worldloom.catalogs.errors import UsageError

    found = [key for key in collection.keys if key.startswith(beginning)]
    if beginning in found:
        return beginning
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{collection.place}: {len(found)} clips begin with {beginning}; give more of the key")
    raise UsageError(
        f"{collection.place}: there is no clip {beginning}; list them with: worldloom inspect {collection.place}"
    )


def write_index(collection: Collection, path: Path, shown: int = SHOWN) -> Path:
    """Write the index page of a collection."""
    rows = collection.rows()
    chosen = [collection.keys[i] for i in spread(len(collection.keys), shown)] if collection.keys else []
    return write_page(
        path,
        "index.html.j2",
        collection=collection,
        title=Path(absolute(collection.place)).name,
        tiles=_index_tiles(collection, rows),
        counts=[(name, counted) for name, counted in _counts(rows) if counted],
        pictures=_index_pictures(rows),
        annotations=annotation_rows(rows),
        cards=[clip_card(collection.load(key)) for key in chosen],
        rows=rows[:LISTED],
        counted=len(rows),
        total=len(collection.keys),
    )


def _index_tiles(collection: Collection, rows: Sequence[ClipRow]) -> list[tuple[str, str]]:
    seconds = sum(row.seconds for row in rows)
    events: Counter[str] = Counter()
    for row in rows:
        events.update(row.events)
    density = [row.density for row in rows if np.isfinite(row.density)]
    tiles = [(f"{len(collection.keys):,}", "clips"), (in_hours(seconds), "of video")]
    if any("events" in row.status for row in rows):
        tiles += [(f"{sum(events.values()):,}", "events"), (f"{events['pair']:,}", "exit-entry pairs")]
    if density:
        tiles.append((f"{float(np.mean(density)):.0%}", "mean revisit density"))
    return tiles


def in_hours(seconds: float) -> str:
    """`48 s`, `12.5 min` or `3.2 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _counts(rows: Sequence[ClipRow]) -> list[tuple[str, list[tuple[str, int]]]]:
    def most(values: Sequence[str]) -> list[tuple[str, int]]:
        return sorted(Counter(values).items(), key=lambda entry: (-entry[1], entry[0]))

    events = [kind for row in rows for kind, count in row.events.items() for _ in range(count)]
    return [
        ("licence", most([row.licence or "not stated" for row in rows])),
        ("source", most([row.kind for row in rows])),
        ("size", most([row.size for row in rows])),
        ("frames/s", most([f"{row.fps:.4g}" for row in rows])),
        ("split", most([row.split for row in rows if row.split])),
        ("made from another clip", most(["yes" if row.derived else "no" for row in rows])),
        ("events", most([KINDS.get(kind, kind) for kind in events])),
    ]


def _index_pictures(rows: Sequence[ClipRow]) -> list[Drawn]:
    pictures = []
    if rows:
        pictures.append(Drawn.of(length_histogram([row.seconds for row in rows]), "Lengths"))
    move, view = sum_of_shares(rows, "move"), sum_of_shares(rows, "view")
    if move.sum() > 0:
        pictures.append(Drawn.of(action_histogram(move, view), "Actions, share of frames"))
    density = [row.density for row in rows if np.isfinite(row.density)]
    if density:
        pictures.append(Drawn.of(density_histogram(density), "Revisits"))
    return pictures


def annotation_rows(rows: Sequence[ClipRow]) -> list[FunnelRow]:
    """Per annotation how many clips have it, and why others do not."""
    names = {name for row in rows for name in row.status}
    ordered = sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    table = []
    for name in ordered:
        found = [
            (row.status[name], row.reason.get(name, "") or "no reason given") for row in rows if name in row.status
        ]
        lost = {status: Counter(why for one, why in found if one == status) for status in ("absent", "failed")}
        ok = sum(status == "ok" for status, _ in found)
        table.append(FunnelRow(name, len(found), ok, absent=lost["absent"], failed=lost["failed"]))
    return table


def write_clip(clip: Clip, path: Path, truth: Clip | None = None, facts: dict[str, str] | None = None) -> Path:
    """Write the page of one clip: frames, path, actions, timeline, depth, revisits, who wrote what, its origin."""
    store = FrameStore(clip, max(STRIP_WIDTH, 480))
    entry = ClipEntry(clip, truth)
    plain = ClipEntry(clip, truth, title=" ")
    return write_page(
        path,
        "clip.html.j2",
        clip=clip,
        name=name_of(clip),
        card=clip_card(clip),
        tiles=_clip_tiles(clip),
        path_drawn=path_picture(plain) if truth is None else path_picture(entry),
        drawn=[
            ("Actions", action_picture(plain)),
            ("Exits and entries", timeline_picture(plain, store)),
            ("Depth", depth_picture(plain, store)),
            ("Revisits", loop_picture(plain, store)),
        ],
        notes=_annotation_lines(clip),
        provenance=_provenance_lines(clip),
        quality=[(name, f"{value:.4g}") for name, value in sorted(clip.quality.items())],
        truth=truth is not None,
        facts=facts or {},
    )


def _clip_tiles(clip: Clip) -> list[tuple[str, str]]:
    tiles = [(f"{clip.seconds:.1f} s", f"{clip.frames} frames"), (f"{float(clip.fps):.4g}", "frames/s"),
             (f"{clip.width}×{clip.height}", "pixels")]  # fmt: skip
    if clip.camera is not None:
        tiles.append((f"{clip.camera.valid.mean():.0%}", f"of frames posed, scale {clip.camera.scale}"))
    if clip.subjects is not None:
        tiles.append((str(len(clip.subjects)), "subjects"))
        tiles.append((str(sum(event.kind == "pair" for event in clip.events)), "exit-entry pairs"))
    if clip.revisits is not None:
        tiles.append((f"{clip.revisits.density:.0%}", "revisit density"))
    return tiles


def _annotation_lines(clip: Clip) -> list[dict[str, str]]:
    order = sorted(clip.annotations, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    lines = []
    for name in order:
        note = clip.annotations[name]
        figures = json.dumps(note.notes, sort_keys=True, ensure_ascii=False) if note.notes else ""
        lines.append({
            "name": name, "status": note.status, "method": f"{note.method} {note.version}".strip(),
            "confidence": f"{note.confidence:.2f}" if note.status == "ok" else "", "reason": note.reason,
            "notes": figures if len(figures) <= 400 else figures[:400] + " …",
        })  # fmt: skip
    return lines


def _provenance_lines(clip: Clip) -> list[tuple[str, str]]:
    source = clip.provenance
    span = f"{source.span_s[0]:.2f} s to {source.span_s[1]:.2f} s of stream {source.stream}"
    lines = [
        ("source", f"{source.kind}: {source.uri}"),
        ("licence", source.licence or "not stated"),
        ("span in the source", span if source.span_s[1] > source.span_s[0] else ""),
        ("retrieved", source.retrieved_at),
        ("sha256 of the source", source.sha256),
        ("made from", ", ".join(source.parents)),
        ("operations", ", ".join(source.operations)),
    ]
    captions = [(f"caption by {caption.writer}", caption.text) for caption in clip.captions]
    return [(name, value) for name, value in [*lines, *captions] if value]
