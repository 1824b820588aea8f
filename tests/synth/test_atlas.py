"""The atlas: charts do not touch, reading gives back what was stored, small copies are means."""

from __future__ import annotations

import numpy as np

from worldloom.synth.atlas import LEVELS, Atlas, pack


def test_charts_do_not_overlap():
    rng = np.random.default_rng(1)
    sizes = rng.integers(6, 150, (300, 2))
    slots = pack(sizes, 1024)
    taken = np.zeros((slots.atlas_height, slots.atlas_width), int)
    for x, y, w, h in zip(slots.x, slots.y, slots.width, slots.height, strict=True):
        taken[y - 4 : y + h + 4, x - 4 : x + w + 4] += 1
    assert taken.max() == 1
    assert taken.sum() == ((sizes + 8).prod(1)).sum()
    assert taken.mean() > 0.6


def atlas_of(picture: np.ndarray) -> Atlas:
    atlas = Atlas(pack(np.array([picture.shape[1::-1]]), 256))
    atlas.store(0, picture)
    atlas.finish()
    return atlas


def test_reading_at_texel_centres_gives_the_texels():
    picture = np.random.default_rng(2).integers(0, 255, (40, 60, 4), np.uint8)
    atlas = atlas_of(picture)
    x, y = np.meshgrid(np.arange(60) + 0.5, np.arange(40) + 0.5)
    origin = atlas.slots.x[0], atlas.slots.y[0]
    read = atlas.sample(
        (x + origin[0]).astype(np.float32), (y + origin[1]).astype(np.float32), np.zeros_like(x, np.float32)
    )
    assert np.array_equal(read, picture)
    assert np.array_equal(atlas.read(0), picture)


def test_small_copies_are_means_and_blend():
    ramp = np.repeat(np.linspace(0, 255, 128).astype(np.uint8)[None, :, None], 64, 0).repeat(4, 2)
    atlas = atlas_of(ramp)
    x = np.float32([[64 + atlas.slots.x[0]]])
    y = np.float32([[32 + atlas.slots.y[0]]])
    for level in np.linspace(0, LEVELS - 2, 9, dtype=np.float32):
        for blend in (True, False):
            assert abs(int(atlas.sample(x, y, np.float32([[level]]), blend)[0, 0, 0]) - 127) < 8


def test_the_margin_repeats_the_edge():
    picture = np.full((20, 20, 4), 200, np.uint8)
    atlas = atlas_of(picture)
    edge = np.float32([[atlas.slots.x[0]]]), np.float32([[atlas.slots.y[0] + 10]])
    assert (atlas.sample(*edge, np.float32([[0.0]])) == 200).all()
    assert (atlas.sample(*edge, np.float32([[2.0]])) > 190).all()
