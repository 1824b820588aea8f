"""Depth and subjects from the passes of a shot, a file per frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldloom.catalogs.cameras import resize_intrinsics
from worldloom.catalogs.clip import Depth, Subjects
from worldloom.catalogs.depth_agreement import depth_agreement
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.exr import exr_info
from worldloom.catalogs.formats.exr_header import MAX_SIDE
from worldloom.catalogs.formats.movie_render_queue import DepthPass, IdPass, read_depth, read_ids
from worldloom.catalogs.subject_masks import SubjectMasks

if TYPE_CHECKING:
    from worldloom.catalogs.video import VideoInfo

STATED_ERROR = 1e-3
"""Half floats are off by up to 2^-11; picking a pixel, not a mean, adds what a slope does within half of one."""

_SPOTS, _STEP_S = 4, 0.4
"""Where depth is held against the cameras: so many pairs of frames, so far apart (ours)."""

_DOUBTFUL_RATIO, _DOUBTFUL_MORE = 2.0, 0.002
"""Depth is doubted where the other measure agrees so many times better, and by so much (relative; ours)."""


def depth_of(
    files: Sequence[Path], rules: DepthPass, intrinsics: np.ndarray | None, c2w: np.ndarray | None, info: VideoInfo
) -> Depth:
    """Depth of `rules.frames` frames spread evenly, metric.

    Args:
        files: (T,) one per frame.
        rules: what the numbers are.
        intrinsics: (T, 4) in pixels of the footage; None where the cameras are not known.
        c2w: (T, 4, 4); None likewise.
        info: of the footage.

    Raises:
        BadInput: `mixed_sizes`, the pass has another shape than the picture; `no_intrinsics`, distances cannot become
            z; `depth_measure_doubtful`, the other measure agrees with the cameras and this one does not.
    """
    if intrinsics is None and rules.measure == "distance":
        remedy = "Give cameras, or render z-depth."
        raise BadInput("no_intrinsics", "distances need a focal length to become depth", where=files[0], remedy=remedy)
    frames = np.unique(np.linspace(0, len(files) - 1, min(rules.frames, len(files))).round().astype(np.int32))
    maps = [_map(files[i], rules, intrinsics, i, info) for i in frames.tolist()]
    if len({z.shape for z, _ in maps}) != 1:
        raise BadInput("mixed_sizes", "its pictures differ in size", where=files[0].parent)
    if intrinsics is not None and c2w is not None:
        _check_measure(files, rules, intrinsics, c2w, info)
    z, valid = np.stack([one for one, _ in maps]), np.stack([one for _, one in maps])
    return Depth(frames, z, valid, np.ones(len(frames), np.float32), "metric", STATED_ERROR)


def _map(
    path: Path, rules: DepthPass, intrinsics: np.ndarray | None, frame: int, info: VideoInfo
) -> tuple[np.ndarray, np.ndarray]:
    if path.suffix.lower() != ".exr":
        what = "depth is read from EXR: 8-bit pictures of it are for the eye"
        raise BadInput("bad_depth", what, where=path, remedy="Render the depth pass as EXR.")
    width, height = exr_info(path).size
    if abs(width / height - info.width / info.height) > 0.01:
        what = f"{width} x {height} pixels, another shape than the picture's {info.width} x {info.height}"
        raise BadInput("mixed_sizes", what, where=path)
    one = np.ones(4) if intrinsics is None else intrinsics[frame]
    return read_depth(path, rules, resize_intrinsics(one, width / info.width, height / info.height))


def _check_measure(
    files: Sequence[Path], rules: DepthPass, intrinsics: np.ndarray, c2w: np.ndarray, info: VideoInfo
) -> None:
    """Hold both measures against the cameras: only the right one gives points that stay where they are."""
    step = max(1, round(_STEP_S * float(info.fps)))
    spots = _SPOTS if len(files) > step else 0
    starts = np.unique(np.linspace(0, len(files) - 1 - step, spots).round().astype(int))
    found: dict[str, float] = {}
    for measure in ("z", "distance"):
        tried = rules.model_copy(update={"measure": measure})
        differences = []
        for start in starts:
            pair = [int(start), int(start) + step]
            maps = [_map(files[i], tried, intrinsics, i, info) for i in pair]
            if maps[0][0].shape != maps[1][0].shape:
                return
            high, wide = maps[0][0].shape
            k = resize_intrinsics(intrinsics[pair], wide / info.width, high / info.height)
            differences.append(depth_agreement(np.stack([m[0] for m in maps]), np.stack([m[1] for m in maps]),
                                               c2w[pair], k))  # fmt: skip
        kept = [one for one in differences if np.isfinite(one)]
        found[measure] = float(np.median(kept)) if kept else float("nan")
    ours = found[rules.measure]
    other, name = next((value, name) for name, value in found.items() if name != rules.measure)
    if np.isfinite(ours) and np.isfinite(other) and ours > _DOUBTFUL_RATIO * other and ours - other > _DOUBTFUL_MORE:
        what = (
            f"taken as {rules.measure}, depth disagrees with the cameras by {100 * ours:.2f} %, "
            f"taken as {name} by {100 * other:.2f} %"
        )
        remedy = f"Set depth.measure: {name}."
        raise BadInput("depth_measure_doubtful", what, where=files[0].parent, remedy=remedy)


def subjects_of(
    files: Sequence[Path],
    rules: IdPass,
    info: VideoInfo,
    depth_files: Sequence[Path] = (),
    depth_rules: DepthPass | None = None,
    intrinsics: np.ndarray | None = None,
) -> Subjects:
    """Boxes and visibility of the subjects of a shot.

    Args:
        files: (T,) one per frame.
        rules: who is a subject.
        info: of the footage.
        depth_files: (T,) of the depth pass, where there is one: visibility then knows how far a subject is.
        depth_rules: of that pass.
        intrinsics: (T, 4) in pixels of the footage, for depth.

    Raises:
        BadInput: `mixed_sizes`, or as `read_ids`.
    """
    masks = SubjectMasks(info.width, info.height)
    whole = depth_rules.model_copy(update={"height": MAX_SIDE}) if depth_rules is not None else None
    for i, path in enumerate(files):
        found, (width, height) = read_ids(path, rules)
        if abs(width / height - info.width / info.height) > 0.01:
            what = f"{width} x {height} pixels, another shape than the picture's {info.width} x {info.height}"
            raise BadInput("mixed_sizes", what, where=path)
        depth = None
        if whole is not None and found:
            z, valid = _map(depth_files[i], whole, intrinsics, i, info)
            depth = np.where(valid, z, np.nan)
        masks.add(found, depth)
    labels = {name: _label(name, rules) for name in masks.names}
    return masks.subjects(float(info.fps), "unreal ids", labels)


def _label(name: str, rules: IdPass) -> str:
    from fnmatch import fnmatchcase

    if name in rules.subjects:
        return rules.subjects[name]
    return next((label for one, label in rules.subjects.items() if fnmatchcase(name, one)), name)
