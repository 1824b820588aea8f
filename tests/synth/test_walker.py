"""People: feet on the ground, limbs that stay together, ways that are walked at constant speed."""

from __future__ import annotations

import numpy as np
import pytest

from worldloom.synth.body import PARTS
from worldloom.synth.walker import Figure, Walk, figure, joints

HEIGHT = 1.75


@pytest.fixture(scope="module")
def person() -> Figure:
    return figure(7, HEIGHT)


@pytest.mark.parametrize("phase", np.linspace(0, 1, 8, endpoint=False))
def test_one_foot_is_on_the_ground_and_the_head_is_up(person, phase):
    corners, _ = person.posed(np.array([2.0, 1.0]), 0.7, phase * 1.4, True)
    assert abs(corners[..., 2].min()) < 0.03
    assert HEIGHT * 0.93 < corners[..., 2].max() < HEIGHT * 1.08
    np.testing.assert_allclose(corners.reshape(-1, 3).mean(0)[:2], (2, 1), atol=0.15)


def test_standing_is_symmetric_and_still(person):
    here = np.array([0.0, 0.0])
    one, _ = person.posed(here, 0.0, 0.3, False)
    other, _ = person.posed(here, 0.0, 0.9, False)
    np.testing.assert_allclose(one, other, atol=1e-6)
    left, right = (one[person.part == PARTS.index(f"{side}_shin")].reshape(-1, 3) for side in ("left", "right"))
    np.testing.assert_allclose(left.mean(0) * (1, -1, 1), right.mean(0), atol=1e-3)


def test_a_stride_later_the_body_looks_the_same(person):
    stride = person._stride
    one, _ = person.posed(np.array([0.0, 0.0]), 0.0, 0.1, True)
    later, _ = person.posed(np.array([0.0, 0.0]), 0.0, 0.1 + stride, True)
    np.testing.assert_allclose(one, later, atol=1e-4)
    half, _ = person.posed(np.array([0.0, 0.0]), 0.0, 0.1 + stride / 2, True)
    assert np.abs(one - half).max() > 0.2


@pytest.mark.parametrize("phase", [0.0, 0.2, 0.55, 0.8])
def test_joints_hold_the_limbs_together(phase):
    place = dict(zip(PARTS, joints(phase, 1.0, HEIGHT), strict=True))
    for side in ("left", "right"):
        for upper, lower, length in (("thigh", "shin", 0.235), ("shin", "foot", 0.24), ("arm", "forearm", 0.172)):
            end = place[f"{side}_{upper}"] @ [0, 0, -length * HEIGHT, 1]
            np.testing.assert_allclose(end, place[f"{side}_{lower}"][:, 3], atol=1e-6)
    for matrix in place.values():
        np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)
        assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)


def test_knees_bend_backwards_and_feet_point_ahead(person):
    corners, _ = person.posed(np.array([0.0, 0.0]), 0.0, 0.0, False)
    foot = corners[person.part == PARTS.index("left_foot")].reshape(-1, 3)
    assert foot[:, 0].max() > 0.12 and foot[:, 0].min() > -0.1 and foot[:, 1].mean() > 0
    bent = [dict(zip(PARTS, joints(p, 1.0, HEIGHT), strict=True)) for p in np.linspace(0, 1, 20)]
    for place in bent:
        thigh, shin = place["left_thigh"][:3, 2], place["left_shin"][:3, 2]
        assert np.cross(thigh, shin)[1] > -0.02  # the shin swings behind the thigh, never before it


def test_people_differ_and_stay_themselves():
    assert not np.array_equal(figure(1, 1.7).atlas.texels, figure(2, 1.7).atlas.texels)
    assert np.array_equal(Figure(5, 1.7).atlas.texels, Figure(5, 1.7).atlas.texels)


def test_a_round_way_is_walked_at_constant_speed():
    walk = Walk.along(np.array([[0, 0], [4, 0], [4, 3], [0, 3]], float), True, 1.2, 0.5)
    times = np.arange(200) / 16
    position, heading, walked, walking = walk.at(times)
    assert walking.all()
    np.testing.assert_allclose(np.diff(walked), 1.2 / 16)
    step = np.linalg.norm(np.diff(position, axis=0), axis=1)
    assert step.max() <= 1.2 / 16 + 1e-9 and step.min() > 0.85 * 1.2 / 16
    direction = np.stack([np.cos(heading), np.sin(heading)], 1)[:-1]
    assert ((np.diff(position, axis=0) / step[:, None]) * direction).sum(1).min() > 0.7
    around = walk.length_m / 1.2
    np.testing.assert_allclose(walk.at(np.array([around]))[0], walk.at(np.array([0.0]))[0], atol=1e-6)


def test_an_open_way_ends_where_it_ends():
    walk = Walk.along(np.array([[0, 0], [3, 0]], float), False, 1.0, 0.0)
    position, heading, _, walking = walk.at(np.array([0.0, 1.0, 2.99, 3.5, 9.0]))
    np.testing.assert_allclose(position, [[0, 0], [1, 0], [2.99, 0], [3, 0], [3, 0]], atol=1e-9)
    assert walking.tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(heading, 0, atol=1e-9)
