"""What a source is: a configuration that lists its videos, each with the files that belong to it."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom.catalogs.config import Strict, digest
from worldloom.catalogs.errors import BadInput, UsageError

if TYPE_CHECKING:
    from worldloom.catalogs.clip import Clip
    from worldloom.catalogs.formats.trajectory import Trajectory


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

    @property
    def kind(self) -> str:
        """Of the source."""
        return str(self.source["kind"])

    @property
    def id(self) -> str:
        """Name of the item in the ledger: kind, place of the source, and URI."""
        place = {
            key: value for key, value in self.source.items() if key in ("path", "poses", "videos", "plans", "seed")
        }
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
        return digest([files, told, self.plan, self.made_by])

    def retrieved_at(self) -> str:
        """Time of the file, ISO 8601 in UTC; empty for a rendered world."""
        if not self.path:
            return ""
        seconds = Path(self.path).stat().st_mtime
        return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


class Source(Strict):
    """Base of the sources: a strict configuration with `kind`, and where its items are.

    Attributes:
        licence: of everything in the source, as it will stand in each sample.
    """

    licence: str = ""

    @abstractmethod
    def items(self) -> Iterator[SourceItem]:
        """One item per video, in a fixed order; things that are no video are items as well."""

    def folders(self) -> dict[str, Path]:
        """Key and folder of what must exist."""
        return {}

    def gives(self) -> tuple[str, ...]:
        """Operations that the source answers by itself, e.g. `pose`."""
        return ()

    def trajectory(self, item: SourceItem) -> Trajectory | None:
        """Cameras of the frames of the item's video, row i for frame i; None where the source knows none.

        Raises:
            BadInput: the sidecar cannot be read.
        """
        return None

    def render(self, item: SourceItem, video: Path) -> Clip | None:
        """Write the video of an item that has none yet, and return everything that is true of it."""
        return None

    def plan_sha256(self, item: SourceItem) -> str:
        """Hex digest that stands for the file of an item that is rendered from a plan."""
        return digest(item.plan, length=64)

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


def plainly_named(item: SourceItem) -> SourceItem:
    """The item itself, or in its place, where a name in it is not UTF-8 and fits into no row, one that says so."""
    uri, problem = _plain(item.uri), item.problem and (item.problem[0], _plain(item.problem[1]))
    if uri != item.uri or any(_plain(one) != one for one in item.sidecars):
        problem = "bad_name", "its name, or that of a file that belongs to it, is not UTF-8; rename it"
        return replace(item, uri=uri, path="", sidecars=(), problem=problem)
    return item if problem == item.problem else replace(item, problem=problem)


def _plain(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def walk_files(root: Path, *, recursive: bool = True) -> Iterator[Path]:
    """Files below `root` in sorted order, hidden ones left out; links that lead out of `root` are not followed.

    Raises:
        UsageError: a folder in it cannot be listed.
    """
    inside = os.path.realpath(root)
    for folder, names, files in os.walk(root, followlinks=False, onerror=_refuse):
        names[:] = sorted(name for name in names if not name.startswith(".")) if recursive else []
        if not _is_below(inside, folder):
            names.clear()
            continue
        for name in sorted(files):
            path = Path(folder, name)
            # What is no link lies where its folder lies, and resolving asks for every folder above it.
            if not name.startswith(".") and (not path.is_symlink() or _is_below(inside, path)):
                yield path


def _refuse(error: OSError) -> None:
    remedy = "make it readable, or take it out of the source"
    raise UsageError(f"{error.filename}: cannot be listed ({error.strerror}); {remedy}") from None


def _is_below(root: str, path: str | Path) -> bool:
    """Whether a path, its links followed, lies in a folder; a link that leads back to itself lies where it is."""
    return Path(os.path.realpath(path)).is_relative_to(root)


def file_sha256(path: str | Path) -> str:
    """Hex digest of a file.

    Raises:
        BadInput: `not_video`, it is a pipe, a device or a folder, which may never end.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise BadInput("not_video", "a pipe, a device or a folder, no file", where=path)
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
