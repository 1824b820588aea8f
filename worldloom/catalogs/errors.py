"""The errors a person sees: what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from worldloom.catalogs.redact import redacted, without_secrets

_MAX_MESSAGE = 2000
"""Characters: a hostile file must not fill the ledger with what it says."""


class WorldloomError(Exception):
    """An error whose text is written for the person at the terminal; the command line exits with 1.

    Addresses in it come without their secrets: what a person reads ends up in logs and reports.
    """

    exit_code = 1

    def __init__(self, *told: object) -> None:
        super().__init__(*(redacted(one) if isinstance(one, str) else one for one in told))


class UsageError(WorldloomError):
    """The command or its configuration is wrong (a misspelt key, a missing folder); exit code 2."""

    exit_code = 2


class Unreachable(WorldloomError):
    """Something far away does not answer, today: the row fails as `unreachable`, and a later `--retry` may have it."""


class BadInput(WorldloomError):
    """One input cannot be used. It costs one row, never the job.

    Args:
        reason: slug that the job counts drops by, e.g. `not_video`, `truncated`, `encrypted`.
        message: the sentence a person reads.
        where: the file the message is about.
        remedy: what the person can do, if anything.
    """

    def __init__(self, reason: str, message: str, *, where: str | Path | None = None, remedy: str = "") -> None:
        super().__init__(reason, message[:_MAX_MESSAGE])
        self.reason = reason
        self.message = redacted(message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]} [...]")
        self.where = without_secrets(str(where)) if where is not None else ""
        self.remedy = remedy

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.sentence}"

    @property
    def sentence(self) -> str:
        """The message and the remedy after it, as a sentence of its own."""
        stop = "" if not self.remedy or self.message.endswith((".", "!", "?", ":", ";")) else "."
        return f"{self.message}{stop} {self.remedy}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments do not pickle by themselves, and these cross processes.
        return _rebuild, (self.reason, self.message, self.where, self.remedy)


def _rebuild(reason: str, message: str, where: str, remedy: str) -> BadInput:
    return BadInput(reason, message, where=where or None, remedy=remedy)
