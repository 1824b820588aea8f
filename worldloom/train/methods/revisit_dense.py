"""Flow matching on windows whose target sees again what their history saw (Infinite-World's revisit-dense stage)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldloom.train.methods.config import RevisitDenseConfig
from worldloom.train.methods.flow_matching import FlowMatching
from worldloom.train.recipe import Recipe
from worldloom.train.windows import UsableClip, every_start


class RevisitDense(FlowMatching):
    """The loss of `flow_matching`; other windows, and a history of any length (HPMC: Mode 2 above 80 latents)."""

    needs_revisits: ClassVar[bool] = True

    def check(self, recipe: Recipe) -> None:
        """Any length of history will do."""

    def starts(self, clip: UsableClip, history_frames: int, target_frames: int) -> np.ndarray:
        """Windows with a revisit whose earlier frame lies in the history and whose later one is new in the target."""
        assert isinstance(self.config, RevisitDenseConfig)
        count = len(every_start(clip, history_frames, target_frames))
        if clip.revisits is None or not count:
            return np.zeros(0, np.int64)
        wanted = clip.revisits.overlap >= self.config.min_overlap
        earlier, later = clip.revisits.pairs[wanted].astype(np.int64).T
        # With the window's first frame a: a <= earlier <= a + Th - 1 < later <= a + Th + Tt - 2.
        low = np.maximum.reduce(
            [earlier - history_frames + 1, later - history_frames - target_frames + 2, np.zeros_like(earlier)]
        )
        high = np.minimum.reduce([earlier, later - history_frames, np.full_like(earlier, count - 1)])
        some = low <= high
        steps = np.zeros(count + 1, np.int64)
        np.add.at(steps, low[some], 1)
        np.add.at(steps, high[some] + 1, -1)
        return np.flatnonzero(np.cumsum(steps[:-1]) > 0)
