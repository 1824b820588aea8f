"""What the script of a clip's page knows: one JSON object with a value per frame, safe to stand inside HTML."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.catalogs.clip import Camera, Clip, Hands, Subjects
from worldloom.report.clip_pictures import DepthView, FilmFrame
from worldloom.report.clip_plan import Plan
from worldloom.report.figure import ARROWS

_FINGERS = ("Thumb", "IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger")
_BONES = ("Metacarpal", "Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
"""Joints of a finger from the wrist outwards, as EgoDex and ARKit name them; the thumb has no metacarpal."""


def page_data(
    clip: Clip, plan: Plan | None, depth: DepthView | None, film: list[FilmFrame], video_href: str, truth: Clip | None
) -> dict[str, Any]:
    """Everything the page moves with its cursor; lists hold a value per frame, `None` where there is none.

    Args:
        clip: T frames.
        plan: its path from above.
        depth: its maps.
        film: pictures of its strip.
        video_href: where the video lies; empty for none.
        truth: for its actions.
    """
    data: dict[str, Any] = {
        "key": clip.key,
        "fps": float(clip.fps),
        "frames": clip.frames,
        "width": clip.width,
        "height": clip.height,
        "video": {"href": video_href, "map": frame_map(clip)},
        "source_s": plain(clip.pts_s, 4),
        "moves": list(MOVES),
        "views": list(VIEWS),
        "arrows": list(ARROWS),
        "film": [one.frame for one in film],
        "depth": [] if depth is None else [one.frame for one in depth.maps],
        "events": [
            {
                "subject": event.subject, "kind": event.kind,
                "first_hidden": event.first_hidden, "first_visible": event.first_visible,
                "exit_cause": event.exit_cause, "entry_cause": event.entry_cause,
                "exit_side": event.exit_side, "entry_side": event.entry_side,
            }
            for event in clip.events
        ],
    }  # fmt: skip
    if clip.actions is not None:
        actions = clip.actions
        data["actions"] = {
            "move": actions.move.tolist(), "view": actions.view.tolist(), "unit": actions.unit,
            "margins": plain(actions.margins, 2), "motion": plain(actions.motion, 3),
        }  # fmt: skip
    if truth is not None and truth.actions is not None:
        data["truth"] = {"move": truth.actions.move.tolist(), "view": truth.actions.view.tolist()}
    if plan is not None:
        data["plan"] = {"place": plain(plan.place, 1), "heading": plain(plan.heading, 3)}
        if plan.true_place is not None:
            data["plan"]["true"] = plain(plan.true_place, 1)
            data["plan"]["true_heading"] = plain(plan.true_heading, 3)
    if clip.camera is not None:
        data["camera"] = _camera(clip.camera, clip.width)
    if clip.subjects is not None:
        data["subjects"] = [_subject(clip.subjects, s) for s in range(len(clip.subjects))]
    if clip.hands is not None:
        data["hands"] = _hands(clip.hands, clip.camera)
    if clip.revisits is not None and len(clip.revisits.pairs):
        data["revisits"] = {"pairs": clip.revisits.pairs.tolist(), "overlap": plain(clip.revisits.overlap, 2)}
    return data


def as_json(data: Any) -> str:
    """JSON that cannot end the element it stands in, nor begin another one; no NaN in it.

    Args:
        data: plain values; text may be hostile.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def plain(values: np.ndarray | None, digits: int) -> Any:
    """Nested lists of numbers with so many decimals, integers where that is all they are, `None` for NaN."""
    if values is None:
        return None
    values = np.asarray(values, np.float64)
    if values.ndim > 1:
        return [plain(row, digits) for row in values]
    rounded = np.round(values, digits) + 0.0
    return [
        (int(value) if value == int(value) else value) if finite else None
        for value, finite in zip(rounded.tolist(), np.isfinite(rounded).tolist(), strict=True)
    ]


def frame_map(clip: Clip) -> int | list[int]:
    """Which frame of the video each frame is: the number of the first where they follow each other, else all of them.

    Derived clips are index maps over the video they were made from until they are packed.
    """
    if clip.frame_index is None or not len(clip.frame_index):
        return 0
    index = np.asarray(clip.frame_index, np.int64)
    return int(index[0]) if bool((np.diff(index) == 1).all()) else index.tolist()


def _camera(camera: Camera, width: int) -> dict[str, Any]:
    places = np.where(camera.valid[:, None], camera.c2w[:, :3, 3], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.degrees(np.arctan(width / 2 / camera.intrinsics[:, 0]))
    same = len(half) > 0 and bool(np.isfinite(half).all()) and float(np.ptp(half)) < 0.05
    return {
        "scale": camera.scale,
        "position": plain(places, 3),
        "confidence": plain(camera.confidence, 2),
        "group": camera.scale_group.tolist() if len(np.unique(camera.scale_group)) > 1 else None,
        "half_view_deg": plain(half[:1], 1) if same else plain(half, 1),
    }


def _subject(subjects: Subjects, s: int) -> dict[str, Any]:
    """Boxes from the first to the last frame with one; nothing before and after."""
    boxed = np.flatnonzero(np.isfinite(subjects.box[s]).all(axis=1))
    first, end = (int(boxed[0]), int(boxed[-1]) + 1) if len(boxed) else (0, 0)
    rows = np.where(np.isfinite(subjects.box[s]).all(axis=1)[:, None], subjects.box[s], np.nan)[first:end]
    return {
        "id": int(subjects.id[s]),
        "label": subjects.label[s],
        "source": subjects.source[s],
        "first": first,
        "boxes": [row if row[0] is not None else None for row in plain(rows.reshape(-1, 4), 1)],
        "visibility": plain(subjects.visibility[s], 2),
    }


def _hands(hands: Hands, camera: Camera | None) -> dict[str, Any]:
    """Joints in pixels of the video, x and y per joint; `None` behind the camera, or without a camera."""
    joints = np.asarray(hands.joints, np.float64)
    pixels = np.full((*joints.shape[:2], 2), np.nan)
    if camera is not None:
        fx, fy, cx, cy = (camera.intrinsics[:, k, None] for k in range(4))
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(joints[..., 2] > 1e-3, joints[..., 2], np.nan)
            pixels = np.stack([fx * joints[..., 0] / z + cx, fy * joints[..., 1] / z + cy], axis=-1)
    pixels[~(np.abs(pixels) < 1e5)] = np.nan
    return {
        "names": list(hands.names),
        "bones": bones_of(hands.names),
        "pixels": [plain(row.reshape(-1), 1) for row in pixels],
        "confidence": plain(hands.confidence.sum(axis=1) / max(1, hands.confidence.shape[1]), 2),
    }


def bones_of(names: list[str]) -> list[tuple[int, int]]:
    """Pairs of joints that a line joins, for hands whose joints are named as in EgoDex; empty for other names."""
    number = {name: j for j, name in enumerate(names)}
    bones: list[tuple[int, int]] = []
    for side in ("left", "right"):
        for finger in _FINGERS:
            chain = [f"{side}Hand", *(f"{side}{finger}{bone}" for bone in _BONES)]
            known = [number[name] for name in chain if name in number]
            bones += pairwise(known)
        arm = [number[name] for name in (f"{side}Hand", f"{side}Forearm", f"{side}Arm") if name in number]
        bones += pairwise(arm)
    return bones
