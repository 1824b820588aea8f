"""A plan becomes a clip: the video file and its truth."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from worldloom.catalogs.actions import ActionRules, true_actions
from worldloom.catalogs.clip import Annotation, Camera, Clip, Depth, Provenance, Subjects, clip_key
from worldloom.catalogs.encode import Encoder
from worldloom.catalogs.events import EventRules, find_events
from worldloom.catalogs.overlap import RevisitRules, find_revisits, overlap_matrix
from worldloom.synth.camera_path import UP
from worldloom.synth.frames import Frame, Renderer
from worldloom.synth.plan import WorldPlan

VERSION = "1"
"""Of the renderer: changes whenever pictures or truth may change."""

METHOD = "rendered"


def render_world(plan: WorldPlan, video: Path, *, crf: float = 12, depth_every: int = 8, threads: int = 1) -> Clip:
    """Write the clip's mp4 and return the truth about it.

    Args:
        plan: what to render.
        video: where the mp4 goes; its folder exists.
        crf: x264's quality; 12 is better than what cameras store, so that the labels are tested, not the codec.
        depth_every: z-depth is kept for every so many frames and the last one, at full resolution.
        threads: of the ray caster; neither pictures nor truth depend on it.

    Returns:
        A clip whose camera (metric, z up), actions, subjects, depth, events and revisits are true.

    Raises:
        UsageError: the plan names an unknown place.
    """
    renderer = Renderer(plan, threads)
    kept = sorted({*range(0, plan.frames, depth_every), plan.frames - 1})
    depth: list[np.ndarray] = []
    truth: list[Frame] = []
    with (
        Encoder(video, plan.width, plan.height, Fraction(plan.fps), crf, "veryfast") as encoder,
        _Writer(encoder) as writer,
    ):
        for index in range(plan.frames):
            frame = renderer.frame(index)
            writer.write(frame.rgb)
            if index in kept:
                depth.append(frame.depth)
            truth.append(_without_pictures(frame))
    return _clip(plan, renderer, video, np.array(kept, np.int32), np.array(depth), truth)


def render_frames(plan: WorldPlan, threads: int = 1) -> Iterator[Frame]:
    """The frames of a plan, one after the other, without writing anything.

    Args:
        plan: what to draw.
        threads: of the ray caster; the frames do not depend on it.
    """
    return iter(Renderer(plan, threads))


def _without_pictures(frame: Frame) -> Frame:
    nothing = np.zeros((0, 0), np.uint8)
    return Frame(nothing, nothing, nothing, frame.box, frame.full_box, frame.visibility, frame.in_frame)


def _clip(
    plan: WorldPlan, renderer: Renderer, video: Path, kept: np.ndarray, depth: np.ndarray, truth: list[Frame]
) -> Clip:
    fps = Fraction(plan.fps)
    half = (plan.width / 2, plan.height / 2)
    camera = Camera.known(renderer.c2w, np.array([plan.focal_px, plan.focal_px, *half]), "metric", UP)
    valid = np.isfinite(depth)
    z = Depth(kept, np.where(valid, depth, 0).astype(np.float32), valid, np.ones(len(kept), np.float32), "metric", 1e-4)
    subjects = _subjects(plan, renderer, truth)
    overlap = overlap_matrix(*_halved(z, camera), plan.width, plan.height, RevisitRules())
    digest = plan.sha256
    clip = Clip(
        key=clip_key(digest, 0, 0, plan.frames - 1),
        fps=fps,
        frames=plan.frames,
        height=plan.height,
        width=plan.width,
        pts_s=np.arange(plan.frames) / plan.fps,
        provenance=Provenance(
            kind="worlds",
            uri=plan.name,
            sha256=digest,
            span_s=(0.0, (plan.frames - 1) / plan.fps),
            operations=(f"rendered:{plan.place}:{plan.kind}",),
        ),
        video=Path(video),
        camera=camera,
        actions=true_actions(renderer.motion, fps, ActionRules()),
        subjects=subjects,
        depth=z,
        events=find_events(subjects, plan.width, plan.height, EventRules()),
        revisits=find_revisits(overlap, kept, fps, plan.frames, RevisitRules()),
    )
    for name in ("pose", "actions", "subjects", "events", "depth", "revisits"):
        clip.annotations[name] = Annotation("ok", METHOD, VERSION)
    return clip


def _halved(depth: Depth, camera: Camera) -> tuple[Depth, Camera]:
    """Every second pixel of every second row: the same overlap in a quarter of the time.

    Pixel x of the small map is pixel 2 x of the large one, whose centre is half a pixel left of where a map of half
    the size expects it; moving the principal point by as much makes up for it.
    """
    small = replace(depth, z=depth.z[:, ::2, ::2], valid=depth.valid[:, ::2, ::2])
    return small, replace(camera, intrinsics=camera.intrinsics + np.array([0, 0, 0.5, 0.5]))


def _subjects(plan: WorldPlan, renderer: Renderer, truth: list[Frame]) -> Subjects:
    count = len(plan.subjects)

    def over_time(name: str, *tail: int) -> np.ndarray:
        values = np.array([getattr(frame, name) for frame in truth], np.float32).reshape(plan.frames, count, *tail)
        return np.ascontiguousarray(np.moveaxis(values, 0, 1))

    return Subjects(
        id=np.arange(1, count + 1, dtype=np.int32),
        label=["person"] * count,
        box=over_time("box", 4),
        visibility=over_time("visibility"),
        source=[METHOD] * count,
        position=np.array([actor.centre() for actor in renderer.actors], np.float64).reshape(count, plan.frames, 3),
        in_frame=over_time("in_frame"),
        full_box=over_time("full_box", 4),
    )


class _Writer:
    """Encodes on a thread of its own while the next frame is drawn; the order and the bytes stay the same."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._frames: queue.Queue[np.ndarray | None] = queue.Queue(maxsize=8)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="encode", daemon=True)

    def write(self, rgb: np.ndarray) -> None:
        if self._error is not None:
            raise self._error
        self._frames.put(rgb)

    def _run(self) -> None:
        while (rgb := self._frames.get()) is not None:
            if self._error is None:
                try:
                    self._encoder.write(rgb)
                except BaseException as error:  # handed to the thread that renders
                    self._error = error

    def __enter__(self) -> _Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._frames.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error


def render_all(plans: Iterable[WorldPlan], folder: Path, **options: float) -> list[Clip]:
    """Render plans into `folder/<name>.mp4`; keyword options as of `render_world`."""
    folder.mkdir(parents=True, exist_ok=True)
    return [render_world(plan, folder / f"{plan.name}.mp4", **options) for plan in plans]  # type: ignore[arg-type]
