"""From masks of subjects, frame by frame, to their boxes and visibility."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worldloom.catalogs.clip import Subjects
from worldloom.catalogs.events import box_visibility

REFERENCE_S = 0.5
"""How far in time, both ways, the largest mask is looked for that a mask is compared with, where no distance is known.
Ours: longer, and who walks away looks hidden; shorter, and it does not last for what hides somebody.
`benchmarks/unreal_sources.py visibility` says how true that is."""

MAX_SUBJECTS = 64
"""Of one clip (ours): more are no subjects but the scene."""


class SubjectMasks:
    """Collects masks and says what they were: `add` each frame, then `subjects`.

    Args:
        width: of the pictures.
        height: of the pictures.
        least_px: a mask of fewer pixels is none: edges of compressed masks leave specks (ours).
    """

    def __init__(self, width: int, height: int, least_px: int = 1) -> None:
        self.width, self.height, self.least_px = width, height, least_px
        self.frames = 0
        self._boxes: dict[str, dict[int, tuple[float, float, float, float]]] = {}
        self._pixels: dict[str, dict[int, int]] = {}
        self._distance: dict[str, dict[int, float]] = {}

    def name(self, name: str) -> None:
        """A subject that is there even if no mask ever shows it."""
        self._boxes.setdefault(name, {})
        self._pixels.setdefault(name, {})
        self._distance.setdefault(name, {})

    def add(self, masks: Mapping[str, np.ndarray], depth: np.ndarray | None = None) -> None:
        """The next frame.

        Args:
            masks: name of a subject to its (h, w) bool mask, of any size that covers the whole picture.
            depth: (h', w') z-depth of the whole picture, NaN where there is none; with it in every frame, visibility
                knows that what is farther is smaller.
        """
        for name, mask in masks.items():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            count = int(np.count_nonzero(mask))
            self.name(name)
            if count < max(1, self.least_px):
                continue
            sx, sy = self.width / mask.shape[1], self.height / mask.shape[0]
            box = (columns[0] * sx, rows[0] * sy, (columns[-1] + 1) * sx, (rows[-1] + 1) * sy)
            self._boxes[name][self.frames] = tuple(map(float, box))  # type: ignore[assignment]
            self._pixels[name][self.frames] = count
            if depth is not None:
                self._distance[name][self.frames] = _median_below(mask, depth)
        self.frames += 1

    @property
    def names(self) -> list[str]:
        """Of the subjects so far, in the order in which they came."""
        return list(self._boxes)

    def subjects(self, fps: float, source: str, labels: Mapping[str, str] | None = None) -> Subjects:
        """Boxes and visibility of all of them.

        Args:
            fps: frames per second.
            source: who says so.
            labels: name to what the subject is called; its name where not given.
        """
        count = len(self._boxes)
        boxes = np.full((count, self.frames, 4), np.nan, np.float32)
        visibility = np.zeros((count, self.frames), np.float32)
        for s, name in enumerate(self._boxes):
            pixels, distance = np.zeros(self.frames), np.full(self.frames, np.nan)
            for frame, box in self._boxes[name].items():
                boxes[s, frame] = box
                pixels[frame] = self._pixels[name][frame]
                distance[frame] = self._distance[name].get(frame, np.nan)
            known = bool(np.isfinite(distance[pixels > 0]).all())
            visibility[s] = mask_visibility(boxes[s], pixels, self.width, self.height, fps, distance if known else None)
        return Subjects(
            id=np.arange(1, count + 1, dtype=np.int32),
            label=[(labels or {}).get(name, name) for name in self._boxes],
            box=boxes,
            visibility=visibility,
            source=[source] * count,
        )


def _median_below(mask: np.ndarray, depth: np.ndarray) -> float:
    rows, columns = np.nonzero(mask)
    rows = rows * depth.shape[0] // mask.shape[0]
    values = depth[rows, columns * depth.shape[1] // mask.shape[1]]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")


def mask_visibility(
    boxes: np.ndarray, pixels: np.ndarray, width: int, height: int, fps: float, distance: np.ndarray | None = None
) -> np.ndarray:
    """Visibility of a subject whose full projection is not known, from its masks (definitions 3).

    The smaller of two: what its box says where it touches a border (`box_visibility`), and, for what hides it inside
    the picture, its pixels times distance^2 over the most that it has of that in the clip; without distances its pixels
    over the most that it has within `REFERENCE_S`, either way in time. The same both ways in time, so that a reversed
    clip has the same numbers reversed.

    Args:
        boxes: (T, 4) pixels, NaN where absent.
        pixels: (T,) of the mask.
        width: of the picture.
        height: of the picture.
        fps: frames per second.
        distance: (T,) of the subject, any unit; NaN where absent.

    Returns:
        (T,) float32 in [0, 1], 0 where absent.
    """
    pixels = np.asarray(pixels, np.float64)
    if distance is not None:
        whole = pixels * np.nan_to_num(distance) ** 2
        share = whole / max(float(whole.max(initial=0)), 1e-9)
        return np.minimum(box_visibility(boxes, width, height), share).astype(np.float32)
    reach = max(1, round(REFERENCE_S * fps))
    padded = np.pad(pixels, reach)
    most = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=-1)
    share = pixels / np.maximum(most, 1)
    return np.minimum(box_visibility(boxes, width, height), share).astype(np.float32)
