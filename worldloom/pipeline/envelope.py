"""One row, one ending: a call into a child process whose crash, hang or error costs that row and nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.sandbox import Child, ChildDied, ChildFailure, ChildMemory, ChildRaised, Limits

ATTEMPTS_AT_DEATH = 2
"""A child that died may have been the machine's fault; a second death on the same row is the row's."""


@dataclass(frozen=True)
class Ending:
    """How a call ended.

    Attributes:
        status: `ok`, `dropped` (the input cannot be used) or `failed` (an error, a deadline, a crash).
        reason: slug of anything but `ok`: of the input, or `exception`, `timeout`, `crashed`, `out_of_memory`.
        error: the sentence a person reads.
        trace: where in the code it happened, if the child could tell.
        result: what the child returned.
        seconds: wall-clock time of all attempts.
        attempts: how often it was tried.
    """

    status: str
    reason: str = ""
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    attempts: int = 1
    trace: str = ""


class Envelope:
    """A warm child process and the rules for what its end means.

    Args:
        entry: `module:function` that runs in the child: one plain mapping in, one out.
        deadline_s: wall-clock limit per call.
        memory_mb: address space beyond what the imports took.
        recycle_after: calls after which the child is replaced.
    """

    def __init__(self, entry: str, *, deadline_s: float, memory_mb: int, recycle_after: int) -> None:
        self._child = Child(entry, Limits(deadline_s=deadline_s, memory_mb=memory_mb, recycle_after=recycle_after))

    def call(self, payload: Mapping[str, Any], deadline_s: float | None = None) -> Ending:
        """Run one row; whatever happens in there comes back as an ending."""
        started = time.monotonic()
        ending = Ending("failed")
        for attempt in range(1, ATTEMPTS_AT_DEATH + 1):
            ending, final = self._try(payload, deadline_s, started, attempt)
            if final:
                break
        return ending

    def close(self) -> None:
        """End the child."""
        self._child.close()

    def _try(
        self, payload: Mapping[str, Any], deadline_s: float | None, started: float, attempt: int
    ) -> tuple[Ending, bool]:
        def ended(status: str, reason: str = "", error: str = "", result: dict[str, Any] | None = None) -> Ending:
            return Ending(status, reason, error, result or {}, time.monotonic() - started, attempt)

        try:
            result = self._child.call(dict(payload), deadline_s=deadline_s)
        except BadInput as error:
            return ended("dropped", error.reason, str(error)), True
        except (ChildDied, ChildMemory) as error:
            return ended("failed", error.reason, str(error)), False
        except ChildRaised as error:
            return replace(ended("failed", error.reason, str(error)), trace=error.traceback), True
        except ChildFailure as error:
            return ended("failed", error.reason, str(error)), True
        except UsageError as error:
            return ended("failed", "usage", str(error)), True
        return ended("ok", result=result), True
