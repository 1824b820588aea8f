"""Plots: pictures with something in them, equal for equal input, and the figures behind them right."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report.fake_clips import FRAMES, bare_clip, depth_maps, estimated_clip, labels, true_clip, true_events
from worldloom.catalogs.cameras import apply_sim3_to_poses
from worldloom.catalogs.clip import Camera, Event, Revisits
from worldloom.report.actions import action_strip, runs
from worldloom.report.cards import contact_sheet
from worldloom.report.depth import depth_pair, map_at, resample, shown_frame
from worldloom.report.loops import chosen_pairs, overlap_of, revisit_loop
from worldloom.report.paths import align_track, ground_axes, paths_from_above
from worldloom.report.picture import annotate_picture
from worldloom.report.pictures import FrameStore, film_strip, spread, with_box
from worldloom.report.timeline import MOST_THUMBNAILS, chosen_moments, event_timeline

MATRIX = (np.eye(11), depth_maps().frames)

PLOTS: dict[str, Callable[[], bytes]] = {
    "paths": lambda: paths_from_above(estimated_clip().camera, true_clip().camera, "yard"),
    "paths, two groups": lambda: paths_from_above(estimated_clip(groups=2).camera, true_clip().camera),
    "path alone": lambda: paths_from_above(estimated_clip().camera),
    "no path": lambda: paths_from_above(None),
    "actions": lambda: action_strip([("truth", labels()), ("estimate", labels(2))], 16),
    "no actions": lambda: action_strip([], 16),
    "timeline": lambda: event_timeline(estimated_clip(), true_clip()),
    "empty timeline": lambda: event_timeline(bare_clip()),
    "depth": lambda: depth_pair(np.zeros((136, 240, 3), np.uint8), depth_maps(0.05), depth_maps()),
    "depth alone": lambda: depth_pair(None, depth_maps()),
    "no depth": lambda: depth_pair(None, None),
    "revisits": lambda: revisit_loop(estimated_clip(), true_clip().revisits, MATRIX),
    "revisits by poses": lambda: revisit_loop(without_depth()),
    "no revisits": lambda: revisit_loop(bare_clip()),
    "sheet": lambda: contact_sheet([true_clip(), bare_clip(), true_clip()]),
}


def without_depth():
    clip = estimated_clip()
    clip.depth = None
    return clip


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_a_picture_with_something_in_it(name: str) -> None:
    drawn = pixels(PLOTS[name]())
    assert min(drawn.shape[:2]) > 40
    assert drawn.std() > 1.0


@pytest.mark.parametrize("name", ["paths", "actions", "timeline", "depth", "revisits"])
def test_a_plot_is_drawn_the_same_twice(name: str) -> None:
    assert PLOTS[name]() == PLOTS[name]()


def test_drawing_leaves_pyplot_alone() -> None:
    PLOTS["paths"]()
    assert "matplotlib.pyplot" not in sys.modules


def test_a_camera_that_only_turns_is_drawn_in_place() -> None:
    truth = true_clip().camera
    assert truth is not None
    turning = truth.c2w.copy()
    turning[:, :3, 3] = 0.0
    camera = Camera.known(turning, truth.intrinsics[0], "none")
    assert pixels(paths_from_above(camera)).std() > 1.0
    track = align_track(camera, truth)
    assert not track.rmse
    np.testing.assert_allclose(track.positions, truth.c2w[:, :3, 3])


def test_alignment_takes_back_any_similarity() -> None:
    truth = true_clip().camera
    assert truth is not None
    turn = estimated_clip().camera.c2w[0, :3, :3] @ truth.c2w[0, :3, :3].T
    moved = Camera.known(
        apply_sim3_to_poses(truth.c2w, 0.3, turn, np.array([1.0, 2, 3])), truth.intrinsics[0], "relative"
    )
    track = align_track(moved, truth)
    np.testing.assert_allclose(track.positions, truth.c2w[:, :3, 3], atol=1e-9)
    np.testing.assert_allclose(track.headings, truth.c2w[:, :3, 2], atol=1e-9)
    assert track.rmse[0][1] < 1e-9


def test_every_scale_group_is_aligned_by_itself() -> None:
    truth = true_clip().camera
    camera = estimated_clip(groups=2).camera
    assert truth is not None and camera is not None
    apart = align_track(camera, truth).rmse
    camera.scale_group[:] = 0
    together = align_track(camera, truth).rmse
    assert [group for group, _, _ in apart] == [0, 1]
    assert max(error for _, error, _ in apart) < 0.1 * together[0][1]


def test_frames_without_a_pose_are_not_drawn() -> None:
    camera, truth = estimated_clip().camera, true_clip().camera
    assert camera is not None and truth is not None
    track = align_track(camera, truth)
    assert np.isnan(track.positions[40:43]).all()
    assert np.isfinite(track.positions[:40]).all()


def test_the_ground_is_level_and_starts_ahead() -> None:
    camera = true_clip().camera
    assert camera is not None
    right, ahead = ground_axes(camera)
    np.testing.assert_allclose([right @ camera.up, ahead @ camera.up, right @ ahead], 0, atol=1e-12)
    np.testing.assert_allclose(right, camera.c2w[0, :3, 0], atol=1e-12)
    camera.up = None
    np.testing.assert_allclose(ground_axes(camera)[0], right, atol=1e-12)


def test_runs_cover_the_labels() -> None:
    sequence = labels(4).move
    found = list(runs(sequence))
    assert np.concatenate([np.full(end - first, label) for first, end, label in found]).tolist() == sequence.tolist()
    assert all(a[2] != b[2] and a[1] == b[0] for a, b in pairwise(found))
    assert list(runs(np.zeros(0, np.uint8))) == []


def test_thumbnails_show_the_subject_before_its_exit_and_after_its_entry() -> None:
    clip = true_clip()
    moments = chosen_moments(clip.events, clip.subjects, FRAMES)
    assert [moment.frame for moment in moments] == sorted(moment.frame for moment in moments)
    assert len(moments) == 6
    for moment in moments:
        assert moment.shown < moment.frame if moment.kind == "exit" else moment.shown >= moment.frame
        row = 0 if moment.subject == 1 else 1
        assert clip.subjects is not None and np.isfinite(clip.subjects.box[row, moment.shown]).all()


def test_pairs_keep_their_thumbnails_where_there_are_too_many_events() -> None:
    flicker = [Event(2, i, i + 1, "unexplained", "unexplained") for i in range(0, 60, 3)]
    clip = true_clip()
    moments = chosen_moments([*flicker, *true_events()], clip.subjects, FRAMES)
    assert len(moments) <= MOST_THUMBNAILS
    assert sum(moment.subject == 1 for moment in moments) == 2


def test_subjects_that_events_name_may_be_missing() -> None:
    clip = true_clip()
    clip.events = [Event(77, 5, None, "odd cause")]
    assert pixels(event_timeline(clip)).std() > 1.0


def test_depth_is_shown_where_both_have_it() -> None:
    few = depth_maps()
    few.frames = few.frames + 4
    few.frames[3] = 24
    assert shown_frame(few, depth_maps()) == 24
    assert shown_frame(None, None) is None
    assert map_at(depth_maps(), 3) is None


def test_resampling_keeps_a_map_of_the_same_size() -> None:
    z = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(resample(z, (3, 4)), z)
    np.testing.assert_array_equal(resample(np.repeat(np.repeat(z, 2, 0), 2, 1), (3, 4)), z)


def test_overlap_is_whole_on_the_diagonal() -> None:
    found = overlap_of(true_clip())
    assert found is not None
    matrix, frames = found
    assert matrix.shape == (len(frames), len(frames))
    assert np.diag(matrix).min() > 0.95
    assert overlap_of(bare_clip()) is None


def test_pairs_shown_are_the_best_and_not_the_same_twice() -> None:
    pairs = np.array([[8, 72], [9, 73], [30, 66]], np.int32)
    revisits = Revisits(pairs, np.array([0.8, 0.9, 0.6], np.float32), 0.5)
    assert [pair[:2] for pair in chosen_pairs(revisits)] == [(9, 73), (30, 66)]
    assert chosen_pairs(None) == []


def test_frames_are_read_once_and_kept_small() -> None:
    store = FrameStore(true_clip(), width=120)
    first, again = store.read([80, 0])[0], store.one(80)
    assert first is again and first is not None
    assert first.shape == (68, 120, 3)


def test_strips_and_boxes() -> None:
    assert spread(81, 5) == [0, 20, 40, 60, 80]
    assert spread(2, 5) == [0, 1]
    assert film_strip([np.zeros((4, 6, 3), np.uint8)] * 2, gap=2).shape == (4, 14, 3)
    black = np.zeros((20, 20, 3), np.uint8)
    assert with_box(black, np.full(4, np.nan), "#ffffff") is black
    boxed = with_box(black, np.array([-50.0, 5, 10, 900]), "#ffffff", width=1)
    assert boxed[5, 3].tolist() == [255, 255, 255]
    assert not boxed[:5].any()


@pytest.mark.parametrize("make", [estimated_clip, bare_clip])
def test_one_picture_sums_up_a_clip(tmp_path: Path, make: Callable) -> None:
    path = annotate_picture(make(), tmp_path / "deep" / "clip.png")
    assert pixels(path.read_bytes()).std() > 5.0
    assert path.read_bytes() == annotate_picture(make(), tmp_path / "again.png").read_bytes()
