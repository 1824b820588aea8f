"""Opening a video file without trusting it: magic bytes, whitelists, limits, and nothing decoded yet.

FFmpeg follows what a file says: a text file called x.mp4 with an ffconcat or m3u8 header opens other files and hosts.
So a file is opened only if its first bytes are those of a container, with FFmpeg's protocols and formats whitelisted,
and never as a URL.
"""

from __future__ import annotations

import io
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import BadInput

_FORMATS = "mov,matroska,webm,avi,mpegts"
_CONVERT = "Convert it first: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
_HEAD_BYTES = 1024
DEMUX_ERRORS = (av.error.FFmpegError, IndexError)
"""IndexError is PyAV's answer to a packet of a stream that the header did not announce (found by fuzzing .ts)."""

NO_TIME = -(1 << 62)
"""Stands for the PTS of a packet that has none."""

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
            "cannot_open", f"the container is damaged or incomplete ({error_text(error)})", where=where
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
                pts.append(NO_TIME if time is None else time)
                key.append(bool(packet.is_keyframe))
    except MemoryError:
        raise
    except DEMUX_ERRORS as problem:
        error = error_text(problem)
    order = np.argsort(np.asarray(pts, np.int64), kind="stable")
    ascending = np.asarray(pts, np.int64)[order]
    exact &= bool((np.diff(ascending) > 0).all())
    return PacketTable(ascending, np.asarray(key, bool)[order], exact, error)


def _head(video: Path | str | bytes) -> bytes:
    if isinstance(video, bytes):
        return video[:_HEAD_BYTES]
    try:
        if not stat.S_ISREG(Path(video).stat().st_mode):  # opening a pipe waits for ever
            raise BadInput("not_video", "a pipe, a device or a folder, no file", where=video)
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


def error_text(error: Exception) -> str:
    """What FFmpeg says, without the file's name."""
    if isinstance(error, IndexError):
        return "a stream appears in the middle of the file"
    text = getattr(error, "strerror", None) or str(error)
    return str(text)[:200]
