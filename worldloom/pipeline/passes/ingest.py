"""Pass 1, sources to clips: one row per video in, one record per clip out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from worldloom.pipeline.engine import Stage
from worldloom.pipeline.ledger import Entry, wanted_rows
from worldloom.pipeline.operations import ingest_recipe
from worldloom.pipeline.passes.work import Work, entry_of
from worldloom.pipeline.sources.source import SourceItem

DEADLINE_S = 1800.0
"""Wall-clock limit per video (default ours): an hour of 1080p decodes twice in well under it."""

MEMORY_MB = 3000
"""Of the child (default ours): decoding 8192x4320 takes about 1.1 GB."""


def ingest(work: Work, items: Sequence[SourceItem]) -> list[Entry]:
    """Ingest what is due.

    Returns:
        The ledger's entry of every item, in the order of the items; items without one are left out (dry runs).
    """
    recipe = ingest_recipe(work.job)
    fingerprints = {item.id: item.fingerprint() for item in items}
    wanted = wanted_rows((item.id, "ingest", recipe, fingerprints[item.id]) for item in items)
    known = work.ledger.entries(wanted)
    due = [item for item in items if work.is_due(known.get((item.id, "ingest")))]
    work.due["ingest"] = len(due), len(items) - len(due)
    if due and not work.dry:
        _run(work, due, recipe, fingerprints)
        known = work.ledger.entries(wanted)
    return [known[item.id, "ingest"] for item in items if (item.id, "ingest") in known]


def _run(work: Work, due: Sequence[SourceItem], recipe: str, fingerprints: dict[str, str]) -> None:
    work.progress.start("ingest", len(due))
    rows = []
    for item in due:
        if item.problem is not None:
            entry = Entry(item.id, "ingest", recipe, fingerprints[item.id], "dropped", *item.problem)
            work.record(entry)
            work.progress.advance("ingest")
        else:
            rows.append({"id": item.id, "item": asdict(item)})
    for result, payload in work.engine.run(ingest_stage(work), rows):
        source = fingerprints[result["id"]]
        entry = entry_of(result, item=result["id"], operation="ingest", recipe=recipe, source=source, payload=payload)
        work.record(entry, result["trace"])
        work.progress.advance("ingest", note=result["id"].split(":", 2)[-1])
    work.ledger.flush()
    work.progress.finish("ingest")


def ingest_stage(work: Work) -> Stage:
    """The pass as an operator."""
    execution = work.job.execution
    memory_mb = execution.memory_mb or MEMORY_MB
    settings: dict[str, Any] = {
        "out": str(work.layout.out),
        "ingest": work.job.ingest.model_dump(mode="json"),
        "deadline_s": execution.deadline_s or DEADLINE_S,
        "memory_mb": memory_mb,
        "recycle_after": execution.recycle_after,
    }
    supervisor = "worldloom.pipeline.passes.supervisors:IngestSupervisor"
    return Stage("ingest", supervisor, settings, memory_mb=memory_mb)
