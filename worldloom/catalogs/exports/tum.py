"""TUM RGB-D: per clip one text file with a line per posed frame."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Literal

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.exports.format import ExportFormat, posed
from worldloom.catalogs.formats.tum import write_tum


class TumExport(ExportFormat):
    """`KEY.txt`: timestamp tx ty tz qx qy qz qw, camera-to-world.

    Attributes:
        times: `clip`, seconds since its first frame, or `source`, as in the video that it was cut from.
    """

    name: ClassVar[str] = "tum"
    members: ClassVar[tuple[str, ...]] = ("camera.npz",)
    times: Literal["clip", "source"] = "clip"

    def write(self, clip: Clip, folder: Path) -> dict[str, Any]:
        """Frames without a pose have no line."""
        path = posed(clip)
        if self.times == "source":
            times = clip.pts_s[path.frames]
            if len(clip.pts_s) != clip.frames or not (times[1:] > times[:-1]).all():
                raise BadInput("times_go_back", "its source times do not ascend: a reversed clip or a loop")
            path.trajectory.timestamps_s = times
        write_tum(folder / f"{clip.key}.txt", path.trajectory)
        return path.notes

    def following(self, out: str, key: str) -> str:
        """evo's summary."""
        return f"evo_traj tum {quote(f'{out}/{key}.txt')}"
