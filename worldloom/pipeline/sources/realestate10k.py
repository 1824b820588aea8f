"""RealEstate10K: a txt with the cameras of every frame, and the video of the same name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worldloom.pipeline.sources.source import Source, SourceItem, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.formats.trajectory import Trajectory

VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi")


class RealEstate10KSource(Source):
    """Videos with camera files in RealEstate10K's form. Row i is taken to belong to frame i.

    Attributes:
        poses: folder of `<id>.txt`.
        videos: folder of `<id>.mp4`.
    """

    kind: Literal["realestate10k"]
    poses: Path
    videos: Path

    def folders(self) -> dict[str, Path]:
        """Both folders."""
        return {"poses": self.poses, "videos": self.videos}

    def gives(self) -> tuple[str, ...]:
        """Poses."""
        return ("pose",)

    def items(self) -> Iterator[SourceItem]:
        """One item per video or txt, sorted by name; one without the other is an item with a problem."""
        source = self.model_dump(mode="json")
        # As text: a path object per file is what a driver with a million of them would remember longest.
        texts = {path.stem: str(path) for path in walk_files(self.poses) if path.suffix == ".txt"}
        videos = {path.stem: str(path) for path in walk_files(self.videos) if path.suffix.lower() in VIDEO_ENDINGS}
        for name in sorted(texts.keys() | videos.keys()):
            text = Path(texts[name]) if name in texts else None
            video = Path(videos[name]) if name in videos else None
            if video is None:
                assert text is not None
                problem = ("no_video", f"there is no video {name}.mp4 in {self.videos.name}")
                yield SourceItem(source, text.name, str(text.absolute()), self.licence, problem=problem)
                continue
            uri = video.relative_to(self.videos).as_posix()
            if text is None:
                problem = ("no_poses", f"there is no {name}.txt in {self.poses.name}")
                yield SourceItem(source, uri, str(video.absolute()), self.licence, problem=problem)
            else:
                yield SourceItem(source, uri, str(video.absolute()), self.licence, (str(text.absolute()),))

    def trajectory(self, item: SourceItem) -> Trajectory:
        """Cameras of the txt, intrinsics as shares of the picture.

        Raises:
            BadInput: `bad_poses`.
        """
        from worldloom.catalogs.formats.re10k import read_re10k

        return read_re10k(item.sidecars[0])
