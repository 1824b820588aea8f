"""One clip against its truth: the facts that the rows of the scorecard are made of.

Two annotated versions of a clip are scored. `estimate` was labelled from pixels alone, as a clip of unknown origin
is. `given` got the true inputs of each annotator (true poses, true tracks), so that its rows score one annotator
and not the chain in front of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from worldloom.annotators.measures import abs_rel, ate, event_scores, match_subjects, revisit_scores, rpe_deg
from worldloom.catalogs.clip import Clip, Revisits

STILL_M = 0.05
"""A true path shorter than this is one of a camera that stands or only turns (ours)."""

EVENT_TOLERANCE = 2


def score_clip(
    truth: Clip,
    estimate: Clip,
    given: Clip | None = None,
    true_overlap: np.ndarray | None = None,
    overlap_frames: np.ndarray | None = None,
    boxes: Clip | None = None,
) -> dict[str, Any]:
    """Facts about one clip, plain JSON values; parts for which there is no truth are left out.

    Args:
        truth: camera in metres, actions, subjects, events, depth, as far as known.
        estimate: the same frames, labelled from pixels alone.
        given: the same frames, every annotator with true inputs.
        true_overlap: (N, N) true overlap between frames.
        overlap_frames: (N,) which frames these are.
        boxes: the same frames, its events found from true boxes alone.
    """
    versions = {"estimate": estimate} | ({"given": given} if given is not None else {})
    facts: dict[str, Any] = {
        "key": truth.key,
        "frames": truth.frames,
        "fps": float(truth.fps),
        "motion": true_motion(truth),
        "annotations": {
            name: {word: {"status": note.status, "reason": note.reason} for word, note in clip.annotations.items()}
            for name, clip in versions.items()
        },
    }
    scale, facts["pose"] = _pose(truth, estimate)
    facts["actions"] = _actions(truth, versions)
    facts["events"] = _events(truth, versions | ({"boxes": boxes} if boxes is not None else {}))
    facts["depth"] = _depth(truth, versions, {"estimate": scale, "given": 1.0})
    if true_overlap is not None and overlap_frames is not None:
        facts["revisits"] = _revisits(versions, true_overlap, overlap_frames)
    return facts


def true_motion(truth: Clip) -> str:
    """`moves`, `turns` (rotation without translation) or `stands`."""
    if truth.camera is None:
        return "unknown"
    positions = truth.camera.c2w[:, :3, 3]
    if float(np.nansum(np.linalg.norm(np.diff(positions, axis=0), axis=1))) >= STILL_M:
        return "moves"
    forward = truth.camera.c2w[:, :3, 2]
    turned = np.degrees(np.arccos(np.clip(forward @ forward[0], -1, 1)).max())
    return "turns" if turned >= 1.0 else "stands"


def _pose(truth: Clip, estimate: Clip) -> tuple[float | np.ndarray, dict[str, Any]]:
    """Facts about the poses, and the factor that takes the estimate's unit of length to metres at each frame."""
    found, right = estimate.camera, truth.camera
    if found is None or right is None:
        return math.nan, {"posed": False, "valid_frames": 0, "groups": []}
    where = found.valid & found.translation_known
    path = ate(found.c2w, right.c2w, found.scale_group, where)
    turning = rpe_deg(found.c2w, right.c2w, float(truth.fps), valid=found.valid)
    facts = {
        "posed": True,
        "scale": found.scale,
        "valid_frames": int(found.valid.sum()),
        "translated_frames": int(where.sum()),
        "groups": [
            {"frames": group.frames, "percent": _plain(group.percent), "path_m": _plain(group.path_length)}
            for group in path.groups
        ],
        "rotation_deg": _plain(turning.median),
        "rotation_worst_deg": _plain(turning.maximum),
        "rotation_pairs": turning.pairs,
        "focal_error_percent": _plain(_focal_error(found.intrinsics, right.intrinsics)),
    }
    return path.scale, facts


def _focal_error(found: np.ndarray, right: np.ndarray) -> float:
    return 100 * abs(float(np.nanmedian(found[:, 0])) / float(np.nanmedian(right[:, 0])) - 1)


def _actions(truth: Clip, versions: dict[str, Clip]) -> dict[str, Any]:
    """Labels themselves: macro-F1 is taken over the frames of all clips together, not averaged over clips."""
    if truth.actions is None:
        return {}
    labels = {"truth": truth.actions} | {n: clip.actions for n, clip in versions.items() if clip.actions is not None}
    return {name: {"move": actions.move.tolist(), "view": actions.view.tolist()} for name, actions in labels.items()}


def _events(truth: Clip, versions: dict[str, Clip]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if truth.subjects is None:
        return facts
    for name, clip in versions.items():
        if "events" not in clip.annotations:
            continue
        identity = None
        if name == "estimate":
            identity = {} if clip.subjects is None else match_subjects(clip.subjects, truth.subjects)
        facts[name] = asdict(event_scores(clip.events, truth.events, EVENT_TOLERANCE, identity))
    return facts


def _depth(truth: Clip, versions: dict[str, Clip], scales: dict[str, float | np.ndarray]) -> dict[str, Any]:
    if truth.depth is None:
        return {}
    facts = {}
    for name, clip in versions.items():
        if clip.depth is None or not len(clip.depth):
            continue
        score = abs_rel(clip.depth, truth.depth, scale=scales[name])
        facts[name] = {
            "abs_rel": _plain(score.abs_rel),
            "delta1": _plain(score.delta1),
            "coverage": _plain(score.coverage),
            "stated_error": _plain(clip.depth.stated_error),
            "maps": score.maps,
        }
    return facts


def _revisits(versions: dict[str, Clip], overlap: np.ndarray, frames: np.ndarray) -> dict[str, Any]:
    facts = {}
    for name, clip in versions.items():
        if "revisits" not in clip.annotations:
            continue
        found = clip.revisits or Revisits(np.zeros((0, 2), np.int32), np.zeros(0, np.float32), 0.0)
        looked_at = clip.depth.frames if clip.depth is not None and found.from_depth else None
        facts[name] = asdict(revisit_scores(found, overlap, frames, clip.fps, looked_at=looked_at))
    return facts


def _plain(value: float) -> float | None:
    """A JSON number, or None where there is none."""
    return None if value is None or not math.isfinite(value) else round(float(value), 6)
