"""From models of stretches of a clip to one camera path: scale groups, rotations joined, honest gaps.

Where the camera turns on the spot by more than its field of view, nothing seen fixes the ratio of the scales before
and after; the rotation is known all the same, from the pictures in between (definitions 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldloom.annotators.pose.register import Registered
from worldloom.annotators.pose.tracks import Tracks
from worldloom.annotators.pose.turning import rotation_between, unit_rays

LEAST_SHARED = 20
"""Tracks that carry a rotation from one frame to the next (ours)."""
LEAST_SHARE = 0.6
"""Share of them that a mere rotation must explain (ours)."""


@dataclass(eq=False)
class Path:
    """The joined path of T frames.

    Attributes:
        c2w: (T, 4, 4), NaN where nothing is known.
        group: (T,) scale group, numbered from 0 in order of time.
        translation_known: (T,) bool.
        source: (T,) which model each pose comes from; -1 where only the rotation was carried on, -2 where unknown.
    """

    c2w: np.ndarray
    group: np.ndarray
    translation_known: np.ndarray
    source: np.ndarray


def join(models: list[Registered], tracks: Tracks, size: tuple[int, int], focal: float, within_px: float) -> Path:
    """Put all models into the world of the one that registers most frames.

    Frames without a model keep the position of the last frame that has one, marked as unknown translation, for as
    long as a mere rotation explains their tracks. A model that no chain of rotations reaches is left out.
    """
    length = len(tracks)
    source = _choose(models)
    c2w = np.full((length, 4, 4), np.nan)
    main = int(np.argmax([(source == m).sum() for m in range(len(models))]))
    c2w[source == main] = models[main].c2w[source == main]
    _carry(c2w, source, models, tracks, size, focal, within_px, range(length))
    _carry(c2w, source, models, tracks, size, focal, within_px, range(length - 1, -1, -1))
    known = np.isfinite(c2w).all(axis=(1, 2))
    source = np.where(known, source, -2)
    return Path(c2w, _groups(source, models), known & (source >= 0), source)


def _choose(models: list[Registered]) -> np.ndarray:
    """For each frame the model with most inliers, -1 for none."""
    inliers = np.stack([np.where(model.ok, model.inliers, 0) for model in models])
    return np.where(inliers.max(axis=0) > 0, inliers.argmax(axis=0), -1)


def _carry(
    c2w: np.ndarray,
    source: np.ndarray,
    models: list[Registered],
    tracks: Tracks,
    size: tuple[int, int],
    focal: float,
    within_px: float,
    order: range,
) -> None:
    """Walk through the frames and fill `c2w` where the frame before is known and this one is not."""
    before: int | None = None
    for frame in order:
        if np.isfinite(c2w[frame, 0, 0]):
            before = frame
            continue
        if before is None:
            continue
        turn = _turn(tracks, before, frame, size, focal, within_px)
        if turn is None:
            before = None
            continue
        here = c2w[before].copy()
        here[:3, :3] = c2w[before, :3, :3] @ turn
        if source[frame] >= 0:  # the first frame of another model: bring all of it into this world
            _place(c2w, source, int(source[frame]), frame, here, models)
        else:
            c2w[frame] = here
        before = frame


def _turn(
    tracks: Tracks, before: int, frame: int, size: tuple[int, int], focal: float, within_px: float
) -> np.ndarray | None:
    """Rotation (3, 3) of `frame` seen from `before` (camera to camera), if their tracks show nothing else."""
    _, a, b = tracks.shared(before, frame)
    if len(a) < LEAST_SHARED:
        return None
    rotation, fits = rotation_between(unit_rays(a, size, focal), unit_rays(b, size, focal), within_px / focal)
    return rotation.T if fits.mean() >= LEAST_SHARE else None


def _place(
    c2w: np.ndarray,
    source: np.ndarray,
    number: int,
    frame: int,
    here: np.ndarray,
    models: list[Registered],
) -> None:
    """Move a model so that its `frame` stands at pose `here`; its scale follows the median depth, by convention."""
    model = models[number]
    mine = np.flatnonzero(source == number)
    near = [t for t in np.flatnonzero(np.isfinite(c2w[:, 0, 0])) if source[t] >= 0]
    scale = 1.0
    if near:
        last = min(near, key=lambda t: abs(int(t) - frame))
        scale = float(models[source[last]].median_depth[last] / model.median_depth[frame])
    rotation = here[:3, :3] @ model.c2w[frame, :3, :3].T
    c2w[mine] = model.c2w[mine]
    c2w[mine, :3, :3] = rotation @ model.c2w[mine, :3, :3]
    c2w[mine, :3, 3] = scale * (model.c2w[mine, :3, 3] - model.c2w[frame, :3, 3]) @ rotation.T + here[:3, 3]


def _groups(source: np.ndarray, models: list[Registered]) -> np.ndarray:
    """Number stretches of models in order of time; frames without one belong to what was before them."""
    group = np.zeros(len(source), np.int32)
    names: dict[tuple[int, int], int] = {}
    now = 0
    for frame, model in enumerate(source):
        if model >= 0:
            now = names.setdefault((int(model), int(models[model].stretch[frame])), len(names))
        group[frame] = now
    return group
