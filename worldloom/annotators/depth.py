"""Depth of some frames of a clip from its own other frames: a plane sweep over known poses, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from worldloom.annotators.annotator import Absent, Annotator, Given, Resources
from worldloom.annotators.plane_sweep import Swept, View, inverse_depths, points_agree, sweep
from worldloom.annotators.sweep_views import choose_neighbours, depth_range, views_for_range
from worldloom.catalogs.cameras import resize_intrinsics
from worldloom.catalogs.clip import Camera, Clip, Depth
from worldloom.catalogs.config import Strict


class DepthRules(Strict):
    """What the sweep does; all defaults ours unless said otherwise.

    Attributes:
        every: frames between two maps; doubled until there are at most `most_maps`.
        most_maps: per clip.
        width: pixels of the working picture and of the maps.
        neighbours: frames swept against each map.
        angle_deg: wanted angle between the views (5 in MVSNet; wider ones disagree more often).
        least_angle_deg: maps whose widest angle is smaller are not made: no parallax.
        plane_step_px: spacing of the planes, in pixels of the widest view.
        most_planes: of a map.
        window: side of the matching window, pixels.
        least_agreement: normalised cross-correlation from which a match is trusted.
        most_bend: relative change of the slope of 1 / z above which a pixel lies at an edge and is left out.
        small_step: price of a step of one plane between neighbouring pixels.
        large_step: price of a jump.
        consistent: relative difference up to which two maps agree on a point.
        least_coverage: share of valid pixels below which a map is dropped.
    """

    every: Annotated[int, Field(ge=1)] = 8
    most_maps: Annotated[int, Field(ge=1)] = 12
    width: Annotated[int, Field(ge=64, le=1920)] = 240
    neighbours: Annotated[int, Field(ge=1, le=16)] = 4
    angle_deg: Annotated[float, Field(gt=0, lt=60)] = 5.0
    least_angle_deg: Annotated[float, Field(ge=0)] = 1.0
    plane_step_px: Annotated[float, Field(gt=0)] = 0.7
    most_planes: Annotated[int, Field(ge=16, le=512)] = 96
    window: Annotated[int, Field(ge=3, le=31)] = 5
    least_agreement: Annotated[float, Field(ge=-1, le=1)] = 0.3
    most_bend: Annotated[float, Field(gt=0)] = 0.1
    small_step: Annotated[float, Field(ge=0)] = 0.03
    large_step: Annotated[float, Field(ge=0)] = 0.6
    consistent: Annotated[float, Field(gt=0)] = 0.03
    least_coverage: Annotated[float, Field(ge=0, le=1)] = 0.05


@dataclass
class _Map:
    frame: int
    view: View
    swept: Swept


class DepthAnnotator(Annotator):
    """z-depth in the unit of the camera's translation, valid where two maps or two sides of the path agree."""

    name = "depth"
    version = "1"
    method = "plane_sweep"
    needs = ("frames", "camera")
    uses = ("subjects",)
    gives = "depth"
    Config = DepthRules
    resources = Resources(deadline_s=900)

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Sweep about every eighth frame against four others, then keep what other maps confirm."""
        cv2.setNumThreads(1)
        camera = clip.camera
        if camera is None:
            return Absent("no camera")
        usable = camera.valid & camera.translation_known
        if camera.scale == "none" or usable.sum() < 3:
            return Absent("no parallax")
        views = self._views(clip, camera)
        maps = []
        for frame in map_frames(clip.frames, self.config.every, self.config.most_maps):
            if usable[frame]:
                made = self._map(frame, views, camera, usable)
                maps += [made] if made else []
        if not maps:
            return Absent("no parallax")
        valid, spread = self._confirmed(maps, camera)
        kept = valid.mean(axis=(1, 2)) >= self.config.least_coverage
        if not kept.any():
            return Absent("no two maps agree")
        maps, valid = [one for one, keep in zip(maps, kept, strict=True) if keep], valid[kept]
        agreement = [
            float(one.swept.agreement[seen].mean()) if seen.any() else 0.0
            for one, seen in zip(maps, valid, strict=True)
        ]
        depth = Depth(
            frames=np.array([one.frame for one in maps], np.int32),
            z=np.stack([one.swept.z for one in maps]),
            valid=valid,
            confidence=np.clip(np.array(agreement), 0, 1).astype(np.float32),
            scale=camera.scale,
            stated_error=round(max(0.005, spread), 5),
        )
        notes = {"maps": len(maps), "coverage": round(float(valid.mean()), 4)}
        return Given(depth, confidence=float(depth.confidence.mean()), notes=notes)

    def _views(self, clip: Clip, camera: Camera) -> list[View]:
        """Every frame at working size."""
        width = min(self.config.width, clip.width)
        size = (width, max(16, round(clip.height * width / clip.width)))
        k = resize_intrinsics(camera.intrinsics, size[0] / clip.width, size[1] / clip.height)
        views = []
        with clip.open_frames() as frames:
            for t, frame in enumerate(frames):
                grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
                views.append(View(grey, camera.c2w[t], k[t], moving_pixels(clip, t, size)))
        return views

    def _map(self, frame: int, views: list[View], camera: Camera, usable: np.ndarray) -> _Map | None:
        """One swept map; None where no other frame sees the scene from far enough aside."""
        rules: DepthRules = self.config
        c2w, k = camera.c2w, np.stack([view.k for view in views])
        size = views[0].grey.shape[1], views[0].grey.shape[0]
        same = np.flatnonzero(usable & (camera.scale_group == camera.scale_group[frame]))
        guess = _first_guess(frame, same, views, camera)
        for _ in range(2):
            near, angle = choose_neighbours(frame, same, c2w, k, size, guess, rules.neighbours, rules.angle_deg)
            between = depth_range(views[frame], [views[j] for j in views_for_range(frame, near, same)])
            if between is None:
                return None
            guess = 2 / (1 / between[0] + 1 / between[1])
        if angle < rules.least_angle_deg or between is None:
            return None
        baseline = max(float(np.linalg.norm(c2w[j, :3, 3] - c2w[frame, :3, 3])) for j in near)
        step = rules.plane_step_px / (float(k[frame, 0]) * baseline)
        planes = inverse_depths(between[0], between[1], step, most=rules.most_planes)
        swept = sweep(
            views[frame],
            [views[j] for j in near],
            planes,
            window=rules.window,
            least_agreement=rules.least_agreement,
            most_bend=rules.most_bend,
            small_step=rules.small_step,
            large_step=rules.large_step,
        )
        return _Map(frame, views[frame], swept)

    def _confirmed(self, maps: list[_Map], camera: Camera) -> tuple[np.ndarray, float]:
        """(N, h, w) bool: trusted, and another map puts the point at the same depth; and how far they differ."""
        valid, differences = [], []
        for one in maps:
            best = np.full(one.swept.z.shape, np.inf, np.float32)
            for other in maps:
                if other is not one and camera.scale_group[other.frame] == camera.scale_group[one.frame]:
                    gap = points_agree(one.view, one.swept.z, other.view, other.swept.z, other.swept.trusted)
                    best = np.fmin(best, gap)
            seen = without_specks(one.swept.trusted & (best <= self.config.consistent))
            valid.append(seen)
            differences.append(best[seen])
        pooled = np.concatenate(differences)
        return np.stack(valid), float(np.quantile(pooled, 0.9)) if len(pooled) else 0.0


def map_frames(frames: int, every: int, most: int) -> list[int]:
    """0, every, 2 every, ...: with `every` doubled until there are at most `most` of them."""
    while (frames - 1) // every + 1 > most:
        every *= 2
    return list(range(0, frames, every))


def without_specks(valid: np.ndarray, side: int = 5, share: float = 0.5) -> np.ndarray:
    """(h, w) bool: valid, as are most of the pixels around it. Chance agreements stand alone."""
    around = cv2.blur(valid.astype(np.float32), (side, side), borderType=cv2.BORDER_REFLECT)
    return np.asarray(valid & (around > share))


def moving_pixels(clip: Clip, frame: int, size: tuple[int, int]) -> np.ndarray | None:
    """(h, w) bool inside a subject's box at working size; None where there are no subjects."""
    if clip.subjects is None or not len(clip.subjects):
        return None
    inside = np.zeros((size[1], size[0]), bool)
    scale = np.array([size[0] / clip.width, size[1] / clip.height] * 2)
    for box in clip.subjects.box[:, frame] * scale:
        if np.isfinite(box).all():
            x0, y0 = np.maximum(np.floor(box[:2]).astype(int) - 1, 0)
            x1, y1 = np.ceil(box[2:]).astype(int) + 1
            inside[y0:y1, x0:x1] = True
    return inside


def _first_guess(frame: int, same: np.ndarray, views: list[View], camera: Camera) -> float:
    """Scene depth to begin with: the camera's own, else what features triangulate against the farthest frames."""
    if camera.median_depth is not None and np.isfinite(camera.median_depth[frame]):
        return float(camera.median_depth[frame])
    position = camera.c2w[:, :3, 3]
    near_in_time = [int(j) for j in same if 0 < abs(int(j) - frame) <= 12]
    far_first = sorted(near_in_time, key=lambda j: (-float(np.linalg.norm(position[j] - position[frame])), j))
    between = depth_range(views[frame], [views[j] for j in far_first[:3]])
    if between is not None:
        return 2 / (1 / between[0] + 1 / between[1])
    extent = float(np.linalg.norm(np.ptp(position[same], axis=0)))
    return max(extent, 1e-6)
