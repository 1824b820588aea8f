"""In which order are three angles stored? The one whose cameras explain how the pictures move.

Candidate paths are told apart by matches between frames where they disagree most. Only the distance from the stretch
of the epipolar line is used, which works for cameras that turn, walk, or both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from worldloom.annotators.epipolar import Matches, PathFit, match_frames, path_error, rank_paths, stretch_error_px

GAPS_S = (0.15, 0.3, 0.6)
"""How far apart the frames of a pair are (ours)."""

PAIRS = 12
MATCHES_PER_PAIR = 120
WINDOWS = 120
LEAST_DISAGREEMENT = 0.004
"""Of candidates, as a share of the picture's width, below which a pair tells nothing (ours: 2.5 px of 640)."""

MOST_MOTION = 0.35
"""As a share of the width: frames that share less are not matched (ours)."""

WORKING_WIDTH = 640
"""Pictures are made smaller to this for matching (ours)."""

CLEAR_RATIO, CLEAR_SHARE = 1.5, 0.0005
"""One path is better than another where its median error is this many times smaller, and smaller by this share of the
width (ours: a third of a pixel of 640)."""

LEAST_MATCHES = 50
"""In all pairs together, below which nothing is concluded (ours)."""

MOST_ERROR = 0.005
"""Of the width, above which even the best path explains nothing (ours: 3 px of 640)."""

USUAL_FOV_DEG = 75.0
"""At which pairs are chosen (ours); what is chosen hardly depends on it."""


@dataclass(frozen=True, eq=False)
class OrderFit:
    """What the pictures say.

    Attributes:
        best: names of the candidates that explain the pictures best; several where they are one path there.
        median_px: their error, in pixels of the working picture.
        second: names of the next best path; empty where all candidates are one.
        second_px: its error; infinite where there is none.
        clear: whether the best is better by more than chance and small mistakes of the lens explain.
        errors_px: per name, at the field of view that suits it best.
        hfov_deg: at which the best fits best, of those tried.
        pairs: of frames at which candidates differ; 0 where all of them are one path, and `best` names all.
        matches: found in these pairs; without any nothing is known, and `best` is empty.
        size: width and height of the working picture.
    """

    best: tuple[str, ...]
    median_px: float = math.nan
    second: tuple[str, ...] = ()
    second_px: float = math.inf
    clear: bool = False
    errors_px: Mapping[str, float] = field(default_factory=dict)
    hfov_deg: float = math.nan
    pairs: int = 0
    matches: tuple[Matches, ...] = ()
    size: tuple[int, int] = (0, 0)

    def doubts(self, name: str) -> bool:
        """Whether another candidate is clearly better than this one."""
        ratio, share = self.errors_px.get(name, math.nan), CLEAR_SHARE * self.size[0]
        return name not in self.best and ratio > CLEAR_RATIO * self.median_px and ratio - self.median_px > share

    @property
    def count(self) -> int:
        """Of all matches."""
        return sum(len(one.in_a) for one in self.matches)


def fit_order(
    frame: Callable[[int], np.ndarray],
    candidates: Mapping[str, np.ndarray],
    size: tuple[int, int],
    fps: float,
) -> OrderFit:
    """Which of several paths the pictures belong to, each taken at the field of view that suits it best.

    Args:
        frame: gives frame i, (H, W, 3) uint8.
        candidates: name -> c2w (T, 4, 4), all of one length, metres.
        size: width and height of the frames.
        fps: frames per second.
    """
    width = min(size[0], WORKING_WIDTH)
    height = round(size[1] * width / size[0])
    pairs = telling_pairs(candidates, fps, USUAL_FOV_DEG, width, height)
    if not pairs:
        return OrderFit(tuple(candidates), size=(width, height))

    def small(i: int) -> np.ndarray:
        picture = frame(i)
        return (
            picture if picture.shape[1] == width else cv2.resize(picture, (width, height), None, 0, 0, cv2.INTER_AREA)
        )

    matches = tuple(match_frames(small, pairs, MATCHES_PER_PAIR))
    if sum(len(one.in_a) for one in matches) < LEAST_MATCHES:
        return OrderFit((), pairs=len(pairs), size=(width, height))
    fits = {name: fit_fov(matches, c2w, (width, height)) for name, c2w in candidates.items()}
    errors = {name: error for name, (_, error) in fits.items()}
    first = min(errors, key=errors.__getitem__)
    k = intrinsics(fits[first][0], width, height)
    ranked = rank_paths(matches, {name: (c2w, k) for name, c2w in candidates.items()})
    best = next(one.names for one in ranked if first in one.names)
    second = next((names for names in _others(ranked, errors) if first not in names), ())
    median, second_px = errors[first], errors[second[0]] if second else math.inf
    clear = second_px > CLEAR_RATIO * median and second_px - median > CLEAR_SHARE * width
    clear = bool(second) and clear and median <= MOST_ERROR * width
    return OrderFit(
        best, median, second, second_px, clear, errors, fits[first][0], len(pairs), matches, (width, height)
    )


def _others(ranked: Sequence[PathFit], errors: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Groups of names by the least error of any of them, its own name first."""
    groups = [tuple(sorted(one.names, key=errors.__getitem__)) for one in ranked]
    return sorted(groups, key=lambda names: errors[names[0]])


def fit_fov(matches: Sequence[Matches], c2w: np.ndarray, size: tuple[int, int]) -> tuple[float, float]:
    """Horizontal field of view that explains the matches best, degrees, and the median error there, px.

    A grid of 5 degrees from 30 to 130, then steps of half the size around the best down to 0.2 degrees. As good as
    the camera turns: one that only walks straight on says little.
    """

    def error(fov: float) -> float:
        return path_error(matches, c2w, intrinsics(fov, *size), stretch_error_px).median_px

    errors = {fov: error(fov) for fov in np.arange(30.0, 131.0, 5.0).tolist()}
    step = 2.5
    while step > 0.1:
        best = min(errors, key=errors.__getitem__)
        errors |= {fov: error(fov) for fov in (best - step, best + step) if fov not in errors}
        step /= 2
    best = min(errors, key=errors.__getitem__)
    return best, errors[best]


def intrinsics(hfov_deg: float, width: int, height: int) -> np.ndarray:
    """(4,) fx fy cx cy of square pixels: fx = W / 2 / tan(fov / 2)."""
    focal = width / 2 / math.tan(math.radians(hfov_deg) / 2)
    return np.array([focal, focal, width / 2, height / 2])


def telling_pairs(
    candidates: Mapping[str, np.ndarray], fps: float, hfov_deg: float, width: int, height: int
) -> list[tuple[int, int]]:
    """Pairs of frames at which the candidates predict different motion, the most telling first, spread over the path.

    Motion is predicted for points at 3 and 30 metres over the picture; a pair counts where at least one candidate
    keeps most of the picture in view. Candidates that never differ leave no pairs.
    """
    length = len(next(iter(candidates.values())))
    count = max(0, min(WINDOWS, length - 1))
    starts = np.unique(np.linspace(0, length - 2, count).round().astype(int))
    found: list[tuple[float, int, int]] = []
    for start in starts.tolist():
        for gap in sorted({max(1, round(seconds * fps)) for seconds in GAPS_S}):
            if start + gap < length:
                told = _disagreement(candidates, start, start + gap, intrinsics(hfov_deg, width, height), width, height)
                if told >= LEAST_DISAGREEMENT:
                    found.append((told, start, start + gap))
    found.sort(key=lambda one: (-one[0], one[1:]))
    kept: list[tuple[int, int]] = []
    for _, a, b in found:
        if all(abs(a - other) >= max(1, length // (4 * PAIRS)) for other, _ in kept):
            kept.append((a, b))
        if len(kept) == PAIRS:
            break
    return kept


def _disagreement(
    candidates: Mapping[str, np.ndarray], a: int, b: int, k: np.ndarray, width: int, height: int
) -> float:
    """Largest median difference between two candidates' predictions, as a share of the width; 0 where none is small
    enough for frames that share most of what they show."""
    u, v = np.meshgrid(np.linspace(0.1, 0.9, 4) * width, np.linspace(0.1, 0.9, 3) * height)
    rays = np.stack([(u.ravel() - k[2]) / k[0], (v.ravel() - k[3]) / k[1], np.ones(u.size)], axis=-1)
    points = np.concatenate([3.0 * rays, 30.0 * rays])
    start = np.tile(np.stack([u.ravel(), v.ravel()], axis=-1), (2, 1))
    moved = []
    for c2w in candidates.values():
        relative = np.linalg.inv(c2w[b]) @ c2w[a]
        local = points @ relative[:3, :3].T + relative[:3, 3]
        z = np.maximum(local[:, 2], 0.05)
        moved.append(np.stack([k[0] * local[:, 0] / z + k[2], k[1] * local[:, 1] / z + k[3]], axis=-1) - start)
    motion = [float(np.median(np.linalg.norm(one, axis=-1))) for one in moved]
    if min(motion) > MOST_MOTION * width:
        return 0.0
    pairs = [(i, j) for i in range(len(moved)) for j in range(i)]
    return max((float(np.median(np.linalg.norm(moved[i] - moved[j], axis=-1))) for i, j in pairs), default=0.0) / width
