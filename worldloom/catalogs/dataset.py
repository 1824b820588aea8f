"""Reading a dataset: random access to clips through the catalog, usable alone in any training loop.

from worldloom import ShardDataset
dataset = ShardDataset("runs/walks/dataset", where="events.pairs > 0 and pose.confidence > 0.5", split="train")
clip = dataset[0]
with clip.open_frames() as frames:
    first = frames[0]

An address in an object store opens just the same: `ShardDataset("s3://bucket/walks")`; a sample is one request for a
stretch of its shard, and iteration reads ahead.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from worldloom.catalogs.catalog import matching, open_catalog
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import Manifest, latest, read_manifest
from worldloom.catalogs.sample import MEMBERS, members_to_clip
from worldloom.catalogs.storage import FolderStore, Store, is_remote, open_store

_READERS = 8
_MOST_WAITING = 256
"""Requests at a time, and samples at most, that iteration over an object store reads ahead (defaults ours)."""

_GAP_BYTES = 1 << 16
"""Less than this between two members is read along rather than asked for by a request of its own (default ours)."""


class ShardDataset(Sequence[Clip]):
    """The clips of a dataset, read one by one from their shards; `len`, `[i]`, iteration, pickling, fork and spawn.

    Nothing is open between reads, so copies in worker processes share nothing.

    Args:
        path: folder of the dataset, or `s3://bucket/prefix`.
        where: SQL condition over the catalog, e.g. `quality.sharpness > 0.2`; all clips where not given.
        split: only this split.
        members: which members to read, e.g. `("mp4", "camera.npz")`; `json` is always read. All where not given.
        number: of the manifest; the latest where not given.
        read_ahead_mb: of samples that iteration over an object store holds in memory, in 10^6 bytes; at least the
            sample that comes next.

    Attributes:
        keys: of the chosen clips, in the order of the catalog.
        table: the chosen rows of the catalog.
        manifest: the dataset's state that was opened.

    Raises:
        UsageError: no dataset there, an invalid condition, an unknown split or member.
        BadInput: the manifest or the catalog is damaged.
    """

    def __init__(
        self,
        path: Path | str,
        where: str | None = None,
        split: str | None = None,
        members: Sequence[str] | None = None,
        number: int | None = None,
        read_ahead_mb: float = 64.0,
    ) -> None:
        self.path = path if is_remote(path) else Path(path)
        self.manifest: Manifest = latest(path) if number is None else read_manifest(path, number)
        self._store = open_store(path)
        self._read_ahead_bytes = read_ahead_mb * 1e6
        for member in members or ():
            if member not in MEMBERS:
                raise UsageError(f"members: unknown member '{member}'" + nearest(member, MEMBERS))
        self.members = tuple(MEMBERS) if members is None else ("json", *members)
        table = open_catalog(self._store, self.manifest)
        if split is not None:
            splits = table.column("split").to_pylist()
            if split not in splits and len(table):
                raise UsageError(f"split: there is no split '{split}'" + nearest(split, sorted(set(splits))))
            table = table.filter(pa.array([one == split for one in splits], pa.bool_()))
        if where is not None:
            table = table.take(pa.array(matching(table, where)))
        self.table: pa.Table = table.combine_chunks()
        self.keys: list[str] = table.column("key").to_pylist()
        self._at: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: Any) -> Any:
        """The clip at a position (or a list of clips for a slice), its video as bytes.

        Raises:
            IndexError: there are fewer clips.
            BadInput: `torn_shard`, the bytes are not those that were written; `bad_sample`.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        position = range(len(self))[index]
        return members_to_clip(self.keys[position], self.read(position))

    def __iter__(self) -> Iterator[Clip]:
        return self.in_order(range(len(self)))

    def in_order(self, positions: Iterable[int]) -> Iterator[Clip]:
        """The clips at these positions, in this order; from an object store, the next ones are read meanwhile.

        Args:
            positions: among the chosen clips, e.g. of `shard_order` or of a shuffle.

        Raises:
            BadInput: `torn_shard`, `bad_sample`, `missing_file`.
        """
        if isinstance(self._store, FolderStore):
            return (self[position] for position in positions)
        return self._ahead(positions)

    def shard_order(self) -> list[int]:
        """All positions, shard after shard and in each from its beginning: what a disk reads fastest."""
        places = zip(self.table.column("shard").to_pylist(), self.table.column("offset").to_pylist(), strict=True)
        return [position for position, _ in sorted(enumerate(places), key=lambda one: one[1])]

    def _ahead(self, positions: Iterable[int]) -> Iterator[Clip]:
        coming = iter(positions)
        lengths = self.table.column("length").to_numpy()
        waiting: deque[tuple[int, int, Future[dict[str, bytes]]]] = deque()
        held = 0
        pool = ThreadPoolExecutor(_READERS, thread_name_prefix="read-ahead")
        try:
            while True:
                while not waiting or (held < self._read_ahead_bytes and len(waiting) < _MOST_WAITING):
                    position = next(coming, None)
                    if position is None:
                        break
                    position = range(len(self))[position]
                    size = int(lengths[position])
                    waiting.append((position, size, pool.submit(self.read, position)))
                    held += size
                if not waiting:
                    return
                position, size, sample = waiting.popleft()
                yield members_to_clip(self.keys[position], sample.result())
                held -= size
        finally:
            pool.shutdown(cancel_futures=True)

    def get(self, key: str) -> Clip:
        """The clip with this key.

        Raises:
            KeyError: it is not among the chosen clips.
        """
        if self._at is None:
            self._at = {one: i for i, one in enumerate(self.keys)}
        return members_to_clip(key, self.read(self._at[key]))

    def read(self, index: int, members: Sequence[str] | None = None) -> dict[str, bytes]:
        """Members of one sample as bytes, by extension; only those bytes are read, and they are checked.

        Args:
            index: position among the chosen clips.
            members: which; those of the dataset where not given.

        Raises:
            BadInput: `torn_shard`, naming shard and member.
        """
        wanted = self.members if members is None else members
        row = self.table.slice(index, 1).select(["key", "shard", "members"]).to_pylist()[0]
        shard = row["shard"]
        spans = [span for span in row["members"] if span["name"] in wanted]
        where = f"{self.path}/{shard}"
        try:
            if isinstance(self._store, FolderStore):
                contents = _from_file(self._store.folder / shard, spans)
            else:
                contents = _from_store(self._store, shard, spans)
        except OSError as error:
            raise BadInput(
                "missing_file", f"cannot be opened ({error.strerror or 'no such file'})", where=where
            ) from None
        return {
            span["name"]: _checked(content, span, row["key"], where)
            for span, content in zip(spans, contents, strict=True)
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_at": None}


def _from_file(path: Path, spans: Sequence[Mapping[str, Any]]) -> list[bytes]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size  # what is asked for beyond it would be allocated all the same
        return [
            _stretch(descriptor, span["offset"], min(span["length"], max(0, size - span["offset"]))) for span in spans
        ]
    finally:
        os.close(descriptor)


def _stretch(descriptor: int, offset: int, length: int) -> bytes:
    content = os.pread(descriptor, length, offset)
    while 0 < len(content) < length:  # one call gives 2 GiB at most
        part = os.pread(descriptor, length - len(content), offset + len(content))
        if not part:
            break
        content += part
    return content


def _from_store(store: Store, shard: str, spans: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """One request for members that lie close together, which those of a sample do."""
    contents: dict[str, bytes] = {}
    runs: list[list[Mapping[str, Any]]] = []
    end = 0
    for span in sorted(spans, key=lambda span: int(span["offset"])):
        if not runs or span["offset"] - end > _GAP_BYTES:
            runs.append([])
        runs[-1].append(span)
        end = span["offset"] + span["length"]
    for run in runs:
        first = run[0]["offset"]
        data = store.read(shard, first, run[-1]["offset"] + run[-1]["length"] - first)
        for span in run:
            contents[span["name"]] = data[span["offset"] - first : span["offset"] - first + span["length"]]
    return [contents[span["name"]] for span in spans]


def _checked(content: bytes, span: Mapping[str, Any], key: str, where: str) -> bytes:
    if len(content) < span["length"]:
        raise BadInput("torn_shard", f"ends inside member {key}.{span['name']}", where=where)
    if zlib.crc32(content) != span["crc32"]:
        message = f"member {key}.{span['name']} differs from what was written"
        raise BadInput("torn_shard", message, where=where, remedy="Run worldloom verify on the dataset.")
    return content
