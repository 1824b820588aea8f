"""The page of one clip: video, path from above, depth, and all labels on one timeline, moved by one cursor.

The page is one HTML file beside which its style and scripts lie (`worldloom/report/assets`); it opens from a folder
without a server, loads nothing from elsewhere, and its pictures and tables can be read without the scripts.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from worldloom.catalogs.clip import Clip
from worldloom.report.actions import LEGEND
from worldloom.report.cards import ORDER, why_missing
from worldloom.report.clip_data import as_json, page_data
from worldloom.report.clip_pictures import DEPTH_RAMP, DepthView, depth_of, film_of
from worldloom.report.clip_plan import RAMP, plan_of
from worldloom.report.clip_timeline import axis_of, timeline_of
from worldloom.report.figure import ARROWS, CAUSES
from worldloom.report.page import as_figure, write_page
from worldloom.report.timeline import CAUSE_NAMES, SIDES, known_cause
from worldloom.report.title import title_from

ASSETS = Path(__file__).parent / "assets"
"""Style and script of the pages; whoever writes a page copies what lies here to where its `assets` points."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
MOST_LETTERS = 24
"""Of a single value among the notes that is one long word."""
MOST_NOTES = 400
MOST_EVENTS = 400
"""Characters of an annotation's notes, and rows of the table of events; what is left out is counted."""

_SCHEME = re.compile(r"^\s*(?:[a-zA-Z][a-zA-Z0-9+.\-]*:|//|\\\\)")


def write_clip_page(
    clip: Clip,
    path: Path,
    *,
    video_href: str,
    truth: Clip | None = None,
    facts: dict[str, str] | None = None,
    assets: str = "../assets",
    previous: str = "",
    following: str = "",
    home: str = "../index.html",
) -> Path:
    """Write the page of one clip.

    Addresses are relative to the page and percent-encoded where they need it.

    Args:
        clip: with whatever is known about it.
        path: the HTML file to write; its folder is made.
        video_href: the clip's mp4 (for a derived clip that is not packed yet: the video it was made from); empty: a
            film strip stands in.
        truth: the same frames as rendered, shown beside the estimates.
        facts: small print by name; `working folder` or `dataset` goes into the commands to type next.
        assets: folder of `clip.css`, `clip_drawing.js` and `clip.js`.
        previous: page of the clip before this one; empty for none.
        following: page of the clip after this one.
        home: page of the whole collection; empty for none.

    Returns:
        `path`.

    Raises:
        ValueError: an address that is not relative: a page loads nothing from elsewhere.
    """
    for href in (video_href, assets, previous, following, home):
        if _SCHEME.match(href):
            raise ValueError(f"{href!r} is not relative to the page")
    facts = facts or {}
    film, trouble = film_of(clip, standing_in=not video_href)
    plan = plan_of(clip.camera, None if truth is None else truth.camera)
    depth = depth_of(clip.depth, None if truth is None else truth.depth)
    return write_page(
        path,
        "clip_page.html.j2",
        policy=POLICY,
        assets=assets,
        video_href=video_href,
        previous=previous,
        following=following,
        home=home,
        clip=clip,
        name=title_of(clip),
        truth=truth is not None,
        summary=summary_of(clip),
        badges=[(name, note.status) for name, note in _in_order(clip)],
        film=film,
        trouble=trouble,
        plan=plan,
        plan_missing=why_missing(clip, "pose"),
        depth=depth,
        depth_missing=why_missing(clip, "depth"),
        depth_notes=_depth_notes(depth),
        rows=timeline_of(clip, truth, depth),
        axis=axis_of(clip.frames, float(clip.fps)),
        actions_missing=why_missing(clip, "actions"),
        has_actions=clip.actions is not None or (truth is not None and truth.actions is not None),
        legend=[(number, ARROWS[number], LEGEND[number]) for number in (1, 2, 3, 4, 5, 6, 7, 8, 0, 9)],
        causes=[(cause, CAUSE_NAMES[cause]) for cause in CAUSES],
        ramp=["#" + "".join(f"{value:02x}" for value in stop) for stop in RAMP],
        depth_ramp=["#" + "".join(f"{value:02x}" for value in stop) for stop in DEPTH_RAMP],
        events=_event_lines(clip)[:MOST_EVENTS],
        events_left_out=max(0, len(clip.events) - MOST_EVENTS),
        notes=_annotation_lines(clip),
        quality=[(name, as_figure(value)) for name, value in sorted(clip.quality.items())],
        attributes=[(name, _said(value)) for name, value in sorted(clip.attributes.items())],
        captions=clip.captions,
        provenance=_provenance_lines(clip),
        commands=_commands(clip, facts),
        facts=facts,
        data=as_json(page_data(clip, plan, depth, film, video_href, truth)),
    )


def title_of(clip: Clip) -> str:
    """What a clip is called, as on the overview."""
    return title_from(clip.key, clip.provenance.kind, clip.provenance.uri)


def summary_of(clip: Clip) -> str:
    """Length, size, rate, kind of source and licence in one line."""
    parts = [
        f"{clip.seconds:.2f} s" if clip.seconds < 10 else f"{clip.seconds:.1f} s",
        f"{clip.frames:,} frame" + ("" if clip.frames == 1 else "s"),
        f"{float(clip.fps):.4g} frames/s",
        f"{clip.width}×{clip.height}",
        clip.provenance.kind,
        clip.provenance.licence or "licence not stated",
    ]
    return " · ".join(part for part in parts if part)


def _in_order(clip: Clip) -> list[tuple[str, Any]]:
    order = sorted(clip.annotations, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [(name, clip.annotations[name]) for name in order]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _depth_notes(depth: DepthView | None) -> list[str]:
    if depth is None:
        return []
    notes = [f"{depth.total} frame{'' if depth.total == 1 else 's'} with depth"]
    if depth.total > len(depth.maps):
        notes.append(f"{len(depth.maps)} shown")
    notes.append(f"stated error {100 * depth.stated_error:.2g} %")
    if depth.scaled != 1.0:
        notes.append(f"scaled to the truth by {depth.scaled:.3g}, the median ratio")
    return notes


def _event_lines(clip: Clip) -> list[dict[str, Any]]:
    """Rows of the table of events, with times to jump to."""
    names = {} if clip.subjects is None else dict(zip(clip.subjects.id.tolist(), clip.subjects.label, strict=True))
    lines = []
    for event in sorted(clip.events, key=lambda event: (event.first_hidden or 0, event.first_visible or 0)):
        ends = []
        for frame, cause, side in (
            (event.first_hidden, event.exit_cause, event.exit_side),
            (event.first_visible, event.entry_cause, event.entry_side),
        ):
            why = (
                "" if frame is None else CAUSE_NAMES[known_cause(cause)] + (f" {SIDES[side]}" if side in SIDES else "")
            )
            at = "" if frame is None else f"{frame / float(clip.fps):.3f}"
            ends.append({"frame": frame, "at": at, "why": why, "cause": known_cause(cause)})
        lines.append({
            "kind": event.kind, "subject": f"{names.get(event.subject, 'subject')} {event.subject}",
            "exit": ends[0], "entry": ends[1],
        })  # fmt: skip
    return lines


def _short(value: Any) -> Any:
    """Words of a fingerprint are for programs: of what is long and has no space, a person sees the beginning."""
    if isinstance(value, str) and len(value) > MOST_LETTERS and " " not in value:
        return f"{value[:MOST_LETTERS]} … {len(value) - MOST_LETTERS:,} more characters"
    return value


def _annotation_lines(clip: Clip) -> list[dict[str, str]]:
    lines = []
    for name, note in _in_order(clip):
        notes = {key: _short(value) for key, value in note.notes.items()}
        figures = json.dumps(notes, sort_keys=True, ensure_ascii=False, default=str) if notes else ""
        left_out = len(figures) - MOST_NOTES
        lines.append({
            "name": name, "status": note.status, "method": note.method, "version": note.version,
            "confidence": f"{note.confidence:.2f}" if note.status == "ok" else "", "reason": note.reason,
            "notes": figures if left_out <= 0 else f"{figures[:MOST_NOTES]} … {left_out:,} more characters",
        })  # fmt: skip
    return lines


def _provenance_lines(clip: Clip) -> list[tuple[str, str]]:
    source = clip.provenance
    span = f"{source.span_s[0]:.3f} s to {source.span_s[1]:.3f} s of stream {source.stream}"
    lines = [
        ("source", source.kind),
        ("URI", source.uri),
        ("licence", source.licence or "not stated"),
        ("retrieved", source.retrieved_at),
        ("span in the source", span if source.span_s[1] > source.span_s[0] else ""),
        ("sha256 of the source", source.sha256),
        ("made from", ", ".join(source.parents)),
        ("operations", " → ".join(source.operations)),
    ]
    return [(name, value) for name, value in lines if value]


def _commands(clip: Clip, facts: dict[str, str]) -> list[tuple[str, str]]:
    place = shlex.quote(facts.get("working folder") or facts.get("dataset") or "OUT")
    video = shlex.quote(str(clip.video)) if isinstance(clip.video, Path) else f"{clip.key}.mp4"
    return [
        ("a Rerun recording of it", f"worldloom inspect {place} {clip.key} --rerun"),
        ("label it again, alone", f"worldloom annotate {video}"),
        ("take it down, with what was made from it", f"worldloom remove {place} {clip.key}"),
    ]
