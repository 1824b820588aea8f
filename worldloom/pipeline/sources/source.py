"""What a source is: a configuration that lists its videos, each with the files that belong to it."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from worldloom.catalogs.config import Strict, digest
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import is_remote
from worldloom.pipeline.sources.footage import Footage, Known, Workplace

if TYPE_CHECKING:
    from worldloom.catalogs.formats.trajectory import Trajectory
    from worldloom.catalogs.video import VideoInfo

_ID = re.compile(r"(?P<kind>.+?):[0-9a-f]{8}:(?P<uri>.*)", re.DOTALL)

PLACES = ("path", "poses", "videos", "plans", "seed", "list", "model", "images", "records")
"""Keys of a source's configuration that say where it lies: they are part of the name of each of its items."""


@dataclass(frozen=True)
class SourceItem:
    """One video of a source, or one thing in it that turned out not to be one.

    Attributes:
        source: the source's configuration as plain data, from which a worker builds it again.
        uri: the video, relative to the source's path.
        path: the video, absolute; empty for a rendered world.
        licence: as stated in the job.
        sidecars: files that belong to the video (poses, camera JSON), absolute.
        caption: text that the source has about the video.
        problem: reason and sentence, where the source already knows that this cannot become a clip.
        plan: of a rendered world, plain data.
        made_by: what renders it, with its version.
        detail: plain data by which the source finds it again in the worker: an episode, a member of an archive, a span.
        attributes: further columns that the source has about it, plain; they reach the catalog.
        stamp: digest of the names, sizes and times of files beyond `path` and `sidecars`.
        settings: digest of the source's configuration as far as it decides what becomes of the item; `Source.listed`
            fills it in.
    """

    source: dict[str, Any]
    uri: str
    path: str = ""
    licence: str = ""
    sidecars: tuple[str, ...] = ()
    caption: str = ""
    problem: tuple[str, str] | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    made_by: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, str | float | bool] = field(default_factory=dict)
    stamp: str = ""
    settings: str = ""

    @property
    def kind(self) -> str:
        """Of the source."""
        return str(self.source["kind"])

    @property
    def id(self) -> str:
        """Name of the item in the ledger: kind, place of the source, and URI."""
        place = {key: value for key, value in self.source.items() if key in PLACES}
        return f"{self.kind}:{digest(place, length=8)}:{self.uri}"

    def fingerprint(self) -> str:
        """Digest of what the item is made of, cheap enough for every start: names, sizes and times of its files."""
        files = []
        for path in (self.path, *self.sidecars):
            if path:
                try:
                    stat = Path(path).stat()
                    files.append([Path(path).name, stat.st_size, stat.st_mtime_ns])
                except OSError:
                    files.append([Path(path).name, -1, -1])
        told = [self.licence, self.caption, list(self.problem or ()), self.source.get("give", [])]
        # What an item does not have leaves no trace: the rows of earlier versions stay answers.
        more = [one for one in (self.detail, self.attributes, self.stamp, self.settings) if one]
        return digest([files, told, self.plan, self.made_by, *more])

    def retrieved_at(self) -> str:
        """Time of the file, ISO 8601 in UTC; empty for what is none: a rendered world, an address."""
        if not self.path or is_remote(self.path):
            return ""
        seconds = Path(self.path).stat().st_mtime
        return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


class Source(Strict):
    """Base of the sources: a strict configuration with `kind`, and where its items are.

    Attributes:
        licence: of everything in the source, as it will stand in each sample.
    """

    licence: str = ""

    execution_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of the configuration that change how items are fetched, or which there are, and nothing about their clips.
    Another value of them has nothing ingested again."""

    @abstractmethod
    def items(self) -> Iterator[SourceItem]:
        """One item per video, in a fixed order; things that are no video are items as well."""

    def folders(self) -> dict[str, Path]:
        """Key and folder of what must exist."""
        return {}

    def gives(self) -> tuple[str, ...]:
        """Operations that the source answers by itself for those items where it can, e.g. `pose`."""
        return ()

    def listed(self) -> Iterator[SourceItem]:
        """The items as a run takes them: each knows what of the source's configuration decides its clips."""
        told = self._settings()
        for item in self.items():
            yield replace(item, settings=told) if told else item

    def _settings(self) -> str:
        free = {"kind", "licence", "give", *PLACES, *self.execution_keys}
        values = self.model_dump(mode="json", exclude_defaults=True, exclude=free)
        return digest(values) if values else ""

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The pictures of an item, fetched or rendered where they are not there yet; called in the worker.

        Args:
            item: one of `items`, without a problem.
            workplace: where files may go.

        Raises:
            BadInput: it cannot become a clip, for this reason; the item is dropped. Anything else fails its row, which
                can be tried again.
        """
        return Footage(video=Path(item.path))

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """What the source knows about the frames of an item; called in the worker.

        Args:
            item: one of `items`, without a problem.
            info: of its footage: size in pixels, rate, number of frames.

        Raises:
            BadInput: a file beside it cannot be read.
        """
        return Known(trajectory=self.trajectory(item))

    def trajectory(self, item: SourceItem) -> Trajectory | None:
        """Cameras of the frames of an item, row i for frame i: all that sources with nothing but cameras implement.

        Raises:
            BadInput: the sidecar cannot be read.
        """
        return None

    def check(self, where: str, fps: float | None, height: int | None, max_seconds: float) -> None:
        """Refuse what cannot work before anything runs.

        Args:
            where: key of the source in the job.
            fps: of the clips, None for the source's own.
            height: of the clips at most, pixels.
            max_seconds: of the clips.

        Raises:
            UsageError: a folder is missing or its name is no text, or the source cannot deliver what the job asks for.
        """
        for key, folder in self.folders().items():
            if not folder.is_dir():
                what = "is not a folder" if folder.exists() else "no such folder"
                raise UsageError(f"{where}.{key}: {what}: {folder}")
            if (plain := _plain(str(folder))) != str(folder):  # it stands in messages about its files
                raise UsageError(f"{where}.{key}: its name is not UTF-8: {plain}; rename it, or name a link to it")


def kind_and_uri(item: str) -> tuple[str, str]:
    """Kind of its source, which may hold colons, and URI, of the id of an item; of anything else nothing and itself."""
    found = _ID.fullmatch(item)
    return (found["kind"], found["uri"]) if found else ("", item)


def plainly_named(item: SourceItem) -> SourceItem:
    """The item itself, or in its place, where a name in it is not UTF-8 and fits into no row, one that says so."""
    uri, problem = _plain(item.uri), item.problem and (item.problem[0], _plain(item.problem[1]))
    if uri != item.uri or any(_plain(one) != one for one in item.sidecars):
        problem = "bad_name", "its name, or that of a file that belongs to it, is not UTF-8; rename it"
        return replace(item, uri=uri, path="", sidecars=(), problem=problem)
    return item if problem == item.problem else replace(item, problem=problem)


def _plain(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def walk_files(root: Path, *, recursive: bool = True, within: Path | None = None) -> Iterator[Path]:
    """Files below `root` in sorted order, hidden ones left out; links that lead out of `root` are not followed.

    Args:
        root: a folder.
        recursive: look into the folders below.
        within: a folder above, that links may stay in, instead of `root`.

    Raises:
        UsageError: a folder in it cannot be listed.
    """
    inside = os.path.realpath(within or root)
    for folder, names, files in os.walk(root, followlinks=False, onerror=refuse_unlisted):
        names[:] = sorted(name for name in names if not name.startswith(".")) if recursive else []
        if not _is_below(inside, folder):
            names.clear()
            continue
        for name in sorted(files):
            path = Path(folder, name)
            # What is no link lies where its folder lies, and resolving asks for every folder above it.
            if not name.startswith(".") and (not path.is_symlink() or _is_below(inside, path)):
                yield path


def refuse_unlisted(error: OSError) -> None:
    """What `os.walk` is to do about a folder that it cannot list: files in it would be missing without a word.

    Raises:
        UsageError: always, naming the folder.
    """
    remedy = "make it readable, or take it out of the source"
    raise UsageError(f"{error.filename}: cannot be listed ({error.strerror}); {remedy}") from None


def _is_below(root: str, path: str | Path) -> bool:
    """Whether a path, its links followed, lies in a folder; a link that leads back to itself lies where it is."""
    return Path(os.path.realpath(path)).is_relative_to(root)
