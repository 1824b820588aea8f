"""RealEstate10K: a txt with the cameras of every frame, and the video of the same name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named, walk_files

if TYPE_CHECKING:
    from worldloom.catalogs.formats.trajectory import Trajectory

TEXT_ENDINGS = (".txt",)
VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi")

_MOST_NAMED = 3
"""Files that a sentence names of those that could belong together."""


class RealEstate10KSource(Source):
    """Videos with camera files in RealEstate10K's form. Row i is taken to belong to frame i.

    A video belongs to the txt at the same place below `poses`; where only one video and one txt have a name, they may
    lie in different folders.

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
        """One item per video or txt, sorted by name, then all other files; what has no other half is a problem.

        The URI of a txt is relative to `poses`, that of everything else to `videos`, so that no two are the same.
        """
        source = self.model_dump(mode="json")
        texts, left = _sorted_out(self.poses, TEXT_ENDINGS)
        videos, also_left = _sorted_out(self.videos, VIDEO_ENDINGS)
        roots = self.poses.absolute(), self.videos.absolute()
        for name, same in groupby(sorted([*texts, *videos], key=_stem), key=_stem):
            for file, text, problem in self._of_one_name(name, list(same)):
                path = roots[0 if _is_text(file) else 1] / file
                sidecars = () if text is None else (str(roots[0] / text),)
                yield plainly_named(SourceItem(source, file, str(path), self.licence, sidecars, problem=problem))
        # One folder may lie in the other, and is then walked twice.
        poses, clips = os.path.realpath(self.poses), os.path.realpath(self.videos)
        others = {f"{poses}/{one}" for one in left} | {f"{clips}/{one}" for one in also_left}
        if others:
            others.difference_update(f"{poses}/{one}" for one in texts)
            others.difference_update(f"{clips}/{one}" for one in videos)
        unknown = ("not_recognised", f"neither a txt in {self.poses.name} nor a video in {self.videos.name}")
        for place in sorted(others):
            uri = os.path.relpath(place, poses if _is_text(place) else clips)
            yield plainly_named(SourceItem(source, uri, place, self.licence, problem=unknown))

    def _of_one_name(self, name: str, files: Sequence[str]) -> Iterator[tuple[str, str | None, tuple[str, str] | None]]:
        """Of the files of one name, in whatever folders: each video with its txt, or either with its problem."""
        text_of = _pairs(files)
        belonging = set(text_of.values())
        texts = [one for one in files if _is_text(one) and one not in belonging]
        videos = [one for one in files if not _is_text(one) and one not in text_of]
        unclear = None
        if texts and videos:
            which = f"{_named(texts)} in {self.poses.name} and {_named(videos)} in {self.videos.name}"
            remedy = "give each txt the name of its video, at the same place"
            unclear = ("ambiguous_name", f"it is not clear which belong together of {which}; {remedy}")
        for file in files:
            # Where others of the name have their half, the place tells which one is missing.
            missing = _place(file) if text_of else name
            if file in text_of:
                yield file, text_of[file], None
            elif not _is_text(file):
                yield file, None, unclear or ("no_poses", f"there is no {missing}.txt in {self.poses.name}")
            elif file not in belonging:
                yield file, None, unclear or ("no_video", f"there is no video {missing}.mp4 in {self.videos.name}")

    def trajectory(self, item: SourceItem) -> Trajectory:
        """Cameras of the txt, intrinsics as shares of the picture.

        Raises:
            BadInput: `bad_poses`.
        """
        from worldloom.catalogs.formats.re10k import read_re10k

        return read_re10k(item.sidecars[0])


def _sorted_out(folder: Path, endings: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Files with such an ending, and all others, as paths below the folder.

    As text: a path object per file is what a driver with a million of them would remember longest.
    """
    found: list[str] = []
    others: list[str] = []
    for path in walk_files(folder):
        (found if path.suffix.lower() in endings else others).append(path.relative_to(folder).as_posix())
    return found, others


def _pairs(files: Sequence[str]) -> dict[str, str]:
    """The txt of each video of one name that has one: the only one, or the one at the same place."""
    texts = [one for one in files if _is_text(one)]
    if len(texts) == 1 and len(files) == 2:
        return {one: texts[0] for one in files if one != texts[0]}
    at: dict[str, list[str]] = {}
    for one in files:
        at.setdefault(_place(one), []).append(one)
    pairs: dict[str, str] = {}
    for same in at.values():
        first, second = same if len(same) == 2 else ("", "")
        if _is_text(first) != _is_text(second):
            pairs |= {second: first} if _is_text(first) else {first: second}
    return pairs


def _is_text(name: str) -> bool:
    return name.lower().endswith(TEXT_ENDINGS)


def _place(name: str) -> str:
    return name.rpartition(".")[0]


def _stem(name: str) -> str:
    return _place(name).rpartition("/")[2]


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return " and ".join([*sorted(names)[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])])
