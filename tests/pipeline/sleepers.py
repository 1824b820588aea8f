"""An annotator that takes its time, so that a run can be interrupted in the middle."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.pipeline.fakes import NoRules
from worldloom.annotators.annotator import Absent, Annotator, Given, Resources
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict


class StuckRules(Strict):
    """Which clips, by number of frames, take an hour, and the folder in which each leaves the number of its process."""

    frames: int
    seen: str


class Stuck(Annotator):
    """Works for an hour on clips of a chosen length."""

    name = "stuck"
    version = "1"
    method = "stuck"
    gives = "quality"
    Config = StuckRules
    resources = Resources(deadline_s=3600)

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        if clip.frames == self.config.frames:
            (Path(self.config.seen) / str(os.getpid())).touch()
            time.sleep(3600)
        return Given({"stuck": 0.0})


class Sleeper(Annotator):
    """Answers after half a second."""

    name = "sleeper"
    version = "1"
    method = "sleep"
    gives = "quality"
    Config = NoRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        time.sleep(0.5)
        return Given({"slept": 1.0})
