"""Which of several models is believed, and how much work is spent on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.annotators.pose.scenes import FOCAL, SIZE, arc, cloud, model_of, pairs_of, tracks_of
from worldloom.annotators.pose.config import PoseConfig
from worldloom.annotators.pose.moving import doubt, focal_from_turns
from worldloom.annotators.pose.restarts import RestartRules, elect, map_with_restarts
from worldloom.annotators.pose.sfm import Mapper, MappingRules, Model
from worldloom.annotators.pose.stretches import TurnRules, find_turns

FRAMES = list(range(12))
RULES = RestartRules()


def path(bend: float, used: float = 0.8) -> Model:
    """A model over 12 key frames; `bend` times 1 m is added to the height of its second half."""
    c2w = arc(12)
    model = model_of(cloud(40), c2w, tracks_of(cloud(40), c2w), FRAMES)
    model.c2w[6:, 1, 3] += bend
    model.used = used
    return model


def test_a_model_that_explains_much_is_refused_if_another_contradicts() -> None:
    outcome = elect([(0.97, path(0.0)), (0.975, path(0.3))], RULES, 2)
    assert not outcome.agreed and outcome.comparable == 2
    assert doubt(outcome, PoseConfig()) == "restarts disagree"


def test_the_majority_is_believed_even_where_another_one_explains_more() -> None:
    right = [path(0.0), path(0.001)]
    outcome = elect([(0.97, right[0]), (0.98, path(0.3)), (0.969, right[1])], RULES, 3)
    assert outcome.model is right[0] and outcome.agreed and outcome.agreeing == 2 and outcome.comparable == 3
    assert doubt(outcome, PoseConfig()) == ""


def test_two_against_two_decide_nothing() -> None:
    found = [(0.97, path(0.0)), (0.97, path(0.001)), (0.97, path(0.3)), (0.97, path(0.301))]
    assert not elect(found, RULES, 4).agreed
    assert elect([*found, (0.97, path(0.002))], RULES, 5).agreed


@pytest.mark.parametrize(("explained", "used"), [(0.94, 0.8), (0.97, 0.4)])
def test_a_model_that_explains_or_uses_less_has_no_say(explained: float, used: float) -> None:
    outcome = elect([(0.97, path(0.0)), (0.97, path(0.001)), (explained, path(0.3, used))], RULES, 3)
    assert outcome.agreed and outcome.comparable == 2
    assert elect([(0.97, path(0.0)), (explained, path(0.3, used))], RULES, 2).comparable == 1


class Barren:
    """A mapper whose every initial pair leads to the same `model`, at 12 registrations each."""

    size = SIZE

    def __init__(self, model: Model | None) -> None:
        tracks = tracks_of(cloud(), arc(12))
        self.pairs = pairs_of(tracks, FRAMES)
        self.keypoints = [xy.astype(np.float64) for xy in tracks.xy]
        self.model, self.runs, self.registrations = model, 0, 0

    def run(self, first: tuple[int, int], **_: Any) -> Model | None:
        self.runs += 1
        self.registrations += 12 if self.model is not None else 0
        return self.model


def test_initial_pairs_that_lead_nowhere_are_tried_up_to_a_limit() -> None:
    mapper: Any = Barren(None)
    outcome = map_with_restarts(mapper, RestartRules(pairs=7))
    assert mapper.runs == 7 and outcome.model is None and not outcome.cut_short
    assert doubt(outcome, PoseConfig()) == "too little parallax"


def test_the_search_ends_when_the_work_is_done() -> None:
    bent = path(0.5)  # explains too little to end the search
    mapper: Any = Barren(bent)
    assert not map_with_restarts(mapper, RestartRules(restarts=6)).cut_short and mapper.runs == 6
    mapper = Barren(bent)
    assert map_with_restarts(mapper, RestartRules(restarts=6, registrations=30)).cut_short and mapper.runs == 3
    outcome = map_with_restarts(mapper, RestartRules(registrations=30))
    assert mapper.runs == 3 and doubt(outcome, PoseConfig()) == "too much work"


def test_work_is_the_number_of_key_frames_registered(tmp_path: Path) -> None:
    tracks = tracks_of(cloud(300), arc(12), noise_px=0.1)
    links = {(pair.i, pair.j): pair.rows for pair in pairs_of(tracks, FRAMES)}
    mapper = Mapper(tmp_path, SIZE, list(tracks.xy), links, FOCAL, 0, MappingRules())
    assert mapper.registrations == 0
    model = mapper.run((0, 4))
    assert model is not None and len(model.frames) == 12 and mapper.registrations == 10
    mapper.run((0, 4))
    assert mapper.registrations == 20


def turned_by(step_deg: float, frames: int) -> float | None:
    """Focal length that a turn of so many key frames fixes, from a first guess of 385 px."""
    c2w = arc(frames, step=0.0, turn_deg=step_deg)
    c2w[:, :3, 3] = 0
    tracks, keyframes = tracks_of(cloud(3000, spread=20), c2w, noise_px=0.2), list(range(frames))
    turns = find_turns(tracks, keyframes, SIZE, 385.0, TurnRules())
    assert len(turns) == 1 and turns[0].last == frames - 1
    return focal_from_turns(tracks, keyframes, turns, SIZE, 385.0)


def test_only_a_wide_turn_fixes_the_focal_length() -> None:
    assert turned_by(3.0, 15) == pytest.approx(FOCAL, rel=0.01)
    assert turned_by(3.0, 4) is None
