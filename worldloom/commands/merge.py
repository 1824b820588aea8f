"""`worldloom merge`."""

from __future__ import annotations

from typing import Annotated

import typer

from worldloom import console


def merge(
    datasets: Annotated[list[str], typer.Argument(metavar="DATASET DATASET...", help="Datasets, or folders of runs.")],
    out: Annotated[str, typer.Option("--out", help="Where the new dataset goes; a folder or s3://bucket/prefix.")],
    prefer: Annotated[
        str | None, typer.Option(help="The dataset whose clip is taken where one key has different bytes.")
    ] = None,
) -> None:
    """Unite datasets into a new one; a clip that several have is kept once."""
    from worldloom.commands.places import dataset_of, place_of, sole_editor

    places = [dataset_of(place_of(one)) for one in datasets]
    from worldloom.catalogs.merge import merge as unite

    target = place_of(out)
    with sole_editor(target):
        done = unite(places, target, prefer=None if prefer is None else dataset_of(place_of(prefer)))
    made = done.manifest
    console.say(f"dataset: {target}, manifest {made.number}: {made.samples} clips in {len(made.shards)} shards")
    if done.twice:
        console.say(f"{done.twice} clips were in more than one dataset and are kept once")
    if done.left_out:
        console.say(f"{done.left_out} clips stay out: one of the datasets has taken them down")
    if done.astride:
        console.warn(
            f"{done.astride} sources have clips in more than one split now: a model would be tested on what it was "
            "trained on; run one job over both sources to split them anew"
        )
    console.following(f"worldloom verify {out}")
