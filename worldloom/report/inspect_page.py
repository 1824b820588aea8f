"""Everything known about one clip, on one page."""

from __future__ import annotations

import json
from pathlib import Path

from worldloom.catalogs.clip import Clip
from worldloom.report.cards import ORDER, STRIP_WIDTH, clip_card, name_of
from worldloom.report.content import ClipEntry
from worldloom.report.page import write_page
from worldloom.report.pictures import FrameStore
from worldloom.report.views import action_picture, depth_picture, loop_picture, path_picture, timeline_picture


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
