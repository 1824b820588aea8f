"""Frames that see again what left the view; the rules are `catalogs.overlap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.overlap import RevisitRules, find_revisits, overlap_matrix, pose_overlap_matrix


class RevisitConfig(RevisitRules):
    """Thresholds of revisits, and where poses alone are looked at.

    Attributes:
        max_frames: frames compared where there is no depth, spread evenly over the clip (default ours).
    """

    max_frames: Annotated[int, Field(ge=2)] = 160


class RevisitAnnotator(Annotator):
    """Overlap through depth where the clip has it, else from poses alone, and then it says so in its method.

    Poses alone are exact for a camera that only turns, and cannot see walls otherwise.
    """

    name = "revisits"
    version = "1"
    method = "depth"
    needs = ("camera",)
    uses = ("depth",)
    gives = "revisits"
    Config = RevisitConfig

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Compare every two frames that have depth (or a pose, where none has)."""
        camera, rules = clip.camera, self.config
        if camera is None or int(camera.valid.sum()) < 2:
            return Absent("no camera")
        if clip.seconds < rules.apart_s:
            return Absent("shorter than the least time between two visits")
        depth = clip.depth
        from_depth = depth is not None and len(depth) >= 2
        if depth is not None and from_depth:
            frames = depth.frames
            overlap = overlap_matrix(depth, camera, clip.width, clip.height, rules)
        else:
            count = min(rules.max_frames, clip.frames)
            frames = np.unique(np.linspace(0, clip.frames - 1, count).round().astype(np.int32))
            overlap = pose_overlap_matrix(camera, clip.width, clip.height, clip.fps, rules, frames)
        revisits = find_revisits(overlap, frames, clip.fps, clip.frames, rules, from_depth)
        notes = {"frames_compared": len(frames), "pairs": len(revisits.pairs)}
        return Given(revisits, method="depth" if from_depth else "poses", notes=notes)
