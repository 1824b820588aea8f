"""What frames say about themselves agrees with each other, with geometry, and with a slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synth.tiny_place import HALF
from worldloom.catalogs.cameras import project, unproject
from worldloom.synth.frames import Frame, Renderer
from worldloom.synth.people import View
from worldloom.synth.plan import SubjectPlan, WorldPlan
from worldloom.synth.world import layout


def intrinsics(plan: WorldPlan) -> np.ndarray:
    return np.array([plan.focal_px, plan.focal_px, plan.width / 2, plan.height / 2])


def pixel_centres(plan: WorldPlan) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(plan.width) + 0.5, np.arange(plan.height) + 0.5), -1)


@pytest.fixture
def frames(walking_plan) -> list[Frame]:
    return list(Renderer(walking_plan))


def test_depth_of_one_frame_lands_on_the_depth_of_another(walking_plan, frames):
    c2w, k = Renderer(walking_plan).c2w, intrinsics(walking_plan)
    for i, j in ((0, 6), (8, 16), (30, 24)):
        a, b = frames[i], frames[j]
        still = (a.mask == 0) & np.isfinite(a.depth)
        points = unproject(pixel_centres(walking_plan)[still], a.depth[still].astype(np.float64), c2w[i], k)
        uv, z = project(points, c2w[j], k)
        column, row = np.floor(uv[:, 0]).astype(int), np.floor(uv[:, 1]).astype(int)
        seen = (z > 0.1) & (column >= 0) & (column < walking_plan.width) & (row >= 0) & (row < walking_plan.height)
        assert seen.sum() > 1000
        there, ours = b.depth[row[seen], column[seen]], z[seen]
        still_there = (b.mask[row[seen], column[seen]] == 0) & np.isfinite(there)
        error = (ours / there - 1)[still_there]
        assert (error < -0.03).mean() < 0.01  # nothing lies before what the other frame sees, but for its outlines
        agreeing = np.abs(error) < 0.05
        assert agreeing.mean() > 0.85
        # Pixels are 1/2 px off: on a floor seen at a slant that is more than 1 %; the middle of the errors is not.
        assert np.median(np.abs(error[agreeing])) < 0.003


def test_depth_is_that_of_the_walls(still_plan):
    frame = Renderer(still_plan).frame(0)
    np.testing.assert_allclose(frame.depth[60, 25:40], HALF + 4.0, rtol=1e-5)
    np.testing.assert_allclose(frame.depth[68, 118:122], 1.2 + 4.0, rtol=1e-5)


def test_depth_of_the_floor_is_exact_at_pixel_centres(still_plan):
    frame = Renderer(still_plan).frame(0)
    rows = np.arange(110, 136)
    expected = 1.5 * still_plan.focal_px / (rows + 0.5 - still_plan.height / 2)
    np.testing.assert_allclose(frame.depth[rows, 200], expected, rtol=1e-5)


def test_masks_fill_their_boxes(frames):
    seen = 0
    for frame in frames:
        for s, box in enumerate(frame.box):
            rows, columns = np.nonzero(frame.mask == s + 1)
            if not len(rows):
                assert np.isnan(box).all() and frame.visibility[s] == 0
                continue
            seen += 1
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            full = frame.full_box[s]
            assert (box[:2] >= full[:2] - 1).all() and (box[2:] <= full[2:] + 1).all()
    assert seen > 15


def test_visibility_is_a_share_and_no_more_than_what_is_in_frame(frames):
    for frame in frames:
        assert (frame.visibility >= 0).all() and (frame.visibility <= frame.in_frame + 1e-6).all()
        assert (frame.in_frame <= 1).all()


def test_the_middle_of_a_body_lies_in_its_full_box(walking_plan, frames):
    renderer = Renderer(walking_plan)
    k, inside = intrinsics(walking_plan), 0
    for i, frame in enumerate(frames):
        for s, actor in enumerate(renderer.actors):
            uv, z = project(actor.centre()[i], renderer.c2w[i], k)
            if z > 0.5 and np.isfinite(frame.full_box[s]).all():
                x0, y0, x1, y1 = frame.full_box[s]
                assert x0 < uv[0] < x1 and y0 < uv[1] < y1
                inside += 1
    assert inside > 15


def test_truth_agrees_with_a_wide_picture_of_the_people_alone(walking_plan):
    """The slow twin: the same camera on a canvas nine times as large, each person rendered without the world."""
    renderer = Renderer(walking_plan)
    checked = 0
    for i in range(0, walking_plan.frames, 4):
        frame = renderer.frame(i)
        width, height = 3 * walking_plan.width, 3 * walking_plan.height
        wide = View(renderer.c2w[i], walking_plan.focal_px, width, height)
        u, v = (a.ravel() for a in np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5))
        for s, actor in enumerate(renderer.actors):
            depth = actor.posed(i).cast(wide.rays(u, v))[0].reshape(height, width)
            if not np.isfinite(depth).any():
                assert frame.in_frame[s] == 0
                continue
            hit = np.isfinite(depth)
            if hit[0].any() or hit[-1].any() or hit[:, 0].any() or hit[:, -1].any():
                continue
            middle = hit[walking_plan.height : -walking_plan.height, walking_plan.width : -walking_plan.width]
            assert frame.in_frame[s] == pytest.approx(middle.sum() / hit.sum(), abs=0.02)
            seen = (frame.mask == s + 1).sum()
            assert frame.visibility[s] == pytest.approx(seen / hit.sum(), abs=0.02)
            checked += 1
    assert checked >= 5


def person_at(x: float, y: float, **more) -> SubjectPlan:
    return SubjectPlan(path=((x, y), (x + 0.001, y)), closed=False, speed_m_s=0.0, look=3, **more)


def test_someone_in_the_open_is_wholly_visible_and_someone_behind_is_not_there(still_plan):
    plan = still_plan.model_copy(update={"subjects": (person_at(2.0, 2.0), person_at(0.0, -4.9), person_at(0.1, 3.0))})
    frame = Renderer(plan).frame(0)
    assert frame.visibility[0] == 1.0 and frame.in_frame[0] == 1.0
    assert frame.visibility[1] == 0.0 and frame.in_frame[1] == 0.0 and np.isnan(frame.full_box[1]).all()
    assert frame.visibility[2] == 0.0 and frame.in_frame[2] == 1.0  # behind the pillar
    assert set(np.unique(frame.mask)) == {0, 1}


def test_the_nearer_of_two_people_covers_the_other(still_plan):
    plan = still_plan.model_copy(update={"subjects": (person_at(2.0, 2.5), person_at(1.3, 0.5))})
    frame = Renderer(plan).frame(0)
    assert frame.visibility[1] == 1.0
    alone = Renderer(still_plan.model_copy(update={"subjects": (person_at(2.0, 2.5),)})).frame(0)
    covered = (alone.mask == 1) & (frame.mask == 2)
    assert frame.visibility[0] == pytest.approx(1 - covered.sum() / (alone.mask == 1).sum())
    np.testing.assert_array_equal(frame.depth[frame.mask != 2], alone.depth[frame.mask != 2])


def test_people_change_only_their_pixels_and_their_shadow(still_plan):
    empty = Renderer(still_plan).frame(0)
    with_person = Renderer(still_plan.model_copy(update={"subjects": (person_at(2.0, 0.0),)})).frame(0)
    changed = np.abs(with_person.rgb.astype(int) - empty.rgb).max(-1) > 3
    person = with_person.mask > 0
    assert changed[person].mean() > 0.9
    outside = changed & ~person
    assert 0 < outside.mean() < 0.05
    darker = with_person.rgb.astype(int).sum(-1) < empty.rgb.astype(int).sum(-1)
    rows, columns = np.nonzero(outside)
    x0, y0, x1, y1 = with_person.box[0]
    apart = (columns < x0 - 2) | (columns > x1 + 1) | (rows < y0 - 2) | (rows > y1 + 1)
    assert apart.sum() > 20 and darker[rows[apart], columns[apart]].mean() > 0.95


def test_frames_do_not_depend_on_threads_or_order(walking_plan):
    one, two = Renderer(walking_plan, threads=1), Renderer(walking_plan, threads=2)
    later = one.frame(9)
    for i in (4, 9):
        a, b = one.frame(i), two.frame(i)
        assert np.array_equal(a.rgb, b.rgb) and np.array_equal(a.depth, b.depth)
    assert np.array_equal(later.rgb, one.frame(9).rgb)


def test_pictures_are_lit_and_have_detail(frames):
    for frame in frames[::8]:
        assert 50 < frame.rgb.mean() < 200
        assert frame.rgb.std() > 20


def test_the_layout_holds_what_the_place_is_made_of():
    mesh = layout("court", 0).mesh
    depth, triangle, _, normal = mesh.cast(np.float32([[0, 0, 1.5, 1, 0, 0], [0, 0, 1.5, 0, 0, 1]]))
    assert depth[0] == pytest.approx(HALF) and abs(normal[0, 0]) == pytest.approx(1)
    assert np.isinf(depth[1]) and triangle[1] == -1
