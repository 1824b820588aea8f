"""One driver per working folder: a lock with host, process and heartbeat, in a folder or in an object store."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import FolderStore, Store, open_store

HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0
"""A lock of another host counts as left behind after this long without a heartbeat (default ours)."""

_NAME = "lock"


class Lock:
    """Held by the driver while it runs: `with Lock(out) as lock: ...`.

    Attributes:
        note: says whose lock was taken over; empty where there was none.
        lost: whether another driver has taken it over, as it may when this process stood still for two minutes.

    Args:
        place: working folder, made if it is missing, or `s3://bucket/prefix`.

    Raises:
        UsageError: on entering, when another driver is at work there.
    """

    def __init__(self, place: Path | str) -> None:
        self.place = str(place)
        self.note = ""
        self.lost = False
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        store = open_store(place)
        self._file: _File = _LinkedFile(store) if isinstance(store, FolderStore) else _StoredFile(store)

    def __enter__(self) -> Lock:
        for _ in range(3):
            if self._file.create():
                return self._held()
            found = self._file.holder()
            if found is None:
                continue  # released a moment ago
            holder, age_s = found
            known = {"pid", "host"} <= holder.keys()
            who = f"process {holder['pid']} on {holder['host']}" if known else "unknown process"
            if not holder.get("released") and _is_alive(holder, age_s):
                raise UsageError(f"{self.place}: {who} is working there (seen {age_s:.0f} s ago); wait for it to end")
            if self._file.seize():
                self.note = "" if holder.get("released") else f"took over the lock of {who}, which is gone"
                return self._held()
        raise UsageError(f"{self.place}: another run keeps taking the lock; wait for it to end")

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()  # a heartbeat under way would come between
        self._file.release()

    def held(self) -> bool:
        """Whether it is still ours; the lock itself is asked, for a machine that stood still has not noticed it.

        Where the store does not answer, what was last known counts: nothing can be written there either.
        """
        with self._guard, suppress(Exception):
            self.lost = self.lost or not self._file.ours()
        return not self.lost

    def _held(self) -> Lock:
        self._thread = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)
        self._thread.start()
        return self

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            # A store may be away for a moment; who took the lock meanwhile, shows afterwards.
            with self._guard, suppress(Exception):
                self.lost = self.lost or not self._file.beat()
            if self.lost:
                return


class _File(ABC):
    """The lock as it lies there. `seize` takes the one that `holder` has just shown, and no other."""

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self._beats = 0

    @abstractmethod
    def create(self) -> bool:
        """Make it, unless there is one."""

    @abstractmethod
    def holder(self) -> tuple[dict[str, Any], float] | None:
        """Whose it is, and seconds since it was last seen by the clock of the store; None where there is none."""

    @abstractmethod
    def seize(self) -> bool:
        """Make it ours, if it is still what `holder` has shown."""

    @abstractmethod
    def beat(self) -> bool:
        """Show that its holder lives; False where it is no longer ours."""

    @abstractmethod
    def ours(self) -> bool:
        """Whether it still is."""

    @abstractmethod
    def release(self) -> None:
        """Let go of it, if it is ours."""

    def _me(self, **more: Any) -> bytes:
        self._beats += 1  # no two states have the same content, for that is what tells them apart
        started = psutil.Process().create_time()
        me = {"host": socket.gethostname(), "pid": os.getpid(), "started": started, "token": self.token}
        return json.dumps({**me, "beat": self._beats, **more}).encode()


class _LinkedFile(_File):
    """In a folder: a hard link to a finished file, atomic also where O_EXCL is not; the heartbeat is its time.

    A lock is never moved away to look whose it is, for in that moment a third one could make its own. Who takes over
    the lock with token T first makes `lock.after.T`, as exclusively as a lock is made; only one ever can while T
    stands in `lock`. Then it puts its own in the place of T in one step. Should it end between the two, `lock.after.T`
    tells whose the lock is, and is taken over like any other.
    """

    def __init__(self, store: FolderStore) -> None:
        super().__init__()
        self.path = store.folder / _NAME
        self._seen = ""

    def create(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._draft()
        try:
            return _link(draft, self.path)
        finally:
            draft.unlink()

    def holder(self) -> tuple[dict[str, Any], float] | None:
        clock = self.path.with_name(f"lock.{self.token}")
        clock.touch()
        now_s = clock.stat().st_mtime  # of the file server, whose clock may differ from ours
        clock.unlink()
        chain = self._chain()
        if not chain:
            return None
        last = chain[-1]
        self._seen = last.token
        return last.values, now_s - last.seen_s

    def seize(self) -> bool:
        draft, claim = self._draft(), self._after(self._seen)
        try:
            if not _link(draft, claim):
                return False  # somebody is faster
            chain = self._chain()
            tokens = [link.token for link in chain]
            if self.token not in tokens:
                claim.unlink(missing_ok=True)  # what we saw is no longer the lock
            if tokens[-1:] != [self.token]:
                return False
            draft.replace(self.path)
            for link in chain[1:]:
                link.path.unlink(missing_ok=True)
            return True
        finally:
            draft.unlink(missing_ok=True)

    def beat(self) -> bool:
        if not self.ours():
            return False
        os.utime(self.path)
        return True

    def release(self) -> None:
        if self.ours():
            self.path.unlink(missing_ok=True)

    def ours(self) -> bool:
        """See `_File`."""
        chain = self._chain()
        return len(chain) == 1 and chain[0].token == self.token

    def _draft(self) -> Path:
        draft = self.path.with_name(f"lock.{self.token}")
        draft.write_bytes(self._me())
        return draft

    def _after(self, token: str) -> Path:
        return self.path.with_name(f"lock.after.{token}")

    def _chain(self) -> list[_Link]:
        """The lock and who is taking it over; the last one holds it. Empty where there is no lock."""
        chain: list[_Link] = []
        path = self.path
        while path not in [link.path for link in chain]:
            try:
                data, seen_s = path.read_bytes(), path.stat().st_mtime
            except FileNotFoundError:
                break
            values = _parsed(data)
            # A token becomes a file name; one that does not look like ours is told by its digest.
            token = str(values.get("token", ""))
            token = token if token.isalnum() and len(token) <= 64 else hashlib.sha256(data).hexdigest()
            chain.append(_Link(path, token, values, seen_s))
            path = self._after(token)
        return chain


@dataclass(frozen=True)
class _Link:
    path: Path
    token: str
    values: dict[str, Any]
    seen_s: float


class _StoredFile(_File):
    """In an object store: every step is a compare-and-swap on the state that was seen, the heartbeat too.

    Nobody deletes it, for no store deletes on a condition: who lets go says so in it.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._version = ""

    def create(self) -> bool:
        return self._store.create(_NAME, self._me()) and self.ours()

    def holder(self) -> tuple[dict[str, Any], float] | None:
        clock = f"lock-clock-{self.token}"
        self._store.write(clock, self.token.encode())
        now = self._store.versioned(clock)
        self._store.delete(clock)
        found = self._store.versioned(_NAME)
        if found is None or now is None:
            return None
        self._version = found.version
        return _parsed(found.data), now.modified_s - found.modified_s

    def seize(self) -> bool:
        return self._store.replace_if(_NAME, self._me(), self._version) and self.ours()

    def beat(self) -> bool:
        return self.seize()

    def release(self) -> None:
        if self.ours():
            self._store.replace_if(_NAME, self._me(released=True), self._version)

    def ours(self) -> bool:
        """See `_File`."""
        found = self._store.versioned(_NAME)
        if found is None or _parsed(found.data).get("token") != self.token:
            return False
        self._version = found.version
        return True


def _link(draft: Path, path: Path) -> bool:
    """Make `path` of a finished file; False where there is one."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return draft.stat().st_nlink == 2  # a network file system made it and lost its answer
    return True


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _is_alive(holder: dict[str, Any], age_s: float) -> bool:
    if holder.get("host") != socket.gethostname():
        return age_s < STALE_AFTER_S
    try:
        # The number of a dead process is given out again after a while.
        started = psutil.Process(int(holder["pid"])).create_time()
        return abs(started - float(holder["started"])) < 1.0
    except psutil.NoSuchProcess:
        return False
    except (KeyError, TypeError, ValueError):
        return age_s < STALE_AFTER_S
