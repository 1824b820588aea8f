"""Tri-state action labels from the camera path; the rules are `catalogs.actions`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldloom.annotators.annotator import Absent, Annotator, Given
from worldloom.catalogs.actions import UNCERTAIN, ActionRules, label_actions
from worldloom.catalogs.clip import Clip


class ActionAnnotator(Annotator):
    """Reads poses only; changing a threshold relabels without touching a frame."""

    name = "actions"
    version = "1"
    method = "poses"
    needs = ("camera",)
    gives = "actions"
    Config = ActionRules

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Label every step of the clip; the confidence is the share of steps with a discrete view or move."""
        camera = clip.camera
        if camera is None:
            return Absent("no camera")
        if int(camera.valid.sum()) < 2:
            return Absent("fewer than two poses")
        actions = label_actions(camera, clip.fps, self.config)
        sure = (actions.move[:-1] != UNCERTAIN) | (actions.view[:-1] != UNCERTAIN)
        notes = {
            "unit": actions.unit,
            "up": actions.up,
            "thresholds": [round(float(value), 6) for value in actions.thresholds],
            "uncertain_move": round(float(np.mean(actions.move[:-1] == UNCERTAIN)), 6),
            "uncertain_view": round(float(np.mean(actions.view[:-1] == UNCERTAIN)), 6),
        }
        return Given(actions, confidence=float(sure.mean()), notes=notes)
