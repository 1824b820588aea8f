"""What a video file is: its packets and its first decoded frame.

Decoders have crashed on damaged files: call this in a `sandbox.Child` for files of others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from worldloom.catalogs.containers import (
    DEMUX_ERRORS,
    NO_TIME,
    VideoLimits,
    choose_stream,
    error_text,
    open_video,
    read_packets,
)
from worldloom.catalogs.errors import BadInput

_SCAN_FOR_ENCRYPTION_BYTES = 4 << 20


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
        timed = len(table.pts) > 0 and table.pts[0] > NO_TIME
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
    if pts[0] == NO_TIME:
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
                problem = error_text(error)
    except MemoryError:
        raise
    except DEMUX_ERRORS as error:
        problem = error_text(error)
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
