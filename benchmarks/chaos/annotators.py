"""Annotators for disturbed jobs: one that takes time, and one that misbehaves on chosen clips."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from worldloom.annotators.annotator import Absent, Annotator, Given, Resources
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict


class ToilRules(Strict):
    """`cpu_s`: CPU seconds per clip."""

    cpu_s: float = 0.1


class Toil(Annotator):
    """Takes CPU time and says how bright the clip is; no answer for clips whose number of frames divides by seven."""

    name = "toil"
    version = "1"
    method = "mean"
    gives = "quality"
    Config = ToilRules
    resources = Resources(deadline_s=60.0, memory_mb=1500)

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Mean of all pixels."""
        end = time.process_time() + self.config.cpu_s
        if clip.frames % 7 == 0:
            return Absent("divides by seven")
        with clip.open_frames() as frames:
            mean = float(np.mean([frame.mean() for frame in frames]))
        while time.process_time() < end:
            pass
        return Given({"toil": round(mean, 3)})


class TrapRules(Strict):
    """Numbers of frames by what clips of that length do; `eats_bytes` is where eating stops, for the machine's sake."""

    raises: int = 0
    crashes: int = 0
    exits: int = 0
    hangs: int = 0
    eats: int = 0
    eats_bytes: int = 3 << 30


class Trap(Annotator):
    """Fine, except on clips of the chosen lengths."""

    name = "trap"
    version = "1"
    method = "length"
    gives = "quality"
    Config = TrapRules
    resources = Resources(deadline_s=20.0, memory_mb=1500)  # on a busy machine a hog takes seconds to eat that

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """What stands in the configuration."""
        fragile_model(clip.frames, self.config)
        return Given({"trapped": 0.0})


def fragile_model(frames: int, rules: TrapRules) -> None:
    """What native code of other people does on inputs it was not made for."""
    if frames == rules.raises:
        raise RuntimeError("this clip is not to my liking")
    if frames == rules.crashes:
        os.kill(os.getpid(), signal.SIGSEGV)
    if frames == rules.exits:
        os._exit(3)
    if frames == rules.eats:
        hoard: list[np.ndarray] = []
        while sum(map(len, hoard)) < rules.eats_bytes:
            hoard.append(np.ones(1 << 27, np.uint8))
        raise MemoryError
    while frames == rules.hangs:
        pass
