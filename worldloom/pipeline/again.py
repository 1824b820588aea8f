"""One failed row again, alone: the same call with the same limits, without Ray, and nothing written into OUT."""

from __future__ import annotations

import re
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import absolute, open_store, overlay
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

_PLAIN = "[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_CASE = re.compile(rf"(?P<out>.+)/(?P<name>{FOLDER}/{_PLAIN}/{_PLAIN}\.json)")


@dataclass(frozen=True)
class Repeat:
    """How it ended this time.

    Attributes:
        case: what the file says of the time before.
        out: working folder it belongs to.
        ending: of this time; `dropped` means that the input was refused.
    """

    case: Case
    out: str
    ending: Ending

    @property
    def mended(self) -> bool:
        """Whether it succeeds now."""
        return self.ending.status == "ok"

    @property
    def following(self) -> str:
        """The command that makes the job take it up."""
        return f"worldloom run {shlex.quote(f'{self.out}/job.yaml')} --retry {self.case.reason}"


def is_case(place: Path | str) -> bool:
    """Whether a place, in a folder or an object store, is that of a quarantine file."""
    found = _CASE.fullmatch(str(absolute(place)))
    return found is not None and open_store(found["out"]).exists(found["name"])


def do_again(place: Path | str) -> Repeat:
    """Repeat the one piece of work that a quarantine file is about.

    Args:
        place: `OUT/quarantine/<operation>/<item>.json`, where OUT is a folder or `s3://bucket/prefix`.

    Raises:
        UsageError: it is no such file, nothing was called when it failed, or what it needs is gone.
    """
    found = _CASE.fullmatch(str(absolute(place)))
    if found is None:
        raise UsageError(f"{place}: not a file of OUT/{FOLDER}/<operation>/")
    out = found["out"]
    case = read_case(open_store(out), found["name"])
    entry = ENTRIES.get(case.stage)
    if entry is None or case.entry != entry:
        problem = f"it asks for '{case.entry}'" if case.entry else "its worker died before it could say what it was at"
        remedy = f"run worldloom run {shlex.quote(f'{out}/job.yaml')} --retry {case.reason}"
        raise UsageError(f"{place}: cannot be repeated alone ({problem}); {remedy}")
    with tempfile.TemporaryDirectory(prefix="worldloom-again-") as own:  # for whatever the call writes
        payload = {**case.payload, "out": overlay(Path(own), out)}
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


def _answers(out: str, key: str, operations: list[str]) -> dict[str, bytes]:
    """What the run had just found when the row failed; by now the ledger has it."""
    space = Workspace(out)
    places = space.clip(key).answer_places()
    missing = [name for name in operations if not isinstance(places.get(name), list)]
    if missing:
        raise UsageError(f"{out}: there is no answer of '{missing[0]}' for clip {key} any more, and this builds on it")
    return {name: read_payload(space.layout.store, *places[name]) for name in operations}


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
