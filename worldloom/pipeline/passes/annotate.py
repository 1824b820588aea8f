"""Pass 2, clips to annotations: one row per clip, and only the operations that are due on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from worldloom.pipeline.engine import Stage
from worldloom.pipeline.known import KnownClip, KnownClips, find_answers
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.passes.supervisors import answers_of
from worldloom.pipeline.passes.work import Work, entry_of


def annotate(work: Work, clips: KnownClips, operations: Sequence[Operation]) -> None:
    """Run what is due, and fill in the answers of all clips."""
    find_answers(work.ledger, clips, operations)
    due = _find_due(work, clips, operations)
    for operation in operations:
        count = int(due[operation.name].sum())
        asked = int((~clips.given(operation.name) | clips.has(operation.name)).sum())
        work.due[operation.name] = count, asked - count
    total = int(np.logical_or.reduce(list(due.values())).sum()) if due else 0
    if work.dry or not total:
        return
    work.progress.start("annotate", total)
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


def _find_due(work: Work, clips: KnownClips, operations: Sequence[Operation]) -> dict[str, np.ndarray]:
    """Clips to run each operation on: without an answer, to be tried again, or built on one that runs again."""
    due: dict[str, np.ndarray] = {}
    for operation in operations:
        answers = clips.answers[operation.name]
        by_hand = clips.set_by_hand.get(operation.name, np.zeros(len(clips), bool))
        again = work.to_retry(answers)
        for other in operation.after:
            again = again | due[other] | _outdated(clips, operation.name, other)
        left_alone = by_hand | (clips.given(operation.name) & ~clips.has(operation.name))
        due[operation.name] = (~clips.has(operation.name) | again) & ~left_alone
    return due


def _outdated(clips: KnownClips, operation: str, other: str) -> np.ndarray:
    """Clips whose answer is older than the one it builds on: a run that tried that again was killed in between.

    Where a person has set the other one, the digest of what the answer is made of tells.
    """
    of_two = [clips.answers[name]["sequence"].fill_null(-1).to_numpy() for name in (operation, other)]
    by_hand = clips.set_by_hand.get(other, np.zeros(len(clips), bool))
    return np.asarray((of_two[0] >= 0) & (of_two[0] < of_two[1]) & ~by_hand)


def _run(
    work: Work,
    clips: KnownClips,
    operations: Sequence[Operation],
    wave: Sequence[Operation],
    due: Mapping[str, np.ndarray],
    *,
    last: bool,
) -> None:
    """One wave: operations of one resource class, which share a decode."""
    here = np.logical_or.reduce([due[operation.name] for operation in wave])
    if last:
        elsewhere = np.logical_or.reduce(list(due.values())) & ~here
        work.progress.advance("annotate", int(elsewhere.sum()))
    numbers = _dearest_first(clips, np.flatnonzero(here))
    recipes = {operation.name: operation.recipe for operation in operations}
    rows = _rows(clips, numbers, wave, due)
    for result, parcel in work.engine.run(_stage(work, operations, wave), rows, count=len(numbers)):
        answers = answers_of(parcel)
        for one in result["results"]:
            name = one["operation"]
            entry = entry_of(
                one,
                item=result["key"],
                operation=name,
                recipe=recipes[name],
                source=result["source"][name],
                payload=answers.get(name, b""),
            )
            work.record(entry, one["trace"])
        if last:
            work.progress.advance("annotate", note=result["key"][:8])
    work.ledger.flush()
    find_answers(work.ledger, clips, operations)


def _dearest_first(clips: KnownClips, numbers: np.ndarray) -> np.ndarray:
    """By pixels in all frames: so that the longest clip does not end up alone at the end of the wave."""
    pixels = clips.column("width").astype(np.int64) * clips.column("height") * clips.column("frames")
    return np.asarray(numbers[np.argsort(-pixels[numbers], kind="stable")])


def _rows(
    clips: KnownClips, numbers: np.ndarray, wave: Sequence[Operation], due: Mapping[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    for clip in clips.rows(numbers):
        names = [operation.name for operation in wave if due[operation.name][clip.number]]
        yield _row(clip, names, {name: clips.source_of(name)[clip.number].as_py() for name in names})


def _row(clip: KnownClip, names: list[str], sources: dict[str, str]) -> dict[str, Any]:
    known = {name: answer.place for name, answer in clip.answers.items() if answer.part and name not in names}
    return {"key": clip.key, "source": sources, "record": list(clip.record), "due": names, "known": known}


def _stage(work: Work, operations: Sequence[Operation], wave: Sequence[Operation]) -> Stage:
    execution = work.job.execution
    memory_mb = execution.memory_mb or max(operation.memory_mb for operation in wave)
    settings: dict[str, Any] = {
        "out": str(work.layout.out),
        "operations": [operation.as_json() for operation in operations],
        "deadline_s": execution.deadline_s,
        "memory_mb": execution.memory_mb,
        "recycle_after": execution.recycle_after,
        "gpu": any(operation.gpus for operation in wave),
    }
    return Stage(
        f"annotate ({', '.join(operation.name for operation in wave)})",
        "worldloom.pipeline.passes.supervisors:AnnotateSupervisor",
        settings,
        cpus=max(operation.cpus for operation in wave),
        gpus=max(operation.gpus for operation in wave),
        memory_mb=memory_mb,
    )
