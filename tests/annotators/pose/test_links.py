from __future__ import annotations

import numpy as np

from tests.annotators.pose.scenes import SIZE, arc, cloud, tracks_of
from tests.annotators.pose.sequences import gray, pictures
from worldloom.annotators.pose.links import Features, LinkRules, choose_keyframes, describe, link, match
from worldloom.annotators.pose.tracks import Tracks


def test_a_shuffled_copy_is_matched_back() -> None:
    rng = np.random.default_rng(0)
    rows = np.rint(rng.uniform(0, 80, (200, 128))).astype(np.float32)
    order = rng.permutation(200)
    a, b = Features(np.zeros((200, 2), np.float32), rows), Features(np.zeros((200, 2), np.float32), rows[order])
    found = match(a, b, 0.8)
    np.testing.assert_array_equal(order[found[:, 1]], found[:, 0])
    assert len(found) == 200


def test_matches_of_real_pictures_agree_with_opencv() -> None:
    import cv2

    first, second = describe(gray(pictures("walk")[0])[:6:5], LinkRules())
    ours = {tuple(row) for row in match(first, second, 0.8)}
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    there = matcher.knnMatch(first.descriptors, second.descriptors, k=2)
    back = matcher.match(second.descriptors, first.descriptors)
    theirs = {
        (m.queryIdx, m.trainIdx)
        for m, n in there
        if m.distance < 0.8 * n.distance and back[m.trainIdx].trainIdx == m.queryIdx
    }
    assert len(ours) > 40 and ours == theirs


def test_key_frames_hold_both_ends_and_keep_to_their_number() -> None:
    tracks = tracks_of(cloud(2000), arc(80, step=0.05))
    for most in (60, 20, 6):
        chosen = choose_keyframes(tracks, SIZE[0], LinkRules(max_keyframes=most, min_keyframes=5))
        assert chosen[0] == 0 and chosen[-1] == 79 and len(chosen) <= most
        assert np.all(np.diff(chosen) > 0)


def test_a_standing_stretch_gets_no_key_frames() -> None:
    c2w = arc(30, step=0.08)
    c2w[10:20] = c2w[10]
    chosen = choose_keyframes(tracks_of(cloud(1000), c2w), SIZE[0], LinkRules(min_keyframes=2))
    assert not [frame for frame in chosen if 12 <= frame <= 18]


def test_rows_of_links_point_at_tracks_first_and_features_behind_them() -> None:
    frames = gray(pictures("walk")[0])[:8]
    tracks = tracks_of(cloud(60), arc(8))  # too few to do without features
    features = describe(frames, LinkRules())
    links = link(tracks, list(range(8)), features, LinkRules())
    rows = links[0, 1]
    limit = [len(tracks.ids[k]) + len(features[k].xy) for k in (0, 1)]
    assert rows.min() >= 0 and np.all(rows.max(axis=0) < limit)
    by_track = rows[rows[:, 0] < len(tracks.ids[0])]
    np.testing.assert_array_equal(tracks.ids[0][by_track[:, 0]], tracks.ids[1][by_track[:, 1]])
    assert np.all(rows[len(by_track) :, 1] >= len(tracks.ids[1]))


def test_of_many_pairs_that_look_alike_the_most_alike_are_matched() -> None:
    frames = gray(pictures("stand")[0])[:10]
    features = describe(frames, LinkRules())
    lost = Tracks([np.zeros(0, np.int64)] * 10, [np.zeros((0, 2), np.float32)] * 10, 0)  # no track joins anything
    every = link(lost, list(range(10)), features, LinkRules())
    some = link(lost, list(range(10)), features, LinkRules(most_alike=5))
    far = [pair for pair in some if pair[1] - pair[0] > 3 and len(some[pair])]
    assert len(every) == 45 and len(far) == 5
    alike = {(i, j): len(match(features[i], features[j], 0.8, 300)) for i, j in every if j - i > 3}
    assert min(alike[pair] for pair in far) >= max(n for pair, n in alike.items() if pair not in far)
    assert all(np.array_equal(some[pair], every[pair]) for pair in far)
