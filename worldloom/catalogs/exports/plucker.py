"""Plücker coordinates of the rays through the pixels of a small picture, as many video models are fed with cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from worldloom.catalogs.cameras import plucker, resize_intrinsics, unit_normal_form
from worldloom.catalogs.clip import Camera, Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.exports.format import ExportFormat, posed
from worldloom.catalogs.sample import write_npz

_MOST_BYTES = 1 << 30


class PluckerExport(ExportFormat):
    """`KEY.npz`: `plucker` (N, h, w, 6), moment first, then the unit direction; its camera beside it.

    The first posed frame is the identity. Lengths are metres, or median scene depths where a relative camera knows
    them; `scale` is what they were multiplied by.

    Attributes:
        height: h; the default is an eighth of the video's, as video codecs have it.
        width: w; likewise.
        every: only frames whose number is a multiple of it; codecs compress 4 frames into one.
        dtype: of the coordinates; float16 keeps 3 digits and lengths below 65504.
    """

    name: ClassVar[str] = "plucker"
    members: ClassVar[tuple[str, ...]] = ("camera.npz",)
    height: int | None = Field(default=None, ge=1, le=8192)
    width: int | None = Field(default=None, ge=1, le=8192)
    every: int = Field(default=4, ge=1)
    dtype: Literal["float32", "float16"] = "float32"

    def write(self, clip: Clip, folder: Path) -> dict[str, Any]:
        """Frames without a pose are left out; `frames` says which are there."""
        path = posed(clip, self.every)
        camera, trajectory = clip.camera, path.trajectory
        assert camera is not None and trajectory.intrinsics is not None
        depth = None if camera.median_depth is None else camera.median_depth[path.frames]
        kept = Camera.known(trajectory.c2w, trajectory.intrinsics, trajectory.scale)
        kept.median_depth = depth
        normal, factor = unit_normal_form(kept)
        h, w = self.height or max(1, clip.height // 8), self.width or max(1, clip.width // 8)
        if len(path.frames) * h * w * 24 > _MOST_BYTES:
            message = f"{len(path.frames)} x {h} x {w} rays take more than {_MOST_BYTES >> 20} MiB"
            raise BadInput("too_large", message, remedy="Choose a smaller height and width, or a larger every.")
        k = resize_intrinsics(normal.intrinsics, w / clip.width, h / clip.height)
        rays = plucker(normal.c2w, k, h, w)
        arrays = {
            "plucker": rays.astype(self.dtype),
            "frames": path.frames.astype(np.int32),
            "c2w": normal.c2w,
            "intrinsics": k,
            "scale": np.array(factor),
        }
        (folder / f"{clip.key}.npz").write_bytes(write_npz(arrays))
        return {**path.notes, "scale": normal.scale, "factor": factor}

    def following(self, out: str, key: str) -> str:
        """The shape of the first."""
        return f"python -c \"import numpy; print(numpy.load('{out}/{key}.npz')['plucker'].shape)\""
