"""Light held to closed formulas: cosine, inverse square, the furnace."""

from __future__ import annotations

import numpy as np
import pytest

from worldloom.synth.bake import Resolution, atlas_table, bake
from worldloom.synth.light import Key, Lamp, Light, Shadows, cosine_directions, display, frames_of
from worldloom.synth.materials.noise import plain
from worldloom.synth.mesh import Mesh
from worldloom.synth.shapes import box, quad

GREY = 0.7


def grey(sheet):
    return plain(sheet, (GREY, GREY, GREY))


def floor_with_roof():
    """A floor, and a roof over its half towards +x."""
    return [quad((-2, 2, 0), (4, 0, 0), (0, -4, 0), grey), *box((0, -3, 1), (5, 3, 1.1), grey)]


def test_the_sun_lights_by_the_cosine_and_roofs_cast_shadow():
    shadows = Shadows(Mesh(floor_with_roof()).scene, np.random.default_rng(0))
    points = np.float32([[-1, 0, 0.01], [1, 0, 0.01]])
    up = np.float32([[0, 0, 1], [0, 0, 1]])
    key = Key((0, 0.6, 0.8), (1, 1, 1), radius=0.0)
    np.testing.assert_allclose(shadows.key_light(key, points, up, 2), [0.8, 0.0], atol=1e-6)


def test_a_lamp_falls_off_with_the_square():
    shadows = Shadows(Mesh([quad((-9, 9, 0), (18, 0, 0), (0, -18, 0), grey)]).scene, np.random.default_rng(0))
    points = np.float32([[0, 0, 0.01], [2, 0, 0.01]])
    up = np.float32([[0, 0, 1]] * 2)
    lamp = Lamp((0, 0, 2.01), (3, 2, 1), radius=0.0)
    expected = np.array([1 / 4, 2 / np.sqrt(8) / 8])[:, None] * (3, 2, 1)
    np.testing.assert_allclose(shadows.lamp_light(lamp, points, up, 1), expected, rtol=1e-4)
    turned_away = Lamp((0, 0, 2.01), (3, 2, 1), facing=(0, 0, 1), radius=0.0)
    assert (shadows.lamp_light(turned_away, points, up, 1) == 0).all()


def test_a_closed_white_room_fills_with_its_own_light():
    """In a closed room of albedo a whose walls give off e, light after two bounces is a e (1 + a) everywhere."""
    room = [*box((-1, -1, -1), (1, 1, 1), grey, emission=0.5)]
    room = [type(p)(p.grid[:, ::-1], p.material, p.detail, p.emission) for p in room]  # faces turned inwards
    mesh = Mesh(room)
    light = Light(Key((0, 0, 1), (0, 0, 0)))
    _, radiosity = bake(room, mesh, light, Resolution(20, 6, 6, 64, 1), 0)
    a = GREY**2
    points = np.float32([[0, 0, 0], [0.3, -0.2, 0.5]])
    arriving = radiosity.arriving(points, np.float32([[0, 0, 1], [1, 0, 0]]))
    once_more = a * (a * 0.5 * (1 + a) + 0.5)
    np.testing.assert_allclose(arriving, once_more, rtol=0.01)


def test_the_sky_reaches_what_nothing_covers():
    pieces = [quad((-2, 2, 0), (4, 0, 0), (0, -4, 0), grey)]
    light = Light(Key((0, 0, 1), (0, 0, 0)), (), lambda d: np.full_like(d, 0.8))
    _, radiosity = bake(pieces, Mesh(pieces), light, Resolution(10, 2, 2, 64, 1), 0)
    up = radiosity.arriving(np.float32([[0, 0, 0.5]]), np.float32([[0, 0, 1]]))
    np.testing.assert_allclose(up, 0.8, rtol=1e-5)


def test_directions_follow_the_cosine():
    directions = cosine_directions(4096)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-5)
    assert directions[:, 2].mean() == pytest.approx(2 / 3, abs=0.01)
    np.testing.assert_allclose(directions[:, :2].mean(0), 0, atol=0.01)


def test_frames_are_rotations_around_their_normal():
    normals = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    normals = np.concatenate([normals, [[0, 0, 1], [0, 0, -1], [1, 0, 0]]]).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    frames = frames_of(normals)
    np.testing.assert_allclose(frames.transpose(0, 2, 1) @ frames, np.tile(np.eye(3), (len(normals), 1, 1)), atol=1e-5)
    np.testing.assert_allclose(frames[..., 2], normals)
    np.testing.assert_allclose(np.linalg.det(frames), 1, atol=1e-5)


def test_display_keeps_order_and_range():
    x = np.linspace(0, 40, 500, dtype=np.float32)
    shown = display(x.copy())
    assert (np.diff(shown) >= 0).all() and shown[0] == 0 and shown[-1] == 1
    assert shown[np.searchsorted(x, 1.0)] == pytest.approx(np.sqrt((1 + 1 / 9) / 2), abs=0.02)


def test_the_table_leads_from_a_hit_to_its_texel():
    pieces = [quad((0, 0, 2), (4, 0, 0), (0, 0, -2), grey)]
    mesh = Mesh(pieces)
    atlas, _ = bake(pieces, mesh, Light(Key((0, -1, 0), (1, 1, 1))), Resolution(10, 2, 2, 8, 1), 0)
    table = atlas_table(mesh, atlas.slots, pieces)
    rays = np.float32([[1, -5, 0.5, 0, 1, 0], [3.5, -5, 1.75, 0, 1, 0]])
    _, triangle, bary, _ = mesh.cast(rays)
    row = table[triangle]
    x = row[:, 0] + bary[:, 0] * row[:, 2] + bary[:, 1] * row[:, 4] - atlas.slots.x[0]
    y = row[:, 1] + bary[:, 0] * row[:, 3] + bary[:, 1] * row[:, 5] - atlas.slots.y[0]
    np.testing.assert_allclose(x, [10, 35], atol=1e-3)
    np.testing.assert_allclose(y, [15, 2.5], atol=1e-3)
    np.testing.assert_allclose(row[:, 6], np.log2(10), atol=1e-3)
