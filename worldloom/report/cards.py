"""Contact sheet: a strip of frames per clip with its key, source, length and the state of every annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldloom.catalogs.clip import Clip
from worldloom.report.pictures import FrameStore, data_uri, film_strip, jpeg, spread

ORDER = (
    "ingest",
    "shots",
    "quality",
    "pose",
    "actions",
    "subjects",
    "events",
    "depth",
    "revisits",
    "hands",
    "captions",
)
"""Annotations in the order in which a reader expects them; others follow by name."""

STRIP_FRAMES = 4
STRIP_WIDTH = 280


@dataclass(frozen=True)
class ClipCard:
    """One clip on a contact sheet, ready for the template."""

    key: str
    title: str
    seconds: str
    size: str
    source: str
    caption: str
    strip: str
    trouble: str
    badges: list[tuple[str, str]]
    reasons: list[tuple[str, str]]


def clip_card(clip: Clip, title: str = "", store: FrameStore | None = None) -> ClipCard:
    """The card of a clip.

    Args:
        clip: any clip; one without a video gets grey frames and says so.
        title: a few words; the name of its source where empty.
        store: frames already read, if any.
    """
    store = store or FrameStore(clip, STRIP_WIDTH)
    frames = spread(clip.frames, STRIP_FRAMES)
    store.read(frames)
    strip = film_strip([store.or_grey(i) for i in frames])
    source = clip.provenance
    order = sorted(clip.annotations, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    notes = [(name, clip.annotations[name]) for name in order]
    return ClipCard(
        key=clip.key,
        title=title or name_of(clip),
        seconds=f"{clip.seconds:.1f} s",
        size=f"{clip.width}×{clip.height}, {float(clip.fps):g} frames/s",
        source=f"{source.kind}: {source.uri}" + (f" · {source.licence}" if source.licence else ""),
        caption=clip.captions[0].text if clip.captions else "",
        strip=data_uri(jpeg(strip)),
        trouble=f"frames not shown: {store.error}" if store.error else "",
        badges=[(name, note.status) for name, note in notes],
        reasons=[(name, note.reason) for name, note in notes if note.status != "ok" and note.reason],
    )


def contact_sheet(clips: Sequence[Clip], columns: int = 2) -> bytes:
    """Strips of several clips as one picture without words (JPEG); pages show `clip_card`s instead.

    Args:
        clips: at least one.
        columns: strips beside each other.
    """
    strips = []
    for clip in clips:
        store = FrameStore(clip, 160)
        strips.append(film_strip([store.or_grey(i) for i in spread(clip.frames, STRIP_FRAMES)], gap=3))
    height, width = max(len(strip) for strip in strips), max(strip.shape[1] for strip in strips)
    rows = -(-len(strips) // columns)
    sheet = np.full((rows * (height + 8) - 8, columns * (width + 8) - 8, 3), 255, np.uint8)
    for number, strip in enumerate(strips):
        top, left = number // columns * (height + 8), number % columns * (width + 8)
        sheet[top : top + len(strip), left : left + strip.shape[1]] = strip
    return jpeg(sheet)


def name_of(clip: Clip) -> str:
    """Last part of the clip's source without its ending, else its key."""
    last = clip.provenance.uri.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return last.rsplit(".", 1)[0] if last else clip.key


def why_missing(clip: Clip, *names: str) -> str:
    """Why an annotation is not there, in a sentence: the first of `names` that has a reason."""
    for name in names:
        note = clip.annotations.get(name)
        if note is not None and note.status != "ok":
            return f"{name} {note.status}: {note.reason or 'no reason given'}"
    return f"{names[0]}: " + ("nothing found" if names[0] in clip.annotations else "not asked for in this run")
