"""Materials: deterministic, within range, and never periodic."""

from __future__ import annotations

import numpy as np
import pytest

from worldloom.synth.materials import fabrics, ground, pictures, walls, wood
from worldloom.synth.materials.noise import Sheet, flecks, fractal, plain, shades_of, vary

RED, BLUE = (0.7, 0.3, 0.2), (0.2, 0.3, 0.6)

MATERIALS = {
    "plaster": walls.plaster(RED),
    "wallpaper": walls.wallpaper(RED, [BLUE, RED]),
    "brick": walls.red_brick(),
    "rubble": walls.rubble([RED, BLUE], (0.3, 0.3, 0.3)),
    "tiles": walls.painted_tiles([BLUE], RED),
    "wood": wood.wood(RED),
    "upright wood": wood.wood(RED, upright=True),
    "planks": wood.planks(RED),
    "asphalt": ground.asphalt(),
    "paving": ground.paving([RED], (0.5, 0.4)),
    "gravel": ground.gravel(),
    "grass": ground.grass(),
    "bark": ground.bark(),
    "foliage": ground.foliage((0.3, 0.5, 0.2)),
    "water": ground.water(),
    "roof": ground.roof_tiles(),
    "cloth": fabrics.cloth(RED),
    "stripes": fabrics.stripes([RED, BLUE]),
    "plaid": fabrics.plaid([RED, BLUE]),
    "printed": fabrics.printed(RED, [BLUE]),
    "rug": fabrics.rug([RED, BLUE, RED]),
    "painted": fabrics.painted(RED),
    "leather": fabrics.leather(RED),
    "bookshelf": pictures.bookshelf(RED),
    "landscape": pictures.landscape(),
    "abstract": pictures.abstract(),
    "poster": pictures.poster(),
    "sign": pictures.sign("BOOKS", RED, BLUE),
    "window": pictures.window(RED),
    "door": pictures.panelled_door(RED),
}


def sheet(seed: int = 0, height: int = 160, width: int = 240) -> Sheet:
    return Sheet(height, width, (width / 80, height / 80), np.random.default_rng(seed))


@pytest.mark.parametrize("name", MATERIALS)
def test_a_material_fills_its_sheet_and_follows_its_seed(name):
    picture = MATERIALS[name](sheet())
    assert picture.shape == (160, 240, 3) and picture.dtype == np.float32
    assert np.isfinite(picture).all() and picture.min() > -0.5 and picture.max() < 1.5
    assert picture.std() > 0.01
    assert np.array_equal(picture, MATERIALS[name](sheet()))
    if name != "sign":
        assert not np.array_equal(picture, MATERIALS[name](sheet(1)))


@pytest.mark.parametrize("name", MATERIALS)
@pytest.mark.parametrize("size", [(6, 6), (6, 300), (200, 7)])
def test_a_material_paints_odd_sheets(name, size):
    picture = MATERIALS[name](Sheet(*size, (size[1] / 50, size[0] / 50), np.random.default_rng(3)))
    assert picture.shape == (*size, 3)


@pytest.mark.parametrize("name", ["wallpaper", "brick", "planks", "paving", "tiles", "roof", "bookshelf", "gravel"])
def test_no_shift_of_a_surface_looks_like_itself(name):
    """Autocorrelation far from zero shift stays small: a repeat would mislead the matching of features."""
    picture = MATERIALS[name](sheet(5, 256, 256)).mean(-1)
    picture = picture - picture.mean()
    spectrum = np.abs(np.fft.fft2(picture)) ** 2
    correlation = np.fft.ifft2(spectrum).real
    correlation /= correlation[0, 0]
    y, x = np.meshgrid(np.fft.fftfreq(256) * 256, np.fft.fftfreq(256) * 256, indexing="ij")
    both_ways = (np.abs(x) > 12) & (np.abs(y) > 12)  # courses are level: a shift along them alone may look alike
    assert np.abs(correlation[both_ways]).max() < 0.45


def test_noise_has_every_scale():
    field = fractal(Sheet(256, 256, (4.0, 4.0), np.random.default_rng(0)), 1.0, 0.9)
    assert abs(field.mean()) < 0.35 and 0.6 < field.std() < 1.4
    fine = np.diff(field, axis=1).std()
    coarse = (field[:, 32:] - field[:, :-32]).std()
    assert 0.2 < fine < coarse


def test_flecks_are_as_many_as_asked():
    paper = sheet(0, 400, 400)
    white = plain(paper, (1, 1, 1))
    flecks(paper, white, 12, (0.06, 0.061), [(0, 0, 0)])
    covered = (white.mean(-1) < 0.5).mean()
    assert covered == pytest.approx(1 - np.exp(-12 * np.pi * 0.06**2), rel=0.35)


def test_shades_stay_near_their_colour():
    rng = np.random.default_rng(0)
    shades = np.array(shades_of(rng, [RED, BLUE], 0.2, 64))
    assert np.abs(shades[::2] - RED).max() <= 0.7 * 0.28
    assert np.abs(shades[1::2] - BLUE).max() <= 0.6 * 0.28
    assert len({vary(rng, RED, 0.2) for _ in range(9)}) == 9
