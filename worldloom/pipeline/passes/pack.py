"""Pass 4, chosen clips to shards: a plan made on metadata, deterministic shards, then the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from worldloom.catalogs.card import renew_card, write_card
from worldloom.catalogs.catalog import open_catalog, write_catalog_of
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit, latest_or_none
from worldloom.catalogs.storage import open_store
from worldloom.pipeline.engine import Stage
from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.ledger import Entry, read_payload, wanted_rows
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.passes.compose import Chosen
from worldloom.pipeline.passes.pack_shard import read_fragment
from worldloom.pipeline.passes.shard_plan import PlannedShard, plan_shards
from worldloom.pipeline.passes.work import Work, entry_of
from worldloom.pipeline.quarantine import forget_solved

DEADLINE_S = 7200.0
"""Wall-clock limit per shard (default ours); what takes time is encoding derived clips."""

MEMORY_MB = 3000


@dataclass
class Packed:
    """How packing ended.

    Attributes:
        tally: the pass's line of the table.
        manifest: number of the manifest that is the dataset now; 0 while there is none.
        committed: whether this run wrote it.
        problem: why nothing was committed; empty where it was, or nothing had to be.
        notes: sentences for the person at the terminal.
    """

    tally: Tally = field(default_factory=lambda: Tally("pack", 0, 0))
    manifest: int = 0
    committed: bool = False
    problem: str = ""
    notes: list[str] = field(default_factory=list)


def pack(
    work: Work,
    chosen: Chosen,
    operations: Sequence[Operation],
    before: Manifest | None,
    *,
    append: bool = False,
    tables: Sequence[Tally] = (),
) -> Packed:
    """Write the shards that are not there yet, then commit a manifest if it names anything new.

    Args:
        work: the job at work.
        chosen: samples, from the compose pass.
        operations: of the job.
        before: the dataset as it was when the samples were chosen: what was taken down since makes the commit fail.
        append: leave the shards of the dataset as they are, and pack only samples that are in none of them.
        tables: lines of the passes before; the card tells what they left out.

    Raises:
        ManifestConflict: somebody else committed since `before`.
    """
    there = catalog_of(work, before) if append and before is not None else None
    if there is not None:
        chosen = _without(chosen, set(there["key"].to_pylist()))
    shards = list(plan_shards(chosen, operations, work.job.pack, work.job.ingest.crf))
    wanted = wanted_rows((shard.name, "pack", shard.recipe, "") for shard in shards)
    written = _written(work, work.ledger.entries(wanted))
    due = [shard for shard in shards if shard.name not in written]
    work.due["pack"] = len(due), len(written)
    if work.dry:
        return Packed()
    known: dict[tuple[str, str], Entry] = {}
    if due:
        _run(work, due, operations)
        known = work.ledger.entries(wanted)
        written = _written(work, known)
        statuses = ["ok" if shard.name in written else "failed" for shard in shards]
        names = pa.chunked_array([[shard.name for shard in shards]])
        forget_solved(work.layout, "pack", names, pa.chunked_array([statuses]))
    ends: Counter[tuple[str, str]] = Counter()
    problem = ""
    for shard in shards:
        if shard.name in written:
            ends["ok", ""] += len(shard.samples)
        else:
            entry = known[shard.name, "pack"]
            ends["failed", entry.reason or "missing"] += len(shard.samples)
            problem = problem or f"shard {shard.name} could not be written: {entry.error or 'its file is gone'}"
    packed = Packed(Tally.counted("pack", ends), problem=problem)
    if problem:
        packed.notes.append(f"{problem}; nothing was committed. The same command tries again.")
    elif shards:
        entries = [written[shard.name] for shard in shards]
        _commit(work, entries, before, there, packed, left_out(tables))
    else:
        packed.notes.append(
            "no clip was chosen, so there is nothing to pack" if there is None else "there is nothing new to append"
        )
    if not packed.committed and (last := latest_or_none(work.layout.dataset)) is not None:
        packed.manifest = last.number
        renew_card(work.layout.dataset, left_out(tables))  # killed between the commit and the card
    return packed


def left_out(tables: Sequence[Tally]) -> list[dict[str, Any]]:
    """What passes and operations did not take, by reason, most first; a clip that has no label is none of it.

    Args:
        tables: lines of a run.
    """
    rows = []
    for tally in tables:
        for ended in ("dropped", "failed"):
            if tally.name == "annotate" and not tally.part_of:
                continue  # its operations have lines of their own, with the reasons
            for reason, count in sorted(getattr(tally, ended).items(), key=lambda one: (-one[1], one[0])):
                rows.append({"pass": tally.name, "ended": ended, "reason": reason or "unnamed", "rows": count})
    return rows


def catalog_of(work: Work, manifest: Manifest) -> pa.Table:
    """The catalog of the dataset that the job adds to."""
    return open_catalog(open_store(work.layout.dataset), manifest)


def _without(chosen: Chosen, keys: set[str]) -> Chosen:
    return chosen.take(np.flatnonzero(np.array([key not in keys for key in chosen.sample_keys()], bool)))


def _written(work: Work, known: dict[tuple[str, str], Entry]) -> dict[str, Entry]:
    """Entries of shards whose file is there; all others are written at every run until they are."""
    found = {}
    for (name, _), entry in known.items():
        if entry.status == "ok" and work.layout.store.size(work.layout.shard_name(name)) == entry.facts["bytes"]:
            found[name] = entry
    return found


def _run(work: Work, due: Sequence[PlannedShard], operations: Sequence[Operation]) -> None:
    work.progress.start("pack", len(due), "shards")
    largest_first = sorted(due, key=lambda shard: (-shard.bytes, shard.name))
    recipes = {shard.name: shard.recipe for shard in due}
    rows = (_row(shard) for shard in largest_first)
    for result, payload in work.engine.run(pack_stage(work, operations), rows, count=len(due)):
        name = result["name"]
        if result["status"] == "dropped":  # of our own files, an input that cannot be used is a failure
            result["status"] = "failed"
        entry = entry_of(result, item=name, operation="pack", recipe=recipes[name], source="", payload=payload)
        work.record(entry, result["trace"])
        work.progress.advance("pack", note=name)
    work.ledger.flush()
    work.progress.finish("pack")


def pack_stage(work: Work, operations: Sequence[Operation]) -> Stage:
    """The pass as an operator."""
    execution = work.job.execution
    memory_mb = execution.memory_mb or MEMORY_MB
    names = ("name", "gives", "method", "version")
    settings = {
        "out": str(work.layout.out),
        "shared": {
            "operations": [{name: getattr(operation, name) for name in names} for operation in operations],
            "crf": work.job.ingest.crf,
        },
        "deadline_s": execution.deadline_s or DEADLINE_S,
        "memory_mb": memory_mb,
        "recycle_after": execution.recycle_after,
    }
    return Stage("pack", "worldloom.pipeline.passes.supervisors:PackSupervisor", settings, memory_mb=memory_mb)


def _row(shard: PlannedShard) -> dict[str, Any]:
    samples = shard.samples
    rows = [
        {"key": clip.key, "record": list(clip.record), "answers": clip.answer_places(), "operation": operation}
        for clip, operation in zip(samples.clips.rows(samples.number), samples.operation, strict=True)
    ]
    return {"name": shard.name, "split": shard.split, "samples": rows}


def _commit(
    work: Work,
    entries: Sequence[Entry],
    before: Manifest | None,
    there: pa.Table | None,
    packed: Packed,
    lost: Sequence[Mapping[str, Any]],
) -> None:
    """Catalog, manifest, card; nothing where the latest manifest names the same shards.

    Args:
        work: the job at work.
        entries: of the shards.
        before: the dataset as it is.
        there: its catalog, where the shards are added to it.
        packed: told what was committed.
        lost: what the passes before left out, for the card.
    """
    dataset = work.layout.dataset
    old = before.shards if before is not None and there is not None else ()
    shards = tuple(sorted((*old, *(ShardEntry(**entry.facts) for entry in entries)), key=lambda shard: shard.path))
    if before is not None and before.shards == shards:
        return
    fragments = [there] if there is not None else []
    fragments += [read_fragment(read_payload(work.layout.store, entry.part, entry.row)) for entry in entries]
    manifest = Manifest(
        number=before.number + 1 if before else 1,
        parent=before.number if before else None,
        operation="append" if there is not None else "pack",
        name=work.job.name,
        samples=sum(shard.samples for shard in shards),
        shards=shards,
        catalog=write_catalog_of(dataset, fragments),
        notes=_kept_notes(before),
    )
    commit(dataset, manifest)
    write_card(dataset, left_out=lost)
    packed.manifest, packed.committed = manifest.number, True


def _kept_notes(before: Manifest | None) -> dict[str, Any]:
    """What was taken down stays taken down."""
    return {name: before.notes[name] for name in ("removed",) if name in before.notes} if before is not None else {}
