"""Reversal, loops and windows: identities of definitions 5."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest

from tests.catalogs.example_clip import FRAMES, example_clip
from worldloom.catalogs.actions import INVERSE, UNCERTAIN, integrate_midpoint, label_actions
from worldloom.catalogs.clip import Camera, Clip, Event, Provenance, Revisits, Subjects, clip_key, same_value
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.events import find_events
from worldloom.synth.reverse import loop, reverse, window


def turning_clip(frames: int = 81) -> Clip:
    """A camera that walks ahead and turns right by 100 degrees, with what the label rules say of it."""
    motion = np.zeros((frames, 4))
    motion[:, 1] = 1.2
    motion[frames // 2 :, 2] = 40.0
    fps = Fraction(16)
    up = np.array([0.0, -1.0, 0.0])
    c2w = integrate_midpoint(motion, fps, np.eye(4), up)
    camera = Camera.known(c2w, np.array([300.0, 300.0, 240.0, 136.0]), "metric", up=up)
    clip = Clip(
        key=clip_key("turn", 0, 0, frames - 1),
        fps=fps,
        frames=frames,
        height=272,
        width=480,
        pts_s=np.arange(frames) / 16,
        provenance=Provenance("test", "turn", "ab" * 32, span_s=(0.0, (frames - 1) / 16)),
        camera=camera,
        actions=label_actions(camera, fps),
    )
    clip.revisits = Revisits(np.zeros((0, 2), np.int32), np.zeros(0, np.float32), 0.0, from_depth=False)
    return clip


def test_reversing_twice_gives_the_clip_back():
    clip = example_clip()
    clip.events = reverse(reverse(clip)).events  # in the order of time; the example has them by subject
    assert len(clip.events) == len(example_clip().events)
    back = reverse(reverse(clip))
    for member in fields(Clip):
        if member.name != "actions":
            assert same_value(getattr(back, member.name), getattr(clip, member.name)), member.name
    # The last entry leads nowhere: it is 9 and unmeasured after any reversal.
    for name in ("move", "view", "margins", "motion"):
        assert same_value(getattr(back.actions, name)[:-1], getattr(clip.actions, name)[:-1])
    assert back.actions.move[-1] == UNCERTAIN


def test_reversing_twice_keeps_the_map_of_a_window():
    part = window(example_clip(), 0, 5)
    assert same_value(reverse(reverse(part)).frame_index, part.frame_index)
    assert part.frame_index is not None


def test_reversed_poses_have_the_reversed_labels():
    clip = turning_clip()
    back = reverse(clip)
    again = label_actions(back.camera, back.fps)
    assert same_value(again, back.actions)
    steps = np.arange(clip.frames - 1)
    assert np.array_equal(back.actions.move[steps], INVERSE[clip.actions.move[clip.frames - 2 - steps]])


def test_reversed_actions_undo_the_motion():
    clip = turning_clip()
    back = reverse(clip)
    motion = np.zeros((81, 4))
    motion[:, 1], motion[40:, 2] = 1.2, 40.0
    undone = np.zeros((81, 4))
    undone[:80] = -motion[79::-1]
    path = integrate_midpoint(undone, clip.fps, clip.camera.c2w[-1], clip.camera.up)
    np.testing.assert_allclose(path[-1], clip.camera.c2w[0], atol=1e-9)
    np.testing.assert_allclose(path, back.camera.c2w, atol=1e-9)


def test_reversal_has_a_name_of_its_own_and_says_where_it_comes_from():
    clip = example_clip()
    keys = {clip.key, reverse(clip).key, loop(clip).key, window(clip, 0, 6).key, window(clip, 0, 7).key}
    assert len(keys) == 5
    back = reverse(clip)
    assert back.provenance.parents == (clip.key,)
    assert back.provenance.operations == ("cut", "reverse:plain")
    assert [caption.writer for caption in back.captions] == [
        f"{caption.writer} (before reverse:plain)" for caption in clip.captions
    ]
    assert same_value(back.pts_s, clip.pts_s[::-1].copy())


def test_a_loop_shows_every_frame_twice_but_the_turning_one():
    clip = turning_clip()
    there_and_back = loop(clip)
    assert there_and_back.frames == 2 * 81 - 1
    assert (there_and_back.frames - 1) % 8 == 0
    assert np.array_equal(there_and_back.frame_index, np.r_[np.arange(81), np.arange(79, -1, -1)])
    assert same_value(there_and_back.camera.c2w, there_and_back.camera.c2w[::-1].copy())
    actions = there_and_back.actions
    assert len(actions) == there_and_back.frames
    assert actions.move[-1] == actions.view[-1] == UNCERTAIN
    back = np.arange(80)
    assert np.array_equal(actions.view[80 + back], INVERSE[clip.actions.view[79 - back]])


def test_a_loop_meets_its_own_frames_again():
    clip = turning_clip()
    there_and_back = loop(clip)
    assert there_and_back.revisits.density > 0.4
    assert all(i + j == 160 or abs(i + j - 160) < 40 for i, j in there_and_back.revisits.pairs)
    assert clip.revisits.density == 0.0


def events_of(visible: list[tuple[int, int]], frames: int) -> tuple[list[Event], Subjects]:
    visibility = np.zeros((1, frames), np.float32)
    box = np.full((1, frames, 4), np.nan, np.float32)
    in_frame = np.zeros((1, frames), np.float32)
    for start, stop in visible:
        visibility[0, start:stop] = in_frame[0, start:stop] = 1.0
        box[0, start:stop] = (0, 10, 30, 60)
    full = np.broadcast_to(np.float32([-40, 10, -10, 60]), (1, frames, 4)).copy()
    full[0, visibility[0] > 0] = (0, 10, 30, 60)
    subjects = Subjects(np.array([1], np.int32), ["person"], box, visibility, ["rendered"], None, in_frame, full)
    return find_events(subjects, 480, 272), subjects


@pytest.mark.parametrize(
    "visible", [[(0, 10), (25, 40)], [(0, 20)], [(15, 40)], [(10, 20), (30, 34)], [(0, 40)], [(5, 12), (20, 40)]]
)
def test_events_of_a_loop_are_those_of_its_own_tracks(visible):
    events, subjects = events_of(visible, 40)
    clip = replace(turning_clip(40), events=events, subjects=subjects, revisits=None)
    there_and_back = loop(clip)
    again = find_events(there_and_back.subjects, 480, 272)
    assert sorted(map(str, there_and_back.events)) == sorted(map(str, again))


@pytest.mark.parametrize("span", [(0, 40), (0, 12), (8, 30), (10, 25), (12, 22), (24, 40), (5, 11)])
def test_events_of_a_window_are_those_of_its_own_tracks(span):
    events, subjects = events_of([(0, 10), (25, 40)], 40)
    clip = replace(turning_clip(40), events=events, subjects=subjects, revisits=None)
    part = window(clip, *span)
    again = find_events(part.subjects, 480, 272)
    found = [(event.first_hidden, event.first_visible) for event in part.events]
    # A window that begins or ends less than the hold (3 frames) from a change is judged by the longer clip.
    near = any(0 < abs(edge - change) < 3 for edge in span for change in (10, 25))
    assert near or found == [(event.first_hidden, event.first_visible) for event in again]


def test_a_window_ends_in_uncertainty_and_keeps_what_lies_inside():
    clip = example_clip()
    part = window(clip, 3, 9)
    assert part.frames == 6
    assert part.actions.move.tolist() == [1, 1, 1, 1, 1, 9]
    assert np.isnan(part.actions.motion[-1]).all()
    assert same_value(part.camera.c2w, clip.camera.c2w[3:9])
    assert part.provenance.span_s == pytest.approx((clip.pts_s[3], clip.pts_s[8]))
    assert set(part.depth.frames + 3) <= set(clip.depth.frames) if part.depth else True


@pytest.mark.parametrize("span", [(-1, 3), (3, 3), (5, 2), (0, FRAMES + 1)])
def test_a_window_outside_the_clip_is_refused(span):
    with pytest.raises(ValueError, match="window"):
        window(example_clip(), *span)


def test_pictures_go_through_the_map(tmp_path):
    grey = [np.full((32, 48, 3), 20 * i, np.uint8) for i in range(12)]
    encode_frames(tmp_path / "a.mp4", grey, Fraction(16), crf=4)
    clip = example_clip(video=tmp_path / "a.mp4")
    with loop(clip).open_frames() as frames:
        shown = [float(frame.mean()) for frame in frames]
    expected = [20 * i for i in [*range(12), *range(10, -1, -1)]]
    np.testing.assert_allclose(shown, expected, atol=4)
