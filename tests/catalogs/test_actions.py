from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from worldloom.catalogs.actions import (
    INVERSE,
    MOVES,
    VIEWS,
    ActionRules,
    camera_motion,
    command_motion,
    integrate_midpoint,
    label_actions,
    label_motion,
    reverse_actions,
    true_actions,
)
from worldloom.catalogs.clip import Actions, Camera, same_value

UP = np.array([0.0, -1.0, 0.0])
START = np.eye(4)
K = np.array([300.0, 300.0, 160.0, 120.0])


def commanded(segments: list[tuple[int, int, int]], speed: float = 1.0, turn: float = 40.0) -> np.ndarray:
    """(T, 4) motion of segments (move, view, frames), and one entry more for the last frame."""
    rows = [command_motion(move, view, speed, turn) for move, view, frames in segments for _ in range(frames)]
    return np.array([*rows, rows[-1]])


def walked(segments: list[tuple[int, int, int]], fps: float = 16, **kwargs: float) -> tuple[Camera, np.ndarray]:
    motion = commanded(segments, **kwargs)
    return Camera.known(integrate_midpoint(motion, fps, START, UP), K, up=UP), motion


def reverse_camera(camera: Camera) -> Camera:
    per_frame = ("c2w", "intrinsics", "confidence", "valid", "translation_known", "scale_group")
    optional = ("sigma_position", "sigma_rotation_deg", "median_depth")
    flipped = {name: getattr(camera, name)[::-1].copy() for name in per_frame}
    flipped |= {name: getattr(camera, name)[::-1].copy() for name in optional if getattr(camera, name) is not None}
    return replace(camera, **flipped)


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    """Jerky paths with holes, rotation-only stretches and several scale groups; any scale, with and without an up."""
    length = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    speed = draw(st.sampled_from([0.0, 0.02, 0.1]))
    turn = draw(st.sampled_from([0.0, 0.3, 2.0, 40.0]))
    c2w = np.tile(np.eye(4), (length, 1, 1))
    wobble = Rotation.from_rotvec(np.radians(turn) * rng.normal(size=(length, 3)).cumsum(axis=0) / 3)
    c2w[:, :3, :3] = wobble.as_matrix()
    c2w[:, :3, 3] = (rng.normal(size=(length, 3)) * speed).cumsum(axis=0) + rng.normal(size=3)
    c2w[rng.random(length) < draw(st.sampled_from([0.0, 0.1]))] = np.nan
    up = rng.normal(size=3) if draw(st.booleans()) else None
    camera = Camera.known(c2w, K, scale=draw(st.sampled_from(["metric", "relative", "none"])), up=up)
    camera.translation_known &= rng.random(length) < 0.9
    camera.scale_group = np.sort(rng.integers(0, draw(st.integers(1, 2)), length)).astype(np.int32)
    if draw(st.booleans()):
        camera.median_depth = rng.uniform(1, 9, length).astype(np.float32)
        camera.sigma_position = rng.uniform(0, 0.01, length).astype(np.float32)
    return camera


@settings(max_examples=300, deadline=None)
@given(cameras(), st.sampled_from([8, 15, 16, 24, 25, 30]))
def test_labels_of_the_reversed_path_are_the_reversed_labels_to_the_last_bit(camera: Camera, fps: int) -> None:
    labels = label_actions(camera, fps)
    backwards = label_actions(reverse_camera(camera), fps)
    expected = reverse_actions(labels)
    np.testing.assert_array_equal(backwards.move, expected.move)
    np.testing.assert_array_equal(backwards.view, expected.view)
    assert same_value(backwards, expected)
    assert same_value(reverse_actions(reverse_actions(labels)), labels)


def test_the_inverse_table_undoes_and_the_names_agree() -> None:
    np.testing.assert_array_equal(INVERSE[INVERSE], np.arange(10))
    opposite = {"forward": "back", "back": "forward", "left": "right", "right": "left", "up": "down", "down": "up"}
    for names in (MOVES, VIEWS):
        for action, name in enumerate(names):
            words = [opposite.get(word, word) for word in name.split()]
            assert " ".join(words) == names[INVERSE[action]]


@pytest.mark.parametrize("fps", [15, 16, 30])
def test_every_action_is_labelled_as_commanded(fps: int) -> None:
    for move in range(9):
        for view in range(9):
            camera, motion = walked([(move, view, 12)], fps=fps)
            for labels in (label_actions(camera, fps), true_actions(motion, fps)):
                np.testing.assert_array_equal(labels.move, [move] * 12 + [9])
                np.testing.assert_array_equal(labels.view, [view] * 12 + [9])


def test_labels_name_what_the_camera_does() -> None:
    """Without `command_motion`: +z is forward, turning right brings +x into view, looking up brings -y."""
    t = np.arange(20)
    path = np.tile(np.eye(4), (20, 1, 1))
    path[:, 2, 3] = 0.1 * t
    right = path.copy()
    right[:, :3, :3] = Rotation.from_euler("y", 3.0 * t[:, None], degrees=True).as_matrix()
    assert right[-1, 0, 2] > 0
    up = path.copy()
    up[:, :3, :3] = Rotation.from_euler("x", 3.0 * t[:, None], degrees=True).as_matrix()
    assert up[-1, 1, 2] < 0
    assert MOVES[label_actions(Camera.known(path, K), 16).move[5]] == "go forward"
    assert VIEWS[label_actions(Camera.known(right, K, up=UP), 16).view[5]] == "turn right"
    assert VIEWS[label_actions(Camera.known(up, K, up=UP), 16).view[5]] == "turn up"


def test_turning_while_walking_needs_the_average_heading() -> None:
    """At 90 deg/s the heading turns 5.6 deg per frame; the chord lies exactly in the average heading."""
    camera, motion = walked([(1, 4, 40)], turn=90.0)
    measured = camera_motion(camera, 16, window_s=0.05).values
    np.testing.assert_allclose(measured[:-1], motion[:-1], atol=1e-9)


def test_bands() -> None:
    rules = ActionRules()
    speed = np.repeat([0.149, 0.151, 0.399, 0.401], 6)
    motion = np.zeros((25, 4))
    motion[:24, 1] = speed
    motion[:24, 2] = -np.repeat([3.9, 4.1, 9.9, 10.1], 6)
    labels = label_motion(motion, 16, (rules.metric_floor_m_s, rules.metric_trigger_m_s), rules)
    np.testing.assert_array_equal(labels.move, np.r_[np.repeat([0, 9, 9, 1], 6), 9])
    np.testing.assert_array_equal(labels.view, np.r_[np.repeat([0, 9, 9, 3], 6), 9])
    assert np.all((labels.margins[:24, 0] < 0) == (labels.move[:24] == 9))
    np.testing.assert_allclose(labels.margins[[0, 6, 12, 18], 0], np.array([1, -1, -1, 1]) * 0.001 / 0.25, rtol=1e-3)


@pytest.mark.parametrize(
    ("angle", "action"),
    [
        *[(0, 1), (17, 1), (18, 9), (27, 9), (28, 6), (45, 6), (62, 6), (63, 9), (73, 4), (90, 4), (135, 8), (180, 2)],
        *[(-18, 9), (-45, 5), (-90, 3), (-135, 7)],
    ],
)
def test_sectors_and_their_edges(angle: float, action: int) -> None:
    motion = np.zeros((10, 4))
    motion[:, 0], motion[:, 1] = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    motion[:, 2:] = 30 * motion[:, :2]
    labels = true_actions(motion, 16)
    assert set(labels.move[:-1]) == {action}
    assert set(labels.view[:-1]) == {{1: 1, 2: 2, 3: 3, 4: 4}.get(action, action)}


def test_short_runs_become_uncertain_and_no_op_is_left_alone() -> None:
    fps = 15  # 0.2 s are exactly 3 frames
    labels = true_actions(commanded([(1, 0, 6), (4, 0, 2), (1, 0, 3), (0, 0, 1), (2, 0, 4)]), fps)
    np.testing.assert_array_equal(labels.move, [1] * 6 + [9] * 2 + [1] * 3 + [0] + [2] * 4 + [9])


def test_invalid_poses_and_unknown_translation_are_uncertain() -> None:
    camera, _ = walked([(1, 4, 40)])
    camera.c2w[20] = np.nan
    camera.valid[20] = False
    camera.translation_known[30:] = False
    labels = label_actions(camera, 16)
    np.testing.assert_array_equal(np.flatnonzero(labels.view == 9), [18, 19, 20, 21, 40])
    assert np.isnan(labels.motion[20]).all() and np.isnan(labels.margins[20]).all()
    assert set(labels.move[30:]) == {9} and set(labels.view[30:40]) == {4}


def test_lengths_of_two_scale_groups_are_never_subtracted() -> None:
    camera, _ = walked([(1, 0, 20)])
    camera.scale_group[10:] = 1
    labels = label_actions(camera, 16)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(labels.motion[:, 1])), [8, 9, 10, 20])
    assert set(labels.view[:-1]) == {0}


def test_a_camera_without_translation_has_views_and_no_moves() -> None:
    camera, _ = walked([(0, 3, 20)])
    labels = label_actions(replace(camera, scale="none", translation_known=np.zeros(21, bool)), 16)
    assert set(labels.move) == {9} and set(labels.view[:-1]) == {3} and labels.unit == "none"


@pytest.mark.parametrize("factor", [0.001, 1.0, 1000.0])
def test_relative_labels_do_not_depend_on_the_unit(factor: float) -> None:
    camera, _ = walked([(1, 0, 20), (0, 0, 20), (4, 0, 20)])
    camera.c2w[:, :3, 3] *= factor
    scaled = replace(camera, scale="relative", median_depth=np.full(61, 4.0 * factor, np.float32))
    labels = label_actions(scaled, 16)
    assert labels.unit == "depth/s"
    assert labels.thresholds[0] == pytest.approx(0.15 * 0.25) and labels.thresholds[1] == pytest.approx(0.4 * 0.25)
    assert labels.move[5] == 1 and labels.move[30] == 0 and labels.move[50] == 4


def test_noise_of_the_poses_raises_the_relative_floor() -> None:
    camera, _ = walked([(1, 0, 20)], speed=0.05)
    quiet = replace(camera, scale="relative", median_depth=np.ones(21, np.float32))
    assert label_actions(quiet, 16).move[10] == 1
    noisy = replace(quiet, sigma_position=np.full(21, 0.01, np.float32))
    assert label_actions(noisy, 16).move[10] == 0
    assert label_actions(noisy, 16).thresholds[0] == pytest.approx(3 * np.sqrt(2) * 0.01 * 16 / 3, rel=1e-5)


def test_a_standing_relative_camera_does_not_move_by_its_jitter() -> None:
    rng = np.random.default_rng(0)
    path = np.tile(np.eye(4), (60, 1, 1))
    path[:, :3, 3] = rng.normal(size=(60, 3)) * 1e-4
    camera = replace(Camera.known(path, K, scale="relative"), median_depth=np.ones(60, np.float32))
    assert set(label_actions(camera, 16).move[:-1]) == {0}


def test_up_is_known_estimated_or_of_the_camera() -> None:
    camera, _ = walked([(1, 4, 30)])
    assert label_actions(camera, 16).up == "known"
    level = label_actions(replace(camera, up=None), 16)
    assert level.up == "estimated" and set(level.move[:-1]) == {1}
    tumbling = camera.c2w.copy()
    tumbling[:, :3, :3] = Rotation.from_euler("z", 12.0 * np.arange(31)[:, None], degrees=True).as_matrix()
    assert label_actions(Camera.known(tumbling, K), 16).up == "camera"


def test_the_ground_plane_is_that_of_gravity_not_of_the_camera() -> None:
    """Looking 40 deg down while walking level is walking forward at full speed, not at cos(40)."""
    motion = commanded([(1, 0, 20)])
    start = np.eye(4)
    start[:3, :3] = Rotation.from_euler("x", -40, degrees=True).as_matrix()
    camera = Camera.known(integrate_midpoint(motion, 16, start, UP), K, up=UP)
    np.testing.assert_allclose(camera_motion(camera, 16).values[:-1], motion[:-1], atol=1e-9)


def test_looking_straight_down_still_has_a_heading() -> None:
    path = np.tile(np.eye(4), (20, 1, 1))
    path[:, :3, :3] = Rotation.from_euler("x", -90, degrees=True).as_matrix()
    path[:, 2, 3] = 0.1 * np.arange(20)
    assert set(label_actions(Camera.known(path, K, up=UP), 16).move[:-1]) == {1}


@pytest.mark.parametrize(("speed", "turn"), [(1.4, 30.0), (0.7, -75.0), (2.0, 0.5)])
def test_midpoint_integrates_an_arc_exactly_and_an_euler_step_does_not(speed: float, turn: float) -> None:
    """160 frames on a circle, motion measured as chords; the circle is known in closed form."""
    fps, frames = 16, 161
    angle = np.radians(turn) * np.arange(frames) / fps
    radius = speed / np.radians(turn)
    arc = np.tile(np.eye(4), (frames, 1, 1))
    arc[:, :3, :3] = Rotation.from_rotvec(angle[:, None] * [0, 1, 0]).as_matrix()
    arc[:, 0, 3], arc[:, 2, 3] = radius * (1 - np.cos(angle)), radius * np.sin(angle)
    motion = camera_motion(Camera.known(arc, K, up=UP), fps, window_s=0.0).values
    np.testing.assert_allclose(integrate_midpoint(motion, fps, arc[0], UP), arc, atol=1e-12)
    euler = np.vstack([np.zeros(3), np.cumsum(arc[:-1, :3, 2] * motion[:-1, 1:2] / fps, axis=0)])
    assert np.linalg.norm(euler[-1] - arc[-1, :3, 3]) > 1e-3


def test_reversed_actions_undo_the_motion() -> None:
    _, motion = walked([(1, 4, 30), (5, 1, 20), (0, 2, 10), (8, 8, 15)])
    there = integrate_midpoint(motion, 16, START, UP)
    labels = true_actions(motion, 16)
    back = integrate_midpoint(reverse_actions(labels).motion, 16, there[-1], UP)
    np.testing.assert_allclose(back, there[::-1], atol=1e-12)


def test_a_roll_of_the_start_stays() -> None:
    start = np.eye(4)
    start[:3, :3] = Rotation.from_euler("yxz", [20, -10, 15], degrees=True).as_matrix()
    _, motion = walked([(1, 4, 30), (2, 1, 20)])
    path = integrate_midpoint(motion, 16, start, UP)
    measured = camera_motion(Camera.known(path, K, up=UP), 16, window_s=0.0).values
    np.testing.assert_allclose(measured[:-1], motion[:-1], atol=1e-9)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_clips_have_labels_of_their_length(length: int) -> None:
    labels = label_actions(Camera.known(np.tile(np.eye(4), (length, 1, 1)), K), 16)
    assert len(labels) == length and labels.move[-1] == 9 and labels.view[-1] == 9
    assert isinstance(reverse_actions(labels), Actions)


def test_rules_with_an_empty_band_are_refused() -> None:
    with pytest.raises(ValidationError, match="view_trigger_deg_s must be larger"):
        ActionRules(view_floor_deg_s=10, view_trigger_deg_s=10)


def test_uncertain_commands_nothing() -> None:
    with pytest.raises(ValueError, match="do not command"):
        command_motion(9, 0, 1.0, 10.0)
