"""Annotators that need no models and no time: good ones, and ones that misbehave on chosen clips."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

from worldloom.annotators.annotator import Absent, Annotator, Given, Resources
from worldloom.catalogs.clip import Camera, Clip, Depth
from worldloom.catalogs.config import Strict


class BrightnessRules(Strict):
    """`version` stands for anything that changes the result."""

    times: float = 1.0


class Brightness(Annotator):
    """Mean of all pixels of all frames."""

    name = "brightness"
    version = "1"
    method = "mean"
    gives = "quality"
    Config = BrightnessRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        with clip.open_frames() as frames:
            mean = float(np.mean([frame.mean() for frame in frames]))
        return Given({"brightness": round(mean * self.config.times, 3)}, notes={"frames": clip.frames})


class NoRules(Strict):
    """Nothing to set."""


class Still(Annotator):
    """A camera that never moves; no answer for clips of an odd number of frames."""

    name = "pose"
    version = "1"
    method = "still"
    gives = "camera"
    Config = NoRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        if clip.frames % 2:
            return Absent("odd number of frames")
        c2w = np.tile(np.eye(4), (clip.frames, 1, 1))
        return Given(Camera.known(c2w, (100, 100, clip.width / 2, clip.height / 2), "none"))


class Labels(Annotator):
    """Needs a camera; counts its frames under `quality.labels`."""

    name = "labels"
    version = "1"
    method = "count"
    needs = ("camera",)
    gives = "quality"
    Config = BrightnessRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        assert clip.camera is not None
        assert clip.video is None, "an operation sees only what it declares"
        return Given({"labels": len(clip.camera) * self.config.times})


class TroubleRules(Strict):
    """Which clips, by number of frames, get which trouble."""

    raises: int = 0
    dies: int = 0
    hangs: int = 0
    eats: int = 0


class Trouble(Annotator):
    """Raises, dies by SIGSEGV, hangs, or eats memory on clips of a chosen length; fine on others."""

    name = "trouble"
    version = "1"
    method = "trouble"
    gives = "quality"
    Config = TroubleRules
    resources = Resources(deadline_s=5.0, memory_mb=2000)

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        if clip.frames == self.config.raises:
            raise RuntimeError("this clip is not to my liking")
        if clip.frames == self.config.dies:
            os.kill(os.getpid(), signal.SIGSEGV)
        if clip.frames == self.config.eats:
            np.ones(1 << 32, np.uint8)
        while clip.frames == self.config.hangs:
            pass
        return Given({"fine": 1.0})


class Measured(Annotator):
    """Depth of two metres everywhere."""

    name = "depth"
    version = "1"
    method = "two metres"
    needs = ("frames",)
    gives = "depth"
    Config = NoRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        z = np.full((2, 6, 8), 2.0, np.float32)
        frames = np.array([0, clip.frames - 1], np.int32)
        return Given(Depth(frames, z, np.ones(z.shape, bool), np.ones(2, np.float32), "metric", 0.01))
