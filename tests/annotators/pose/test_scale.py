from __future__ import annotations

import numpy as np

from tests.annotators.pose.scenes import arc, cloud, model_of, tracks_of
from worldloom.annotators.pose.scale import scale_breaks
from worldloom.annotators.pose.tracks import Tracks


def test_one_scene_seen_throughout_has_one_scale() -> None:
    c2w = arc(20)
    points = cloud(1200)
    assert scale_breaks(model_of(points, c2w, tracks_of(points, c2w), list(range(20)))) == []


def test_two_scenes_with_nothing_in_common_have_two_scales() -> None:
    c2w = arc(20)
    points = cloud(1200)
    tracks = tracks_of(points, c2w)
    left = [ids[ids % 2 == 0] if t < 12 else ids[ids % 2 == 1] for t, ids in enumerate(tracks.ids)]
    xy = [tracks.xy[t][np.isin(tracks.ids[t], ids)] for t, ids in enumerate(left)]
    cut = Tracks(left, xy, tracks.count)
    assert scale_breaks(model_of(points, c2w, cut, list(range(20)))) == [11]


def test_a_few_points_that_both_sides_see_from_two_places_tie_the_scales() -> None:
    c2w = arc(20)
    points = cloud(1200)
    tracks = tracks_of(points, c2w)
    always = np.flatnonzero(np.all([np.isin(np.arange(1200), ids) for ids in tracks.ids], axis=0))[:20]
    assert len(always) == 20
    kept = [ids[(ids % 2 == (0 if t < 12 else 1)) | np.isin(ids, always)] for t, ids in enumerate(tracks.ids)]
    cut = Tracks(kept, [tracks.xy[t][np.isin(tracks.ids[t], ids)] for t, ids in enumerate(kept)], tracks.count)
    assert scale_breaks(model_of(points, c2w, cut, list(range(20)))) == []
