"""Shards: plain tar files of samples that `webdataset` and `tarfile` read, with headers of our own making.

Own headers because they are reproducible and fast, and because importing webdataset costs every worker torch. Reading
trusts nothing: a closed list of extensions, plain keys, regular members only, never extracted to disk.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import MEMBERS
from worldloom.catalogs.storage import sync_to_disk

BLOCK = 512
"""Tar's unit: headers and padded contents are multiples of it."""

KEY = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
MAX_MEMBER_BYTES = 1 << 32
_OCTAL = re.compile(rb"[0-7]*\Z")
_DECIMAL = re.compile(rb"[0-9]{1,20}\Z")
_MAX_OCTAL_SIZE = 8**11
_MAX_NAME = 100
_MAX_EXTENDED_HEADER_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 20
END_MARK = bytes(2 * BLOCK)
"""What a tar ends with."""


class Span(NamedTuple):
    """Where the content of a member lies in its shard, and its CRC-32."""

    offset: int
    length: int
    crc32: int


class TarFile(NamedTuple):
    """One regular file found in a tar: its name, where its content lies."""

    name: str
    offset: int
    length: int


class Member(NamedTuple):
    """One member found in a shard: sample key, extension, where its content lies."""

    key: str
    extension: str
    offset: int
    length: int

    @property
    def name(self) -> str:
        """As in the tar."""
        return f"{self.key}.{self.extension}"


@dataclass(frozen=True)
class Entry:
    """One sample of a shard.

    Attributes:
        key: of the sample.
        offset: of its first header.
        length: to the end of its last member, padding included.
        members: content of each member by extension.
    """

    key: str
    offset: int
    length: int
    members: dict[str, Span]


@dataclass(frozen=True)
class ShardInfo:
    """What was written.

    Attributes:
        name: file name.
        bytes: size of the file.
        samples: number of samples.
        sha256: hex digest of the file.
        entries: one per sample, in order.
    """

    name: str
    bytes: int
    samples: int
    sha256: str
    entries: list[Entry] = field(repr=False)


def write_shard(
    path: Path | str, samples: Iterable[tuple[str, Mapping[str, bytes | Path]]], *, durable: bool = True
) -> ShardInfo:
    """Write samples one by one; the file appears under its name only when it is whole and on disk.

    Equal samples give equal bytes: members in the order of `MEMBERS`, no times, no owners.

    Args:
        path: where the shard goes; its folder exists.
        samples: key and members by extension; a member is its content, or the file that holds it, which is never in
            memory as a whole.
        durable: wait until it is on disk; not needed for a draft that `Store.take` brings in.

    Raises:
        ValueError: a key or extension that no shard may hold, a key twice, or a sample without members.
        BadInput: `torn_file`, a file of a member changed while it was read.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb", buffering=_BUFFER_BYTES) as file:
            writer = _Writer(file)
            entries = [writer.add(key, members) for key, members in samples]
            writer.write(END_MARK)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            sync_to_disk(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return ShardInfo(path.name, writer.at, len(entries), writer.digest.hexdigest(), entries)


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self.at = 0
        self.digest = hashlib.sha256()
        self._file = file
        self._seen: set[str] = set()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.at += len(data)

    def add(self, key: str, members: Mapping[str, bytes | Path]) -> Entry:
        if not KEY.match(key):
            raise ValueError(f"key {key!r} may hold only letters, digits, _ and -, 128 at most")
        if key in self._seen:
            raise ValueError(f"key {key} comes twice")
        if not members or not set(members) <= set(MEMBERS):
            raise ValueError(f"sample {key} has members {sorted(members)}, allowed are {', '.join(MEMBERS)}")
        self._seen.add(key)
        start = self.at
        spans: dict[str, Span] = {}
        for extension in MEMBERS:
            if extension in members:
                content = members[extension]
                name = f"{key}.{extension}"
                span = self._content(name, content) if isinstance(content, bytes) else self._file_of(name, content)
                self.write(bytes(-span.length % BLOCK))
                spans[extension] = span
        return Entry(key, start, self.at - start, spans)

    def _content(self, name: str, content: bytes) -> Span:
        self.write(_header(name, len(content)))
        span = Span(self.at, len(content), zlib.crc32(content))
        self.write(content)
        return span

    def _file_of(self, name: str, path: Path) -> Span:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            self.write(_header(name, size))
            start, crc32 = self.at, 0
            while count := file.readinto(self._buffer):
                part = self._buffer[:count]
                crc32 = zlib.crc32(part, crc32)
                self.write(part)
        if self.at - start != size:
            raise BadInput("torn_file", f"changed while it was read for member {name}", where=path)
        return Span(start, size, crc32)


def _header(name: str, size: int) -> bytes:
    """A POSIX ustar header of a regular file: mode 644, no owner, time 0."""
    encoded = name.encode("ascii")
    if len(encoded) > _MAX_NAME or size >= _MAX_OCTAL_SIZE:
        raise ValueError(f"member {name} of {size} bytes does not fit a ustar header (100 characters, 8 GiB)")
    fields = (
        encoded.ljust(100, b"\0")
        + b"0000644\0"
        + b"0000000\0" * 2
        + b"%011o\0" % size
        + b"00000000000\0"
        + b" " * 8  # the checksum counts itself as spaces
        + b"0"
        + bytes(100)
        + b"ustar\x0000"
    ).ljust(BLOCK, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def read_shard(path: Path | str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Samples of a shard, one in memory at a time; any well-formed tar of ours or of webdataset's.

    Raises:
        BadInput: `torn_shard` or `bad_shard`, naming the member.
    """
    with Path(path).open("rb") as file:
        members: dict[str, bytes] = {}
        key = ""
        for member in scan_shard(file, path):
            if member.key != key and members:
                yield key, members
                members = {}
            key = member.key
            members[member.extension] = read_member(file, member, path)
        if members:
            yield key, members


def scan_shard(file: BinaryIO, where: Path | str) -> Iterator[Member]:
    """Headers of a shard, contents skipped: checks form, types, names, order and the end mark.

    Raises:
        BadInput: `torn_shard` (ends early) or `bad_shard` (a header that no shard of ours may hold).
    """
    previous, closed, seen = "", set[str](), set[str]()
    for one in scan_tar(file, where):
        member = _checked(one, where)
        if member.key in closed:
            raise BadInput("bad_shard", f"members of {member.key} are not contiguous, at {member.name}", where=where)
        if member.name in seen:
            raise BadInput("bad_shard", f"member {member.name} comes twice", where=where)
        if previous and member.key != previous:
            closed.add(previous)
            seen.clear()
        seen.add(member.name)
        previous = member.key
        yield member


def scan_tar(file: BinaryIO, where: Path | str, *, folders: bool = False) -> Iterator[TarFile]:
    """Headers of any tar, contents skipped: regular files only, each whole, up to the end mark.

    Args:
        file: seekable.
        where: for messages.
        folders: pass over entries that are folders, as `tar -c FOLDER` writes them.

    Raises:
        BadInput: `torn_shard` (ends early) or `bad_shard` (links, devices, sparse files, a damaged header).
    """
    total = file.seek(0, os.SEEK_END)
    at, previous = 0, ""
    override: dict[str, str | int] = {}
    while True:
        file.seek(at)
        header = file.read(BLOCK)
        if header == bytes(BLOCK):
            return
        if len(header) < BLOCK:
            place = f"after {previous}" if previous else "before its first member"
            raise BadInput("torn_shard", f"ends {place}, without an end mark", where=where)
        name, size, kind = _parse(header, at, where)
        at += BLOCK
        if kind in b"xLg":
            override.update(_extended(file, at, size, kind, total, where))
            at += size + -size % BLOCK
            continue
        name, size = str(override.get("path", name)), int(override.get("size", size))
        override = {}
        if folders and kind == b"5" and not size:
            continue
        _require_whole(name, size, kind, at, total, where)
        previous = name
        yield TarFile(name, at, size)
        at += size + -size % BLOCK


def read_member(file: BinaryIO, member: Member, where: Path | str) -> bytes:
    """Content of a member.

    Raises:
        BadInput: `torn_shard`, the file ends inside it.
    """
    file.seek(member.offset)
    content = file.read(member.length)
    if len(content) != member.length:
        raise BadInput("torn_shard", f"ends inside member {member.name}", where=where)
    return content


def _parse(header: bytes, at: int, where: Path | str) -> tuple[str, int, bytes]:
    """Name, size and type of a header whose checksum holds."""
    try:
        stated = _octal(header[148:156].split(b"\0")[0])
        if stated != sum(header) - sum(header[148:156]) + 8 * 32:
            raise ValueError("its checksum is wrong")
        size = _octal(header[124:136])
        name = header[:100].split(b"\0")[0].decode("ascii")
        if header[257:262] == b"ustar" and (prefix := header[345:500].split(b"\0")[0].decode("ascii")):
            name = f"{prefix}/{name}"
    except ValueError as error:
        raise BadInput("bad_shard", f"the header at byte {at} is damaged ({error})", where=where) from None
    return name, size, header[156:157]


def _octal(field: bytes) -> int:
    """A number of a header: `int` alone would take signs and underscores too, and a negative size leads backwards."""
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    if not _OCTAL.match(digits):
        raise ValueError(f"{digits!r} is no octal number")
    return int(digits or b"0", 8)


def _decimal(text: bytes) -> int:
    if not _DECIMAL.match(text):
        raise ValueError(f"{text[:40]!r} is no number")
    return int(text)


def _require_whole(name: str, size: int, kind: bytes, at: int, total: int, where: Path | str) -> None:
    if kind not in (b"0", b"\0"):
        what = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a folder"}
        raise BadInput("bad_shard", f"member {name!r} is {what.get(kind, 'no regular file')}", where=where)
    if size > MAX_MEMBER_BYTES:
        raise BadInput("bad_shard", f"member {name} claims {size} bytes", where=where)
    if at + size > total:
        raise BadInput("torn_shard", f"ends inside member {name}", where=where)


def _checked(one: TarFile, where: Path | str) -> Member:
    key, _, extension = one.name.partition(".")
    if not KEY.match(key):
        raise BadInput("bad_shard", f"member {one.name!r} has a key that is not plain (A-Z a-z 0-9 _ -)", where=where)
    if extension not in MEMBERS:
        raise BadInput("bad_shard", f"member {one.name!r} is none of {', '.join(MEMBERS)}", where=where)
    return Member(key, extension, one.offset, one.length)


def _extended(file: BinaryIO, at: int, size: int, kind: bytes, total: int, where: Path | str) -> dict[str, str | int]:
    """What a pax or GNU long-name header says about the next member; only path and size count."""
    if size > _MAX_EXTENDED_HEADER_BYTES or at + size > total:
        raise BadInput("bad_shard", f"the extended header at byte {at} claims {size} bytes", where=where)
    data = file.read(size)
    try:
        if kind == b"L":
            return {"path": data.rstrip(b"\0").decode("ascii")}
        found: dict[str, str | int] = {}
        while data:
            length = _decimal(data.split(b" ", 1)[0])
            if not 0 < length <= len(data):
                raise ValueError(f"a record of {length} bytes")
            record, data = data[:length], data[length:]
            name, _, value = record.split(b" ", 1)[1].rstrip(b"\n").decode().partition("=")
            if name.startswith("GNU.sparse") or (kind == b"g" and name in ("path", "size")):
                raise ValueError(f"'{name}' is not allowed")
            if name == "path":
                found["path"] = value
            elif name == "size":
                found["size"] = _decimal(value.encode())
        return found
    except (ValueError, IndexError) as error:
        raise BadInput("bad_shard", f"the extended header at byte {at} is damaged ({error})", where=where) from None
