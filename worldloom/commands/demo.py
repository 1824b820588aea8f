"""`worldloom demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worldloom import console


def demo(
    out: Annotated[Path, typer.Option(help="Working folder; running again resumes in it.")] = Path("runs/demo"),
    worlds: Annotated[int, typer.Option(min=1, max=50, help="How many worlds to render.")] = 5,
    workers: Annotated[int | None, typer.Option(min=1, help="Clips worked on at once; default the cores.")] = None,
) -> None:
    """Render worlds, label them as if unknown, pack them, score the labels against the truth, and report."""
    from worldloom.demo import run_demo

    result = run_demo(out, worlds=worlds, workers=workers)
    console.say(f"report: {result.report} (open it in a browser)")
    console.following(result.next_command)
    if result.exit_code:
        raise typer.Exit(result.exit_code)
