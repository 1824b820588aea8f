"""`worldloom inspect`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldloom import console

if TYPE_CHECKING:
    from worldloom.report.site.write import Site


def inspect(
    where: Annotated[str, typer.Argument(metavar="OUT|DATASET", help="The folder of a run, or a dataset.")],
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="The page of one clip only.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "--page", help="Folder to write; default OUT/inspect, or one here if OUT is s3://."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="OUT|DATASET", help="Compare with it; DATASET@3 is its manifest 3.")
    ] = None,
    pages: Annotated[int, typer.Option(min=0, help="Pages of single clips at most.")] = 200,
    rerun: Annotated[bool, typer.Option("--rerun", help="With KEY: a Rerun recording (.rrd) as well.")] = False,
) -> None:
    """Write pages to browse: funnel, quarantine, gallery with filters, every clip, and what differs from another."""
    from worldloom.catalogs.errors import UsageError
    from worldloom.commands.places import dataset_of, is_run, place_of

    place = place_of(where)
    if not is_run(place):
        dataset_of(place)
    if rerun and key is None:
        raise UsageError("--rerun is for one clip: give its KEY")
    folder = out or (place / "inspect" if isinstance(place, Path) else Path(f"inspect-{_name(place)}"))
    if folder.is_file():
        raise UsageError(f"{folder}: is a file; --out takes a folder")
    with console.StageProgress() as progress:
        if key is not None:
            from worldloom.report.site.write import write_one_page

            page = write_one_page(place, folder, key, progress)
            console.say(f"wrote {page} ({console.size(page.stat().st_size)}); open it in a browser")
            if rerun:
                _record(place, key, page)
        else:
            from worldloom.report.site.write import write_site

            _say(write_site(place, folder, progress, against=against, pages=pages), str(place))
    console.following(f"worldloom verify {place}" if _is_packed(place) else f"worldloom status {place} --all")


def _is_packed(place: Path | str) -> bool:
    from worldloom.catalogs.errors import UsageError
    from worldloom.commands.places import dataset_of

    try:
        dataset_of(place)
    except UsageError:
        return False
    return True


def _say(site: Site, place: str) -> None:
    console.say(f"wrote {site.index}; open it in a browser")
    made = f"; {site.pages} have a page of their own"
    console.say(f"{site.clips} clips, frames of {site.decoded} decoded{made if site.clips else ''}")
    if site.pages < site.clips and not site.troubles:
        console.say(f"the page of another clip: worldloom inspect {place} KEY; of more: --pages {site.clips}")
    for reason, count in sorted(site.troubles.items()):
        console.warn(f"{count} clips or pages: {reason}: {site.said.get(reason, '')}")


def _record(place: Path | str, key: str, page: Path) -> None:
    from worldloom.report.site.write import record_one

    path = record_one(place, page.with_suffix(".rrd"), key)
    console.say(f"wrote {path} ({console.size(path.stat().st_size)}); open it with: rerun {path}")


def _name(place: str) -> str:
    """Last part of an address, as the name of a folder here."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", place.rstrip("/").rsplit("/", 1)[-1]).strip("-.") or "dataset"
