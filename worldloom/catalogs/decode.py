"""A source video from its first frame to its last: any codec and pixel format to upright RGB, damage counted."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from worldloom.catalogs.containers import DEMUX_ERRORS, VideoLimits, choose_stream, error_text, open_video
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.probe import orientation

_FLAGS = av.video.reformatter.Interpolation
_EXACT = int(_FLAGS.BICUBIC | _FLAGS.ACCURATE_RND | _FLAGS.FULL_CHR_H_INT)


_SEEKS = 4
"""Tried to begin near a stretch: at it, and 3, 15 and 63 s before; then the whole file is decoded up to it (ours)."""


class Converter:
    """Turns decoded frames into upright (H, W, 3) uint8 RGB; matrix and range as the frame is tagged.

    FFmpeg's fast conversion rounds down: pictures come out 1.0 to 1.4 levels darker (measured on photographs), which
    annotators do not mind and decord shares. What is encoded again takes the exact one, which has no such bias: 51 dB
    instead of 44 dB to the original, for 3 ms instead of 0.1 ms at 832x480.

    Args:
        exact: round to nearest, at full chroma resolution.
    """

    def __init__(self, exact: bool = False) -> None:
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._how = _EXACT if exact else None

    def rgb(self, frame: Any) -> np.ndarray:
        """The picture of one decoded frame, in memory of its own."""
        picture = self._reformatter.reformat(frame, format="rgb24", interpolation=self._how, threads=1).to_ndarray()
        turns, mirrored = orientation(frame)
        if mirrored:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(np.rot90(picture, turns))


class SourceFrames:
    """Iterates once over (pts, rgb) of a source video; afterwards says how much of it was damaged.

    Attributes:
        stream: index of the stream in the file.
        time_base: seconds per unit of PTS.
        frames: how many frames came out so far.
        damaged: packets that did not decode, and frames the decoder flags as corrupt (they are given out all the same).
        error: what ended the video before its end; empty where nothing did.
    """

    def __init__(
        self,
        path: Path | str | bytes,
        stream: int | None = None,
        limits: VideoLimits | None = None,
        exact: bool = True,
        stretch: tuple[int, int] | None = None,
    ) -> None:
        self.frames = 0
        self.damaged = 0
        self.error = ""
        self._limits = limits or VideoLimits()
        self._exact = exact
        self._path = path
        self._container, self._stream = self._opened(stream)
        self.stream: int = self._stream.index
        self.time_base: Fraction = self._stream.time_base
        self._stretch = stretch

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        converter = Converter(self._exact)
        last: int | None = None
        shape: tuple[int, ...] | None = None
        first, until = self._stretch or (None, None)
        if first is not None:
            self._seek_before(first)
        with self._container:
            for frame in self._decoded():
                # Some AVI and damaged files give no PTS, or one that goes back: such frames follow at the stated rate.
                pts = frame.pts if frame.pts is not None else frame.dts
                if pts is None or (last is not None and pts <= last):
                    pts = 0 if last is None else last + self._usual_step()
                if until is not None and pts > until:
                    return
                if first is not None and pts < first:
                    continue
                picture = converter.rgb(frame)
                if shape is not None and picture.shape != shape:
                    self.error = (
                        f"the picture changes its size from {shape[1]} x {shape[0]} to "
                        f"{picture.shape[1]} x {picture.shape[0]} after {self.frames} frames"
                    )
                    return
                shape, last = picture.shape, pts
                self.frames += 1
                self.damaged += bool(frame.is_corrupt)
                yield pts, picture

    def _decoded(self) -> Iterator[Any]:
        try:
            for packet in self._container.demux(self._stream):
                try:
                    yield from self._stream.codec_context.decode(packet)
                except MemoryError:
                    raise
                except av.error.FFmpegError:
                    self.damaged += 1
        except MemoryError:
            raise
        except DEMUX_ERRORS as error:
            self.error = f"cannot be read after {self.frames} frames ({error_text(error)})"

    def _opened(self, stream: int | None) -> tuple[Any, Any]:
        where = None if isinstance(self._path, bytes) else Path(self._path)
        container = open_video(self._path, self._limits)
        try:
            return container, choose_stream(container, stream, self._limits, where)
        except BaseException:
            container.close()
            raise

    def _seek_before(self, first: int) -> None:
        """Go to a key frame that is shown no later than `first`, so that all after it decode; else to the beginning.

        Demuxers go by decoding times, or to the middle of a group of pictures: with frames that refer across a key
        frame (open GOP), and in transport streams, a seek alone ends behind the frames that were asked for.
        """
        back = round(1 / self.time_base)
        for step in range(_SEEKS):
            target = first - back * (4**step - 1)
            try:
                self._container.seek(target, stream=self._stream, backward=True)
                landed = next((one for one in self._container.demux(self._stream) if one.is_keyframe), None)
                if landed is None or landed.pts is None or landed.pts > first:
                    continue
                self._container.seek(target, stream=self._stream, backward=True)
                return
            except DEMUX_ERRORS:
                break
        self._container.close()
        self._container, self._stream = self._opened(self.stream)

    def _usual_step(self) -> int:
        rate = self._stream.average_rate or Fraction(25)
        return max(1, round(1 / (rate * self.time_base)))


def decode_source(
    path: Path | str | bytes,
    stream: int | None = None,
    limits: VideoLimits | None = None,
    exact: bool = True,
    stretch: tuple[int, int] | None = None,
) -> SourceFrames:
    """Open a source for one pass: `for pts, rgb in (source := decode_source(path)): ...`, then `source.damaged`.

    Args:
        path: a local file, or its bytes.
        stream: index of the stream in the file (`VideoInfo.stream`); the best video stream where not given.
        limits: what it may claim.
        exact: convert colours for encoding again; a pass that only looks is faster without.
        stretch: first and last PTS to give out; decoding begins at the key frame before it.

    Raises:
        BadInput: as `probe`, apart from `no_frames` and `encrypted`: then there is simply nothing to iterate over.
    """
    return SourceFrames(path, stream, limits, exact, stretch)


_ROUNDED_S = 1e-3
"""Time stamps of Matroska and WebM are whole milliseconds: first and last may each be off by half of one."""


def cfr_index(pts_s: np.ndarray, fps: Fraction | float) -> np.ndarray:
    """Which source frame each frame of a constant rate shows: the nearest one in time, the earlier at a tie.

    The last source frame counts as long as the median one, so 30 frames at 15 fps are 2 s and give 60 at 30 fps;
    a source that already has this rate maps to itself.

    Args:
        pts_s: (n,) seconds, ascending, n >= 1.
        fps: wanted rate.

    Returns:
        (T,) int32 into the source, ascending, T >= 1.

    Raises:
        BadInput: `no_frames`, no source frame at all.
    """
    pts_s = np.asarray(pts_s, np.float64)
    if len(pts_s) == 0:
        raise BadInput("no_frames", "there is no frame to resample")
    rate = float(fps)
    usual = float(np.median(np.diff(pts_s))) if len(pts_s) > 1 else 1 / rate
    if abs(usual - 1 / rate) <= _ROUNDED_S:  # 33, 34, 33 ms: the median is less than what 30 fps take
        usual = 1 / rate
    total = pts_s[-1] - pts_s[0] + usual
    count = max(1, int(np.floor((total + _ROUNDED_S) * rate + 1e-3)))
    wanted = pts_s[0] + np.arange(count) / rate
    after = np.clip(np.searchsorted(pts_s, wanted), 1, max(1, len(pts_s) - 1))
    if len(pts_s) == 1:
        return np.zeros(count, np.int32)
    later_is_nearer = pts_s[after] - wanted < wanted - pts_s[after - 1] - 1e-6
    return np.where(later_is_nearer, after, after - 1).astype(np.int32)
