"""What a video file is, found out without trusting it: magic bytes, whitelists, limits, then one decoded frame.

FFmpeg follows what a file says: a text file called x.mp4 with an ffconcat or m3u8 header opens other files and hosts.
So a file is opened only if its first bytes are those of a container, with FFmpeg's protocols and formats whitelisted,
and never as a URL. Decoders have crashed on damaged files: call this in a `sandbox.Child` for files of others.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import BadInput

_FORMATS = "mov,matroska,webm,avi,mpegts"
_CONVERT = "Convert it first: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
_HEAD_BYTES = 1024
_NO_TIME = -(1 << 62)
_SCAN_FOR_ENCRYPTION_BYTES = 4 << 20
_TEXT = (b"{", b"[", b"<", b"#", b"ffconcat", b"\xef\xbb\xbf")
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"ID3", "mp3"),
    (0, b"fLaC", "flac"),
    (8, b"WAVE", "wav"),
    (0, b"OggS", "ogg"),
    (0, b"FLV", "flv"),
    (0, b"\x00\x00\x01\xba", "mpeg program stream"),
    (0, b"\x30\x26\xb2\x75", "wmv"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG", "png"),
    (0, b"GIF8", "gif"),
    (8, b"WEBP", "webp"),
    (0, b"%PDF", "pdf"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (257, b"ustar", "tar"),
)
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot")


class VideoLimits(Strict):
    """What a file may claim before anything is decoded.

    Attributes:
        max_pixels: width x height; the default is one 8K picture, 8192 x 4320 (default ours).
        min_side: shorter side in pixels; nothing below it can be annotated (default ours).
        max_duration_s: seconds, as the container says (default ours: six hours).
        max_streams: streams in the file (default ours).
    """

    max_pixels: int = 8192 * 4320
    min_side: int = 16
    max_duration_s: float = 6 * 3600.0
    max_streams: int = 64


@dataclass(frozen=True)
class VideoInfo:
    """What the packets and the first decoded frame of one video stream say.

    Attributes:
        path: the file, or None where it was read from bytes.
        width: pixels, after rotation.
        height: pixels, after rotation.
        fps: mean rate; exactly the stated one where the time stamps agree with it.
        frames: packets of the stream that hold a frame; a damaged file decodes to fewer.
        duration_s: first to last frame plus one mean frame; None where packets carry no time.
        codec: FFmpeg's name of the decoder.
        pix_fmt: of the stored frames.
        rotation: degrees, counter-clockwise, that turns the stored picture upright: 0, 90, 180 or 270.
        mirrored: whether the stored picture is flipped left to right before the rotation.
        stream: index of the stream in the file.
        time_base: seconds per unit of PTS.
        variable: whether the distance between frames varies by more than 2 % (and more than rounding explains).
        keyframe_gap: longest distance between key frames, in frames.
        pixel_aspect: width of a stored pixel over its height, after rotation.
        size_bytes: of the file.
        streams: number of streams of any kind.
        first_pts: smallest PTS, in `time_base`.
    """

    path: Path | None
    width: int
    height: int
    fps: Fraction
    frames: int
    duration_s: float | None
    codec: str
    pix_fmt: str
    rotation: int
    mirrored: bool
    stream: int
    time_base: Fraction
    variable: bool
    keyframe_gap: int
    pixel_aspect: Fraction
    size_bytes: int
    streams: int
    first_pts: int


@dataclass(frozen=True)
class PacketTable:
    """Presentation times and key frames of one stream, read without decoding.

    Attributes:
        pts: (n,) int64, ascending; some files repeat one.
        key: (n,) bool.
        exact: whether every packet carries a PTS of its own, so that a PTS names a frame (AVI gives none).
        error: what ended the reading before the end of the file; empty where nothing did.
    """

    pts: np.ndarray
    key: np.ndarray
    exact: bool
    error: str = ""


def sniff(head: bytes) -> str:
    """Kind of a file by its first bytes: `video`, `empty`, `text`, the name of another kind, or `unknown`."""
    if not head:
        return "empty"
    transport_stream = any(
        head[at : at + 1] == b"G" == head[at + step : at + step + 1] for at, step in ((0, 188), (4, 192))
    )
    matroska_or_avi = head[:4] == b"\x1a\x45\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    if head[4:8] in _MP4_BOXES or matroska_or_avi:
        return "video"
    for offset, magic, kind in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if transport_stream:
        return "video"
    if head[0] == 0xFF and head[1:2] and head[1] & 0xE0 == 0xE0:
        return "mp3"
    printable = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in head)
    return "text" if head.lstrip().startswith(_TEXT) or printable > 0.95 * len(head) else "unknown"


def refuse_other_kinds(head: bytes, where: str | Path | None) -> None:
    """Raise unless the first bytes are those of a container we read.

    Raises:
        BadInput: `empty_file`, `not_video`, `no_video_stream` (audio) or `cannot_open` (containers we do not read).
    """
    kind = sniff(head)
    if kind == "video":
        return
    if kind == "empty":
        raise BadInput("empty_file", "the file is empty", where=where)
    if kind in ("mp3", "flac", "wav"):
        raise BadInput("no_video_stream", f"an audio file ({kind}), there is no picture in it", where=where)
    if kind in ("ogg", "flv", "wmv", "mpeg program stream"):
        raise BadInput("cannot_open", f"{kind} files are not read", where=where, remedy=_CONVERT)
    what = {"text": "a text file", "unknown": "not a video container we know"}.get(kind, f"a {kind} file")
    raise BadInput("not_video", f"{what}; mp4, mov, mkv, webm, avi and ts are read", where=where)


def open_video(video: Path | str | bytes, limits: VideoLimits | None = None) -> Any:
    """An `av` input container, opened with every precaution; close it after use.

    Raises:
        BadInput: as `refuse_other_kinds`, or `missing_file`, `cannot_open`, `too_many_streams`.
    """
    limits = limits or VideoLimits()
    where = None if isinstance(video, bytes) else Path(video)
    refuse_other_kinds(_head(video), where)
    source: Any = io.BytesIO(video) if isinstance(video, bytes) else f"file:{Path(video).resolve()}"
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS, "max_pixels": str(limits.max_pixels)}
    try:
        container = av.open(source, options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise BadInput(
            "cannot_open", f"the container is damaged or incomplete ({_short(error)})", where=where
        ) from None
    if len(container.streams) > limits.max_streams:
        count = len(container.streams)
        container.close()
        raise BadInput("too_many_streams", f"{count} streams, at most {limits.max_streams} are read", where=where)
    return container


def choose_stream(container: Any, stream: int | None, limits: VideoLimits, where: str | Path | None) -> Any:
    """The video stream with this index in the file, or the best one; its decoder set to one thread and checked.

    Cover pictures of audio files do not count as video.

    Raises:
        BadInput: `no_video_stream`, `too_large`, `too_small`, `too_long`.
    """
    cover = av.stream.Disposition.attached_pic
    videos = [one for one in container.streams.video if not one.disposition & cover]
    if stream is not None:
        videos = [one for one in videos if one.index == stream]
    if not videos:
        raise BadInput("no_video_stream", "there is no video stream in it", where=where)
    best = container.streams.best("video")
    chosen = next((one for one in videos if best is not None and one.index == best.index), videos[0])
    decoder = chosen.codec_context
    if decoder is None:
        raise BadInput("cannot_open", "FFmpeg has no decoder for its video", where=where, remedy=_CONVERT)
    _check_claims(container, decoder, limits, where)
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(limits.max_pixels)}
    return chosen


def read_packets(container: Any, stream: Any) -> PacketTable:
    """Time stamps of all packets of a stream, up to the first that cannot be read. Nothing is decoded."""
    pts: list[int] = []
    key: list[bool] = []
    exact = container.format.name != "avi"  # FFmpeg guesses its PTS, and guesses otherwise after a seek
    error = ""
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                exact &= packet.pts is not None
                time = packet.pts if packet.pts is not None else packet.dts
                pts.append(_NO_TIME if time is None else time)
                key.append(bool(packet.is_keyframe))
    except MemoryError:
        raise
    except av.error.FFmpegError as problem:
        error = _short(problem)
    order = np.argsort(np.asarray(pts, np.int64), kind="stable")
    ascending = np.asarray(pts, np.int64)[order]
    exact &= bool((np.diff(ascending) > 0).all())
    return PacketTable(ascending, np.asarray(key, bool)[order], exact, error)


def probe(video: Path | str | bytes, limits: VideoLimits | None = None, stream: int | None = None) -> VideoInfo:
    """Look at a file: limits first, then its packets, then one decoded frame.

    Args:
        video: path of a local file, or the bytes of one.
        limits: what it may claim.
        stream: index of the stream in the file; the best video stream where not given.

    Raises:
        BadInput: `missing_file`, `empty_file`, `not_video`, `no_video_stream`, `cannot_open`, `no_frames`,
            `encrypted`, `too_large`, `too_small`, `too_long`, `too_many_streams`.
    """
    limits = limits or VideoLimits()
    where = None if isinstance(video, bytes) else Path(video)
    with open_video(video, limits) as container:
        chosen = choose_stream(container, stream, limits, where)
        index, claimed = chosen.index, int(chosen.frames)  # a stream is not to be touched once its file is closed
        table = read_packets(container, chosen)
    with open_video(video, limits) as container:  # afresh: a demuxer that ran into damage cannot always rewind
        chosen = choose_stream(container, index, limits, where)
        frame, problem = _first_frame(container, chosen)
        if frame is None:
            raise _no_frames(video, claimed, problem or table.error, where)
        turns, mirrored = orientation(frame)
        fps, variable = rate_of(table.pts, chosen.time_base, chosen.average_rate)
        timed = len(table.pts) > 0 and table.pts[0] > _NO_TIME
        width, height = frame.width, frame.height
        aspect = chosen.codec_context.sample_aspect_ratio or chosen.sample_aspect_ratio or Fraction(1)
        sideways = turns % 2 == 1
        return VideoInfo(
            path=where,
            width=height if sideways else width,
            height=width if sideways else height,
            fps=fps,
            frames=len(table.pts),
            duration_s=float((table.pts[-1] - table.pts[0]) * chosen.time_base + 1 / fps) if timed else None,
            codec=chosen.codec_context.codec.canonical_name,
            pix_fmt=frame.format.name,
            rotation=turns * 90,
            mirrored=mirrored,
            stream=chosen.index,
            time_base=chosen.time_base,
            variable=variable,
            keyframe_gap=_longest_gap(table.key),
            pixel_aspect=1 / Fraction(aspect) if sideways and aspect else Fraction(aspect or 1),
            size_bytes=len(video) if isinstance(video, bytes) else Path(video).stat().st_size,
            streams=len(container.streams),
            first_pts=int(table.pts[0]) if timed else 0,
        )


def orientation(frame: Any) -> tuple[int, bool]:
    """How to show a stored frame upright: mirror it left to right if told, then turn it k x 90 deg counter-clockwise.

    From the display matrix (libavutil/display.h): p' = a p + c q, q' = b p + d q, with a b u c d v x y w as
    32-bit numbers; matrices with a negative determinant mirror.
    """
    for side_data in frame.side_data:
        if side_data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = (float(value) for value in np.frombuffer(bytes(side_data), "=i4")[:5])
            mirrored = a * d - b * c < 0
            if mirrored:
                a, b = -a, -b
            return round(-math.degrees(math.atan2(b, a)) / 90) % 4, mirrored
    return 0, False


def rate_of(pts: np.ndarray, time_base: Fraction, stated: Fraction | None) -> tuple[Fraction, bool]:
    """Mean frame rate and whether frames lie unevenly.

    The stated rate is taken where first and last PTS agree with it up to rounding to the time base (30 fps in
    milliseconds is 33, 67, 100), else the mean one, with a denominator of at most 10,000.

    Args:
        pts: (n,) int64, ascending.
        time_base: seconds per unit.
        stated: what the container says.
    """
    stated = stated if stated is not None and 0 < stated <= 1000 else None
    if len(pts) < 2 or pts[-1] <= pts[0]:
        return stated or Fraction(1), False
    if pts[0] == _NO_TIME:
        return stated or Fraction(25), False
    steps = len(pts) - 1
    span = int(pts[-1] - pts[0])
    mean = steps / (span * time_base)
    if stated is not None and abs(steps / stated / time_base - span) <= 2:
        fps = Fraction(stated)
    else:
        fps = mean.limit_denominator(10_000)
    even = 1 / fps / time_base
    off = np.abs(np.diff(pts).astype(np.float64) - float(even))
    return fps, bool(off.max() > max(1.0, 0.02 * float(even)))


def _head(video: Path | str | bytes) -> bytes:
    if isinstance(video, bytes):
        return video[:_HEAD_BYTES]
    try:
        with Path(video).open("rb") as file:
            return file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise BadInput("missing_file", "no such file", where=video) from None
    except OSError as error:
        raise BadInput("cannot_open", f"cannot be read ({error.strerror})", where=video) from None


def _check_claims(container: Any, decoder: Any, limits: VideoLimits, where: str | Path | None) -> None:
    width, height = decoder.width, decoder.height
    if width * height > limits.max_pixels:
        limit = f"at most {limits.max_pixels} pixels are read"
        raise BadInput("too_large", f"{width} x {height} pixels, {limit}", where=where, remedy="Scale it down first.")
    if width and height and min(width, height) < limits.min_side:
        raise BadInput("too_small", f"{width} x {height} pixels, a side has at least {limits.min_side}", where=where)
    seconds = (container.duration or 0) / 1e6
    if seconds > limits.max_duration_s:
        message = f"{seconds:.0f} s long, at most {limits.max_duration_s:.0f} s are read"
        raise BadInput("too_long", message, where=where, remedy="Cut it first, or raise max_duration_s.")


def _first_frame(container: Any, stream: Any) -> tuple[Any, str]:
    """The first frame that decodes, and the last problem met on the way."""
    problem = ""
    try:
        for packet in container.demux(stream):
            try:
                for frame in stream.codec_context.decode(packet):
                    return frame, problem
            except MemoryError:
                raise
            except av.error.FFmpegError as error:
                problem = _short(error)
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        problem = _short(error)
    return None, problem


def _no_frames(video: Path | str | bytes, claimed: int, problem: str, where: str | Path | None) -> BadInput:
    if isinstance(video, bytes):
        start = video[:_SCAN_FOR_ENCRYPTION_BYTES]
    else:
        with Path(video).open("rb") as file:
            start = file.read(_SCAN_FOR_ENCRYPTION_BYTES)
    if b"encv" in start or (b"sinf" in start and b"tenc" in start):
        return BadInput("encrypted", "the video is encrypted (common encryption), no frame can be read", where=where)
    said = f"it claims {claimed} frames, none of them decodes" if claimed else "there is no frame in it"
    why = f" ({problem})" if problem else " (the data ends before the first one)" if claimed else ""
    return BadInput("no_frames", said + why, where=where)


def _longest_gap(key: np.ndarray) -> int:
    at = np.flatnonzero(key)
    if len(at) == 0:
        return len(key)
    return int(np.diff(np.concatenate([at, [len(key)]])).max())


def _short(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text)[:200]
