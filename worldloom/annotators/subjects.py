"""People, animals and other things that move by themselves, found by their motion: no weights, no classes.

A camera that stands still is compared with the background it learns of the whole clip; a moving one with the flow
that its own motion explains. Blobs of what is left are tracked. What never moves is never found, and two people who
walk as one are one subject.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.annotator import Absent, Annotator, Given, Resources
from worldloom.annotators.moving import MovingRules, Poses, camera_stands, find_in_front, find_moving
from worldloom.annotators.tracking import Track, TrackRules, track_boxes
from worldloom.catalogs.cameras import resize_intrinsics
from worldloom.catalogs.clip import Clip, Subjects
from worldloom.catalogs.config import Strict
from worldloom.catalogs.events import box_visibility


class SubjectRules(Strict):
    """How moving things are found; all defaults ours.

    Attributes:
        width: pixels of the working picture.
        max_fps: frames per second looked at; boxes in between are interpolated.
        least_background: share of features that must follow one homography where no camera is known.
        moving: what counts as moving.
        tracking: how boxes become tracks.
    """

    width: Annotated[int, Field(ge=96, le=1920)] = 320
    max_fps: Annotated[float, Field(gt=0)] = 16.0
    least_background: Annotated[float, Field(ge=0, le=1)] = 0.5
    moving: MovingRules = MovingRules()
    tracking: TrackRules = TrackRules()


class SubjectAnnotator(Annotator):
    """Tracks of moving things; an empty list where nothing moves by itself."""

    name = "subjects"
    version = "1"
    method = "motion"
    needs = ("frames",)
    uses = ("camera",)
    gives = "subjects"
    Config = SubjectRules
    resources = Resources(memory_mb=6144)

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Find what moves in every frame looked at, track it, and say how much of it is seen."""
        cv2.setNumThreads(1)
        rules: SubjectRules = self.config
        shown = np.arange(0, clip.frames, max(1, round(float(clip.fps) / rules.max_fps)))
        if len(shown) < 3:
            return Absent("too few frames to see motion")
        pictures = self._pictures(clip, shown)
        fps = float(clip.fps) / (shown[1] - shown[0])
        if camera_stands(pictures):
            found, shifts, how = find_in_front(pictures, rules.moving), None, "background"
        else:
            poses = self._poses(clip, shown, pictures[0].shape)
            found, shifts, explained = find_moving(pictures, fps, rules.moving, poses)
            if poses is None and explained < rules.least_background:
                return Absent("no camera, and too much parallax to tell what moves", {"explained": round(explained, 4)})
            how = "residual flow with poses" if poses is not None else "residual flow"
        tracks = track_boxes(found, fps, rules.tracking, shifts)
        scale = np.array([clip.width / pictures[0].shape[1], clip.height / pictures[0].shape[0]] * 2)
        subjects = self._subjects(tracks, shown, clip, scale, fps)
        return Given(subjects, confidence=_confidence(tracks), notes={"how": how, "tracks": len(tracks)})

    def _pictures(self, clip: Clip, shown: np.ndarray) -> list[np.ndarray]:
        width = min(self.config.width, clip.width)
        size = (width, max(2, round(clip.height * width / clip.width)))
        wanted = set(shown.tolist())
        with clip.open_frames() as frames:
            return [
                cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for i, frame in enumerate(frames) if i in wanted
            ]

    def _poses(self, clip: Clip, shown: np.ndarray, shape: tuple[int, ...]) -> Poses | None:
        """The camera at the frames looked at; None where there is none for at least nine in ten of them."""
        camera = clip.camera
        if camera is None or camera.valid[shown].mean() < 0.9:
            return None
        k = resize_intrinsics(camera.intrinsics[shown], shape[1] / clip.width, shape[0] / clip.height)
        return Poses(camera.c2w[shown], k, camera.translation_known[shown], camera.scale_group[shown])

    def _subjects(self, tracks: list[Track], shown: np.ndarray, clip: Clip, scale: np.ndarray, fps: float) -> Subjects:
        boxes = np.full((len(tracks), clip.frames, 4), np.nan, np.float32)
        for s, track in enumerate(tracks):
            box = filled(track, shown, clip.frames, self.config.tracking.dormant_s * fps) * scale
            boxes[s] = np.clip(box, 0, [clip.width, clip.height] * 2)
        visibility = [box_visibility(box, width=clip.width, height=clip.height) for box in boxes]
        return Subjects(
            id=np.arange(len(tracks), dtype=np.int32),
            label=["moving"] * len(tracks),
            box=boxes,
            visibility=np.array(visibility, np.float32).reshape(len(tracks), clip.frames),
            source=[self.method] * len(tracks),
        )


def filled(track: Track, shown: np.ndarray, frames: int, longest_gap: float) -> np.ndarray:
    """(frames, 4) boxes of a track, in pixels of the working picture: interpolated over short gaps, else NaN.

    Args:
        track: boxes by index into `shown`.
        shown: frames of the clip that were looked at.
        frames: T.
        longest_gap: of the frames looked at, that is interpolated over.
    """
    seen = np.array(sorted(track.boxes))
    boxes = np.array([track.boxes[int(i)] for i in seen])
    out = np.full((frames, 4), np.nan)
    out[shown[seen]] = boxes
    for a, b, left, right in zip(seen[:-1], seen[1:], boxes[:-1], boxes[1:], strict=True):
        start, stop = int(shown[a]), int(shown[b])
        if b - a <= max(1.0, longest_gap) + 1:
            share = np.linspace(0, 1, stop - start + 1)[:, None]
            out[start : stop + 1] = (1 - share) * left + share * right
    if len(seen) and seen[-1] == len(shown) - 1:
        out[shown[-1] :] = boxes[-1]
    return out


def _confidence(tracks: list[Track]) -> float:
    """Mean share of detected frames between a track's first and last one; 1 where nothing moves."""
    shares = [len(track.boxes) / (track.last - min(track.boxes) + 1) for track in tracks]
    return float(np.mean(shares)) if shares else 1.0
