"""What a child process of the scorecard does: render or load one clip, label it twice, score it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.clip import Annotation, Clip, Subjects
from worldloom.catalogs.config import load
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.events import box_visibility
from worldloom.catalogs.overlap import overlap_matrix
from worldloom.pipeline.chain import label
from worldloom.pipeline.scorecard.measure import score_clip
from worldloom.pipeline.workspace import Workspace
from worldloom.synth.plan import WorldPlan

CHAIN = ("pose", "actions", "subjects", "events", "depth", "revisits")
"""Labelled from pixels alone, each from what the ones before it found."""

WITH_TRUE_INPUTS = ("actions", "events", "depth", "revisits")
"""Labelled once more from the true camera and the true tracks."""

OVERLAP_STEP = 4
"""True depth and overlap are of every fourth frame, which holds those that the depth annotator takes (ours)."""
OVERLAP_WIDTH = 120
"""Columns of the true depth maps that overlap is counted on: a share of 8,000 points is good to 1 % (ours)."""


def score_world(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Render the world of `payload["plan"]` and score every annotator on it.

    Args:
        payload: `plan`, the row of a plan; `folder`, where scratch files may lie.

    Returns:
        Facts of `score_clip` with `name` and CPU `seconds` per operation.
    """
    from worldloom.synth.render import render_world

    plan = load(WorldPlan, payload["plan"], where="plan")
    with tempfile.TemporaryDirectory(dir=payload["folder"]) as scratch:
        truth = render_world(plan, Path(scratch) / "world.mp4", depth_every=OVERLAP_STEP)
        facts = score_truth(truth, Path(scratch))
    return facts | {"name": plan.name}


def time_rendering(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Frames per second of rendering, encoding and truth, as jobs render; the world is painted and lit before.

    Args:
        payload: `plan`, the row of a plan; `folder`, where scratch files may lie.
    """
    from worldloom.synth.render import render_world
    from worldloom.synth.world import world

    plan = load(WorldPlan, payload["plan"], where="plan")
    world(plan.place, plan.look)
    with tempfile.TemporaryDirectory(dir=payload["folder"]) as scratch:
        started = time.perf_counter()
        truth = render_world(plan, Path(scratch) / "world.mp4")
        return {"name": plan.name, "rendered_fps": truth.frames / (time.perf_counter() - started)}


def score_job_clip(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Score what a job found out about one rendered clip; actions and events once more from true inputs.

    Args:
        payload: `run`, the working folder; `key` of the clip; `folder` for scratch files.
    """
    space = Workspace(payload["run"])
    estimate, truth = space.load(payload["key"]), space.truth(payload["key"])
    if truth is None:
        raise BadInput("no_truth", "nothing true is known about it", where=payload["key"])
    with tempfile.TemporaryDirectory(dir=payload["folder"]) as scratch:
        given, _ = label(with_true_inputs(truth), ("actions", "events"), Path(scratch))
        boxes, _ = label(with_true_boxes(truth), ("events",), Path(scratch))
    facts = score_clip(truth, estimate, given, *true_overlap(truth), boxes)
    return facts | {"name": estimate.provenance.uri}


def score_truth(truth: Clip, scratch: Path) -> dict[str, Any]:
    """Label the clip twice, from pixels alone and from true inputs, and score both."""
    estimate, seconds = label(unlabelled(truth), CHAIN, scratch)
    given, given_seconds = label(with_true_inputs(truth), WITH_TRUE_INPUTS, scratch)
    boxes, _ = label(with_true_boxes(truth), ("events",), scratch)
    facts = score_clip(truth, estimate, given, *true_overlap(truth), boxes)
    return facts | {"seconds": seconds, "seconds_given": given_seconds}


def unlabelled(truth: Clip) -> Clip:
    """The clip as a stranger would see it: the video alone."""
    return replace(
        truth, camera=None, actions=None, subjects=None, depth=None, hands=None, events=[], revisits=None, quality={},
        captions=[], annotations={},
    )  # fmt: skip


def with_true_inputs(truth: Clip) -> Clip:
    """The clip with its true camera and its true tracks: boxes and visibility, and nothing that no tracker knows."""
    known = {name: Annotation("ok", "truth", "1") for name in ("pose", "subjects")}
    return replace(unlabelled(truth), camera=truth.camera, subjects=as_tracks(truth), annotations=known)


def with_true_boxes(truth: Clip) -> Clip:
    """The same, visibility as box area over its running maximum: all that a tracker without masks delivers."""
    clip = with_true_inputs(truth)
    if clip.subjects is not None and len(clip.subjects):
        rows = [box_visibility(box, width=truth.width, height=truth.height) for box in clip.subjects.box]
        clip.subjects = replace(clip.subjects, visibility=np.stack(rows).astype(np.float32))
    return clip


def as_tracks(truth: Clip) -> Subjects | None:
    """True subjects without positions and without what is outside the picture or behind something."""
    if truth.subjects is None:
        return None
    source = ["tracks"] * len(truth.subjects)
    return replace(truth.subjects, source=source, position=None, in_frame=None, full_box=None)


def true_overlap(truth: Clip) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(N, N) overlap between the frames with true depth, and these frames; nothing without depth or camera."""
    if truth.depth is None or truth.camera is None:
        return None, None
    step = max(1, round(truth.width / OVERLAP_WIDTH))
    pixels = (slice(None), slice(step // 2, None, step), slice(step // 2, None, step))
    depth = replace(truth.depth, z=truth.depth.z[pixels], valid=truth.depth.valid[pixels])
    return overlap_matrix(depth, truth.camera, truth.width, truth.height), depth.frames
