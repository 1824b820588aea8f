"""What a child process of the scorecard does: render or load one clip, label it twice, score it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldloom.annotators.annotator import Absent, annotator_class
from worldloom.catalogs.clip import Annotation, Clip, Subjects
from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.scorecard.measure import score_clip

CHAIN = ("pose", "actions", "subjects", "events", "depth", "revisits")
"""Labelled from pixels alone, each from what the ones before it found."""

WITH_TRUE_INPUTS = ("actions", "events", "depth", "revisits")
"""Labelled once more from the true camera and the true tracks."""

OVERLAP_STEP = 2
"""True overlap is computed between every second frame: revisits are asked for at frames of depth (ours)."""


def score_world(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Render the world of `payload["plan"]` and score every annotator on it.

    Args:
        payload: `plan`, the row of a plan; `folder`, where scratch files may lie.

    Returns:
        Facts of `score_clip` with `name`, `seconds` per operation and `rendered_fps`.
    """
    from worldloom.catalogs.config import load
    from worldloom.synth.plan import WorldPlan
    from worldloom.synth.render import render_world

    plan = load(WorldPlan, payload["plan"], where="plan")
    with tempfile.TemporaryDirectory(dir=payload["folder"]) as scratch:
        started = time.perf_counter()
        truth = render_world(plan, Path(scratch) / "world.mp4", depth_every=1)
        seconds = time.perf_counter() - started
        facts = score_truth(truth, Path(scratch))
    return facts | {"name": plan.name, "rendered_fps": truth.frames / seconds}


def score_truth(truth: Clip, scratch: Path) -> dict[str, Any]:
    """Label the clip twice, from pixels alone and from true inputs, and score both."""
    estimate, seconds = label(unlabelled(truth), CHAIN, scratch)
    given, given_seconds = label(with_true_inputs(truth), WITH_TRUE_INPUTS, scratch)
    overlap, frames = true_overlap(truth)
    facts = score_clip(truth, estimate, given, overlap, frames)
    return facts | {"seconds": seconds, "seconds_given": given_seconds}


def unlabelled(truth: Clip) -> Clip:
    """The clip as a stranger would see it: the video alone."""
    return replace(
        truth, camera=None, actions=None, subjects=None, depth=None, hands=None, events=[], revisits=None, quality={},
        captions=[], annotations={},
    )  # fmt: skip


def with_true_inputs(truth: Clip) -> Clip:
    """The clip with its true camera, and its subjects as a perfect tracker would give them: visible boxes."""
    known = {name: Annotation("ok", "truth", "1") for name in ("pose", "subjects")}
    return replace(unlabelled(truth), camera=truth.camera, subjects=as_tracks(truth), annotations=known)


def as_tracks(truth: Clip) -> Subjects | None:
    """True subjects reduced to what a tracker delivers: no positions, no full projection, visibility from boxes."""
    from worldloom.catalogs.events import box_visibility

    subjects = truth.subjects
    if subjects is None:
        return None
    visibility = [box_visibility(box, width=truth.width, height=truth.height) for box in subjects.box]
    return replace(
        subjects,
        visibility=_stacked(visibility, subjects.visibility),
        source=["tracks"] * len(subjects),
        position=None,
        in_frame=None,
        full_box=None,
    )


def label(clip: Clip, names: Iterable[str], scratch: Path) -> tuple[Clip, dict[str, float]]:
    """Run annotators in order, each on what those before it found; seconds each took."""
    seconds: dict[str, float] = {}
    clip = replace(clip, annotations=dict(clip.annotations))
    for name in names:
        annotator = annotator_class(name)()
        missing = [need for need in annotator.needs if need != "frames" and getattr(clip, need) is None]
        if missing:
            clip.annotations[name] = annotator.record(Absent(f"missing {missing[0]}"))
            continue
        room = scratch / name
        room.mkdir(exist_ok=True)
        started = time.perf_counter()
        try:
            answer = annotator.annotate(clip, room)
        except BadInput as error:
            clip.annotations[name] = Annotation("failed", annotator.method, annotator.version, error.reason, 0.0)
            continue
        finally:
            seconds[name] = time.perf_counter() - started
            shutil.rmtree(room, ignore_errors=True)
        clip.annotations[name] = annotator.record(answer)
        if not isinstance(answer, Absent):
            setattr(clip, annotator.gives, answer.value)
    return clip, seconds


def true_overlap(truth: Clip) -> tuple[Any, Any]:
    """(N, N) overlap from true depth and the frames it is between; nothing where depth or camera is unknown."""
    from worldloom.catalogs.overlap import overlap_matrix

    if truth.depth is None or truth.camera is None:
        return None, None
    keep = slice(None, None, OVERLAP_STEP)
    depth = replace(
        truth.depth,
        frames=truth.depth.frames[keep],
        z=truth.depth.z[keep],
        valid=truth.depth.valid[keep],
        confidence=truth.depth.confidence[keep],
    )
    return overlap_matrix(depth, truth.camera, truth.width, truth.height), depth.frames


def _stacked(rows: list[Any], like: Any) -> Any:
    import numpy as np

    return np.stack(rows).astype(like.dtype) if rows else like
