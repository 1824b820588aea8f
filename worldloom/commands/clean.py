"""`worldloom clean`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from worldloom import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worldloom.pipeline.clean import BroughtBack

_MOST_SHOWN = 5


def clean(
    where: Annotated[str, typer.Argument(metavar="OUT", help="The folder of a run.")],
    clips: Annotated[
        bool, typer.Option("--clips", help="Also ingested videos that the dataset holds as well.")
    ] = False,
    downloads: Annotated[bool, typer.Option("--downloads", help="Also what sources have fetched.")] = False,
    manifests: Annotated[
        int | None, typer.Option(min=1, metavar="KEEP", help="Also manifests but the newest KEEP, and their shards.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking; without it, a list.")] = False,
    back: Annotated[bool, typer.Option("--bring-back", help="Copy clips out of the dataset again.")] = False,
) -> None:
    """Free the space of what packing has made redundant. The same job run again afterwards has nothing to do."""
    from worldloom.commands.funnel import here
    from worldloom.commands.places import place_of, run_at, sole_editor
    from worldloom.pipeline.clean import bring_back, find_redundant, remove_redundant
    from worldloom.pipeline.clean_downloads import downloads_of
    from worldloom.pipeline.layout import Layout
    from worldloom.pipeline.lock import Lock

    out = run_at(place_of(where))
    layout = Layout(out)
    with Lock(layout.out), sole_editor(layout.dataset):
        if back:
            done = bring_back(layout)
            _say_what_came_back(done)
            console.following(f"worldloom run {here(out)}/job.yaml")
            if done.lost or done.damaged:
                raise typer.Exit(1)
            return
        found = find_redundant(layout, clips=clips, downloads=downloads, manifests=manifests)
        if found.kinds:
            rows = [[kind.kind, len(kind.files), console.size(kind.bytes), kind.why] for kind in found.kinds]
            console.table(["what", "files", "size", "why it can go"], rows)
        for note in found.notes:
            console.say(note)
        if not downloads and (fetched := list(downloads_of(layout))):
            size = sum((layout.downloads().parent / name).stat().st_size for name in fetched)
            console.say(f"{console.size(size)} of downloads stay: no clip needs them any more; --downloads takes them")
        if not found.kinds and not found.stale:
            console.say("nothing to remove")
            console.following(f"worldloom status {here(out)}")
            return
        if not yes and not _asked(console.size(found.bytes)):
            asked = {"--clips": clips, "--downloads": downloads, f"--manifests {manifests}": manifests}
            words = [word for word, given in asked.items() if given]
            console.say(f"nothing was removed; {console.size(found.bytes)} could be")
            console.following(" ".join(["worldloom clean", str(here(out)), *words, "--yes"]))
            return
        remove_redundant(layout, found)
    console.say(f"removed {console.size(found.bytes)}")
    console.following(f"worldloom verify {here(out)}")


def _say_what_came_back(done: BroughtBack) -> None:
    console.say(f"{done.clips} clips were copied back from the dataset")
    if done.taken_down:
        console.say(f"{len(done.taken_down)} clips were taken down and stay away: {_some(done.taken_down)}")
    if done.lost:
        console.error(
            f"{len(done.lost)} clips are in no manifest any more: {_some(done.lost)}; they are ingested again "
            "once the file of their source has another time (`touch`)"
        )
    for key, problem in done.damaged.items():
        console.error(f"clip {key} is still away: {problem}")


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_MOST_SHOWN]) + (f" and {len(keys) - _MOST_SHOWN} more" if len(keys) > _MOST_SHOWN else "")


def _asked(size: str) -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and typer.confirm(f"Remove {size}?")
