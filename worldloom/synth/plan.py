"""The plan of a rendered clip: one row that says everything, so that the clip can be made again from it."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field, model_validator

from worldloom.catalogs.config import Strict, digest
from worldloom.synth.walker import Walk


class Segment(Strict):
    """One action held for some frames.

    Attributes:
        move: 0..8, numbered as in `catalogs.actions.MOVES`.
        view: 0..8, numbered as in `catalogs.actions.VIEWS`.
        frames: steps from one frame to the next.
        speed_m_s: of the move.
        turn_deg_s: of the view.
    """

    move: int = Field(0, ge=0, le=8)
    view: int = Field(0, ge=0, le=8)
    frames: int = Field(ge=1)
    speed_m_s: float = Field(1.0, ge=0, le=5)
    turn_deg_s: float = Field(30.0, ge=0, le=120)


class SubjectPlan(Strict):
    """One person who walks.

    Attributes:
        path: corners (x, y) of the way in metres; corners are rounded.
        closed: goes around for ever; otherwise stops at the last corner.
        speed_m_s: walking speed, 0 stands.
        start_m: way along the path at frame 0.
        look: number of the clothes and the face.
        height_m: of the person.
    """

    path: tuple[tuple[float, float], ...] = Field(min_length=2)
    closed: bool = True
    speed_m_s: float = Field(1.1, ge=0, le=3)
    start_m: float = 0.0
    look: int = 0
    height_m: float = Field(1.72, ge=0.8, le=2.2)

    def walk(self) -> Walk:
        """Where the person is over time."""
        return Walk.along(np.array(self.path), self.closed, self.speed_m_s, self.start_m)


class WorldPlan(Strict):
    """One clip of a rendered world.

    Attributes:
        name: of the clip's file, unique in a list of plans.
        place: key of `worlds.PLACES`.
        look: which variant of the place (colours, small things); clips of one look share a baked world.
        kind: what the plan was drawn for (`walk`, `strafe`, `look_away`, `turn`, `static`, ...); a remark.
        fps: frames per second.
        frames: T.
        width: even, pixels.
        height: even, pixels.
        fov_deg: horizontal field of view.
        position: x, y, z of the camera at frame 0, metres.
        heading_deg: direction it looks to, counter-clockwise from +x.
        pitch_deg: up positive.
        camera: actions one after the other; their frames add up to T - 1.
        ramp_s: time over which speeds change from one action to the next.
        subjects: people.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")
    place: str
    look: int = 0
    kind: str = ""
    fps: int = Field(16, ge=1, le=120)
    frames: int = Field(81, ge=1)
    width: int = Field(480, ge=16, le=4096)
    height: int = Field(272, ge=16, le=4096)
    fov_deg: float = Field(66.0, gt=10, lt=140)
    position: tuple[float, float, float]
    heading_deg: float = 0.0
    pitch_deg: float = Field(0.0, ge=-60, le=60)
    camera: tuple[Segment, ...] = ()
    ramp_s: float = Field(0.3, ge=0, le=2)
    subjects: tuple[SubjectPlan, ...] = Field((), max_length=8)

    @model_validator(mode="after")
    def _adds_up(self) -> WorldPlan:
        steps = sum(segment.frames for segment in self.camera)
        if self.camera and steps != self.frames - 1:
            raise ValueError(
                f"camera: the segments last {steps} frames together, {self.frames - 1} expected (frames - 1)"
            )
        if self.width % 2 or self.height % 2:
            raise ValueError(f"width and height must be even, got {self.width} x {self.height}")
        return self

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.width / 2 / math.tan(math.radians(self.fov_deg) / 2)

    @property
    def sha256(self) -> str:
        """Digest of the row: the source sha256 of the clip made from it."""
        return digest(self, length=64)
