"""The third side of `sandbox`: a small process that ends what a killed parent has left behind.

A killed parent takes its children along (the parent-death signal), but not what they had started: an ffmpeg of an
annotator would run on for ever. Everything started in a sandbox inherits a mark in its environment; the guard waits
for its parent to be gone and ends whatever carries the parent's mark. One guard per supervising process, run as
`python -I -S sandbox_guard.py MARK`, so it imports nothing beyond the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

MARK = "WORLDLOOM_SANDBOX"
"""Variable that everything in a sandbox carries: `<mark of the supervising process>.<number of the child>`."""

_ROUNDS = 20


def marked(mark: str) -> list[int]:
    """Processes that carry this mark, or one below it; empty where there is no /proc.

    Args:
        mark: of one child, or of the supervising process for those of all its children.
    """
    exact, below = f"{MARK}={mark}".encode(), f"{MARK}={mark}.".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone meanwhile, or somebody else's
        if any(one == exact or one.startswith(below) for one in variables):
            found.append(int(folder.name))
    return found


def end_marked(mark: str) -> None:
    """Kill everything that carries the mark, again and again until nothing new turns up."""
    known: set[int] = set()
    for _ in range(_ROUNDS):
        new = set(marked(mark)) - known - {os.getpid()}
        if not new:
            return
        for pid in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        known |= new


def main() -> None:
    """Wait until nobody holds the other end of standard input any more, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its parent does, not before
    while os.read(0, 1):
        pass
    end_marked(sys.argv[1])


if __name__ == "__main__":
    main()
