from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.real_data import real_data
from worldloom.catalogs.containers import VideoLimits, sniff
from worldloom.catalogs.decode import cfr_index, decode_source
from worldloom.catalogs.encode import Encoder, conforms, encode_frames
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.probe import probe
from worldloom.catalogs.sandbox import Child, ChildDied, ChildMemory, ChildTimeout, Limits
from worldloom.catalogs.video import Frames, reencode

BITS = 8


def numbered(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture that shows its number: one bright or dark stripe per bit, and a moving texture below."""
    picture = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        picture[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 220 if number >> bit & 1 else 30
    x, y = np.meshgrid(np.arange(width), np.arange(height // 2, height))
    picture[height // 2 :] = (np.sin((x + 3 * number) / 4.0) * 60 + np.cos(y / 3.0) * 60 + 128)[..., None].astype(
        np.uint8
    )
    return picture


def number_of(picture: np.ndarray) -> int:
    height, width = picture.shape[:2]
    stripes = [picture[4 : height // 2 - 4, int((bit + 0.5) * width / BITS)].mean() for bit in range(BITS)]
    return sum((stripe > 128) << bit for bit, stripe in enumerate(stripes))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "numbered.mp4"
    encode_frames(path, (numbered(i) for i in range(100)), Fraction(24))
    return path


def write_video(
    path: Path, count: int = 12, rate: int = 10, codec: str = "libx264", pix_fmt: str = "yuv420p", **stream: object
) -> Path:
    """A file that is not in the stored form."""
    with av.open(str(path), "w") as container:
        out = container.add_stream(codec, rate=rate)
        out.width, out.height, out.pix_fmt = 64, 48, pix_fmt
        out.codec_context.thread_count = 1
        out.codec_context.gop_size = int(stream.get("gop", 12))
        out.codec_context.options = dict(stream.get("options", {}))
        if "rotation" in stream:
            out.set_display_rotation(stream["rotation"], hflip=bool(stream.get("hflip", False)))
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(i), format="rgb24").reformat(format=pix_fmt)
            frame.pts = i
            container.mux(out.encode(frame))
        container.mux(out.encode(None))
    return path


# reading


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


# writing


def test_what_is_written_is_in_the_stored_form(video: Path) -> None:
    info = probe(video)
    assert conforms(video)
    assert conforms(video.read_bytes())
    assert (info.codec, info.pix_fmt, info.frames, info.fps, info.variable) == ("h264", "yuv420p", 100, 24, False)
    assert info.keyframe_gap <= 24
    assert info.streams == 1
    with av.open(str(video)) as container:
        decoder = container.streams.video[0].codec_context
        assert (decoder.colorspace, decoder.color_range, decoder.color_primaries, decoder.color_trc) == (1, 1, 1, 1)


def test_bytes_are_equal_from_run_to_run(tmp_path: Path, video: Path) -> None:
    again = tmp_path / "again.mp4"
    encode_frames(again, (numbered(i) for i in range(100)), Fraction(24))
    assert again.read_bytes() == video.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="MALLOC_PERTURB_ is glibc's")
def test_bytes_do_not_depend_on_what_lies_in_fresh_memory(tmp_path: Path) -> None:
    """x264's mbtree reads memory that it never wrote: without this, one run in ten gives another file."""
    script = (
        "import hashlib, sys; import numpy as np; from fractions import Fraction\n"
        "from pathlib import Path; from worldloom.catalogs.encode import encode_frames\n"
        "rng = np.random.default_rng(0)\n"
        "wall = rng.integers(0, 255, (40, 60, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)\n"
        "noise = lambda: rng.integers(-20, 20, (258, 386, 3))\n"
        "frames = [np.clip(wall[i:i + 258, 2 * i:2 * i + 386] + noise(), 0, 255).astype(np.uint8) for i in range(16)]\n"
        "encode_frames(sys.argv[1], frames, Fraction(24))\n"
        "print(hashlib.sha256(Path(sys.argv[1]).read_bytes()).hexdigest())"
    )
    digests = set()
    for filling in ("0", "85", "170"):
        environment = {**os.environ, "MALLOC_PERTURB_": filling, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", script, str(tmp_path / "x.mp4")]
        digests.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(16), Fraction(101828, 9673), Fraction(1, 2)])
def test_the_rate_survives_exactly(tmp_path: Path, fps: Fraction) -> None:
    encode_frames(tmp_path / "x.mp4", (numbered(i) for i in range(40)), fps)
    info = probe(tmp_path / "x.mp4")
    assert info.fps == fps
    assert info.frames == 40
    assert conforms(tmp_path / "x.mp4")


def test_colours_come_back(tmp_path: Path) -> None:
    colours = np.array([[200, 30, 40], [30, 180, 60], [40, 60, 210], [128, 128, 128], [0, 0, 0], [255, 255, 255]])
    pictures = [np.broadcast_to(colour.astype(np.uint8), (32, 32, 3)) for colour in colours]
    encode_frames(tmp_path / "x.mp4", pictures, Fraction(1))
    with Frames(tmp_path / "x.mp4") as frames:
        found = frames[:].mean(axis=(1, 2))
    np.testing.assert_allclose(found, colours, atol=4)


def photo(number: int = 0) -> np.ndarray:
    """A smooth colourful picture."""
    x, y = np.meshgrid(np.linspace(0, 3, 96), np.linspace(0, 2, 64))
    waves = [np.sin(x * (2 + k) + y * (3 - k) + k + 0.1 * number) for k in range(3)]
    return np.ascontiguousarray((np.stack(waves, -1) * 100 + 128).round().astype(np.uint8))


def test_encoding_again_does_not_darken(tmp_path: Path) -> None:
    """Fast rounding loses more than a level each time, chroma in the wrong place smears: a model could tell by it."""
    original = [photo(i) for i in range(8)]
    encode_frames(tmp_path / "0.mp4", original, Fraction(8), crf=1)
    for generation in range(4):
        source = decode_source(tmp_path / f"{generation}.mp4")
        encode_frames(tmp_path / f"{generation + 1}.mp4", (rgb for _, rgb in source), Fraction(8), crf=1)
    last = [rgb for _, rgb in decode_source(tmp_path / "4.mp4")]
    difference = np.stack(last).astype(float) - original
    assert np.abs(difference.mean(axis=(0, 1, 2))).max() < 0.5
    assert np.abs(difference).mean() < 1.0


def test_derived_clips_keep_the_colours_of_their_parent(tmp_path: Path) -> None:
    encode_frames(tmp_path / "0.mp4", [photo(i) for i in range(40)], Fraction(8), crf=1)
    index = [*range(40), *range(38, -1, -1), 5, 5]
    assert reencode(tmp_path / "0.mp4", index, tmp_path / "1.mp4", Fraction(8), crf=1) == len(index)
    assert conforms(tmp_path / "1.mp4")
    with Frames(tmp_path / "0.mp4", index=index) as parent, Frames(tmp_path / "1.mp4") as derived:
        difference = derived[:].astype(float) - parent[:]
    assert abs(difference.mean()) < 0.05
    assert np.abs(difference).max() < 12
    again = reencode((tmp_path / "0.mp4").read_bytes(), index, tmp_path / "2.mp4", Fraction(8), crf=1)
    assert again == len(index)
    assert (tmp_path / "2.mp4").read_bytes() == (tmp_path / "1.mp4").read_bytes()


def test_a_parent_with_other_colours_is_converted(tmp_path: Path) -> None:
    parent = write_video(tmp_path / "0.mp4", rotation=90)  # not tagged, turned
    assert reencode(parent, [3, 2, 1], tmp_path / "1.mp4", Fraction(10)) == 3
    with Frames(parent, index=[3, 2, 1]) as before, Frames(tmp_path / "1.mp4") as after:
        assert after[:].shape == before[:].shape
        assert np.abs(after[:].astype(float) - before[:]).mean() < 4
    with pytest.raises(BadInput, match="no frame"):
        reencode(parent, [], tmp_path / "2.mp4", Fraction(10))


def test_full_range_video_keeps_its_greys(tmp_path: Path) -> None:
    path = tmp_path / "full.mp4"
    levels = [0, 60, 128, 255]
    with av.open(str(path), "w") as container:
        out = container.add_stream("libx264", rate=1)
        out.width = out.height = 32
        out.pix_fmt = "yuvj420p"
        for i, level in enumerate(levels):
            frame = av.VideoFrame(32, 32, "yuvj420p")
            for plane, value in zip(frame.planes, (level, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts = i
            container.mux(out.encode(frame))
        container.mux(out.encode(None))
    with Frames(path) as frames:
        np.testing.assert_allclose(frames[:].mean(axis=(1, 2, 3)), levels, atol=3)


def test_odd_sides_and_wrong_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="even"):
        Encoder(tmp_path / "x.mp4", 63, 48, Fraction(10))
    with pytest.raises(ValueError, match="48, 64, 3"), Encoder(tmp_path / "x.mp4", 64, 48, Fraction(10)) as encoder:
        encoder.write(np.zeros((48, 66, 3), np.uint8))
    with pytest.raises(BadInput, match="no frame"):
        encode_frames(tmp_path / "x.mp4", [], Fraction(10))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def frames():
        yield from (numbered(i) for i in range(30))
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        encode_frames(tmp_path / "x.mp4", frames(), Fraction(10))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "change"),
    [
        ("mp4", {"gop": 40, "count": 40, "options": {"movflags": "+faststart"}}),
        ("mp4", {"pix_fmt": "yuv444p"}),
        ("mp4", {"codec": "mpeg4"}),
        ("mkv", {}),
        ("mp4", {"gop": 5}),  # the index stands at the end
        ("mp4", {"rotation": 90}),
    ],
)
def test_other_forms_do_not_conform(tmp_path: Path, suffix: str, change: dict) -> None:
    assert not conforms(write_video(tmp_path / f"x.{suffix}", **change))


# looking at strange files


def test_magic_bytes_tell_kinds_apart() -> None:
    assert sniff(b"") == "empty"
    assert sniff(b"ffconcat version 1.0\nfile '/etc/passwd'\n") == "text"
    assert sniff(b"#EXTM3U\n") == "text"
    assert sniff(b'{"a": 1}') == "text"
    assert sniff(b"\x89PNG\r\n\x1a\n") == "png"
    assert sniff(b"\x00\x00\x00\x20ftypisom") == "video"
    assert sniff(b"\x1aE\xdf\xa3") == "video"
    assert sniff((b"G" + bytes(187)) * 3) == "video"
    assert sniff(bytes(range(128, 256))) == "unknown"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("concat.mp4", "ffconcat version 1.0\nfile 'numbered.mp4'\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nnumbered.mp4\n#EXT-X-ENDLIST\n"),
        ("dash.mp4", "<?xml version='1.0'?><MPD><Period><BaseURL>http://127.0.0.1:9/</BaseURL></Period></MPD>"),
        ("subtitle.mkv", "[Script Info]\nTitle: x\n"),
    ],
)
def test_playlists_in_disguise_open_nothing(video: Path, name: str, text: str) -> None:
    path = video.with_name(name)
    path.write_text(text)
    for look in (probe, decode_source, Frames):
        with pytest.raises(BadInput) as refusal:
            look(path)
        assert refusal.value.reason == "not_video"


def test_ffmpeg_itself_refuses_what_the_magic_bytes_let_through(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = video.with_name("concat2.mp4")
    path.write_text("ffconcat version 1.0\nfile 'numbered.mp4'\n")
    monkeypatch.setattr("worldloom.catalogs.containers.refuse_other_kinds", lambda head, where: None)
    with pytest.raises(BadInput) as refusal:
        probe(path)
    assert refusal.value.reason == "cannot_open"


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mp4"
    with av.open(str(path), "w") as container:
        out = container.add_stream("libx264", rate=1)
        out.width = out.height = 8192
        out.pix_fmt = "yuv420p"
        out.codec_context.thread_count = 1
        out.codec_context.options = {"preset": "ultrafast"}
        frame = av.VideoFrame(8192, 8192, "yuv420p")
        frame.pts = 0
        container.mux(out.encode(frame))
        container.mux(out.encode(None))
    del frame
    for look in (probe, decode_source, Frames):
        with pytest.raises(BadInput, match="8192 x 8192") as refusal:
            look(path)
        assert refusal.value.reason == "too_large"


def test_the_decoder_keeps_the_limit_where_the_container_lies(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4")
    data = path.read_bytes()
    # tkhd and avc1 hold the size the container claims; the H.264 stream holds its own.
    lying = data.replace(
        (64).to_bytes(2, "big") + (48).to_bytes(2, "big"), (32).to_bytes(2, "big") + (32).to_bytes(2, "big")
    )
    assert lying != data
    limits = VideoLimits(max_pixels=40 * 40)
    with pytest.raises(BadInput) as refusal:
        probe(lying, limits)
    assert refusal.value.reason in ("too_large", "no_frames", "cannot_open")


def test_limits_are_told_apart(tmp_path: Path) -> None:
    path = write_video(tmp_path / "x.mp4", count=20, rate=10)
    for limits, reason in (
        (VideoLimits(max_pixels=1000), "too_large"),
        (VideoLimits(min_side=49), "too_small"),
        (VideoLimits(max_duration_s=1), "too_long"),
        (VideoLimits(max_streams=0), "too_many_streams"),
    ):
        with pytest.raises(BadInput) as refusal:
            probe(path, limits)
        assert refusal.value.reason == reason


def test_a_missing_and_an_empty_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for name, reason in (("missing.mp4", "missing_file"), ("empty.mp4", "empty_file")):
        with pytest.raises(BadInput) as refusal:
            probe(tmp_path / name)
        assert refusal.value.reason == reason


def test_a_truncated_file_gives_what_it_holds_and_says_so(tmp_path: Path, video: Path) -> None:
    data = video.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) * 2 // 3])
    source = decode_source(path)
    numbers = [number_of(rgb) for _, rgb in source]
    assert 10 < len(numbers) < 100
    assert numbers[:10] == list(range(10))
    assert source.damaged > 0 or source.error
    with Frames(path) as frames, pytest.raises(BadInput) as refusal:
        frames[99 if len(frames) == 100 else len(frames) - 1], list(frames)
    assert refusal.value.reason == "damaged"


def test_rotation_and_mirroring_are_applied(tmp_path: Path) -> None:
    plain = next(iter(decode_source(write_video(tmp_path / "0.mov"), exact=False)))[1]
    for degrees in (90, 180, -90):
        path = write_video(tmp_path / f"{degrees}.mov", rotation=degrees)
        info = probe(path)
        turned = next(iter(decode_source(path, exact=False)))[1]
        assert info.rotation == degrees % 360
        assert turned.shape == (info.height, info.width, 3)
        np.testing.assert_array_equal(turned, np.rot90(plain, degrees // 90))
        with Frames(path) as frames:
            np.testing.assert_array_equal(frames[0], turned)
    path = write_video(tmp_path / "mirror.mov", rotation=0, hflip=True)
    assert probe(path).mirrored
    np.testing.assert_array_equal(next(iter(decode_source(path, exact=False)))[1], plain[:, ::-1])


def test_mutated_files_end_in_an_answer(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flipped bytes, cuts and gaps: frames, or a refusal with a reason, or the death of the child alone."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    rng = np.random.default_rng(0)
    whole = video.read_bytes()
    answers: Counter[str] = Counter()
    with Child("sandbox_entries:look", Limits(deadline_s=60, memory_mb=1024)) as child:
        for number in range(80):
            data = bytearray(whole)
            if number % 4 == 0:
                data = data[: int(rng.integers(1, len(data)))]
            elif number % 4 == 1:
                start, stop = sorted(rng.integers(0, len(data), 2))
                del data[start:stop]
            else:
                for at in rng.integers(0, len(data) if number % 4 == 2 else 3000, 12):
                    data[at] = int(rng.integers(256))
            (tmp_path / "x.mp4").write_bytes(data)
            try:
                reason, _ = child.call(str(tmp_path / "x.mp4"))
            except (ChildDied, ChildTimeout, ChildMemory) as failure:
                reason = failure.reason
            answers[reason] += 1
    assert answers.total() == 80
    assert {"ok", "cannot_open"} <= answers.keys()


# constant rate


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


# the strange files of others

ODD_VIDEOS = {
    "av1_video.mkv": {"width": 640, "height": 360, "frames": 125, "codec": "av1", "fps": Fraction(25)},
    "corrupted.mp4": {"width": 1280, "height": 720},
    "fire2.mp4": {"rotation": 180, "variable": True, "frames": 25},
    "h264_10bits.mp4": {"pix_fmt": "yuv420p10le", "frames": 30},
    "nasa_13013.mp4": {"stream": 3, "frames": 390, "width": 480, "fps": Fraction(30000, 1001)},
    "no_duration.webm": {"codec": "vp9", "frames": 74},
    "video_0.mov": {"width": 568, "height": 320, "rotation": 0},
    "video_90.mov": {"width": 320, "height": 568, "rotation": 270},
}
ODD_REFUSED = {
    "bipbop_480wp_1001kbps-cenc-video-key1-init.mp4": "encrypted",
    "bitmap.mp4": "too_small",
    "chunk_out_of_range.mp4": "cannot_open",
    "invalid_userdata.mp4": "no_frames",
    "nasa_13013.mp4.audio.mp3": "no_video_stream",
    "nasa_13013.mp4.stream0.all_frames_info.json": "not_video",
    "nasa_13013.mp4.stream3.all_frames_info.json": "not_video",
    "zero_empty_stsc.mp4": "no_frames",
}


def test_every_strange_file_has_an_answer() -> None:
    names = {path.name for path in real_data("odd").iterdir()}
    assert names == ODD_VIDEOS.keys() | ODD_REFUSED.keys()


@pytest.mark.parametrize("name", ODD_VIDEOS)
def test_strange_videos_are_read(name: str) -> None:
    path = real_data("odd", name)
    info = probe(path)
    for attribute, value in ODD_VIDEOS[name].items():
        assert getattr(info, attribute) == value
    source = decode_source(path)
    count, last = 0, -1
    for pts, rgb in source:
        assert rgb.shape == (info.height, info.width, 3)
        assert rgb.dtype == np.uint8
        assert pts > last
        count, last = count + 1, pts
    damaged = name == "corrupted.mp4"
    assert count == (49 if damaged else info.frames)
    assert (source.damaged > 0) == damaged
    assert source.error == ""


@pytest.mark.parametrize("name", ODD_REFUSED)
def test_strange_files_without_frames_are_refused_in_a_sentence(name: str) -> None:
    path = real_data("odd", name)
    with pytest.raises(BadInput) as refusal:
        probe(path)
    assert refusal.value.reason == ODD_REFUSED[name]
    assert name in str(refusal.value)
    assert len(refusal.value.message.split()) >= 4


@pytest.mark.parametrize("stream", [0, 3])
def test_presentation_times_are_those_of_the_reference(stream: int) -> None:
    reference = json.loads(real_data("odd", f"nasa_13013.mp4.stream{stream}.all_frames_info.json").read_text())
    expected = sorted(float(one.get("pts_time", one.get("pts_seconds", "nan"))) for one in reference)
    source = decode_source(real_data("odd", "nasa_13013.mp4"), stream=stream)
    found = [float(pts * source.time_base) for pts, _ in source]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_ten_bits_keep_their_brightness() -> None:
    path = real_data("odd", "h264_10bits.mp4")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        luma = np.frombuffer(frame.planes[0], np.uint16).reshape(-1, frame.planes[0].line_size // 2)[
            : frame.height, : frame.width
        ]
    with Frames(path) as frames:
        grey = frames[0].astype(np.float64) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey.mean(), (luma.mean() / 4 - 16) * 255 / 219, atol=2)
