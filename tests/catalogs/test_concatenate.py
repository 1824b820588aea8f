from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.numbered_video import number_of, numbered, write_video
from worldloom.catalogs.concatenate import Concatenation, coded_video
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.probe import probe
from worldloom.catalogs.video import Frames

NTSC = Fraction(30000, 1001)


def stored(path: Path, numbers: range, fps: Fraction, crf: float = 10) -> Path:
    encode_frames(path, [numbered(i) for i in numbers], fps, crf=crf)
    return path


@pytest.mark.parametrize("fps", [Fraction(10), NTSC, Fraction(24000, 1001)])
def test_frames_follow_each_other_at_exact_times(tmp_path: Path, fps: Fraction) -> None:
    lengths = [5, 1, 40, 3]
    starts = np.cumsum([0, *lengths])
    videos = [
        stored(tmp_path / f"{i}.mp4", range(start, start + length), fps)
        for i, (start, length) in enumerate(zip(starts, lengths, strict=False))
    ]
    with Concatenation(lambda number: tmp_path / "out" / f"{number}.mp4", fps, 10**8) as whole:
        places = [whole.append(video) for video in videos]
    files = sorted((tmp_path / "out").iterdir())
    found = {}
    for number, path in enumerate(files):
        with Frames(path) as frames:
            np.testing.assert_allclose(frames.pts_s, np.arange(len(frames)) / float(fps), atol=1e-4)
            found[number] = [number_of(picture) for picture in frames]
            assert [number_of(frames[i]) for i in (len(frames) - 1, 0)] == [found[number][-1], found[number][0]]
    for (file, first), start, length in zip(places, starts, lengths, strict=False):
        assert found[file][first : first + length] == list(range(start, start + length))
    assert sum(map(len, found.values())) == sum(lengths)


def test_pictures_are_those_of_the_parts(tmp_path: Path) -> None:
    parts = [stored(tmp_path / "a.mp4", range(9), NTSC), stored(tmp_path / "b.mp4", range(9, 20), NTSC)]
    with Concatenation(lambda number: tmp_path / "whole.mp4", NTSC, 10**8) as whole:
        assert [whole.append(part) for part in parts] == [(0, 0), (0, 9)]
    with Frames(parts[0]) as a, Frames(parts[1]) as b, Frames(tmp_path / "whole.mp4") as both:
        np.testing.assert_array_equal(both[:], np.concatenate([a[:], b[:]]))
    info = probe(tmp_path / "whole.mp4")
    assert (info.frames, info.fps, info.first_pts, info.codec) == (20, NTSC, 0, "h264")


def test_another_coding_begins_another_file(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "a.mp4", range(9), Fraction(10)), tmp_path / "b.mp4"
    encode_frames(b, [numbered(i, 96, 128) for i in range(4)], Fraction(10))
    with Concatenation(lambda number: tmp_path / "out" / f"{number}.mp4", Fraction(10), 10**8) as whole:
        assert [whole.append(part) for part in (a, a, b, a)] == [(0, 0), (0, 9), (1, 0), (2, 0)]
    with Frames(tmp_path / "out" / "1.mp4") as frames:
        assert frames.width == 128 and len(frames) == 4


def test_a_file_that_has_grown_large_is_left(tmp_path: Path) -> None:
    a = stored(tmp_path / "a.mp4", range(9), Fraction(10))
    with Concatenation(lambda number: tmp_path / f"out{number}.mp4", Fraction(10), 2 * a.stat().st_size) as whole:
        assert [whole.append(a) for _ in range(3)] == [(0, 0), (0, 9), (1, 0)]


def test_another_rate_is_refused(tmp_path: Path) -> None:
    a = stored(tmp_path / "a.mp4", range(9), Fraction(10))
    assert coded_video(a, Fraction(10)).frames == 9
    for fps in (Fraction(12), Fraction(5)):
        with pytest.raises(BadInput) as refused:
            coded_video(a, fps)
        assert refused.value.reason == "not_constant_rate"


def test_damage_is_told(tmp_path: Path) -> None:
    video = write_video(tmp_path / "x.mkv", 30)
    video.write_bytes(b"hello")
    with pytest.raises(BadInput) as refused:
        coded_video(video, Fraction(10))
    assert refused.value.reason == "not_video"
