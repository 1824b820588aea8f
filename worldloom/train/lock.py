"""One trainer per run folder: a lock that the system lets go when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldloom.catalogs.errors import UsageError


@contextmanager
def only_trainer(out: Path) -> Iterator[None]:
    """Hold OUT/lock.

    Raises:
        UsageError: another process trains there.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
            message = f"{out}: process {holder} is training there; wait for it to end, or give another out"
            raise UsageError(message) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
