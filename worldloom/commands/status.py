"""`worldloom status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def status(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a run.")],
) -> None:
    """Where a run stands: rows in, ok, dropped and failed by reason, and what is packed."""
    from worldloom.commands.funnel import print_summary
    from worldloom.commands.places import run_at

    place = run_at(out)
    from worldloom.pipeline.workspace import Workspace

    print_summary(Workspace(place).summary())
