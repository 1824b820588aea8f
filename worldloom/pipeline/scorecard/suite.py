"""The suite of rendered worlds: plan, render, label, score; every finished clip is kept, so a second call is quick."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from worldloom.annotators.annotator import annotator_class
from worldloom.catalogs.config import digest
from worldloom.catalogs.sample import clip_to_members
from worldloom.pipeline.progress import Progress
from worldloom.pipeline.scorecard.rows import Row, rows_from, with_accepted
from worldloom.pipeline.scorecard.worker import CHAIN

VERSION = "2"
"""Of the way clips are scored; changes whenever facts may change."""

_WORKER = "worldloom.pipeline.scorecard.worker"

DEADLINE_S = 900.0
MEMORY_MB = 6000
RECYCLE_AFTER = 8


@dataclass(frozen=True)
class Task:
    """One clip to score.

    Attributes:
        name: for people.
        entry: `module:function` that a child process runs.
        payload: what it is given, plain values.
        recipe: digest of everything that decides the facts.
    """

    name: str
    entry: str
    payload: Mapping[str, Any]
    recipe: str


@dataclass
class Scorecard:
    """Every figure, and the facts of the clips behind it.

    Attributes:
        rows: the figures.
        clips: facts per clip.
        failures: what could not be scored, by name of the clip.
        command: what reproduces it.
        machine: what it ran on.
    """

    rows: list[Row]
    clips: list[dict[str, Any]]
    failures: dict[str, str] = field(default_factory=dict)
    command: str = ""
    machine: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything but the facts as JSON."""
        values = {
            "command": self.command,
            "machine": self.machine,
            "clips": len(self.clips),
            "failures": self.failures,
            "rows": [row.to_json() for row in self.rows],
        }
        path.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plan_rows(clips: int, seed: int) -> list[dict[str, Any]]:
    """The plans of the rendered suite."""
    from worldloom.synth.planner import plan_worlds

    return [plan.model_dump(mode="json") for plan in plan_worlds(clips, seed=seed)]


def world_tasks(plans: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Label and score each plan."""
    from worldloom.synth.render import VERSION as RENDERER

    recipes = [VERSION, "world", RENDERER, annotator_recipes()]
    return [
        Task(plan["name"], f"{_WORKER}:score_world", {"plan": dict(plan)}, digest([recipes, dict(plan)]))
        for plan in plans
    ]


def speed_tasks(plans: Sequence[Mapping[str, Any]]) -> list[Task]:
    """Time the rendering of one plan per place: done alone, so that nothing else is at work."""
    from worldloom.synth.render import VERSION as RENDERER

    first = {plan["place"]: plan for plan in reversed(plans)}
    return [
        Task(plan["name"], f"{_WORKER}:time_rendering", {"plan": dict(plan)}, digest(["speed", RENDERER, dict(plan)]))
        for plan in first.values()
    ]


def annotator_recipes() -> list[str]:
    """Digest of each annotator's name, version and configuration."""
    return [annotator_class(name)().recipe({}) for name in CHAIN]


def score(
    tasks: Sequence[Task], out: Path, *, workers: int = 2, progress: Progress | None = None, stage: str = "score"
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Facts of every task, in order, and what failed; finished tasks are read from `out`.

    Args:
        tasks: what to score.
        out: folder that keeps the facts.
        workers: child processes at work at the same time.
        progress: told of every finished clip.
        stage: its name there.
    """
    kept = out / "clips"
    kept.mkdir(parents=True, exist_ok=True)
    known = {task.recipe: _read(kept / f"{task.recipe}.json") for task in tasks}
    waiting = [task for task in tasks if known[task.recipe] is None]
    failures: dict[str, str] = {}
    if progress is not None:
        done = len(tasks) - len(waiting)
        progress.start(stage, len(waiting), f"{done} of {len(tasks)} known already" if done else "")

    def finished(task: Task, facts: dict[str, Any] | None, failure: str) -> None:
        if facts is not None:
            _write(kept / f"{task.recipe}.json", facts)
            known[task.recipe] = facts
        else:
            failures[task.name] = failure
        if progress is not None:
            progress.advance(stage, 1, failure or task.name)

    if waiting:
        _in_children(waiting, out, min(workers, len(waiting)), finished)
    if progress is not None:
        progress.finish(stage)
    return [facts for task in tasks if (facts := known[task.recipe]) is not None], failures


def run_worlds(
    out: Path, *, clips: int = 20, seed: int = 0, workers: int = 2, progress: Progress | None = None, command: str = ""
) -> Scorecard:
    """Score every annotator on rendered worlds."""
    plans = plan_rows(clips, seed)
    timed, _ = score(speed_tasks(plans), out, workers=1, progress=progress, stage="rendering speed")
    facts, failures = score(world_tasks(plans), out, workers=workers, progress=progress, stage="worlds")
    speeds = {one["name"]: {"rendered_fps": one["rendered_fps"]} for one in timed}
    facts = [{**one, **speeds.get(one["name"], {})} for one in facts]
    rows = rows_from([*facts, *map(unscored, failures)], command)
    return Scorecard(with_accepted(rows), facts, failures, command, machine())


def score_run(run: Path, *, workers: int = 2, progress: Progress | None = None, command: str = "") -> Scorecard:
    """Score what a job found out about rendered worlds, as it lies in its working folder.

    Args:
        run: working folder of a job with a `worlds` source.
        workers: child processes at work at the same time.
        progress: told of every scored clip.
        command: what reproduces the figures.
    """
    tasks = run_tasks(run)
    facts, failures = score(tasks, run / "score", workers=workers, progress=progress)
    rows = rows_from([*facts, *map(unscored, failures)], command)
    return Scorecard(rows, facts, failures, command, machine())


def run_tasks(run: Path) -> list[Task]:
    """One task per clip of the run whose truth is known."""
    from worldloom.pipeline.workspace import Workspace

    space = Workspace(run)
    tasks = []
    for key in space.clips():
        truth = space.truth_name(key)
        if space.layout.store.exists(truth):
            found = clip_to_members(replace(space.load(key), video=None))
            digests = [hashlib.sha256(data).hexdigest() for data in [*found.values(), space.layout.store.read(truth)]]
            recipe = digest([VERSION, "run", key, digests, annotator_recipes()])
            tasks.append(Task(key, f"{_WORKER}:score_job_clip", {"run": str(run), "key": key}, recipe))
    return tasks


def unscored(name: str) -> dict[str, Any]:
    """Facts of a clip that could not be scored: it counts as one without poses."""
    nothing: dict[str, Any] = {"posed": False, "valid_frames": 0, "groups": []}
    return {
        "name": name, "frames": 0, "fps": 0.0, "motion": "unknown", "pose": nothing, "actions": {}, "events": {},
        "depth": {}, "revisits": {},
    }  # fmt: skip


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    from worldloom import __version__

    return {
        "worldloom": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    }


def _in_children(
    tasks: Sequence[Task], out: Path, workers: int, finished: Callable[[Task, dict[str, Any] | None, str], None]
) -> None:
    """Spread tasks of one kind over warm child processes; `finished` is called in this thread, one task at a time."""
    from worldloom.pipeline.envelope import Envelope

    (entry,) = {task.entry for task in tasks}
    crew = [
        Envelope(entry, deadline_s=DEADLINE_S, memory_mb=MEMORY_MB, recycle_after=RECYCLE_AFTER) for _ in range(workers)
    ]
    idle: SimpleQueue[Envelope] = SimpleQueue()
    for envelope in crew:
        idle.put(envelope)

    def work(task: Task) -> tuple[dict[str, Any] | None, str]:
        envelope = idle.get()
        try:
            ending = envelope.call({**task.payload, "folder": str(out)})
        finally:
            idle.put(envelope)
        return (ending.result, "") if ending.status == "ok" else (None, f"{ending.reason}: {ending.error}")

    with ThreadPoolExecutor(max_workers=workers) as pool:
        running: dict[Future[tuple[dict[str, Any] | None, str]], Task] = {}
        try:
            running = {pool.submit(work, task): task for task in tasks}
            while running:
                ready, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ready:
                    finished(running.pop(future), *future.result())
        finally:
            for future in running:
                future.cancel()
            for envelope in crew:
                envelope.close()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return None


def _write(path: Path, facts: dict[str, Any]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(facts), encoding="utf-8")
    temporary.replace(path)
