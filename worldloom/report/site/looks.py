"""Looks at all clips of a collection: in parallel, in children that may crash, and each clip once as long as it stays.

Kept beside the pages in `cache/looks.jsonl` and `thumbs/`: a strip of frames under the clip's key and the digest of its
video, labels and figures under the digest of all that is known about it.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom.pipeline.envelope import Ending, Envelope
from worldloom.report.collection import file_stem

if TYPE_CHECKING:
    from worldloom.pipeline.progress import Progress
    from worldloom.report.collection import Sight

VERSION = "1"
"""Changes whenever a look at the same clip says something else, or a strip is drawn otherwise."""
ENTRY = "worldloom.report.site.look:look"
DEADLINE_S, MEMORY_MB, RECYCLE_AFTER = 120.0, 2048, 500
"""Of a child per clip, and calls after which it is replaced (defaults ours)."""
PASSING = ("timeout", "not_started", "disk_full", "out_of_memory")
"""Troubles that may be the machine's: such a clip is looked at again the next time."""
_SAID = 300
"""Characters of why a clip could not be looked at."""


@dataclass
class Look:
    """What the pages show of one clip.

    Attributes:
        stamp: digest of all that is known about the clip.
        strip: file of its frames below `thumbs/`; empty where there are none.
        move: labels, see `worldloom.report.site.look.coded`; empty where there are none.
        view: the same.
        events: kind, first hidden and first visible frame of each.
        row: of the catalog; None where the dataset has one.
        trouble: slug of why it could not be opened or decoded; empty where it could.
        said: the sentence.
    """

    stamp: str = ""
    strip: str = ""
    move: str = ""
    view: str = ""
    events: list[list[Any]] = field(default_factory=list)
    row: dict[str, Any] | None = None
    trouble: str = ""
    said: str = ""


@dataclass
class Looked:
    """The looks at a collection.

    Attributes:
        looks: by key.
        opened: clips that had to be opened this time.
        decoded: of these, clips whose frames were read.
        troubles: clips that could not be opened or decoded, by reason.
    """

    looks: dict[str, Look]
    opened: int
    decoded: int
    troubles: Counter[str]


def look_at_all(
    sights: Sequence[Sight], folder: Path, progress: Progress, *, strips: bool = True, workers: int | None = None
) -> Looked:
    """Look at every clip, or take what is known from the last time.

    Args:
        sights: where the clips lie.
        folder: of the pages.
        progress: told how far it is.
        strips: whether frames are wanted; without them nothing is decoded.
        workers: children at once; one per core where not given.
    """
    kept = _read(folder / "cache" / "looks.jsonl")
    names = {sight.key: strip_name(sight) for sight in sights}
    looks: dict[str, Look] = {}
    due: list[tuple[Sight, bool]] = []
    for sight in sights:
        known = kept.get(sight.key)
        stamp = _digest(sight.stamp)
        drawn = (folder / "thumbs" / names[sight.key]).is_file()
        answered = not strips or drawn or (known is not None and known.trouble not in ("", *PASSING))
        if known is not None and known.stamp == stamp and answered and known.trouble not in PASSING:
            looks[sight.key] = known
        else:
            due.append((sight, strips and not drawn))
    if due:
        progress.start("looking", len(due), "frames and labels of every clip")
        for key, found in _looked(due, folder, names, workers):
            looks[key] = found
            progress.advance("looking")
        progress.finish("looking")
    for sight in sights:
        name = names[sight.key]
        looks[sight.key].strip = name if strips and (folder / "thumbs" / name).is_file() else ""
    if due or len(kept) != len(looks):
        _write(folder / "cache" / "looks.jsonl", looks)
    troubles = Counter(look.trouble for look in looks.values() if look.trouble)
    return Looked(looks, len(due), sum(decode for _, decode in due), troubles)


def strip_name(sight: Sight) -> str:
    """File of a clip's frames below `thumbs/`; another one for the same key with other pictures."""
    stem = file_stem(sight.key)
    return f"{stem[:2]}/{stem}-{_digest(sight.video)[:8]}.webp"


def _looked(
    due: Sequence[tuple[Sight, bool]], folder: Path, names: Mapping[str, str], workers: int | None
) -> Iterator[tuple[str, Look]]:
    own = threading.local()
    envelopes: list[Envelope] = []

    def one(task: tuple[Sight, bool]) -> tuple[str, Look]:
        sight, decode = task
        if not hasattr(own, "envelope"):
            own.envelope = Envelope(
                ENTRY, deadline_s=DEADLINE_S, memory_mb=MEMORY_MB, recycle_after=RECYCLE_AFTER, attempts=1
            )
            envelopes.append(own.envelope)
        payload = {**sight.payload, "row": sight.wants_row, "strip": ""}
        if decode:
            payload["strip"] = str((folder / "thumbs" / names[sight.key]).absolute())
        ending = own.envelope.call(payload)
        trouble, said = _trouble(ending)
        if trouble and decode:  # its labels may be readable where its frames are not
            ending = own.envelope.call({**payload, "strip": ""})
        result = ending.result if ending.status == "ok" else {}
        return sight.key, Look(stamp=_digest(sight.stamp), trouble=trouble, said=said, **result)

    try:
        with ThreadPoolExecutor(workers or max(1, min(len(due), cores())), "look") as pool:
            yield from pool.map(one, due)
    finally:
        for envelope in envelopes:
            envelope.close()


def _trouble(ending: Ending) -> tuple[str, str]:
    return ("", "") if ending.status == "ok" else (ending.reason, ending.error[:_SAID])


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(text: str) -> str:
    return hashlib.sha256(f"look {VERSION}\0{text}".encode()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Look]:
    """What was kept; lines that are not as they were written are as if they were not there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, Look] = {}
    for line in lines:
        try:
            values = json.loads(line)
            key = values.pop("key")
            known = Look(**values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        if isinstance(key, str) and all(isinstance(getattr(known, name), str) for name in ("stamp", "move", "view")):
            found[key] = known
    return found


def _write(path: Path, looks: Mapping[str, Look]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        for key in sorted(looks):
            file.write(json.dumps({"key": key, **asdict(looks[key])}, separators=(",", ":")) + "\n")
    draft.replace(path)
