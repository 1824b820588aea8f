"""One planned shard in, one tar file out: what the child process of the pack pass does."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from worldloom.catalogs.catalog import catalog_table
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import clip_to_members
from worldloom.catalogs.shards import ShardInfo, write_shard
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.parcel import pack_parcel, unpack_parcel
from worldloom.pipeline.workspace import load_clip

FRAGMENT = "rows.arrow"
"""Member of a shard's ledger payload: its rows of the catalog."""


def pack_shard(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Write one shard into the dataset.

    Args:
        payload: `out` (working folder), `operations` (`name`, `gives`, `method`, `version` of each), `crf` of what has
            to be encoded, `name` and `split` of the shard, and `samples`: each with its `key`, the places of its
            `record` and `answers`, and the `operation` that derives it.

    Returns:
        `facts`, the shard's line of the manifest, and `payload`, its rows of the catalog.
    """
    import cv2

    cv2.setNumThreads(1)
    layout = Layout(payload["out"])
    rows: list[dict[str, Any]] = []
    with layout.scratch() as scratch:
        draft = scratch / payload["name"]
        info = write_shard(draft, _samples(layout, payload, scratch, rows))
        layout.store.take(draft, layout.shard_name(payload["name"]))
    _place(rows, info)
    facts = {
        "path": f"shards/{info.name}",
        "bytes": info.bytes,
        "sha256": info.sha256,
        "split": payload["split"],
        "samples": info.samples,
    }
    return {"facts": facts, "payload": pack_parcel({FRAGMENT: fragment_of(catalog_table(rows))})}


def fragment_of(table: pa.Table) -> bytes:
    """Rows of the catalog as an Arrow stream; equal rows give equal bytes."""
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return stream.getvalue()


def read_fragment(payload: bytes) -> pa.Table:
    """Rows of the catalog of one shard, in order of their keys; also as earlier versions left them."""
    members = unpack_parcel(payload)
    if FRAGMENT not in members:
        return catalog_table(json.loads(members["rows.json"]))
    with pa.ipc.open_stream(members[FRAGMENT]) as reader:
        return reader.read_all()


def _samples(
    layout: Layout, payload: Mapping[str, Any], scratch: Path, rows: list[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Samples one by one, so that one is in memory; their catalog rows are collected on the way."""
    for sample in payload["samples"]:
        parent = load_clip(layout, sample["key"], tuple(sample["record"]), payload["operations"], sample["answers"])
        clip = derived(parent, sample["operation"])
        video = _video(clip, scratch, payload["crf"])
        rows.append(catalog_row(clip, split=payload["split"], shard=f"shards/{payload['name']}"))
        yield clip.key, clip_to_members(clip, video)


def derived(clip: Clip, operation: str) -> Clip:
    """The clip that an operation of the compose pass stands for: an index map, nothing is encoded yet.

    Args:
        clip: ingested, with its annotations.
        operation: empty, `reverse:loop`, `reverse:plain` or `window:<start>:<stop>`.
    """
    kind, _, rest = operation.partition(":")
    if not kind:
        return clip
    from worldloom.synth.reverse import loop, reverse, window

    if kind == "window":
        start, _, stop = rest.partition(":")
        return window(clip, int(start), int(stop))
    return loop(clip) if rest == "loop" else reverse(clip)


def _video(clip: Clip, scratch: Path, crf: int) -> bytes:
    """The mp4: as ingested, or encoded once through the clip's index map."""
    assert isinstance(clip.video, Path)
    if clip.frame_index is None:
        return clip.video.read_bytes()
    draft = scratch / f"{clip.key}.mp4"
    from worldloom.catalogs.video import reencode

    written = reencode(clip.video, clip.frame_index, draft, clip.fps, crf)
    if written != clip.frames:
        raise BadInput("damaged", f"{written} of {clip.frames} frames came out of it", where=clip.video)
    data = draft.read_bytes()
    draft.unlink()
    return data


def _place(rows: list[dict[str, Any]], info: ShardInfo) -> None:
    """Write into the rows where in the shard their samples lie, known only now."""
    for row, entry in zip(rows, info.entries, strict=True):
        row["offset"], row["length"] = entry.offset, entry.length
        row["members"] = [{"name": name, **span._asdict()} for name, span in entry.members.items()]
