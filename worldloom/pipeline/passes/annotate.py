"""Pass 2, clips to annotations: one row per clip, and only the operations that are due on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from worldloom.pipeline.engine import Stage
from worldloom.pipeline.known import KnownClip, fill_answers
from worldloom.pipeline.operations import Operation
from worldloom.pipeline.passes.supervisors import answers_of
from worldloom.pipeline.passes.work import Work, entry_of


def annotate(work: Work, clips: Sequence[KnownClip], operations: Sequence[Operation]) -> None:
    """Run what is due, and fill in `answers` of every clip."""
    due = _find_due(work, clips, operations)
    for operation in operations:
        asked = sum(operation.name not in clip.given for clip in clips)
        count = sum(operation.name in names for names in due.values())
        work.due[operation.name] = count, asked - count
    if work.dry or not due:
        return
    work.progress.start("annotate", len(due))
    waves = _waves(operations)
    for number, wave in enumerate(waves):
        _run(work, clips, operations, wave, due, last=number == len(waves) - 1)
    work.ledger.flush()
    work.progress.finish("annotate")


def annotate_stages(work: Work, operations: Sequence[Operation]) -> list[Stage]:
    """The pass as operators, one per wave."""
    return [_stage(work, operations, wave) for wave in _waves(operations)]


def _waves(operations: Sequence[Operation]) -> list[list[Operation]]:
    """Neighbours of one resource class share a decode; with a GPU and without are two classes."""
    return [list(wave) for _, wave in groupby(operations, key=lambda operation: operation.gpus > 0)]


def _find_due(work: Work, clips: Sequence[KnownClip], operations: Sequence[Operation]) -> dict[str, list[str]]:
    """Operations to run by clip: without an answer, to be tried again, or built on one that runs again."""
    recipes = {operation.name: operation.recipe for operation in operations}
    fill_answers(work.ledger, clips, recipes)
    due = {}
    for clip in clips:
        names: list[str] = []
        for operation in operations:
            if operation.name in clip.given:
                continue
            if work.is_due(clip.answers.get(operation.name)) or any(one in names for one in operation.after):
                names.append(operation.name)
        if names:
            due[clip.key] = names
    return due


def _run(
    work: Work,
    clips: Sequence[KnownClip],
    operations: Sequence[Operation],
    wave: Sequence[Operation],
    due: Mapping[str, list[str]],
    *,
    last: bool,
) -> None:
    """One wave: operations of one resource class, which share a decode."""
    rows = []
    for clip in clips:
        names = [operation.name for operation in wave if operation.name in due.get(clip.key, ())]
        if names:
            rows.append(_row(clip, names))
        elif last and clip.key in due:
            work.progress.advance("annotate")
    recipes = {operation.name: operation.recipe for operation in operations}
    for result, parcel in work.engine.run(_stage(work, operations, wave), rows):
        answers = answers_of(parcel)
        for one in result["results"]:
            name = one["operation"]
            entry = entry_of(
                one,
                item=result["key"],
                operation=name,
                recipe=recipes[name],
                source=result["source"],
                payload=answers.get(name, b""),
            )
            work.record(entry, one["trace"])
        if last:
            work.progress.advance("annotate", note=result["key"][:8])
    fill_answers(work.ledger, clips, recipes)


def _row(clip: KnownClip, names: list[str]) -> dict[str, Any]:
    known = {name: [entry.part, entry.row] for name, entry in clip.answers.items() if entry.part and name not in names}
    return {"key": clip.key, "source": clip.source, "record": list(clip.record), "due": names, "known": known}


def _stage(work: Work, operations: Sequence[Operation], wave: Sequence[Operation]) -> Stage:
    execution = work.job.execution
    memory_mb = execution.memory_mb or max(operation.memory_mb for operation in wave)
    settings: dict[str, Any] = {
        "out": str(work.layout.out),
        "operations": [operation.as_json() for operation in operations],
        "deadline_s": execution.deadline_s,
        "memory_mb": memory_mb,
        "recycle_after": execution.recycle_after,
    }
    return Stage(
        f"annotate ({', '.join(operation.name for operation in wave)})",
        "worldloom.pipeline.passes.supervisors:AnnotateSupervisor",
        settings,
        cpus=max(operation.cpus for operation in wave),
        gpus=max(operation.gpus for operation in wave),
        memory_mb=memory_mb,
    )
