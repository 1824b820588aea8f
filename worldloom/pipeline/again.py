"""One failed row again, alone: the same call with the same limits, without Ray, and nothing written into OUT."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.envelope import Ending, Envelope
from worldloom.pipeline.ledger import read_payload
from worldloom.pipeline.quarantine import FOLDER, Case, read_case
from worldloom.pipeline.workspace import Workspace

ENTRIES = {
    "ingest": "worldloom.pipeline.passes.ingest_video:ingest_video",
    "annotate": "worldloom.pipeline.passes.annotate_clip:annotate_clip",
    "pack": "worldloom.pipeline.passes.pack_shard:pack_shard",
}
"""What a quarantine file may ask to be called: these, and no other name that somebody wrote into one."""

_READ = ("annotations", "clips", "ledger", "truth")
"""Folders of OUT that a call reads and never writes into, apart from ingest, which reads none of them."""


@dataclass(frozen=True)
class Repeat:
    """How it ended this time.

    Attributes:
        case: what the file says of the time before.
        out: working folder it belongs to.
        ending: of this time; `dropped` means that the input was refused.
    """

    case: Case
    out: Path
    ending: Ending

    @property
    def mended(self) -> bool:
        """Whether it succeeds now."""
        return self.ending.status == "ok"

    @property
    def following(self) -> str:
        """The command that makes the job take it up."""
        return f"worldloom run {self.out / 'job.yaml'} --retry {self.case.reason}"


def is_case(place: Path) -> bool:
    """Whether a path is that of a quarantine file."""
    return place.suffix == ".json" and place.is_file() and place.absolute().parent.parent.name == FOLDER


def do_again(place: Path) -> Repeat:
    """Repeat the one piece of work that a quarantine file is about.

    Args:
        place: `OUT/quarantine/<operation>/<item>.json`.

    Raises:
        UsageError: it is no such file, nothing was called when it failed, or what it needs is gone.
    """
    case = read_case(place)
    out = place.absolute().parents[2]
    entry = ENTRIES.get(case.stage)
    if entry is None or case.entry != entry:
        problem = f"it asks for '{case.entry}'" if case.entry else "its worker died before it could say what it was at"
        raise UsageError(
            f"{place}: cannot be repeated alone ({problem}); run worldloom run {out / 'job.yaml'} --retry {case.reason}"
        )
    with _mirror(out, case) as mirror:
        payload = {**case.payload, "out": str(mirror)}
        if "fresh" in payload:
            payload["fresh"] = _answers(out, str(payload.get("key")), list(payload["fresh"]))
        limits = case.limits
        envelope = Envelope(
            entry,
            deadline_s=float(limits.get("deadline_s", 600.0)),
            memory_mb=int(limits.get("memory_mb", 4096)),
            recycle_after=1,
            attempts=1,
        )
        try:
            return Repeat(case, out, envelope.call(payload))
        finally:
            envelope.close()


def _answers(out: Path, key: str, operations: list[str]) -> dict[str, bytes]:
    """What the run had just found when the row failed; by now the ledger has it."""
    space = Workspace(out)
    places = space.clip(key).answer_places()
    missing = [name for name in operations if not isinstance(places.get(name), list)]
    if missing:
        raise UsageError(f"{out}: there is no answer of '{missing[0]}' for clip {key} any more, and this builds on it")
    return {name: read_payload(space.layout.store, *places[name]) for name in operations}


@contextmanager
def _mirror(out: Path, case: Case) -> Iterator[Path]:
    """A folder that reads like OUT, with room of its own for whatever the call writes."""
    with tempfile.TemporaryDirectory(prefix="worldloom-again-") as name:
        mirror = Path(name)
        if case.stage != "ingest":
            for folder in _READ:
                if (out / folder).is_dir():
                    (mirror / folder).symlink_to(out / folder)
            (mirror / "blobs").mkdir()
            for blobs in sorted((out / "blobs").glob("*")):
                if blobs.name != case.operation:
                    (mirror / "blobs" / blobs.name).symlink_to(blobs)
        yield mirror


def describe(repeat: Repeat) -> list[tuple[str, Any]]:
    """What a person should see of it, as lines of a table."""
    case, ending = repeat.case, repeat.ending
    limits = ", ".join(f"{name} {case.limits[name]:g}" for name in ("deadline_s", "memory_mb") if name in case.limits)
    return [
        ("item", case.item),
        ("operation", case.operation),
        ("before", f"{case.reason} after {case.attempts} attempts, {case.seconds:.1f} s, on {case.host}"),
        ("limits", limits),
        ("now", f"{ending.status}{': ' + ending.reason if ending.reason else ''} in {ending.seconds:.1f} s"),
    ]
