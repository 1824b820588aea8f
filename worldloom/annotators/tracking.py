"""Boxes over time: a constant-velocity Kalman filter per track, Hungarian assignment, and who came back.

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
        part_area: a detection smaller than this share of the expected box may be a part of the subject,
        part_inside: if at least this share of it lies inside the expected box,
        part_noise: and then it moves the box little: standard deviation of its sides, in box heights.
        gate: least score of a match: the larger of IoU and 1 - distance of centres in box diagonals.
        colour_weight: share of the colours in a match's score, the rest is place.
        dormant_s: a stay ends when there was no detection for so long.
        least_seen: share of the frames of its stays in which a track must be detected.
        least_sure: mean share of a track's detections that no still thing explains.
        return_s: two stays at most so far apart may be one subject,
        return_colour: if their colours are at least so alike (histogram intersection; halves of one stay 0.84-0.99,
            two people in black 0.77-0.92, others below 0.75 in one real video).
        near_s: two stays at most so far apart, the later where the earlier ended,
        near_colour: are one subject already if their colours are so alike.
        min_s: tracks seen for less time are dropped.
        min_travel: tracks whose box moved less, in box diagonals, are dropped: what does not move is no subject, and
            the hole that a person left in a learned background does not move either.
    """

    position_noise: Annotated[float, Field(gt=0)] = 0.05
    velocity_noise: Annotated[float, Field(gt=0)] = 0.02
    measure_noise: Annotated[float, Field(gt=0)] = 0.08
    part_area: Share = 0.6
    part_inside: Share = 0.7
    part_noise: Annotated[float, Field(gt=0)] = 0.4
    gate: Share = 0.35
    colour_weight: Share = 0.3
    dormant_s: Annotated[float, Field(gt=0)] = 0.6
    least_seen: Share = 0.4
    least_sure: Share = 0.15
    return_s: Annotated[float, Field(ge=0)] = 8.0
    return_colour: Share = 0.8
    near_s: Annotated[float, Field(ge=0)] = 2.0
    near_colour: Share = 0.5
    min_s: Annotated[float, Field(ge=0)] = 0.5
    min_travel: Annotated[float, Field(ge=0)] = 0.35


@dataclass(eq=False)
class Detection:
    """One box in one frame.

    Attributes:
        box: (4,) x0 y0 x1 y1, pixels.
        colours: (n,) histogram that sums to 1.
        sure: in [0, 1], how much of it surely moves.
    """

    box: np.ndarray
    colours: np.ndarray
    sure: float = 1.0


@dataclass(eq=False)
class Track:
    """One subject over time.

    Attributes:
        boxes: detected box by frame.
        colours: running mean of its histograms.
        mean: (8,) state: centre x y, width, height, and their velocities per frame.
        covariance: (8, 8).
        last: frame of the last detection.
        sure: of every detection.
        looks: area and histogram of every detection of the whole subject.
        naps: intervals [start, stop) in which it was away.
    """

    boxes: dict[int, np.ndarray]
    colours: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    last: int
    sure: list[float] = field(default_factory=list)
    looks: list[tuple[float, np.ndarray]] = field(default_factory=list)
    naps: list[tuple[int, int]] = field(default_factory=list)

    @property
    def predicted_box(self) -> np.ndarray:
        """(4,) where the filter has the subject now."""
        x, y, w, h = self.mean[:4]
        return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])

    def look(self) -> np.ndarray:
        """(n,) mean histogram of the larger half of its detections: the whole subject rather than a part."""
        least = float(np.median([area for area, _ in self.looks]))
        return np.asarray(np.mean([colours for area, colours in self.looks if area >= least], axis=0))

    def seen_share(self) -> float:
        """Share of the frames between its first and its last one, sleep left out, in which it was detected."""
        away = sum(stop - start for start, stop in self.naps)
        return len(self.boxes) / (self.last - min(self.boxes) + 1 - away)

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
    ended: list[Track] = []
    for frame, found in enumerate(detections):
        for track in awake:
            _predict(track, rules, None if camera_shift is None else camera_shift[frame])
        free = _match(awake, found, frame, rules)
        ended += [one for one in awake if frame - one.last > rules.dormant_s * fps]
        awake = [one for one in awake if frame - one.last <= rules.dormant_s * fps]
        awake += [_born(detection, frame, rules) for detection in free]
    least = max(2, round(rules.min_s * fps))
    stays = [one for one in ended + awake if len(one.boxes) >= least and one.seen_share() >= rules.least_seen]
    tracks = [one for one in linked(stays, fps, rules) if one.travel() >= rules.min_travel]
    tracks = [one for one in tracks if np.mean(one.sure) >= rules.least_sure]
    return sorted(tracks, key=lambda one: (min(one.boxes), tuple(one.boxes[min(one.boxes)])))


def linked(stays: list[Track], fps: float, rules: TrackRules) -> list[Track]:
    """Join stays of one subject: like colours over the whole of both stays, the later begins after the earlier ends.

    The first glimpse at a border says little about who it is, so this waits until all is seen.

    Args:
        stays: tracks without interruptions.
        fps: frames per second.
        rules: thresholds.
    """
    pairs = [
        (likeness(early.look(), late.look()), a, b)
        for a, early in enumerate(stays)
        for b, late in enumerate(stays)
        if 0 < min(late.boxes) - early.last <= rules.return_s * fps
    ]
    follows: dict[int, int] = {}
    for like, a, b in sorted(pairs, key=lambda one: (-one[0], one[1], one[2])):
        enough = rules.near_colour if _near(stays[a], stays[b], fps, rules) else rules.return_colour
        if like >= enough and a not in follows and b not in follows.values():
            follows[a] = b
    firsts = [a for a in range(len(stays)) if a not in follows.values()]
    return [_chain(stays, a, follows) for a in firsts]


def _near(early: Track, late: Track, fps: float, rules: TrackRules) -> bool:
    """The later stay begins soon after the earlier one ended, within a box of where it ended."""
    start = min(late.boxes)
    last, first = early.boxes[early.last], late.boxes[start]
    diagonal = float(np.linalg.norm(last[2:] - last[:2]))
    apart = float(np.linalg.norm((last[:2] + last[2:] - first[:2] - first[2:]) / 2))
    return start - early.last <= rules.near_s * fps and apart <= diagonal


def _chain(stays: list[Track], first: int, follows: dict[int, int]) -> Track:
    track = stays[first]
    while first in follows:
        first = follows[first]
        later = stays[first]
        track.naps += [(track.last + 1, min(later.boxes)), *later.naps]
        track.boxes |= later.boxes
        track.looks += later.looks
        track.sure += later.sure
        track.last = later.last
    return track


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
    return [
        one
        for j, one in enumerate(found)
        if j not in taken and not any(_inside(one.box, track.predicted_box) >= rules.part_inside for track in tracks)
    ]


def _inside(box: np.ndarray, other: np.ndarray) -> float:
    """Share of a box that lies in another."""
    both = np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None)
    return float(np.prod(both) / max(float(np.prod(box[2:] - box[:2])), 1e-9))


def _score(track: Track, detection: Detection, rules: TrackRules) -> float:
    predicted, box = track.predicted_box, detection.box
    diagonal = float(np.linalg.norm(predicted[2:] - predicted[:2]) + np.linalg.norm(box[2:] - box[:2])) / 2
    apart = float(np.linalg.norm((predicted[:2] + predicted[2:] - box[:2] - box[2:]) / 2))
    place = max(float(box_iou(predicted, box)), 1 - apart / max(diagonal, 1e-9), 0.8 * _inside(box, predicted))
    if place <= 0:
        return 0.0
    return (1 - rules.colour_weight) * place + rules.colour_weight * likeness(track.colours, detection.colours)


def likeness(left: np.ndarray, right: np.ndarray) -> float:
    """Histogram intersection, in [0, 1]."""
    return float(np.minimum(left, right).sum())


def _born(detection: Detection, frame: int, rules: TrackRules) -> Track:
    x0, y0, x1, y1 = detection.box
    height = y1 - y0
    mean = np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, height, 0, 0, 0, 0], np.float64)
    spread = np.r_[np.full(4, 2 * rules.measure_noise), np.full(4, 10 * rules.velocity_noise)] * height
    looks = [((x1 - x0) * height, detection.colours)]
    sure = [detection.sure]
    return Track({frame: detection.box}, detection.colours.copy(), mean, np.diag(spread**2), frame, sure, looks)


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
    predicted = track.predicted_box
    x0, y0, x1, y1 = detection.box
    area, expected = (x1 - x0) * (y1 - y0), float(np.prod(predicted[2:] - predicted[:2]))
    part = area < rules.part_area * expected and _inside(detection.box, predicted) >= rules.part_inside
    measured = np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
    spread = rules.measure_noise * max(y1 - y0, 1.0)
    if part:  # only the legs move, or the head: the rest of the subject stands where it was expected
        spread = rules.part_noise * max(float(track.mean[3]), 1.0)
    gain = track.covariance @ _SEEN.T @ np.linalg.inv(_SEEN @ track.covariance @ _SEEN.T + np.eye(4) * spread**2)
    track.mean = track.mean + gain @ (measured - _SEEN @ track.mean)
    track.covariance = (np.eye(8) - gain @ _SEEN) @ track.covariance
    track.boxes[frame] = track.predicted_box if part else detection.box
    if not part:
        track.colours = 0.9 * track.colours + 0.1 * detection.colours
        track.looks.append((area, detection.colours))
    track.sure.append(detection.sure)
    track.last = frame
