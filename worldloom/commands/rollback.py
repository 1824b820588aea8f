"""`worldloom rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from worldloom import console


def rollback(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A dataset, or the folder of a run.")],
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="Of the manifest to go back to; default the one before.")
    ] = None,
) -> None:
    """Make an older state of a dataset the dataset again; what was taken down never comes back."""
    from worldloom.commands.places import dataset_of, place_of, sole_editor

    place = dataset_of(place_of(dataset))
    from worldloom.catalogs.edits import rollback as go_back
    from worldloom.catalogs.manifest import latest

    with sole_editor(place):
        before = latest(place)
        made = go_back(place, number)
    if made.number == before.number:
        console.say(f"{place}: manifest {before.number} has these files already; nothing was changed")
    else:
        console.say(
            f"dataset: {place}, manifest {made.number} (committed): the {made.samples} clips of manifest "
            f"{made.notes['rolled_back_to']}; {before.samples} before"
        )
    console.following(f"worldloom verify {dataset}")
