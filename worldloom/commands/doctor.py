"""`worldloom doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worldloom import console


def doctor(
    folder: Annotated[Path, typer.Option(help="Where your runs will lie: its free space is checked.")] = Path(),
) -> None:
    """What this machine can and cannot do, and what to install."""
    from worldloom.doctor import examine, usable

    checks = examine(folder)
    console.table(
        ["", "what", "found", "what to do"],
        [[check.status, check.name, check.found, check.remedy] for check in checks],
    )
    if not usable(checks):
        console.error("the data side does not work on this machine; see the lines marked `missing` or `broken`")
        raise typer.Exit(1)
    console.following("worldloom demo")
