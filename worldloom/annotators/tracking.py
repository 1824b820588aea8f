"""Boxes over time: a constant-velocity Kalman filter per track, Hungarian assignment, dormancy, and coming back.

Nothing here looks at pictures: a detection is a box and a histogram of its colours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.optimize import linear_sum_assignment

from worldloom.annotators.label_measures import box_iou
from worldloom.catalogs.config import Strict

Share = Annotated[float, Field(ge=0, le=1)]


class TrackRules(Strict):
    """How detections become tracks; all defaults ours unless said otherwise.

    Attributes:
        position_noise: standard deviation of a box's centre and size per frame, in box heights (SORT-like trackers use
            1/20).
        velocity_noise: standard deviation of the change of velocity per frame, in box heights (they use 1/160; people
            who turn round need more).
        measure_noise: standard deviation of a detected side, in box heights.
        gate: least score of a match: the larger of IoU and 1 - distance of centres in box diagonals.
        colour_weight: share of the colours in a match's score, the rest is place.
        dormant_s: a track without a detection for so long is put to sleep.
        return_s: a sleeping track may wake up for so long.
        return_colour: least likeness of colours (histogram intersection) for that.
        min_s: tracks seen for less time are dropped.
        min_travel: tracks whose box moved less, in box diagonals, are dropped: what does not move is no subject, and
            the hole that a person left in a learned background does not move either.
    """

    position_noise: Annotated[float, Field(gt=0)] = 0.05
    velocity_noise: Annotated[float, Field(gt=0)] = 0.02
    measure_noise: Annotated[float, Field(gt=0)] = 0.08
    gate: Share = 0.35
    colour_weight: Share = 0.3
    dormant_s: Annotated[float, Field(gt=0)] = 0.4
    return_s: Annotated[float, Field(ge=0)] = 8.0
    return_colour: Share = 0.72
    min_s: Annotated[float, Field(ge=0)] = 0.35
    min_travel: Annotated[float, Field(ge=0)] = 0.35


@dataclass(eq=False)
class Detection:
    """One box in one frame.

    Attributes:
        box: (4,) x0 y0 x1 y1, pixels.
        colours: (n,) histogram that sums to 1.
    """

    box: np.ndarray
    colours: np.ndarray


@dataclass(eq=False)
class Track:
    """One subject over time.

    Attributes:
        boxes: detected box by frame.
        colours: running mean of its histograms.
        mean: (8,) state: centre x y, width, height, and their velocities per frame.
        covariance: (8, 8).
        last: frame of the last detection.
    """

    boxes: dict[int, np.ndarray]
    colours: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    last: int
    asleep: bool = False
    naps: list[tuple[int, int]] = field(default_factory=list)

    @property
    def predicted_box(self) -> np.ndarray:
        """(4,) where the filter has the subject now."""
        x, y, w, h = self.mean[:4]
        return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])

    def travel(self) -> float:
        """Largest distance between two places of its centre, in median box diagonals."""
        boxes = np.array(list(self.boxes.values()))
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        diagonal = float(np.median(np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1)))
        return float(np.linalg.norm(np.ptp(centres, axis=0))) / max(diagonal, 1e-9)


def track_boxes(
    detections: list[list[Detection]],
    fps: float,
    rules: TrackRules,
    camera_shift: list[np.ndarray] | None = None,
) -> list[Track]:
    """Link detections over time.

    Args:
        detections: per frame.
        fps: frames per second.
        rules: thresholds.
        camera_shift: per frame t the (3, 3) homography that takes the still background of t - 1 to t; identity where
            not given. Predictions move along with it.

    Returns:
        Tracks in order of their first frame, without the short and the unmoving ones.
    """
    awake: list[Track] = []
    asleep: list[Track] = []
    for frame, found in enumerate(detections):
        for track in awake:
            _predict(track, rules, None if camera_shift is None else camera_shift[frame])
        free = _match(awake, found, frame, rules)
        for track in [one for one in awake if frame - one.last > rules.dormant_s * fps]:
            track.asleep = True
            awake.remove(track)
            asleep.append(track)
        asleep_now = [one for one in asleep if frame - one.last <= rules.return_s * fps]
        for detection in _wake(asleep_now, free, frame, rules, awake, asleep):
            awake.append(_born(detection, frame, rules))
    least = max(2, round(rules.min_s * fps))
    tracks = [one for one in awake + asleep if len(one.boxes) >= least and one.travel() >= rules.min_travel]
    return sorted(tracks, key=lambda one: (min(one.boxes), tuple(one.boxes[min(one.boxes)])))


def _match(tracks: list[Track], found: list[Detection], frame: int, rules: TrackRules) -> list[Detection]:
    """Give detections to tracks where they fit best; returns those left over."""
    if not tracks or not found:
        return list(found)
    score = np.array([[_score(track, one, rules) for one in found] for track in tracks])
    rows, columns = linear_sum_assignment(-np.where(score >= rules.gate, score, 0.0))
    taken = set()
    for i, j in zip(rows, columns, strict=True):
        if score[i, j] >= rules.gate:
            _update(tracks[i], found[j], frame, rules)
            taken.add(int(j))
    return [one for j, one in enumerate(found) if j not in taken]


def _score(track: Track, detection: Detection, rules: TrackRules) -> float:
    predicted, box = track.predicted_box, detection.box
    diagonal = float(np.linalg.norm(predicted[2:] - predicted[:2]) + np.linalg.norm(box[2:] - box[:2])) / 2
    apart = float(np.linalg.norm((predicted[:2] + predicted[2:] - box[:2] - box[2:]) / 2))
    place = max(float(box_iou(predicted, box)), 1 - apart / max(diagonal, 1e-9))
    if place <= 0:
        return 0.0
    return (1 - rules.colour_weight) * place + rules.colour_weight * likeness(track.colours, detection.colours)


def likeness(left: np.ndarray, right: np.ndarray) -> float:
    """Histogram intersection, in [0, 1]."""
    return float(np.minimum(left, right).sum())


def _wake(
    sleepers: list[Track],
    free: list[Detection],
    frame: int,
    rules: TrackRules,
    awake: list[Track],
    asleep: list[Track],
) -> list[Detection]:
    """Give left-over detections to sleeping tracks of like colours; returns those that are somebody new.

    A colour histogram of the first glimpse at the border says little, so a detection may stay with a new track for
    good; it wakes a sleeper only where one is clearly like it.
    """
    if not sleepers or not free:
        return free
    alike = np.array([[likeness(track.colours, one.colours) for one in free] for track in sleepers])
    rows, columns = linear_sum_assignment(-alike)
    woken = set()
    for i, j in zip(rows, columns, strict=True):
        if alike[i, j] >= rules.return_colour:
            track = sleepers[i]
            track.naps.append((track.last + 1, frame))
            fresh = _born(free[j], frame, rules)
            track.mean, track.covariance, track.asleep = fresh.mean, fresh.covariance, False
            track.boxes[frame], track.last = free[j].box, frame
            asleep.remove(track)
            awake.append(track)
            woken.add(int(j))
    return [one for j, one in enumerate(free) if j not in woken]


def _born(detection: Detection, frame: int, rules: TrackRules) -> Track:
    x0, y0, x1, y1 = detection.box
    height = y1 - y0
    mean = np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, height, 0, 0, 0, 0], np.float64)
    spread = np.r_[np.full(4, 2 * rules.measure_noise), np.full(4, 10 * rules.velocity_noise)] * height
    return Track({frame: detection.box}, detection.colours.copy(), mean, np.diag(spread**2), frame)


_STEP = np.eye(8) + np.eye(8, k=4)
_SEEN = np.eye(4, 8)


def _predict(track: Track, rules: TrackRules, shift: np.ndarray | None) -> None:
    height = max(track.mean[3], 1.0)
    noise = np.r_[np.full(4, rules.position_noise), np.full(4, rules.velocity_noise)] * height
    track.mean = _STEP @ track.mean
    track.covariance = _STEP @ track.covariance @ _STEP.T + np.diag(noise**2)
    if shift is not None:
        moved = shift @ np.r_[track.mean[:2], 1.0]
        track.mean[:2] = moved[:2] / moved[2]
    track.mean[2:4] = np.maximum(track.mean[2:4], 2.0)


def _update(track: Track, detection: Detection, frame: int, rules: TrackRules) -> None:
    x0, y0, x1, y1 = detection.box
    measured = np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
    noise = np.diag(np.full(4, (rules.measure_noise * max(y1 - y0, 1.0)) ** 2))
    gain = track.covariance @ _SEEN.T @ np.linalg.inv(_SEEN @ track.covariance @ _SEEN.T + noise)
    track.mean = track.mean + gain @ (measured - _SEEN @ track.mean)
    track.covariance = (np.eye(8) - gain @ _SEEN) @ track.covariance
    track.boxes[frame] = detection.box
    track.colours = 0.9 * track.colours + 0.1 * detection.colours
    track.last = frame
