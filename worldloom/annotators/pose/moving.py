"""The camera path of a clip whose camera moves: key frames, mapping with restarts, every frame registered, joined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldloom.annotators.annotator import Absent, Given
from worldloom.annotators.pose.join import join
from worldloom.annotators.pose.links import describe, link
from worldloom.annotators.pose.register import Registered, register
from worldloom.annotators.pose.restarts import Outcome, map_with_restarts
from worldloom.annotators.pose.sfm import Mapper
from worldloom.annotators.pose.tracks import Tracks
from worldloom.catalogs.cameras import first_frame_identity
from worldloom.catalogs.clip import Camera

if TYPE_CHECKING:
    from worldloom.annotators.pose.annotator import PoseConfig


def moving_camera(
    grays: list[np.ndarray],
    tracks: Tracks,
    keyframes: list[int],
    focal: float,
    sx: float,
    sy: float,
    scratch: Path,
    config: PoseConfig,
) -> Given | Absent:
    """Structure from motion, or why there is none to believe."""
    size = (grays[0].shape[1], grays[0].shape[0])
    features = describe([grays[k] for k in keyframes], config.link)
    links = link(tracks, keyframes, features, config.link)
    keypoints = [np.concatenate([tracks.xy[k], f.xy]) for k, f in zip(keyframes, features, strict=True)]
    mapper = Mapper(scratch / "sfm", size, keypoints, links, focal, config.seed, config.mapping)
    outcomes = map_all(mapper, config)
    notes = {"motion": "parallax", "key_frames": len(keyframes)}
    if not outcomes:
        return Absent("no model: too little parallax or too few matches", notes)
    first = outcomes[0]
    notes |= _figures(first)
    reason = doubt(first, config)
    if reason:
        return Absent(reason, notes)
    outcomes = [one for one in outcomes if not doubt(one, config)]
    places = [f.xy for f in features]
    registered = [register(one.model, keyframes, places, tracks, size) for one in outcomes if one.model]
    return _camera(registered, outcomes, tracks, size, sx, sy, notes)


def map_all(mapper: Mapper, config: PoseConfig) -> list[Outcome]:
    """The model of most key frames, then models of what it left out."""
    hold = mapper.focal if config.focal_px else None
    outcome = map_with_restarts(mapper, config.restart, fix_focal=hold)
    outcomes: list[Outcome] = []
    rest = set(range(len(mapper.keypoints)))
    while outcome.model is not None and len(outcomes) < 4:
        outcomes.append(outcome)
        rest -= set(outcome.model.frames.tolist())
        stretch = _longest_run(sorted(rest))
        if len(stretch) < config.mapping.min_frames:
            break
        focal = outcomes[0].model.focal if outcomes[0].model else mapper.focal
        outcome = map_with_restarts(mapper, config.restart, only=stretch, fix_focal=focal)
    return outcomes


def doubt(outcome: Outcome, config: PoseConfig) -> str:
    """Why a model is not to be believed; empty where it is. Alone, it must explain more than with a second one."""
    rules = config.restart
    if outcome.model is None or outcome.model.used < config.least_used:
        return "too little parallax"
    if outcome.explained < rules.explained:
        return "no model explains the matches"
    return "" if outcome.agreed or outcome.explained >= rules.explained_alone else "restarts disagree"


def _longest_run(numbers: list[int]) -> list[int]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return max(runs, key=len, default=[])


def _figures(outcome: Outcome) -> dict[str, Any]:
    twin = outcome.twin
    return {
        "explained": round(outcome.explained, 4),
        "used": round(outcome.model.used, 4) if outcome.model else 0.0,
        "restarts": outcome.tried,
        "agreed": outcome.agreed,
        "twin_position": None if twin is None or not np.isfinite(twin.position) else round(twin.position, 5),
        "twin_rotation_deg": None
        if twin is None or not np.isfinite(twin.rotation_deg)
        else round(twin.rotation_deg, 4),
    }


def _camera(
    registered: list[Registered],
    outcomes: list[Outcome],
    tracks: Tracks,
    size: tuple[int, int],
    sx: float,
    sy: float,
    notes: dict[str, Any],
) -> Given | Absent:
    model = outcomes[0].model
    assert model is not None
    path = join(registered, tracks, size, model.focal, 1.5 * max(size) / 480)
    valid = np.isfinite(path.c2w[:, 0, 0])
    width, height = size
    row = np.array([model.focal * sx, model.focal * sy, width / 2 * sx, height / 2 * sy])
    length = len(tracks)
    confidence = np.zeros(length, np.float32)
    depth, sigma_p, sigma_r = (np.full(length, np.nan, np.float32) for _ in range(3))
    for number, (one, outcome) in enumerate(zip(registered, outcomes, strict=True)):
        mine = path.source == number
        trust = outcome.explained * (1.0 if outcome.agreed else 0.7)
        confidence[mine] = (trust * one.share * np.minimum(one.inliers / 60, 1))[mine]
        scale = _scale_of(path.c2w, one, mine)
        depth[mine] = one.median_depth[mine] * scale
        sigma_p[mine] = one.sigma_position[mine] * scale
        sigma_r[mine] = one.sigma_rotation_deg[mine]
    confidence[path.source == -1] = 0.5
    camera = Camera(
        c2w=first_frame_identity(path.c2w),
        intrinsics=np.tile(row, (length, 1)),
        scale="relative",
        confidence=confidence,
        valid=valid,
        translation_known=path.translation_known,
        scale_group=path.group,
        sigma_position=sigma_p,
        sigma_rotation_deg=sigma_r,
        median_depth=depth,
    )
    notes |= {
        "registered": int(valid.sum()),
        "models": len(registered),
        "scale_groups": int(path.group.max()) + 1,
        "error_px": round(registered[0].error_px, 4),
        "focal_px": round(model.focal * sx, 2),
    }
    return Given(camera, confidence=float(confidence.mean()), notes=notes)


def _scale_of(c2w: np.ndarray, one: Registered, mine: np.ndarray) -> float:
    """Factor that lengths of a model got when it was put into the common world."""
    rows = np.flatnonzero(mine)
    before = np.linalg.norm(one.c2w[rows, :3, 3] - one.c2w[rows, :3, 3].mean(axis=0))
    after = np.linalg.norm(c2w[rows, :3, 3] - c2w[rows, :3, 3].mean(axis=0))
    return float(after / before) if before > 0 else 1.0
