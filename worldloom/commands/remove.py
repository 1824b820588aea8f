"""`worldloom remove`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from worldloom import console

_MOST_SHOWN = 20


def remove(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A dataset, or the folder of a run.")],
    named: Annotated[
        list[str],
        typer.Argument(metavar="KEY|URI|sha256:HEX...", help="Clips by key, or all that came from a source."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete the files of older manifests that hold these clips.")
    ] = False,
) -> None:
    """Take clips down, and what was derived from them; no later run brings them back."""
    from worldloom.commands.places import dataset_of, place_of, sole_editor

    place = dataset_of(place_of(dataset))
    from worldloom.catalogs.edits import remove as take_down

    with nullcontext() if dry_run else sole_editor(place):
        done = take_down(place, named, dry=dry_run, purge=purge)
    will = "would go" if dry_run else "taken down"
    if not done.keys and done.listed:
        will = "would be" if dry_run else "is"
        console.say(f"the dataset holds nothing of it now; it {will} on the list of what never comes back")
    elif not done.keys:
        console.say("nothing to take down: all of it is gone already")
    else:
        console.say(f"{len(done.keys)} clips {will}, out of {len(done.shards)} shards:")
        for key in done.keys[:_MOST_SHOWN]:
            console.say(f"  {key}")
        if len(done.keys) > _MOST_SHOWN:
            console.say(f"  and {len(done.keys) - _MOST_SHOWN} more")
    for name in done.purged:
        console.say(f"{'would delete' if dry_run else 'deleted'} {name}")
    if dry_run:
        console.following(f"worldloom remove {dataset} {' '.join(named)}{' --purge' if purge else ''}")
        return
    console.say(f"dataset: {place}, manifest {done.manifest} ({'committed' if done.committed else 'unchanged'})")
    if not purge:
        console.say("older manifests keep their files; the same command with --purge deletes those that held the clips")
    console.following(f"worldloom verify {dataset}")
