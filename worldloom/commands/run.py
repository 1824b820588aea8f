"""`worldloom run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    out: Annotated[Path | None, typer.Option(help="Working folder; default the job's, or runs/<folder name>.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what is done already.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many sources.")] = None,
    only: Annotated[str | None, typer.Option(metavar="PASS", help="ingest, annotate, compose or pack.")] = None,
    retry: Annotated[str | None, typer.Option(metavar="REASON", help="Try rows again that failed for REASON.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Clips worked on at once; default the cores.")] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; without it, this machine.")] = None,
) -> None:
    """Turn videos into a dataset: ingest, annotate, compose, pack. The same command again resumes."""
    from worldloom.commands.funnel import print_summary

    chosen = _load(job, overrides or [], out)  # before anything heavy: a misspelt key answers at once
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
    print_summary(summary)
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _load(name: str, overrides: list[str], out: Path | None) -> Job:
    if not Path(name).exists():
        raise UsageError(f"{name}: no such job file or folder")
    from worldloom.pipeline.job import job_for_folder, load_job

    if Path(name).is_dir():
        return job_for_folder(name, out, overrides)
    return load_job(name, [*overrides, *([f"out={out}"] if out else [])])
