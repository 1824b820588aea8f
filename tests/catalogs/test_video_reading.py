from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.numbered_video import number_of, numbered, write_video
from tests.real_data import real_data
from worldloom.catalogs.decode import cfr_index, decode_source
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.video import Frames


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "numbered.mp4"
    encode_frames(path, (numbered(i) for i in range(100)), Fraction(24))
    return path


def test_every_frame_is_found_at_random(video: Path) -> None:
    order = np.random.default_rng(0).permutation(100)
    with Frames(video) as frames:
        assert len(frames) == 100
        assert [number_of(frames[int(i)]) for i in order] == order.tolist()
        assert number_of(frames[-1]) == 99


def test_random_access_gives_the_pixels_of_a_sequential_pass(video: Path) -> None:
    with Frames(video) as frames:
        in_order = list(frames)
        for i in (99, 0, 25, 24, 23, 60, 61, 2):
            np.testing.assert_array_equal(frames[i], in_order[i])


def test_slices_lists_and_iteration_agree(video: Path) -> None:
    with Frames(video) as frames:
        np.testing.assert_array_equal(frames[10:14], np.stack([frames[i] for i in range(10, 14)]))
        assert [number_of(one) for one in frames[[7, 3, 3, 50]]] == [7, 3, 3, 50]
        assert [number_of(one) for one in frames[20:4:-5]] == [20, 15, 10, 5]
        assert [number_of(one) for one in frames] == list(range(100))
        assert frames[5:5].shape == (0, 48, 64, 3)
        with pytest.raises(IndexError):
            frames[100]


def test_an_index_map_shows_other_frames(video: Path) -> None:
    index = np.array([90, 89, 40, 40, 3], np.int32)
    with Frames(video, index=index) as frames:
        assert len(frames) == 5
        assert [number_of(one) for one in frames] == index.tolist()
        assert number_of(frames[-1]) == 3
        np.testing.assert_allclose(frames.pts_s, index / 24)
    backwards = np.arange(99, -1, -1)
    with Frames(video, index=backwards) as frames:
        assert [number_of(one) for one in frames] == backwards.tolist()
    with pytest.raises(BadInput) as refusal:
        Frames(video, index=[100])
    assert refusal.value.reason == "bad_index"


def test_bytes_and_path_give_the_same_frames(video: Path) -> None:
    with Frames(video) as from_path, Frames(video.read_bytes()) as from_bytes:
        np.testing.assert_array_equal(from_path[[80, 3]], from_bytes[[80, 3]])
        np.testing.assert_array_equal(from_path.pts_s, from_bytes.pts_s)


def test_frames_with_long_gops_and_b_frames_are_found(tmp_path: Path) -> None:
    path = write_video(tmp_path / "gop.mp4", count=60, gop=25, options={"bf": "3", "b-pyramid": "normal"})
    with Frames(path) as frames:
        for i in (59, 0, 30, 24, 25, 26, 49, 50, 51):
            assert number_of(frames[i]) == i


@pytest.mark.parametrize("suffix", ["mkv", "avi", "ts", "mov"])
def test_other_containers_are_read_at_random(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"x.{suffix}", count=40, gop=10)
    with Frames(path) as frames:
        assert len(frames) == 40
        assert [number_of(frames[i]) for i in (39, 5, 20, 19, 0)] == [39, 5, 20, 19, 0]


def test_a_repeated_pts_does_not_lose_count() -> None:
    path = real_data("walk_clips", "video-9.m4v")
    with Frames(path) as frames:
        assert len(frames) == 572
        late = frames[500]
        np.testing.assert_array_equal(frames[1], frames[0:2][1])
        np.testing.assert_array_equal(late, frames[500])
    through = [rgb for _, rgb in zip(range(501), (rgb for _, rgb in decode_source(path, exact=False)), strict=False)]
    np.testing.assert_array_equal(late, through[500])


def test_decord_gives_the_same_pixels(video: Path) -> None:
    pytest.importorskip("decord")
    chosen = [0, 1, 24, 50, 99, 10]
    with Frames(video) as ours, Frames(video, reader="decord") as theirs:
        assert len(ours) == len(theirs)
        np.testing.assert_array_equal(ours[chosen], theirs[chosen])
        np.testing.assert_allclose(ours.pts_s, theirs.pts_s, atol=1e-6)
        assert (ours.width, ours.height) == (theirs.width, theirs.height)
    with Frames(video.read_bytes(), reader="decord") as theirs:
        assert number_of(theirs[77]) == 77


def test_decord_is_never_imported_unless_asked_for(video: Path) -> None:
    script = (
        "import sys; from worldloom.catalogs.video import Frames, probe, decode_source\n"
        f"with Frames({str(video)!r}) as frames: frames[3]\n"
        "assert 'decord' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


def test_an_unknown_reader_is_named(video: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'pyav'"):
        Frames(video, reader="pyaw")


def test_a_source_at_this_rate_maps_to_itself() -> None:
    for fps in (Fraction(30000, 1001), Fraction(24), Fraction(16)):
        pts_s = np.arange(100) / float(fps) + 5.0
        np.testing.assert_array_equal(cfr_index(pts_s, fps), np.arange(100))


def test_halving_and_doubling_the_rate() -> None:
    pts_s = np.arange(30) / 15
    np.testing.assert_array_equal(cfr_index(pts_s, Fraction(15, 2)), np.arange(0, 30, 2))
    doubled = cfr_index(pts_s, Fraction(30))
    assert len(doubled) == 60
    assert set(np.bincount(doubled)) <= {1, 2, 3}


def test_the_nearest_frame_is_shown() -> None:
    rng = np.random.default_rng(1)
    pts_s = np.cumsum(rng.uniform(0.01, 0.2, 200))
    index = cfr_index(pts_s, Fraction(16))
    wanted = pts_s[0] + np.arange(len(index)) / 16
    best = np.abs(pts_s[None] - wanted[:, None]).min(axis=1)
    np.testing.assert_allclose(np.abs(pts_s[index] - wanted), best, atol=2e-6)
    assert (np.diff(index) >= 0).all()
    assert len(cfr_index(np.array([3.0]), Fraction(16))) == 1


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(60)])
def test_time_stamps_in_whole_milliseconds_lose_no_frame(fps: Fraction) -> None:
    """Those of Matroska and WebM: 0, 33, 67, 100."""
    for count in range(2, 200):
        pts_s = np.round(np.arange(count) * 1000 / float(fps)) / 1000
        np.testing.assert_array_equal(cfr_index(pts_s, fps), np.arange(count))
