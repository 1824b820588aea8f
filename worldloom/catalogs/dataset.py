"""Reading a dataset: random access to clips through the catalog, usable alone in any training loop.

from worldloom import ShardDataset
dataset = ShardDataset("runs/walks/dataset", where="events.pairs > 0 and pose.confidence > 0.5", split="train")
clip = dataset[0]
with clip.open_frames() as frames:
    first = frames[0]
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from worldloom.catalogs.catalog import matching, read_catalog
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import Manifest, latest, read_manifest
from worldloom.catalogs.sample import MEMBERS, members_to_clip


class ShardDataset(Sequence[Clip]):
    """The clips of a dataset, read one by one from their shards; `len`, `[i]`, iteration, pickling, fork and spawn.

    Nothing is open between reads, so copies in worker processes share nothing.

    Args:
        path: folder of the dataset.
        where: SQL condition over the catalog, e.g. `quality.sharpness > 0.2`; all clips where not given.
        split: only this split.
        members: which members to read, e.g. `("mp4", "camera.npz")`; `json` is always read. All where not given.
        number: of the manifest; the latest where not given.

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
    ) -> None:
        self.path = Path(path)
        self.manifest: Manifest = latest(self.path) if number is None else read_manifest(self.path, number)
        for member in members or ():
            if member not in MEMBERS:
                raise UsageError(f"members: unknown member '{member}'" + nearest(member, MEMBERS))
        self.members = tuple(MEMBERS) if members is None else ("json", *members)
        table = read_catalog(self.path / self.manifest.catalog.path)
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
        return (self[i] for i in range(len(self)))

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
        path = self.path / _inside(row["shard"])
        found = {}
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise BadInput("missing_file", f"cannot be opened ({error.strerror})", where=path) from None
        try:
            for span in row["members"]:
                if span["name"] in wanted:
                    found[span["name"]] = _read_span(descriptor, span, row["key"], path)
        finally:
            os.close(descriptor)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_at": None}


def _read_span(descriptor: int, span: dict[str, Any], key: str, path: Path) -> bytes:
    content = bytearray()
    while len(content) < span["length"]:
        part = os.pread(descriptor, span["length"] - len(content), span["offset"] + len(content))
        if not part:
            raise BadInput("torn_shard", f"ends inside member {key}.{span['name']}", where=path)
        content += part
    if zlib.crc32(content) != span["crc32"]:
        message = f"member {key}.{span['name']} differs from what was written"
        raise BadInput("torn_shard", message, where=path, remedy="Run worldloom verify on the dataset.")
    return bytes(content)


def _inside(shard: str) -> str:
    """A shard's path that stays in the dataset."""
    if Path(shard).is_absolute() or ".." in Path(shard).parts:
        raise BadInput("bad_catalog", f"names a shard outside of the dataset: {shard}")
    return shard
