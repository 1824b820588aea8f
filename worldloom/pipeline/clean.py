"""What a working folder can do without: found first, removed only when a person says so.

Order of a removal: the ledger forgets its rows before the files go that they point at, and a manifest goes before the
shards that it alone names. So whatever moment it is killed at, nothing points at a file that is not there.
"""

from __future__ import annotations

import re
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.manifest import Manifest, numbers, read_manifest
from worldloom.catalogs.storage import FolderStore
from worldloom.pipeline.layout import TMP, Layout
from worldloom.pipeline.ledger import HUMAN
from worldloom.pipeline.rows import ledger_rows
from worldloom.pipeline.state import read_json, read_state

PUT_AWAY = "clips-put-away.json"
"""Clips whose mp4 lies in the dataset alone since `clean --clips`: where from they can be brought back."""
DRAFT_AGE_S = 3600.0
"""Drafts younger than this are left alone: an edit of the dataset may be at work on them (default ours)."""
_LIST_ANEW = "restore it, or write the keys of the clips to bring back into it, a JSON list of texts"
_DATA = re.compile(r"catalog-.*\.parquet\Z|.*\.tar\Z")


@dataclass(frozen=True)
class Redundant:
    """One kind of thing that can go.

    Attributes:
        kind: what it is, for people.
        why: it is not needed.
        files: names in the working folder.
        bytes: of these files.
    """

    kind: str
    why: str
    files: tuple[str, ...]
    bytes: int


@dataclass
class Cleaning:
    """What can go from a working folder, and what must be known to remove it.

    Attributes:
        kinds: things to remove, by kind; empty kinds are left out.
        notes: sentences on what stays and why, and on what cannot be done afterwards.
        stale: numbers of the ledger rows to forget.
    """

    kinds: list[Redundant] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """All that would be free."""
        return sum(kind.bytes for kind in self.kinds)


def find_redundant(layout: Layout, *, clips: bool = False, manifests: int | None = None) -> Cleaning:
    """What a working folder can do without; nothing is changed.

    Args:
        layout: of the working folder.
        clips: also the mp4 of clips that lie in a shard of the dataset as they are.
        manifests: also all but so many newest manifests, with the files that only they name.

    Raises:
        UsageError: nothing has run there yet, or it is no folder.
    """
    if not isinstance(layout.store, FolderStore):
        raise UsageError(f"{layout.out}: clean works on folders; use the object store's own rules for old objects")
    state = _state(layout)
    found = Cleaning()
    kept = _kept_manifests(layout, manifests)
    shards = _unnamed_shards(layout, state, kept, found)
    staying = [path.name for path in _root(layout).glob("dataset/shards/*.tar") if _dataset_name(path) not in shards]
    parts = list(_stale_parts(layout, state, staying, found))
    _add(found, layout, "answers", "of recipes this job no longer has, or of shards that go", parts)
    _add(found, layout, "large answers", "of recipes this job no longer has", _stale_blobs(layout, state))
    _add(found, layout, "unfinished files", "left behind by a run that was killed", _drafts(layout))
    if manifests is not None:
        old = [f"dataset/manifests/{number:06d}.json" for number in _numbers(layout) if number not in kept]
        _add(found, layout, "old manifests", f"beyond the newest {manifests}; no rollback to them", old)
    _add(found, layout, "shards and catalogs", "no manifest that stays names them", shards)
    if clips:
        packed = _packed_clips(layout, kept)
        names = [layout.video_name(state["ingest"], key) for key in packed]
        _add(found, layout, "clips", "they lie in the dataset as they are", names)
        if packed:
            found.notes.append(
                "without the clips no operation can look at their frames and no other shard can be packed; "
                "`clean --bring-back` copies them out of the dataset again, without ingesting"
            )
    return found


def remove_redundant(layout: Layout, found: Cleaning) -> None:
    """Remove what was found; the caller holds the folder's lock.

    Args:
        layout: of the working folder.
        found: by `find_redundant`, since the lock was taken.
    """
    clips = [name for kind in found.kinds if kind.kind == "clips" for name in kind.files]
    if clips:
        keys = sorted({Path(name).stem for name in clips} | set(_put_away(layout)))
        layout.write_json(PUT_AWAY, keys)
    if found.stale:
        _forget(layout, found)
    for kind in found.kinds:  # in the order in which they were found: manifests before the shards they name
        for name in kind.files:
            _root(layout).joinpath(name).unlink(missing_ok=True)
    _drop_empty_folders(layout)


def bring_back(layout: Layout) -> int:
    """Copy clips that `clean --clips` has removed out of the dataset; returns how many.

    Raises:
        WorldloomError: the dataset no longer holds one of them.
    """
    keys = _put_away(layout)
    missing = [key for key in keys if not layout.store.exists(layout.video_name(key))]
    for key, data in _videos(layout, missing):
        layout.store.write(layout.video_name(key), data)
    layout.store.delete(PUT_AWAY)
    return len(missing)


def _root(layout: Layout) -> Path:
    assert isinstance(layout.store, FolderStore)
    return layout.store.folder


def _state(layout: Layout) -> dict[str, Any]:
    return read_state(layout).model_dump(mode="json")


def _put_away(layout: Layout) -> list[str]:
    try:
        found: list[str] = read_json(layout.store, PUT_AWAY, list[str], _LIST_ANEW)
    except FileNotFoundError:
        return []
    return found


def _add(found: Cleaning, layout: Layout, kind: str, why: str, names: Iterable[str]) -> None:
    files = tuple(name for name in sorted(set(names)) if _root(layout).joinpath(name).is_file())
    if files:
        size = sum(_root(layout).joinpath(name).stat().st_size for name in files)
        found.kinds.append(Redundant(kind, why, files, size))


def _recipes(state: dict[str, Any]) -> dict[str, set[str]]:
    """Recipes that stay, by operation; `pack` has one per shard and is judged by its shards."""
    kept = {row["name"]: {row["recipe"], HUMAN} for row in state["operations"]}
    return {**kept, "ingest": {state["ingest"]}}


def _numbers(layout: Layout) -> list[int]:
    return numbers(layout.dataset)


def _dataset_name(path: Path) -> str:
    return f"dataset/shards/{path.name}"


def _kept_manifests(layout: Layout, newest: int | None) -> dict[int, Manifest]:
    there = _numbers(layout)
    return {number: read_manifest(layout.dataset, number) for number in (there if newest is None else there[-newest:])}


def _unnamed_shards(layout: Layout, state: dict[str, Any], kept: dict[int, Manifest], found: Cleaning) -> list[str]:
    folder = _root(layout) / "dataset"
    named = {entry.path for manifest in kept.values() for entry in (*manifest.shards, manifest.catalog)}
    there = [path.relative_to(folder).as_posix() for path in (*folder.glob("*.parquet"), *folder.glob("shards/*.tar"))]
    unnamed = [name for name in there if _DATA.match(name) and name not in named]
    if unnamed and not (kept and state.get("manifest") == max(kept)):
        found.notes.append(
            f"{len(unnamed)} shards and catalogs stay that no manifest names: the last run did not commit, "
            "and the same command would pack on with them"
        )
        return []
    return [f"dataset/{name}" for name in unnamed]


def _stale_parts(layout: Layout, state: dict[str, Any], shards: list[str], found: Cleaning) -> Iterator[str]:
    """Part files that no row names, or only rows that no run of this job asks for; these are counted and noted.

    What people have said stays whatever the job's operations are: they may be taken up again.
    """
    import pyarrow as pa

    wanted = [f"{name}/{recipe}" for name, recipes in _recipes(state).items() for recipe in recipes]
    with ledger_rows(layout.store) as connection:
        connection.register("wanted", pa.table({"recipe": pa.array(wanted, pa.string())}))
        connection.register("shards", pa.table({"item": pa.array(shards, pa.string())}))
        connection.execute(
            "CREATE TEMP TABLE stale AS SELECT sequence FROM latest WHERE recipe <> ? AND CASE WHEN operation = 'pack' "
            "THEN item NOT IN (FROM shards) ELSE concat(operation, '/', recipe) NOT IN (FROM wanted) END",
            [HUMAN],
        )
        found.stale = [sequence for (sequence,) in connection.sql("FROM stale ORDER BY ALL").fetchall()]
        needed = connection.sql(
            "SELECT DISTINCT part FROM latest WHERE part <> '' AND sequence NOT IN (FROM stale)"
        ).fetchall()
    named = {part for (part,) in needed}
    for path in _root(layout).glob("annotations/*/*/part-*.parquet"):
        if (name := path.relative_to(_root(layout)).as_posix()) not in named:
            yield name


def _stale_blobs(layout: Layout, state: dict[str, Any]) -> Iterator[str]:
    recipes = _recipes(state)
    for folder in _root(layout).glob("blobs/*/*"):
        operation, recipe = folder.parent.name, folder.name
        if recipe != HUMAN and recipe not in recipes.get(operation, set()):
            yield from (path.relative_to(_root(layout)).as_posix() for path in folder.rglob("*") if path.is_file())


def _drafts(layout: Layout) -> Iterator[str]:
    root = _root(layout)
    yield from (path.relative_to(root).as_posix() for path in (root / TMP).rglob("*") if path.is_file())
    drafts = [*root.glob("lock.*"), *root.glob(".*")]
    for top in ("ledger", "annotations", "blobs", "clips", "truth", "quarantine", "dataset"):
        drafts += (root / top).rglob(".*")
    for path in drafts:
        if path.is_file() and time.time() - path.stat().st_mtime > DRAFT_AGE_S:
            yield path.relative_to(root).as_posix()


def _packed_clips(layout: Layout, kept: dict[int, Manifest]) -> Iterator[str]:
    """Keys of clips whose mp4 lies in a shard of the latest manifest, byte for byte by length and checksum."""
    import duckdb

    if not kept:
        return
    catalog = _root(layout) / "dataset" / kept[max(kept)].catalog.path
    with duckdb.connect(config={"threads": 1}) as connection:
        rows = connection.execute(
            "SELECT key, list_filter(members, lambda one: one.name = 'mp4')[1] FROM read_parquet(?) "
            "WHERE len(operations) = 0",
            [str(catalog)],
        ).fetchall()
    for key, span in rows:
        name = layout.video_name(key)
        if span is None or layout.store.size(name) != span["length"]:
            continue
        if zlib.crc32(layout.store.read(name)) == span["crc32"]:
            yield key


def _videos(layout: Layout, keys: list[str]) -> Iterator[tuple[str, bytes]]:
    if not keys:
        return
    from worldloom.catalogs.dataset import ShardDataset

    dataset = ShardDataset(layout.dataset)
    for key in keys:
        video = dataset.get(key).video
        assert isinstance(video, bytes)
        yield key, video


def _forget(layout: Layout, found: Cleaning) -> None:
    """Rewrite the ledger without stale rows: the new segment first, so that a kill in between leaves rows twice."""
    import pyarrow as pa

    old = sorted(name for name in layout.store.names("ledger") if name.endswith(".parquet"))
    with ledger_rows(layout.store) as connection, layout.scratch() as scratch:
        connection.register("stale", pa.table({"sequence": pa.array(found.stale, pa.int64())}))
        connection.execute("CREATE TEMP TABLE kept AS SELECT sequence FROM latest ANTI JOIN stale USING (sequence)")
        first = connection.sql("SELECT min(sequence) FROM kept").fetchall()[0][0]
        if first is not None:
            draft = scratch / "segment.parquet"
            rows = connection.sql("SELECT * FROM known SEMI JOIN kept USING (sequence) ORDER BY sequence")
            rows.write_parquet(str(draft))
            layout.store.take(draft, f"ledger/{first:016d}-{uuid.uuid4().hex[:8]}.parquet")
    for name in old:
        layout.store.delete(name)


def _drop_empty_folders(layout: Layout) -> None:
    for top in ("annotations", "blobs", "clips", TMP):
        folders = [path for path in (_root(layout) / top).rglob("*") if path.is_dir()]
        for folder in sorted(folders, reverse=True):  # the deepest first
            if not any(folder.iterdir()):
                folder.rmdir()
