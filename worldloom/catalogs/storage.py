"""Where files lie: a folder, or a prefix in an S3-compatible object store; one interface for both.

Every write is there as a whole or not at all. `create` is the one operation that tells two writers apart: the first
wins, the second is told so (a hard link in a folder, `If-None-Match: *` in an object store).

Object stores take their credentials and endpoint from the usual environment variables (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, ...) or from the machine's role; an address never holds a secret.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worldloom.catalogs import object_requests
from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.catalogs.store import CHUNK_BYTES, FolderStore, Store, Versioned, checked_name, sync_to_disk

__all__ = ["FolderStore", "ObjectStore", "Store", "checked_name", "is_remote", "open_store", "sync_to_disk"]

_SCHEMES = ("s3://",)
_OVER = "over:"
_HELD_S = 3600.0
"""A copy in the cache that somebody asked for less than an hour ago is not removed (default ours)."""


def is_remote(place: Path | str) -> bool:
    """Whether a place is an address in an object store."""
    return str(place).startswith(_SCHEMES)


def open_store(place: Path | str) -> Store:
    """The store at a folder, at `s3://bucket/prefix`, or at what `overlay` gives.

    Raises:
        UsageError: an address that is neither.
    """
    text = str(place)
    if text.startswith(_OVER):
        above, _, below = text.removeprefix(_OVER).partition("|")
        return Overlay(FolderStore(Path(above)), open_store(below))
    if is_remote(text):
        return ObjectStore(text)
    if text.startswith("s3:/"):
        raise UsageError(f"{text}: an address is s3://bucket/prefix, and a string, no path")
    if "://" in text:
        raise UsageError(f"{text.split('?')[0]}: neither a folder nor s3://bucket/prefix")
    return FolderStore(Path(place))


def overlay(above: Path, below: Path | str) -> str:
    """The place that reads like `below` and is written to `above`, as plain text for another process."""
    return f"{_OVER}{above}|{below}"


def inside(place: Path | str, name: str) -> Path | str:
    """The place of something below a place: a path below a folder, an address below an address."""
    return f"{str(place).rstrip('/')}/{name}" if is_remote(place) else Path(place) / name


def absolute(place: Path | str) -> Path | str:
    """A folder's absolute path; an address is absolute already."""
    return str(place).rstrip("/") if is_remote(place) else Path(place).absolute()


class ObjectStore(Store):
    """Files in an S3-compatible object store.

    Args:
        address: `s3://bucket/prefix`.
        cache: folder for local copies; where not given, one in the machine's temporary folder that only this user may
            enter.
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
        mine = Path(tempfile.gettempdir(), f"worldloom-{os.getuid() if hasattr(os, 'getuid') else 'user'}")
        self._shared_by_all = mine if cache is None else None
        self._cache = cache or mine / hashlib.sha256(self.place.encode()).hexdigest()[:16]
        self._cache_bytes = cache_mb * 1_000_000
        self._client: Any = None

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store`."""
        checked_name(name)
        if offset == 0 and length is None:
            return bytes(self._ask(object_requests.get, name))
        total = None
        if length is None:
            total = self.size(name)
            if total is None:
                raise FileNotFoundError(f"{self.place}/{name}")
        stop = offset + length if length is not None else total
        assert stop is not None
        if stop <= offset:  # such a range is an error in S3, and nothing here
            if total is None and not self.exists(name):
                raise FileNotFoundError(f"{self.place}/{name}")
            return b""
        return bytes(self._ask(object_requests.get_range, name, offset, stop))

    def size(self, name: str) -> int | None:
        """See `Store`."""
        head = self._ask(object_requests.head, checked_name(name))
        return None if head is None else int(head["size"])

    def listing(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """See `Store`."""
        yield from self._ask(object_requests.list_below, checked_name(folder) + "/" if folder else None)

    def states(self, folder: str = "") -> Iterator[tuple[str, int, str, str]]:
        """Name, bytes, version and time of writing (ISO 8601, UTC) of all files below a folder, in no order."""
        yield from self._ask(object_requests.list_states, checked_name(folder) + "/" if folder else None)

    def chunks(self, name: str) -> Iterator[bytes]:
        """See `Store`."""
        total = self.size(name)
        if total is None:
            raise FileNotFoundError(f"{self.place}/{name}")
        for at in range(0, total, CHUNK_BYTES):
            yield bytes(self._ask(object_requests.get_range, name, at, min(total, at + CHUNK_BYTES)))

    def write(self, name: str, data: bytes) -> None:
        """See `Store`."""
        self._ask(object_requests.put, checked_name(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """See `Store`."""
        return bool(self._ask(object_requests.create, checked_name(name), data))

    def versioned(self, name: str) -> Versioned | None:
        """See `Store`."""
        found = self._ask(object_requests.get_versioned, checked_name(name))
        return None if found is None else Versioned(*found)

    def replace_if(self, name: str, data: bytes, version: str) -> bool:
        """See `Store`."""
        return bool(self._ask(object_requests.replace_if, checked_name(name), data, version))

    def take(self, draft: Path, name: str) -> None:
        """See `Store`."""
        self._ask(object_requests.put, checked_name(name), draft)
        draft.unlink()

    def local(self, name: str) -> Path:
        """See `Store`; a copy is kept as long as there is room, and taken again when the file has changed.

        Raises:
            WorldloomError: the folder for copies is not ours alone.
        """
        if self._shared_by_all is not None:
            _make_private(self._shared_by_all)
        head = self._ask(object_requests.head, checked_name(name))
        if head is None:
            raise FileNotFoundError(f"{self.place}/{name}")
        version = hashlib.sha256(head["version"].encode()).hexdigest()[:12]
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
                for part in self.chunks(name):
                    file.write(part)
            draft.replace(copy)
        finally:
            draft.unlink(missing_ok=True)
        return copy

    def delete(self, name: str) -> None:
        """See `Store`."""
        self._ask(object_requests.delete, checked_name(name))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None}  # connections do not travel to other processes

    def _ask(self, request: Callable[..., Any], *arguments: Any) -> Any:
        """Do a request here, or, in a process that was forked from one that had connections, in a child of its own.

        The client's threads do not survive a fork: a request from there would wait for ever.

        Raises:
            WorldloomError: the store cannot be reached or refuses, after the attempts that the client makes itself.
        """
        global _started_in
        if _started_in not in (None, os.getpid()):
            return _in_child(self.place, request.__name__, arguments)
        _started_in = os.getpid()
        with object_requests.plain_errors(self.place):
            if self._client is None:
                self._client = object_requests.connect(self._bucket, self._prefix)
            return request(self._client, *arguments)

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


def _make_private(folder: Path) -> None:
    """Make a folder whose name anybody can foresee, or find it to be ours: who made it could put files into it."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        found = folder.lstat()
        mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        if not stat.S_ISDIR(found.st_mode) or not mine or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise WorldloomError(
                f"{folder}: copies of files in object stores are kept here, and it is no folder that only you can "
                "write to; remove it, or set TMPDIR to a folder of your own"
            ) from None
        if found.st_mode & 0o077:  # nobody else could write to it, and nobody need read it
            folder.chmod(0o700)


_started_in: int | None = None
"""The process in which connections were first made; a fork inherits the number."""

_children: dict[int, Any] = {}
_one_at_a_time = threading.Lock()


def _in_child(place: str, request: str, arguments: Sequence[Any]) -> Any:
    from worldloom.catalogs.sandbox import Child, Limits

    pid = os.getpid()
    with _one_at_a_time:
        if pid not in _children:
            _children.clear()
            limits = Limits(deadline_s=600, recycle_after=1 << 40, address_space=False, threads=1)
            _children[pid] = Child("worldloom.catalogs.storage:answer", limits)
        kind, value = _children[pid].call((place, request, arguments))
    if kind == "missing":
        raise FileNotFoundError(value)
    if kind == "failed":
        raise WorldloomError(value)
    return value


def answer(question: tuple[str, str, Sequence[Any]]) -> tuple[str, Any]:
    """Do a request for a process that was forked. Runs in the child."""
    place, request, arguments = question
    if place not in _opened:
        _opened[place] = ObjectStore(place)
    try:
        return "done", _opened[place]._ask(object_requests.REQUESTS[request], *arguments)
    except FileNotFoundError as error:
        return "missing", str(error)
    except WorldloomError as error:
        return "failed", str(error)


_opened: dict[str, ObjectStore] = {}


class Overlay(Store):
    """One store on top of another: what is not above is read below, and nothing is ever written there.

    Args:
        above: takes what is written.
        below: stays as it is.
    """

    def __init__(self, above: Store, below: Store) -> None:
        self.above, self.below = above, below
        self.place = f"{above.place} over {below.place}"

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store`."""
        return self._holder(name).read(name, offset, length)

    def size(self, name: str) -> int | None:
        """See `Store`."""
        return self._holder(name).size(name)

    def listing(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """See `Store`."""
        found = dict(self.above.listing(folder))
        yield from found.items()
        yield from (one for one in self.below.listing(folder) if one[0] not in found)

    def chunks(self, name: str) -> Iterator[bytes]:
        """See `Store`."""
        return self._holder(name).chunks(name)

    def write(self, name: str, data: bytes) -> None:
        """See `Store`."""
        self.above.write(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """See `Store`."""
        return not self.exists(name) and self.above.create(name, data)

    def versioned(self, name: str) -> Versioned | None:
        """See `Store`."""
        return self._holder(name).versioned(name)

    def replace_if(self, name: str, data: bytes, version: str) -> bool:
        """See `Store`."""
        raise NotImplementedError("an overlay belongs to one process; it needs no compare-and-swap")

    def take(self, draft: Path, name: str) -> None:
        """See `Store`."""
        self.above.take(draft, name)

    def local(self, name: str) -> Path:
        """See `Store`."""
        return self._holder(name).local(name)

    def delete(self, name: str) -> None:
        """See `Store`; what lies below stays, and is seen again."""
        self.above.delete(name)

    def _holder(self, name: str) -> Store:
        return self.above if self.above.exists(name) else self.below
