"""What an item of a source turns out to be in the worker: its pictures, and what the source knows about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldloom.catalogs.errors import BadInput

if TYPE_CHECKING:
    from worldloom.catalogs.clip import Caption, Clip, Depth, Hands, Provenance, Subjects
    from worldloom.catalogs.formats.trajectory import Trajectory


@dataclass(frozen=True)
class Workplace:
    """Where a source may put files while one of its items is worked on.

    Attributes:
        scratch: a folder of the item's own, gone afterwards.
        downloads: a folder that lasts and that all workers of this machine share; it may not be there yet.
    """

    scratch: Path
    downloads: Path


@dataclass(eq=False)
class Footage:
    """The pictures of one item: a video file or numbered pictures, all of them or a stretch.

    Attributes:
        video: a local video file.
        pictures: files of one size in order, instead of a video (png, jpg, exr, ...).
        fps: rate of the pictures.
        made: how the pictures were made of their files, where another setting makes others: the same files, undistorted
            by two models or exposed twice, are two clips.
        first: number of the first picture, where they are a stretch of more whose digest is `sha256`.
        span_s: only frames whose PTS lies in [first, last), seconds.
        times_s: (n,) ascending; only the frames nearest to these PTS, one for each, seconds.
        sha256: of the source, hex; empty for that of the file, or of the digests of the pictures in name order.
        retrieved_at: ISO 8601, UTC, of a download; empty for the time of the file.
        uri: where it was read from; empty for the item's.
        cuttable: whether it may hold several shots; one whose cameras are known never does.
        truth: everything that is true of a rendered world.
        key: that the clip has already, where all of it becomes one clip; empty where it has none.
    """

    video: Path | None = None
    pictures: tuple[Path, ...] = ()
    fps: Fraction | None = None
    made: str = ""
    first: int = 0
    span_s: tuple[float, float] | None = None
    times_s: np.ndarray | None = None
    sha256: str = ""
    retrieved_at: str = ""
    uri: str = ""
    cuttable: bool = True
    truth: Clip | None = None
    key: str = ""

    def digest(self) -> str:
        """`sha256`, computed where it is not given.

        Raises:
            BadInput: as `file_sha256`.
        """
        if not self.sha256:
            if self.video is not None:
                self.sha256 = file_sha256(self.video)
            else:
                digests = "".join(file_sha256(path) for path in sorted(self.pictures))
                self.sha256 = hashlib.sha256(digests.encode()).hexdigest()
        return self.sha256


@dataclass(eq=False)
class Known:
    """What a source knows about its footage; row i belongs to frame i of it.

    Attributes:
        trajectory: cameras, in our conventions.
        hands: joints in camera space.
        subjects: boxes in pixels of the footage.
        depth: of some frames of the footage, in the unit of the cameras.
        captions: texts with their writers.
        attributes: any columns; see `worldloom.catalogs.attributes.plain_attributes`.
        record: all that an earlier run wrote about exactly these frames. What is bound to their rate (actions, events,
            revisits) is taken where ingest leaves frames and rate as they are, everything else by frame.
        provenance: where the footage itself comes from, where an earlier run has noted it.
        notes: figures worth keeping beside the poses, plain JSON values.
    """

    trajectory: Trajectory | None = None
    hands: Hands | None = None
    subjects: Subjects | None = None
    depth: Depth | None = None
    captions: tuple[Caption, ...] = ()
    attributes: dict[str, str | float | bool] = field(default_factory=dict)
    record: Clip | None = None
    provenance: Provenance | None = None
    notes: dict[str, object] = field(default_factory=dict)


def file_sha256(path: str | Path) -> str:
    """Hex digest of a file.

    Raises:
        BadInput: `not_video`, it is a pipe, a device or a folder, which may never end.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise BadInput("not_video", "a pipe, a device or a folder, no file", where=path)
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
