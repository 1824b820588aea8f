"""From visibility to exit and entry events; the rules of the renderer's truth and of the tracks alike (definitions 3).

Three decisions that the definition leaves to the reader:
- what is neither visible nor hidden for long enough at the start of a clip counts as what it first becomes;
- a track that begins or ends inside the picture without anything in front of it is dormant, so its open interval is
  no event, while a closed one stays, `unexplained`;
- an entry is judged at the last frame that is hidden. That is e - 1 unless the subject lingers between the two
  thresholds, where e - 1 would call every slow entry through a border unexplained, though its reversal is an exit.
"""

from __future__ import annotations

import numpy as np

from worldloom.catalogs.clip import Event, Subjects
from worldloom.catalogs.config import Strict

SIDES = ("left", "top", "right", "bottom")
"""In the order of the numbers of a box, x0 y0 x1 y1."""


class EventRules(Strict):
    """Thresholds of exit and entry; all defaults ours (definitions 3), HyDRA gives none.

    Attributes:
        visible_from: visibility from which a subject is visible.
        hidden_to: visibility down to which it is hidden.
        hold_frames: how long either must hold.
        outside_to: in-frame share of the full projection down to which a subject has left the view.
        inside_from: in-frame share above which a hidden subject is occluded.
        border_px: least width of the border zone that a track's box must touch to have left the view.
        border_share: width of that zone as a share of the picture's width.
        cover_share: share of a track's last box that a nearer box must cover to have occluded it.
    """

    visible_from: float = 0.10
    hidden_to: float = 0.02
    hold_frames: int = 3
    outside_to: float = 0.02
    inside_from: float = 0.5
    border_px: float = 2.0
    border_share: float = 0.023
    cover_share: float = 0.5


def hidden_intervals(visibility: np.ndarray, rules: EventRules | None = None) -> list[tuple[int | None, int | None]]:
    """Intervals [f, e): f the first hidden, e the first visible frame.

    Args:
        visibility: (T,) in [0, 1]; NaN counts as 0.
        rules: thresholds.

    Returns:
        f is None where the subject is hidden from the start, e None where it is hidden to the end; (None, None) for a
        subject that is never visible. Empty where neither state ever holds.
    """
    rules = rules or EventRules()
    seen = np.nan_to_num(np.asarray(visibility, np.float64))
    hidden = _held(seen <= rules.hidden_to, rules.hold_frames)
    visible = _held(seen >= rules.visible_from, rules.hold_frames)
    changes = [(int(t), False) for t in hidden] + [(int(t), True) for t in visible]
    intervals: list[tuple[int | None, int | None]] = []
    state: bool | None = None
    since: int | None = None
    for t, is_visible in sorted(changes):
        if is_visible and state is False:
            intervals.append((since, t))
        elif not is_visible and state is not False:
            since = t if state else None
        state = is_visible
    if state is False:
        intervals.append((since, None))
    return intervals


def _held(true: np.ndarray, frames: int) -> np.ndarray:
    """First frame of every run of at least `frames` true values."""
    edge = np.diff(np.r_[0, true.astype(np.int8), 0])
    start, stop = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    return start[stop - start >= frames]


def find_events(subjects: Subjects, width: int, height: int, rules: EventRules | None = None) -> list[Event]:
    """Exits, entries and hidden intervals of every subject, in order of time.

    Where `in_frame` is known it decides the cause; elsewhere the boxes do: the last box before an exit, the first
    after an entry, must touch the border.

    Args:
        subjects: S subjects over T frames.
        width: of the picture, pixels.
        height: of the picture, pixels.
        rules: thresholds.

    Returns:
        One event per hidden interval; a subject that is never visible has none.
    """
    rules = rules or EventRules()
    events = []
    for s in range(len(subjects)):
        judge = _Judge(subjects, s, width, height, rules)
        for first_hidden, first_visible in hidden_intervals(subjects.visibility[s], rules):
            if first_hidden is None and first_visible is None:
                continue
            event = judge.event(first_hidden, first_visible)
            if event is not None:
                events.append(event)
    return sorted(events, key=_time_order)


def _time_order(event: Event) -> tuple[int, int]:
    first = event.first_hidden if event.first_hidden is not None else event.first_visible
    return (first or 0, event.subject)


class _Judge:
    """Cause and side of the exits and entries of one subject."""

    def __init__(self, subjects: Subjects, s: int, width: int, height: int, rules: EventRules) -> None:
        self.id = int(subjects.id[s])
        self.box = np.asarray(subjects.box[s], np.float64)
        self.hidden = np.nan_to_num(subjects.visibility[s]) <= rules.hidden_to
        self.others = np.delete(np.asarray(subjects.box, np.float64), s, axis=0)
        self.in_frame = None if subjects.in_frame is None else subjects.in_frame[s]
        self.full_box = None if subjects.full_box is None else np.asarray(subjects.full_box[s], np.float64)
        self.size = (width, height)
        self.rules = rules

    def event(self, first_hidden: int | None, first_visible: int | None) -> Event | None:
        exit_cause = exit_side = entry_cause = entry_side = None
        if first_hidden is not None:
            exit_cause, exit_side = self._judge(first_hidden, -1)
        if first_visible is not None:
            last_hidden = int(np.flatnonzero(self.hidden[:first_visible])[-1])
            entry_cause, entry_side = self._judge(last_hidden, +1)
        is_open = first_hidden is None or first_visible is None
        if is_open and self.in_frame is None and "unexplained" in (exit_cause, entry_cause):
            return None
        return Event(self.id, first_hidden, first_visible, exit_cause, entry_cause, exit_side, entry_side)

    def _judge(self, frame: int, towards_visible: int) -> tuple[str, str | None]:
        """Cause and side at the hidden frame next to the visible stay, which lies before (-1) or after (+1) it."""
        seen = self._boxes_seen(frame, towards_visible)
        if self.in_frame is None:
            return self._judge_track(frame, seen)
        share = float(self.in_frame[frame])
        if share <= self.rules.outside_to:
            return "left_view", self._side_of_full_box(frame) or self._side_of_boxes(seen, SIDES)
        return ("occluded" if share > self.rules.inside_from else "unexplained"), None

    def _boxes_seen(self, frame: int, step: int) -> np.ndarray:
        """(n, 4) up to five boxes next to the hidden frame, the nearest first; n = 0 where there is none."""
        stop = len(self.box) if step > 0 else -1
        near = self.box[np.arange(frame, stop, step)]
        return near[np.isfinite(near).all(axis=1)][:5]

    def _judge_track(self, frame: int, seen: np.ndarray) -> tuple[str, str | None]:
        if not len(seen):
            return "unexplained", None
        zone = max(self.rules.border_px, self.rules.border_share * self.size[0])
        touched = [side for side, gap in zip(SIDES, self._gaps(seen[0]), strict=True) if gap <= zone]
        if touched:
            return "left_view", self._side_of_boxes(seen, touched)
        covered = self._covered(seen[0], self.others[:, frame])
        return ("occluded" if covered >= self.rules.cover_share else "unexplained"), None

    def _gaps(self, box: np.ndarray) -> np.ndarray:
        """(4,) distance of each edge of the box to its border, pixels; negative beyond it."""
        width, height = self.size
        return np.array([box[0], box[1], width - box[2], height - box[3]])

    def _side_of_full_box(self, frame: int) -> str | None:
        """The border beyond which the full projection lies furthest, where it is known and lies outside."""
        if self.full_box is None or not np.isfinite(self.full_box[frame]).all():
            return None
        x0, y0, x1, y1 = self.full_box[frame]
        width, height = self.size
        beyond = np.array([-x1 / width, -y1 / height, x0 / width - 1, y0 / height - 1])
        return SIDES[int(beyond.argmax())] if beyond.max() >= -self.rules.outside_to else None

    def _side_of_boxes(self, seen: np.ndarray, sides: tuple[str, ...] | list[str]) -> str | None:
        """Of `sides`, the one the box moves to; the one it is nearest to where it does not move."""
        if not len(seen):
            return None
        gap = self._gaps(seen[0])
        centre = (seen[:, :2] + seen[:, 2:]) / 2
        outwards = np.tile(centre[0] - centre[-1], 2) * [-1, -1, 1, 1]
        allowed = [SIDES.index(side) for side in sides]
        best = min(allowed, key=lambda i: (min(0.0, gap[i]) - outwards[i], gap[i]))
        if outwards[best] <= 0:
            best = min(allowed, key=lambda i: gap[i])
        return SIDES[best]

    def _covered(self, box: np.ndarray, others: np.ndarray) -> float:
        """Largest share of the box under one nearer box: nearer is what stands lower in the picture."""
        nearer = others[np.isfinite(others).all(axis=1) & (others[:, 3] >= box[3])]
        if not len(nearer):
            return 0.0
        sides = np.minimum(nearer[:, 2:], box[2:]) - np.maximum(nearer[:, :2], box[:2])
        area = max(float(np.prod(box[2:] - box[:2])), 1e-9)
        return float(np.prod(np.clip(sides, 0, None), axis=1).max() / area)


def box_visibility(
    boxes: np.ndarray, width: int, height: int, distance: np.ndarray | None = None, rules: EventRules | None = None
) -> np.ndarray:
    """Visibility of a track from its boxes alone: box area over the area the whole subject would take there.

    With distances the expected area is the largest area x distance^2 of the track over distance^2. Without them it is
    the area of the nearest box, before or after, that touches no border, scaled by the side that the border does not
    cut; a box that touches none counts as whole (ours). Both look both ways in time, so that a reversed track has the
    same numbers reversed.

    Args:
        boxes: (T, 4) pixels, NaN where absent.
        width: of the picture.
        height: of the picture.
        distance: (T,) distance of the subject, any unit.
        rules: for the width of the border zone.

    Returns:
        (T,) float32 in [0, 1], 0 where absent.
    """
    rules = rules or EventRules()
    boxes = np.asarray(boxes, np.float64)
    present = np.isfinite(boxes).all(axis=1)
    seen = np.zeros(len(boxes), np.float32)
    if not present.any():
        return seen
    zone = max(rules.border_px, rules.border_share * width)
    inside = np.clip(boxes[present], 0, [width, height, width, height])
    size = inside[:, 2:] - inside[:, :2]
    if distance is not None:
        whole = size.prod(axis=1) * np.asarray(distance, np.float64)[present] ** 2
        seen[present] = np.clip(whole / max(np.nanmax(whole), 1e-9), 0, 1)
        return seen
    cut = np.stack(
        [
            (inside[:, 0] <= zone) | (inside[:, 2] >= width - zone),
            (inside[:, 1] <= zone) | (inside[:, 3] >= height - zone),
        ],
        axis=1,
    )
    seen[present] = _share_of_whole(np.flatnonzero(present), size, cut)
    return seen


def _share_of_whole(frames: np.ndarray, size: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """(n,) box area over that of the nearest uncut box, at the scale of the side that is not cut."""
    whole = ~cut.any(axis=1)
    if not whole.any():
        area = size.prod(axis=1)
        return np.clip(area / max(area.max(), 1e-9), 0, 1)
    far = np.abs(frames[:, None] - frames[whole][None, :])
    nearest = far == far.min(axis=1, keepdims=True)  # two at the same distance: their mean, the same both ways in time
    reference = (nearest[..., None] * size[whole]).sum(axis=1) / nearest.sum(axis=1, keepdims=True)
    ratio = size / np.maximum(reference, 1e-9)
    share = ratio.prod(axis=1)
    share = np.where(cut[:, 0] & ~cut[:, 1], ratio[:, 0] / np.maximum(ratio[:, 1], 1e-9), share)
    share = np.where(cut[:, 1] & ~cut[:, 0], ratio[:, 1] / np.maximum(ratio[:, 0], 1e-9), share)
    return np.where(whole, 1.0, np.clip(share, 0, 1))


def reverse_events(events: list[Event], frames: int) -> list[Event]:
    """Events of the clip of `frames` frames played backwards: [f, e) becomes [T - e, T - f), sides kept.

    An exit becomes an entry and takes its cause and side along (definitions 5).
    """
    back = [
        Event(
            subject=event.subject,
            first_hidden=None if event.first_visible is None else frames - event.first_visible,
            first_visible=None if event.first_hidden is None else frames - event.first_hidden,
            exit_cause=event.entry_cause,
            entry_cause=event.exit_cause,
            exit_side=event.entry_side,
            entry_side=event.exit_side,
        )
        for event in events
    ]
    return sorted(back, key=_time_order)
