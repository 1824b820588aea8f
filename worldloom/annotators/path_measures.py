"""How far an estimated camera path is from the true one: ATE and RPE (held to evo in the tests)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldloom.catalogs.cameras import align_sim3, rotation_angle_deg


@dataclass(frozen=True)
class GroupAte:
    """ATE inside one scale group.

    Attributes:
        group: the value of `Camera.scale_group`.
        frames: how many were compared.
        rmse: root mean square distance after alignment, unit of the reference.
        path_length: of the reference inside the group, same unit.
        percent: 100 rmse / path_length; NaN where the reference stands still.
        scale: factor from the estimate's unit to the reference's.
    """

    group: int
    frames: int
    rmse: float
    path_length: float
    percent: float
    scale: float


@dataclass(frozen=True, eq=False)
class AteResult:
    """Absolute trajectory error of a whole path.

    Attributes:
        rmse: root mean square distance over all compared frames, unit of the reference.
        median: median distance.
        maximum: largest distance.
        path_length: of the reference, summed over groups.
        percent: mean over groups of 100 rmse / path_length, weighted by frames; NaN without a moving group.
        frames: how many were compared.
        groups: per scale group.
        scale: (T,) factor from the estimate's unit to the reference's at each frame, NaN outside compared groups.
        errors: (T,) distance at each frame, NaN where none was compared.
    """

    rmse: float
    median: float
    maximum: float
    path_length: float
    percent: float
    frames: int
    groups: tuple[GroupAte, ...]
    scale: np.ndarray
    errors: np.ndarray


def ate(
    estimate: np.ndarray,
    reference: np.ndarray,
    groups: np.ndarray | None = None,
    valid: np.ndarray | None = None,
    *,
    with_scale: bool = True,
    min_frames: int = 3,
) -> AteResult:
    """Absolute trajectory error after a least-squares alignment per scale group (Umeyama 1991).

    Args:
        estimate: (T, 4, 4) camera-to-world; NaN rows are left out.
        reference: (T, 4, 4) camera-to-world; NaN rows are left out.
        groups: (T,) int, `Camera.scale_group`; one group where not given.
        valid: (T,) bool, frames to compare; pass `valid & translation_known` of the estimate.
        with_scale: Sim(3); false for SE(3), where both are metric.
        min_frames: groups with fewer frames are left out, since any three points align well (ours).

    Raises:
        ValueError: the paths have different lengths.
    """
    estimate, reference = np.asarray(estimate, np.float64), np.asarray(reference, np.float64)
    if estimate.shape != reference.shape:
        raise ValueError(f"paths of {len(estimate)} and {len(reference)} frames cannot be compared")
    use = np.isfinite(estimate).all((1, 2)) & np.isfinite(reference).all((1, 2))
    if valid is not None:
        use &= np.asarray(valid, bool)
    labels = np.zeros(len(use), np.int64) if groups is None else np.asarray(groups)
    errors, scales = np.full(len(use), np.nan), np.full(len(use), np.nan)
    found = []
    for label in np.unique(labels[use]):
        rows = np.flatnonzero(use & (labels == label))
        if len(rows) < min_frames:
            continue
        source, target = estimate[rows, :3, 3], reference[rows, :3, 3]
        scale, rotation, translation = align_sim3(source, target, with_scale=with_scale)
        errors[rows] = np.linalg.norm(scale * source @ rotation.T + translation - target, axis=1)
        scales[rows] = scale
        found.append(_group_ate(int(label), errors[rows], target, float(scale)))
    return _ate_result(errors, scales, found)


def _group_ate(label: int, errors: np.ndarray, target: np.ndarray, scale: float) -> GroupAte:
    rmse = float(np.sqrt(np.mean(errors**2)))
    length = float(np.linalg.norm(np.diff(target, axis=0), axis=1).sum())
    return GroupAte(label, len(errors), rmse, length, 100 * rmse / length if length > 0 else float("nan"), scale)


def _ate_result(errors: np.ndarray, scales: np.ndarray, groups: list[GroupAte]) -> AteResult:
    seen = errors[np.isfinite(errors)]
    moving = [group for group in groups if group.path_length > 0]
    weight = sum(group.frames for group in moving)
    nan = float("nan")
    return AteResult(
        rmse=float(np.sqrt(np.mean(seen**2))) if len(seen) else nan,
        median=float(np.median(seen)) if len(seen) else nan,
        maximum=float(seen.max()) if len(seen) else nan,
        path_length=float(sum(group.path_length for group in groups)),
        percent=sum(group.percent * group.frames for group in moving) / weight if weight else nan,
        frames=len(seen),
        groups=tuple(groups),
        scale=scales,
        errors=errors,
    )


@dataclass(frozen=True)
class RpeResult:
    """Error of the relative rotation over a fixed time, in degrees; NaN without a pair of frames.

    Attributes:
        median: over all pairs.
        mean: over all pairs.
        rmse: over all pairs.
        maximum: over all pairs.
        pairs: how many.
    """

    median: float
    mean: float
    rmse: float
    maximum: float
    pairs: int


def rpe_deg(
    estimate: np.ndarray,
    reference: np.ndarray,
    fps: float,
    seconds: float = 1.0,
    valid: np.ndarray | None = None,
) -> RpeResult:
    """Error of the relative rotation between every two frames `seconds` apart (definitions 1).

    Needs no alignment: a rotation of the world cancels in R_i^T R_j.

    Args:
        estimate: (T, 4, 4) camera-to-world.
        reference: (T, 4, 4) camera-to-world.
        fps: frames per second.
        seconds: distance of the two frames; a clip shorter than that gives no pair.
        valid: (T,) bool, frames to compare.
    """
    estimate, reference = np.asarray(estimate, np.float64), np.asarray(reference, np.float64)
    use = np.isfinite(estimate).all((1, 2)) & np.isfinite(reference).all((1, 2))
    if valid is not None:
        use &= np.asarray(valid, bool)
    step = max(1, round(float(fps) * seconds))
    first = np.flatnonzero(use[:-step] & use[step:]) if len(use) > step else np.zeros(0, int)
    if not len(first):
        return RpeResult(float("nan"), float("nan"), float("nan"), float("nan"), 0)
    turn_est = _relative_rotation(estimate[first, :3, :3], estimate[first + step, :3, :3])
    turn_ref = _relative_rotation(reference[first, :3, :3], reference[first + step, :3, :3])
    angles = rotation_angle_deg(_relative_rotation(turn_ref, turn_est))
    return RpeResult(
        median=float(np.median(angles)),
        mean=float(np.mean(angles)),
        rmse=float(np.sqrt(np.mean(angles**2))),
        maximum=float(np.max(angles)),
        pairs=len(angles),
    )


def _relative_rotation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.swapaxes(first, -1, -2) @ second
