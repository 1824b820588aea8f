"""nerfstudio: per clip `transforms.json` (camera-to-world, OpenGL axes) and its pictures."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from pydantic import Field

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.exports.format import ExportFormat, posed
from worldloom.catalogs.exports.pictures import Kind, write_pictures
from worldloom.catalogs.formats.nerfstudio import write_nerfstudio


class NerfstudioExport(ExportFormat):
    """`KEY/transforms.json` and `KEY/images/000012.png`.

    Attributes:
        pictures: png (what the video decodes to) or jpg.
        every: only frames whose number is a multiple of it.
    """

    name: ClassVar[str] = "nerfstudio"
    pictures: Kind = "png"
    every: int = Field(default=1, ge=1)

    def write(self, clip: Clip, folder: Path) -> dict[str, Any]:
        """Frames without a pose are left out."""
        path = posed(clip, self.every)
        home = folder / clip.key
        names = write_pictures(clip, path.frames, home / "images", self.pictures)
        path.trajectory.names = [f"images/{name}" for name in names]
        write_nerfstudio(home / "transforms.json", path.trajectory)
        return path.notes

    def following(self, out: str, key: str) -> str:
        """A reconstruction."""
        return f"ns-train nerfacto --data {quote(f'{out}/{key}')}"
