from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.annotators.moving_camera import clip_of
from worldloom.annotators.annotator import Absent, Given
from worldloom.annotators.borders import Borders, find_borders
from worldloom.annotators.fingerprint import (
    FingerprintAnnotator,
    from_text,
    motion_words,
    packed,
    sample_times,
    sight_words,
    to_text,
)


def scenery(seed: int, height: int = 96, width: int = 160) -> np.ndarray:
    """Blots of all sizes, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.integers(0, 255, (rows, 2 * rows, 3)).astype(np.float32), (width, height)) for rows in (3, 6, 12)
    ]
    return np.clip(sum(layers) / 2 - 60, 0, 255).astype(np.uint8)


def words(pictures: list[np.ndarray], folder: Path, name: str = "sight") -> np.ndarray:
    folder.mkdir(exist_ok=True)
    answer = FingerprintAnnotator().annotate(clip_of(pictures, folder), folder)
    assert isinstance(answer, Given)
    return from_text(answer.notes[name])


def test_sight_bits_are_the_signs_of_a_cosine_transform_written_out():
    small = np.random.default_rng(0).integers(0, 255, (1, 32, 32)).astype(np.uint8)
    x = np.arange(32) + 0.5
    word = int(sight_words(small)[0])
    for v in range(8):
        for u in range(8):
            wave = np.cos(np.pi * v * x / 32)[:, None] * np.cos(np.pi * u * x / 32)[None]
            expected = (u or v) and (small[0] * wave).sum() > 0
            assert bool(word >> (63 - 8 * v - u) & 1) == bool(expected), (v, u)


def test_words_survive_their_text_and_a_text_cut_short_is_refused():
    some = np.random.default_rng(0).integers(0, 2**64, 50, dtype=np.uint64)
    np.testing.assert_array_equal(from_text(to_text(some)), some)
    assert len(from_text("")) == 0
    with pytest.raises(ValueError, match="64-bit"):
        from_text("AAAA")


def test_the_first_bit_is_the_highest():
    bits = np.zeros((2, 64), bool)
    bits[0, 0] = bits[1, 63] = True
    assert packed(bits).tolist() == [1 << 63, 1]


@pytest.mark.parametrize("fps", [10, 16, 24, 29.97, 60])
def test_samples_lie_at_the_same_seconds_at_any_frame_rate(fps):
    frames, rate = sample_times(round(6 * fps), fps, 4.0, 480)
    assert rate == 4.0
    assert np.abs(frames / fps - np.arange(len(frames)) / 4).max() <= 0.5 / fps + 1e-9
    assert frames[-1] < 6 * fps


def test_long_clips_are_sampled_at_half_the_rate_and_a_single_frame_once():
    frames, rate = sample_times(10_000, 20, 4.0, 480)
    assert rate == 0.5 and len(frames) <= 480
    assert sample_times(1, 16, 4.0, 480)[0].tolist() == [0]


def test_a_copy_in_bad_quality_smaller_and_boxed_has_nearly_the_same_words(tmp_path):
    pictures = [scenery(0)[:, 2 * i : 2 * i + 120] for i in range(17)]
    first = words(pictures, tmp_path / "a")
    boxed = [np.pad(cv2.resize(one, (80, 64)), ((16, 16), (0, 0), (0, 0))) for one in pictures]
    assert np.bitwise_count(first ^ words(boxed, tmp_path / "b")).max() <= 6
    darker = [(one * 0.7).astype(np.uint8) for one in pictures]
    assert np.bitwise_count(first ^ words(darker, tmp_path / "c")).max() <= 4
    other = [scenery(1)[:, 2 * i : 2 * i + 120] for i in range(17)]
    assert np.bitwise_count(first ^ words(other, tmp_path / "d")).min() >= 16


def test_the_middle_of_a_picture_has_the_word_of_the_cropped_one(tmp_path):
    pictures = [scenery(0)[:, 2 * i : 2 * i + 120] for i in range(9)]
    cut = [one[8:88, 10:110] for one in pictures]
    inner, whole = words(pictures, tmp_path / "a", "inner"), words(cut, tmp_path / "b")
    assert np.bitwise_count(inner ^ whole).mean() <= 8


def test_black_and_grey_clips_have_no_fingerprint_and_a_fade_has_one_of_its_seen_part(tmp_path):
    for luma in (0, 128):
        folder = tmp_path / str(luma)
        folder.mkdir()
        answer = FingerprintAnnotator().annotate(clip_of([np.full((64, 96, 3), luma, np.uint8)] * 20, folder), folder)
        assert isinstance(answer, Absent) and answer.reason == "no detail"
    faded = [(scenery(0) * max(0.0, 1 - i / 16)).astype(np.uint8) for i in range(33)]
    (tmp_path / "fade").mkdir()
    answer = FingerprintAnnotator().annotate(clip_of(faded, tmp_path / "fade"), tmp_path)
    assert isinstance(answer, Given)
    assert 0.2 < answer.value["detail"] < 0.6
    found = from_text(answer.notes["sight"])
    assert (found[:3] != 0).all() and (found[-4:] == 0).all()


def test_motion_is_where_something_moved_and_a_lamp_is_no_motion():
    still = np.full((3, 32, 32), 90, np.uint8)
    still[1:] += 40
    assert motion_words(still, 6.0).tolist() == [0, 0, 0]
    still[2, 4:8, 28:32] = 10
    assert motion_words(still, 6.0)[2] == np.uint64(1) << np.uint64(63 - (8 + 7))


def test_borders_of_every_kind():
    rng = np.random.default_rng(0)
    picture = rng.integers(40, 220, (4, 90, 120)).astype(np.uint8)
    assert find_borders(picture) == Borders()
    letterbox = np.pad(picture, ((0, 0), (10, 20), (0, 0)))
    assert find_borders(letterbox) == Borders(10 / 120, 20 / 120, 0, 0)
    framed = np.pad(picture, ((0, 0), (5, 5), (8, 8)), constant_values=255)
    assert find_borders(framed) == Borders(0.05, 0.05, 8 / 136, 8 / 136)
    np.testing.assert_array_equal(find_borders(framed).inside(framed[0]), picture[0])
    assert find_borders(framed).area == pytest.approx(1 - 90 * 120 / (100 * 136))


def test_a_burnt_out_sky_and_a_flat_picture_are_no_borders():
    rng = np.random.default_rng(0)
    picture = rng.integers(40, 220, (4, 90, 120)).astype(np.uint8)
    picture[:, :30] = 255
    assert find_borders(picture) == Borders()
    assert find_borders(np.zeros((4, 90, 120), np.uint8)) == Borders()


def test_black_that_something_crosses_once_is_no_border():
    picture = np.random.default_rng(0).integers(40, 220, (4, 90, 120)).astype(np.uint8)
    picture[:3, :, :20] = 0
    assert find_borders(picture).left == 0
