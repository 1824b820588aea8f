"""Where fetched files lie: a folder that workers share, in which each address has a name of its own, the digest of it.

`<name>.video` is the file, and `<name>.json` says how many bytes it has, their digest and when they came. `<name>.part`
is what has come so far, and `<name>.part.json` tells which state of the file on the server it belongs to. One worker at
a time holds `<name>.lock`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worldloom.catalogs.errors import Unreachable


@dataclass(frozen=True)
class Timing:
    """Where time and chance come from."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = field(default_factory=lambda: random.SystemRandom().random)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True)
class Fetched:
    """A file that is here.

    Attributes:
        path: of it.
        sha256: hex digest of its bytes.
        bytes: its size.
        retrieved_at: when it came, ISO 8601 in UTC.
        told: what the place it came from says about it: title, uploader, licence.
    """

    path: Path
    sha256: str
    bytes: int
    retrieved_at: str
    told: dict[str, Any] = field(default_factory=dict)


class Shelf:
    """The files of one address in the folder of downloads.

    Args:
        folder: of downloads.
        url: whole; only its digest is written.
    """

    def __init__(self, folder: Path, url: str) -> None:
        name = hashlib.sha256(url.encode()).hexdigest()
        self._base = folder / name[:2] / name
        self.part = self._base.with_suffix(".part")
        self.state = self._base.with_suffix(".part.json")
        self.video = self._base.with_suffix(".video")
        self._note = self._base.with_suffix(".json")
        self._base.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def held(self, deadline: float, timing: Timing) -> Iterator[None]:
        """For one worker at a time; the lock ends with its process.

        Raises:
            Unreachable: another worker still has it at the deadline.
        """
        with self._base.with_suffix(".lock").open("wb") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if timing.clock() > deadline:
                        raise Unreachable("another worker has been fetching it all the time") from None
                    timing.sleep(0.2)
            yield

    def finished(self) -> Fetched | None:
        """The file, if it is there and its bytes are those that came; what is damaged is removed."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            size, sha256 = self.video.stat().st_size, str(note["sha256"])
            told, when = dict(note.get("told", {})), str(note["retrieved_at"])
            whole = size == note["bytes"] and _sha256(self.video) == sha256
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            whole = False
        if whole:
            return Fetched(self.video, sha256, size, when, told)
        self._note.unlink(missing_ok=True)
        self.video.unlink(missing_ok=True)
        return None

    def finish(self, now: datetime, told: dict[str, Any] | None = None) -> Fetched:
        """Make the finished part the file; its note comes last, and a file without one is nobody's."""
        when = now.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
        fetched = Fetched(self.video, _sha256(self.part), self.part.stat().st_size, when, told or {})
        note = {"sha256": fetched.sha256, "bytes": fetched.bytes, "retrieved_at": when, "told": fetched.told}
        self._note.unlink(missing_ok=True)
        self.part.replace(self.video)
        self.state.unlink(missing_ok=True)
        write_json(self._note, note)
        return fetched

    def forget(self) -> None:
        """Remove everything of it but the lock."""
        for path in (self._note, self.video, self.part, self.state):
            path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, values: Any) -> None:
    """Write a small file that is there as a whole or not at all."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    draft.write_text(json.dumps(values, sort_keys=True), encoding="utf-8")
    draft.replace(path)
