"""What every camera file becomes: a path in our conventions, and how a file that cannot be one is refused."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.cameras import check_poses, resize_intrinsics
from worldloom.catalogs.clip import Camera, Scale
from worldloom.catalogs.errors import BadInput

MAX_BYTES = 256 << 20
"""Larger than any camera file, smaller than what hurts (ours)."""

LARGEST = 1e30
"""Beyond any length or time; what is larger counts as not finite, so that squares never overflow."""

GL_TO_CV = np.diag([1.0, -1.0, -1.0, 1.0])
"""Camera axes of OpenGL, ARKit and nerfstudio (x right, y up, z backward) to OpenCV's: multiply c2w from the right."""


@dataclass(eq=False)
class Trajectory:
    """A camera path as a file gave it, converted to our conventions.

    Attributes:
        c2w: (T, 4, 4) camera-to-world, OpenCV axes, right-handed world.
        scale: unit of translation.
        intrinsics: (T, 4) fx fy cx cy, or None where the file has none.
        intrinsics_normalised: fx and cx are shares of the width, fy and cy of the height.
        size: width and height that pixel intrinsics belong to, where the file says.
        up: (3,) against gravity in world axes, where the format defines it.
        timestamps_s: (T,) seconds, where given.
        names: T names of images, where given.
        url: of the source video, where given.
        distortion: (T, 8) k1 k2 p1 p2 k3 k4 k5 k6 of OpenCV's model, where the pictures are distorted.
        median_depth: (T,) median z-depth of the points seen in each picture, in the unit of translation, NaN where
            unknown; where the file has points.
        notes: what else the file says: `distortion` (model and parameters), `missing` images, ...
    """

    c2w: np.ndarray
    scale: Scale
    intrinsics: np.ndarray | None = None
    intrinsics_normalised: bool = False
    size: tuple[int, int] | None = None
    up: np.ndarray | None = None
    timestamps_s: np.ndarray | None = None
    names: list[str] | None = None
    url: str = ""
    distortion: np.ndarray | None = None
    median_depth: np.ndarray | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.c2w)

    def camera(self, width: int, height: int, intrinsics: np.ndarray | Sequence[float] | None = None) -> Camera:
        """The camera of a video of width x height pixels that shows the whole picture the file is about.

        Args:
            width: of the stored video.
            height: of the stored video.
            intrinsics: (4,) or (T, 4) in pixels of the stored video, for files that have none; else not used.

        Raises:
            BadInput: `no_intrinsics`, neither the file nor the caller knows them.
        """
        k = self.pixel_intrinsics(width, height)
        if k is None:
            if intrinsics is None:
                raise BadInput(
                    "no_intrinsics", "the camera file has no focal length", remedy="Give intrinsics with it."
                )
            k = np.asarray(intrinsics, np.float64)
        camera = Camera.known(self.c2w, k, scale=self.scale, up=self.up)
        if self.median_depth is not None:
            camera.median_depth = self.median_depth.astype(np.float32)
        return camera

    def pixel_intrinsics(self, width: int, height: int) -> np.ndarray | None:
        """(T, 4) in pixels of a picture of width x height, or None where the file has none."""
        if self.intrinsics is None:
            return None
        if self.intrinsics_normalised:
            return resize_intrinsics(self.intrinsics, width, height)
        if self.size is not None:
            return resize_intrinsics(self.intrinsics, width / self.size[0], height / self.size[1])
        return np.array(self.intrinsics, np.float64)

    def take(self, rows: np.ndarray | slice | Sequence[int]) -> Trajectory:
        """Some of the frames, in the order given."""
        picked = np.arange(len(self))[rows]
        return Trajectory(
            c2w=self.c2w[picked],
            scale=self.scale,
            intrinsics=None if self.intrinsics is None else self.intrinsics[picked],
            intrinsics_normalised=self.intrinsics_normalised,
            size=self.size,
            up=self.up,
            timestamps_s=None if self.timestamps_s is None else self.timestamps_s[picked],
            names=None if self.names is None else [self.names[i] for i in picked],
            url=self.url,
            distortion=None if self.distortion is None else self.distortion[picked],
            median_depth=None if self.median_depth is None else self.median_depth[picked],
            notes=dict(self.notes),
        )

    def spread(self, frames: np.ndarray | Sequence[int], length: int) -> Trajectory:
        """The path of a longer footage: row i becomes row `frames[i]`, all others have no pose.

        Args:
            frames: (T,) ascending.
            length: of the footage.

        Returns:
            NaN poses where nothing was known; intrinsics and distortion there are those of the nearest known frame.
        """
        frames = np.asarray(frames)
        nearest = np.ceil(np.interp(np.arange(length), frames, np.arange(len(frames))) - 0.5).astype(int)
        whole = self.take(nearest)
        gap = ~np.isin(np.arange(length), frames)
        whole.c2w[gap] = np.nan
        if whole.median_depth is not None:
            whole.median_depth[gap] = np.nan
        whole.timestamps_s = None
        return whole


def require_poses(c2w: np.ndarray, where: str | Path, what: str = "pose", at_least: int = 1) -> None:
    """Check a path read from a file.

    Raises:
        BadInput: `bad_poses`, naming the file and the first wrong row, counted from 0.
    """
    try:
        check_poses(c2w, at_least=at_least)
    except ValueError as problem:
        message = str(problem).replace("pose", what, 1) if what != "pose" else str(problem)
        raise BadInput("bad_poses", message, where=where, remedy="Check the file's axes and direction.") from None


def require_all_posed(trajectory: Trajectory, where: str | Path) -> None:
    """For formats that cannot say that a frame has no pose.

    Raises:
        BadInput: `missing_poses`.
    """
    missing = np.flatnonzero(~np.isfinite(trajectory.c2w).all(axis=(1, 2)))
    if len(missing):
        message = f"{len(missing)} frames have no pose, the first is {missing[0]}, and the format cannot say so"
        raise BadInput("missing_poses", message, where=where, remedy="Write the posed frames: trajectory.take(rows).")


def read_text(path: str | Path) -> str:
    """The text of a small file.

    Raises:
        BadInput: `no_file`, `too_large` or `not_text`.
    """
    path = Path(path)
    try:
        if (told := path.stat()).st_size > MAX_BYTES:
            raise BadInput("too_large", f"larger than {MAX_BYTES >> 20} MiB, no camera file", where=path)
        if not stat.S_ISREG(told.st_mode):  # opening a pipe waits for ever
            raise BadInput("not_text", "a pipe, a device or a folder, no file", where=path)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput("no_file", "no such file", where=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("not_text", f"cannot be read as text ({error})", where=path) from None


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        BadInput: as `read_text`, or `bad_json`, with the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise BadInput("bad_json", f"line {error.lineno} is not JSON ({error.msg})", where=path) from None
    except (RecursionError, ValueError) as error:
        raise BadInput("bad_json", f"not JSON that can be read ({error})", where=path) from None


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON with one space of indentation and a final newline; numbers keep all digits."""
    Path(path).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def numbers(fields: Sequence[str], path: str | Path, line: int, meaning: str, count: int | None = None) -> list[float]:
    """The fields of one line as finite numbers.

    Args:
        fields: words.
        path: of the file.
        line: counted from 1.
        meaning: of the columns, for the message.
        count: how many there must be.

    Raises:
        BadInput: `bad_poses`.
    """
    if count is not None and len(fields) != count:
        message = f"line {line} has {len(fields)} columns, {count} expected ({meaning})"
        raise BadInput("bad_poses", message, where=path)
    values = []
    for column, word in enumerate(fields, start=1):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not abs(value) <= LARGEST:
            message = f"line {line} column {column} is '{word[:40]}', a finite number expected ({meaning})"
            raise BadInput("bad_poses", message, where=path)
        values.append(value)
    return values


def array_of(value: Any, shape: tuple[int, ...], path: str | Path, what: str) -> np.ndarray:
    """Nested lists from JSON as a finite float64 array of `shape`.

    Raises:
        BadInput: `bad_poses`, naming `what`.
    """
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.shape != shape or not (np.abs(array) <= LARGEST).all():
        size = " x ".join(map(str, shape))
        raise BadInput("bad_poses", f"{what} is not {size} finite numbers", where=path)
    return array


def exact(value: float) -> str:
    """Shortest decimal that reads back as the same float64."""
    return repr(float(value))
