"""`worldloom verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from worldloom import console


def verify(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="A dataset, or the folder of a run; also s3://bucket/prefix.")
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Digests and counts only; do not open every member.")] = False,
) -> None:
    """Check every shard of a dataset: digests, counts, contiguity, each member, the catalog, and splits for leaks."""
    from worldloom.commands.places import dataset_of, place_of

    place = dataset_of(place_of(dataset))
    from worldloom.catalogs.origins import named_splits
    from worldloom.catalogs.verify import verify as examine

    report = examine(place, deep=not quick)
    console.say(f"{place}: {report.shards} shards, {report.samples} samples")
    for problem in report.problems:
        console.error(str(problem))
    for line in named_splits(report.leaks):
        console.warn(line)
    if report.problems:
        console.say(f"{len(report.problems)} problems; the same job run again rebuilds shards from its working folder")
        raise typer.Exit(1)
    console.say("no problems" if not report.leaks else "no problems, but the splits leak")
    console.following(f"worldloom inspect {dataset}")
