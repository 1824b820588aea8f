"""Odd files, made here: each with what is odd about it, and what is true of it by construction.

A maker writes one file; its `Expected` says either the reason for which ingest refuses it, or how many frames decode,
at which times, how large the upright picture is, and which numbers the frames show (see `numbered`).
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.catalogs.numbered_video import numbered

WIDTH, HEIGHT, RATE = 64, 48, 10


@dataclass(frozen=True)
class Expected:
    """What is true of a file by construction.

    Attributes:
        what: is odd about it.
        reason: for which it is refused; empty where it gives a clip.
        times_s: of the frames that decode; None where the file says nothing reliable.
        size: (width, height) of the clip.
        numbers: what the frames show, upright; None where the picture is too small or too changed to tell.
        damaged: whether damage has to be counted.
        note: what a reader should know.
        shifted: whether all times may lie later by one constant, as the container's clock begins where it likes.
    """

    what: str
    reason: str = ""
    times_s: tuple[float, ...] | None = None
    size: tuple[int, int] = (WIDTH, HEIGHT)
    numbers: tuple[int, ...] | None = None
    damaged: bool = False
    note: str = ""
    shifted: bool = False


def every(count: int, rate: float = RATE, start: float = 0.0) -> tuple[float, ...]:
    """Times of frames at a constant rate."""
    return tuple(start + number / rate for number in range(count))


def write(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = RATE,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    container_options: dict[str, str] | None = None,
    container_format: str | None = None,
    gop: int = 12,
    options: dict[str, str] | None = None,
    prepare: Callable[[Any], None] | None = None,
    streams: int = 1,
    audio: bool = False,
    retimed: Sequence[int] | None = None,
) -> Path:
    """One file, encoded on one thread; `retimed` are PTS in milliseconds that packets get instead of their own."""
    with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
        sound = container.add_stream("aac", rate=8000) if audio else None
        outs = []
        frames = list(pictures)
        for _ in range(streams):
            out = container.add_stream(codec, rate=rate)
            out.height, out.width = frames[0].shape[:2]
            out.pix_fmt = pix_fmt
            if time_base is not None:
                out.codec_context.time_base = time_base
            out.codec_context.thread_count = 1
            out.codec_context.gop_size = gop
            out.codec_context.options = options or {}
            if prepare is not None:
                prepare(out)
            outs.append(out)
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 8000, 0
            container.mux(sound.encode(silence))
        for number, picture in enumerate(frames):
            for out in outs:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
                frame.pts = number if pts is None else pts[number]
                if time_base is not None:
                    frame.time_base = time_base
                packets = out.encode(frame)
                for packet in packets if retimed is not None else ():
                    packet.time_base = Fraction(1, 1000)
                    packet.pts = packet.dts = (retimed or ())[number]
                container.mux(packets)
        for out in (*outs, *([sound] if sound is not None else [])):
            container.mux(out.encode(None))
    return path


def shown(count: int, first: int = 0) -> list[np.ndarray]:
    """Pictures that show their numbers."""
    return [numbered(number, HEIGHT, WIDTH) for number in range(first, first + count)]


def turned(path: Path, degrees: int, flip: bool = False) -> Expected:
    """A display matrix: the stored picture lies on its side, the shown one is upright."""
    turns = degrees // 90 % 4

    def stored(picture: np.ndarray) -> np.ndarray:
        upright = np.rot90(picture, turns if flip else -turns)  # a mirror reverses the sense of a turn
        return np.ascontiguousarray(upright[:, ::-1] if flip else upright)

    def prepare(out: Any) -> None:
        out.set_display_rotation(degrees, hflip=flip)

    write(path, [stored(one) for one in shown(12)], prepare=prepare)
    how = f"turned by {degrees} degrees" + (" and mirrored" if flip else "")
    return Expected(f"a display matrix: {how}", times_s=every(12), numbers=tuple(range(12)))


def variable(path: Path) -> Expected:
    ticks = [0, 100, 200, 300, 700, 800, 850, 1000, 1300, 1400, 1500, 1600]
    write(path, shown(12), pts=ticks, time_base=Fraction(1, 1000))
    return Expected("frames at uneven times", times_s=tuple(t / 1000 for t in ticks), numbers=tuple(range(12)))


def late_start(path: Path) -> Expected:
    write(path, shown(12), pts=[50 + n for n in range(12)], time_base=Fraction(1, 10), container_format="mpegts")
    return Expected("begins at 5 s, in a transport stream", times_s=every(12, start=5.0), numbers=tuple(range(12)))


def one_frame(path: Path) -> Expected:
    write(path, shown(1))
    return Expected("a single frame", times_s=(0.0,), numbers=(0,))


def two_frames(path: Path) -> Expected:
    write(path, shown(2))
    return Expected("two frames", times_s=every(2), numbers=(0, 1))


def odd_sides(path: Path) -> Expected:
    pictures = [one[:47, :63] for one in shown(12)]
    write(path, [np.ascontiguousarray(one) for one in pictures], pix_fmt="yuv444p")
    return Expected("63 x 47 pixels", times_s=every(12), size=(62, 46), numbers=tuple(range(12)))


def wide_pixels(path: Path) -> Expected:
    def prepare(out: Any) -> None:
        out.codec_context.sample_aspect_ratio = Fraction(1, 2)

    write(path, shown(12), prepare=prepare)
    return Expected("pixels half as wide as high", times_s=every(12), size=(32, 48), numbers=tuple(range(12)))


def ten_bits(path: Path) -> Expected:
    write(path, shown(12), pix_fmt="yuv420p10le")
    return Expected("10 bits per colour", times_s=every(12), numbers=tuple(range(12)))


def no_duration(path: Path) -> Expected:
    write(
        path, shown(12), codec="libvpx", container_format="webm", container_options={"live": "1"}, options={"b": "1M"}
    )
    return Expected("a live webm: no duration, no index", times_s=every(12), numbers=tuple(range(12)))


def avi(path: Path) -> Expected:
    write(path, shown(12), codec="mpeg4", container_format="avi", options={"b": "2M"})
    return Expected("AVI with MPEG-4 part 2, which carries no PTS", times_s=every(12), numbers=tuple(range(12)))


def b_frames(path: Path) -> Expected:
    write(path, shown(24), options={"bf": "3", "b-adapt": "0"})
    return Expected("frames stored in another order than shown", times_s=every(24), numbers=tuple(range(24)))


def full_range(path: Path) -> Expected:
    write(path, shown(12), codec="mjpeg", pix_fmt="yuvj420p", container_format="mov")
    return Expected("motion JPEG, full range", times_s=every(12), numbers=tuple(range(12)))


def lossless(path: Path) -> Expected:
    write(path, shown(12), codec="ffv1", pix_fmt="bgr0", container_format="matroska")
    return Expected("FFV1 in RGB", times_s=every(12), numbers=tuple(range(12)))


def grey(path: Path) -> Expected:
    write(path, shown(12), codec="ffv1", pix_fmt="gray", container_format="matroska")
    return Expected("grey, no chroma at all", times_s=every(12), numbers=tuple(range(12)))


def transparent(path: Path) -> Expected:
    write(path, shown(12), codec="ffv1", pix_fmt="yuva420p", container_format="matroska")
    return Expected("an alpha channel", times_s=every(12), numbers=tuple(range(12)))


def interlaced(path: Path) -> Expected:
    write(
        path,
        shown(12),
        codec="mpeg2video",
        rate=25,
        options={"flags": "+ildct+ilme", "b": "2M"},
        container_format="mpegts",
    )
    return Expected("interlaced MPEG-2", times_s=every(12, 25), numbers=tuple(range(12)),
                    shifted=True, note="decoded as it is stored; `quality.interlaced` is not measured")  # fmt: skip


def time_lapse(path: Path) -> Expected:
    write(path, shown(6), rate=Fraction(1, 2))
    return Expected("a frame every two seconds", times_s=every(6, 0.5), numbers=tuple(range(6)))


def fast(path: Path) -> Expected:
    write(path, shown(24), rate=480)
    return Expected("480 frames per second", times_s=every(24, 480), numbers=tuple(range(24)))


def two_videos(path: Path) -> Expected:
    write(path, shown(12), streams=2)
    return Expected("two video streams: one of them is read", times_s=every(12), numbers=tuple(range(12)))


def with_sound(path: Path) -> Expected:
    write(path, shown(12), audio=True)
    return Expected("sound beside the picture", times_s=every(12), numbers=tuple(range(12)))


def fragmented(path: Path) -> Expected:
    write(path, shown(24), container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
    what = "a fragmented mp4, as streams are recorded"
    return Expected(what, times_s=every(24), numbers=tuple(range(24)), shifted=True)


def edit_list(path: Path) -> Expected:
    """The first four frames are cut off by an edit list: a cut without encoding, as phones make it."""
    write(path, shown(24), gop=24, options={"bf": "0"})
    data = bytearray(path.read_bytes())
    at = data.index(b"elst")
    version = data[at + 4]
    assert version == 0 and struct.unpack(">I", data[at + 8 : at + 12])[0] == 1
    scale_at = data.index(b"mdhd") + 4 + 12
    scale = struct.unpack(">I", data[scale_at : scale_at + 4])[0]
    duration, media_time = struct.unpack(">Ii", data[at + 12 : at + 20])
    data[at + 12 : at + 20] = struct.pack(">Ii", duration * 20 // 24, media_time + 4 * scale // RATE)
    path.write_bytes(bytes(data))
    return Expected("an edit list that hides the first four frames", times_s=every(20), numbers=tuple(range(4, 24)))


def doubled_times(path: Path) -> Expected:
    ticks = [0, 100, 200, 200, 300, 400, 500, 600, 700, 800, 900, 1000]
    write(path, shown(12), container_format="matroska", codec="mjpeg", pix_fmt="yuvj420p", retimed=ticks)
    times = tuple(t / 1000 for t in (*ticks[:3], 300, 400, 500, 600, 700, 800, 900, 1000, 1100))
    return Expected("two frames at one time", times_s=times, numbers=tuple(range(12)),
                    note="of two frames at one time the later one follows a usual step after the other")  # fmt: skip


def truncated_mkv(path: Path) -> Expected:
    write(path, shown(60), container_format="matroska", codec="ffv1", pix_fmt="yuv420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return Expected("a Matroska file that ends in the middle", note="the frames before the end are kept")


def no_moov(path: Path) -> Expected:
    write(path, shown(24))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return Expected("an mp4 whose index is missing: the recording was cut off", reason="cannot_open")


def flipped_bytes(path: Path) -> Expected:
    write(path, shown(48), gop=12)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    size = struct.unpack(">I", data[start - 8 : start - 4])[0]
    draw = np.random.default_rng(5)
    for at in draw.integers(start + size // 4, start + size // 2, 12).tolist():
        data[at] ^= 0xFF
    path.write_bytes(bytes(data))
    return Expected(
        "twelve flipped bytes in the pictures", damaged=True, note="what decodes is kept, damage is counted"
    )


def growing(path: Path) -> Expected:
    first = write(path.with_suffix(".1.ts"), shown(12), container_format="mpegts")
    second = write(path.with_suffix(".2.ts"), [numbered(n, 96, 128) for n in range(12)], container_format="mpegts")
    path.write_bytes(first.read_bytes() + second.read_bytes())
    first.unlink()
    second.unlink()
    return Expected("the picture doubles its size in the middle", times_s=every(12), numbers=tuple(range(12)),
                    shifted=True, note="what comes before the change is kept")  # fmt: skip


def sound_alone(path: Path) -> Expected:
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return Expected("an mp4 with sound alone", reason="not_video")


def gif(path: Path) -> Expected:
    write(path, shown(6), codec="gif", pix_fmt="rgb8", container_format="gif")
    return Expected("a GIF called mp4", reason="not_video")


def png(path: Path) -> Expected:
    import cv2

    path.write_bytes(cv2.imencode(".png", shown(1)[0])[1].tobytes())
    return Expected("a PNG called mp4", reason="not_video")


def text_file(path: Path) -> Expected:
    path.write_text("this is no video\n")
    return Expected("a text called mp4", reason="not_video")


def playlist(path: Path) -> Expected:
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    return Expected("a playlist called mp4", reason="not_video")


def concat_list(path: Path) -> Expected:
    path.write_text("ffconcat version 1.0\nfile 'one_frame.mp4'\n")
    return Expected("an ffconcat list called mp4", reason="not_video")


def empty(path: Path) -> Expected:
    path.touch()
    return Expected("an empty file", reason="empty_file")


def zeros(path: Path) -> Expected:
    path.write_bytes(bytes(4096))
    return Expected("4096 zeros", reason="not_video")


def header_alone(path: Path) -> Expected:
    write(path, shown(12), container_options={"movflags": "frag_keyframe+empty_moov"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moof") - 4])
    return Expected("the header of a stream without any picture", reason="no_frames")


def tiny(path: Path) -> Expected:
    write(path, [one[:8, :8].copy() for one in shown(12)])
    return Expected("8 x 8 pixels", reason="too_small")


def unreadable_name(path: Path) -> Expected:
    write(path, shown(12, 40))
    what = "a name with blanks, quotes, a line break and letters of four scripts"
    return Expected(what, times_s=every(12), numbers=tuple(range(40, 52)))


def option_name(path: Path) -> Expected:
    write(path, shown(12, 80))
    return Expected("a name that looks like an option", times_s=every(12), numbers=tuple(range(80, 92)))


MAKERS: dict[str, Callable[[Path], Expected]] = {
    "turned_90.mp4": lambda path: turned(path, 90),
    "turned_180.mp4": lambda path: turned(path, 180),
    "turned_270.mp4": lambda path: turned(path, 270),
    "mirrored.mp4": lambda path: turned(path, 0, flip=True),
    "turned_mirrored.mov": lambda path: turned(path, 90, flip=True),
    "variable.mp4": variable,
    "variable.mkv": variable,
    "late_start.ts": late_start,
    "one_frame.mp4": one_frame,
    "two_frames.mp4": two_frames,
    "odd_sides.mkv": odd_sides,
    "wide_pixels.mp4": wide_pixels,
    "ten_bits.mp4": ten_bits,
    "no_duration.webm": no_duration,
    "part2.avi": avi,
    "b_frames.mp4": b_frames,
    "full_range.mov": full_range,
    "lossless.mkv": lossless,
    "grey.mkv": grey,
    "transparent.mkv": transparent,
    "interlaced.ts": interlaced,
    "time_lapse.mp4": time_lapse,
    "fast.mp4": fast,
    "two_videos.mp4": two_videos,
    "with_sound.mp4": with_sound,
    "fragmented.mp4": fragmented,
    "edit_list.mp4": edit_list,
    "doubled_times.mkv": doubled_times,
    "truncated.mkv": truncated_mkv,
    "no_moov.mp4": no_moov,
    "flipped_bytes.mp4": flipped_bytes,
    "growing.ts": growing,
    "sound_alone.mp4": sound_alone,
    "gif.mp4": gif,
    "png.mp4": png,
    "text.mp4": text_file,
    "playlist.mp4": playlist,
    "concat.mp4": concat_list,
    "empty.mp4": empty,
    "zeros.mp4": zeros,
    "header_alone.mp4": header_alone,
    "tiny.mp4": tiny,
    "-i option.mp4": option_name,
    "naïve “имя” 名前\n'.mp4": unreadable_name,
}


def make_all(folder: Path) -> dict[str, Expected]:
    """Write every odd file into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return {name: maker(folder / name) for name, maker in MAKERS.items()}


def ffprobe_times(path: Path, stream: int) -> list[float] | None:
    """Times of the frames of a stream as ffprobe decodes them, seconds; None where it finds none."""
    command = [
        "ffprobe", "-v", "quiet", "-select_streams", str(stream), "-show_entries", "frame=best_effort_timestamp_time",
        "-of", "csv=p=0", f"file:{path}",
    ]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = [line.strip().rstrip(",") for line in answer.stdout.splitlines()]
    times = [float(word) for word in found if word and word != "N/A"]
    return times or None
