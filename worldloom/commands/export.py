"""`worldloom export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from worldloom import console
from worldloom.catalogs.errors import UsageError


def export(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="A dataset, or the folder of a run; also s3://bucket/prefix.")
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Of the format, e.g. every=4; see docs/export.md"),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="colmap, nerfstudio, tum, realestate10k, plucker, hydra12, lerobot."
        ),
    ] = "",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder that is not there yet.")] = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Only these clips, e.g. \"pose.scale = 'metric'\".")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N clips.")] = None,
    allow_unknown_licence: Annotated[
        bool, typer.Option("--allow-unknown-licence", help="Also clips whose licence nobody stated.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Clips worked on at once.")] = 1,
) -> None:
    """Write clips in the files that other programs read: COLMAP, nerfstudio, TUM, LeRobot, ..."""
    if not to or out is None:
        raise UsageError("say what and where: --to colmap --out DIR (see docs/export.md for the formats)")
    from worldloom.commands.places import dataset_of, place_of

    place = dataset_of(place_of(dataset))
    from worldloom.catalogs.exports.export import export as write

    with console.StageProgress() as progress:
        progress.start("export", limit)
        done = write(
            place,
            to,
            out,
            options=_options(options or []),
            where=where,
            split=split,
            limit=limit,
            allow_unknown_licence=allow_unknown_licence,
            overwrite=overwrite,
            workers=workers,
            advance=lambda: progress.advance("export"),
        )
        progress.finish("export")
    rows = [["exported", "", len(done.clips)], *(["skipped", reason, count] for reason, count in done.reasons.items())]
    console.table(["clips", "reason", "count"], [["in", "", len(done.clips) + len(done.skipped)], *rows])
    console.say(f"wrote {out}; export.json says what became of each clip, provenance.json where it comes from")
    console.following(done.following)


def _options(texts: list[str]) -> dict[str, Any]:
    import yaml

    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"'{text}': expected key=value, e.g. every=4")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"'{text}': the value is not YAML ({error})") from None
    return options
