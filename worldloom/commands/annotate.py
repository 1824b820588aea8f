"""`worldloom annotate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def annotate(
    place: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="One video, or a folder of images.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; default runs/annotate/<name>.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, help="Frame rate of a folder of images (default 16).")] = None,
    height: Annotated[int, typer.Option(min=16, help="Pixels, at most.")] = 480,
    only: Annotated[str | None, typer.Option(metavar="NAMES", help="Some annotators, by comma.")] = None,
) -> None:
    """Label one video or image folder, without a job: arrays and a picture."""
    raise NotImplementedError
