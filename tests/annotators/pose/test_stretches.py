from __future__ import annotations

import numpy as np

from tests.annotators.pose.scenes import FOCAL, SIZE, arc, cloud, tracks_of
from tests.annotators.pose.test_register import turn_between_walks
from worldloom.annotators.pose.motion import StillRules, is_still
from worldloom.annotators.pose.stretches import Turn, TurnRules, find_turns, split


def test_the_turn_between_two_walks_is_found() -> None:
    _, _, tracks = turn_between_walks()
    turns = find_turns(tracks, list(range(32)), SIZE, FOCAL, TurnRules())
    assert len(turns) == 1
    assert abs(turns[0].first - 9) <= 1 and abs(turns[0].last - 21) <= 1
    assert turns[0].swept > 1.0  # 120 degrees are more than the 66 of the picture


def test_a_camera_that_walks_and_turns_at_once_is_not_turning_on_the_spot() -> None:
    tracks = tracks_of(cloud(3000, spread=15), arc(20, step=0.1, turn_deg=2.0))
    assert find_turns(tracks, list(range(20)), SIZE, FOCAL, TurnRules()) == []


def test_stretches_cover_every_key_frame_outside_wide_turns() -> None:
    turns = [Turn(4, 8, 0.3), Turn(12, 20, 1.4)]
    assert split(30, turns, 1.0, overlap=2) == [list(range(0, 15)), list(range(18, 30))]
    assert split(30, turns, 2.0, overlap=2) == [list(range(30))]


def test_a_picture_that_stays_is_still_and_one_that_creeps_is_not() -> None:
    still = np.tile(np.eye(4), (40, 1, 1))
    assert is_still(tracks_of(cloud(), still, noise_px=0.2), SIZE, StillRules())
    creeping = still.copy()
    creeping[:, 0, 3] = np.linspace(0, 0.05, 40)  # some three pixels in all
    assert not is_still(tracks_of(cloud(), creeping, noise_px=0.2), SIZE, StillRules())
