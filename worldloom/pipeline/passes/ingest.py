"""Pass 1, sources to clips: one row per video in, one record per clip out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from worldloom.pipeline.engine import Stage
from worldloom.pipeline.ledger import Entry, wanted_rows
from worldloom.pipeline.operations import ingest_recipe
from worldloom.pipeline.passes.work import Work, entry_of
from worldloom.pipeline.settings import Job
from worldloom.pipeline.sources.source import SourceItem, kind_and_uri

DEADLINE_S = 1800.0
"""Wall-clock limit per video (default ours): an hour of 1080p decodes twice in well under it."""

MEMORY_MB = 3000
"""Of the child (default ours): decoding 8192x4320 takes about 1.1 GB."""


def wanted_items(job: Job, items: Sequence[SourceItem]) -> pa.Table:
    """What ingest is asked for: item, operation, recipe and source (a fingerprint of its files) of every item.

    Args:
        job: for the recipe.
        items: in the order of the sources.
    """
    recipe = ingest_recipe(job)
    return wanted_rows((item.id, "ingest", recipe, item.fingerprint()) for item in items)


def ingest(work: Work, items: Sequence[SourceItem], wanted: pa.Table) -> None:
    """Ingest what is due.

    Args:
        work: the job at work.
        items: of the sources.
        wanted: a row for each, of `wanted_items`.
    """
    known = work.ledger.answers("ingest", ingest_recipe(work.job), wanted)
    due = np.flatnonzero(known["status"].is_null().to_numpy() | work.to_retry(known))
    work.due["ingest"] = len(due), len(items) - len(due)
    if len(due) and not work.dry:
        _run(work, items, wanted, due)


def _run(work: Work, items: Sequence[SourceItem], wanted: pa.Table, due: np.ndarray) -> None:
    work.progress.start("ingest", len(due))
    recipe = ingest_recipe(work.job)
    sources = wanted["source"]
    rows = []
    for number in due.tolist():
        item = items[number]
        if item.problem is not None:
            entry = Entry(item.id, "ingest", recipe, sources[number].as_py(), "dropped", *item.problem)
            work.record(entry)
            work.progress.advance("ingest")
        else:
            rows.append(number)
    rows.sort(key=lambda number: (-_cost(items[number]), number))
    number_of = {items[number].id: number for number in rows}
    for result, payload in work.engine.run(ingest_stage(work), _rows(items, rows), count=len(rows)):
        source = sources[number_of[result["id"]]].as_py()
        entry = entry_of(result, item=result["id"], operation="ingest", recipe=recipe, source=source, payload=payload)
        work.record(entry, result["trace"])
        work.progress.advance("ingest", note=kind_and_uri(result["id"])[1])
    work.ledger.flush()
    work.progress.finish("ingest")


def _rows(items: Sequence[SourceItem], numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    return ({"id": items[number].id, "item": asdict(items[number])} for number in numbers)


def _cost(item: SourceItem) -> int:
    """What decides how long an item takes: bytes of a video, pixels of a world that is to be rendered."""
    if item.plan:
        return int(item.plan.get("frames", 1)) * int(item.plan.get("width", 1)) * int(item.plan.get("height", 1))
    try:
        return Path(item.path).stat().st_size
    except OSError:  # gone since it was listed; the worker says so
        return 0


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
