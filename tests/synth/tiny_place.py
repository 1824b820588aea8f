"""A place that is painted and lit in a moment: a walled court with a pillar."""

from __future__ import annotations

import numpy as np

from worldloom.synth.bake import Resolution
from worldloom.synth.geometry import Piece, placed
from worldloom.synth.light import Key, Light
from worldloom.synth.materials.ground import gravel
from worldloom.synth.materials.walls import red_brick, wallpaper
from worldloom.synth.objects.plants import bush
from worldloom.synth.shapes import box, quad
from worldloom.synth.world import Place

NAME = "court"
ENTRY = "tests.synth.tiny_place:court"
"""What `PLACES` holds for it while a test of this folder runs."""
HALF = 5.0


def court(rng: np.random.Generator) -> Place:
    """Four walls, a floor, a brick pillar at (0, 1.5) that a person can hide behind, and a bush."""
    wall = wallpaper((0.8, 0.75, 0.6), [(0.3, 0.45, 0.3), (0.8, 0.4, 0.3)])
    h, x = 3.0, HALF
    pieces: list[Piece] = [
        quad((-x, x, 0), (2 * x, 0, 0), (0, -2 * x, 0), gravel()),
        quad((-x, x, h), (2 * x, 0, 0), (0, 0, -h), wall),
        quad((x, -x, h), (-2 * x, 0, 0), (0, 0, -h), wall),
        quad((x, x, h), (0, -2 * x, 0), (0, 0, -h), wall),
        quad((-x, -x, h), (0, 2 * x, 0), (0, 0, -h), wall),
        *box((-0.7, 1.2, 0), (0.7, 1.8, 2.6), red_brick()),
        *placed(bush(rng, 0.5, (0.3, 0.5, 0.2)), (-3.5, 3.5, 0)),
    ]

    def sky(directions: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.float32([[0.4, 0.5, 0.7]]), directions.shape)

    return Place(
        name="a court",
        pieces=pieces,
        light=Light(Key((-0.5, -0.4, 0.8), (2.0, 1.9, 1.7)), (), sky, 1.0, (0.05, 0.05, 0.05)),
        area=(-x, -x, x, x),
        inside=(0.0, -2.0),
        resolution=Resolution(texels_per_m=40, light_per_m=2, key_per_m=6, gather=24, key_samples=2),
        backdrop=lambda sheet: np.full((sheet.height, sheet.width, 3), 0.7, np.float32),
        sights=((0.0, 4.0),),
    )
