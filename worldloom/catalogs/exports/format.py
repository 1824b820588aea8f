"""What a format of `worldloom export` is, and the cameras that formats write."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

import numpy as np

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import Trajectory, require_poses


@dataclass
class Finished:
    """What the last step of an export says.

    Attributes:
        skipped: reason and sentence by key, of clips that cannot be with the others.
        notes: by key, further plain data for `export.json`.
        told: plain data about the export as a whole.
    """

    skipped: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)


class ExportFormat(Strict):
    """A format; its fields are its options (`worldloom export ... key=value`).

    Both functions run in a child process: what they read may come from anywhere.
    """

    name: ClassVar[str]
    """As after `--to`."""

    members: ClassVar[tuple[str, ...]] = ("mp4", "camera.npz")
    """Members of the sample that it reads."""

    @abstractmethod
    def write(self, clip: Clip, folder: Path) -> dict[str, Any]:
        """Write one clip.

        Args:
            clip: with its video as bytes where `members` has it.
            folder: empty; laid out like the export, into which its files are moved. Names begin with the clip's key or
                lie in a folder of one, so that no two clips write one file.

        Returns:
            Plain data about it for `export.json`.

        Raises:
            BadInput: the format cannot hold this clip; its reason is counted.
        """

    def finish(self, folder: Path, keys: Sequence[str]) -> Finished:
        """What is to be done once, when all clips are written.

        Args:
            folder: the whole export.
            keys: of the clips that were written, in order.
        """
        return Finished()

    def following(self, out: str, key: str) -> str:
        """A command that opens what was written.

        Args:
            out: folder of the export, as a person typed it.
            key: of a clip that was written.
        """
        return f"ls {quote(out)}"


@dataclass(frozen=True)
class Posed:
    """The frames of a clip that a format without gaps can hold.

    Attributes:
        trajectory: their path, intrinsics in pixels of the video, `timestamps_s` in the video.
        frames: (N,) their numbers in the clip.
        notes: frames left out, and the unit of translation, for `export.json`.
    """

    trajectory: Trajectory
    frames: np.ndarray
    notes: dict[str, Any]


def posed(clip: Clip, every: int = 1, at_least: int = 1) -> Posed:
    """The frames of a clip that have a pose, all in one unit of length: of several scale groups, the largest.

    Args:
        clip: with a camera.
        every: only frames whose number is a multiple of it.
        at_least: frames that must be left.

    Raises:
        BadInput: `no_pose`, `no_intrinsics`, `bad_poses`.
    """
    camera = clip.camera
    if camera is None:
        why = clip.annotations.get("pose")
        raise BadInput("no_pose", f"the clip has no camera{f' ({why.reason})' if why and why.reason else ''}")
    if len(camera) != clip.frames:
        raise BadInput("bad_poses", f"{len(camera)} poses for {clip.frames} frames")
    require_poses(camera.c2w, clip.key)
    known = np.isfinite(camera.c2w).all(axis=(1, 2)) & camera.valid
    groups, sizes = np.unique(camera.scale_group[known], return_counts=True)
    inside = known & (camera.scale_group == groups[sizes.argmax()]) if len(groups) else known
    frames = np.flatnonzero(inside)
    frames = frames[frames % every == 0]
    if len(frames) < at_least:
        raise BadInput("no_pose", f"{len(frames)} of its frames have a pose in one unit of length, {at_least} needed")
    k = camera.intrinsics[frames]
    if not np.isfinite(k).all() or (k[:, :2] <= 0).any():
        raise BadInput("no_intrinsics", "its camera has no focal length")
    trajectory = Trajectory(
        c2w=camera.c2w[frames],
        scale=camera.scale,
        intrinsics=k,
        size=(clip.width, clip.height),
        up=camera.up,
        timestamps_s=frames / float(clip.fps),
    )
    notes = {"frames": len(frames), "of": clip.frames, "scale": camera.scale}
    for what, count in (("without_pose", int((~known).sum())), ("other_unit", int((known & ~inside).sum()))):
        notes |= {what: count} if count else {}
    return Posed(trajectory, frames, notes)


def unbroken(clip: Clip) -> Posed:
    """As `posed`, for formats whose rows are the frames one after the other.

    Raises:
        BadInput: `missing_poses`, and as `posed`.
    """
    path = posed(clip)
    if len(path.frames) != clip.frames:
        missing = np.setdiff1d(np.arange(clip.frames), path.frames)
        message = f"{len(missing)} frames have no pose, or one in another unit of length; the first is {missing[0]}"
        raise BadInput("missing_poses", message)
    return path
