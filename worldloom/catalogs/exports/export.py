"""A dataset, or the part of it that a condition chooses, written in another program's format.

Every clip is read in a child process that may crash, hang or run out of memory for it: that clip is then skipped, with
the reason, like one that the format cannot hold. in = exported + skipped, always. The folder appears as a whole or not
at all, with `export.json` (what was done, clip by clip) and `provenance.json` (where each clip comes from).
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pyarrow as pa

from worldloom import __version__
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.exports.format import ExportFormat, Finished
from worldloom.catalogs.exports.licences import by_licence, refuse_unknown, write_provenance
from worldloom.catalogs.exports.registry import format_of
from worldloom.catalogs.sandbox import Child, ChildDisk, ChildFailure, ChildNotStarted, Limits
from worldloom.catalogs.shards import KEY

RECORD = "export.json"
PROVENANCE = "provenance.json"

_ENTRY = "worldloom.catalogs.exports.worker:work"
_DRAFTS = ".drafts"
_CLIP_DEADLINE_S = 600.0
_FINISH_DEADLINE_S = 60.0
"""Of the last step, per clip; ten times what the largest took (defaults ours, as the one above)."""


@dataclass(frozen=True)
class Exported:
    """What an export did.

    Attributes:
        out: its folder.
        clips: keys that were written, in order.
        skipped: reason and sentence by key.
        following: a command that opens it.
    """

    out: Path
    clips: tuple[str, ...]
    skipped: Mapping[str, tuple[str, str]]
    following: str

    @property
    def reasons(self) -> dict[str, int]:
        """How many clips were skipped, by reason, the most frequent first."""
        counts = Counter(reason for reason, _ in self.skipped.values())
        return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def export(
    dataset: Path | str,
    to: str,
    out: Path | str,
    *,
    options: Mapping[str, Any] | None = None,
    where: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    allow_unknown_licence: bool = False,
    overwrite: bool = False,
    workers: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> Exported:
    """Write clips of a dataset in a format.

    Args:
        dataset: its folder or `s3://bucket/prefix`.
        to: name of the format, one of `exports.registry.FORMATS`.
        out: a folder that is not there yet, or is empty.
        options: of the format.
        where: SQL condition over the catalog; all clips where not given.
        split: only this split.
        limit: only the first so many, in the order of their keys.
        allow_unknown_licence: also export clips whose licence nobody stated.
        overwrite: an earlier export in `out` is replaced; anything else there is never touched.
        workers: clips worked on at once.
        advance: called after each clip.

    Raises:
        UsageError: no such format, option, split or column; a full folder; clips without a known licence; no clip.
        BadInput: `nothing_exported`; or the dataset is damaged (`torn_shard`, `bad_catalog`, `missing_file`).
        ChildDisk, ChildNotStarted: this machine has no room.
    """
    chosen = format_of(to, dict(options or {}))
    target = _target(out, overwrite)
    opened = ShardDataset(dataset, where=where, split=split, members=chosen.members)
    table = opened.table.slice(0, limit)
    if not len(table):
        raise UsageError(f"{dataset}: no clip fits --where and --split; there is nothing to export")
    if not allow_unknown_licence:
        refuse_unknown(table)
    asked = {"where": where, "split": split, "limit": limit}
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.export")
    draft.mkdir()
    try:
        notes, skipped = _write_clips(opened, len(table), chosen, draft, workers, advance)
        keys = [key for key in opened.keys if key in notes]
        finished = _finish(chosen, draft, keys)
        skipped |= finished.skipped
        keys = [key for key in keys if key not in skipped]
        done = Exported(target, tuple(keys), skipped, "")
        if not keys:
            reasons = ", ".join(f"{count} {reason}" for reason, count in done.reasons.items())
            _, sentence = next(iter(skipped.values()))
            raise BadInput("nothing_exported", f"none of {len(table)} clips could be written ({reasons}); {sentence}")
        shutil.rmtree(draft / _DRAFTS, ignore_errors=True)
        written = table.filter(pa.array([key not in skipped for key in table["key"].to_pylist()]))
        write_provenance(draft / PROVENANCE, written)
        record = _record(chosen, opened, asked, done, written) | finished.told
        record["exported"] = {key: {**notes[key], **finished.notes.get(key, {})} for key in keys}
        record["skipped"] = {key: {"reason": why, "message": said} for key, (why, said) in sorted(skipped.items())}
        (draft / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _put_in_place(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Exported(target, tuple(keys), skipped, chosen.following(str(out), keys[0]))


def _target(out: Path | str, overwrite: bool) -> Path:
    """The folder, if it may be written.

    Raises:
        UsageError: it is an address, a file, or full.
    """
    if "://" in str(out):
        raise UsageError(f"{out}: an export is written to a folder; copy it to an object store afterwards")
    target = Path(out).absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{out}: a file or a link is there; name a folder")
    if target.is_dir() and any(target.iterdir()):
        if not (target / RECORD).is_file():
            raise UsageError(f"{out}: the folder is full, and not of an export; name another one")
        if not overwrite:
            raise UsageError(f"{out}: an export is there already; name another folder, or add --overwrite")
    return target


def _put_in_place(draft: Path, target: Path) -> None:
    """Give the finished folder its name; an earlier export goes only then."""
    if not target.exists():
        draft.rename(target)
        return
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    target.rename(old)
    try:
        draft.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _write_clips(
    opened: ShardDataset, count: int, chosen: ExportFormat, draft: Path, workers: int, advance: Callable[[], object]
) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[str, str]]]:
    """Notes of the clips that were written, and why the others were not."""
    notes: dict[str, dict[str, Any]] = {}
    skipped: dict[str, tuple[str, str]] = {}
    children: SimpleQueue[Child] = SimpleQueue()
    places = set(range(count))
    order = [position for position in opened.shard_order() if position in places]
    with ExitStack() as stack, ThreadPoolExecutor(workers, thread_name_prefix="export") as pool:
        for _ in range(workers):
            children.put(stack.enter_context(Child(_ENTRY, Limits(deadline_s=_CLIP_DEADLINE_S))))

        def write(position: int) -> dict[str, Any] | tuple[str, str]:
            child = children.get()
            try:
                return _write_clip(opened, position, chosen, draft, child)
            finally:
                children.put(child)

        for position, answer in zip(order, _in_turn(pool, write, order, workers), strict=True):
            key = opened.keys[position]
            if isinstance(answer, dict):
                notes[key] = answer
            else:
                skipped[key] = answer
            advance()
    return notes, skipped


def _in_turn(
    pool: ThreadPoolExecutor, work: Callable[[int], Any], positions: Iterable[int], workers: int
) -> Iterator[Any]:
    """Answers in order, never more than twice as many clips in memory as there are workers."""
    waiting: list[Any] = []
    try:
        for position in positions:
            waiting.append(pool.submit(work, position))
            if len(waiting) >= 2 * workers:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for one in waiting:
            one.cancel()


def _write_clip(
    opened: ShardDataset, position: int, chosen: ExportFormat, draft: Path, child: Child
) -> dict[str, Any] | tuple[str, str]:
    key = opened.keys[position]
    if not KEY.match(key):
        return "bad_key", f"'{key[:40]}' is no plain name for a file"
    folder = draft / _DRAFTS / key
    folder.mkdir(parents=True)
    try:
        # A torn shard ends the export: it is the dataset that is wrong, and verify says how.
        payload = {"key": key, "members": opened.read(position), "folder": str(folder)}
        notes: dict[str, Any] = child.call({**_named(chosen), **payload})
        _move(folder, draft)
    except BadInput as problem:
        if problem.reason in ("torn_shard", "missing_file"):
            raise
        return problem.reason, problem.sentence
    except (ChildDisk, ChildNotStarted):
        raise
    except ChildFailure as failure:
        return failure.reason, str(failure)
    finally:
        shutil.rmtree(folder)
    return notes


def _move(folder: Path, draft: Path) -> None:
    """Move the files of one clip into the export."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            goal = draft / path.relative_to(folder)
            goal.parent.mkdir(parents=True, exist_ok=True)
            path.rename(goal)


def _finish(chosen: ExportFormat, draft: Path, keys: list[str]) -> Finished:
    if not keys or type(chosen).finish is ExportFormat.finish:
        return Finished()
    with Child(_ENTRY, Limits(deadline_s=_CLIP_DEADLINE_S + _FINISH_DEADLINE_S * len(keys))) as child:
        finished: Finished = child.call({**_named(chosen), "folder": str(draft), "keys": keys})
    return finished


def _named(chosen: ExportFormat) -> dict[str, Any]:
    return {"format": chosen.name, "options": chosen.model_dump(mode="json")}


def _record(
    chosen: ExportFormat, opened: ShardDataset, asked: Mapping[str, Any], done: Exported, written: pa.Table
) -> dict[str, Any]:
    """Nothing in it tells when or by whom: the same dataset and options give the same bytes."""
    counts = {"in": len(done.clips) + len(done.skipped), "exported": len(done.clips), "skipped": done.reasons}
    return {
        **_named(chosen),
        "made_by": f"worldloom {__version__}",
        "dataset": {"name": opened.manifest.name, "manifest": opened.manifest.number, **asked},
        "clips": counts,
        "licences": by_licence(source["licence"] for source in written["source"].to_pylist()),
    }
