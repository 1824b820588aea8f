"""`worldloom scorecard`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldloom import console

if TYPE_CHECKING:
    from worldloom.pipeline.scorecard.suite import Scorecard

REAL_DATA = "WORLDLOOM_REAL_DATA"


def scorecard(
    clips: Annotated[int, typer.Option(min=0, help="How many worlds to render and score.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the plans of the worlds.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Clips scored at once, one core each.")] = 2,
    out: Annotated[Path, typer.Option(help="Keeps the facts of finished clips, and scorecard.json.")] = Path(
        "runs/scorecard"
    ),
    real: Annotated[
        Path | None, typer.Option(help=f"Folder of real sequences to score as well; default ${REAL_DATA}.")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Keep these figures as the accepted ones.")] = False,
) -> None:
    """How true the labels are: every annotator against rendered worlds, and against real sequences."""
    from worldloom.pipeline.scorecard.real import run_real
    from worldloom.pipeline.scorecard.rows import accept as accept_rows
    from worldloom.pipeline.scorecard.suite import run_worlds

    command = f"worldloom scorecard --clips {clips} --seed {seed}"
    place = real or (Path(os.environ[REAL_DATA]) if os.environ.get(REAL_DATA) else None)
    out.mkdir(parents=True, exist_ok=True)
    with console.StageProgress() as progress:
        card = None
        if clips:
            card = run_worlds(out, clips=clips, seed=seed, workers=workers, progress=progress, command=command)
        on_real = None
        if place is not None:
            on_real = run_real(place, out, workers=workers, progress=progress, command=_real_command(place))
    for name, found in (("scorecard.json", card), ("scorecard-real.json", on_real)):
        if found is not None:
            _show(found)
            found.save(out / name)
            console.say(f"wrote {out / name}")
    if accept:
        accept_rows([row for found in (card, on_real) if found is not None for row in found.rows])
    console.following("worldloom demo" if card is None else "worldloom run FOLDER")
    missed = [row for row in (card.rows if card else []) if row.verdict == "missed"]
    if missed:
        console.warn(f"{len(missed)} figures miss their target: {', '.join(row.key for row in missed)}")
    if any(found is not None and found.failures for found in (card, on_real)):
        raise typer.Exit(1)


def _real_command(place: Path) -> str:
    return f"worldloom scorecard --clips 0 --real {shlex.quote(str(place))}"


def _show(card: Scorecard) -> None:
    console.table(
        ["annotator", "measure", "scored on", "value", "quartiles", "target", "verdict", "n", "accepted"],
        [
            [
                row.annotator,
                row.measure,
                row.truth,
                "-" if row.value is None else f"{row.value:.4g} {row.unit}".strip(),
                "" if row.quartiles is None else f"{row.quartiles[0]:.3g} .. {row.quartiles[1]:.3g}",
                row.target,
                row.verdict if row.target else "",
                f"{row.n} {row.of}",
                "" if row.accepted is None else f"{row.accepted:.4g}",
            ]
            for row in card.rows
        ],
        title=f"label truth: {card.command}",
    )
    for name, failure in card.failures.items():
        console.error(f"{name}: could not be scored: {failure}")
