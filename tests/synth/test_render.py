"""Rendered clips: their truth, their events, their bytes."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import cv2
import numpy as np
import pytest

from tests.synth.tiny_place import NAME
from worldloom.catalogs.actions import integrate_midpoint
from worldloom.catalogs.cameras import project
from worldloom.catalogs.clip import Clip, clip_key, same_value
from worldloom.catalogs.encode import conforms
from worldloom.catalogs.sample import clip_to_members, members_to_clip
from worldloom.synth import frames
from worldloom.synth.bake import Resolution
from worldloom.synth.camera_path import camera_path
from worldloom.synth.frames import Renderer
from worldloom.synth.plan import Segment, SubjectPlan, WorldPlan
from worldloom.synth.planner import draw_plan, plan_worlds
from worldloom.synth.render import render_frames, render_world
from worldloom.synth.world import PLACES, Layout, World, layout


def test_a_clip_knows_everything_about_itself(walking_plan, tmp_path):
    clip = render_world(walking_plan, tmp_path / "walk.mp4")
    assert clip.frames == 33 and (clip.height, clip.width) == (136, 240)
    assert clip.key == clip_key(walking_plan.sha256, 0, 0, 32)
    assert set(clip.annotations) == {"pose", "actions", "subjects", "events", "depth", "revisits"}
    assert clip.depth.frames.tolist() == [0, 8, 16, 24, 32] and clip.depth.z.shape == (5, 136, 240)
    assert clip.subjects.box.shape == (2, 33, 4) and clip.subjects.position.shape == (2, 33, 3)
    assert conforms(tmp_path / "walk.mp4")
    path = integrate_midpoint(clip.actions.motion, clip.fps, clip.camera.c2w[0], clip.camera.up)
    np.testing.assert_allclose(path, clip.camera.c2w, atol=1e-9)
    again = members_to_clip(clip.key, clip_to_members(clip))
    for member in ("camera", "actions", "subjects", "events"):
        assert same_value(getattr(again, member), getattr(clip, member)), member


def test_the_video_shows_the_frames(walking_plan, tmp_path):
    clip = render_world(walking_plan, tmp_path / "walk.mp4")
    with clip.open_frames() as shown:
        assert len(shown) == walking_plan.frames
        for i, frame in enumerate(render_frames(walking_plan)):
            if i % 8 == 0:
                error = shown[i].astype(float) - frame.rgb
                assert np.sqrt((error**2).mean()) < 8


def test_equal_plans_give_equal_bytes(walking_plan, tmp_path):
    one = render_world(walking_plan, tmp_path / "one.mp4", threads=1)
    two = render_world(walking_plan, tmp_path / "two.mp4", threads=2)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    for member in fields(Clip):
        if member.name != "video":
            assert same_value(getattr(one, member.name), getattr(two, member.name)), member.name


def test_someone_who_walks_out_at_the_left_and_comes_back(still_plan, tmp_path):
    """At y = 1 (z = 5 m) the picture's left border is at x = -3.25; the person turns at x = -4.4."""
    there_and_back = SubjectPlan(
        path=((-2.0, 1.0), (-3.2, 0.9), (-4.4, 1.0), (-3.2, 1.1), (-2.0, 1.0), (0.9, 1.0)),
        closed=False,
        speed_m_s=1.2,
        look=2,
    )
    plan = still_plan.model_copy(update={"name": "pair", "frames": 81, "subjects": (there_and_back,)})
    clip = render_world(plan, tmp_path / "pair.mp4")
    (event,) = [event for event in clip.events if event.kind == "pair"]
    assert event.exit_side == event.entry_side == "left"
    border = -5.0 * plan.width / 2 / plan.focal_px
    x = clip.subjects.position[0, :, 0]
    outside = np.flatnonzero(x < border)
    assert abs(event.first_hidden - outside[0]) <= 5 and abs(event.first_visible - outside[-1]) <= 5
    visibility = clip.subjects.visibility[0]
    assert (visibility[event.first_hidden : event.first_visible] < 0.1).all()
    assert visibility[event.first_hidden] <= 0.02 < visibility[event.first_hidden - 1]
    assert visibility[event.first_visible] >= 0.1 > visibility[event.first_visible - 1]
    for frame in range(event.first_hidden, event.first_hidden + 3):
        assert clip.subjects.in_frame[0, frame] <= 0.02


def test_someone_who_passes_behind_the_pillar_is_occluded(still_plan, tmp_path):
    behind = SubjectPlan(path=((-3.0, 3.2), (3.0, 3.2)), closed=False, speed_m_s=1.3, look=5)
    plan = still_plan.model_copy(update={"name": "behind", "frames": 65, "subjects": (behind,)})
    clip = render_world(plan, tmp_path / "behind.mp4")
    (event,) = clip.events
    assert event.kind == "interval" and event.exit_cause == event.entry_cause == "occluded"
    assert np.abs(clip.subjects.position[0, [event.first_hidden, event.first_visible], 0]).max() < 1.3


def test_looking_away_and_back_is_a_revisit(still_plan, tmp_path):
    turn = tuple(Segment(view=v, frames=n, turn_deg_s=45) for v, n in ((0, 6), (4, 32), (0, 4), (3, 32), (0, 6)))
    plan = still_plan.model_copy(update={"name": "away", "frames": 81, "camera": turn})
    clip = render_world(plan, tmp_path / "away.mp4")
    np.testing.assert_allclose(clip.camera.c2w[-1], clip.camera.c2w[0], atol=1e-9)
    assert [0, 80] in clip.revisits.pairs.tolist()
    assert clip.revisits.overlap.max() > 0.99 and 0.1 < clip.revisits.density < 0.9
    assert (clip.actions.move[:-1] == 0).all() and {3, 4} <= set(clip.actions.view.tolist())


@pytest.fixture
def quick_worlds(monkeypatch):
    """Worlds painted and lit coarsely: what they look like, in a quarter of the time."""

    @cache
    def quick(place: str, look: int) -> World:
        real = layout(place, look).place
        coarse = Resolution(0.4 * real.resolution.texels_per_m, 1.5, 6, 16, 1)
        return World(Layout(replace(real, resolution=coarse)), look)

    monkeypatch.setattr(frames, "world", quick)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["living_room", "library", "street", "park"])
def test_every_place_renders_with_detail_for_structure_from_motion(place, quick_worlds):
    plan = draw_plan(place, 0, "orbit", seed=3, frames=17)
    assert plan.place == place and plan.subjects
    sift = cv2.SIFT_create()
    renderer = Renderer(plan)
    for i in (0, 16):
        frame = renderer.frame(i)
        assert 50 < frame.rgb.mean() < 200
        assert len(sift.detect(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY))) > 250
        assert np.median(frame.depth) > 1.5


@pytest.mark.slow
def test_twenty_plans_hold_what_they_promise(monkeypatch):
    """Geometry alone: every place and kind is there, and who is looked away from is lost and found again."""
    monkeypatch.delitem(PLACES, NAME)
    plans = plan_worlds(20, seed=0)
    assert {plan.place for plan in plans} == set(PLACES)
    assert {plan.kind for plan in plans} >= {"static", "turn", "look_away", "walk", "orbit", "strafe", "back"}
    pairs = 0
    for plan in plans:
        assert plan.subjects
        if plan.kind == "look_away":
            seen = np.array([_share_in_view(plan, i) for i in range(plan.frames)])
            assert seen[0] > 0 and seen[-1] > 0
            pairs += bool((seen == 0).any())
    assert pairs >= 5


def _share_in_view(plan: WorldPlan, frame: int) -> float:
    """Share of the first person's middle line that projects into the picture."""
    c2w, _ = camera_path(plan)
    person = plan.subjects[0]
    at = person.walk().at(np.array([frame / plan.fps]))[0][0]
    line = np.stack([np.r_[at, z] for z in np.linspace(0.1, person.height_m, 9)])
    half = (plan.width / 2, plan.height / 2)
    uv, z = project(line, c2w[frame], np.array([plan.focal_px, plan.focal_px, *half]))
    return float(((z > 0) & (uv > 0).all(1) & (uv < (plan.width, plan.height)).all(1)).mean())
