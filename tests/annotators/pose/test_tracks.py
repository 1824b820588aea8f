from __future__ import annotations

import cv2
import numpy as np

from tests.annotators.textured_room import texture
from worldloom.annotators.pose.tracks import TrackRules, follow


def shifted(dx: float, dy: float) -> np.ndarray:
    picture = cv2.cvtColor(texture(1, False), cv2.COLOR_RGB2GRAY)
    moved = cv2.warpAffine(picture, np.array([[1, 0, dx], [0, 1, dy]], np.float64), (480, 480), flags=cv2.INTER_CUBIC)
    return moved[100:300, 100:400]


def test_points_follow_a_moving_picture_below_a_pixel() -> None:
    tracks = follow([shifted(1.3 * t, -0.7 * t) for t in range(8)], TrackRules())
    _, first, last = tracks.shared(0, 7)
    assert len(first) > 100
    np.testing.assert_allclose(np.median(last - first, axis=0), [9.1, -4.9], atol=0.05)
    assert np.percentile(np.linalg.norm(last - first - [9.1, -4.9], axis=1), 90) < 0.2


def test_ids_are_sorted_and_each_belongs_to_one_point() -> None:
    tracks = follow([shifted(4 * t, 0) for t in range(10)], TrackRules())
    for ids, xy in zip(tracks.ids, tracks.xy, strict=True):
        assert len(ids) == len(xy) <= TrackRules().max_points
        assert np.all(np.diff(ids) > 0) and ids.max() < tracks.count


def test_a_cut_ends_every_track() -> None:
    rng = np.random.default_rng(0)
    other = cv2.resize(rng.integers(0, 255, (50, 75)).astype(np.uint8), (300, 200), interpolation=cv2.INTER_CUBIC)
    tracks = follow([shifted(0, 0), shifted(1, 0), other], TrackRules())
    assert len(tracks.shared(0, 1)[0]) > 100
    assert len(tracks.shared(1, 2)[0]) < 0.05 * len(tracks.ids[1])


def test_flat_pictures_hold_no_points() -> None:
    tracks = follow([np.full((120, 160), 90, np.uint8)] * 3, TrackRules())
    assert [len(ids) for ids in tracks.ids] == [0, 0, 0]
