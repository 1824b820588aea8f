"""Edits of a dataset: taking clips down, and going back. Each is one new manifest; a killed one has changed nothing.

`merge` has a file of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.card import renew_card, write_card
from worldloom.catalogs.catalog import open_catalog
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import (
    Manifest,
    ShardEntry,
    check_files,
    commit,
    latest,
    numbers,
    read_manifest,
    removed_list,
)
from worldloom.catalogs.rewrite import put_catalog, replaced, rewrite_shard, scratch_folder
from worldloom.catalogs.storage import Store, open_store
from worldloom.catalogs.takedown import taken_down, targets_of

_MOST_NAMED = 5


@dataclass(frozen=True)
class Removal:
    """What a takedown did, or would do.

    Attributes:
        keys: of the clips that go, derived ones included.
        listed: how many names are new on the list of what was taken down, whether or not the dataset holds them now.
        shards: that hold them.
        manifest: number that is the dataset now.
        committed: whether this call wrote it.
        purged: files of older manifests that were deleted, or would be.
    """

    keys: tuple[str, ...]
    listed: int
    shards: tuple[str, ...]
    manifest: int
    committed: bool
    purged: tuple[str, ...] = ()


def remove(dataset: Path | str, named: Sequence[str], *, dry: bool = False, purge: bool = False) -> Removal:
    """Take clips down: the dataset no longer holds them, and no later run or rollback brings them back.

    Names are also looked up in the catalogs of older manifests, and a digest need not be known at all.

    Only the shards that hold them are written anew, the other samples copied byte for byte. Older manifests keep their
    files until `purge`.

    Args:
        dataset: its folder or address.
        named: keys of clips (what was derived from them goes too), or URIs or `sha256:HEX` of sources (everything that
            was cut from them goes).
        dry: only say what would go.
        purge: also delete the files that only older manifests name and that hold clips that were taken down. Without
            its catalog a manifest cannot be gone back to, so what only such manifests name goes too.

    Raises:
        UsageError: no dataset there, it does not know a name, or cannot tell several sources of a name apart.
        BadInput: `torn_shard`, `bad_catalog`, `missing_file`: the catalog or a shard to be written anew is damaged or
            gone.
        ManifestConflict: another run committed meanwhile.
    """
    store = open_store(dataset)
    before = latest(dataset)
    table = open_catalog(store, before)
    old = removed_list(before)
    new = targets_of(table, named, old, _older_catalogs(store, before))
    keys = taken_down(table, [*old, *new])
    held = tuple(sorted(_shards_with(table, keys)))
    manifest, committed = before, False
    if not dry and (new or keys):
        with scratch_folder(store) as scratch:
            shards, rest = without(store, before, table, keys, store, scratch)
            manifest = before.model_copy(
                update={
                    "number": before.number + 1,
                    "parent": before.number,
                    "operation": "remove",
                    "samples": len(rest),
                    "shards": shards,
                    "catalog": put_catalog(store, [rest]) if keys else before.catalog,
                    "notes": {**before.notes, "removed": [*old, *new]},
                }
            )
            manifest, committed = commit(dataset, manifest), True
    if not dry:
        write_card(dataset)
    in_use = {entry.path for entry in (*manifest.shards, manifest.catalog)}
    if dry and keys:
        in_use -= {*held, manifest.catalog.path}
    purged = _purge(store, [*old, *new], in_use, dry=dry) if purge else ()
    return Removal(tuple(keys), len(new), held, manifest.number, committed, purged)


def without(
    source: Store, manifest: Manifest, table: pa.Table, keys: Collection[str], target: Store, scratch: Path
) -> tuple[tuple[ShardEntry, ...], pa.Table]:
    """A dataset without some clips: its shards, of which those that held them are written anew, and its catalog.

    Args:
        source: where the shards lie.
        manifest: the dataset.
        table: its catalog.
        keys: of the clips that go.
        target: where new shards go.
        scratch: folder for drafts.
    """
    touched = _shards_with(table, keys)
    rest = table.filter(pc.invert(_among(table, keys))) if touched else table
    shards, renamed, moved = [], {}, {}
    for shard in manifest.shards:
        if shard.path not in touched:
            shards.append(shard)
            continue
        inside = pc.equal(rest["shard"], shard.path)
        kept = rest.select(["key", "offset", "length", "members"]).filter(inside).to_pylist()
        if kept:
            entry, shifts = rewrite_shard(source, shard, kept, target, scratch)
            shards.append(entry)
            renamed[shard.path] = entry.path
            moved.update(shifts)
    return tuple(sorted(shards, key=lambda shard: shard.path)), replaced(rest, renamed, moved)


def rollback(dataset: Path | str, number: int | None = None) -> Manifest:
    """Make an older state the dataset again, by a new manifest that names its files.

    Args:
        dataset: its folder or address.
        number: of the older manifest; the one before the latest where not given.

    Returns:
        The new manifest, or the latest where it already names the same files.

    Raises:
        UsageError: there is no such manifest, or it would bring back clips that were taken down.
        BadInput: `missing_file`, a file that it names is gone.
        ManifestConflict: another run committed meanwhile.
    """
    store = open_store(dataset)
    now = latest(dataset)
    number = now.number - 1 if number is None else number
    if number not in (known := numbers(dataset)):
        choice = f"{known[0]} to {known[-1]}" if len(known) > 1 else f"only {known[0]}"
        raise UsageError(f"{dataset}: there is no manifest {number}; there is {choice}")
    older = read_manifest(dataset, number)
    try:
        check_files(store, older)
    except BadInput as error:
        message = f"manifest {number} cannot be gone back to: {error.message}"
        raise BadInput(error.reason, message, where=error.where) from None
    back = taken_down(open_catalog(store, older), removed_list(now))
    if back:
        some = ", ".join(back[:_MOST_NAMED]) + (
            f" and {len(back) - _MOST_NAMED} more" if len(back) > _MOST_NAMED else ""
        )
        raise UsageError(
            f"{dataset}: manifest {number} holds {len(back)} clips that were taken down since ({some}), and a takedown "
            "stays; run the job again to build the older state without them"
        )
    if older.same_contents(now):
        renew_card(dataset)  # killed between the commit and the card
        return now
    update = {"number": now.number + 1, "parent": now.number, "operation": "rollback"}
    made = commit(dataset, older.model_copy(update={**update, "notes": {**older.notes, "rolled_back_to": number}}))
    write_card(dataset)
    return made


def _among(table: pa.Table, keys: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(table["key"], value_set=pa.array(sorted(keys), pa.string()))


def _shards_with(table: pa.Table, keys: Collection[str]) -> set[str]:
    """Paths of the shards that hold any of these clips."""
    return set(table["shard"].filter(_among(table, keys)).unique().to_pylist())


def _older_catalogs(store: Store, now: Manifest) -> Iterator[pa.Table]:
    """Catalogs of the manifests before `now` that can be gone back to, the newest first, each once."""
    seen = {now.catalog.path}
    for number in reversed(numbers(store.place)):
        try:
            older = read_manifest(store.place, number)
            table = open_catalog(store, older) if older.catalog.path not in seen else None
        except BadInput:  # purged or damaged: no way back to this one
            continue
        seen.add(older.catalog.path)
        if table is not None:
            yield table


def _purge(store: Store, removed: Sequence[dict[str, str]], in_use: Collection[str], *, dry: bool) -> tuple[str, ...]:
    """Delete what holds clips that were taken down and is not in use; catalogs last, for they say what holds them."""
    shards: set[str] = set()
    catalogs: set[str] = set()
    needed = set(in_use)
    for number in numbers(store.place):
        older = read_manifest(store.place, number)
        own = {shard.path for shard in older.shards}
        if store.exists(older.catalog.path):
            gone = taken_down(open_catalog(store, older), removed)
            if not gone:
                needed |= own
                continue
            catalogs.add(older.catalog.path)
        shards |= own  # without a catalog nothing tells what they hold, and nobody goes back to them
    doomed = [name for name in sorted(shards - needed) if store.exists(name)]
    doomed += [name for name in sorted(catalogs - needed) if store.exists(name)]
    for name in () if dry else doomed:
        store.delete(name)
    return tuple(doomed)
