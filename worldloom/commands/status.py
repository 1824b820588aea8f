"""`worldloom status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worldloom import console

SHOWN = 20


def status(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a run.")],
    every: Annotated[bool, typer.Option("--all", help=f"Every lost row, not only the first {SHOWN}.")] = False,
) -> None:
    """Where a run stands: rows in, ok, dropped and failed by reason, why rows were lost, and what is packed."""
    from worldloom.commands.funnel import print_summary
    from worldloom.commands.places import run_at

    place = run_at(out)
    from worldloom.pipeline.workspace import Workspace

    space = Workspace(place)
    problems = space.problems()
    if problems:
        shown = problems if every else problems[:SHOWN]
        console.table(
            ["lost row", "in", "ended", "reason", "what happened"],
            [[row.item.split(":", 2)[-1], row.operation, row.status, row.reason, row.error] for row in shown],
        )
        if len(shown) < len(problems):
            console.say(f"{len(problems) - len(shown)} more: worldloom status {out} --all")
    print_summary(space.summary())
