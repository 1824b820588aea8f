"""In which order windows are seen: a pure function of (seed, epoch), whatever the number of workers and processes.

An epoch visits every clip about once per stretch of its length that a window covers, times the weight of its
dataset. A step holds windows of one size and one length of history, which the first of its clips draws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worldloom.train.draws import numpy_generator
from worldloom.train.recipe import BatchConfig
from worldloom.train.windows import Pool, Starts, UsableClip, Window

LOOK_AHEAD = 64
"""Visits per place in a batch among which company for the first one is looked for (ours)."""


@dataclass(frozen=True)
class BatchPlan:
    """The windows of one step.

    Attributes:
        epoch: from 0.
        index: of the batch in its epoch.
        windows: of one size and one length of history.
    """

    epoch: int
    index: int
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Position:
    """How far the loader's consumer is.

    Attributes:
        epoch: from 0.
        consumed: batches of it.
    """

    epoch: int = 0
    consumed: int = 0


class Order:
    """All batches of a run, one after another.

    Args:
        pool: what can be drawn from.
        batch: how many, how long.
        starts: the method's windows.
        seed: of the recipe.
    """

    def __init__(self, pool: Pool, batch: BatchConfig, starts: Starts, seed: int) -> None:
        self.pool, self.batch, self.starts, self.seed = pool, batch, starts, seed

    def epoch(self, epoch: int) -> list[BatchPlan]:
        """The batches of one epoch."""
        generator = numpy_generator("order", self.seed, epoch)
        visits = self._visits(generator)
        sizes = sorted({clip.crop.size for clip in visits})
        groups = [
            group for size in sizes for group in self._groups([c for c in visits if c.crop.size == size], generator)
        ]
        shuffled = [groups[i] for i in generator.permutation(len(groups))]
        return [
            BatchPlan(epoch, index, tuple(self._window(clip, history, generator) for clip in clips))
            for index, (history, clips) in enumerate(shuffled)
        ]

    def from_position(self, position: Position) -> Iterator[BatchPlan]:
        """Endless: from the first batch that was not consumed."""
        epoch, consumed = position.epoch, position.consumed
        while True:
            yield from self.epoch(epoch)[consumed:]
            epoch, consumed = epoch + 1, 0

    def _visits(self, generator: np.random.Generator) -> list[UsableClip]:
        """Every clip as often as it is due, in random order; a fraction of a visit happens with that probability."""
        least = self.batch.history_choices[0] + self.batch.target_frames - 1
        due = np.array(
            [max(1.0, clip.frames / least) * self.pool.weights[clip.source] for clip in self.pool.clips], np.float64
        )
        count = np.floor(due + generator.random(len(due))).astype(np.int64)
        if not count.any():  # a tiny pool of small weight: the epoch would be empty
            count[:] = 1
        which = generator.permutation(np.repeat(np.arange(len(due)), count))
        return [self.pool.clips[i] for i in which]

    def _groups(
        self, visits: list[UsableClip], generator: np.random.Generator
    ) -> Iterator[tuple[int, list[UsableClip]]]:
        """Cut visits of one size into batches: (history frames, clips); a last one that is short is filled up."""
        waiting: list[UsableClip] = []
        coming = iter(visits)
        while True:
            while len(waiting) < LOOK_AHEAD * self.batch.size and (one := next(coming, None)) is not None:
                waiting.append(one)
            if not waiting:
                return
            choices = waiting[0].histories
            history = choices[int(generator.integers(len(choices)))]
            chosen = [i for i, clip in enumerate(waiting) if history in clip.histories][: self.batch.size]
            clips = [waiting[i] for i in chosen]
            taken = set(chosen)
            waiting = [clip for i, clip in enumerate(waiting) if i not in taken]
            yield history, [clips[i % len(clips)] for i in range(self.batch.size)]

    def _window(self, clip: UsableClip, history: int, generator: np.random.Generator) -> Window:
        starts = self.starts(clip, history, self.batch.target_frames)
        first = int(starts[int(generator.integers(len(starts)))])
        return Window(clip.source, clip.position, clip.key, first, history, self.batch.target_frames, clip.crop)


def advanced(position: Position, plan: BatchPlan) -> Position:
    """The position after this batch."""
    if (plan.epoch, plan.index) < (position.epoch, position.consumed):
        raise ValueError(f"batch {plan.index} of epoch {plan.epoch} comes before position {position}")
    return Position(plan.epoch, plan.index + 1)
