"""Footage as ingest reads it: what it is, and its frames from first to last, as often as asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from worldloom.catalogs.config import digest
from worldloom.catalogs.containers import VideoLimits, choose_stream, open_video, read_packets
from worldloom.catalogs.decode import SourceFrames, decode_source
from worldloom.catalogs.encode import conforms
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.pictures import PictureFrames, probe_pictures
from worldloom.catalogs.probe import probe, rate_of
from worldloom.pipeline.sources.footage import Footage


class Film:
    """The frames of one footage.

    Args:
        footage: of an item.
        where: name of the item, for messages.

    Attributes:
        info: of the frames that are taken; of a stretch, its own rate and number of frames.
        whole: whether all frames of a video file are taken, so that it may be copied.
        choice: names the frames taken where their first and last do not; empty where they lie next to each other. Of
            pictures, their rate and how they were made.

    Raises:
        BadInput: as `probe` and `probe_pictures`; `no_frames`, nothing lies in the span; `no_frame_at_time`.
    """

    def __init__(self, footage: Footage, where: str) -> None:
        self._footage = footage
        self._wanted: np.ndarray | None = None
        self._seekable = False
        self.choice = ""
        if footage.pictures:
            if footage.fps is None:
                raise ValueError(f"{where}: pictures without a rate")
            self.info = probe_pictures(footage.pictures, footage.fps, first=footage.first)
            self.choice = f"pictures:{footage.fps}:{footage.made}"
        else:
            assert footage.video is not None, f"{where}: footage of nothing"
            self.info = probe(footage.video)
            if footage.span_s is not None or footage.times_s is not None:
                self._choose(footage, footage.video, where)
        self.whole = not footage.pictures and self._wanted is None

    def frames(self, *, exact: bool = True) -> PassOver:
        """One pass over the frames; colours converted for encoding, or quicker for looking at."""
        if self._footage.pictures:
            return PassOver(PictureFrames(self._footage.pictures, self._footage.first), None)
        assert self._footage.video is not None
        wanted = self._wanted
        stretch = None if wanted is None or not self._seekable else (int(wanted[0]), int(wanted[-1]))
        source = decode_source(self._footage.video, self.info.stream, exact=exact, stretch=stretch)
        return PassOver(source, None if wanted is None else frozenset(wanted.tolist()))

    def conforms(self) -> bool:
        """Whether the file is as ingest would write it, and may be copied."""
        return self.whole and self._footage.video is not None and conforms(self._footage.video)

    def _choose(self, footage: Footage, video: Path, where: str) -> None:
        with open_video(video) as container:
            table = read_packets(container, choose_stream(container, self.info.stream, VideoLimits(), video))
        self._seekable = table.exact
        pts = np.unique(table.pts) if table.exact else self._decoded_pts(video, where)
        at_s = pts * float(self.info.time_base)
        frame_s = float(1 / self.info.fps)
        kept = np.ones(len(pts), bool)
        if footage.span_s is not None:
            # Spans are written as decimals, and a frame's PTS is rounded to its time base.
            first, last = (edge - frame_s / 4 for edge in footage.span_s)
            kept = (at_s >= first) & (at_s < last)
            if not kept.any():
                first, last = footage.span_s
                message = (
                    f"it has no frame from {first:.3f} to {last:.3f} s, its frames lie from {at_s[0]:.3f} to "
                    f"{at_s[-1]:.3f} s"
                )
                raise BadInput("no_frames", message, where=where)
        if footage.times_s is not None:
            chosen = np.flatnonzero(kept)[nearest_frames(at_s[kept], footage.times_s, frame_s, where)]
            kept = np.zeros(len(pts), bool)
            kept[chosen] = True
            if np.ptp(chosen) + 1 != len(chosen):
                self.choice = f"frames:{digest((chosen - chosen[0]).tolist())}"
        self._wanted = pts[kept]
        fps, variable = rate_of(self._wanted, self.info.time_base, None if self.choice else self.info.fps)
        seconds = float((self._wanted[-1] - self._wanted[0]) * self.info.time_base + 1 / fps)
        self.info = replace(
            self.info,
            fps=fps,
            variable=variable,
            frames=len(self._wanted),
            duration_s=seconds,
            first_pts=int(self._wanted[0]),
        )

    def _decoded_pts(self, video: Path, where: str) -> np.ndarray:
        """PTS as the decoder gives them out: those of packets without a PTS are guessed, and name other frames."""
        pts = np.array([pts for pts, _ in decode_source(video, self.info.stream, exact=False)], np.int64)
        if not len(pts):
            raise BadInput("no_frames", "not one frame can be decoded", where=where)
        return pts


class PassOver:
    """Iterates once over (pts, rgb) of a film; afterwards says how much of it was damaged."""

    def __init__(self, source: SourceFrames | PictureFrames, wanted: frozenset[int] | None) -> None:
        self._source, self._wanted = source, wanted

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for pts, picture in self._source:
            if self._wanted is None or pts in self._wanted:
                yield pts, picture

    @property
    def damaged(self) -> int:
        """Packets that did not decode, and frames that did so only in part."""
        return self._source.damaged

    @property
    def error(self) -> str:
        """What ended the pass before its end; empty where nothing did."""
        return self._source.error


def nearest_frames(at_s: np.ndarray, times_s: np.ndarray, frame_s: float, where: str) -> np.ndarray:
    """(n,) the frame at each time, ascending.

    Args:
        at_s: (m,) PTS of the frames, ascending, seconds.
        times_s: (n,) ascending, seconds.
        frame_s: what a frame lasts; one that is farther than half of it is none.
        where: for messages.

    Raises:
        BadInput: `no_frame_at_time`, naming the first time that has none of its own.
    """
    times_s = np.asarray(times_s, np.float64)
    after = np.clip(np.searchsorted(at_s, times_s), 1, max(1, len(at_s) - 1))
    if len(at_s) == 1:
        after = np.zeros(len(times_s), np.int64)
    before = np.maximum(after - 1, 0)
    found = np.where(np.abs(at_s[before] - times_s) <= np.abs(at_s[after] - times_s), before, after)
    off = np.abs(at_s[found] - times_s)
    wrong = off > frame_s / 2 + 1e-6
    wrong[1:] |= found[1:] <= found[:-1]
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        message = (
            f"row {row} of {len(times_s)} is at {times_s[row]:.3f} s, where the video has no frame of its own "
            f"(the nearest at {at_s[found[row]]:.3f} s; it lasts from {at_s[0]:.3f} to {at_s[-1]:.3f} s)"
        )
        remedy = "Is it the video that the times were taken from?"
        raise BadInput("no_frame_at_time", message, where=where, remedy=remedy)
    return found
