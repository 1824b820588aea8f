"""COLMAP: per clip a text model with known cameras and no points, its pictures, and the list of them."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Literal

from pydantic import Field

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.exports.format import ExportFormat, posed
from worldloom.catalogs.exports.pictures import picture_name, write_pictures
from worldloom.catalogs.formats.colmap import write_colmap


class ColmapExport(ExportFormat):
    """`KEY/sparse/0/{cameras,images,points3D}.txt`, `KEY/images/000012.png`, `KEY/frames.csv`.

    Attributes:
        pictures: as png (what the video decodes to), as jpg, or none: `frames.csv` says which frame each name is.
        every: only frames whose number is a multiple of it.
    """

    name: ClassVar[str] = "colmap"
    pictures: Literal["png", "jpg", "none"] = "png"
    every: int = Field(default=1, ge=1)

    def write(self, clip: Clip, folder: Path) -> dict[str, Any]:
        """Frames without a pose are left out: a model has only images that are registered."""
        path = posed(clip, self.every)
        home = folder / clip.key
        if self.pictures == "none":
            names = [picture_name(frame, "png") for frame in path.frames.tolist()]
        else:
            names = write_pictures(clip, path.frames, home / "images", self.pictures)
        path.trajectory.names = names
        write_colmap(home / "sparse" / "0", path.trajectory)
        rows = zip(names, path.frames.tolist(), path.frames / float(clip.fps), strict=True)
        table = ["name,frame,seconds", *(f"{name},{frame},{seconds:.6f}" for name, frame, seconds in rows)]
        (home / "frames.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
        return path.notes

    def following(self, out: str, key: str) -> str:
        """COLMAP's window."""
        home = quote(f"{out}/{key}")
        return f"colmap gui --import_path {home}/sparse/0 --image_path {home}/images"
