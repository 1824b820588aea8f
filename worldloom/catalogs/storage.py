"""Where files lie: a folder, or a prefix in an S3-compatible object store; one interface for both.

Every write is there as a whole or not at all. `create` is the one operation that tells two writers apart: the first
wins, the second is told so (a hard link in a folder, `If-None-Match: *` in an object store).

Object stores take their credentials and endpoint from the usual environment variables (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, ...) or from the machine's role; an address never holds a secret.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worldloom.catalogs.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.=+@-]*(/[A-Za-z0-9_-][A-Za-z0-9_.=+@-]*)*\Z")
_SCHEMES = ("s3://",)
_HELD_S = 3600.0
"""A copy in the cache that somebody asked for less than an hour ago is not removed (default ours)."""


def is_remote(place: Path | str) -> bool:
    """Whether a place is an address in an object store."""
    return str(place).startswith(_SCHEMES)


def open_store(place: Path | str) -> Store:
    """The store at a folder or at `s3://bucket/prefix`.

    Raises:
        UsageError: an address that is neither.
    """
    text = str(place)
    if is_remote(text):
        return ObjectStore(text)
    if "://" in text:
        raise UsageError(f"{text.split('?')[0]}: neither a folder nor s3://bucket/prefix")
    return FolderStore(Path(place))


def inside(place: Path | str, name: str) -> Path | str:
    """The place of something below a place: a path below a folder, an address below an address."""
    return f"{str(place).rstrip('/')}/{name}" if is_remote(place) else Path(place) / name


def absolute(place: Path | str) -> Path | str:
    """A folder's absolute path; an address is absolute already."""
    return str(place).rstrip("/") if is_remote(place) else Path(place).absolute()


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
    def names(self, folder: str = "") -> Iterator[str]:
        """Names of all files below a folder, in no order, drafts left out."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a file, or replace it; durable when this returns."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write a file that is not there yet; False where it is, which stays as it is."""

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

    def names(self, folder: str = "") -> Iterator[str]:
        """See `Store`."""
        top = self._path(folder) if folder else self.folder
        for parent, folders, files in os.walk(top):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if not name.startswith("."):
                    yield Path(parent, name).relative_to(self.folder).as_posix()

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
            return False
        finally:
            draft.unlink()
        sync_to_disk(path.parent)
        return True

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
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return draft


class ObjectStore(Store):
    """Files in an S3-compatible object store.

    Args:
        address: `s3://bucket/prefix`.
        cache: folder for local copies; one per user in the machine's temporary folder where not given.
        cache_mb: size of that folder, in 10^6 bytes, above which the copies longest unused go.

    Raises:
        UsageError: no bucket in the address, or more than a bucket and a prefix.
    """

    def __init__(self, address: str, *, cache: Path | None = None, cache_mb: int = 20_000) -> None:
        parts = urlsplit(address)
        if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise UsageError(
                f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}: an object store is written "
                "s3://bucket/prefix; credentials and endpoint come from AWS_ environment variables"
            )
        self.place = address.rstrip("/")
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        mine = f"worldloom-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        self._cache = cache or Path(tempfile.gettempdir()) / mine / hashlib.sha256(self.place.encode()).hexdigest()[:16]
        self._cache_bytes = cache_mb * 1_000_000
        self._client: Any = None

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store`."""
        import obstore

        checked_name(name)
        if offset == 0 and length is None:
            return bytes(obstore.get(self._store, name).bytes())
        total = self.size(name)
        if total is None:
            raise FileNotFoundError(f"{self.place}/{name}")
        stop = total if length is None else min(total, offset + length)
        # A range that ends before it starts is an error in S3, and nothing here.
        return bytes(obstore.get_range(self._store, name, start=offset, end=stop)) if stop > offset else b""

    def size(self, name: str) -> int | None:
        """See `Store`."""
        import obstore

        try:
            return int(obstore.head(self._store, checked_name(name))["size"])
        except FileNotFoundError:
            return None

    def names(self, folder: str = "") -> Iterator[str]:
        """See `Store`."""
        import obstore

        prefix = checked_name(folder) + "/" if folder else None
        for batch in obstore.list(self._store, prefix=prefix):
            yield from (str(entry["path"]) for entry in batch)

    def write(self, name: str, data: bytes) -> None:
        """See `Store`."""
        import obstore

        obstore.put(self._store, checked_name(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """See `Store`."""
        import obstore

        try:
            obstore.put(self._store, checked_name(name), data, mode="create", use_multipart=False)
        except obstore.exceptions.AlreadyExistsError:
            return False
        return True

    def take(self, draft: Path, name: str) -> None:
        """See `Store`."""
        import obstore

        obstore.put(self._store, checked_name(name), draft)
        draft.unlink()

    def local(self, name: str) -> Path:
        """See `Store`; a copy is kept as long as there is room, and taken again when the file has changed."""
        import obstore

        head = obstore.head(self._store, checked_name(name))
        version = hashlib.sha256(str(head["e_tag"] or head["last_modified"]).encode()).hexdigest()[:12]
        # The ending stays: decoders and readers look at it.
        copy = self._cache / Path(name).parent / f"{version}-{Path(name).name}"
        if copy.is_file():
            os.utime(copy)
            return copy
        self._make_room(int(head["size"]))
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = copy.with_name(f".{copy.name}.{uuid.uuid4().hex[:8]}.draft")
        try:
            with draft.open("wb") as file:
                for part in obstore.get(self._store, name).stream(min_chunk_size=8 << 20):
                    file.write(part)
            draft.replace(copy)
        finally:
            draft.unlink(missing_ok=True)
        return copy

    def delete(self, name: str) -> None:
        """See `Store`."""
        import obstore

        obstore.delete(self._store, checked_name(name))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None}  # connections do not travel to other processes

    @property
    def _store(self) -> Any:
        if self._client is None or self._client[0] != os.getpid():
            from obstore.store import S3Store

            options: dict[str, Any] = {}
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
            if endpoint.startswith("http://"):
                options["allow_http"] = True
            self._client = os.getpid(), S3Store(self._bucket, prefix=self._prefix or None, client_options=options)
        return self._client[1]

    def _make_room(self, wanted: int) -> None:
        """Remove copies that nobody has asked for lately, the oldest first, until the new one fits."""
        found = []
        for path in self._cache.rglob("*") if self._cache.is_dir() else ():
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if path.is_file():
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found) + wanted
        for used, size, path in sorted(found):
            if total <= self._cache_bytes or time.time() - used < _HELD_S:
                return
            path.unlink(missing_ok=True)
            total -= size


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
