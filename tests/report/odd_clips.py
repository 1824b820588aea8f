"""Clips of which much is missing, or too much is there."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from worldloom.catalogs.clip import (
    Actions,
    Annotation,
    Camera,
    Clip,
    Depth,
    Event,
    Hands,
    Provenance,
    Revisits,
    Subjects,
)


def plain_clip(frames: int = 10, **more: Any) -> Clip:
    source = Provenance("folder", "a.mp4", "ab" * 32)
    return Clip("k" * 26, Fraction(30), frames, 36, 64, np.arange(frames) / 30, source, **more)


def camera_of(frames: int, **more: Any) -> Camera:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 2, 3] = np.arange(frames) * 0.03
    return replace(Camera.known(poses, np.array([60.0, 60, 32, 18])), **more)


def crowd(frames: int, people: int) -> Subjects:
    box = np.full((people, frames, 4), np.nan, np.float32)
    for s in range(people):
        box[s, s % frames :] = [s, 4, s + 9, 30]
    seen = np.isfinite(box[..., 0]).astype(np.float32)
    return Subjects(np.arange(people, dtype=np.int32), ["person"] * people, box, seen, ["motion"] * people)


def nothing_known(frames: int) -> Actions:
    unsure = np.full(frames, 9, np.uint8)
    return Actions(unsure, unsure, np.full((frames, 2), np.nan, np.float32), np.full((frames, 4), np.nan))


def lost_camera(frames: int) -> Camera:
    poses = np.full((frames, 4, 4), np.nan)
    camera = camera_of(frames)
    return replace(camera, c2w=poses, valid=np.zeros(frames, bool), confidence=np.zeros(frames, np.float32))


def odd_clips() -> dict[str, Clip]:
    pairs = np.stack([np.arange(0, 500), np.arange(900, 1400)], 1).astype(np.int32)
    contradictory = replace(camera_of(10), valid=np.ones(10, bool))
    contradictory.c2w[3:5] = np.nan  # says it is valid, is not
    no_lens = camera_of(10)
    no_lens.intrinsics[:] = [0.0, np.nan, np.inf, 1.0]
    return {
        "nothing": plain_clip(),
        "one frame": plain_clip(1, camera=camera_of(1), actions=nothing_known(1), subjects=crowd(1, 1)),
        "no pose at all": plain_clip(camera=lost_camera(10), actions=nothing_known(10)),
        "valid without numbers": plain_clip(camera=contradictory),
        "no focal length": plain_clip(
            camera=no_lens, hands=Hands(["a"], np.ones((10, 1, 3), np.float32), np.ones((10, 1), np.float32))
        ),
        "nobody": plain_clip(subjects=crowd(10, 0)),
        "never seen": plain_clip(subjects=replace(crowd(10, 1), box=np.full((1, 10, 4), np.nan, np.float32))),
        "no joints": plain_clip(hands=Hands([], np.zeros((10, 0, 3), np.float32), np.zeros((10, 0), np.float32))),
        "thirty people": plain_clip(40, subjects=crowd(40, 30), events=[Event(s, None, s) for s in range(1, 30)]),
        "a crowd": plain_clip(40, subjects=crowd(40, 90)),
        "an event of nobody": plain_clip(events=[Event(5, None, None), Event(5, 3, 400, "left_view", "left_view")]),
        "no depth rows": plain_clip(
            depth=Depth(np.zeros(0, np.int32), np.zeros((0, 4, 6), np.float32), np.zeros((0, 4, 6), bool),
                        np.zeros(0, np.float32), "metric", 0.0)
        ),
        "no valid depth": plain_clip(
            depth=Depth(np.array([3], np.int32), np.zeros((1, 4, 6), np.float32), np.zeros((1, 4, 6), bool),
                        np.ones(1, np.float32), "relative", 0.1)
        ),
        "a minute": plain_clip(
            1800, camera=camera_of(1800), actions=nothing_known(1800), subjects=crowd(1800, 30),
            revisits=Revisits(pairs, np.linspace(0.5, 1, 500).astype(np.float32), 0.5),
        ),
        "odd notes": plain_clip(annotations={
            "quality": Annotation("ok", "m", "1", notes={
                "list": [None] * 10, "mixed": ["a"] * 10, "flags": [True] * 10, "nan": [float("nan")] * 10,
                "deep": {"x": [1, 2]}, "flat": [3.0] * 10,
            }),
            "shots": Annotation("ok", "m", "1", notes={"cuts": "none"}),
        }),
    }  # fmt: skip
