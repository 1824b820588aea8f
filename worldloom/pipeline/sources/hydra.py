"""Unreal Engine clips in the form of HyDRA's examples: `1.mp4`, `cam1.json`, and a line of `caption.txt` each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.formats.trajectory import Trajectory


class HydraSource(Source):
    """Rendered clips with the camera of every frame (`cond_cam` of the JSON).

    Attributes:
        path: folder of `<n>.mp4`, `cam<n>.json` and, if it is there, `caption.txt` with line n about clip n.
    """

    kind: Literal["hydra"]
    path: Path

    def folders(self) -> dict[str, Path]:
        """The folder."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """Poses."""
        return ("pose",)

    def items(self) -> Iterator[SourceItem]:
        """One item per video or camera file, sorted by number; one without the other is an item with a problem."""
        source = self.model_dump(mode="json")
        videos: dict[str, Path] = {}
        cameras: dict[str, Path] = {}
        others: list[Path] = []
        told = False
        for path in walk_files(self.path):
            if path.parent != self.path:
                others.append(path)
            elif (found := re.fullmatch(r"(\d+)\.mp4", path.name)) is not None:
                videos[found[1]] = path
            elif (found := re.fullmatch(r"cam(\d+)\.json", path.name)) is not None:
                cameras[found[1]] = path
            elif path.name == "caption.txt" and path.is_file():  # opening a pipe waits for ever
                told = True
            else:
                others.append(path)
        captions = self._captions() if told else []
        for number in sorted(videos.keys() | cameras.keys(), key=lambda number: (int(number), number)):
            video, camera = videos.get(number), cameras.get(number)
            if video is None:
                assert camera is not None
                problem = ("no_video", f"there is no video {number}.mp4 beside it")
                yield SourceItem(source, camera.name, str(camera.absolute()), self.licence, problem=problem)
            elif camera is None:
                problem = ("no_poses", f"there is no cam{number}.json beside it")
                yield SourceItem(source, video.name, str(video.absolute()), self.licence, problem=problem)
            else:
                caption = captions[int(number) - 1] if 0 < int(number) <= len(captions) else ""
                sidecars = (str(camera.absolute()),)
                yield SourceItem(source, video.name, str(video.absolute()), self.licence, sidecars, caption)
        for path in others:
            what = "neither <n>.mp4 nor cam<n>.json nor caption.txt"
            if path.parent != self.path:
                what = "it lies in a folder below; make that folder a source of its own"
            uri, problem = path.relative_to(self.path).as_posix(), ("not_recognised", what)
            yield plainly_named(SourceItem(source, uri, str(path.absolute()), self.licence, problem=problem))

    def _captions(self) -> list[str]:
        path = self.path / "caption.txt"
        return [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]

    def trajectory(self, item: SourceItem) -> Trajectory:
        """Cameras of the frames of the mp4, in metres.

        Raises:
            BadInput: `bad_poses`.
        """
        from worldloom.catalogs.formats.hydra import read_hydra_json

        return read_hydra_json(item.sidecars[0], stream="cond_cam")
