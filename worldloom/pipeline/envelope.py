"""One row, one ending: a call into a child process whose crash, hang or error costs that row and nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.redact import redacted
from worldloom.catalogs.sandbox import (
    Child,
    ChildDied,
    ChildDisk,
    ChildFailure,
    ChildMemory,
    ChildNotStarted,
    ChildRaised,
    Limits,
)

ATTEMPTS_AT_DEATH = 2
"""A child that died may have been the machine's fault; a second death on the same row is the row's."""

WAIT_TO_START_S = 5.0
"""Before a second attempt where no process could be started: other work beside it may end (default ours)."""

_MAX_SENTENCE = 2000
"""Characters; a million rows of them are read at every start."""


@dataclass(frozen=True)
class Ending:
    """How a call ended.

    Attributes:
        status: `ok`, `dropped` (the input cannot be used) or `failed` (an error, a deadline, a crash).
        reason: slug of anything but `ok`: of the input, or `exception`, `timeout`, `crashed`, `out_of_memory`,
            `disk_full`, `file_too_large`, `not_started`.
        error: the sentence a person reads; secrets of addresses removed, as in the trace.
        trace: where in the code it happened: the traceback, or the last words of a child that died or hung.
        call: of a row that failed, what was asked: `entry`, `payload` and `limits`, as the quarantine keeps it.
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
    call: dict[str, Any] = field(default_factory=dict)

    def evidence(self) -> dict[str, Any]:
        """What a quarantine file says beside the ledger row, plain data; empty where nothing failed."""
        return {**self.call, "trace": self.trace.splitlines()} if self.call or self.trace else {}


class Envelope:
    """A warm child process and the rules for what its end means.

    Args:
        entry: `module:function` that runs in the child: one plain mapping in, one out.
        deadline_s: wall-clock limit per call.
        memory_mb: beyond what the imports took.
        recycle_after: calls after which the child is replaced.
        attempts: how often a row may end the child before that counts.
        address_space: whether that is a limit on address space too; on a GPU it cannot be.
    """

    def __init__(
        self,
        entry: str,
        *,
        deadline_s: float,
        memory_mb: int,
        recycle_after: int,
        attempts: int = ATTEMPTS_AT_DEATH,
        address_space: bool = True,
    ) -> None:
        self._limits = Limits(
            deadline_s=deadline_s, memory_mb=memory_mb, recycle_after=recycle_after, address_space=address_space
        )
        self._child = Child(entry, self._limits)
        self._attempts = attempts

    def call(self, payload: Mapping[str, Any], deadline_s: float | None = None, memory_mb: int | None = None) -> Ending:
        """Run one row; whatever happens in there comes back as an ending. The limits are the envelope's, or these."""
        given = {"deadline_s": deadline_s, "memory_mb": memory_mb}
        limits = self._limits.model_copy(update={name: value for name, value in given.items() if value})
        started = time.monotonic()
        ending = Ending("failed")
        for attempt in range(1, self._attempts + 1):
            ending, final = self._try(payload, limits, started, attempt)
            if final or not self._attempts:
                break
            if ending.reason == ChildNotStarted.reason and attempt < self._attempts:
                time.sleep(WAIT_TO_START_S)
        if ending.status == "ok":
            return ending
        call = {"entry": self._child.entry, "payload": _plain(payload), "limits": limits.model_dump()}
        return replace(ending, call=call)

    def child_pid(self) -> int | None:
        """Process id of the child while it is warm."""
        return self._child.pid

    def interrupt(self) -> None:
        """From another thread: end the child under the call at work, which is given up like any later one."""
        self._attempts = 0
        if (pid := self._child.pid) is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def close(self) -> None:
        """End the child."""
        self._child.close()

    def _try(self, payload: Mapping[str, Any], limits: Limits, started: float, attempt: int) -> tuple[Ending, bool]:
        def ended(status: str, reason: str, error: Exception, trace: str = "") -> Ending:
            seconds = time.monotonic() - started
            sentence, trace = redacted(_sentence(error)), redacted(trace)
            return Ending(status, reason, sentence, {}, seconds, attempt, trace)

        try:
            result = self._child.call(dict(payload), limits.deadline_s, limits.memory_mb)
        except BadInput as error:
            return ended("dropped", error.reason, error), True
        except (ChildDied, ChildMemory, ChildNotStarted) as error:
            return ended("failed", error.reason, error, error.last_words), False
        except (ChildRaised, ChildDisk) as error:
            return ended("failed", error.reason, error, error.traceback), True
        except ChildFailure as error:
            return ended("failed", error.reason, error, error.last_words), True
        except UsageError as error:
            return ended("failed", "usage", error), True
        return Ending("ok", result=result, seconds=time.monotonic() - started, attempts=attempt), True


def _sentence(error: Exception) -> str:
    """What a ledger row says; all of a long output is in the trace."""
    text = str(error)
    return text if len(text) <= _MAX_SENTENCE else f"{text[: _MAX_SENTENCE // 2]} [...] {text[-_MAX_SENTENCE // 2 :]}"


def _plain(value: Any) -> Any:
    """As JSON can hold it: bytes, which the ledger has, are left out."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, bytes) else value
