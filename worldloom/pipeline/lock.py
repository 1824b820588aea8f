"""One driver per working folder: a lock file with host, process and heartbeat."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from worldloom.catalogs.errors import UsageError

HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0
"""A lock of another host counts as left behind after this long without a heartbeat (default ours)."""


class Lock:
    """Held by the driver while it runs: `with Lock(out) as lock: ...`.

    Attributes:
        note: says whose lock was taken over; empty where there was none.

    Args:
        folder: working folder; made if it is missing.

    Raises:
        UsageError: on entering, when another driver is at work there.
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder) / "lock"
        self.note = ""
        self._stop = threading.Event()
        self._token = uuid.uuid4().hex

    def __enter__(self) -> Lock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            if self._create():
                threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True).start()
                return self
            self._take_over()
        raise UsageError(f"{self.path.parent}: another run keeps taking the lock; wait for it to end")

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if (holder := _read(self.path)) is not None and holder.get("token") == self._token:
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        """Atomic, also on file systems where O_EXCL is not: a hard link to a finished file."""
        me = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "token": self._token,
        }
        draft = self.path.with_name(f"lock.{self._token}")
        draft.write_text(json.dumps(me))
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def _take_over(self) -> None:
        holder = _read(self.path)
        if holder is None:
            return  # released a moment ago
        try:
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return
        who = f"process {holder['pid']} on {holder['host']}" if {"pid", "host"} <= holder.keys() else "unknown process"
        if _is_alive(holder, age):
            raise UsageError(f"{self.path.parent}: {who} is working there (seen {age:.0f} s ago); wait for it to end")
        aside = self.path.with_name(f"lock.{self._token}.stale")
        try:
            self.path.rename(aside)  # of two who find it stale, one succeeds
        except FileNotFoundError:
            return
        aside.unlink()
        self.note = f"took over the lock of {who}, which is gone"

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                os.utime(self.path)
            except OSError:
                return


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return None
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
