from __future__ import annotations

import numpy as np
import pytest

from worldloom.catalogs.cameras import project
from worldloom.train.crop import crop_for


@pytest.mark.parametrize("size", [(48, 64), (37, 91), (100, 33), (32, 32)])
def test_a_point_stays_where_it_is_in_the_picture(size: tuple[int, int]) -> None:
    """A pixel of the crop shows what the stored pixels under it show, as the intrinsics say."""
    height, width = size
    crop = crop_for(height, width, (32, 32))
    assert crop is not None
    intrinsics = np.array([50.0, 60.0, width * 0.45, height * 0.55])
    points = np.random.default_rng(0).uniform([-0.5, -0.5, 2], [0.5, 0.5, 4], (50, 3))
    stored, _ = project(points, np.eye(4), intrinsics)
    cropped, _ = project(points, np.eye(4), crop.intrinsics(intrinsics))
    scale = np.array([crop.scaled[1] / width, crop.scaled[0] / height])
    np.testing.assert_allclose(cropped, stored * scale - np.array(crop.corner)[::-1], atol=1e-9)
    assert min(crop.scaled[0] - 32, crop.scaled[1] - 32) == 0


def test_a_bright_square_lands_where_the_intrinsics_say() -> None:
    height, width = 120, 200
    crop = crop_for(height, width, (48, 64))
    assert crop is not None
    intrinsics = np.array([100.0, 100.0, 100.0, 60.0])
    point = np.array([[0.3, -0.1, 1.0]])
    (u, v), _ = (value[0] for value in project(point, np.eye(4), intrinsics))
    picture = np.zeros((1, height, width, 3), np.uint8)
    picture[0, int(v) - 3 : int(v) + 3, int(u) - 3 : int(u) + 3] = 255  # its centre is exactly (u, v)
    found = crop.pictures(picture)[0, :, :, 0].astype(float)
    rows, columns = np.indices(found.shape) + 0.5
    centre = np.array([(found * columns).sum(), (found * rows).sum()]) / found.sum()
    expected, _ = project(point, np.eye(4), crop.intrinsics(intrinsics))
    np.testing.assert_allclose(centre, expected[0], atol=0.05)


def test_the_own_size_is_cut_to_multiples_of_16() -> None:
    crop = crop_for(37, 70, None)
    assert crop is not None
    assert (crop.size, crop.scaled, crop.corner) == ((32, 64), (37, 70), (2, 3))
    picture = np.random.default_rng(0).integers(0, 255, (2, 37, 70, 3), np.uint8)
    np.testing.assert_array_equal(crop.pictures(picture), picture[:, 2:34, 3:67])


def test_pictures_are_never_made_larger() -> None:
    assert crop_for(31, 100, (32, 32)) is None
    assert crop_for(15, 100, None) is None
