"""What every stage of a run takes: rows, seconds per row, and how much video gets through in a second of a core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worldloom.catalogs.errors import WorldloomError
from worldloom.pipeline.standing import read_standing

if TYPE_CHECKING:
    from worldloom.pipeline.workspace import Workspace


@dataclass(frozen=True)
class Pace:
    """One stage.

    Attributes:
        name: of the pass or operation.
        rows: that went in.
        seconds_per_row: wall-clock time of one row on its worker, mean over the ledger; None where nothing ran.
        video_per_second: seconds of video that a worker gets through in one second; None where not known.
        last_rows_per_second: over all workers, in the last run; None where the stage had nothing to do.
        part_of: the pass an operation belongs to; empty for a pass.
    """

    name: str
    rows: int
    seconds_per_row: float | None
    video_per_second: float | None
    last_rows_per_second: float | None
    part_of: str = ""


def paces(space: Workspace, seconds_of_video: float | None = None) -> list[Pace]:
    """The pace of every stage that has run.

    Args:
        space: of the run.
        seconds_of_video: of all ingested clips together, where known.
    """
    means = space.seconds_per_row()
    try:
        standing = read_standing(space.out)
    except WorldloomError:
        standing = None
    last = {line.name: line.rate_overall for line in standing.lines if line.done} if standing is not None else {}
    found = []
    for tally in space.summary().tables:
        mean = means.get(tally.name)
        if mean is None and tally.name not in last:
            continue
        spent = (mean or 0.0) * tally.inputs
        video = seconds_of_video / spent if seconds_of_video and spent > 0 else None
        found.append(Pace(tally.name, tally.inputs, mean, video, last.get(tally.name), tally.part_of))
    return found
