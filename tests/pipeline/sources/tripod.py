"""A source of one's own: videos of cameras on tripods, listed in a CSV with their focal lengths.

file,focal_px,place
north/gate.mp4,880,main gate
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import Trajectory
from worldloom.catalogs.video import VideoInfo
from worldloom.pipeline.sources.footage import Known
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files


class TripodSource(Source):
    """Videos of a folder that stand in its `clips.csv`.

    Attributes:
        path: the folder.
    """

    kind: str
    path: Path

    def folders(self) -> dict[str, Path]:
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        return ("pose",)

    def items(self) -> Iterator[SourceItem]:
        """In the driver: one item per video, quick, and a problem for what can become no clip."""
        table = self.path / "clips.csv"
        rows = {row["file"]: row for row in csv.DictReader(table.read_text("utf-8").splitlines())}
        source = self.model_dump(mode="json")
        for path in walk_files(self.path):
            name = path.relative_to(self.path).as_posix()
            if path == table:
                continue
            row = rows.get(name)
            problem = None if row else ("not_listed", "it does not stand in clips.csv; add a line, or take it away")
            yield plainly_named(
                SourceItem(
                    source,
                    name,
                    str(path.absolute()),
                    self.licence,
                    problem=problem,
                    detail={"focal": row["focal_px"]} if row else {},
                    attributes={"scene": row["place"]} if row else {},
                )
            )

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """In the worker: what is known about the frames, row i about frame i. A tripod stands still."""
        try:
            focal = float(item.detail["focal"])
        except ValueError:
            remedy = "Write pixels, 880 for example."
            raise BadInput("no_intrinsics", "its focal_px is no number", where="clips.csv", remedy=remedy) from None
        return Known(
            trajectory=Trajectory(
                c2w=np.tile(np.eye(4), (info.frames, 1, 1)),
                scale="none",
                intrinsics=np.tile([focal, focal, info.width / 2, info.height / 2], (info.frames, 1)),
                size=(info.width, info.height),
            )
        )
