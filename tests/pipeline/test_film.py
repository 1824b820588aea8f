"""Footage read as film: a whole file, a stretch of one, chosen frames, numbered pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalogs.numbered_video import number_of, numbered, write_video
from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.film import Film, nearest_frames
from worldloom.pipeline.sources.footage import Footage


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames at 10 per second, a key frame every 12, with frames that refer to later ones."""
    return write_video(tmp_path_factory.mktemp("film") / "a.mp4", 60, options={"bf": "2"})


def numbers(film: Film) -> list[int]:
    return [number_of(picture) for _, picture in film.frames()]


def test_a_whole_file_is_read_as_it_is(video: Path) -> None:
    film = Film(Footage(video=video), "a")
    assert film.whole and film.choice == ""
    assert numbers(film) == list(range(60)) == numbers(film)


@settings(max_examples=12, deadline=None)
@given(first=st.integers(0, 58), length=st.integers(1, 60))
def test_a_span_has_the_frames_from_its_first_to_before_its_last(video: Path, first: int, length: int) -> None:
    film = Film(Footage(video=video, span_s=(first / 10, (first + length) / 10)), "a")
    wanted = list(range(60))[first : first + length]
    assert numbers(film) == wanted
    assert not film.whole and film.choice == ""
    assert (film.info.frames, film.info.fps) == (len(wanted), 10)
    assert film.info.duration_s == pytest.approx(len(wanted) / 10)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("open-gop.mp4", {"bf": "3", "x264-params": "open-gop=1"}),
        ("pyramid.mp4", {"bf": "4", "b-pyramid": "normal"}),
        ("reordered.ts", {"bf": "2"}),
        ("reordered.avi", {"bf": "2"}),
        ("reordered.mkv", {"bf": "3", "x264-params": "open-gop=1"}),
    ],
)
def test_no_frame_of_a_span_is_lost_to_seeking(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    """Key frames that are shown after others that are decoded later, transport streams, packets without a PTS."""
    path = write_video(tmp_path / name, 30, options=options)
    whole = list(Film(Footage(video=path), "a").frames())
    tick_s = float(Film(Footage(video=path), "a").info.time_base)
    for first in range(29):
        wanted = whole[first : first + 3]
        edges = (wanted[0][0] * tick_s, (wanted[-1][0] + 0.5 * (whole[1][0] - whole[0][0])) * tick_s)
        found = list(Film(Footage(video=path, span_s=edges), "a").frames())
        assert [pts for pts, _ in found] == [pts for pts, _ in wanted], first
        for (_, one), (_, other) in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_span_beyond_the_end_is_told_where_the_frames_lie(video: Path) -> None:
    with pytest.raises(BadInput, match=r"no frame from 7.000 to 8.000 s, its frames lie from 0.000 to 5.900 s"):
        Film(Footage(video=video, span_s=(7.0, 8.0)), "a")


def test_frames_at_given_times_are_the_nearest_ones(video: Path) -> None:
    film = Film(Footage(video=video, times_s=np.array([1.04, 1.36, 2.0, 5.9])), "a")
    assert numbers(film) == [10, 14, 20, 59]
    assert film.choice.startswith("frames:") and film.info.frames == 4
    assert Film(Footage(video=video, times_s=np.array([1.0, 1.1, 1.2])), "a").choice == ""
    other = Film(Footage(video=video, times_s=np.array([1.0, 1.4, 2.1, 5.9])), "a")
    assert other.choice != film.choice


@pytest.mark.parametrize("times", [[1.0, 6.2], [-0.2, 1.0], [1.0, 1.01], [2.0, 1.0]])
def test_a_time_without_a_frame_of_its_own_is_named(video: Path, times: list[float]) -> None:
    with pytest.raises(BadInput, match=r"row \d of 2 is at .* s, where the video has no frame of its own") as caught:
        Film(Footage(video=video, times_s=np.array(times)), "a")
    assert caught.value.reason == "no_frame_at_time"


def test_times_in_a_video_of_variable_rate(tmp_path: Path) -> None:
    at_s = np.cumsum([0, 0.1, 0.1, 0.3, 0.05, 0.1, 0.2])
    assert nearest_frames(at_s, at_s[[0, 3, 5]] + 0.001, 0.1, "a").tolist() == [0, 3, 5]
    assert nearest_frames(np.array([1.0]), np.array([1.0]), 0.1, "a").tolist() == [0]


def write_pictures(folder: Path, count: int) -> tuple[Path, ...]:
    folder.mkdir()
    for number in range(count):
        assert cv2.imwrite(str(folder / f"{number:04d}.png"), numbered(number)[:, :, ::-1])
    return tuple(sorted(folder.iterdir()))


def test_numbered_pictures_are_a_film(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "frames", 5)
    film = Film(Footage(pictures=paths, fps=Fraction(15)), "scene")
    found = list(film.frames())
    assert [pts for pts, _ in found] == [0, 1, 2, 3, 4]
    for number, (_, picture) in enumerate(found):
        np.testing.assert_array_equal(picture, numbered(number))
    info = film.info
    assert (info.width, info.height, info.fps, info.frames, info.codec) == (64, 48, 15, 5, "png")
    assert info.time_base == Fraction(1, 15) and not film.whole and not film.conforms()


def test_a_picture_of_another_size_and_one_that_is_none_are_named(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "frames", 3)
    cv2.imwrite(str(paths[1]), np.zeros((40, 64, 3), np.uint8))
    with pytest.raises(BadInput, match=r"0001.png: 64 x 40 pixels, the pictures before it have 64 x 48"):
        list(Film(Footage(pictures=paths, fps=Fraction(15)), "scene").frames())
    paths[1].write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"0001.png: cannot be read as a picture") as caught:
        list(Film(Footage(pictures=paths, fps=Fraction(15)), "scene").frames())
    assert caught.value.reason == "not_image"
    paths[2].unlink()
    with pytest.raises(BadInput, match="no such picture"):
        list(Film(Footage(pictures=paths[2:], fps=Fraction(15)), "scene").frames())


def test_the_digest_of_pictures_follows_their_names_and_contents(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "frames", 3)
    digest = Footage(pictures=paths, fps=Fraction(15)).digest()
    assert Footage(pictures=paths[::-1], fps=Fraction(30)).digest() == digest
    paths[0].write_bytes(paths[1].read_bytes())
    assert Footage(pictures=paths, fps=Fraction(15)).digest() != digest
