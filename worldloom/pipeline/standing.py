"""Where a running job stands: `standing.json` in its folder, written every few seconds by the driver, read by `status`.

It is small whatever the job's size, so that asking costs nothing; the ledger stays the truth, this file is a window.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psutil

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.storage import Store, is_remote, open_store

if TYPE_CHECKING:
    from worldloom.pipeline.ledger import Entry
    from worldloom.pipeline.progress import Progress

STANDING = "standing.json"
WRITE_S = 2.0
"""Least seconds between two writes of what has changed."""
REMOTE_WRITE_S = 15.0
"""The same in an object store, where a write is a request."""
HEARTBEAT_S = 10.0
"""Most seconds between two writes while the driver lives."""
GONE_AFTER_S = 120.0
"""A driver on another host that has written nothing for so long counts as gone (default ours)."""
WINDOW_S = 60.0
"""The rate is that of the rows of the last minute."""


@dataclass
class Line:
    """One pass, or one operation of the annotate pass.

    Attributes:
        name: of it.
        part_of: the pass an operation belongs to; empty for a pass.
        kept: rows that the ledger had an answer for before.
        due: rows of this run; None where nobody knows yet.
        done: of these, how many have ended.
        ok: of these.
        absent: of these.
        dropped: of these.
        failed: of these.
        running: rows at work at most; an estimate from the number of workers.
        rate: rows per second over the last minute; 0 while nothing has ended.
        rate_overall: rows per second since the pass began.
        seconds_left: by that rate; None where nothing has ended yet.
        state: `waiting`, `running` or `done`.
    """

    name: str
    part_of: str = ""
    kept: int = 0
    due: int | None = None
    done: int = 0
    ok: int = 0
    absent: int = 0
    dropped: int = 0
    failed: int = 0
    running: int = 0
    rate: float = 0.0
    rate_overall: float = 0.0
    seconds_left: float | None = None
    state: str = "waiting"


@dataclass
class Snapshot:
    """What `standing.json` says.

    Attributes:
        host: of the driver.
        pid: of the driver.
        process_started: when that process began, seconds since the epoch; process numbers are given out again.
        started: when the run began.
        written: when this was written.
        workers: rows worked on at once.
        rows: rows that ended in this run, over all passes.
        ended: when the run ended; None while it runs, or if it was killed.
        how: `done`, `interrupted` or `failed`; empty while it runs.
        said: the last sentence, where it failed.
        lines: passes and operations, in order.
    """

    host: str
    pid: int
    process_started: float
    started: float
    written: float
    workers: int
    rows: int = 0
    ended: float | None = None
    how: str = ""
    said: str = ""
    lines: list[Line] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether the driver that wrote this is still at work."""
        if self.ended is not None:
            return False
        if self.host != socket.gethostname():
            return time.time() - self.written < GONE_AFTER_S
        try:
            return abs(psutil.Process(self.pid).create_time() - self.process_started) < 1.0
        except psutil.NoSuchProcess:
            return False

    def as_json(self) -> dict[str, Any]:
        """Plain data, `alive` and the figures of `status --json` included."""
        return asdict(self) | {"alive": self.alive}


def read_standing(out: Path | str) -> Snapshot | None:
    """What the last driver in a working folder wrote; None where none ever did.

    Args:
        out: working folder, or its `s3://` address.

    Raises:
        BadInput: `bad_standing`, the file is damaged.
    """
    store = open_store(out)
    try:
        values = json.loads(store.read(STANDING))
        lines = [Line(**line) for line in values.pop("lines")]
        return Snapshot(**values, lines=lines)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        where = Path(str(out), STANDING)
        raise BadInput("bad_standing", f"cannot be read ({error})", where=where, remedy="Delete it.") from None


class _Counter:
    """One line while it grows."""

    def __init__(self, name: str, part_of: str, kept: int, due: int | None) -> None:
        self.line = Line(name, part_of, kept, due)
        self.since = 0.0
        self._recent: deque[tuple[float, int]] = deque()

    def begin(self, now: float) -> None:
        self.line.state, self.since = "running", now

    def took(self, count: int, now: float) -> None:
        self.line.done += count
        self._recent.append((now, count))
        self._forget(now)

    def snapshot(self, workers: int, now: float) -> Line:
        line = self.line
        self._forget(now)
        if line.state == "running":
            elapsed = max(now - self.since, 1e-3)
            line.rate_overall = round(line.done / elapsed, 4)
            line.rate = round(sum(count for _, count in self._recent) / min(elapsed, WINDOW_S), 4)
            left = None if line.due is None else max(line.due - line.done, 0)
            line.running = workers if left is None else min(workers, left)
            speed = line.rate or line.rate_overall
            line.seconds_left = round(left / speed, 1) if left is not None and speed else None
        return line

    def finish(self, now: float) -> None:
        self.snapshot(0, now)
        self.line.state, self.line.running, self.line.seconds_left = "done", 0, None

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._recent.popleft()


class Standing:
    """The progress of a run that also keeps `standing.json`: `with Standing(...) as standing: ...`.

    Args:
        store: of the working folder.
        progress: who else wants to know; told everything first.
        workers: rows worked on at once.
        due: rows that are due and rows that are done, by pass or operation; the passes fill it before they start.
    """

    def __init__(self, store: Store, progress: Progress, workers: int, due: Mapping[str, tuple[int, int]]) -> None:
        self._store, self._progress, self._due = store, progress, due
        now = time.time()
        started = psutil.Process().create_time()
        self.snapshot = Snapshot(socket.gethostname(), os.getpid(), started, now, now, workers)
        self._counters: dict[str, _Counter] = {}
        self._guard = threading.RLock()
        self._stop = threading.Event()
        self._changed = True
        self._pause_s = REMOTE_WRITE_S if is_remote(store.place) else WRITE_S

    def __enter__(self) -> Standing:
        self._write_if_possible()
        self._thread = threading.Thread(target=self._keep_writing, name="standing", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with self._guard:
            self.snapshot.ended = time.time()
            self.snapshot.how = "done" if error is None else "failed"
            if isinstance(error, KeyboardInterrupt):
                self.snapshot.how = "interrupted"
            elif error is not None:
                self.snapshot.said = str(error) or type(error).__name__
        self._write_if_possible()

    def start(self, stage: str, total: int | None, note: str = "") -> None:
        """A pass begins; the operations of `annotate` are those that have rows by now."""
        self._progress.start(stage, total, note)
        now = time.time()
        with self._guard:
            kept = self._due.get(stage, (0, 0))[1]
            self._counters[stage] = _Counter(stage, "", kept, total)
            names = [name for name in self._due if name not in ("ingest", "pack", stage)] if stage == "annotate" else []
            for name in names:
                due, kept = self._due[name]
                self._counters[name] = _Counter(name, stage, kept, due)
            for name in (stage, *names):
                self._counters[name].begin(now)
        self._write_if_possible()

    def advance(self, stage: str, count: int = 1, note: str = "") -> None:
        """`count` more rows of a pass are finished."""
        self._progress.advance(stage, count, note)
        with self._guard:
            if stage in self._counters:
                self._counters[stage].took(count, time.time())
                self._changed = True

    def finish(self, stage: str, note: str = "") -> None:
        """A pass is over."""
        self._progress.finish(stage, note)
        now = time.time()
        with self._guard:
            for counter in self._counters.values():
                if stage in (counter.line.name, counter.line.part_of):
                    counter.finish(now)
        self._write_if_possible()

    def hear(self, entry: Entry) -> None:
        """A row has ended."""
        with self._guard:
            self.snapshot.rows += 1
            counter = self._counters.get(entry.operation)
            if counter is None:
                return
            line = counter.line
            setattr(line, entry.status, getattr(line, entry.status) + 1)
            if line.part_of:
                counter.took(1, time.time())
            self._changed = True

    def write(self) -> None:
        """Write the file now."""
        with self._guard:
            now = time.time()
            self.snapshot.written = now
            self.snapshot.lines = [counter.snapshot(self.snapshot.workers, now) for counter in self._counters.values()]
            text = json.dumps(asdict(self.snapshot), indent=1)
            self._changed = False
        self._store.write(STANDING, text.encode())

    def _keep_writing(self) -> None:
        while not self._stop.wait(self._pause_s):
            if self._changed or time.time() - self.snapshot.written >= HEARTBEAT_S:
                self._write_if_possible()

    def _write_if_possible(self) -> None:
        try:
            self.write()
        except Exception:
            # A window that cannot be written ends no job: where the disk is full, the ledger says so itself. The errors
            # of an object store are of no common kind.
            self._changed = True
