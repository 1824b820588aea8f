"""Several datasets into one: shards are linked or copied, and written anew only where a clip is left out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.card import write_card
from worldloom.catalogs.catalog import open_catalog
from worldloom.catalogs.edits import without
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.manifest import (
    Manifest,
    ManifestConflict,
    ShardEntry,
    commit,
    latest,
    latest_or_none,
    union_of_removed,
)
from worldloom.catalogs.rewrite import bring, put_catalog, replaced, scratch_folder, shard_path
from worldloom.catalogs.storage import Store, open_store
from worldloom.catalogs.takedown import taken_down

_MOST_NAMED = 5


@dataclass(frozen=True)
class Merged:
    """What a merge made.

    Attributes:
        manifest: of the new dataset.
        twice: keys that more than one dataset had.
        left_out: clips that one dataset had and another has taken down.
        astride: sources with clips in more than one split now; a model would be tested on what it was trained on.
    """

    manifest: Manifest
    twice: int
    left_out: int
    astride: int


@dataclass
class _Part:
    """One of the datasets."""

    place: str
    store: Store
    manifest: Manifest
    table: pa.Table
    dropped: set[str]


def merge(datasets: Sequence[Path | str], out: Path | str, *, prefer: Path | str | None = None) -> Merged:
    """Unite datasets into a new one.

    A clip that several have is kept once, of the dataset named first. What any of them has taken down stays out.

    Args:
        datasets: folders or addresses, two or more.
        out: a folder or address where there is no dataset yet.
        prefer: the one of `datasets` whose clip is taken where one key has different bytes.

    Raises:
        UsageError: one key with different bytes, naming it and both datasets; a dataset that is none; `out` is one.
        BadInput: `torn_shard`, `bad_catalog`, `missing_file`: a catalog or a shard is damaged or gone.
        ManifestConflict: one of them was edited meanwhile, or another run committed in `out`.
    """
    parts = _parts(datasets, prefer)
    removed = union_of_removed(*(part.manifest for part in parts))
    for part in parts:
        part.dropped = set(taken_down(part.table, removed))
    left_out = len(set().union(*(part.dropped for part in parts)))
    twice = _leave_out_second_ones(parts, prefer)
    manifest = Manifest(
        number=1,
        operation="merge",
        name=" + ".join(dict.fromkeys(part.manifest.name for part in parts if part.manifest.name)),
        samples=sum(len(part.table) - len(part.dropped) for part in parts),
        shards=(),
        catalog=parts[0].manifest.catalog,
        notes={"merged": [_origin(part) for part in parts]} | ({"removed": removed} if removed else {}),
    )
    target = open_store(out)
    there = latest_or_none(out)
    if there is not None and there.notes.get("merged") != manifest.notes["merged"]:
        raise UsageError(f"{out}: there is a dataset already; merge writes a new one, so name another place with --out")
    with scratch_folder(target) as scratch:
        if there is None:
            shards, tables = _united(parts, target, scratch)
            update = {"shards": shards, "catalog": put_catalog(target, tables)}
            _refuse_edited(parts)
            there = commit(out, manifest.model_copy(update=update))
    write_card(out)
    return Merged(there, twice, left_out, _astride(open_catalog(target, there)))


def _parts(datasets: Sequence[Path | str], prefer: Path | str | None) -> list[_Part]:
    places = [str(place).rstrip("/") for place in datasets]
    if len(set(places)) < 2 or len(set(places)) < len(places):
        raise UsageError("merge: two or more different datasets are needed")
    if prefer is not None:
        first = str(prefer).rstrip("/")
        if first not in places:
            raise UsageError(f"prefer: {prefer} is none of the datasets to merge ({', '.join(places)})")
        places.sort(key=lambda place: place != first)
    parts = []
    for place in places:
        store, manifest = open_store(place), latest(place)
        parts.append(_Part(place, store, manifest, open_catalog(store, manifest), set()))
    return parts


def _leave_out_second_ones(parts: Sequence[_Part], prefer: Path | str | None) -> int:
    """Of clips that several datasets have, only the first stays; how many those are."""
    owner: dict[str, int] = {}
    twice = 0
    for number, part in enumerate(parts):
        keys = [key for key in part.table.column("key").to_pylist() if key not in part.dropped]
        shared: dict[int, list[str]] = {}
        for key in keys:
            if key in owner:
                shared.setdefault(owner[key], []).append(key)
            else:
                owner[key] = number
        for first, both in shared.items():
            if not (first == 0 and prefer is not None):
                _refuse_differences(parts[first], part, both)
            part.dropped.update(both)
            twice += len(both)
    return twice


def _refuse_differences(one: _Part, other: _Part, keys: Sequence[str]) -> None:
    mine, theirs = _bytes_of(one.table, keys), _bytes_of(other.table, keys)
    columns = mine.column_names
    different = sorted(
        set().union(
            *(
                these.join(those, columns, join_type="left anti", use_threads=False)["key"].to_pylist()
                for these, those in ((mine, theirs), (theirs, mine))
            )
        )
    )
    if different:
        some = ", ".join(different[:_MOST_NAMED])
        raise UsageError(
            f"merge: {len(different)} clips are not the same in {one.place} and in {other.place} ({some}); "
            f"--prefer {one.place} takes them from there"
        )


def _bytes_of(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """A row for every member of these clips: key, name, length and CRC-32."""
    chosen = table.select(["key", "members"]).filter(pc.is_in(table["key"], value_set=pa.array(keys, pa.string())))
    members = pc.list_flatten(chosen["members"])
    figures = {name: pc.struct_field(members, name) for name in ("name", "length", "crc32")}
    return pa.table({"key": chosen["key"].take(pc.list_parent_indices(chosen["members"])), **figures})


def _refuse_edited(parts: Sequence[_Part]) -> None:
    """What was taken down while the shards were copied must not come in."""
    for part in parts:
        if (now := latest(part.place).number) != part.manifest.number:
            raise ManifestConflict(
                f"{part.place}: it was edited meanwhile (manifest {part.manifest.number} was read, it is at {now}); "
                "nothing was committed, run the same command again"
            )


def _united(parts: Sequence[_Part], target: Store, scratch: Path) -> tuple[tuple[ShardEntry, ...], list[pa.Table]]:
    """All shards, in the target, and the rows of their clips."""
    taken: dict[str, str] = {}
    shards: list[ShardEntry] = []
    tables = []
    for part in parts:
        kept, table = without(part.store, part.manifest, part.table, part.dropped, target, scratch)
        untouched = {shard.path for shard in part.manifest.shards}
        renamed = {}
        for shard in kept:
            path = shard.path
            if shard.path in untouched:
                if taken.get(path, shard.sha256) != shard.sha256:  # a name of two datasets
                    renamed[path] = shard_path(shard, shard.sha256)
                    path = renamed[path]
                bring(part.store, shard, target, path, scratch)
            taken[path] = shard.sha256
            shards.append(shard.model_copy(update={"path": path}))
        tables.append(replaced(table, renamed, {}))
    return tuple(sorted(shards, key=lambda shard: shard.path)), tables


def _origin(part: _Part) -> dict[str, Any]:
    return {"name": part.manifest.name, "manifest": part.manifest.number, "catalog": part.manifest.catalog.sha256}


def _astride(table: pa.Table) -> int:
    origins = pa.table({"sha256": pc.struct_field(table["source"], "sha256"), "split": table["split"]})
    known = origins.filter(pc.greater(pc.utf8_length(origins["sha256"]), 0))
    splits = known.group_by("sha256", use_threads=False).aggregate([("split", "count_distinct")])
    return int(np.count_nonzero(splits["split_count_distinct"].to_numpy() > 1))
