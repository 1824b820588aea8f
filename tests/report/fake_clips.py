"""Clips made in memory: a walk round a tiled yard with a person in it, true and as somebody might estimate it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from worldloom.catalogs.clip import (
    Actions,
    Annotation,
    Camera,
    Caption,
    Clip,
    Depth,
    Event,
    Provenance,
    Revisits,
    Subjects,
)

WIDTH, HEIGHT, FPS, FRAMES = 240, 136, 16, 81
FOCAL = 130.0
K = (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)


class DrawnFrames:
    """Stands in for decoded frames: drawn when asked for."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip

    def __enter__(self) -> DrawnFrames:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __len__(self) -> int:
        return self.clip.frames

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, Iterable):
            return np.stack([self[i] for i in index])
        return draw(true_poses()[index], FAKE_BOXES[index])[0]


@dataclass(eq=False)
class DrawnClip(Clip):
    """A clip that draws its frames instead of decoding them."""

    def open_frames(self) -> Any:
        return DrawnFrames(self)


def true_poses() -> np.ndarray:
    """(T, 4, 4): ahead, a turn to the left and back again, ahead; z is up."""
    time = np.arange(FRAMES) / (FRAMES - 1)
    yaw = np.radians(70 * np.sin(np.pi * np.clip((time - 0.2) / 0.6, 0, 1)) ** 2)
    speed = np.where(time < 0.25, 1.0, np.where(time > 0.75, 1.0, 0.35))
    heading = np.stack([-np.sin(yaw), np.cos(yaw), np.zeros(FRAMES)], 1)
    position = np.cumsum(heading * speed[:, None] / FPS, axis=0) + np.array([0.0, -3.0, 1.6])
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    for i in range(FRAMES):
        right = np.cross(heading[i], [0, 0, 1])
        poses[i, :3, :3] = np.stack([right, [0, 0, -1], heading[i]], 1)
        poses[i, :3, 3] = position[i]
    return poses


def draw(c2w: np.ndarray, box: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its z-depth: tiles below, a round wall with coloured panels, sky above it."""
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack([(u - K[2]) / K[0], (v - K[3]) / K[1], np.ones_like(u)], -1) @ c2w[:3, :3].T
    eye = c2w[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(rays[..., 2] < 0, -eye[2] / rays[..., 2], np.inf)
        a = (rays[..., :2] ** 2).sum(-1)
        b = (rays[..., :2] * eye[:2]).sum(-1)
        wall = (-b + np.sqrt(np.maximum(b**2 - a * ((eye[:2] ** 2).sum() - 64.0), 0))) / a
    z = np.minimum(ground, wall)
    point = eye + rays * z[..., None]
    tiles = (np.floor(point[..., 0]) + np.floor(point[..., 1])) % 2
    picture = np.where(tiles[..., None] > 0, [188.0, 180, 164], [150.0, 146, 136])
    panel = np.floor(np.arctan2(point[..., 1], point[..., 0]) * 6).astype(int) % 5
    panels = np.array([[196, 120, 92], [96, 132, 150], [214, 188, 120], [120, 150, 110], [160, 120, 150]], float)
    on_wall = wall < ground
    picture = np.where(on_wall[..., None], panels[panel], picture)
    sky = on_wall & (point[..., 2] > 3.0)
    picture = np.where(sky[..., None], [206.0, 222, 234], picture)
    picture *= np.where(on_wall | sky, 1.0, 0.75 + 0.25 * np.exp(-z / 6))[..., None]
    rgb = np.clip(picture, 0, 255).astype(np.uint8)
    if box is not None and np.isfinite(box).all():
        x0, y0, x1, y1 = np.round(box).astype(int)
        rgb[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = [58, 46, 66]
    return rgb, np.where(sky, np.nan, z).astype(np.float32)


def full_boxes() -> np.ndarray:
    """(T, 4) box of the whole person, whether in the picture or not."""
    boxes = np.full((FRAMES, 4), np.nan)
    for i, c2w in enumerate(true_poses()):
        foot, head = ((np.array([0.8, 3.0, z]) - c2w[:3, 3]) @ c2w[:3, :3] for z in (0.0, 1.75))
        if foot[2] > 0.5:
            x, y0, y1 = K[0] * foot[0] / foot[2] + K[2], *(K[1] * p[1] / p[2] + K[3] for p in (head, foot))
            half = 0.28 * K[0] / foot[2]
            boxes[i] = x - half, y0, x + half, y1
    return boxes


FAKE_BOXES = full_boxes()


def true_subjects() -> Subjects:
    full = full_boxes()
    clipped = np.clip(full, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    share = (clipped[:, 2] - clipped[:, 0]) / (full[:, 2] - full[:, 0])
    seen = np.nan_to_num(share) > 0.02
    passing = np.where((np.arange(FRAMES) > 12) & (np.arange(FRAMES) < 60), 1.0, 0.0)
    passing[30:38] = 0.0
    second = np.where(passing[:, None] > 0, np.array([40.0, 50, 62, 118]) + np.arange(FRAMES)[:, None] * [1, 0, 1, 0],
                      np.nan)  # fmt: skip
    return Subjects(
        id=np.array([1, 2], np.int32),
        label=["person", "dog"],
        box=np.stack([np.where(seen[:, None], clipped, np.nan), second]).astype(np.float32),
        visibility=np.stack([np.where(seen, share, 0), passing]).astype(np.float32),
        source=["rendered", "rendered"],
    )


def true_events() -> list[Event]:
    hidden = np.flatnonzero(true_subjects().visibility[0] <= 0.02)
    return [
        Event(1, int(hidden[0]), int(hidden[-1]) + 1, "left_view", "left_view", "right", "right"),
        Event(2, None, 13, None, "unexplained"),
        Event(2, 30, 38, "occluded", "occluded"),
        Event(2, 60, None, "left_view", None, "left"),
    ]


def labels(seed: int | None = None) -> Actions:
    move = np.where(np.arange(FRAMES) < 48, 1, 5).astype(np.uint8)
    view = np.zeros(FRAMES, np.uint8)
    view[18:38], view[42:62] = 3, 4
    view[16:18] = view[38:42] = 9
    move[70:] = 0
    if seed is not None:
        chosen = np.random.default_rng(seed)
        for row in (move, view):
            for at in chosen.integers(0, FRAMES - 4, 4):
                row[at : at + 3] = chosen.choice([0, 3, 9])
    move[-1] = view[-1] = 9
    return Actions(move, view, np.zeros((FRAMES, 2), np.float32), np.zeros((FRAMES, 4)))


def depth_maps(noise: float = 0.0) -> Depth:
    frames = np.arange(0, FRAMES, 8, dtype=np.int32)
    poses = true_poses()
    z = np.stack([draw(poses[i])[1] for i in frames])
    valid = np.isfinite(z)
    if noise:
        chosen = np.random.default_rng(3)
        z = z * 0.37 * (1 + noise * chosen.standard_normal(z.shape).astype(np.float32))
        valid &= chosen.random(z.shape) > 0.15
        valid[:, :, :20] = False
    return Depth(frames, z.astype(np.float32), valid, np.ones(len(frames), np.float32),
                 "relative" if noise else "metric", noise)  # fmt: skip


def true_clip(key: str = "tru" + "e" * 23) -> Clip:
    ok = Annotation("ok", "rendered", "1")
    return DrawnClip(
        key=key, fps=Fraction(FPS), frames=FRAMES, height=HEIGHT, width=WIDTH, pts_s=np.arange(FRAMES) / FPS,
        provenance=Provenance("worlds", "worlds/yard-01", "ab" * 32, licence="CC0-1.0", span_s=(0.0, 5.0)),
        camera=Camera.known(true_poses(), K, "metric", np.array([0.0, 0, 1])), actions=labels(),
        subjects=true_subjects(), depth=depth_maps(), events=true_events(),
        revisits=Revisits(np.array([[8, 72], [10, 64]], np.int32), np.array([0.82, 0.7], np.float32), 0.32),
        quality={"sharpness": 0.61, "brightness": 0.44}, captions=[Caption("a person in a tiled yard", "rendered")],
        annotations=dict.fromkeys(("pose", "actions", "subjects", "events", "depth", "revisits"), ok),
    )  # fmt: skip


def estimated_clip(key: str = "est" + "i" * 23, groups: int = 1) -> Clip:
    """As an annotator might see it: another frame of reference, another scale, some noise, two gaps."""
    truth = true_clip()
    chosen = np.random.default_rng(7)
    turn = Rotation.from_euler("xyz", [20, -35, 110], degrees=True).as_matrix()
    c2w = true_poses()
    c2w[:, :3, 3] = (0.21 * c2w[:, :3, 3] + 0.004 * chosen.standard_normal((FRAMES, 3))) @ turn.T + [3, 1, 2]
    c2w[:, :3, :3] = turn @ c2w[:, :3, :3]
    c2w[40:43] = np.nan
    camera = Camera.known(c2w, K, "relative")
    if groups == 2:
        camera.scale_group[43:] = 1
        camera.c2w[43:, :3, 3] *= 2.4
    subjects = replace(true_subjects(), id=np.array([4, 9], np.int32), source=["motion", "motion"])
    events = [replace(event, subject={1: 4, 2: 9}[event.subject]) for event in true_events()]
    notes = {
        name: Annotation("ok", method, "3", confidence=0.9, notes={"points": 1834})
        for name, method in (
            ("quality", "opencv"),
            ("pose", "sfm"),
            ("actions", "poses"),
            ("subjects", "motion"),
            ("events", "visibility"),
            ("depth", "multi-view"),
            ("revisits", "overlap"),
        )
    }
    notes["captions"] = Annotation("failed", "client", "1", reason="deadline of 60 s passed, 3 attempts")
    return DrawnClip(
        **{
            **truth.__dict__,
            "key": key,
            "camera": camera,
            "actions": labels(5),
            "subjects": subjects,
            "events": events,
            "depth": depth_maps(0.03),
            "annotations": notes,
        }
    )


def bare_clip(key: str = "bar" + "e" * 23) -> Clip:
    """A clip of which little is known: nothing but frames, and the reasons why."""
    missing = {
        "pose": Annotation("absent", "sfm", "3", reason="no parallax: too few points to say how the camera moved"),
        "actions": Annotation("absent", "poses", "3", reason="needs camera, which is absent"),
        "depth": Annotation("absent", "multi-view", "3", reason="no parallax"),
        "revisits": Annotation("failed", "overlap", "3", reason="SIGSEGV in the child process, 2 attempts"),
    }
    return DrawnClip(
        key=key, fps=Fraction(FPS), frames=FRAMES, height=HEIGHT, width=WIDTH, pts_s=np.arange(FRAMES) / FPS,
        provenance=Provenance("folder", "videos/a walk.mp4", "cd" * 32), annotations=missing,
    )  # fmt: skip
