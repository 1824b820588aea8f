"""Patches: where they face, how large they are, what their charts cover."""

from __future__ import annotations

import numpy as np
import pytest

from worldloom.synth.geometry import Leaves, Patch, coarser, placed
from worldloom.synth.materials.noise import plain
from worldloom.synth.shapes import ball, box, cylinder, disc, ground, loft, quad, quad4, tube


def white(sheet):
    return plain(sheet, (1.0, 1.0, 1.0))


def area(corners: np.ndarray) -> float:
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(cross, axis=1).sum() / 2)


SOLIDS = {
    "box": box((-1, -2, -0.5), (1, 2, 0.5), white),
    "box of six": box((-1, -2, -0.5), (1, 2, 0.5), {"top": white, "rest": white}),
    "ball": [ball((1, 0.8, 0.6), (0, 0, 0), white)],
    "cushion": [ball((1, 0.8, 0.6), (0, 0, 0), white, power=4)],
    "loft": [loft([(1, 0.2, 0.2), (0, 1, 1), (-1, 0.1, 0.1)], white)],
    "tube": [tube([(-1, 0, 0), (0, 0, 0), (1, 0, 0)], 0.2, white)],
    "upright tube": [tube([(0, 0, 1), (0, 0, 0), (0, 0, -1)], 0.2, white)],
    "downward tube": [tube([(0, 0, -1), (0, 0, 0), (0, 0, 1)], 0.2, white)],
    "cylinder": cylinder(0.5, -1, 1, white),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_face_outwards(name):
    for piece in SOLIDS[name]:
        points, normals = piece.lumels(9, 13)
        if "tube" in name:
            axis = np.array([1.0, 0, 0]) if name == "tube" else np.array([0, 0, 1.0])
            points = points - (points @ axis)[:, None] * axis
        outward = (points * normals).sum(1)
        assert (outward > 0).mean() > 0.97
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)


def test_a_box_has_its_area_and_every_face():
    sides = sum(area(piece.triangles()[0]) for piece in SOLIDS["box"])
    assert sides == pytest.approx(2 * (2 * 4 + 2 * 1 + 4 * 1))
    without = sum(area(piece.triangles()[0]) for piece in box((-1, -2, -0.5), (1, 2, 0.5), white, skip="bottom back"))
    assert without == pytest.approx(2 * 4 + 2 * 1 + 2 * 4 * 1)


def test_faces_given_by_name_lie_where_they_should():
    front, back, left, right, top, bottom = box((0, 0, 0), (1, 2, 3), {"rest": white})
    expected = {
        (0, -1, 0): front, (0, 1, 0): back, (-1, 0, 0): left, (1, 0, 0): right, (0, 0, 1): top, (0, 0, -1): bottom,
    }  # fmt: skip
    for normal, face in expected.items():
        np.testing.assert_allclose(face.lumels(2, 2)[1][0], normal, atol=1e-6)


def test_a_ball_has_the_area_of_a_ball():
    corners, _, facet = ball((1, 1, 1), (0, 0, 0), white, segments=48).triangles()
    assert area(corners) == pytest.approx(4 * np.pi, rel=0.01)
    assert (facet == 0).all()


def test_ground_faces_up_and_follows_its_height():
    patch = ground((-2, -2), (2, 2), lambda x, y: 0.1 * x, white, cells=4)
    points, normals = patch.lumels(8, 8)
    np.testing.assert_allclose(points[:, 2], 0.1 * points[:, 0], atol=1e-6)
    assert (normals[:, 2] > 0.9).all()
    assert (disc(1, 0.5, white).lumels(4, 4)[1][:, 2] > 0.99).all()


def test_points_of_a_chart_are_where_the_triangles_put_them():
    patch = quad((0, 0, 2), (3, 0, 0), (0, 0, -2), white)
    points, _ = patch.lumels(4, 6)
    u, v = points[:, 0] / 3, (2 - points[:, 2]) / 2
    grid = np.stack(np.meshgrid((np.arange(6) + 0.5) / 6, (np.arange(4) + 0.5) / 4), -1).reshape(-1, 2)
    np.testing.assert_allclose(np.stack([u, v], 1), grid, atol=1e-6)
    bent = Patch(np.concatenate([patch.grid, patch.grid[:, -1:] + (1, 0, 0)], axis=1), white)
    np.testing.assert_allclose(bent.lumels(4, 8)[0][:, 1], 0, atol=1e-6)


def test_charts_cover_corners_once():
    corners, uv, _ = quad4((0, 0, 1), (2, 0, 1), (0, 0, 0), (2, 0, 0), white).triangles()
    spread = uv.reshape(-1, 2)
    assert spread.min() == 0 and spread.max() == 1
    assert area(corners) == pytest.approx(2)


def test_moving_keeps_size_and_turns_normals():
    (moved,) = placed([quad((0, 0, 1), (1, 0, 0), (0, 0, -1), white)], (5, 0, 0), 90, 2)
    assert moved.size_m == pytest.approx((2, 2))
    np.testing.assert_allclose(moved.lumels(1, 1)[1][0], (1, 0, 0), atol=1e-6)
    assert coarser([moved], 0.5)[0].detail == 0.5


def test_each_leaf_has_a_cell_of_its_own():
    rng = np.random.default_rng(0)
    count = 7
    leaves = Leaves(rng.random((count, 4, 3)), rng.random((count, 3)), np.tile((0, 0, 1.0), (count, 1)))
    corners, uv, facet = leaves.triangles()
    assert len(corners) == 2 * count and len(np.unique(facet)) == count
    cell = np.floor(uv * leaves.side).astype(int)
    cells = {tuple(c) for c in cell[:, 0].tolist()}
    assert len(cells) == count
    assert (cell == cell[:, :1]).all()
    painted = leaves.paint(rng)
    assert painted.shape == (leaves.side * leaves.cell, leaves.side * leaves.cell, 3)
