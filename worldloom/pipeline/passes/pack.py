"""Pass 4, chosen clips to shards: a plan made on metadata, deterministic shards, then the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.operations import Operation
from worldloom.pipeline.passes.compose import Chosen
from worldloom.pipeline.passes.work import Work


@dataclass
class Packed:
    """How packing ended.

    Attributes:
        tally: the pass's line of the table.
        manifest: number of the manifest that is the dataset now; 0 while there is none.
        committed: whether this run wrote it.
        problem: why nothing was committed; empty where it was, or nothing had to be.
        notes: sentences for the person at the terminal.
    """

    tally: Tally = field(default_factory=lambda: Tally("pack", 0, 0))
    manifest: int = 0
    committed: bool = False
    problem: str = ""
    notes: tuple[str, ...] = ()


def pack(work: Work, chosen: Sequence[Chosen], operations: Sequence[Operation], tables: Sequence[Tally]) -> Packed:
    return Packed()
