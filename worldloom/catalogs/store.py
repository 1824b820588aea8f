"""What a store of files can do, and the store that is a folder.

Every write is there as a whole or not at all. `create` is the one operation that tells two writers apart: the first
wins, the second is told so.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CHUNK_BYTES = 8 << 20
"""Largest piece that is in memory while files are copied (default ours)."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.=+@-]*(/[A-Za-z0-9_-][A-Za-z0-9_.=+@-]*)*\Z")


class Versioned(NamedTuple):
    """A state of a small file.

    Attributes:
        data: content.
        version: differs whenever the content differs.
        modified_s: when it was written, seconds since 1970 by the clock of the store.
    """

    data: bytes
    version: str
    modified_s: float


class Store(ABC):
    """Files by name; a name is a relative path with `/`, of plain characters, without hidden parts.

    Attributes:
        place: the folder or the address, as people write it.
    """

    place: str

    @abstractmethod
    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """Content of a file, or a stretch of it; shorter than asked for where the file ends.

        Raises:
            FileNotFoundError: there is no such file.
        """

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""

    @abstractmethod
    def listing(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Name and bytes of all files below a folder, in no order, drafts left out."""

    @abstractmethod
    def chunks(self, name: str) -> Iterator[bytes]:
        """Content of a file from its beginning, in pieces of at most 8 MiB.

        Raises:
            FileNotFoundError: there is no such file.
        """

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a file, or replace it; durable when this returns."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write a file that is not there yet; False where it is, which stays as it is."""

    @abstractmethod
    def versioned(self, name: str) -> Versioned | None:
        """Content of a small file with what tells this state of it from every other; None where there is none."""

    @abstractmethod
    def replace_if(self, name: str, data: bytes, version: str) -> bool:
        """Replace a file if it is still in the state `version`; False where it is not, and nothing is changed.

        Raises:
            NotImplementedError: in a folder, where no such step exists.
        """

    @abstractmethod
    def take(self, draft: Path, name: str) -> None:
        """Bring a finished local file in, under its name; the draft is gone afterwards."""

    @abstractmethod
    def local(self, name: str) -> Path:
        """A local file with this content, to be read at once and never written.

        Raises:
            FileNotFoundError: there is no such file.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a file; nothing where there is none."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self.size(name) is not None

    def names(self, folder: str = "") -> Iterator[str]:
        """Names of all files below a folder, in no order, drafts left out."""
        return (name for name, _ in self.listing(folder))


class FolderStore(Store):
    """Files in a folder, on a local disk or a file system that machines share.

    Args:
        folder: need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.place = str(folder)

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store`."""
        with self._path(name).open("rb") as file:
            if offset:
                file.seek(offset)
            return file.read(-1 if length is None else length)

    def size(self, name: str) -> int | None:
        """See `Store`."""
        path = self._path(name)
        try:
            return path.stat().st_size if path.is_file() else None
        except FileNotFoundError:
            return None

    def listing(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """See `Store`."""
        top = self._path(folder) if folder else self.folder
        for parent, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = Path(parent, name)
                try:
                    if not name.startswith("."):
                        yield path.relative_to(self.folder).as_posix(), path.stat().st_size
                except FileNotFoundError:  # gone since the folder was read
                    continue

    def chunks(self, name: str) -> Iterator[bytes]:
        """See `Store`."""
        with self._path(name).open("rb", buffering=0) as file:
            while part := file.read(CHUNK_BYTES):
                yield part

    def write(self, name: str, data: bytes) -> None:
        """See `Store`."""
        path = self._path(name)
        draft = self._draft(path, data)
        draft.replace(path)
        sync_to_disk(path.parent)

    def create(self, name: str, data: bytes) -> bool:
        """See `Store`."""
        path = self._path(name)
        draft = self._draft(path, data)
        try:
            os.link(draft, path)  # atomic, also on network file systems where O_EXCL is not
        except FileExistsError:
            # A network file system may have made the link and lost its answer.
            if draft.stat().st_nlink != 2:
                return False
        finally:
            draft.unlink()
        sync_to_disk(path.parent)
        return True

    def versioned(self, name: str) -> Versioned | None:
        """See `Store`."""
        try:
            with self._path(name).open("rb") as file:
                data, modified_s = file.read(), os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        return Versioned(data, hashlib.sha256(data).hexdigest(), modified_s)

    def replace_if(self, name: str, data: bytes, version: str) -> bool:
        """See `Store`."""
        raise NotImplementedError("a folder has no compare-and-swap; link and rename are its atomic steps")

    def take(self, draft: Path, name: str) -> None:
        """See `Store`."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        sync_to_disk(draft)
        try:
            draft.replace(path)
        except OSError:  # from another file system
            aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.draft")
            shutil.copyfile(draft, aside)
            sync_to_disk(aside)
            aside.replace(path)
            draft.unlink()
        sync_to_disk(path.parent)

    def local(self, name: str) -> Path:
        """See `Store`."""
        path = self._path(name)
        if not path.is_file():
            raise FileNotFoundError(str(path))
        return path

    def delete(self, name: str) -> None:
        """See `Store`."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / checked_name(name)

    def _draft(self, path: Path, data: bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.draft")
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException as error:
            draft.unlink(missing_ok=True)
            if isinstance(error, OSError):
                error.filename = str(path)  # that of a failed write names nothing
            raise
        return draft


def checked_name(name: str) -> str:
    """The name, if it is a plain relative path.

    Raises:
        ValueError: it is not.
    """
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not a plain relative path")
    return name


def sync_to_disk(place: Path) -> None:
    """Make the content of a file, or the names of new files in a folder, survive a power cut."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
