"""How a call into a sandbox can fail; each kind has the slug that rows are counted by."""

from __future__ import annotations

from typing import Any

from worldloom.catalogs.errors import Unreachable, WorldloomError


class ChildFailure(WorldloomError):
    """A call that did not come back with a result; `reason` is the slug that failures are counted by.

    Attributes:
        last_words: end of what the process printed, or where in the code it hung; empty where it lives on.
    """

    reason = "failed"
    last_words = ""


class ChildDied(ChildFailure):
    """The process ended during the call: a signal (SIGSEGV, SIGABRT) or an exit.

    Attributes:
        signal: its name, empty where it ended by itself.
        status: its exit code, None where a signal ended it.
    """

    reason = "crashed"

    def __init__(self, message: str, signal_name: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal_name
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.signal, self.status), self.__dict__


class ChildNotStarted(ChildFailure):
    """There is no process to call: the machine has no room for one (processes, memory, open files, temporary files)."""

    reason = "not_started"


class ChildTimeout(ChildFailure):
    """The call ran past its deadline; the process was killed."""

    reason = "timeout"


class ChildMemory(ChildFailure):
    """The call wanted more memory than its limit."""

    reason = "out_of_memory"


class ChildDisk(ChildFailure):
    """The call could not write: `disk_full`, or `file_too_large` for a file past its limit; the child lives on.

    Attributes:
        traceback: text.
    """

    def __init__(self, message: str, reason: str = "disk_full", traceback: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.reason, self.traceback)


class ChildRaised(ChildFailure):
    """The function raised; the child lives on. The reason is `unreachable` for `Unreachable`, else `exception`.

    Attributes:
        kind: name of the exception's class.
        traceback: text.
    """

    reason = "exception"

    def __init__(self, message: str, kind: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.reason = "unreachable" if kind == Unreachable.__name__ else "exception"
        self.kind = kind
        self.traceback = traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.kind, self.traceback)
