"""The table of a job: what went into each pass and operation, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from worldloom import console
from worldloom.catalogs.storage import is_remote

if TYPE_CHECKING:
    from worldloom.pipeline.estimate import Estimate, Figure
    from worldloom.pipeline.funnel import RunSummary, Tally


def print_summary(summary: RunSummary) -> None:
    """The table, what is packed, and the next command to type."""
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
    elif any(tally.name == "compose" and tally.inputs and not tally.out for tally in summary.tables):
        console.following(f"worldloom inspect {out}")  # the same run again would choose nothing again
    elif summary.dataset is None or all(tally.name != "pack" for tally in summary.tables):
        console.following(f"worldloom run {out}/job.yaml")
    elif summary.committed:
        console.following(f"worldloom verify {out}")
    else:
        console.following(f"worldloom inspect {out}")


def print_tables(tables: tuple[Tally, ...]) -> None:
    """A line per pass and per operation (in = ok + absent + dropped + failed), then the reasons; within 80 columns."""
    console.table(
        ["pass", "in", "ok", "absent", "dropped", "failed", "out"],
        [
            [
                f"  {tally.name}" if tally.part_of else tally.name,
                tally.inputs,
                tally.ok,
                *(sum(counts.values()) or "" for counts in (tally.absent, tally.dropped, tally.failed)),
                "" if tally.part_of else tally.out,
            ]
            for tally in tables
        ],
    )
    why = [
        [tally.name, ended, reason or "unnamed", count]
        for tally in tables
        # A clip that failed is counted again in the line of the operation that failed it, with the reason.
        if not (tally.name == "annotate" and not tally.part_of)
        for ended in ("absent", "dropped", "failed")
        for reason, count in sorted(getattr(tally, ended).items(), key=lambda one: (-one[1], one[0]))
    ]
    if why:
        console.table(["pass", "ended", "reason", "rows"], why)


def print_plan(summary: RunSummary, estimate: Estimate, job: str, nodes: int) -> None:
    """What a dry run found out: rows, core hours, storage, shards, and the time on so many nodes."""
    console.table(
        ["operation", "done", "to do", "core time", "+-"],
        [
            [
                row.name,
                row.done,
                "after ingest" if row.due is None else row.due,
                *_core_time(estimate.core_seconds.get(row.name)),
            ]
            for row in summary.plan
        ],
        title="dry run: nothing was written",
    )
    if estimate.unknown:
        names = ", ".join(estimate.unknown)
        console.say(f"not known yet: what these cost: {names}")
        console.say("this runs a few sources for real, in a temporary folder, to find out:")
        console.following(f"worldloom run {job} --dry-run --sample {min(8, estimate.items)}")
    if estimate.observed:
        _print_sizes(estimate, nodes)
    for note in summary.notes:
        console.say(note)
    if not estimate.unknown:
        console.following(f"worldloom run {job}")


def _print_sizes(estimate: Estimate, nodes: int) -> None:
    console.say(f"estimated from {estimate.observed} of {estimate.items} sources; +- is twice the standard error")
    console.say(f"clips: {_count(estimate.clips)}, {console.duration(estimate.clip_seconds.value)} of video")
    console.say(f"storage: clips {_bytes(estimate.clip_bytes)}, answers {_bytes(estimate.answer_bytes)}")
    console.say(f"dataset: {_bytes(estimate.shard_bytes)} in about {estimate.shards} shards, before compose drops any")
    total = estimate.total_core_seconds
    console.say(f"to do: {_hours(total)} core hours")
    for count in sorted({1, nodes}):
        took = estimate.wall_seconds(count)
        spread = "" if took.spread is None else f" +- {console.duration(took.spread)}"
        on_gpus = f", {gpus} on GPUs" if (gpus := estimate.gpu_workers(count)) else ""
        where = f"{count} node{'s' if count > 1 else ''} with {estimate.workers(count)} workers{on_gpus}"
        console.say(f"on {where}: {console.duration(took.value)}{spread}")


def _core_time(figure: Figure | None) -> tuple[str, str]:
    if figure is None:
        return "not known", ""
    return console.duration(figure.value), "" if figure.spread is None else console.duration(figure.spread)


def _count(figure: Figure) -> str:
    return f"{figure.value:,.0f}" + ("" if figure.spread is None else f" +- {figure.spread:,.0f}")


def _bytes(figure: Figure) -> str:
    return console.size(figure.value) + ("" if figure.spread is None else f" +- {console.size(figure.spread)}")


def _hours(figure: Figure) -> str:
    return f"{figure.value / 3600:.3g}" + ("" if figure.spread is None else f" +- {figure.spread / 3600:.2g}")


def here(path: Path | str) -> Path | str:
    """`path` as a person in the working directory would type it."""
    try:
        return Path(path).absolute().relative_to(Path.cwd()) if not is_remote(path) else path
    except ValueError:
        return path
