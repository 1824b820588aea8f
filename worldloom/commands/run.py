"""`worldloom run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldloom import console
from worldloom.catalogs.errors import UsageError

if TYPE_CHECKING:
    from worldloom.pipeline.job import Job


def run(
    job: Annotated[str, typer.Argument(metavar="JOB.yaml|FOLDER", help="A job file, or a folder of videos.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Keys of the job, e.g. ingest.fps=16")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Working folder or s3:// address; default the job's, or runs/<folder name>.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what is done already.")] = False,
    sample: Annotated[
        int, typer.Option(min=0, metavar="K", help="With --dry-run: run K sources, drawn by hash, to know the cost.")
    ] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="With --dry-run: time on so many nodes like this one.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the first N sources; what is packed is theirs alone.")
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="PASS", help="ingest, annotate, compose or pack.")] = None,
    retry: Annotated[
        list[str] | None,
        typer.Option(metavar="REASON", help="Try rows again that were lost for REASON, or failed for all; repeatable."),
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Leave the dataset's shards as they are, pack what is new into others.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Clips worked on at once; default the cores.")] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; without it, this machine.")] = None,
) -> None:
    """Turn videos into a dataset: ingest, annotate, compose, pack. The same command again resumes."""
    from worldloom.commands.funnel import print_plan, print_summary

    if not dry_run and (sample or nodes > 1):
        raise UsageError("--sample and --nodes say what a job would take: add --dry-run")
    changes = [*(overrides or []), *(["pack.append=true"] if append else [])]
    chosen = _load(job, changes, out)  # before anything heavy: a misspelt key answers at once
    from worldloom.pipeline.estimate import estimate_job
    from worldloom.pipeline.run import run_job

    with console.StageProgress() as progress:
        summary = run_job(
            chosen,
            limit=limit,
            only=only,
            retry=retry,
            workers=workers,
            address=address,
            dry_run=dry_run,
            progress=progress,
        )
        found = None
        if dry_run:
            asked: dict[str, Any] = {"limit": limit, "only": only, "workers": workers, "address": address}
            found = estimate_job(chosen, summary, **asked, sample=sample, progress=progress)
    if found is not None:
        print_plan(summary, found, job, nodes)
        return
    print_summary(summary)
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _load(name: str, overrides: list[str], out: str | None) -> Job:
    from worldloom.catalogs.storage import is_remote

    if not is_remote(name) and not Path(name).exists():
        raise UsageError(f"{name}: no such job file or folder")
    from worldloom.pipeline.job import job_for_folder, load_job

    if Path(name).is_dir():
        return job_for_folder(name, out, overrides)
    return load_job(name, [*overrides, *([f"out={out}"] if out else [])])
