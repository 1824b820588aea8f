"""`worldloom annotate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worldloom import console
from worldloom.catalogs.errors import UsageError

DEADLINE_S = 3600.0
MEMORY_MB = 8000


def annotate(
    place: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER", help="One video, a folder of images, or a file of OUT/quarantine to do again."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where to write; default runs/annotate/<name>.")] = None,
    fps: Annotated[float, typer.Option(min=0.1, help="Of a folder of images; a video keeps its own.")] = 16.0,
    height: Annotated[int, typer.Option(min=16, help="Pixels, at most.")] = 480,
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these annotators, and what they need.")
    ] = None,
) -> None:
    """Label one video or image folder, without a job: arrays and a picture per shot.

    Given a file of OUT/quarantine, it does that one failed piece of work again, alone, and shows all it says.
    """
    if place.endswith(".json"):
        _again(place)
        return
    path = Path(place)
    if not path.exists():
        raise UsageError(f"{place}: no such file or folder")
    from worldloom.pipeline.chain import with_needed

    names = with_needed(name.strip() for name in only.split(",")) if only else with_needed()
    target = out or Path("runs/annotate") / (path.resolve().stem or "clip")
    from worldloom.catalogs.sandbox import Child, Limits

    limits = Limits(deadline_s=DEADLINE_S, memory_mb=MEMORY_MB, recycle_after=1)
    child = Child("worldloom.pipeline.single:annotate_one", limits)
    try:
        with console.step(f"label {place} with {', '.join(names)}"):
            found = child.call(
                {"place": str(place), "out": str(target), "names": names, "height": height, "fps": str(fps)}
            )
    finally:
        child.close()
    console.table(
        ["clip", "frames", "annotator", "answer", "CPU seconds"],
        [
            [clip["key"], clip["frames"], name, f"{status}: {reason}" if reason else status, clip["seconds"].get(name)]
            for clip in found
            for name, (status, reason) in clip["annotations"].items()
            if name in names
        ],
    )
    pictures = [_draw(clip["key"], target) for clip in found]
    console.say(f"arrays: {target}/<clip>.camera.npz and so on")
    for picture in pictures:
        console.say(f"picture: {picture}")
    console.following("worldloom run FOLDER" if path.is_dir() else f"worldloom run {path.parent}")


def _again(place: str) -> None:
    from worldloom.pipeline.again import describe, do_again, is_case

    if not is_case(place):
        raise UsageError(f"{place}: neither a video nor a file of OUT/quarantine/<operation>/")
    with console.step(f"do {Path(place).stem} again"):
        repeat = do_again(place)
    console.table(["", Path(place).parent.name], [list(line) for line in describe(repeat)])
    if not repeat.mended:
        console.say(repeat.ending.error)
        console.say(repeat.ending.trace)
        raise typer.Exit(1)
    console.following(repeat.following)


def _draw(key: str, out: Path) -> Path:
    from worldloom.pipeline.single import read_members
    from worldloom.report.picture import annotate_picture

    return annotate_picture(read_members(key, out), out / f"{key}.png")
