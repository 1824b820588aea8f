"""Stored videos one after the other in one mp4, their packets copied: nothing is decoded, no picture changes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import av
import numpy as np

from worldloom.catalogs.containers import DEMUX_ERRORS, VideoLimits, choose_stream, error_text, open_video
from worldloom.catalogs.errors import BadInput


class CodedVideo(NamedTuple):
    """What of a video decides whether its packets may follow those of another.

    Attributes:
        coding: codec, size, pixel format, parameter sets, and by how many frames decoding runs ahead of showing.
        frames: how many; frame i is shown at i / fps.
    """

    coding: tuple[object, ...]
    frames: int


def coded_video(video: Path, fps: Fraction) -> CodedVideo:
    """Look at the packets of a video.

    Raises:
        BadInput: `not_constant_rate`, its frames are not shown at 0, 1 / fps, 2 / fps, ...; `damaged`; those of
            `open_video`.
    """
    shown: list[int] = []
    with open_video(video) as container:
        stream = choose_stream(container, None, VideoLimits(), video)
        decoder = stream.codec_context
        delay = None
        for packet in _packets(container, stream, video):
            at, decoded = _frame(packet.pts, packet, fps), _frame(packet.dts, packet, fps)
            delay = decoded if delay is None else delay
            shown.append(at)
        coding: tuple[object, ...] = (
            decoder.codec.canonical_name,
            decoder.width,
            decoder.height,
            decoder.pix_fmt,
            bytes(decoder.extradata or b""),
            delay,
        )
    if not shown or (np.sort(shown) != np.arange(len(shown))).any():
        raise BadInput("not_constant_rate", f"its frames are not shown at whole multiples of 1/{fps} s", where=video)
    return CodedVideo(coding, len(shown))


class Concatenation:
    """Appends videos of one rate; a new file begins where the coding changes or a file has grown large.

        with Concatenation(lambda number: folder / f"{number}.mp4", fps=Fraction(30), most_bytes=10**8) as whole:
            file, first_frame = whole.append(video)

    Args:
        file_of: path of file number 0, 1, ...; folders are made.
        fps: of all videos.
        most_bytes: of a file, unless one video alone is larger.
    """

    def __init__(self, file_of: Callable[[int], Path], fps: Fraction, most_bytes: int) -> None:
        self._file_of = file_of
        self._fps = fps
        self._most_bytes = most_bytes
        self._number = -1
        self._container: Any = None
        self._stream: Any = None
        self._coding: tuple[object, ...] = ()
        self._frames = 0
        self._bytes = 0

    def append(self, video: Path) -> tuple[int, int]:
        """Add a video; the number of the file it is in, and which frame of that is its first.

        Raises:
            BadInput: as `coded_video`.
        """
        coded = coded_video(video, self._fps)
        size = video.stat().st_size
        with open_video(video) as container:
            stream = choose_stream(container, None, VideoLimits(), video)
            if self._container is None or coded.coding != self._coding or self._bytes + size > self._most_bytes:
                self._begin(stream, coded.coding)
            first = self._frames
            for packet in _packets(container, stream, video):
                pts, dts = _frame(packet.pts, packet, self._fps), _frame(packet.dts, packet, self._fps)
                packet.pts, packet.dts, packet.time_base = first + pts, first + dts, 1 / self._fps
                packet.duration = 1
                packet.stream = self._stream
                self._container.mux(packet)
        self._frames += coded.frames
        self._bytes += size
        return self._number, first

    def close(self) -> None:
        """Finish the last file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Concatenation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, like: Any, coding: tuple[object, ...]) -> None:
        self.close()
        self._number += 1
        path = self._file_of(self._number)
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        self._container = av.open(f"file:{path.resolve()}", "w", format="mp4", options=options)
        self._stream = self._container.add_stream_from_template(like)
        self._stream.time_base = 1 / self._fps
        self._coding, self._frames, self._bytes = coding, 0, 0


def _packets(container: Any, stream: Any, where: Path) -> Any:
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.dts is None:
                raise BadInput("not_constant_rate", "a packet of it has no time", where=where)
            yield packet
    except MemoryError:
        raise
    except DEMUX_ERRORS as error:
        raise BadInput("damaged", f"it cannot be read to its end ({error_text(error)})", where=where) from None


def _frame(time: int, packet: Any, fps: Fraction) -> int:
    return round(time * packet.time_base * fps)
