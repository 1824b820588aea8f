"""How right labels over time are: actions (definitions 2), exits and entries (definitions 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from worldloom.catalogs.actions import UNCERTAIN
from worldloom.catalogs.clip import Actions, Event, Subjects

CHANGE_MARGIN_FRAMES = 3
"""Definitions 2 (iii): frames this near to a change in truth are left out of the settled score (ours)."""


def macro_f1(predicted: np.ndarray, truth: np.ndarray, classes: Iterable[int], mask: np.ndarray | None = None) -> float:
    """Mean F1 over those `classes` that occur in the truth; NaN where none does.

    Args:
        predicted: (T,) labels.
        truth: (T,) labels.
        classes: which to average over; a prediction outside of them is a miss for the true class.
        mask: (T,) bool, frames to score.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if mask is not None:
        predicted, truth = predicted[mask], truth[mask]
    scores = []
    for label in classes:
        positives = int((truth == label).sum())
        if positives:
            hits = int(((predicted == label) & (truth == label)).sum())
            scores.append(2 * hits / (positives + int((predicted == label).sum())))
    return float(np.mean(scores)) if scores else float("nan")


def action_scores(predicted: Actions | Sequence[Actions], truth: Actions | Sequence[Actions]) -> dict[str, float]:
    """The five figures of definitions 2 for move and view, over the frames of one clip or of many.

    The last entry of every clip is masked. Keys, each with the prefix `move_` or `view_`:
    `f1_all` (i) macro-F1 over all ten classes; `f1_discrete` (ii) over 0..8 where truth is not 9; `f1_settled` (iii)
    the same without frames within 3 of a change in truth; `precision` (iv) share of discrete predictions that are
    right (one where truth is 9 is wrong); `coverage` (iv) share of frames with a discrete prediction;
    `uncertain_recall` (v) share of the true 9s predicted as 9. NaN where truth holds nothing to score.

    Raises:
        ValueError: the clips do not match in number or length.
    """
    predictions = [predicted] if isinstance(predicted, Actions) else list(predicted)
    truths = [truth] if isinstance(truth, Actions) else list(truth)
    if [len(one) for one in predictions] != [len(one) for one in truths]:
        raise ValueError("predicted and true actions have different lengths")
    scores: dict[str, float] = {}
    for group in ("move", "view"):
        guess = [np.asarray(getattr(one, group))[:-1] for one in predictions]
        right = [np.asarray(getattr(one, group))[:-1] for one in truths]
        near = np.concatenate([near_change(one) for one in right]) if right else np.zeros(0, bool)
        figures = _group_scores(_joined(guess), _joined(right), near)
        scores |= {f"{group}_{name}": value for name, value in figures.items()}
    return scores


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def _group_scores(guess: np.ndarray, right: np.ndarray, near: np.ndarray) -> dict[str, float]:
    sure, known = guess != UNCERTAIN, right != UNCERTAIN
    return {
        "f1_all": macro_f1(guess, right, range(UNCERTAIN + 1)),
        "f1_discrete": macro_f1(guess, right, range(UNCERTAIN), known),
        "f1_settled": macro_f1(guess, right, range(UNCERTAIN), known & ~near),
        "precision": _share((guess == right)[sure]),
        "coverage": _share(sure),
        "uncertain_recall": _share(~sure[~known]),
    }


def near_change(labels: np.ndarray, margin: int = CHANGE_MARGIN_FRAMES) -> np.ndarray:
    """(T,) bool: within `margin` frames there is a different label."""
    near = np.zeros(len(labels), bool)
    for step in range(1, min(margin, len(labels) - 1) + 1):
        differs = labels[step:] != labels[:-step]
        near[:-step] |= differs
        near[step:] |= differs
    return near


def _share(hits: np.ndarray) -> float:
    return float(np.mean(hits)) if len(hits) else float("nan")


@dataclass(frozen=True)
class EventScores:
    """Counts of exits and entries, of which precision, recall and F1 are made; adds up over clips with `+`.

    Attributes:
        matched: exits matched with a true exit, entries with a true entry, of the same subject, in time.
        predicted: exits and entries predicted.
        true: exits and entries in truth.
        causes_right: of the matched, with the true cause.
        sides_right: of the matched, with the true side.
        pairs_matched: predicted exit-entry pairs of which both ends match those of one true pair.
        pairs_predicted: exit-entry pairs predicted.
        pairs_true: exit-entry pairs in truth.
    """

    matched: int = 0
    predicted: int = 0
    true: int = 0
    causes_right: int = 0
    sides_right: int = 0
    pairs_matched: int = 0
    pairs_predicted: int = 0
    pairs_true: int = 0

    def __add__(self, other: EventScores) -> EventScores:
        return EventScores(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def precision(self) -> float:
        """Share of the predicted exits and entries that are true; NaN without any."""
        return self.matched / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true exits and entries that were found; NaN without any."""
        return self.matched / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN where there is nothing to find and nothing was found."""
        return _f1(self.matched, self.predicted, self.true)

    @property
    def pair_f1(self) -> float:
        """The same for exit-entry pairs."""
        return _f1(self.pairs_matched, self.pairs_predicted, self.pairs_true)


def _f1(matched: int, predicted: int, true: int) -> float:
    return 2 * matched / (predicted + true) if predicted + true else float("nan")


def event_scores(
    predicted: Sequence[Event],
    truth: Sequence[Event],
    tolerance: int = 2,
    identity: Mapping[int, int] | None = None,
) -> EventScores:
    """Match exits with exits and entries with entries of the same subject, at most `tolerance` frames apart.

    Args:
        predicted: events to score.
        truth: true events.
        tolerance: frames.
        identity: id of the true subject for each predicted one (`match_subjects`); subjects missing in it match
            nothing. Equal ids where not given.
    """

    def true_id(subject: int) -> int | None:
        return subject if identity is None else identity.get(subject)

    matches = [
        match
        for end in ("exit", "entry")
        for match in _matched_ends(predicted, truth, end, tolerance, [true_id(one.subject) for one in predicted])
    ]
    by_pair = Counter((p, t) for p, t, _ in matches if predicted[p].kind == truth[t].kind == "pair")
    return EventScores(
        matched=len(matches),
        predicted=_ends(predicted),
        true=_ends(truth),
        causes_right=sum(_cause(predicted[p], end) == _cause(truth[t], end) for p, t, end in matches),
        sides_right=sum(_side(predicted[p], end) == _side(truth[t], end) for p, t, end in matches),
        pairs_matched=sum(count == 2 for count in by_pair.values()),
        pairs_predicted=sum(one.kind == "pair" for one in predicted),
        pairs_true=sum(one.kind == "pair" for one in truth),
    )


def _matched_ends(
    predicted: Sequence[Event], truth: Sequence[Event], end: str, tolerance: int, ids: list[int | None]
) -> list[tuple[int, int, str]]:
    """The assignment with most matches, then least distance in time."""
    from scipy.optimize import linear_sum_assignment

    left = [i for i, one in enumerate(predicted) if _frame(one, end) is not None]
    right = [j for j, one in enumerate(truth) if _frame(one, end) is not None]
    far = float(tolerance + 1) * (1 + min(len(left), len(right)))
    cost = np.full((len(left), len(right)), far)
    for a, i in enumerate(left):
        for b, j in enumerate(right):
            apart = abs(int(_frame(predicted[i], end) or 0) - int(_frame(truth[j], end) or 0))
            if ids[i] == truth[j].subject and apart <= tolerance:
                cost[a, b] = apart
    rows, columns = linear_sum_assignment(cost)
    return [(left[a], right[b], end) for a, b in zip(rows, columns, strict=True) if cost[a, b] < far]


def _frame(event: Event, end: str) -> int | None:
    return event.first_hidden if end == "exit" else event.first_visible


def _cause(event: Event, end: str) -> str | None:
    return event.exit_cause if end == "exit" else event.entry_cause


def _side(event: Event, end: str) -> str | None:
    return event.exit_side if end == "exit" else event.entry_side


def _ends(events: Sequence[Event]) -> int:
    return sum((one.first_hidden is not None) + (one.first_visible is not None) for one in events)


def match_subjects(predicted: Subjects, truth: Subjects, min_iou: float = 0.3) -> dict[int, int]:
    """Which true subject each predicted track follows: every track goes to the one it overlaps over most frames.

    Several tracks may follow one subject (a track broken in two is one subject seen twice).

    Args:
        predicted: tracks.
        truth: true subjects.
        min_iou: of the boxes, for a frame to count (default ours; MOTChallenge asks 0.5 of detectors, and boxes made
            from motion are looser).

    Returns:
        True id by predicted id, without tracks that overlap nothing.
    """
    if not len(predicted) or not len(truth):
        return {}
    follows = (box_iou(predicted.box[:, None], truth.box[None]) >= min_iou).sum(-1)
    best = follows.argmax(1)
    return {int(predicted.id[i]): int(truth.id[j]) for i, j in enumerate(best) if follows[i, j] > 0}


def box_iou(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4) x0 y0 x1 y1, broadcast; 0 where either is NaN."""
    low = np.maximum(left[..., :2], right[..., :2])
    high = np.minimum(left[..., 2:], right[..., 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(np.clip(box[..., 2:] - box[..., :2], 0, None), axis=-1) for box in (left, right)]
    union = areas[0] + areas[1] - both
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(union) & (union > 0), both / union, 0.0)
