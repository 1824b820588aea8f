"""Clips as the driver knows them: places, digests and figures from the ledger, no pixels and no arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.ledger import Entry, Ledger, wanted_rows


@dataclass
class KnownClip:
    """One clip.

    Attributes:
        key: of the clip.
        source: digest of what its annotations depend on beside their recipes.
        record: part file and row of its record.
        record_digest: of that payload.
        about: from ingest: `bytes` of its mp4, and `row`, its row of the catalog before anything is annotated.
        given: operations that the source has answered.
        sha256: of the video.
        item: source item it comes from.
        answers: ledger entry by operation.
    """

    key: str
    source: str
    record: tuple[str, int]
    record_digest: str
    about: dict[str, Any]
    given: tuple[str, ...]
    sha256: str
    item: str
    answers: dict[str, Entry] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """T."""
        return int(self.about["row"]["frames"])

    def answer_places(self) -> dict[str, Any]:
        """By operation, part file and row of its answer, or the reason it failed for."""
        return {name: [entry.part, entry.row] if entry.part else entry.reason for name, entry in self.answers.items()}


def known_clips(videos: Iterable[Entry]) -> list[KnownClip]:
    """The clips of ingested videos, in order.

    The same stretch of the same video has one key wherever it was found; the first item in order keeps it.

    Args:
        videos: ingest entries in the order of the sources.
    """
    clips: dict[str, KnownClip] = {}
    for video in videos:
        for about in video.facts.get("clips", ()):
            clips.setdefault(
                about["key"],
                KnownClip(
                    key=about["key"],
                    source=about["source"],
                    record=(video.part, video.row),
                    record_digest=video.digest,
                    about=about,
                    given=tuple(video.facts["given"]),
                    sha256=video.facts["sha256"],
                    item=video.item,
                ),
            )
    return list(clips.values())


def fill_answers(ledger: Ledger, clips: Collection[KnownClip], recipes: Mapping[str, str]) -> None:
    """Look up what the ledger says about every clip and operation, under these recipes."""
    wanted = wanted_rows(
        (clip.key, name, recipe, clip.source)
        for clip in clips
        for name, recipe in recipes.items()
        if name not in clip.given
    )
    known = ledger.entries(wanted)
    for clip in clips:
        found = ((name, known.get((clip.key, name))) for name in recipes)
        clip.answers = {name: entry for name, entry in found if entry is not None}


def ingest_tally(videos: Iterable[Entry]) -> Tally:
    """The table's line for ingest; a video all of whose clips an earlier one has brought is dropped, `duplicate`."""
    seen: set[str] = set()
    ends = []
    for video in videos:
        keys = {about["key"] for about in video.facts.get("clips", ())}
        duplicate = video.status == "ok" and keys <= seen
        ends.append(("dropped", "duplicate") if duplicate else (video.status, video.reason))
        seen |= keys
    return Tally.of("ingest", ends, out=len(seen))


def annotate_tallies(clips: Collection[KnownClip], operations: Iterable[str]) -> list[Tally]:
    """A line for the pass, whose rows are clips, and one per operation.

    A clip counts as failed if one of its operations did, under that operation's name; `absent` is an answer. Clips
    whose source answered an operation are among its `ok`. Rows that nothing has run for yet are in no line.
    """
    names = list(operations)
    ends: list[tuple[str, str]] = []
    for clip in clips:
        if all(name in clip.given or name in clip.answers for name in names):
            failed = [name for name in names if name in clip.answers and clip.answers[name].status == "failed"]
            ends.append(("failed", failed[0]) if failed else ("ok", ""))
    tables = [Tally.of("annotate", ends)]
    for name in names:
        rows = [("ok", "") for clip in clips if name in clip.given]
        rows += [(clip.answers[name].status, clip.answers[name].reason) for clip in clips if name in clip.answers]
        tables.append(Tally.of(name, rows, part_of="annotate"))
    return tables
