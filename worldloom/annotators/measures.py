"""Every measure that scores an annotation against truth, by one name.

| annotation | measure | unit |
|---|---|---|
| camera | `ate`, `rpe_deg` | reference's unit and % of the path; degrees over 1 s |
| actions | `action_scores`, `macro_f1` | definitions 2 (i)-(v) |
| events | `event_scores`, `match_subjects` | F1 within 2 frames |
| depth | `abs_rel` | relative error, with its coverage |
| revisits | `revisit_scores` | precision and recall outside the dead zone |
"""

from __future__ import annotations

from worldloom.annotators.label_measures import (
    EventScores,
    action_scores,
    box_iou,
    event_scores,
    macro_f1,
    match_subjects,
    near_change,
)
from worldloom.annotators.path_measures import AteResult, GroupAte, RpeResult, ate, rpe_deg
from worldloom.annotators.scene_measures import DepthScores, RevisitScores, abs_rel, revisit_scores

__all__ = [
    "AteResult",
    "DepthScores",
    "EventScores",
    "GroupAte",
    "RevisitScores",
    "RpeResult",
    "abs_rel",
    "action_scores",
    "ate",
    "box_iou",
    "event_scores",
    "macro_f1",
    "match_subjects",
    "near_change",
    "revisit_scores",
    "rpe_deg",
]
