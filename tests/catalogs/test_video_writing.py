from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.catalogs.numbered_video import numbered, write_video
from worldloom.catalogs.decode import decode_source
from worldloom.catalogs.encode import Encoder, conforms, encode_frames
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.probe import probe
from worldloom.catalogs.video import Frames, reencode


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "numbered.mp4"
    encode_frames(path, (numbered(i) for i in range(100)), Fraction(24))
    return path


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
