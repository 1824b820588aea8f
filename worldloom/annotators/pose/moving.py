"""The camera path of a clip whose camera moves: key frames, mapping with restarts, every frame registered, joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldloom.annotators.annotator import Absent, Given
from worldloom.annotators.pose.config import PoseConfig
from worldloom.annotators.pose.join import join
from worldloom.annotators.pose.links import describe, link
from worldloom.annotators.pose.register import Registered, register
from worldloom.annotators.pose.restarts import Outcome, map_with_restarts
from worldloom.annotators.pose.sfm import Mapper
from worldloom.annotators.pose.stretches import Turn, find_turns, split
from worldloom.annotators.pose.tracks import Tracks
from worldloom.annotators.pose.turned import FOCAL_PRIOR, turn_only
from worldloom.catalogs.cameras import first_frame_identity
from worldloom.catalogs.clip import Camera

FOCAL_SWEEP = 0.5
"""Widths that a turn must sweep to fix the focal length (ours). Rendered walks that look aside hold three key frames,
0.12 widths, that pass for a turn: their focal lengths came out 0.3 to 21 % wrong, stated as good to 0.6 to 2 %, and the
paths mapped with the two that were held 1.7 and 3 % off, which had been 0.1 % with the focal length left free."""
OVERLAP = 2
"""Key frames that a model of the rest shares with the model before and after (ours)."""


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
    turns = find_turns(tracks, keyframes, size, focal, config.turn)
    hold = config.focal_px / sx if config.focal_px else focal_from_turns(tracks, keyframes, turns, size, focal)
    outcomes = map_all(mapper, turns, hold, config)
    notes = {"motion": "parallax", "key_frames": len(keyframes), "registrations": mapper.registrations}
    notes |= _figures(outcomes[0])
    reason = doubt(outcomes[0], config)
    if reason:
        return Absent(reason, notes)
    outcomes = [one for one in outcomes if not doubt(one, config)]
    places = [f.xy for f in features]
    registered = [register(one.model, keyframes, places, tracks, size) for one in outcomes if one.model]
    return _camera(registered, outcomes, tracks, size, sx, sy, notes)


def map_all(mapper: Mapper, turns: list[Turn], hold: float | None, config: PoseConfig) -> list[Outcome]:
    """Models of all stretches between turns on the spot, the largest first; then of what they left out."""
    count = len(mapper.keypoints)
    outcomes = _map(mapper, split(count, turns, config.turn.cut, config.turn.overlap), hold, config)
    if doubt(outcomes[0], config):
        finer = split(count, turns, config.turn.try_cut, config.turn.overlap)
        if len(finer) > len(split(count, turns, config.turn.cut, config.turn.overlap)):
            outcomes = _map(mapper, finer, hold, config)
    rest = set(range(count))
    for outcome in outcomes:
        rest -= set() if outcome.model is None else set(outcome.model.frames.tolist())
    stretch = _longest_run(sorted(rest - {k for turn in turns for k in range(turn.first, turn.last + 1)}))
    if len(stretch) >= config.mapping.min_frames and not doubt(outcomes[0], config):
        rest_of = list(range(max(0, stretch[0] - OVERLAP), min(count, stretch[-1] + 1 + OVERLAP)))
        outcomes += _map(mapper, [rest_of], hold, config)
    return outcomes


def focal_from_turns(
    tracks: Tracks, keyframes: list[int], turns: list[Turn], size: tuple[int, int], focal: float
) -> float | None:
    """Focal length that the widest turn on the spot fixes to a percent; walking straight on fixes none."""
    widest = max(turns, key=lambda turn: turn.swept, default=None)
    if widest is None or widest.swept < FOCAL_SWEEP:
        return None
    fit = turn_only(tracks, keyframes[widest.first : widest.last + 1], size, focal, FOCAL_PRIOR, 1.5)
    return fit.focal if fit is not None and fit.focal_sigma < 0.01 and fit.share > 0.9 else None


def _map(mapper: Mapper, stretches: list[list[int]], hold: float | None, config: PoseConfig) -> list[Outcome]:
    found = []
    for stretch in stretches:
        only = None if len(stretch) == len(mapper.keypoints) else stretch
        found.append(map_with_restarts(mapper, config.restart, only=only, fix_focal=hold))
    believed = [one for one in found if not doubt(one, config)]
    return sorted(believed or found, key=lambda one: 0 if one.model is None else -len(one.model.frames))


def doubt(outcome: Outcome, config: PoseConfig) -> str:
    """Why a model is not to be believed; empty where it is."""
    rules = config.restart
    if outcome.model is None and outcome.cut_short:
        return "too much work"
    if outcome.model is None or outcome.model.used < config.least_used:
        return "too little parallax"
    if outcome.explained < rules.explained:
        return "no model explains the matches"
    return "" if outcome.agreed else "restarts disagree"


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
        "agreeing": outcome.agreeing,
        "comparable": outcome.comparable,
        "cut_short": outcome.cut_short,
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
        confidence[mine] = (outcome.explained * one.share * np.minimum(one.inliers / 60, 1))[mine]
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
