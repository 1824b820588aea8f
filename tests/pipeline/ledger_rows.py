"""Ledgers of jobs that nobody ran: clips and answers written by hand, and read back as a job would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldloom.pipeline.known import KnownClips, find_answers, known_clips
from worldloom.pipeline.ledger import Entry, Ledger, wanted_rows
from worldloom.pipeline.operation import Operation

INGEST = "ingest-recipe"


@dataclass
class Row:
    """One clip, alone in its video unless `video` says otherwise; answers are dicts of figures, or words."""

    number: int
    video: int | None = None
    frames: int = 20
    width: int = 64
    height: int = 48
    bytes: int = 1000
    given: tuple[str, ...] = ()
    record: str = "d"
    parents: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.number:026d}"

    def about(self) -> dict[str, Any]:
        row = {
            "key": self.key,
            "frames": self.frames,
            "fps": 10.0,
            "width": self.width,
            "height": self.height,
            "seconds": self.frames / 10,
            "source": {"kind": "folder", "uri": f"{self.number}.mp4"},
        }
        if self.parents:
            row["parents"] = list(self.parents)
        if self.attributes:
            row["attributes"] = self.attributes
        return {"key": self.key, "source": "s", "bytes": self.bytes, "row": row}


def operation(name: str, after: Sequence[str] = (), gives: str = "quality", **values: Any) -> Operation:
    members: dict[str, Any] = {
        "name": name, "place": name, "config": {}, "method": f"{name} method", "version": "1", "gives": gives,
        "needs": (), "sees": (), "sees_frames": False, "after": tuple(after), "recipe": f"{name}-recipe", "cpus": 1.0,
        "gpus": 0.0, "memory_mb": 100, "deadline_s": 1.0,
    }  # fmt: skip
    return Operation(**{**members, **values})


def answer(row: Row, name: str, said: Any, **values: Any) -> Entry:
    plain: dict[str, Any] = {
        "source": "s",
        "digest": hashlib.sha256(f"{row.key}{name}".encode()).hexdigest(),
        "bytes": 100,
    }
    if isinstance(said, str):
        plain |= {"status": said, "reason": "because", "digest": ""}
    else:
        who = {"status": "ok", "confidence": said.get("confidence", 1.0)}
        plain |= {"status": "ok", "told": json.dumps({name: {**who, **said}})}
    return Entry(row.key, name, f"{name}-recipe", **{**plain, **values})


def ingested(rows: Sequence[Row], *, item: int, sha256: str) -> Entry:
    told = {"clips": [row.about() for row in rows], "given": list(rows[0].given), "sha256": sha256}
    place = {"part": f"part-{item}", "row": item % 7, "digest": rows[0].record}
    return Entry(f"item:{item}", "ingest", INGEST, f"file {item}", "ok", told=json.dumps(told), **place)  # type: ignore[arg-type]


@dataclass
class Known:
    """What a job knows before it composes."""

    ledger: Ledger
    clips: KnownClips
    operations: list[Operation]


def known(out: Path, rows: Iterable[Row], operations: Sequence[Operation] | None = None) -> Known:
    """Write the rows into a ledger in `out` and look them up again; an operation for every name that is answered."""
    videos: dict[int, list[Row]] = {}
    for row in rows:
        videos.setdefault(row.video if row.video is not None else row.number, []).append(row)
    names = {name for some in videos.values() for row in some for name in row.answers}
    if operations is None:
        operations = [operation(name) for name in sorted(names)]
    with Ledger(out, writable=True) as ledger:
        for number, some in videos.items():
            ledger.append(ingested(some, item=number, sha256=f"{number:064x}"))
            for row in some:
                for name, said in row.answers.items():
                    ledger.append(answer(row, name, said))
    return look_up(out, videos, operations)


def look_up(out: Path, videos: Mapping[int, Any] | Iterable[int], operations: Sequence[Operation]) -> Known:
    ledger = Ledger(out)
    clips = known_clips(
        ledger, wanted_rows((f"item:{number}", "ingest", INGEST, f"file {number}") for number in videos)
    )
    find_answers(ledger, clips, operations)
    return Known(ledger, clips, list(operations))
