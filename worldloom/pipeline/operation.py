"""One annotator as a job configures it. Workers import this, and nothing that they can do without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

LIMIT_AT_MOST = 10_000_000
"""Of a deadline in seconds, of memory in MB, of the calls of a child: what a quarantine file may say (default ours)."""

GIVEN_BY = {
    "pose": "camera",
    **{name: name for name in ("actions", "subjects", "events", "depth", "revisits", "hands", "captions")},
}
"""What a source that answers an operation by itself fills in."""


@dataclass(frozen=True)
class Operation:
    """One annotator as this job configures it.

    Attributes:
        name: of the operation; what the ledger calls it.
        place: registered name or `module:Class`.
        config: every value of its configuration, defaults included.
        method: of its annotations.
        version: of its annotations.
        gives: the member of `Clip` it fills.
        needs: members that must be there, without `frames`.
        sees: members it gets to see: what it needs and what it uses.
        sees_frames: whether it gets to see the video.
        after: operations whose answers it builds on.
        recipe: digest of what decides its result, including the recipes of all it builds on.
        cpus: cores of one running copy.
        gpus: share of a GPU of one running copy.
        memory_mb: of its child process.
        deadline_s: per clip.
    """

    name: str
    place: str
    config: dict[str, Any]
    method: str
    version: str
    gives: str
    needs: tuple[str, ...]
    sees: tuple[str, ...]
    sees_frames: bool
    after: tuple[str, ...]
    recipe: str
    cpus: float
    gpus: float
    memory_mb: int
    deadline_s: float

    def as_json(self) -> dict[str, Any]:
        """Plain data, as it travels to a worker."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Operation:
        """The inverse of `as_json`, also after JSON has made lists of tuples."""
        lists = {name: tuple(values[name]) for name in ("needs", "sees", "after")}
        return cls(**{**values, **lists})
