from __future__ import annotations

import numpy as np
import pytest

from worldloom.annotators.subjects import filled
from worldloom.annotators.tracking import Detection, TrackRules, likeness, track_boxes

FPS = 10.0
RULES = TrackRules()


def colours(kind: int) -> np.ndarray:
    histogram = np.zeros(8, np.float32)
    histogram[kind] = 0.9
    histogram[7] = 0.1
    return histogram


def walker(start: float, speed: float, frames: range, kind: int = 0, size: float = 1.0) -> dict[int, Detection]:
    return {
        t: Detection(
            np.array([start + speed * (t - frames[0]), 50, start + speed * (t - frames[0]) + 30, 130]) * size,
            colours(kind),
        )
        for t in frames
    }


def by_frame(*walkers: dict[int, Detection], length: int) -> list[list[Detection]]:
    return [[one[t] for one in walkers if t in one] for t in range(length)]


def test_one_walker_is_one_track_with_its_own_boxes():
    detections = by_frame(walker(10, 4, range(3, 30)), length=32)
    (track,) = track_boxes(detections, FPS, RULES)
    assert sorted(track.boxes) == list(range(3, 30))
    np.testing.assert_allclose(track.boxes[20], [78, 50, 108, 130])


def test_two_who_cross_keep_their_identities():
    left, right = walker(0, 6, range(40), 0), walker(240, -6, range(40), 1)
    tracks = track_boxes(by_frame(left, right, length=40), FPS, RULES)
    assert len(tracks) == 2
    for track in tracks:
        steps = np.diff([track.boxes[t][0] for t in sorted(track.boxes)])
        assert (np.sign(steps) == np.sign(steps[0])).all()


def test_a_short_gap_is_bridged():
    seen = walker(10, 4, range(30))
    for t in (12, 13, 14):
        del seen[t]
    (track,) = track_boxes(by_frame(seen, length=30), FPS, RULES)
    boxes = filled(track, np.arange(30), 30, RULES.dormant_s * FPS)
    np.testing.assert_allclose(boxes[13], [62, 50, 92, 130])


def test_who_comes_back_in_the_same_colours_is_the_same_and_is_absent_in_between():
    there, back = walker(200, 5, range(20), 2), walker(300, -5, range(45, 65), 2)
    (track,) = track_boxes(by_frame(there, back, length=70), FPS, RULES)
    assert track.naps == [(20, 45)]
    boxes = filled(track, np.arange(70), 70, RULES.dormant_s * FPS)
    assert np.isnan(boxes[20:45]).all()
    assert np.isfinite(boxes[:20]).all()


def test_somebody_else_is_somebody_else():
    there, other = walker(200, 5, range(20), 2), walker(300, -5, range(45, 65), 3)
    assert len(track_boxes(by_frame(there, other, length=70), FPS, RULES)) == 2
    late = walker(300, -5, range(145, 165), 2)
    assert len(track_boxes(by_frame(there, late, length=170), FPS, RULES)) == 2


def test_two_seen_together_are_never_one():
    tracks = track_boxes(by_frame(walker(0, 4, range(20), 2), walker(200, 4, range(20), 2), length=20), FPS, RULES)
    assert len(tracks) == 2


def test_moving_legs_do_not_shrink_the_subject():
    seen = walker(10, 3, range(40))
    for t in range(15, 19):
        box = seen[t].box
        seen[t] = Detection(np.array([box[0], 95, box[2], 130]), colours(0))
    (track,) = track_boxes(by_frame(seen, length=40), FPS, RULES)
    heights = [track.boxes[t][3] - track.boxes[t][1] for t in range(15, 19)]
    assert min(heights) > 50


def test_what_flickers_or_stands_or_is_brief_is_no_subject():
    still = walker(100, 0, range(40))
    assert track_boxes(by_frame(still, length=40), FPS, RULES) == []
    brief = walker(100, 10, range(3))
    assert track_boxes(by_frame(brief, length=40), FPS, RULES) == []
    flicker = {t: one for t, one in walker(10, 4, range(40)).items() if t % 5 == 0}
    assert track_boxes(by_frame(flicker, length=40), FPS, RULES) == []


def test_a_track_that_is_never_sure_is_dropped():
    unsure = {t: Detection(one.box, one.colours, 0.05) for t, one in walker(10, 4, range(30)).items()}
    assert track_boxes(by_frame(unsure, length=30), FPS, RULES) == []


def test_predictions_move_with_the_camera():
    """The picture turns by 25 px a frame: without that motion the detections are too far apart to be one track."""
    turning = walker(10, 25, range(12))
    gone = {t: one for t, one in turning.items() if t not in (5, 6, 7)}
    shift = [np.array([[1.0, 0, 25], [0, 1, 0], [0, 0, 1]])] * 12
    tracks = track_boxes(by_frame(gone, length=12), FPS, RULES, shift)
    assert len(tracks) == 1
    assert tracks[0].last == 11


@pytest.mark.parametrize("step", [1, 2, 3])
def test_boxes_between_the_frames_looked_at_are_interpolated(step):
    shown = np.arange(0, 31, step)
    seen = {i: Detection(np.array([10 + 4.0 * t, 50, 40 + 4.0 * t, 130]), colours(0)) for i, t in enumerate(shown)}
    (track,) = track_boxes(by_frame(seen, length=len(shown)), FPS, RULES)
    boxes = filled(track, shown, 31, RULES.dormant_s * FPS)
    np.testing.assert_allclose(boxes[: shown[-1] + 1, 0], 10 + 4.0 * np.arange(shown[-1] + 1), atol=1e-9)


def test_likeness_is_one_for_the_same_and_none_for_strangers():
    assert likeness(colours(0), colours(0)) == pytest.approx(1)
    assert likeness(colours(0), colours(1)) == pytest.approx(0.1)
