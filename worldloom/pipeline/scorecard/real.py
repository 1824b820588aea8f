"""The suite of real sequences: how far our poses and depth agree with the reference that came with the pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldloom.catalogs.config import digest
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.progress import Progress
from worldloom.pipeline.scorecard.references import KINDS, read_sequence, sequences
from worldloom.pipeline.scorecard.rows import Facts, Row, rows_from, with_accepted
from worldloom.pipeline.scorecard.suite import VERSION, Scorecard, Task, annotator_recipes, machine, score, unscored

JUDGED = ("pose.posed", "pose.frames", "pose.ate", "pose.rotation", "pose.focal", "pose.seconds", "depth.")
"""Beginnings of the keys of the rows that such a reference can judge."""

UNKNOWN = {"static_redkitchen": ("pose.focal",)}
"""What a reference does not know."""


def run_real(
    place: Path, out: Path, *, workers: int = 2, progress: Progress | None = None, command: str = ""
) -> Scorecard:
    """Score poses and depth on the real sequences in `place`.

    Args:
        place: folder that holds some of the folders of `references.KINDS`.
        out: folder that keeps the facts.
        workers: child processes at work at the same time.
        progress: told of every finished sequence.
        command: what reproduces the figures.

    Raises:
        UsageError: the folder is missing or holds none of them.
    """
    tasks = real_tasks(place)
    facts, failures = score(tasks, out, workers=workers, progress=progress, stage="real")
    every = [*facts, *map(unscored, failures)]
    rows: list[Row] = []
    for folder in KINDS:
        mine = [one for one in every if one["name"].split("/")[0] == folder]
        rows += _rows_of(folder, mine, command) if mine else []
    return Scorecard(with_accepted(rows), facts, failures, command, machine())


def real_tasks(place: Path) -> list[Task]:
    """One task per known sequence below `place`."""
    if not place.is_dir():
        raise UsageError(f"{place}: no such folder")
    names = sequences(place)
    if not names:
        raise UsageError(f"{place}: holds none of {', '.join(KINDS)}")
    recipes = annotator_recipes()
    entry = "worldloom.pipeline.scorecard.real:score_sequence"
    return [
        Task(name, entry, {"name": name, "place": str(place.absolute())}, digest([VERSION, "real", name, recipes]))
        for name in names
    ]


def score_sequence(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Entry of the child: make a clip of the sequence, label it, compare with the reference.

    Args:
        payload: `name` of the sequence, `place` it lies below, `folder` for scratch files.
    """
    from worldloom.pipeline.scorecard.worker import score_truth

    with tempfile.TemporaryDirectory(dir=payload["folder"]) as scratch:
        truth = read_sequence(Path(payload["place"]), payload["name"], Path(scratch) / "frames.mp4")
        facts = score_truth(truth, Path(scratch))
    return {**facts, "name": payload["name"], "revisits": {}}


def _rows_of(folder: str, facts: Sequence[Facts], command: str) -> list[Row]:
    rows = rows_from(facts, command, truth=folder, targets=False)
    kept = [row for row in rows if row.key.startswith(JUDGED) and row.key not in UNKNOWN.get(folder, ())]
    return [replace(row, key=f"real.{folder}.{row.key}") for row in kept]
