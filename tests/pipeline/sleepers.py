"""An annotator that takes its time, so that a run can be interrupted in the middle."""

from __future__ import annotations

import time
from pathlib import Path

from tests.pipeline.fakes import NoRules
from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.catalogs.clip import Clip


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
