"""Plans: strict rows, deterministic draws, and what the draws promise."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from tests.synth.tiny_place import ENTRY, NAME
from worldloom.catalogs.errors import UsageError
from worldloom.synth import planner
from worldloom.synth.camera_path import camera_path
from worldloom.synth.plan import Segment, WorldPlan
from worldloom.synth.planner import plan_worlds
from worldloom.synth.world import layout


def test_a_row_has_one_digest():
    plan = WorldPlan(name="a", place=NAME, position=(0, 0, 1.6), frames=5, camera=[Segment(move=1, frames=4)])
    again = WorldPlan.model_validate(plan.model_dump(mode="json"))
    assert again == plan and again.sha256 == plan.sha256 and len(plan.sha256) == 64
    assert plan.model_copy(update={"heading_deg": 1.0}).sha256 != plan.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"camera": [{"move": 1, "frames": 9}]},
        {"width": 481},
        {"name": "a/b"},
        {"walls": 4},
        {"camera": [{"move": 9, "frames": 4}]},
    ],
)
def test_a_row_that_does_not_fit_is_refused(change):
    values = {"name": "a", "place": NAME, "position": (0, 0, 1.6), "frames": 5, "camera": [{"move": 1, "frames": 4}]}
    WorldPlan.model_validate(values)
    with pytest.raises(ValidationError):
        WorldPlan.model_validate({**values, **change})


def test_unknown_places_and_fields_name_the_nearest():
    with pytest.raises(UsageError, match="library"):
        layout("libary", 0)
    with pytest.raises(UsageError, match="did you mean 'frames'"):
        plan_worlds(1, frame=5)


@pytest.fixture
def only_the_court(monkeypatch):
    monkeypatch.setattr(planner, "PLACES", {NAME: ENTRY})


def test_plans_follow_the_seed(only_the_court):
    assert plan_worlds(3, seed=5) == plan_worlds(3, seed=5)
    assert plan_worlds(2, seed=5) == plan_worlds(3, seed=5)[:2]
    assert plan_worlds(3, seed=6) != plan_worlds(3, seed=5)


def test_cameras_and_people_keep_clear(only_the_court):
    plans = plan_worlds(12, seed=1)
    assert len({plan.name for plan in plans}) == 12
    where = layout(NAME, 0).free
    for plan in plans:
        c2w, _ = camera_path(plan)
        assert where.at(c2w[:, :2, 3]).min() >= 0.4
        tracks = [s.walk().at(np.arange(plan.frames) / plan.fps)[0] for s in plan.subjects]
        assert 1 <= len(tracks) <= 3
        for k, track in enumerate(tracks):
            assert where.at(track).min() > 0.2
            assert np.linalg.norm(track - c2w[:, :2, 3], axis=1).min() > 1.5
            assert all(np.linalg.norm(track - other, axis=1).min() > 0.7 for other in tracks[:k])


def test_twenty_plans_hold_every_kind():
    kinds = list(planner.KINDS)
    assert len(kinds) == 20
    assert kinds.count("static") == 1 and kinds.count("turn") == 1 and kinds.count("look_away") >= 5


def test_short_plans_and_overrides(only_the_court):
    for plan in plan_worlds(4, frames=17, width=320, height=180, fps=8):
        assert (plan.frames, plan.width, plan.height, plan.fps) == (17, 320, 180, 8)
        assert sum(segment.frames for segment in plan.camera) == 16


def test_free_ground_ends_at_walls_and_pillars():
    free = layout(NAME, 0).free
    at = free.at(np.array([[0.0, -2.0], [0.0, 1.5], [-4.95, 0.0], [6.0, 0.0], [-3.5, 3.5]]))
    assert at[0] > 1.5
    assert (at[1:] <= 0.1).all()
    distance = free.at(np.array([[-3.0, -3.0]]))[0]
    assert distance == pytest.approx(2.0, abs=0.25)


@pytest.mark.parametrize("look", range(3))
def test_nobody_walks_on_water(look):
    free = layout("park", look).free
    assert (free.at(np.array([[-8.0, 5.5], [-7.0, 6.5], [0.0, -3.0], [1.4, -3.0]])) == 0).all()
    assert free.at(np.array([[0.3, -8.0]]))[0] > 0.5


@pytest.mark.parametrize("place", ["living_room", "library", "street", "park"])
@pytest.mark.parametrize("look", range(planner.LOOKS))
def test_every_place_has_room_to_walk(place, look):
    clearance = layout(place, look).free.clearance
    assert (clearance > 0.55).sum() * 0.01 > 3
