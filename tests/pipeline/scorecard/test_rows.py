from __future__ import annotations

import copy
import json

import pytest

from worldloom.pipeline.scorecard.rows import Target, accept, accepted_figures, rows_from, with_accepted
from worldloom.pipeline.scorecard.suite import unscored

MOVES = [0] * 6 + [1] * 8 + [3] * 8 + [9]
VIEWS = [3] * 10 + [0] * 12 + [9]
COUNTS = {
    "matched": 4, "predicted": 4, "true": 4, "causes_right": 4, "sides_right": 4, "pairs_matched": 2,
    "pairs_predicted": 2, "pairs_true": 2,
}  # fmt: skip


def facts(**changes):
    labels = {"move": MOVES, "view": VIEWS}
    perfect = {
        "name": "a room",
        "frames": 23,
        "fps": 16.0,
        "motion": "moves",
        "pose": {
            "posed": True,
            "valid_frames": 23,
            "translated_frames": 23,
            "groups": [{"frames": 23, "percent": 0.2, "path_m": 4.0}],
            "rotation_deg": 0.05,
            "focal_error_percent": 1.0,
        },
        "actions": {"truth": labels, "given": labels, "estimate": labels},
        "events": {"given": COUNTS, "estimate": COUNTS},
        "depth": {
            version: {"abs_rel": 0.01, "delta1": 1.0, "coverage": 0.7, "stated_error": 0.01, "maps": 8}
            for version in ("given", "estimate")
        },
        "revisits": {v: {"found": 3, "right": 3, "predicted": 3, "true": 4} for v in ("given", "estimate")},
        "seconds": {"pose": 12.0, "depth": 8.0},
        "rendered_fps": 33.0,
    }
    return copy.deepcopy(perfect) | changes


def by_key(rows):
    found = {row.key: row for row in rows}
    assert len(found) == len(rows), "a key names one figure"
    return found


def test_perfect_labels_meet_every_target():
    rows = rows_from([facts(), facts()], "worldloom scorecard")
    assert {row.verdict for row in rows if row.target} == {"met"}
    assert all(row.command == "worldloom scorecard" for row in rows)


def test_every_annotator_that_is_scored_has_its_targets():
    targets = {row.key for row in rows_from([facts()], "c") if row.target}
    assert targets == {
        "pose.posed", "pose.ate", "actions.move.f1_settled.given", "actions.view.f1_settled.given", "events.f1.given",
        "depth.abs_rel.given",
    }  # fmt: skip


def test_a_clip_that_could_not_be_scored_counts_as_one_without_poses():
    rows = by_key(rows_from([facts(), facts(), facts(), unscored("dead")], "c"))
    assert (rows["pose.posed"].value, rows["pose.posed"].verdict, rows["pose.posed"].n) == (75.0, "missed", 4)


def test_nothing_but_dead_clips_gives_rows_and_no_division_by_zero():
    rows = by_key(rows_from([unscored("a"), unscored("b")], "c"))
    assert rows["pose.posed"].value == 0
    assert (rows["pose.ate"].value, rows["pose.ate"].verdict) == (None, "missed")


def test_ate_is_a_median_over_scale_groups_with_quartiles():
    pose = facts()["pose"]
    clips = [
        facts(pose=pose | {"groups": [{"frames": 9, "percent": value, "path_m": 1.0} for value in group]})
        for group in ([0.1, 0.2], [0.4], [3.0, 50.0])
    ]
    row = by_key(rows_from(clips, "c"))["pose.ate"]
    assert (row.value, row.quartiles, row.n) == (0.4, (0.2, 3.0), 5)


def test_a_still_camera_that_is_said_to_travel_is_counted():
    still = facts(motion="turns")
    honest = facts(motion="stands", pose=still["pose"] | {"translated_frames": 0, "groups": []})
    row = by_key(rows_from([still, honest, facts()], "c"))["pose.invented"]
    assert (row.value, row.n, row.verdict) == (1, 2, "missed")


def test_action_scores_pool_frames_over_clips():
    wrong = {"move": [2] * 22 + [9], "view": VIEWS}
    clips = [facts()] * 3 + [facts(actions=facts()["actions"] | {"estimate": wrong})]
    rows = by_key(rows_from(clips, "c"))
    assert rows["actions.move.f1_discrete.estimate"].value < 1
    assert rows["actions.move.f1_discrete.given"].value == 1
    assert rows["actions.view.f1_discrete.estimate"].value == 1
    assert rows["actions.move.precision.estimate"].value == pytest.approx(3 / 4)
    assert rows["actions.move.precision.estimate"].n == 4 * 22


def test_events_and_revisits_pool_counts_over_clips():
    clips = [facts(), facts(events={"given": COUNTS | {"matched": 0, "predicted": 8}})]
    rows = by_key(rows_from(clips, "c"))
    assert rows["events.f1.given"].value == pytest.approx(2 * 4 / (12 + 8))
    assert rows["events.f1.given"].verdict == "missed"
    assert rows["revisits.recall.given"].value == pytest.approx(6 / 8)


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target(">=", 0.95), 0.95, "met"),
        (Target(">=", 0.95), 0.949, "missed"),
        (Target("<=", 1.0), 1.0, "met"),
        (Target("<=", 1.0), None, "missed"),
    ],
)
def test_targets_are_inclusive_and_no_value_misses_them(target, value, verdict):
    assert target.verdict(value) == verdict


def test_accepted_figures_come_back_and_keep_those_of_other_rows(tmp_path):
    rows = rows_from([facts(), unscored("dead")], "worldloom scorecard")
    path = tmp_path / "accepted.json"
    assert accepted_figures(path) == {}
    accept(rows[:3], path)
    accept(rows[2:], path)
    assert accepted_figures(path) == {row.key: row.value for row in rows if row.value is not None}
    assert all(row.accepted == row.value for row in with_accepted(rows, path))


def test_rows_without_targets_have_no_verdict():
    assert {row.verdict for row in rows_from([facts()], "c", truth="a kitchen", targets=False)} == {"none"}


def test_rows_are_json():
    text = json.dumps([row.to_json() for row in rows_from([facts()], "c")], allow_nan=False)
    assert json.loads(text)[0]["key"] == "pose.posed"
