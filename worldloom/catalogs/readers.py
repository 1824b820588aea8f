"""Random access to the frames of one video: PyAV by default, decord on request.

A reader answers `count`, `pts_s`, `size` and `read(wanted)`, where `wanted` ascends; `Frames` does the rest.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from worldloom.catalogs.containers import (
    DEMUX_ERRORS,
    VideoLimits,
    choose_stream,
    error_text,
    open_video,
    read_packets,
)
from worldloom.catalogs.decode import Converter
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.probe import orientation, rate_of


class Reader(Protocol):
    """What `Frames` needs of a reader.

    Attributes:
        pts_s: (count,) float64, seconds.
        size: width and height in pixels, after rotation.
    """

    pts_s: np.ndarray
    size: tuple[int, int]

    def read(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB for each of `wanted`, which ascends strictly."""

    def close(self) -> None:
        """Let go of the file."""


class PyavReader:
    """Decodes forward and seeks to a key frame only where that skips something; one thread."""

    def __init__(self, video: Path | bytes, limits: VideoLimits) -> None:
        self._video = video
        self._limits = limits
        self._where = None if isinstance(video, bytes) else video
        self._converter = Converter()
        self._container: Any = None
        self._open()
        table = read_packets(self._container, self._stream)
        if len(table.pts) == 0:
            self.close()
            raise BadInput("no_frames", "there is no frame in the video", where=self._where)
        self._pts = table.pts
        self._key = np.flatnonzero(table.key)
        # A repeated or missing PTS does not say which frame it is: then frames are counted from the start instead.
        self._seekable = len(self._key) > 0 and table.exact
        base = self._stream.time_base
        if self._seekable:
            self.pts_s = (table.pts * float(base)).astype(np.float64)
        else:
            fps, _ = rate_of(table.pts, base, self._stream.average_rate)
            self.pts_s = np.arange(len(table.pts)) / float(fps)
        self._open()
        self.size = self._upright_size()

    def read(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB for each of `wanted`, which ascends strictly.

        Raises:
            BadInput: `damaged`, naming the frame that does not decode.
        """
        return map(self._converter.rgb, self.decoded(wanted))

    def decoded(self, wanted: Sequence[int]) -> Iterator[Any]:
        """The same frames as PyAV decodes them, colours untouched."""
        for target in wanted:
            if not self._reaches(target):
                self._go_to(target)
            yield self._advance(target)

    def close(self) -> None:
        """Let go of the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> None:
        self.close()
        self._container = open_video(self._video, self._limits)
        self._stream = choose_stream(self._container, None, self._limits, self._where)
        self._decoded = self._container.decode(self._stream)
        self._next = 0  # index of the frame that comes out next
        self._held: Any = None  # that frame, where it is decoded already

    def _upright_size(self) -> tuple[int, int]:
        frame = self._pull()
        if frame is None:
            raise BadInput("no_frames", "no frame of the video decodes", where=self._where)
        self._held = frame
        turns, _ = orientation(frame)
        return (frame.height, frame.width) if turns % 2 else (frame.width, frame.height)

    def _reaches(self, target: int) -> bool:
        """Whether decoding on from here is no longer than from the last key frame before the target."""
        if target < self._next:
            return False
        return not self._seekable or self._last_key(target) <= self._next

    def _last_key(self, target: int) -> int:
        at = int(np.searchsorted(self._key, target, side="right")) - 1
        return int(self._key[at]) if at >= 0 else 0

    def _go_to(self, target: int) -> None:
        """Stand before the nearest key frame; containers may seek too late, then one key frame earlier is tried."""
        key = self._last_key(target)
        while self._seekable and key > 0:
            self._container.seek(int(self._pts[key]), stream=self._stream, backward=True)
            self._decoded = self._container.decode(self._stream)
            frame = self._pull()
            if frame is not None and frame.pts is not None:
                found = int(np.searchsorted(self._pts, frame.pts))
                if found <= target and self._pts[found] == frame.pts:
                    self._next, self._held = found, frame
                    return
            key = self._last_key(key - 1)
        self._open()

    def _advance(self, target: int) -> Any:
        """The frame `target`, decoding on from where the reader stands."""
        while True:
            frame = self._held if self._held is not None else self._pull()
            self._held = None
            if frame is None:
                message = f"frame {target} of {len(self._pts)} does not decode"
                raise BadInput("damaged", message, where=self._where)
            at = self._next
            self._next += 1
            if self._seekable and frame.pts != self._pts[at]:
                message = f"frame {at} of {len(self._pts)} is missing or damaged"
                raise BadInput("damaged", message, where=self._where)
            if at == target:
                return frame

    def _pull(self) -> Any:
        try:
            return next(self._decoded, None)
        except MemoryError:
            raise
        except DEMUX_ERRORS as error:
            message = f"decoding stops near frame {self._next} of {len(self._pts)} ({error_text(error)})"
            raise BadInput("damaged", message, where=self._where) from None


class DecordReader:
    """decord, for pipelines that already depend on it. It can hang on damaged files: use it inside a `sandbox.Child`.

    Last released in 2021; it keeps to the pixels of PyAV, which a test holds it to.
    """

    def __init__(self, video: Path | bytes, limits: VideoLimits) -> None:
        self._where = None if isinstance(video, bytes) else video
        with open_video(video, limits) as container:  # whitelists and limits: decord has none
            choose_stream(container, None, limits, self._where)
        try:
            import decord
        except ImportError:
            raise UsageError("reader 'decord' is not installed: pip install 'worldloom[decord]'") from None
        source: Any = io.BytesIO(video) if isinstance(video, bytes) else str(Path(video).resolve())
        try:
            self._reader = decord.VideoReader(source, ctx=decord.cpu(0), num_threads=1)
            self.pts_s = self._reader.get_frame_timestamp(range(len(self._reader)))[:, 0].astype(np.float64)
            height, width, _ = self._reader[0].shape
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            message = f"decord cannot read it ({str(error).splitlines()[0][:200]})"
            raise BadInput("cannot_open", message, where=self._where) from None
        self.size = (width, height)

    def read(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB for each of `wanted`."""
        for target in wanted:
            yield self._reader[target].asnumpy()

    def close(self) -> None:
        """Let go of the file."""
        self._reader = None


READERS: dict[str, type[PyavReader] | type[DecordReader]] = {"pyav": PyavReader, "decord": DecordReader}
