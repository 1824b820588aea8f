"""Shots in the layout of Movie Render Queue, written from rendered worlds, with everything that is true of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from tests.synth import tiny_place
from worldloom.catalogs.encode import Encoder
from worldloom.catalogs.formats.cryptomatte import write_cryptomatte
from worldloom.catalogs.formats.exr import to_linear, write_exr
from worldloom.catalogs.formats.trajectory import Trajectory
from worldloom.catalogs.formats.unreal import rotator_of_pose
from worldloom.catalogs.formats.unreal_cameras import write_unreal_cameras
from worldloom.synth.frames import Frame, Renderer
from worldloom.synth.plan import Segment, SubjectPlan, WorldPlan
from worldloom.synth.world import PLACES

Z_UP_TO_OURS = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""Rendered worlds have z up; what comes from Unreal has -y up. The same world, turned."""

COLOURS = ((255, 0, 0), (0, 255, 0))
FIRST = 7
"""Number of the first picture."""


@dataclass(eq=False)
class Shot:
    """What is true of a shot: (T, 4, 4) poses in our conventions, (4,) intrinsics, and the rendered frames."""

    plan: WorldPlan
    c2w: np.ndarray
    intrinsics: np.ndarray
    frames: list[Frame]

    @property
    def trajectory(self) -> Trajectory:
        k = np.tile(self.intrinsics, (len(self.frames), 1))
        return Trajectory(c2w=self.c2w, scale="metric", intrinsics=k, size=(self.plan.width, self.plan.height))


def court_plan(frames: int = 17, width: int = 160, height: int = 96, **changes) -> WorldPlan:
    """A camera that walks and turns in the court, two people."""
    half = (frames - 1) // 2
    camera = (
        Segment(move=1, view=4, frames=half, speed_m_s=1.2, turn_deg_s=25),
        Segment(move=4, view=1, frames=frames - 1 - half, speed_m_s=1.0, turn_deg_s=20),
    )
    people = (
        SubjectPlan(path=((-2, 0), (2, -0.5), (2.5, 3), (-2.5, 3)), speed_m_s=1.2, look=3),
        SubjectPlan(path=((3, -3), (4, -1), (3, 1)), speed_m_s=0.9, look=4, height_m=1.6),
    )
    values = {
        "name": "court", "place": tiny_place.NAME, "position": (-1.5, -4.0, 1.5), "heading_deg": 80.0, "fps": 10,
        "frames": frames, "width": width, "height": height, "camera": camera, "subjects": people, "fov_deg": 80.0,
    }  # fmt: skip
    return WorldPlan(**{**values, **changes})


def render_shot(plan: WorldPlan) -> Shot:
    """Render it; the court is known while this runs."""
    before = PLACES.get(tiny_place.NAME)
    PLACES[tiny_place.NAME] = tiny_place.ENTRY
    try:
        renderer = Renderer(plan)
        k = np.array([plan.focal_px, plan.focal_px, plan.width / 2, plan.height / 2])
        return Shot(plan, Z_UP_TO_OURS @ renderer.c2w, k, list(renderer))
    finally:
        if before is None:
            del PLACES[tiny_place.NAME]


def write_pictures(folder: Path, shot: Shot, ending: str = "png", name: str = "Shot01.{:04d}") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(shot.frames):
        path = folder / f"{name.format(FIRST + i)}.{ending}"
        if ending == "exr":
            light = to_linear(frame.rgb)
            write_exr(path, {one: light[..., c].astype(np.float16) for c, one in enumerate("RGB")})
        else:
            cv2.imwrite(str(path), frame.rgb[..., ::-1])


def write_video(path: Path, shot: Shot) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Encoder(path, shot.plan.width, shot.plan.height, Fraction(shot.plan.fps), 12, "veryfast") as encoder:
        for frame in shot.frames:
            encoder.write(frame.rgb)


def stored_depth(shot: Shot, frame: Frame, measure: str = "z") -> np.ndarray:
    """Centimetres as the pass stores them; the sky is as far as a half float goes."""
    z = frame.depth.astype(np.float64)
    if measure == "distance":
        fx, fy, cx, cy = shot.intrinsics
        u, v = np.meshgrid(np.arange(z.shape[1]) + 0.5, np.arange(z.shape[0]) + 0.5)
        z = z * np.sqrt(1 + ((u - cx) / fx) ** 2 + ((v - cy) / fy) ** 2)
    return np.minimum(np.nan_to_num(z * 100, posinf=65504.0), 65504.0)


def write_depth(folder: Path, shot: Shot, measure: str = "z", name: str = "Shot01.{:04d}") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(shot.frames):
        depth = stored_depth(shot, frame, measure).astype(np.float16)
        write_exr(folder / f"{name.format(FIRST + i)}.exr", dict.fromkeys("RGB", depth))


def write_ids(folder: Path, shot: Shot, name: str = "Shot01.{:04d}") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = np.array([(0, 0, 0), *COLOURS], np.uint8)
    for i, frame in enumerate(shot.frames):
        cv2.imwrite(str(folder / f"{name.format(FIRST + i)}.png"), table[frame.mask][..., ::-1])


def write_multilayer(folder: Path, shot: Shot, name: str = "Shot01.{:04d}", measure: str = "z") -> None:
    """One EXR a frame: beauty, depth, Cryptomatte, and the camera in its header."""
    folder.mkdir(parents=True, exist_ok=True)
    location, angles = rotator_of_pose(shot.c2w)
    for i, frame in enumerate(shot.frames):
        light = to_linear(frame.rgb)
        channels = {one: light[..., c].astype(np.float16) for c, one in enumerate("RGB")}
        depth = stored_depth(shot, frame, measure).astype(np.float32)
        channels |= {f"FinalImageMovieRenderQueue_WorldDepth.{one}": depth for one in "RGB"}
        text = {f"unreal/camera/curPos/{axis}": repr(float(x)) for axis, x in zip("xyz", location[i], strict=True)}
        names = ("pitch", "yaw", "roll")
        text |= {f"unreal/camera/curRot/{one}": repr(float(x)) for one, x in zip(names, angles[i], strict=True)}
        text["unreal/camera/FinalImage/fov"] = repr(float(shot.plan.fov_deg))
        text["unreal/camera/ActorHitProxyMask/fov"] = "33.0"
        masks = {"Floor": frame.mask == 0, "BP_Person_1": frame.mask == 1, "BP_Person_2": frame.mask == 2}
        write_cryptomatte(folder / f"{name.format(FIRST + i)}.exr", masks, channels, text=text)


def write_cameras(path: Path, shot: Shot, form: str = "rotator", first: int = FIRST) -> None:
    write_unreal_cameras(path, range(first, first + len(shot.frames)), shot.trajectory, form)


def boxes_of(shot: Shot) -> np.ndarray:
    """(S, T, 4) true boxes."""
    return np.stack([frame.box for frame in shot.frames], axis=1)
