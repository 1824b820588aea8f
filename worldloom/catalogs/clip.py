"""The record: one clip, one continuous shot of T frames at a constant rate, and what is known about it.

Shapes: T frames, H x W pixels, S subjects, N frames with depth, P revisit pairs, J joints. Cameras are
camera-to-world with OpenCV axes (x right, y down, z forward) in a right-handed world; pixel centres lie at +0.5.
Every annotation is optional; `Clip.annotations` says which method and version wrote it, or why it is absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from worldloom.catalogs.redact import without_secrets

if TYPE_CHECKING:
    from worldloom.catalogs.video import Frames

Scale = Literal["metric", "relative", "none"]
Status = Literal["ok", "absent", "failed"]


@dataclass(eq=False)
class Camera:
    """Where the camera was at each frame.

    Attributes:
        c2w: (T, 4, 4) float64, camera to world; rows of frames without a pose are NaN.
        intrinsics: (T, 4) float64, fx fy cx cy in pixels of the stored video.
        scale: unit of translation: `metric` (metres), `relative` (unknown factor), `none` (translation means nothing).
        confidence: (T,) float32 in [0, 1].
        valid: (T,) bool, false where there is no pose.
        translation_known: (T,) bool, false where the camera only turns or stands.
        scale_group: (T,) int32; lengths compare only between frames of one group.
        up: (3,) float64 unit vector against gravity in world axes, where it is known.
        sigma_position: (T,) float32, standard deviation of the position in the unit of translation, where estimated.
        sigma_rotation_deg: (T,) float32, the same for the orientation, in degrees.
        median_depth: (T,) float32, median z-depth of the scene seen, in the unit of translation, where known.
    """

    c2w: np.ndarray
    intrinsics: np.ndarray
    scale: Scale
    confidence: np.ndarray
    valid: np.ndarray
    translation_known: np.ndarray
    scale_group: np.ndarray
    up: np.ndarray | None = None
    sigma_position: np.ndarray | None = None
    sigma_rotation_deg: np.ndarray | None = None
    median_depth: np.ndarray | None = None

    @classmethod
    def known(
        cls, c2w: np.ndarray, intrinsics: np.ndarray, scale: Scale = "metric", up: np.ndarray | None = None
    ) -> Camera:
        """A camera given by a source or a renderer: trusted at every frame whose pose is finite.

        Args:
            c2w: (T, 4, 4).
            intrinsics: (4,) or (T, 4), pixels.
            scale: unit of translation.
            up: (3,) against gravity, if known.
        """
        c2w = np.asarray(c2w, np.float64)
        length = len(c2w)
        valid = np.isfinite(c2w).all(axis=(1, 2))
        return cls(
            c2w=c2w,
            intrinsics=np.broadcast_to(np.asarray(intrinsics, np.float64), (length, 4)).copy(),
            scale=scale,
            confidence=valid.astype(np.float32),
            valid=valid,
            translation_known=valid & (scale != "none"),
            scale_group=np.zeros(length, np.int32),
            up=None if up is None else np.asarray(up, np.float64),
        )

    def __len__(self) -> int:
        return len(self.c2w)


@dataclass(eq=False)
class Actions:
    """Tri-state action labels; `action[i]` moves frame i to frame i + 1, the last entry is 9 (uncertain).

    Attributes:
        move: (T,) uint8 in 0..9, numbered as in `worldloom.catalogs.actions.MOVES`.
        view: (T,) uint8 in 0..9, numbered as in `worldloom.catalogs.actions.VIEWS`.
        margins: (T, 2) float32 for move and view: distance of the magnitude to the nearest threshold in units of
            (trigger - floor); negative inside the uncertain band; NaN where nothing was measured.
        motion: (T, 4) float64: speed to the right and forward (unit of `unit` per second), yaw rate (right
            positive) and pitch rate (up positive) in degrees per second; NaN where nothing was measured.
        unit: `m/s`, or `depth/s` for speeds divided by the median scene depth, or `none`.
        up: how the ground plane was found: `known`, `estimated` or `camera`.
        thresholds: move floor and trigger (in `unit`), view floor and trigger (degrees per second).
    """

    move: np.ndarray
    view: np.ndarray
    margins: np.ndarray
    motion: np.ndarray
    unit: str = "m/s"
    up: str = "known"
    thresholds: tuple[float, float, float, float] = (0.15, 0.40, 4.0, 10.0)

    def __len__(self) -> int:
        return len(self.move)


@dataclass(eq=False)
class Subjects:
    """People, animals and other things that move by themselves.

    Attributes:
        id: (S,) int32.
        label: S names.
        box: (S, T, 4) float32, x0 y0 x1 y1 in pixels, NaN where absent.
        visibility: (S, T) float32 in [0, 1]: visible pixels over pixels of the full projection.
        source: S words: who says so (`rendered`, `motion`, `human`, a detector's name).
        position: (S, T, 3) float64, world, where known.
        in_frame: (S, T) float32 in [0, 1]: share of the full projection inside the picture, where known.
        full_box: (S, T, 4) float32, box of the full projection, unclipped and unoccluded, where known.
    """

    id: np.ndarray
    label: list[str]
    box: np.ndarray
    visibility: np.ndarray
    source: list[str]
    position: np.ndarray | None = None
    in_frame: np.ndarray | None = None
    full_box: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.id)


@dataclass(eq=False)
class Depth:
    """z-depth of some frames, in the unit of the camera's translation.

    Attributes:
        frames: (N,) int32, which frames.
        z: (N, h, w) float32; undefined where not valid. Pixel (x, y) of the map covers the same part of the
            picture as pixel (x, y) * (W / w, H / h) of the video.
        valid: (N, h, w) bool.
        confidence: (N,) float32 in [0, 1].
        scale: as `Camera.scale`.
        stated_error: relative error of z that the method states (storing adds at most 0.001).
    """

    frames: np.ndarray
    z: np.ndarray
    valid: np.ndarray
    confidence: np.ndarray
    scale: Scale
    stated_error: float

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(eq=False)
class Hands:
    """Hand joints in camera space.

    Attributes:
        names: J joint names.
        joints: (T, J, 3) float32, metres, OpenCV camera axes, NaN where absent.
        confidence: (T, J) float32 in [0, 1].
    """

    names: list[str]
    joints: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Event:
    """One stay of a subject out of sight: the hidden interval [first_hidden, first_visible).

    Attributes:
        subject: its id in `Subjects.id`.
        first_hidden: first hidden frame; None for a subject that is hidden from the first frame on.
        first_visible: first visible frame after it; None where the clip ends before.
        exit_cause: `left_view`, `occluded` or `unexplained`; None where there is no exit.
        entry_cause: the same for the entry.
        exit_side: `left`, `right`, `top` or `bottom`: the border crossed by a subject that left the view.
        entry_side: the same for the entry.
    """

    subject: int
    first_hidden: int | None
    first_visible: int | None
    exit_cause: str | None = None
    entry_cause: str | None = None
    exit_side: str | None = None
    entry_side: str | None = None

    @property
    def kind(self) -> str:
        """`exit`, `entry`, `interval` (closed), or `pair` (closed and through a border at both ends)."""
        if self.first_hidden is None:
            return "entry"
        if self.first_visible is None:
            return "exit"
        return "pair" if self.exit_cause == self.entry_cause == "left_view" else "interval"


@dataclass(eq=False)
class Revisits:
    """Frames that see again what an earlier frame saw, after it was out of sight.

    Attributes:
        pairs: (P, 2) int32, earlier and later frame.
        overlap: (P,) float32 in [0, 1], the smaller of both ways.
        density: share of frames with a partner.
        from_depth: false where overlap was computed from poses alone.
    """

    pairs: np.ndarray
    overlap: np.ndarray
    density: float
    from_depth: bool = True


@dataclass(frozen=True)
class Annotation:
    """Who wrote one annotation of a clip, and how it ended.

    Attributes:
        status: `ok`; `absent`, an answer with its reason; `failed`.
        method: e.g. `sfm`, `source:realestate10k`, `human`.
        version: of the method.
        reason: of `absent` or `failed`.
        confidence: in [0, 1], over the clip.
        notes: figures the method leaves behind (plain JSON values).
    """

    status: Status
    method: str
    version: str
    reason: str = ""
    confidence: float = 1.0
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Caption:
    """A text about the clip and who wrote it."""

    text: str
    writer: str


@dataclass(frozen=True)
class Provenance:
    """Where a clip comes from.

    Attributes:
        kind: of the source, e.g. `folder`, `realestate10k`, `worlds`.
        uri: where it was read from, secrets removed; relative to the source's path for local files.
        sha256: of the source file.
        licence: as stated in the job.
        retrieved_at: ISO 8601, UTC; time of the download, or of the file for local files; empty where unknown.
        stream: index of the video stream.
        span_s: first and last source time covered.
        parents: keys of the clips this one was derived from.
        operations: what was done to it, in order.
    """

    kind: str
    uri: str
    sha256: str
    licence: str = ""
    retrieved_at: str = ""
    stream: int = 0
    span_s: tuple[float, float] = (0.0, 0.0)
    parents: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Every sample, catalog and card takes it from here.
        object.__setattr__(self, "uri", without_secrets(self.uri))


@dataclass(eq=False)
class Clip:
    """One clip and everything known about it.

    Attributes:
        key: 26 characters of base32, see `clip_key`.
        fps: constant frame rate.
        frames: T.
        height: H of the stored video.
        width: W of the stored video.
        pts_s: (T,) float64, source time of each frame in seconds.
        provenance: where it comes from.
        video: the mp4, as a path or as bytes; None for a record without its video at hand.
        frame_index: (T,) int32, which frame of `video` each frame is: derived clips (windows, reversals) are index
            maps over the ingested file until they are packed. None means 0..T-1.
        annotations: per operation (`pose`, `actions`, `subjects`, `events`, `depth`, `revisits`, `quality`,
            `captions`, ...) who wrote it and how it ended.
        attributes: what the source tells beyond the frames (`scene`, `subject`, a column of a list), by plain name; see
            `worldloom.catalogs.attributes`.
    """

    key: str
    fps: Fraction
    frames: int
    height: int
    width: int
    pts_s: np.ndarray
    provenance: Provenance
    video: Path | bytes | None = None
    frame_index: np.ndarray | None = None
    camera: Camera | None = None
    actions: Actions | None = None
    subjects: Subjects | None = None
    depth: Depth | None = None
    hands: Hands | None = None
    events: list[Event] = field(default_factory=list)
    revisits: Revisits | None = None
    quality: dict[str, float] = field(default_factory=dict)
    captions: list[Caption] = field(default_factory=list)
    annotations: dict[str, Annotation] = field(default_factory=dict)
    attributes: dict[str, str | float | bool] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.frames

    @property
    def seconds(self) -> float:
        """T / fps."""
        return float(self.frames / self.fps)

    def open_frames(self) -> Frames:
        """The pictures, decoded lazily: `with clip.open_frames() as frames: frames[10]` is (H, W, 3) uint8 RGB.

        Raises:
            BadInput: the clip has no video at hand, or it cannot be decoded.
        """
        from worldloom.catalogs.errors import BadInput
        from worldloom.catalogs.video import Frames

        if self.video is None:
            raise BadInput("no_video", f"clip {self.key} has no video at hand")
        return Frames(self.video, index=self.frame_index)


def same_value(left: Any, right: Any) -> bool:
    """Deep equality of annotations, with NaN equal to NaN and arrays compared by dtype, shape and content."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        if left.dtype != right.dtype or left.shape != right.shape:
            return False
        return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))
    if type(left) is not type(right):
        return False
    if hasattr(left, "__dataclass_fields__"):
        return all(same_value(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same_value, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same_value(left[k], right[k]) for k in left)
    if isinstance(left, float) and left != left:
        return bool(right != right)
    return bool(left == right)


def clip_key(source_sha256: str, stream: int, first_pts: int, last_pts: int, derivation: str = "") -> str:
    """Name of a clip: 26 characters of base32(sha256(source, stream, first and last source PTS, derivation)).

    The same stretch of the same source has the same key everywhere; how it was normalised is not part of it.

    Args:
        source_sha256: hex digest of the source file (of the digests of its files in name order for a folder of
            images, of the plan row for a rendered clip).
        stream: index of the video stream in its file.
        first_pts: PTS of the first source frame, in the stream's time base.
        last_pts: PTS of the last source frame.
        derivation: what was done to the parent, e.g. `reverse:loop`; empty for an ingested clip that has all frames in
            between, as they are in its source. Of pictures, their rate and how they were made of their files.
    """
    import base64
    import hashlib

    text = "\0".join(["worldloom-clip-1", source_sha256, str(stream), str(first_pts), str(last_pts), derivation])
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:26]
