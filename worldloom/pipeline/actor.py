"""What Ray's workers run: rows in, rows out. It imports nothing that a worker can do without.

Every pool of every pass starts new Python processes, and what they import is most of what they cost.
"""

from __future__ import annotations

import importlib
import json
import traceback
from collections.abc import Iterator
from typing import Any, Protocol


class Supervisor(Protocol):
    """What an actor holds: called with plain data, returns plain data and bytes."""

    def __call__(self, row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Work on one row."""

    @staticmethod
    def lost(row: dict[str, Any], error: str, attempts: int) -> tuple[dict[str, Any], bytes]:
        """The result of a row whose worker died under it every time; called in the driver."""


class Actor:
    """Ray's side of a supervisor: JSON in, JSON and bytes out, so that no block holds pickled objects."""

    def __init__(self, supervisor: str, settings: dict[str, Any]) -> None:
        self._supervisor: Supervisor = supervisor_class(supervisor)(**settings)

    def __call__(self, block: Any) -> Iterator[Any]:
        """One block of rows; each leaves as soon as it is done."""
        import pyarrow as pa

        for number, text in zip(block["number"].to_pylist(), block["row"].to_pylist(), strict=True):
            broken, told, payload = "", "", b""
            try:
                result, payload = self._supervisor(json.loads(text))
                told = json.dumps(result)
            except Exception:  # the driver ends the run with it: Ray would drop the block instead
                broken = traceback.format_exc()
            yield pa.table({"number": [number], "row": [told], "payload": [payload], "broken": [broken]})


def supervisor_class(place: str) -> Any:
    """The class behind `module:Class`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
