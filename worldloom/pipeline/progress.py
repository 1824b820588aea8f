"""How a long piece of work tells whoever started it how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called from the driver only; the command line draws bars with it."""

    def start(self, stage: str, total: int | None, note: str = "") -> None:
        """A stage begins; `total` items, None where nobody knows yet."""

    def advance(self, stage: str, count: int = 1, note: str = "") -> None:
        """`count` more items are finished."""

    def finish(self, stage: str, note: str = "") -> None:
        """The stage is over."""


class Silent:
    """The progress nobody looks at."""

    def start(self, stage: str, total: int | None, note: str = "") -> None:
        """Nothing."""

    def advance(self, stage: str, count: int = 1, note: str = "") -> None:
        """Nothing."""

    def finish(self, stage: str, note: str = "") -> None:
        """Nothing."""
