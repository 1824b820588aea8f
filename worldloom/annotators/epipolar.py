"""Do these cameras belong to these pictures? How far matched points lie from where the poses let them lie.

A still point seen in frame a lies, in frame b, on its epipolar line (Hartley and Zisserman 2004, 9.1), and there only
on the stretch that stands for positive depths: it starts where the point would be at infinity. The distance from the
whole line is the usual measure; the distance from the stretch also tells forwards from backwards and works where the
camera only turns (then the stretch is one point).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from worldloom.catalogs.cameras import matrix_of

FAR_PX = 1e4
"""What a point costs that cannot be seen at all (ours: beyond any picture)."""


@dataclass(frozen=True, eq=False)
class Matches:
    """The same points in two frames.

    Attributes:
        a: index of the first frame.
        b: of the second.
        in_a: (n, 2) pixels, centres at +0.5.
        in_b: (n, 2).
    """

    a: int
    b: int
    in_a: np.ndarray
    in_b: np.ndarray


@dataclass(frozen=True)
class PathError:
    """How well a path explains the matches.

    Attributes:
        median_px: over all matches.
        p90_px: 90th percentile.
        matches: how many.
        pairs: of frames with any.
    """

    median_px: float
    p90_px: float
    matches: int
    pairs: int


def match_pair(first: np.ndarray, second: np.ndarray, ratio: float = 0.75) -> tuple[np.ndarray, np.ndarray]:
    """SIFT matches of two pictures that are each other's best (ratio test of Lowe 2004; 0.75 is ours).

    Args:
        first: (H, W, 3) uint8 RGB, or (H, W).
        second: the same.
        ratio: of the distances to the best and the second best.

    Returns:
        (n, 2) pixels in the first and in the second picture, centres at +0.5.
    """
    sift = cv2.SIFT.create(nfeatures=1500)
    found = []
    for picture in (first, second):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
        found.append(sift.detectAndCompute(grey, None))
    none = np.zeros((0, 2))
    if any(descriptors is None or len(points) < 2 for points, descriptors in found):
        return none, none
    (points_a, a), (points_b, b) = found
    there, back = _best(a, b, ratio), _best(b, a, ratio)
    kept = [(i, j) for i, j in enumerate(there) if j >= 0 and back[j] == i]
    if not kept:
        return none, none
    return tuple(  # type: ignore[return-value]
        np.array([points[pair[side]].pt for pair in kept]) + 0.5 for side, points in enumerate((points_a, points_b))
    )


def _best(a: np.ndarray, b: np.ndarray, ratio: float) -> np.ndarray:
    """For each row of a the row of b it resembles, or -1 where that is not clear."""
    # Squared distances from the product: n x m floats, where a loop of a matcher takes ten times as long.
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * (a @ b.T)
    two = np.argpartition(squared, 1, axis=1)[:, :2]
    rows = np.arange(len(a))
    nearer = squared[rows, two[:, 0]] <= squared[rows, two[:, 1]]
    first, second = np.where(nearer, two[:, 0], two[:, 1]), np.where(nearer, two[:, 1], two[:, 0])
    clear = squared[rows, first] < ratio**2 * squared[rows, second]
    return np.where(clear, first, -1)


def match_frames(
    frame: Callable[[int], np.ndarray], pairs: Sequence[tuple[int, int]], most: int = 400
) -> list[Matches]:
    """Matches of some pairs of frames; pairs that share nothing are left out.

    Args:
        frame: gives frame i as (H, W, 3) uint8.
        pairs: of frames.
        most: matches kept of a pair, evenly over what was found.
    """
    out = []
    for a, b in pairs:
        in_a, in_b = match_pair(frame(a), frame(b))
        if len(in_a):
            kept = np.unique(np.linspace(0, len(in_a) - 1, min(most, len(in_a))).round().astype(int))
            out.append(Matches(a, b, in_a[kept], in_b[kept]))
    return out


def fundamental(c2w_a: np.ndarray, c2w_b: np.ndarray, k_a: np.ndarray, k_b: np.ndarray) -> np.ndarray:
    """(3, 3) F with x_b . F x_a = 0 for the pixels of one still point (Hartley and Zisserman 2004, 9.2).

    Args:
        c2w_a: (4, 4) of the first frame.
        c2w_b: (4, 4) of the second.
        k_a: (4,) fx fy cx cy.
        k_b: (4,).
    """
    relative = np.linalg.inv(c2w_b) @ c2w_a
    x, y, z = relative[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(
        np.linalg.inv(matrix_of(k_b)).T @ cross @ relative[:3, :3] @ np.linalg.inv(matrix_of(k_a)), np.float64
    )


def line_error_px(matches: Matches, c2w: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(n,) distance of matches from their epipolar lines, root mean square of both directions.

    NaN where the two frames stand in one place: then there are no such lines.

    Args:
        matches: of two frames.
        c2w: (T, 4, 4).
        intrinsics: (T, 4) or (4,), pixels of the pictures.
    """
    k = np.broadcast_to(np.asarray(intrinsics, np.float64), (len(c2w), 4))
    a, b = matches.a, matches.b
    if np.linalg.norm(c2w[a, :3, 3] - c2w[b, :3, 3]) < 1e-9:
        return np.full(len(matches.in_a), np.nan)
    f = fundamental(c2w[a], c2w[b], k[a], k[b])
    x_a, x_b = _homogeneous(matches.in_a), _homogeneous(matches.in_b)
    in_b, in_a = x_a @ f.T, x_b @ f
    product = np.abs((x_b * in_b).sum(-1))
    square = (product / np.linalg.norm(in_b[:, :2], axis=1)) ** 2
    square += (product / np.linalg.norm(in_a[:, :2], axis=1)) ** 2
    return np.asarray(np.sqrt(square / 2))


def stretch_error_px(
    matches: Matches, c2w: np.ndarray, intrinsics: np.ndarray, nearest: float | None = None
) -> np.ndarray:
    """(n,) distance of matches from the stretch of their epipolar line that positive depths give, both directions.

    Args:
        matches: of two frames.
        c2w: (T, 4, 4).
        intrinsics: (T, 4) or (4,), pixels of the pictures.
        nearest: least depth of a point, in the unit of the poses; any positive depth where not given.
    """
    k = np.broadcast_to(np.asarray(intrinsics, np.float64), (len(c2w), 4))
    a, b = matches.a, matches.b
    there = _to_stretch(matches.in_a, matches.in_b, c2w[a], c2w[b], k[a], k[b], nearest)
    back = _to_stretch(matches.in_b, matches.in_a, c2w[b], c2w[a], k[b], k[a], nearest)
    return np.asarray(np.sqrt((there**2 + back**2) / 2))


def _to_stretch(
    uv: np.ndarray,
    seen: np.ndarray,
    c2w_a: np.ndarray,
    c2w_b: np.ndarray,
    k_a: np.ndarray,
    k_b: np.ndarray,
    nearest: float | None,
) -> np.ndarray:
    relative = np.linalg.inv(c2w_b) @ c2w_a
    far = _homogeneous(uv) @ (matrix_of(k_b) @ relative[:3, :3] @ np.linalg.inv(matrix_of(k_a))).T
    towards = matrix_of(k_b) @ relative[:3, 3]  # the image of a point moves from `far` by this over its depth
    start = far[:, :2] / far[:, 2:]
    # A point at inverse depth w is seen at far + w * towards; up to where it passes behind the camera.
    most = np.inf if nearest is None else 1 / nearest
    with np.errstate(divide="ignore", invalid="ignore"):
        passes = np.where(towards[2] < 0, -far[:, 2] / towards[2], np.inf)
        slope = (towards[None, :2] - start * towards[2]) / far[:, 2:]  # of the image at depth infinity
        length = np.linalg.norm(slope, axis=1)
        direction = np.where(length[:, None] > 1e-12, slope / length[:, None], 0)
        end = far + np.minimum(most, 1e12) * towards
        reach = ((end[:, :2] / end[:, 2:] - start) * direction).sum(-1)
        reach = np.where(passes <= most, np.inf, reach)
    along = ((seen - start) * direction).sum(-1)
    along = np.clip(along, 0, np.maximum(reach, 0))
    error = np.linalg.norm(seen - start - along[:, None] * direction, axis=1)
    return np.where(far[:, 2] > 0, np.minimum(error, FAR_PX), FAR_PX)


def path_error(
    matches: Sequence[Matches],
    c2w: np.ndarray,
    intrinsics: np.ndarray,
    measure: Callable[[Matches, np.ndarray, np.ndarray], np.ndarray] = line_error_px,
) -> PathError:
    """Errors of all matches of a path together; `measure` is `line_error_px` or `stretch_error_px`.

    Raises:
        ValueError: no match can be measured.
    """
    per_pair = [measure(one, c2w, intrinsics) for one in matches]
    per_pair = [errors[np.isfinite(errors)] for errors in per_pair]
    errors = np.concatenate([*per_pair, np.zeros(0)])
    if not len(errors):
        raise ValueError("no match to measure: the frames share nothing, or the camera stands still")
    used = sum(len(one) > 0 for one in per_pair)
    return PathError(float(np.median(errors)), float(np.percentile(errors, 90)), len(errors), used)


@dataclass(frozen=True)
class PathFit:
    """One of several paths that could belong to the pictures.

    Attributes:
        names: of the candidates that are this path: some cannot be told apart.
        error: of the path.
    """

    names: tuple[str, ...]
    error: PathError


def rank_paths(
    matches: Sequence[Matches], candidates: Mapping[str, tuple[np.ndarray, np.ndarray]], same_px: float = 0.05
) -> list[PathFit]:
    """Candidates by how well they explain the matches, the best first, by the distance from the stretch.

    Args:
        matches: of pairs of frames.
        candidates: name -> c2w (T, 4, 4) and intrinsics (4,) or (T, 4).
        same_px: candidates whose errors differ by no more than this at every match are one (ours).

    Raises:
        ValueError: no candidates, or no matches.
    """
    errors = {
        name: np.concatenate([stretch_error_px(one, c2w, k) for one in matches] or [np.zeros(0)])
        for name, (c2w, k) in candidates.items()
    }
    if not errors or not len(next(iter(errors.values()))):
        raise ValueError("nothing to rank: no candidates, or no matches")
    groups: list[tuple[list[str], np.ndarray]] = []
    for name, error in errors.items():
        for names, known in groups:
            if np.abs(known - error).max() <= same_px:
                names.append(name)
                break
        else:
            groups.append(([name], error))
    groups.sort(key=lambda group: float(np.median(group[1])))
    return [
        PathFit(
            tuple(names),
            PathError(float(np.median(error)), float(np.percentile(error, 90)), len(error), len(matches)),
        )
        for names, error in groups
    ]


def _homogeneous(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)
