"""RealEstate10K: per clip a text file in the original syntax and the video that its timestamps belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.exports.format import ExportFormat, posed
from worldloom.catalogs.formats.re10k import write_re10k


class RealEstate10KExport(ExportFormat):
    """`pose_files/KEY.txt` and `videos/KEY.mp4`; the first line of a text names its video.

    A row per posed frame: microseconds in the mp4, intrinsics as shares of the picture, [R | t] world-to-camera.
    """

    name: ClassVar[str] = "realestate10k"

    def write(self, clip: Clip, folder: Path) -> dict[str, Any]:
        """Frames without a pose have no row; timestamps say which frame a row belongs to."""
        path = posed(clip)
        if not isinstance(clip.video, bytes):
            raise BadInput("no_video", "the clip has no video at hand")
        for name in ("pose_files", "videos"):
            (folder / name).mkdir()
        path.trajectory.url = f"videos/{clip.key}.mp4"
        (folder / path.trajectory.url).write_bytes(clip.video)
        write_re10k(folder / "pose_files" / f"{clip.key}.txt", path.trajectory)
        return path.notes
