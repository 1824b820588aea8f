"""HyDRA's twelve numbers: per clip a context and a target, as the model is fed with their cameras, and both videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from worldloom.catalogs.cameras import hydra12
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.exports.format import ExportFormat, unbroken
from worldloom.catalogs.formats.hydra import EVERY, FRAMES
from worldloom.catalogs.formats.trajectory import write_json
from worldloom.catalogs.video import reencode


class Hydra12Export(ExportFormat):
    """`KEY/camera.json` with context_camera and video_camera, `KEY/cond.mp4`, `KEY/tgt.mp4`.

    Rows are [R | t] row by row of every fourth frame, metres, relative to the first target frame.

    Attributes:
        context: frames of the context, 4 n + 1; the model was trained on 77.
        target: frames that follow and are to be generated, 4 n + 1.
        start: frame of the clip that the context begins with.
        videos: cut the clip into both videos; without, only the cameras are written.
        any_scale: also clips whose lengths are not metres.
    """

    name: ClassVar[str] = "hydra12"
    context: int = Field(default=FRAMES, ge=1)
    target: int = Field(default=FRAMES, ge=1)
    start: int = Field(default=0, ge=0)
    videos: bool = True
    any_scale: bool = False

    @model_validator(mode="after")
    def _whole_latents(self) -> Hydra12Export:
        for name in ("context", "target"):
            if getattr(self, name) % EVERY != 1:
                raise ValueError(f"{name} is {getattr(self, name)} frames; 4 n + 1 make whole latents, e.g. {FRAMES}")
        return self

    def write(self, clip: Clip, folder: Path) -> dict[str, Any]:
        """A frame without a pose makes the clip one that this format cannot hold."""
        path = unbroken(clip)
        c2w = path.trajectory.c2w
        if path.trajectory.scale != "metric" and not self.any_scale:
            raise BadInput("not_metric", f"its lengths are {path.trajectory.scale}, HyDRA's are metres")
        middle, end = self.start + self.context, self.start + self.context + self.target
        if clip.frames < end:
            message = f"{clip.frames} frames, {end} needed for context and target"
            raise BadInput("too_short", message, remedy="Choose fewer: context=37 target=37.")
        home = folder / clip.key
        home.mkdir()
        rows = {
            "context_camera": hydra12(c2w[self.start : middle : EVERY], c2w[middle]).tolist(),
            "video_camera": hydra12(c2w[middle:end:EVERY], c2w[middle]).tolist(),
        }
        write_json(home / "camera.json", rows)
        if self.videos:
            if clip.video is None:
                raise BadInput("no_video", "the clip has no video at hand")
            reencode(clip.video, range(self.start, middle), home / "cond.mp4", clip.fps)
            reencode(clip.video, range(middle, end), home / "tgt.mp4", clip.fps)
        return {"frames": end - self.start, "of": clip.frames, "fps": float(clip.fps), "scale": path.trajectory.scale}
