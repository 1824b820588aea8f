"""Camera poses by structure from motion, from pictures alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import cv2
import numpy as np

from worldloom.annotators.annotator import Absent, Annotator, Given, Resources
from worldloom.annotators.pose.config import PoseConfig
from worldloom.annotators.pose.links import choose_keyframes
from worldloom.annotators.pose.motion import is_still
from worldloom.annotators.pose.moving import moving_camera
from worldloom.annotators.pose.tracks import follow
from worldloom.annotators.pose.turned import FOCAL_PRIOR, turn_only, turned_camera
from worldloom.annotators.pose.turning import Turning
from worldloom.catalogs.clip import Camera, Clip


class PoseAnnotator(Annotator):
    """Camera poses: static, rotation-only and moving cameras told apart, wrong models refused.

    A standing camera gets the identity and scale `none`; one that only turns gets rotations and scale `none`; a
    moving one gets structure from motion and scale `relative`.
    """

    name = "pose"
    version = "2"
    method = "sfm"
    needs = ("frames",)
    gives = "camera"
    Config = PoseConfig
    resources = Resources(cpus=1, memory_mb=4096, deadline_s=600)

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """The camera of `clip`, or why nothing can be said."""
        config: PoseConfig = self.config
        known = clip.annotations.get("pose")
        if config.use_source and clip.camera is not None:
            if known is None:
                return Given(clip.camera, method="source")
            return Given(clip.camera, known.method, known.confidence, dict(known.notes))
        if len(clip) < config.min_frames:
            return Absent("too few frames", {"frames": len(clip)})
        with clip.open_frames() as frames:
            grays = list(_shrunk(frames, config.working_side))
        return self.look(grays, clip.width / grays[0].shape[1], clip.height / grays[0].shape[0], scratch)

    def look(self, grays: list[np.ndarray], sx: float, sy: float, scratch: Path) -> Given | Absent:
        """The camera of T grey pictures (h, w) uint8 that are to be enlarged by `sx`, `sy`."""
        config: PoseConfig = self.config
        cv2.setNumThreads(1)
        size = (grays[0].shape[1], grays[0].shape[0])
        tracks = follow(grays, config.track)
        points = int(np.median([len(ids) for ids in tracks.ids]))
        if points < config.min_points:
            return Absent("no texture to track", {"points": points})
        focal = config.focal_px / sx if config.focal_px else guess_focal(size, config.horizontal_fov_deg)
        if is_still(tracks, size, config.still):
            return _standing(len(grays), size, focal, sx, sy)
        prior = None if config.focal_px else FOCAL_PRIOR
        keyframes = choose_keyframes(tracks, max(size), config.link)
        turning = turn_only(tracks, keyframes, size, focal, prior, config.turning_px)
        if _turns(turning, config.turning_share, config.turning_worst):
            return turned_camera(turning, keyframes, tracks, size, sx, sy)
        if turning is not None and not config.focal_px and turning.focal_sigma < 0.03 and turning.share > 0.5:
            focal = turning.focal  # turns tell it better than any guess
        answer = moving_camera(grays, tracks, keyframes, focal, sx, sy, scratch, config)
        if isinstance(answer, Absent) and _turns(turning, *config.turning_fallback):
            return turned_camera(turning, keyframes, tracks, size, sx, sy)
        return answer


def _turns(turning: Turning | None, share: float, worst: float) -> TypeGuard[Turning]:
    return turning is not None and turning.share >= share and turning.worst >= worst


def guess_focal(size: tuple[int, int], horizontal_fov_deg: float) -> float:
    """Focal length in pixels of a picture whose longer side spans the angle (upright pictures: held sideways)."""
    return max(size) / 2 / math.tan(math.radians(horizontal_fov_deg) / 2)


def _standing(length: int, size: tuple[int, int], focal: float, sx: float, sy: float) -> Given:
    camera = Camera(
        c2w=np.tile(np.eye(4), (length, 1, 1)),
        intrinsics=stored_intrinsics(length, size, focal, sx, sy),
        scale="none",
        confidence=np.ones(length, np.float32),
        valid=np.ones(length, bool),
        translation_known=np.zeros(length, bool),
        scale_group=np.zeros(length, np.int32),
        sigma_rotation_deg=np.zeros(length, np.float32),
    )
    notes: dict[str, Any] = {"motion": "static", "registered": length, "focal": "assumed"}
    return Given(camera, confidence=1.0, notes=notes)


def stored_intrinsics(length: int, size: tuple[int, int], focal: float, sx: float, sy: float) -> np.ndarray:
    """fx fy cx cy (T, 4) of the stored video from the focal length in the working picture."""
    width, height = size
    row = [focal * sx, focal * sy, width / 2 * sx, height / 2 * sy]
    return np.tile(np.array(row, np.float64), (length, 1))


def _shrunk(frames: Any, side: int) -> Iterator[np.ndarray]:
    for rgb in frames:
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        factor = side / max(gray.shape)
        if factor < 1:
            size = (round(gray.shape[1] * factor), round(gray.shape[0] * factor))
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        yield gray
