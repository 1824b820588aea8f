"""The one form in which clips are stored: H.264, yuv420p, BT.709, CFR, GOP of at most 1 s, faststart, no audio.

Equal frames give equal bytes from run to run on one kind of CPU: libx264 gives other bytes for every thread count, so
it runs on one, and without the one feature that reads uninitialised memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.filter
import numpy as np

from worldloom.catalogs.containers import VideoLimits, open_video
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.probe import orientation, probe

_MAX_RATE_TERM = 1 << 24
_BT709 = 1  # matrix, primaries and transfer have this number in ITU-T H.273
_LIMITED = 1


_CONVERSION = "flags=bicubic+accurate_rnd+full_chroma_inp:out_color_matrix=bt709:out_range=tv:out_chroma_loc=left"
"""RGB to yuv420p as H.264 decoders read it back: five times there and back differ by 0.55 levels on average without a
bias, against 12 with chroma where PyAV's own conversion puts it (in the centre), and 1.2 levels darker each time with
FFmpeg's fast rounding."""

_X264 = "mbtree=0"
"""x264's macroblock tree reads memory it never wrote: equal frames gave other bytes on most runs (found by filling
fresh memory, MALLOC_PERTURB_). Without it bytes were equal over 12 fillings x 7 sizes x 3 presets, and fewer."""


class Encoder:
    """Writes one clip; the file appears under its name only when it is whole.

        with Encoder(path, width=480, height=272, fps=Fraction(30000, 1001)) as encoder:
            encoder.write(rgb)

    Args:
        path: where the mp4 goes; its folder exists.
        width: even, pixels.
        height: even, pixels.
        fps: exact constant rate.
        crf: x264's quality, 0 (lossless in yuv420p) to 51; 18 is visually transparent.
        preset: x264's trade of time for size.

    Raises:
        ValueError: odd sides, or a rate that mp4 cannot hold.
    """

    def __init__(
        self, path: Path | str, width: int, height: int, fps: Fraction, crf: float = 18, preset: str = "fast"
    ) -> None:
        fps = Fraction(fps)
        if width <= 0 or height <= 0 or width % 2 or height % 2:
            raise ValueError(f"sides must be even for yuv420p, got {width} x {height}")
        if fps <= 0 or max(fps.numerator, fps.denominator) >= _MAX_RATE_TERM:
            raise ValueError(f"frame rate {fps} cannot be stored, limit its denominator first")
        self.path = Path(path)
        self.frames = 0
        self._size = (height, width, 3)
        self._time_base = 1 / fps
        self._temporary = self.path.with_name(f".{self.path.name}.partial")
        self._converter = _Converter(width, height, self._time_base)
        self._container: Any = av.open(
            f"file:{self._temporary.resolve()}",
            "w",
            format="mp4",
            options={"movflags": "+faststart", "fflags": "+bitexact"},
        )
        self._stream: Any = self._container.add_stream("libx264", rate=fps)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        encoder = self._stream.codec_context
        encoder.time_base = self._time_base
        encoder.thread_count = 1
        encoder.gop_size = max(1, math.floor(fps))
        encoder.colorspace = encoder.color_primaries = encoder.color_trc = _BT709
        encoder.color_range = _LIMITED
        encoder.options = {"crf": f"{crf:g}", "preset": preset, "x264-params": _X264}

    def write(self, rgb: np.ndarray) -> None:
        """Append one frame, (H, W, 3) uint8 RGB.

        Raises:
            ValueError: another shape or dtype.
        """
        if rgb.shape != self._size or rgb.dtype != np.uint8:
            raise ValueError(f"a frame of shape {self._size} uint8 was expected, got {rgb.shape} {rgb.dtype}")
        self._append(self._converter.stored(rgb))

    def write_stored(self, frame: Any) -> None:
        """Append a decoded frame that already has the stored colours (`has_stored_colours`), without converting it.

        Raises:
            ValueError: another size or other colours.
        """
        if not has_stored_colours(frame) or (frame.height, frame.width) != self._size[:2]:
            raise ValueError(f"a yuv420p BT.709 frame of {self._size[1]} x {self._size[0]} was expected")
        frame.pict_type = 0  # else x264 makes key frames where the source had them
        self._append(frame)

    def _append(self, frame: Any) -> None:
        frame.pts, frame.time_base = self.frames, self._time_base
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            BadInput: `no_frames`, nothing was written.
        """
        if self._container is None:
            return
        if self.frames == 0:
            self.abandon()
            raise BadInput("no_frames", "no frame was written", where=self.path)
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._container = None
        self._temporary.replace(self.path)

    def abandon(self) -> None:
        """Drop what was written; no file appears."""
        if self._container is not None:
            container, self._container = self._container, None
            if self.frames:
                container.close()
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


class _Converter:
    """RGB pictures to frames in the stored colours, through FFmpeg's scale filter (PyAV's own cannot place chroma)."""

    def __init__(self, width: int, height: int, time_base: Fraction) -> None:
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        rgb = av.VideoFormat("rgb24", width, height)
        self._source = self._graph.add_buffer(width=width, height=height, format=rgb, time_base=time_base)
        self._sink = self._graph.add("buffersink")
        self._time_base = time_base
        self._graph.link_nodes(
            self._source, self._graph.add("scale", _CONVERSION), self._graph.add("format", "yuv420p"), self._sink
        ).configure()

    def stored(self, rgb: np.ndarray) -> Any:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts, frame.time_base = 0, self._time_base
        self._source.push(frame)
        return self._sink.pull()


def encode_frames(
    path: Path | str, frames: Iterable[np.ndarray], fps: Fraction, crf: float = 18, preset: str = "fast"
) -> int:
    """Write frames of one even size as a clip.

    Args:
        path: where the mp4 goes.
        frames: (H, W, 3) uint8 RGB each; consumed one by one.
        fps: exact constant rate.
        crf: x264's quality.
        preset: x264's trade of time for size.

    Returns:
        How many frames were written.

    Raises:
        BadInput: `no_frames`.
        ValueError: as `Encoder`.
    """
    encoder: Encoder | None = None
    try:
        for rgb in frames:
            if encoder is None:
                encoder = Encoder(path, rgb.shape[1], rgb.shape[0], fps, crf, preset)
            encoder.write(rgb)
        if encoder is None:
            raise BadInput("no_frames", "there is no frame to write", where=path)
        encoder.close()
        return encoder.frames
    except BaseException:
        if encoder is not None:
            encoder.abandon()
        raise


def has_stored_colours(frame: Any) -> bool:
    """Whether a decoded frame is upright yuv420p, tagged as what `Encoder` writes."""
    tagged = (int(frame.colorspace), int(frame.color_range)) == (_BT709, _LIMITED)
    return frame.format.name == "yuv420p" and tagged and orientation(frame) == (0, False)


def conforms(video: Path | str | bytes, limits: VideoLimits | None = None) -> bool:
    """Whether a file already has the stored form, so that ingest may copy it.

    Looks at packets and at the first frame only: whether all frames decode is seen by the pass that cuts shots.

    Raises:
        BadInput: as `probe`.
    """
    info = probe(video, limits)
    stored = (
        info.codec == "h264"
        and info.pix_fmt == "yuv420p"
        and not info.variable
        and info.first_pts == 0
        and info.keyframe_gap <= max(1, math.ceil(info.fps))
        and info.rotation == 0
        and not info.mirrored
        and info.pixel_aspect == 1
        and info.width % 2 == 0
        and info.height % 2 == 0
        and info.streams == 1
    )
    return stored and _is_mp4(video) and _moov_before_mdat(video)


def _is_mp4(video: Path | str | bytes) -> bool:
    with open_video(video) as container:
        return "mp4" in container.format.name.split(",")


def _moov_before_mdat(video: Path | str | bytes) -> bool:
    """Top-level boxes of an mp4 (ISO 14496-12, 4.2): 32-bit size, type, and a 64-bit size where the first is 1."""
    at, total = 0, len(video) if isinstance(video, bytes) else Path(video).stat().st_size
    while at + 8 <= total:
        head = _bytes_at(video, at, 16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind in (b"moov", b"mdat", b"moof"):
            return kind == b"moov"
        at += int.from_bytes(head[8:16], "big") if size == 1 else max(size, 8)
    return False


def _bytes_at(video: Path | str | bytes, offset: int, count: int) -> bytes:
    if isinstance(video, bytes):
        return video[offset : offset + count]
    with Path(video).open("rb") as file:
        file.seek(offset)
        return file.read(count)
