from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import cv2
import numpy as np
import pytest

from worldloom.annotators.fingerprint import motion_words, sight_words
from worldloom.pipeline.copies import CROPPED, SYMMETRIES, Fingerprints, Match, Words, find_copies
from worldloom.pipeline.likeness import Likeness
from worldloom.pipeline.near_hashes import near_pairs, reordered, steady_bits, tables

RATE = 4.0


def panorama(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.standard_normal((rows, 4 * rows)).astype(np.float32), (320, 80)) for rows in (4, 8, 16)]
    return np.asarray(128 + sum(layer * 50 / 2**k for k, layer in enumerate(layers)), np.float32)


def walk(seed: int, start_s: float = 0.0, stop_s: float = 8.0, speed: float = 1.0) -> np.ndarray:
    """(n, 80, 80) luma of a pan along a panorama, 20 pixels per second at speed 1."""
    wall = panorama(seed)
    times = np.arange(start_s, stop_s, speed / RATE)
    return np.stack([wall[:, round(20 * t) : round(20 * t) + 80] for t in times])


def words(pictures: np.ndarray) -> Words:
    small = np.stack([cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in pictures])
    edge = round(0.075 * pictures.shape[1])
    inner = pictures[:, edge : pictures.shape[1] - edge, edge : pictures.shape[2] - edge]
    inside = np.stack([cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in inner])
    return Words(sight_words(small), sight_words(inside), motion_words(small, 6.0), RATE)


def matched(*clips: np.ndarray, rules: Likeness | None = None, source: list[int] | None = None) -> list[Match]:
    files = None if source is None else np.array(source)
    return find_copies(Fingerprints.of([words(one) for one in clips], files), rules or Likeness())


def only(matches: list[Match]) -> Match:
    assert len(matches) == 1
    return matches[0]


def test_a_clip_is_a_copy_of_itself_and_of_no_other():
    match = only(matched(walk(0), walk(1), walk(0), walk(2)))
    assert (match.first, match.second, match.symmetry, match.cropped, match.speed) == (0, 2, "same", "", 1.0)
    assert (match.offset_s, match.share_first, match.share_second, match.distance) == (0.0, 1.0, 1.0, 0.0)


def test_a_trimmed_copy_says_where_it_begins_and_how_much_there_is():
    match = only(matched(walk(0, 3.125, 7), walk(0)))
    assert match.offset_s == pytest.approx(3.125, abs=0.26)
    assert match.share_first == 1.0
    assert match.share_second == pytest.approx(0.5, abs=0.04)


def test_clips_that_overlap_at_their_ends_are_found_from_two_seconds_on():
    match = only(matched(walk(0, 0, 5), walk(0, 2, 8)))
    assert match.offset_s == -2.0
    assert match.share_first == 0.6 and match.share_second == 0.5
    assert matched(walk(0, 0, 5), walk(0, 3.75, 8)) == []
    assert matched(walk(0, 0, 5), walk(0, 2, 8), rules=Likeness(least_s=4)) == []


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
def test_another_speed_is_found(speed):
    match = only(matched(walk(0), walk(0, speed=speed)))
    assert match.speed == pytest.approx(1 / speed, rel=0.15)
    assert match.share_first > 0.7


def test_a_reversed_clip_is_found():
    assert only(matched(walk(0), walk(0)[::-1])).speed == -1.0


TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": lambda f: f[:, :, ::-1],
    "turned by 180": lambda f: f[:, ::-1, ::-1],
    "turned by 90": lambda f: np.rot90(f, -1, (1, 2)),
    "turned by 270": lambda f: np.rot90(f, 1, (1, 2)),
    "mirrored and turned by 180": lambda f: f[:, ::-1],
}


@pytest.mark.parametrize("name", TURNS)
def test_every_symmetry_is_found_by_its_name_and_only_where_asked_for(name):
    clips = walk(0), np.ascontiguousarray(TURNS[name](walk(0)))
    assert only(matched(*clips, rules=Likeness(turned=True))).symmetry == name
    assert [one.symmetry for one in matched(*clips)] == (["mirrored"] if name == "mirrored" else [])
    assert matched(*clips, rules=Likeness(mirrored=False)) == []


@pytest.mark.parametrize("symmetry", SYMMETRIES, ids=lambda one: one.name)
def test_the_word_of_a_turned_picture_is_computed_from_the_word(symmetry):
    def turn(pictures: np.ndarray) -> np.ndarray:
        if symmetry.transposed:
            pictures = pictures.transpose(0, 2, 1)
        return pictures[:, :: -1 if symmetry.flip_y else 1, :: -1 if symmetry.flip_x else 1]

    small = np.random.default_rng(0).integers(0, 255, (20, 32, 32)).astype(np.uint8)
    turned = np.ascontiguousarray(turn(small))
    np.testing.assert_array_equal(symmetry.sight(sight_words(small)), sight_words(turned))
    np.testing.assert_array_equal(symmetry.motion(motion_words(small, 6.0)), motion_words(turned, 6.0))
    assert symmetry.sight(np.zeros(1, np.uint64)).tolist() == [0], "no detail stays no detail"


def test_a_copy_of_the_middle_is_found_and_says_which_one_it_is():
    whole = walk(0)
    match = only(matched(whole, whole[:, 6:74, 6:74]))
    assert match.cropped == "second" and match.cropped in CROPPED
    assert only(matched(whole[:, 6:74, 6:74], whole)).cropped == "first"
    assert matched(whole, whole[:, 12:68, 12:68], rules=Likeness(cropped=False)) == []


def test_neighbours_on_one_walk_are_no_copies():
    assert matched(walk(0, 0, 4), walk(0, 4, 8)) == []
    slow = np.stack([panorama(0)[:, round(6 * t) : round(6 * t) + 80] for t in np.arange(0, 8, 1 / RATE)])
    assert matched(slow[:16], slow[16:]) == []


def fixed(seed: int, visitor: int | None, seconds: float = 8.0) -> np.ndarray:
    """A camera that stands; somebody walks through, along a way of their own."""
    rng = np.random.default_rng(visitor)
    background = panorama(seed)[:, :80]
    frames = np.repeat(background[None], round(seconds * RATE), axis=0)
    if visitor is not None:
        x, y, step = rng.integers(0, 40), rng.integers(10, 60), rng.uniform(1, 2.5) * rng.choice([-1, 1])
        for number, frame in enumerate(frames):
            left = int(x + step * number) % 72
            frame[y : y + 14, left : left + 8] = 250
    return frames


def test_a_fixed_camera_is_told_apart_by_what_moves():
    clips = [fixed(0, visitor) for visitor in (1, 2, 3)]
    assert matched(*clips) == []
    late = clips[1][5:]
    match = only(matched(*clips, late))
    assert (match.first, match.second) == (1, 3)
    assert match.offset_s == pytest.approx(-5 / RATE)


def test_two_stretches_of_one_file_need_more_than_a_view_that_stays():
    empty = fixed(0, None)
    assert len(matched(empty, empty)) == 1
    assert matched(empty, empty, source=[7, 7]) == []
    assert len(matched(walk(0), walk(0), source=[7, 7])) == 1, "a scene that is shown twice is there twice"
    assert matched(walk(0), walk(0)[:, :, ::-1], source=[7, 7]) == []


def test_clips_without_detail_match_nothing():
    nothing = Words(*(np.zeros(20, np.uint64) for _ in range(3)), RATE)
    assert find_copies(Fingerprints.of([nothing, nothing, words(walk(0))]), Likeness()) == []
    assert find_copies(Fingerprints.of([]), Likeness()) == []


def test_other_sampling_rates_are_compared_in_seconds():
    half = words(walk(0))
    every_second = Words(half.sight[::2], half.inner[::2], half.motion[::2], RATE / 2)
    match = only(find_copies(Fingerprints.of([half, every_second]), Likeness()))
    assert match.speed == 1.0 and match.share_first > 0.95


def test_the_order_of_the_clips_does_not_matter():
    clips = [walk(0), walk(1), walk(0, 2, 8), walk(0)[:, :, ::-1], walk(2), walk(1, speed=1.25)]
    pairs = {(match.first, match.second) for match in matched(*clips)}
    back = {(5 - match.second, 5 - match.first) for match in matched(*clips[::-1])}
    assert pairs == back == {(0, 2), (0, 3), (2, 3), (1, 5)}


def test_bits_are_reordered_as_told():
    rng = np.random.default_rng(0)
    some = rng.integers(0, 2**64, 30, dtype=np.uint64)
    order = rng.permutation(64)
    bits = np.array([[int(word) >> (63 - place) & 1 for place in range(64)] for word in some.tolist()])
    weights = 1 << np.arange(63, -1, -1, dtype=object)
    assert reordered(some, order).tolist() == (bits[:, order].astype(object) * weights).sum(axis=1).tolist()


def test_tables_begin_with_steady_bits_and_never_with_the_mean():
    steady = set(steady_bits().tolist())
    assert 0 not in steady and len(steady) == 44
    for order in tables():
        assert sorted(order.tolist()) == list(range(64))
        assert set(order[:20].tolist()) <= steady


def test_near_words_are_found_as_all_against_all_finds_them():
    rng = np.random.default_rng(0)
    words = rng.integers(1, 2**63, 3000, dtype=np.uint64)
    for a in range(0, 600, 2):
        words[a + 1] = words[a]
        for bit in rng.choice(63, 2, replace=False):
            words[a + 1] ^= np.uint64(1) << np.uint64(bit)
    found = {
        tuple(sorted(pair))
        for query, anchor in near_pairs(words, words, 3)
        for pair in zip(query.tolist(), anchor.tolist(), strict=True)
        if pair[0] != pair[1]
    }
    true = {(a, b) for a, b in combinations(range(700), 2) if (int(words[a]) ^ int(words[b])).bit_count() <= 3}
    assert found >= set() and found <= true | {pair for pair in found if max(pair) >= 700}
    assert len(found & true) >= 0.97 * len(true) and len(true) >= 300


def test_a_view_shared_by_thousands_costs_a_bounded_number_of_comparisons():
    words = np.full(5000, 12345, np.uint64)
    compared = sum(len(query) for query, _ in near_pairs(words, words, 0))
    assert compared <= 5000 * 64 * len(tables())
