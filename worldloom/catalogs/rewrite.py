"""Shards made from shards: samples are copied byte for byte, nothing is decoded, and no shard is ever in memory."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.catalog import write_catalog_of
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.manifest import FileEntry, ShardEntry, missing_file
from worldloom.catalogs.shards import BLOCK, END_MARK, scan_shard
from worldloom.catalogs.storage import FolderStore, Store, checked_name

_NUMBER = re.compile(r"-(\d+)\.tar\Z")
_LEFT_BEHIND_S = 86400.0
"""A scratch folder in a dataset that is older belongs to an edit that was killed (default ours)."""


@contextmanager
def scratch_folder(store: Store) -> Iterator[Path]:
    """A folder for drafts: inside a dataset that is a folder, so that a draft becomes a file by a rename."""
    home = Path(store.place) if isinstance(store, FolderStore) else None
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
        for left in home.glob(".edit-*"):
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND_S:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".edit-", dir=home) as folder:
        yield Path(folder)


def rewrite_shard(
    source: Store, shard: ShardEntry, kept: Sequence[Mapping[str, Any]], target: Store, scratch: Path
) -> tuple[ShardEntry, dict[str, int]]:
    """Write a shard anew with some of its samples.

    Args:
        source: where the shard lies.
        shard: its line of the manifest.
        kept: rows of the catalog (`key`, `offset`, `length`, `members`) of the samples that stay; at least one.
        target: where the new shard goes.
        scratch: folder for the draft.

    Returns:
        The new shard's line of the manifest, and by how many bytes each sample moved.

    Raises:
        BadInput: `missing_file`; `torn_shard`, the shard is not what the manifest says; `bad_catalog`, the catalog does
            not fit it.
    """
    ordered = sorted(kept, key=lambda row: int(row["offset"]))
    where = f"{source.place}/{shard.path}"
    spans = [(int(row["offset"]), int(row["offset"]) + int(row["length"])) for row in ordered]
    moved, end, at = {}, 0, 0
    for row, (start, stop) in zip(ordered, spans, strict=True):
        if start < end or stop <= start or start % BLOCK or stop % BLOCK or stop > shard.bytes:
            raise BadInput("bad_catalog", f"places sample {row['key']} where none can lie", where=where)
        moved[row["key"]] = at - start
        at, end = at + stop - start, stop
    draft = scratch / "shard.tar"
    digest = hashlib.sha256()
    with draft.open("wb") as file:
        for part in _parts(source, shard, spans):
            file.write(part)
            digest.update(part)
        file.write(END_MARK)
        digest.update(END_MARK)
    _check_draft(draft, ordered, moved, where)
    sha256 = digest.hexdigest()
    path = shard_path(shard, sha256)
    entry = ShardEntry(path=path, bytes=at + len(END_MARK), sha256=sha256, split=shard.split, samples=len(ordered))
    target.take(draft, path)
    return entry, moved


def shard_path(shard: ShardEntry, sha256: str) -> str:
    """A name for what a shard has become: its split and number, and the digest of its contents."""
    number = _NUMBER.search(shard.path)
    return f"shards/{shard.split}-{sha256[:16]}-{number[1] if number else '00000'}.tar"


def bring(source: Store, entry: FileEntry, target: Store, path: str, scratch: Path) -> None:
    """Copy a file into a store under a name; between folders of one file system it is a link.

    Raises:
        BadInput: `missing_file`; `torn_shard`, it is not what the manifest says; a link is looked at by its size alone.
    """
    if isinstance(source, FolderStore) and isinstance(target, FolderStore) and _linked(source, entry, target, path):
        return
    draft = scratch / "copy"
    digest = hashlib.sha256()
    with draft.open("wb") as file:
        for part in _chunks(source, entry):
            file.write(part)
            digest.update(part)
    if digest.hexdigest() != entry.sha256:
        raise _torn(f"{source.place}/{entry.path}")
    target.take(draft, path)


def put_catalog(store: Store, tables: Sequence[pa.Table]) -> FileEntry:
    """Write the catalog of rows that come in several tables, in whatever order; what one does not have is null."""
    return write_catalog_of(store.place, [_by_key(table) for table in tables])


def replaced(table: pa.Table, shards: Mapping[str, str], moved: Mapping[str, int]) -> pa.Table:
    """A catalog whose clips lie in other shards, or elsewhere in them.

    Args:
        table: a catalog.
        shards: new paths by old ones; the others stay.
        moved: bytes by which samples moved, by key; the others stay.
    """
    if not shards and not moved:
        return table
    names = [shards.get(path, path) for path in table.column("shard").to_pylist()]
    shift = np.array([moved.get(key, 0) for key in table.column("key").to_pylist()], np.int64)
    offset = pa.array(table.column("offset").to_numpy() + shift, pa.int64())
    members = table.column("members").combine_chunks()
    lengths = pc.list_value_length(members).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = members.flatten()
    fields = {one.name: flat.field(one.name) for one in flat.type}
    fields["offset"] = pa.array(fields["offset"].to_numpy() + np.repeat(shift, lengths), pa.int64())
    structs = pa.StructArray.from_arrays(list(fields.values()), fields=list(flat.type))
    edges = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    columns = {
        "shard": pa.array(names, pa.string()),
        "offset": offset,
        "members": pa.ListArray.from_arrays(edges, structs, type=members.type),
    }
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), table.schema.field(name), values)
    return table


def _by_key(table: pa.Table) -> pa.Table:
    """The rows in order of their keys, as a catalog of ours has them already."""
    keys = table["key"].cast(pa.binary())
    if len(keys) < 2 or pc.all(pc.less_equal(keys.slice(0, len(keys) - 1), keys.slice(1))).as_py():
        return table
    return table.take(pc.sort_indices(keys))


def _linked(source: FolderStore, entry: FileEntry, target: FolderStore, path: str) -> bool:
    try:
        there, here = source.local(entry.path), target.folder / checked_name(path)
    except FileNotFoundError:
        raise missing_file(source, entry) from None
    here.parent.mkdir(parents=True, exist_ok=True)
    draft = here.with_name(f".{here.name}.{os.getpid()}.draft")
    try:
        os.link(there, draft)
    except OSError:  # another file system, or one without links
        return False
    draft.replace(here)
    draft.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
    return True


def _chunks(source: Store, entry: FileEntry) -> Iterator[bytes]:
    try:
        yield from source.chunks(entry.path)
    except FileNotFoundError:
        raise missing_file(source, entry) from None


def _parts(source: Store, shard: ShardEntry, spans: Sequence[tuple[int, int]]) -> Iterator[memoryview]:
    """The bytes of some spans, ascending; the whole shard passes by, so that damage is not given a new digest."""
    digest = hashlib.sha256()
    at, coming = 0, 0
    for chunk in _chunks(source, shard):
        digest.update(chunk)
        view, end = memoryview(chunk), at + len(chunk)
        while coming < len(spans) and spans[coming][0] < end:
            start, stop = spans[coming]
            yield view[max(start, at) - at : min(stop, end) - at]
            if stop > end:
                break
            coming += 1
        at = end
    if digest.hexdigest() != shard.sha256:
        raise _torn(f"{source.place}/{shard.path}")


def _check_draft(draft: Path, kept: Sequence[Mapping[str, Any]], moved: Mapping[str, int], where: str) -> None:
    """Exactly the members that the catalog names, and nothing else: what was taken down is not among them."""
    expected = {
        (row["key"], one["name"]): (one["offset"] + moved[row["key"]], one["length"])
        for row in kept
        for one in row["members"]
    }
    with draft.open("rb") as file:
        found = {(member.key, member.extension): (member.offset, member.length) for member in scan_shard(file, where)}
    if found != expected:
        wrong = min(found.items() ^ expected.items())[0]
        raise BadInput("bad_catalog", f"member {'.'.join(wrong)} does not lie where the catalog says", where=where)


def _torn(where: str) -> BadInput:
    message = "its sha256 is not the one in the manifest"
    return BadInput("torn_shard", message, where=where, remedy="Run worldloom verify on the dataset.")
