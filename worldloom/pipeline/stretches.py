"""How many rows go to the workers at a time, in blocks of how many, and which of them have not come back.

A job is worked on in stretches: so many rows that the pause between two is small against the work in one, so few that
what the driver holds does not depend on the length of the job. A worker gets a block of rows per task; every finished
row leaves it at once. Rows whose worker died go out again alone, in a stretch of their own. Ray's bookkeeping takes
about 6 ms of the driver's time per row that has a task of its own and about 2.5 ms per row where 8 share one (2 cores,
Ray 2.60), so short rows share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

STRETCH_S = 300.0
"""Seconds that a stretch should take (default ours): the pause between two, new actors and children, takes about 3."""

ROWS_AT_LEAST, ROWS_AT_MOST = 1024, 2048
"""Of a stretch, unless so many workers need more (default ours)."""

ROWS_PER_WORKER = 32
"""Of a stretch at least, so that the end of one, when workers run out of rows one by one, is short against it."""

TASK_S, BLOCK_ROWS_AT_MOST = 2.0, 32
"""Seconds that a task of several rows should take, and its rows at most: what a worker's death makes it do again."""

UNKNOWN_BLOCK_ROWS = 4
"""Rows of a task while the pace is unknown, from the second quarter on: the first, the dearest, go out alone."""

TAIL_BLOCKS_PER_WORKER = 2
"""The last rows of a stretch go out in so many blocks of one row per worker, so that all end at about the same time."""


AHEAD_ABOVE = 16
"""Tasks per worker above which some wait at a busy worker. At the end of the stretch the last ones may wait behind
another while a worker idles; with so many, and the dearest first, that is little."""

AHEAD_S, AHEAD_UNKNOWN, AHEAD_AT_MOST = 0.3, 4, 8
"""Seconds of work that should wait at a busy worker, because Ray Data looks after finished tasks ten times a second
(Ray 2.60); tasks while the pace is unknown, and at most."""

ROUNDS_ALONE = 2
"""How often a lost row goes out alone before it is given up (default ours): the node under it may die too."""


@dataclass(frozen=True)
class Sent:
    """A row on its way: its JSON text, and how often its worker had nothing else at hand, this time included."""

    text: str
    alone: int


class Stretches:
    """Rows in, blocks of numbered rows out; knows which of them have not come back.

    Args:
        rows: plain data, in the order in which they shall be begun.
        workers: that work at once.
        seconds_per_row: of one worker, from earlier rows of this kind; None where there were none.

    Attributes:
        careful: whether the rows under way were lost before.
    """

    def __init__(self, rows: Iterator[Mapping[str, Any]], workers: int, seconds_per_row: float | None = None) -> None:
        self._rows = rows
        self._workers = workers
        self.seconds_per_row = seconds_per_row
        self.careful = False
        self._out: dict[int, Sent] = {}
        self._again: list[tuple[int, Sent]] = []
        self._count = 0

    def next_blocks(self) -> list[list[tuple[int, str]]]:
        """Blocks of the next stretch, empty at the end.

        Rows that were lost go out before any new ones, each alone, in a stretch of their own: a worker that dies takes
        along what waits behind the row under which it dies.
        """
        if self._again:
            again, self._again = self._again, []
            self.careful = True
            self._out = {number: Sent(sent.text, sent.alone + 1) for number, sent in again}
            return [[(number, sent.text)] for number, sent in again]
        self.careful = False
        fresh = []
        for row in islice(self._rows, self._stretch_rows()):
            fresh.append((self._count, json.dumps(row)))
            self._count += 1
        single = 0 if self.seconds_per_row else len(fresh) // 4
        blocks = [[row] for row in fresh[:single]]
        blocks += split_blocks(fresh[single:], self._block_rows(), self._workers)
        waits = self.tasks_per_worker(len(blocks)) > 1
        for block in blocks:
            alone = int(len(block) == 1 and not waits)
            self._out |= {number: Sent(text, alone) for number, text in block}
        return blocks

    def tasks_per_worker(self, tasks: int) -> int:
        """Of the stretch that goes out in so many tasks: how many a worker has at a time, the one at work included."""
        if self.careful or tasks < AHEAD_ABOVE * self._workers:
            return 1
        if not self.seconds_per_row:
            return AHEAD_UNKNOWN
        return min(1 + math.ceil(AHEAD_S / (self.seconds_per_row * self._block_rows())), AHEAD_AT_MOST)

    def came_back(self, number: int) -> bool:
        """Note that a row is done; False for one that was told before (a block is done again after a death)."""
        return self._out.pop(number, None) is not None

    def lost(self) -> Iterator[dict[str, Any]]:
        """After a stretch: rows that were lost alone too often and are given up; other lost ones go out once more."""
        missing, self._out = self._out, {}
        for number, sent in missing.items():
            if sent.alone >= ROUNDS_ALONE:
                yield json.loads(sent.text)
            else:
                self._again.append((number, sent))

    def took(self, rows: int, seconds: float) -> None:
        """Note the pace: so many rows took all workers so many wall-clock seconds."""
        # Few rows say more about the start of the workers than about the rows, and lost ones about their deaths.
        if rows >= 2 * self._workers and not self.careful:
            self.seconds_per_row = seconds * self._workers / rows

    def _stretch_rows(self) -> int:
        least = max(ROWS_AT_LEAST, ROWS_PER_WORKER * self._workers)
        if not self.seconds_per_row:
            return least
        wanted = int(self._workers * STRETCH_S / self.seconds_per_row)
        return min(max(wanted, least), max(ROWS_AT_MOST, least))

    def _block_rows(self) -> int:
        if not self.seconds_per_row:
            return UNKNOWN_BLOCK_ROWS
        return min(max(int(TASK_S / self.seconds_per_row), 1), BLOCK_ROWS_AT_MOST)


def split_blocks(rows: Sequence[tuple[int, str]], block_rows: int, workers: int) -> list[list[tuple[int, str]]]:
    """Rows in order, in blocks of so many, the last ones alone."""
    tail = min(len(rows), TAIL_BLOCKS_PER_WORKER * workers)
    head = rows[: len(rows) - tail]
    # Few rows are shared out evenly before they are put together.
    block_rows = max(1, min(block_rows, len(head) // (4 * workers)))
    blocks = [list(head[start : start + block_rows]) for start in range(0, len(head), block_rows)]
    return blocks + [[row] for row in rows[len(head) :]]
