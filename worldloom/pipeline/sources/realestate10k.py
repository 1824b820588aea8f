"""RealEstate10K: a txt with the cameras of some frames, and its clip, or the whole video that they are frames of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.pipeline.fetch.settings import Fetching
from worldloom.pipeline.sources.footage import Footage, Workplace
from worldloom.pipeline.sources.realestate10k_times import (
    TEXT_ENDINGS,
    VIDEO_ENDINGS,
    address_in,
    check_times,
    items_by_time,
    row_times,
    sorted_out,
)
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named

if TYPE_CHECKING:
    from worldloom.catalogs.formats.trajectory import Trajectory

_MOST_NAMED = 3
"""Files that a sentence names of those that could belong together."""


class RealEstate10KSource(Source):
    """Videos with camera files in RealEstate10K's form.

    By `align: index`, `videos` holds clips that were cut beforehand, and row i belongs to frame i. A clip belongs to
    the txt at the same place below `poses`; where only one clip and one txt have a name, they may lie in different
    folders. By `align: pts`, the rows' time stamps pick frames of the whole video: the one in `videos` that has the
    name of the video on YouTube or of the txt, or, with `download`, the one at the address in the first line.

    Attributes:
        poses: folder of `<id>.txt`.
        videos: folder of `<id>.mp4`.
        align: how rows find their frames.
        download: how whole videos are fetched that are not in `videos`; nothing is fetched where it is not given.
    """

    execution_keys: ClassVar[tuple[str, ...]] = ("download",)

    kind: Literal["realestate10k"]
    poses: Path
    videos: Path | None = None
    align: Literal["index", "pts"] = "index"
    download: Fetching | None = None

    def folders(self) -> dict[str, Path]:
        """Both folders, as far as they are given."""
        return {"poses": self.poses, **({"videos": self.videos} if self.videos is not None else {})}

    def check(self, where: str, fps: float | None, height: int | None, max_seconds: float) -> None:
        """Refuse what cannot work before anything runs."""
        super().check(where, fps, height, max_seconds)
        if self.download is not None:
            self.download.check_fetching(f"{where}.download")
        if self.align == "index" and self.download is not None:
            raise UsageError(f"{where}.download: what is fetched are whole videos; set align: pts")
        if self.videos is None and self.download is None:
            raise UsageError(f"{where}.videos: a folder of videos is missing{' (or download)' * (self.align == 'pts')}")

    def gives(self) -> tuple[str, ...]:
        """Poses."""
        return ("pose",)

    def items(self) -> Iterator[SourceItem]:
        """One item per video or txt, sorted by name, then all other files; what has no other half is a problem.

        The URI of a txt is relative to `poses`, that of everything else to `videos`, so that no two are the same. By
        `align: pts` it is the txt that names the item, for a video has many.
        """
        source = self.model_dump(mode="json")
        if self.align == "pts":
            yield from items_by_time(source, self.poses, self.videos, self.licence, self.download)
            return
        assert self.videos is not None
        texts, left = sorted_out(self.poses, TEXT_ENDINGS)
        videos, also_left = sorted_out(self.videos, VIDEO_ENDINGS)
        roots = self.poses.absolute(), self.videos.absolute()
        wanted = self.poses.name, self.videos.name
        for name, same in groupby(sorted([*texts, *videos], key=_stem), key=_stem):
            for file, text, problem in _of_one_name(name, list(same), *wanted):
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

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The clip; by `align: pts`, those frames of the video, fetched where it is not here yet, that have a row.

        Raises:
            BadInput: the video cannot be had (as `WebSource.footage`), or has no frame for a row: `outside_video`,
                `no_frame_at_time`; `bad_poses`.
            Unreachable: the video cannot be had now.
        """
        if self.align == "index":
            return super().footage(item, workplace)
        times_s = row_times(self.trajectory(item), item.uri)
        address = str(item.detail.get("video", ""))
        footage = Footage(times_s=times_s, uri=address)
        if item.path:
            footage.video = Path(item.path)
        else:
            assert self.download is not None
            fetched = self.download.fetch(self._url(item), workplace.downloads / "web", workplace.scratch)
            footage.video, footage.sha256, footage.retrieved_at = fetched.path, fetched.sha256, fetched.retrieved_at
        check_times(footage.video, times_s, item.uri)
        return footage

    def _url(self, item: SourceItem) -> str:
        """Where the video lies; what holds a query has no place in an item, and stands in the txt."""
        assert self.download is not None
        found = address_in(item.sidecars[0], pages=self.download.fetcher == "yt-dlp")
        if found is None:
            raise BadInput("no_url", "its first line holds no address any more", where=item.uri)
        return found.url

    def trajectory(self, item: SourceItem) -> Trajectory:
        """Cameras of the txt, intrinsics as shares of the picture.

        Raises:
            BadInput: `bad_poses`.
        """
        from worldloom.catalogs.formats.re10k import read_re10k

        return read_re10k(item.sidecars[0])


def _of_one_name(
    name: str, files: Sequence[str], poses: str, videos: str
) -> Iterator[tuple[str, str | None, tuple[str, str] | None]]:
    """Of the files of one name, in whatever folders: each video with its txt, or either with its problem."""
    text_of = _pairs(files)
    belonging = set(text_of.values())
    texts = [one for one in files if _is_text(one) and one not in belonging]
    clips = [one for one in files if not _is_text(one) and one not in text_of]
    unclear = None
    if texts and clips:
        which = f"{_named(texts)} in {poses} and {_named(clips)} in {videos}"
        remedy = "give each txt the name of its video, at the same place"
        unclear = ("ambiguous_name", f"it is not clear which belong together of {which}; {remedy}")
    for file in files:
        # Where others of the name have their half, the place tells which one is missing.
        missing = _place(file) if text_of else name
        if file in text_of:
            yield file, text_of[file], None
        elif not _is_text(file):
            yield file, None, unclear or ("no_poses", f"there is no {missing}.txt in {poses}")
        elif file not in belonging:
            yield file, None, unclear or ("no_video", f"there is no video {missing}.mp4 in {videos}")


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
