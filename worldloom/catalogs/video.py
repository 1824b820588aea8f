"""Video files: look at one (`probe`), read a source through (`decode_source`), open frames (`Frames`), write one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import overload

import numpy as np

from worldloom.catalogs.config import nearest
from worldloom.catalogs.containers import VideoLimits
from worldloom.catalogs.decode import Converter, SourceFrames, cfr_index, decode_source
from worldloom.catalogs.encode import Encoder, conforms, encode_frames, has_stored_colours
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.probe import VideoInfo, probe
from worldloom.catalogs.readers import READERS, PyavReader, Reader

__all__ = [
    "Encoder",
    "Frames",
    "SourceFrames",
    "VideoInfo",
    "VideoLimits",
    "cfr_index",
    "conforms",
    "decode_source",
    "encode_frames",
    "probe",
    "reencode",
]

_BLOCK_FRAMES = 32
"""Frames decoded at a time when iterating against the order of the file, so that each GOP is decoded about once."""


class Frames:
    """The frames of one video, decoded when asked for.

        with Frames(path) as frames:
            frames[10]          # (H, W, 3) uint8 RGB
            frames[10:20]       # (10, H, W, 3)
            frames[[3, 1, 1]]   # (3, H, W, 3)
            for rgb in frames:  # one pass, one frame in memory
                ...

    Args:
        video: path of a file, or its bytes.
        index: (T,) which frame of the file each frame is; the order of the file where not given.
        reader: `pyav`, or `decord` where that is installed.
        limits: what the file may claim.

    Attributes:
        pts_s: (T,) float64, presentation time of each frame in its file, seconds.
        width: pixels.
        height: pixels.

    Raises:
        BadInput: the file cannot be read, or `bad_index`.
        UsageError: no such reader, or decord is not installed.
    """

    def __init__(
        self,
        video: Path | str | bytes,
        index: np.ndarray | Sequence[int] | None = None,
        reader: str = "pyav",
        limits: VideoLimits | None = None,
    ) -> None:
        if reader not in READERS:
            raise UsageError(f"reader '{reader}' is unknown" + nearest(reader, list(READERS)))
        source = video if isinstance(video, bytes) else Path(video)
        self._reader: Reader = READERS[reader](source, limits or VideoLimits())
        count = len(self._reader.pts_s)
        self._index = np.arange(count) if index is None else np.asarray(index, np.int64).reshape(-1)
        if len(self._index) and (self._index.min() < 0 or self._index.max() >= count):
            self.close()
            message = f"frame {int(self._index.max())} is wanted of a video of {count}"
            raise BadInput("bad_index", message, where=None if isinstance(video, bytes) else video)
        self.pts_s = self._reader.pts_s[self._index]
        self.width: int = self._reader.size[0]
        self.height: int = self._reader.size[1]

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, item: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, item: slice | Sequence[int] | np.ndarray) -> np.ndarray: ...
    def __getitem__(self, item: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        if isinstance(item, (int, np.integer)):
            return self._gather(self._index[[int(item)]])[0]
        return self._gather(self._index[item if isinstance(item, slice) else np.asarray(item, np.int64)])

    def __iter__(self) -> Iterator[np.ndarray]:
        if bool((np.diff(self._index) > 0).all()):
            yield from self._reader.read(self._index.tolist())
            return
        for start in range(0, len(self), _BLOCK_FRAMES):
            yield from self[start : start + _BLOCK_FRAMES]

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def __enter__(self) -> Frames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _gather(self, wanted: np.ndarray) -> np.ndarray:
        """(n, H, W, 3) for indices into the file in any order; each frame is decoded once."""
        unique, back = np.unique(wanted, return_inverse=True)
        if len(unique) == 0:
            return np.zeros((0, self.height, self.width, 3), np.uint8)
        places: list[list[int]] = [[] for _ in unique]
        for place, which in enumerate(back.reshape(-1).tolist()):
            places[which].append(place)
        out = np.empty((len(wanted), self.height, self.width, 3), np.uint8)
        for targets, picture in zip(places, self._reader.read(unique.tolist()), strict=True):
            if picture.shape != out.shape[1:]:
                raise BadInput("damaged", f"the picture changes its size to {picture.shape[1]} x {picture.shape[0]}")
            out[targets] = picture
        return out


def reencode(
    video: Path | str | bytes,
    index: np.ndarray | Sequence[int],
    path: Path | str,
    fps: Fraction,
    crf: float = 18,
    preset: str = "fast",
) -> int:
    """Write chosen frames of a stored video as a video of its own: a window, a reversal, a loop.

    Colours are not converted on the way, so a derived clip is no darker than its parent (a model would learn to tell).

    Args:
        video: path or bytes of the parent.
        index: (T,) which frames of it, in any order.
        path: where the mp4 goes.
        fps: exact constant rate.
        crf: x264's quality.
        preset: x264's trade of time for size.

    Returns:
        How many frames were written.

    Raises:
        BadInput: the parent is damaged, or the index is empty (`no_frames`).
    """
    wanted = np.asarray(index, np.int64).reshape(-1)
    reader = PyavReader(video if isinstance(video, bytes) else Path(video), VideoLimits())
    exact = Converter(exact=True)
    try:
        with Encoder(path, *reader.size, Fraction(fps), crf, preset) as encoder:
            for start in range(0, len(wanted), _BLOCK_FRAMES):
                block = wanted[start : start + _BLOCK_FRAMES]
                unique = np.unique(block).tolist()
                frames = dict(zip(unique, reader.decoded(unique), strict=True))
                for number in block.tolist():
                    frame = frames[number]
                    if has_stored_colours(frame):
                        encoder.write_stored(frame)
                    else:
                        encoder.write(exact.rgb(frame))
        return encoder.frames
    finally:
        reader.close()
