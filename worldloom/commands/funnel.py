"""The table of a job: what went into each pass and operation, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from worldloom import console
from worldloom.catalogs.storage import is_remote

if TYPE_CHECKING:
    from worldloom.pipeline.funnel import RunSummary, Tally


def print_summary(summary: RunSummary) -> None:
    """The table, what is packed, and the next command to type."""
    if summary.plan:
        print_plan(summary)
        return
    print_tables(summary.tables)
    for note in summary.notes:
        console.say(note)
    if summary.dataset is not None:
        state = "committed" if summary.committed else "unchanged"
        console.say(f"dataset: {here(summary.dataset)}, manifest {summary.manifest} ({state})")
    else:
        console.say("dataset: none packed yet")
    out = here(summary.out)
    if summary.exit_code == 3:
        console.warn("more rows failed than the failure budget allows (execution.failure_budget)")
        console.following(f"worldloom inspect {out}")
    elif summary.dataset is None:
        console.following(f"worldloom run {out}/job.yaml")
    elif summary.committed:
        console.following(f"worldloom verify {out}")
    else:
        console.following(f"worldloom inspect {out}")


def print_tables(tables: tuple[Tally, ...]) -> None:
    """A line per pass and per operation; in = ok + absent + dropped + failed."""
    console.table(
        ["pass", "in", "ok", "absent", "dropped", "failed", "out"],
        [
            [
                f"  {tally.name}" if tally.part_of else tally.name,
                tally.inputs,
                tally.ok,
                reasons(tally.absent),
                reasons(tally.dropped),
                reasons(tally.failed),
                "" if tally.part_of else tally.out,
            ]
            for tally in tables
        ],
    )


def print_plan(summary: RunSummary) -> None:
    """What a dry run found out."""
    console.table(
        ["operation", "done", "to do", "about"],
        [
            [
                due.name,
                due.done,
                "depends on the passes before" if due.due is None else due.due,
                "" if due.seconds is None or due.due is None else console.duration(due.seconds * due.due),
            ]
            for due in summary.plan
        ],
        title="dry run: nothing was started",
    )
    for note in summary.notes:
        console.say(note)


def reasons(counts: Mapping[str, int]) -> str:
    """`5: no_parallax 3, static 2`; empty where there are none."""
    if not counts:
        return ""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return f"{sum(counts.values())}: " + ", ".join(f"{reason or 'unnamed'} {count}" for reason, count in ordered)


def here(path: Path | str) -> Path | str:
    """`path` as a person in the working directory would type it."""
    try:
        return Path(path).absolute().relative_to(Path.cwd()) if not is_remote(path) else path
    except ValueError:
        return path
