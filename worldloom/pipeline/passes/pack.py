"""Pass 4, chosen clips to shards: a plan made on metadata, deterministic shards, then the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from worldloom.catalogs.card import write_card
from worldloom.catalogs.catalog import write_catalog
from worldloom.catalogs.config import digest
from worldloom.catalogs.manifest import Manifest, ShardEntry, commit, latest_or_none
from worldloom.pipeline.engine import Stage
from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.ledger import Entry, read_payload, wanted_rows
from worldloom.pipeline.operations import Operation
from worldloom.pipeline.parcel import unpack_parcel
from worldloom.pipeline.passes.compose import Chosen
from worldloom.pipeline.passes.work import Work, entry_of

PACK_VERSION = "1"
"""Changes whenever the same clips and annotations make other shards or other catalog rows: with the form of samples
and catalog, the encoder, and `synth.reverse`."""

DEADLINE_S = 7200.0
"""Wall-clock limit per shard (default ours); what takes time is encoding derived clips."""

MEMORY_MB = 3000
JSON_BYTES = 3000
"""Of a sample's JSON and tar headers, for the estimate of its size."""


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


@dataclass(frozen=True)
class PlannedShard:
    """One shard to be.

    Attributes:
        name: file name: split, digest of its contents, number.
        split: of all its samples.
        recipe: digest of what decides its bytes.
        samples: in order.
    """

    name: str
    split: str
    recipe: str
    samples: tuple[Chosen, ...]


def pack(work: Work, chosen: Sequence[Chosen], operations: Sequence[Operation]) -> Packed:
    """Write the shards that are not there yet, then commit a manifest if it names anything new.

    Args:
        work: the job at work.
        chosen: samples, from the compose pass.
        operations: of the job.
    """
    shards = list(
        plan_shards(chosen, operations, work.job.pack.bucket_by, work.job.pack.target_mb, work.job.ingest.crf)
    )
    wanted = wanted_rows((shard.name, "pack", shard.recipe, "") for shard in shards)
    written = _written(work, work.ledger.entries(wanted))
    due = [shard for shard in shards if shard.name not in written]
    work.due["pack"] = len(due), len(written)
    known = {}
    if work.dry:
        return Packed()
    if due:
        _run(work, due, operations)
        known = work.ledger.entries(wanted)
        written = _written(work, known)
    ends: list[tuple[str, str]] = []
    problem = ""
    for shard in shards:
        if shard.name in written:
            end = ("ok", "")
        else:
            entry = known[shard.name, "pack"]
            end = ("failed", entry.reason or "missing")
            problem = problem or f"shard {shard.name} could not be written: {entry.error or 'its file is gone'}"
        ends += [end] * len(shard.samples)
    packed = Packed(Tally.of("pack", ends), problem=problem)
    if problem:
        packed.notes.append(f"{problem}; nothing was committed. The same command tries again.")
    elif shards:
        _commit(work, [written[shard.name] for shard in shards], packed)
    else:
        packed.notes.append("no clip was chosen, so there is nothing to pack")
    if not packed.committed and (there := latest_or_none(work.layout.dataset)) is not None:
        packed.manifest = there.number
    return packed


def plan_shards(
    chosen: Sequence[Chosen],
    operations: Sequence[Operation],
    bucket_by: Sequence[str],
    target_mb: float,
    crf: int,
) -> Iterator[PlannedShard]:
    """Which sample goes where: per split and bucket, in the order of hashes, up to the target size.

    Args:
        chosen: samples.
        operations: of the job, for what they answered.
        bucket_by: `resolution`, `frames`.
        target_mb: size of a shard in 10^6 bytes, by estimate.
        crf: of what has to be encoded.
    """

    def bucket(sample: Chosen) -> tuple[Any, ...]:
        row = sample.clip.about["row"]
        kinds = {"resolution": (row["width"], row["height"]), "frames": (sample.frames,)}
        return sample.split, *(number for name in bucket_by for number in kinds[name])

    ordered = sorted(chosen, key=lambda sample: (bucket(sample), sample.order))
    for split, samples in groupby(ordered, key=lambda sample: sample.split):
        number = 0
        for _, group in groupby(samples, key=bucket):
            for members in _filled(list(group), target_mb * 1e6):
                recipe = digest([PACK_VERSION, [_contents(sample, operations, crf) for sample in members]])
                yield PlannedShard(f"{split}-{recipe}-{number:05d}.tar", split, recipe, members)
                number += 1


def _filled(samples: Sequence[Chosen], target: float) -> Iterator[tuple[Chosen, ...]]:
    shard: list[Chosen] = []
    size = 0.0
    for sample in samples:
        clip = sample.clip
        estimate = clip.about["bytes"] * sample.frames / clip.frames + JSON_BYTES
        estimate += sum(answer.bytes for answer in clip.answers.values())
        if shard and size + estimate > target:
            yield tuple(shard)
            shard, size = [], 0.0
        shard.append(sample)
        size += estimate
    if shard:
        yield tuple(shard)


def _contents(sample: Chosen, operations: Sequence[Operation], crf: int) -> list[Any]:
    """Everything that decides the bytes of a sample: what was found, not how, so equal answers are not packed again."""
    clip = sample.clip
    answers = {
        operation.name: [operation.method, operation.version, answer.status, answer.reason, answer.digest]
        for operation in operations
        if (answer := clip.answers.get(operation.name)) is not None
    }
    return [clip.key, clip.record_digest, sample.operation, crf if sample.operation else None, answers]


def _written(work: Work, known: dict[tuple[str, str], Entry]) -> dict[str, Entry]:
    """Entries of shards whose file is there; all others are written at every run until they are."""
    found = {}
    for (name, _), entry in known.items():
        if entry.status == "ok" and work.layout.store.size(work.layout.shard_name(name)) == entry.facts["bytes"]:
            found[name] = entry
    return found


def _run(work: Work, due: Sequence[PlannedShard], operations: Sequence[Operation]) -> None:
    work.progress.start("pack", len(due), "shards")
    rows = [{"name": shard.name, "split": shard.split, "samples": [_row(s) for s in shard.samples]} for shard in due]
    recipes = {shard.name: shard.recipe for shard in due}
    for result, payload in work.engine.run(pack_stage(work, operations), rows):
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


def _row(sample: Chosen) -> dict[str, Any]:
    clip = sample.clip
    return {
        "key": clip.key,
        "record": list(clip.record),
        "answers": clip.answer_places(),
        "operation": sample.operation,
    }


def _commit(work: Work, entries: Sequence[Entry], packed: Packed) -> None:
    """Catalog, manifest, card; nothing where the latest manifest names the same shards."""
    dataset = work.layout.dataset
    shards = tuple(sorted((ShardEntry(**entry.facts) for entry in entries), key=lambda shard: shard.path))
    before = latest_or_none(dataset)
    if before is not None and before.shards == shards:
        if not work.layout.store.exists("dataset/README.md"):  # killed between the commit and the card
            write_card(dataset)
        return
    rows: list[dict[str, Any]] = []
    for entry in entries:
        rows += json.loads(unpack_parcel(read_payload(work.layout.store, entry.part, entry.row))["rows.json"])
    manifest = Manifest(
        number=before.number + 1 if before else 1,
        parent=before.number if before else None,
        name=work.job.name,
        samples=sum(shard.samples for shard in shards),
        shards=shards,
        catalog=write_catalog(dataset, rows),
    )
    commit(dataset, manifest)
    write_card(dataset)
    packed.manifest, packed.committed = manifest.number, True
