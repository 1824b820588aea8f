from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldloom.catalogs.clip import Event, Subjects
from worldloom.catalogs.events import EventRules, box_visibility, find_events, hidden_intervals, reverse_events

WIDTH, HEIGHT = 480, 270


def seen(*runs: tuple[float, int]) -> np.ndarray:
    return np.concatenate([np.full(frames, value, np.float32) for value, frames in runs])


def one_subject(visibility: np.ndarray, box: np.ndarray, **known: Any) -> Subjects:
    known = {name: value[None] for name, value in known.items()}
    return Subjects(
        np.array([7], np.int32), ["person"], box[None].astype(np.float32), visibility[None], ["test"], **known
    )


def walker(x_centre: np.ndarray, width: float = 60.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clipped box, full box and in-frame share of a subject whose centre walks along x_centre."""
    full = np.stack(
        [x_centre - width / 2, np.full_like(x_centre, 100), x_centre + width / 2, np.full_like(x_centre, 200)], 1
    )
    box = np.clip(full, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    share = (box[:, 2] - box[:, 0]) / width
    box[share <= 0] = np.nan
    return box, full, share.astype(np.float32)


@pytest.mark.parametrize(
    ("visibility", "expected"),
    [
        (seen((1, 10), (0, 5), (1, 10)), [(10, 15)]),
        (seen((1, 10), (0, 2), (1, 10)), []),  # hidden must hold 3 frames
        (seen((1, 10), (0, 5), (1, 2), (0, 5), (1, 3)), [(10, 22)]),  # and visible as well
        (seen((0, 4), (1, 10)), [(None, 4)]),
        (seen((1, 10), (0, 3)), [(10, None)]),
        (seen((1, 10), (0, 2)), []),
        (seen((0, 12)), [(None, None)]),
        (seen((0.05, 12)), []),  # neither
        (seen((1, 5), (0.05, 9), (1, 5)), []),  # between the thresholds nothing changes
        (seen((1, 5), (0.05, 3), (0.02, 3), (0.05, 3), (0.10, 3)), [(8, 14)]),
        (seen((0.05, 4), (0, 4), (1, 4)), [(None, 8)]),
        (seen((1, 4), (np.nan, 4), (1, 4)), [(4, 8)]),
    ],
)
def test_hidden_intervals(visibility: np.ndarray, expected: list[tuple[int | None, int | None]]) -> None:
    assert hidden_intervals(visibility) == expected


@given(st.lists(st.tuples(st.booleans(), st.integers(3, 9)), min_size=1, max_size=8))
def test_intervals_of_the_reversed_visibility_are_the_reversed_intervals(runs: list[tuple[bool, int]]) -> None:
    visibility = seen(*[(float(visible), frames) for visible, frames in runs])
    length = len(visibility)
    backwards = [
        (None if e is None else length - e, None if f is None else length - f)
        for f, e in reversed(hidden_intervals(visibility))
    ]
    assert hidden_intervals(visibility[::-1]) == backwards


def test_leaving_to_the_right_and_coming_back_is_a_pair() -> None:
    x = np.r_[np.linspace(300, 560, 40), np.linspace(560, 300, 40)]
    box, full, share = walker(x)
    rendered = one_subject(share, box, in_frame=share, full_box=full)
    tracked = one_subject(np.where(np.isfinite(box[:, 0]), share, 0).astype(np.float32), box)
    for subjects in (rendered, tracked):
        (event,) = find_events(subjects, WIDTH, HEIGHT)
        assert event.kind == "pair" and (event.exit_side, event.entry_side) == ("right", "right")
        assert share[event.first_hidden - 1] > 0.02 >= share[event.first_hidden]
        assert share[event.first_visible - 1] < 0.10 <= share[event.first_visible]


def test_a_slow_entry_is_one_through_the_border() -> None:
    """At e - 1 a slow subject is already in the picture by more than 2 percent, at the last hidden frame it is not."""
    box, full, share = walker(np.linspace(-33, 60, 200))
    (event,) = find_events(one_subject(share, box, in_frame=share, full_box=full), WIDTH, HEIGHT)
    assert share[event.first_visible - 1] > 0.02
    assert (event.kind, event.entry_cause, event.entry_side) == ("entry", "left_view", "left")


@pytest.mark.parametrize(("axis", "sign", "side"), [(0, -1, "left"), (0, 1, "right"), (1, -1, "top"), (1, 1, "bottom")])
def test_every_side_by_full_box_and_by_track(axis: int, sign: int, side: str) -> None:
    """The box is as tall as half the picture and starts in a corner's neighbourhood: the motion tells the side."""
    size = np.array([60.0, 130.0])
    extent = np.array([WIDTH, HEIGHT])
    start = extent / 2
    centre = np.tile(start, (60, 1))
    centre[:, axis] += sign * np.linspace(0, extent[axis] / 2 + size[axis], 60)
    full = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    box = np.clip(full, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    share = (np.prod(box[:, 2:] - box[:, :2], axis=1) / size.prod()).astype(np.float32)
    box[share <= 0] = np.nan
    for known in ({"in_frame": share, "full_box": full}, {"in_frame": share}, {}):
        (event,) = find_events(one_subject(share, box, **known), WIDTH, HEIGHT)
        assert (event.kind, event.exit_cause, event.exit_side) == ("exit", "left_view", side)


def test_a_person_as_tall_as_the_picture_leaves_through_the_side_they_walk_to() -> None:
    box, full, share = walker(np.linspace(240, -60, 60), width=90)
    full[:, 1], full[:, 3], box[:, 1], box[:, 3] = -10, 280, 0, 270
    (event,) = find_events(one_subject(share, box), WIDTH, HEIGHT)
    assert event.exit_side == "left"


def test_in_frame_but_unseen_is_occluded_and_half_out_is_unexplained() -> None:
    visibility = seen((1, 10), (0, 10), (1, 10))
    box, full, _ = walker(np.full(30, 240.0))
    box[10:20] = np.nan
    for share, cause in ((1.0, "occluded"), (0.51, "occluded"), (0.5, "unexplained"), (0.02, "left_view")):
        subjects = one_subject(visibility, box, in_frame=np.full(30, share, np.float32), full_box=full)
        (event,) = find_events(subjects, WIDTH, HEIGHT)
        assert (event.exit_cause, event.entry_cause) == (cause, cause)
        assert event.kind == ("pair" if cause == "left_view" else "interval")


def test_a_track_that_stops_inside_the_picture_is_dormant_not_gone() -> None:
    box, _, _ = walker(np.full(30, 240.0))
    box[20:] = np.nan
    assert find_events(one_subject(seen((1, 20), (0, 10)), box), WIDTH, HEIGHT) == []
    box, _, _ = walker(np.full(30, 240.0))
    box[10:20] = np.nan
    (event,) = find_events(one_subject(seen((1, 10), (0, 10), (1, 10)), box), WIDTH, HEIGHT)
    assert (event.kind, event.exit_cause, event.entry_cause) == ("interval", "unexplained", "unexplained")


def test_a_track_that_stops_behind_a_nearer_one_is_occluded() -> None:
    box, _, _ = walker(np.full(30, 240.0))
    box[10:] = np.nan
    nearer = np.tile([200.0, 90.0, 300.0, 250.0], (30, 1))
    for other, kinds in ((nearer, ["occluded"]), (nearer - [0, 0, 0, 60], [])):  # feet higher up: farther away
        subjects = Subjects(
            np.array([1, 2], np.int32),
            ["person", "person"],
            np.stack([box, other]).astype(np.float32),
            np.stack([seen((1, 10), (0, 20)), seen((1, 30))]),
            ["test", "test"],
        )
        assert [event.exit_cause for event in find_events(subjects, WIDTH, HEIGHT)] == kinds


@pytest.mark.parametrize(("gap", "cause"), [(27.0, "left_view"), (28.0, None)])
def test_the_border_zone_of_a_track_is_2_3_percent_of_the_width(gap: float, cause: str | None) -> None:
    box = np.tile([gap, 100.0, 80.0, 200.0], (20, 1))
    box[10:] = np.nan
    events = find_events(one_subject(seen((1, 10), (0, 10)), box), 1200, 600)
    assert [event.exit_cause for event in events] == ([cause] if cause else [])


def test_a_subject_that_is_never_seen_has_no_events() -> None:
    assert find_events(one_subject(np.zeros(20, np.float32), np.full((20, 4), np.nan)), WIDTH, HEIGHT) == []


def test_reversal_of_events_swaps_exit_and_entry_and_keeps_the_side() -> None:
    events = [
        Event(1, 10, 20, "left_view", "occluded", "left", None),
        Event(1, 30, None, "left_view", None, "top", None),
        Event(2, None, 5, None, "left_view", None, "right"),
    ]
    back = reverse_events(events, 40)
    assert Event(1, 20, 30, "occluded", "left_view", None, "left") in back
    assert Event(1, None, 10, None, "left_view", None, "top") in back
    assert Event(2, 35, None, "left_view", None, "right", None) in back
    assert sorted(reverse_events(back, 40), key=str) == sorted(events, key=str)
    assert [event.kind for event in back] == ["entry", "interval", "exit"]


def test_box_visibility_without_distance_knows_what_the_border_cuts() -> None:
    box, _, share = walker(np.r_[np.linspace(300, 520, 40), np.linspace(520, 300, 40)])
    estimate = box_visibility(box, WIDTH, HEIGHT)
    zone = 0.023 * WIDTH
    outside = np.nan_to_num(share) <= 0
    np.testing.assert_array_equal(estimate[outside], 0)
    np.testing.assert_allclose(estimate[~outside], share[~outside], atol=zone / 60 + 1e-3)


def test_a_subject_that_walks_away_stays_visible() -> None:
    shrink = np.linspace(1.0, 0.1, 50)[:, None]
    box = np.array([240.0, 135, 240, 135]) + shrink * np.array([-40.0, -80, 40, 80])
    np.testing.assert_array_equal(box_visibility(box, WIDTH, HEIGHT), 1)
    distance = 1 / shrink[:, 0]
    np.testing.assert_allclose(box_visibility(box, WIDTH, HEIGHT, distance), 1, rtol=1e-5)
    half = box.copy()
    half[25, 3] = (box[25, 1] + box[25, 3]) / 2
    assert box_visibility(half, WIDTH, HEIGHT, distance)[25] == pytest.approx(0.5, rel=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_box_visibility_is_the_same_both_ways_in_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-20, 400, (20, 2)).cumsum(axis=0) % 400
    box = np.concatenate([corner, corner + rng.uniform(5, 90, (20, 2))], axis=1)
    box[rng.random(20) < 0.2] = np.nan
    forward = box_visibility(box, WIDTH, HEIGHT)
    np.testing.assert_array_equal(box_visibility(box[::-1], WIDTH, HEIGHT), forward[::-1])
    assert forward.min() >= 0 and forward.max() <= 1


def test_rules_are_read() -> None:
    visibility = seen((1, 10), (0, 5), (1, 10))
    assert hidden_intervals(visibility, EventRules(hold_frames=6)) == []
    assert hidden_intervals(visibility * 0.5, EventRules(visible_from=0.6)) == [(None, None)]
