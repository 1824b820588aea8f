"""`worldloom inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worldloom import console


def inspect(
    where: Annotated[str, typer.Argument(metavar="OUT|DATASET", help="The folder of a run, or a dataset.")],
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="One clip only.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="Where to write; default inspect.html in OUT, or here if OUT is s3://.")
    ] = None,
) -> None:
    """Draw a page of what is in a run or a dataset: pictures, paths, labels, events, depth."""
    from worldloom.commands.places import dataset_of, is_run, place_of

    place = place_of(where)
    if not is_run(place):
        dataset_of(place)
    from worldloom.report.inspect_page import write_inspect

    name = f"inspect-{key}.html" if key else "inspect.html"
    target = page or (place / name if isinstance(place, Path) else Path(name))
    write_inspect(place, target, key=key)
    console.say(f"wrote {target} ({console.size(target.stat().st_size)}); open it in a browser")
    console.following(f"worldloom verify {place}")
