from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from worldloom.annotators.measures import (
    action_scores,
    box_iou,
    event_scores,
    macro_f1,
    match_subjects,
    near_change,
)
from worldloom.catalogs.clip import Actions, Event, Subjects


def actions(move: list[int], view: list[int] | None = None) -> Actions:
    move_array = np.array(move, np.uint8)
    view_array = np.array(view if view is not None else [0] * len(move), np.uint8)
    return Actions(move_array, view_array, np.zeros((len(move), 2), np.float32), np.zeros((len(move), 4)))


def subjects(boxes: np.ndarray, ids: list[int]) -> Subjects:
    visible = np.isfinite(boxes[..., 0]).astype(np.float32)
    return Subjects(np.array(ids, np.int32), ["person"] * len(ids), boxes, visible, ["motion"] * len(ids))


def test_macro_f1_agrees_with_its_definition_class_by_class():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 4, 200), rng.integers(0, 5, 200)
    by_hand = []
    for label in range(4):
        true_positive = np.sum((truth == label) & (guess == label))
        precision, recall = true_positive / np.sum(guess == label), true_positive / np.sum(truth == label)
        by_hand.append(2 * precision * recall / (precision + recall))
    assert macro_f1(guess, truth, range(10)) == pytest.approx(np.mean(by_hand))


def test_only_classes_in_the_truth_count():
    assert macro_f1(np.array([1, 1, 2]), np.array([1, 1, 1]), range(10)) == pytest.approx(0.8)
    assert np.isnan(macro_f1(np.array([1]), np.array([9]), range(9)))


def test_perfect_labels_score_one_everywhere():
    truth = actions([0] * 10 + [9] * 4 + [1] * 10 + [9], [3] * 25)
    scores = action_scores(truth, truth)
    for name in ("f1_all", "f1_discrete", "f1_settled", "precision", "uncertain_recall"):
        assert scores[f"move_{name}"] == 1.0
    assert scores["move_coverage"] == pytest.approx(20 / 24)
    assert np.isnan(scores["view_uncertain_recall"])


def test_the_last_entry_is_not_scored():
    truth, guess = actions([1] * 20), actions([1] * 19 + [7])
    assert action_scores(guess, truth)["move_f1_all"] == 1.0


def test_a_late_change_costs_the_plain_score_and_not_the_settled_one():
    truth, guess = actions([0] * 20 + [1] * 20), actions([0] * 22 + [1] * 18)
    scores = action_scores(guess, truth)
    assert scores["move_f1_discrete"] < 0.96
    assert scores["move_f1_settled"] == 1.0
    guess = actions([0] * 25 + [1] * 15)
    assert action_scores(guess, truth)["move_f1_settled"] < 1.0


def test_uncertain_is_scored_from_both_sides():
    truth, guess = actions([9] * 10 + [1] * 11), actions([9] * 6 + [1] * 4 + [1] * 5 + [9] * 6)
    scores = action_scores(guess, truth)
    assert scores["move_uncertain_recall"] == pytest.approx(0.6)
    assert scores["move_precision"] == pytest.approx(5 / 9)
    assert scores["move_coverage"] == pytest.approx(9 / 20)


def test_frames_of_many_clips_are_pooled_without_a_change_between_them():
    one, two = actions([1] * 11), actions([2] * 11)
    assert action_scores([one, two], [one, two])["move_f1_settled"] == 1.0
    with pytest.raises(ValueError, match="lengths"):
        action_scores(one, actions([1] * 5))


def test_near_change_is_symmetric_in_time():
    labels = np.repeat([0, 1, 9, 1], [10, 8, 1, 6])
    near = near_change(labels)
    np.testing.assert_array_equal(near[::-1], near_change(labels[::-1]))
    assert np.flatnonzero(near[:14]).tolist() == [7, 8, 9, 10, 11, 12]


PAIR = Event(1, 20, 40, "left_view", "left_view", "left", "right")


def test_exits_and_entries_match_within_the_tolerance_only():
    for shift, matched in ((0, 2), (2, 2), (3, 0)):
        moved = Event(1, 20 + shift, 40 - shift, "left_view", "left_view", "left", "right")
        scores = event_scores([moved], [PAIR])
        assert (scores.matched, scores.predicted, scores.true) == (matched, 2, 2)
        assert scores.pairs_matched == (matched == 2)


def test_an_exit_is_no_entry_and_a_subject_is_itself():
    entry = Event(1, None, 20, None, "left_view", None, "left")
    assert event_scores([entry], [Event(1, 20, None, "left_view")]).matched == 0
    other = Event(2, 20, 40, "left_view", "left_view", "left", "right")
    assert event_scores([other], [PAIR]).f1 == 0.0
    assert event_scores([other], [PAIR], identity={2: 1}).f1 == 1.0
    assert event_scores([other], [PAIR], identity={}).f1 == 0.0


def test_cause_and_side_are_counted_apart():
    wrong = Event(1, 20, 40, "occluded", "left_view", None, "left")
    scores = event_scores([wrong], [PAIR])
    assert (scores.f1, scores.causes_right, scores.sides_right) == (1.0, 1, 0)
    assert scores.pair_f1 == 0.0


def test_each_end_is_used_once_and_the_best_assignment_wins():
    truth = [Event(1, 10, 14), Event(1, 12, 30)]
    guess = [Event(1, 12, 14), Event(1, 13, 30)]
    assert event_scores(guess, truth).matched == 4
    assert event_scores([guess[0], guess[0]], truth[:1]).precision == pytest.approx(0.5)


def test_scores_of_clips_add_up_and_nothing_is_nan():
    total = event_scores([PAIR], [PAIR]) + event_scores([], [PAIR])
    assert (total.precision, total.recall) == (1.0, 0.5)
    assert total.f1 == pytest.approx(2 / 3)
    assert np.isnan(event_scores([], []).f1)


def test_tracks_find_their_subject_and_strays_find_none():
    truth_box = np.full((2, 5, 4), np.nan, np.float32)
    truth_box[0], truth_box[1] = [0, 0, 10, 20], [50, 0, 60, 20]
    track_box = np.full((4, 5, 4), np.nan, np.float32)
    track_box[0, :3], track_box[1, 3:] = [51, 0, 61, 20], [50, 1, 60, 21]
    track_box[2], track_box[3] = [1, 0, 11, 20], [90, 90, 99, 99]
    found = match_subjects(subjects(track_box, [7, 8, 9, 10]), subjects(truth_box, [1, 2]))
    assert found == {7: 2, 8: 2, 9: 1}


def test_box_iou_by_hand():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [np.nan] * 4], np.float32)
    assert [float(box_iou(a, b)) for a, b in pairwise(boxes)] == [pytest.approx(1 / 3), 0.0, 0.0]
    assert float(box_iou(boxes[0], boxes[0])) == 1.0
