"""What a working folder can do without: found first, removed only when a person says so, and brought back.

Order of a removal: the ledger forgets its rows before the files go that they point at, and a manifest goes before the
shards that it alone names. So whatever moment it is killed at, nothing points at a file that is not there.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import StringConstraints

from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import Manifest, latest, numbers, read_manifest, removed_list
from worldloom.catalogs.storage import FolderStore
from worldloom.catalogs.takedown import taken_down
from worldloom.pipeline.clean_downloads import WHY, downloads_of
from worldloom.pipeline.layout import TMP, Layout
from worldloom.pipeline.ledger import HUMAN
from worldloom.pipeline.rows import ledger_rows
from worldloom.pipeline.state import read_json, read_state

if TYPE_CHECKING:
    from worldloom.catalogs.dataset import ShardDataset

PUT_AWAY = "clips-put-away.json"
"""Clips whose mp4 lies in the dataset alone since `clean --clips`: bytes and CRC-32 by name, for another manifest may
hold other pictures under the same key."""
DRAFT_AGE_S = 3600.0
"""Drafts, and shards and catalogs that no manifest names, are left alone while they are younger than this: an edit of
the dataset may be at work on them (default ours)."""
_DATASET_FILES = "shards and catalogs"
_LIST_ANEW = "restore it from a copy, or run the job into another `out`"
_ClipName = Annotated[str, StringConstraints(pattern=r"^clips/[0-9a-f]+/[a-z2-7]{2}/[a-z2-7]{26}\.mp4$")]
Identity = tuple[str, int, int]
"""Key, bytes and CRC-32 of a video."""
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
        manifests: numbers of the manifests that there are.
        packed: bytes and CRC-32 of the clips that can go, by name.
    """

    kinds: list[Redundant] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    manifests: list[int] = field(default_factory=list)
    packed: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """All that would be free."""
        return sum(kind.bytes for kind in self.kinds)


@dataclass(frozen=True)
class BroughtBack:
    """What `bring_back` did.

    Attributes:
        clips: how many were copied out of the dataset.
        taken_down: keys of clips that were taken down and stay away.
        lost: keys of clips that no manifest holds any more.
        damaged: why a clip could not be read, by key; it is tried again next time.
    """

    clips: int
    taken_down: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)


def find_redundant(
    layout: Layout, *, clips: bool = False, downloads: bool = False, manifests: int | None = None
) -> Cleaning:
    """What a working folder can do without; nothing is changed.

    Args:
        layout: of the working folder.
        clips: also the mp4 of clips that lie in a shard of the dataset as they are.
        downloads: also what sources have fetched.
        manifests: also all but so many newest manifests, with the files that only they name.

    Raises:
        UsageError: nothing has run there yet, or it is no folder.
    """
    if not isinstance(layout.store, FolderStore):
        raise UsageError(f"{layout.out}: clean works on folders; use the object store's own rules for old objects")
    state = _state(layout)
    found = Cleaning(manifests=_numbers(layout))
    kept = _kept_manifests(layout, manifests, found)
    shards = _unnamed_shards(layout, state, kept, found)
    staying = [path.name for path in _root(layout).glob("dataset/shards/*.tar") if _dataset_name(path) not in shards]
    parts = list(_stale_parts(layout, state, staying, found))
    _add(found, layout, "answers", "of recipes this job no longer has, or of shards that go", parts)
    _add(found, layout, "large answers", "of recipes this job no longer has", _stale_blobs(layout, state))
    older = _stale_clips(layout, state)
    _add(found, layout, "clips of old settings", "of recipes of ingest this job no longer has", older)
    _add(found, layout, "unfinished files", "left behind by a run that was killed", _drafts(layout))
    if manifests is not None:
        old = [f"dataset/manifests/{number:06d}.json" for number in found.manifests if number not in kept]
        _add(found, layout, "old manifests", f"beyond the newest {manifests}; no rollback to them", old)
    _add(found, layout, _DATASET_FILES, "no manifest that stays names them", shards)
    _add(found, layout, "downloads", WHY, downloads_of(layout) if downloads else ())
    if clips:
        found.packed = _packed_clips(layout, state, kept, found)
        _add(found, layout, "clips", "they lie in the dataset as they are", found.packed)
        if found.packed:
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

    Raises:
        UsageError: the dataset was edited since; nothing is removed.
    """
    if (now := _numbers(layout)) != found.manifests:
        raise UsageError(
            f"{layout.out}/dataset: it was edited while the list waited (its manifests were {_range(found.manifests)}, "
            f"now they are {_range(now)}), and nothing was removed; run the same command again"
        )
    if found.packed:
        layout.write_json(PUT_AWAY, {**_put_away(layout), **found.packed})
    if found.stale:
        _forget(layout, found)
    for kind in found.kinds:  # in the order in which they were found: manifests before the shards they name
        # An edit that holds no lock may have committed this moment.
        needed = _named_by(_manifests(layout).values()) if kind.kind == _DATASET_FILES else set()
        for name in kind.files:
            if name not in needed:
                _root(layout).joinpath(name).unlink(missing_ok=True)
    _drop_empty_folders(layout)


def bring_back(layout: Layout) -> BroughtBack:
    """Copy clips that `clean --clips` has removed out of the dataset, of the newest manifest that holds each.

    Raises:
        UsageError: there is no dataset.
        BadInput: `bad_manifest`, `bad_catalog`: the dataset is damaged.
    """
    left = _missing(layout)
    count = len(left)
    removed = removed_list(latest(layout.dataset)) if left else []
    down = {one["key"] for one in removed if "key" in one}
    damaged: dict[Identity, str] = {}
    unread = ""
    for number in reversed(_numbers(layout)):
        if all(key in down for key, *_ in left):
            break
        try:
            dataset = _videos_of(layout, number)
        except BadInput as error:
            if error.reason != "missing_file":  # else its catalog was purged
                unread = str(error)
            continue
        down |= set(taken_down(dataset.table, removed))
        for one, index in _held_in(dataset).items():
            if one not in left or one[0] in down:
                continue
            try:
                video = dataset.read(index, ["mp4"])["mp4"]
            except BadInput as error:
                damaged.setdefault(one, str(error))
                continue
            layout.store.write(left.pop(one), video)
    lost = sorted(one for one in left if one[0] not in down)
    damaged = {one: damaged.get(one, unread) for one in lost if one in damaged or unread}
    if damaged:
        layout.write_json(PUT_AWAY, {left[one]: one[1:] for one in damaged})
    else:
        layout.store.delete(PUT_AWAY)
    return BroughtBack(
        count - len(left),
        tuple(sorted({key for key, *_ in left} & down)),
        tuple(one[0] for one in lost if one not in damaged),
        {one[0]: why for one, why in damaged.items()},
    )


def _root(layout: Layout) -> Path:
    assert isinstance(layout.store, FolderStore)
    return layout.store.folder


def _state(layout: Layout) -> dict[str, Any]:
    return read_state(layout).model_dump(mode="json")


def _put_away(layout: Layout) -> dict[str, tuple[int, int]]:
    try:
        found: dict[str, tuple[int, int]] = read_json(
            layout.store, PUT_AWAY, dict[_ClipName, tuple[int, int]], _LIST_ANEW
        )
    except FileNotFoundError:
        return {}
    return found


def _missing(layout: Layout) -> dict[Identity, str]:
    """Clips that were put away and have not come back, by what they are: their names."""
    away = _put_away(layout).items()
    return {(Path(name).stem, *span): name for name, span in away if not layout.store.exists(name)}


def _held_in(dataset: ShardDataset) -> dict[Identity, int]:
    """Where in a dataset which videos lie."""
    found = {}
    for index, spans in enumerate(dataset.table["members"].to_pylist()):
        for one in spans:
            if one["name"] == "mp4":
                found[dataset.keys[index], one["length"], one["crc32"]] = index
    return found


def _videos_of(layout: Layout, number: int) -> ShardDataset:
    """The dataset as a manifest has it."""
    from worldloom.catalogs.dataset import ShardDataset

    return ShardDataset(layout.dataset, number=number, members=("mp4",))


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


def _range(there: list[int]) -> str:
    return f"{there[0]} to {there[-1]}" if there else "none"


def _manifests(layout: Layout) -> dict[int, Manifest]:
    return {number: read_manifest(layout.dataset, number) for number in _numbers(layout)}


def _named_by(manifests: Iterable[Manifest]) -> set[str]:
    return {f"dataset/{entry.path}" for manifest in manifests for entry in (*manifest.shards, manifest.catalog)}


def _dataset_name(path: Path) -> str:
    return f"dataset/shards/{path.name}"


def _kept_manifests(layout: Layout, newest: int | None, found: Cleaning) -> dict[int, Manifest]:
    """The newest manifests, and those that alone hold clips whose mp4 was put away: they are the last copies."""
    there = _manifests(layout)
    if newest is None or len(there) <= newest:
        return there
    kept = set(found.manifests[-newest:])
    away = set(_missing(layout))
    removed = removed_list(there[max(there)]) if away else []
    for number in reversed(there):
        if not away:
            break
        try:
            dataset = _videos_of(layout, number)
        except BadInput:  # nothing can be read by its catalog
            continue
        down = set(taken_down(dataset.table, removed))
        held = {one for one in _held_in(dataset) if one in away and one[0] not in down}
        away -= held
        if held and number not in kept:
            kept.add(number)
            found.notes.append(
                f"manifest {number} stays, for it alone holds {len(held)} clips that `clean --clips` has put away; "
                "`clean --bring-back` makes it redundant"
            )
    return {number: there[number] for number in sorted(kept)}


def _unnamed_shards(layout: Layout, state: dict[str, Any], kept: dict[int, Manifest], found: Cleaning) -> list[str]:
    folder = _root(layout) / "dataset"
    named, ever = _named_by(kept.values()), _named_by(_manifests(layout).values())
    there = [path for path in (*folder.glob("*.parquet"), *folder.glob("shards/*.tar")) if _DATA.match(path.name)]
    by_name = {path.relative_to(_root(layout)).as_posix(): path for path in there}
    unnamed = [name for name in by_name if name not in named]
    young = {name for name in unnamed if name not in ever and _age_s(by_name[name]) < DRAFT_AGE_S}
    if young:
        found.notes.append(
            f"{len(young)} shards and catalogs stay that no manifest names: they are younger than an hour, and an edit "
            "of the dataset may be about to commit them"
        )
        unnamed = [name for name in unnamed if name not in young]
    if unnamed and not (kept and state.get("manifest") == max(kept)):
        found.notes.append(
            f"{len(unnamed)} shards and catalogs stay that no manifest names: the last run did not commit, "
            "and the same command would pack on with them"
        )
        return []
    return unnamed


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


def _stale_clips(layout: Layout, state: dict[str, Any]) -> Iterator[str]:
    for folder in (*_root(layout).glob("clips/*"), *_root(layout).glob("truth/*")):
        if folder.name != state["ingest"]:
            yield from (path.relative_to(_root(layout)).as_posix() for path in folder.rglob("*") if path.is_file())


def _drafts(layout: Layout) -> Iterator[str]:
    root = _root(layout)
    yield from (path.relative_to(root).as_posix() for path in (root / TMP).rglob("*") if path.is_file())
    drafts = [*root.glob("lock.*"), *root.glob("dataset/lock.*"), *root.glob(".*")]
    for top in ("ledger", "annotations", "blobs", "clips", "truth", "quarantine", "dataset"):
        drafts += (root / top).rglob(".*")
    for path in drafts:
        if path.is_file() and _age_s(path) > DRAFT_AGE_S:
            yield path.relative_to(root).as_posix()


def _age_s(path: Path) -> float:
    """Seconds since it was written; 0 where it has gone meanwhile."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _packed_clips(
    layout: Layout, state: dict[str, Any], kept: Collection[int], found: Cleaning
) -> dict[str, tuple[int, int]]:
    """Bytes and CRC-32, by name, of clips whose mp4 lies in a shard of the latest manifest: both are read."""
    if not kept:
        return {}
    dataset = _videos_of(layout, max(kept))
    parents = dataset.table["parents"].to_pylist()
    packed, damaged = {}, []
    for (key, length, crc32), index in _held_in(dataset).items():
        name = layout.video_name(state["ingest"], key)
        if parents[index] or layout.store.size(name) != length:
            continue
        try:
            if dataset.read(index, ["mp4"])["mp4"] == layout.store.read(name):
                packed[name] = length, crc32
        except BadInput as error:
            damaged.append(str(error))
    if damaged:
        found.notes.append(f"{len(damaged)} clips stay, for the dataset's copy of them is damaged: {damaged[0]}")
    return packed


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
    for top in ("annotations", "blobs", "clips", "downloads", "truth", TMP):
        folders = [path for path in (_root(layout) / top).rglob("*") if path.is_dir()]
        for folder in sorted(folders, reverse=True):  # the deepest first
            if not any(folder.iterdir()):
                folder.rmdir()
