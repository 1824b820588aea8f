from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.catalogs.numbered_video import number_of, numbered, write_video
from tests.real_data import real_data
from worldloom.catalogs.containers import VideoLimits, sniff
from worldloom.catalogs.decode import decode_source
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.probe import probe
from worldloom.catalogs.sandbox import Child, ChildDied, ChildMemory, ChildTimeout, Limits
from worldloom.catalogs.video import Frames


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "numbered.mp4"
    encode_frames(path, (numbered(i) for i in range(100)), Fraction(24))
    return path


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


def test_a_stream_that_appears_in_the_middle_ends_the_video_and_nothing_else(tmp_path: Path) -> None:
    """PyAV answers a packet of a stream that the header did not announce with an IndexError."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("mpeg2video", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(30):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(i)[:48, :64].copy(), format="rgb24")))
        out.mux(stream.encode(None))
    first = path.read_bytes()
    # The same once more with its video under another packet identifier, far behind what is analysed at opening.
    second = bytearray(first)
    for at in range(0, len(second), 188):
        if int.from_bytes(second[at + 1 : at + 3], "big") & 0x1FFF == 256:
            second[at + 2] = 0x20
    path.write_bytes(first * 40 + bytes(second))
    source = decode_source(path)
    assert sum(1 for _ in source) > 1000 and "a stream appears" in source.error
    assert probe(path).frames > 1000
    with Frames(path) as frames:
        assert len(frames) > 1000
        frames[[3, len(frames) - 1]]
