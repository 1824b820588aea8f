"""`worldloom status`."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldloom import console

if TYPE_CHECKING:
    from worldloom.pipeline.ledger import Entry
    from worldloom.pipeline.standing import Line, Snapshot
    from worldloom.pipeline.workspace import Workspace

WATCH_S = 2.0
SAID = 240
"""Characters of an error that are shown as an example."""
BAR = 6
"""Characters of a bar; the table stays within 80 columns."""


def status(
    where: Annotated[str, typer.Argument(metavar="OUT", help="The folder of a run.")],
    every: Annotated[bool, typer.Option("--all", help="Every lost row, not one example per reason.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds while the run is at work.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    inputs: Annotated[Path | None, typer.Option("--inputs", help="Write a CSV with a row per input here.")] = None,
) -> None:
    """Where a run stands: how far it is while it works; what was lost and why, and what is packed, when it does not."""
    from worldloom.commands.places import place_of, run_at
    from worldloom.pipeline.standing import read_standing

    place = run_at(place_of(where))
    if inputs is not None:
        from worldloom.pipeline.availability import write_availability
        from worldloom.pipeline.workspace import Workspace

        console.say(f"{inputs}: {write_availability(Workspace(place), inputs)} inputs, with what became of each")
        return
    found = read_standing(place)
    while found is not None and found.alive and not as_json:
        if watch:
            console.clear()
        print_standing(found)
        if not watch:
            _say_how_to_look_on(place, every)
            break
        time.sleep(WATCH_S)
        found = read_standing(place)
    running = found is not None and found.alive
    if running and not (every or as_json):
        return
    from worldloom.pipeline.workspace import Workspace

    if as_json:
        # A running job is not asked for its tables: with many clips that takes longer than its state stays true.
        space = None if running else Workspace(place)
        console.say(json.dumps(_as_json(found, space), indent=1))
        return
    space = Workspace(place)
    print_lost(space, every)
    print_dropped(space, every)
    if not running:
        from worldloom.commands.funnel import print_summary

        if found is not None:
            _say_how_it_ended(found, place)
        print_summary(space.summary())


def print_standing(found: Snapshot) -> None:
    """A line per pass and operation of a run at work."""
    age = console.duration(found.written - found.started)
    console.say(f"running: process {found.pid} on {found.host}, for {age}; {found.rows} rows done in this run")
    if not found.lines:
        console.say("nothing has started yet: it is looking at its sources and its ledger")
        return
    console.table(
        ["pass", "", "done", "none", "failed", "at work", "rows/s", "left"],
        [_standing_row(line) for line in found.lines],
    )
    console.say("none: dropped by a pass, or absent, an answer of an operation; rows of earlier runs are not counted")


def _standing_row(line: Line) -> list[object]:
    left = "" if line.seconds_left is None else console.duration(line.seconds_left)
    return [
        f"  {line.name}" if line.part_of else line.name,
        _bar(line),
        line.done if line.due is None else f"{line.done}/{line.due}",
        line.dropped + line.absent,
        line.failed,
        f"<={line.running}" if line.running else "",
        f"{line.rate or line.rate_overall:.3g}",
        "done" if line.state == "done" else left,
    ]


def _bar(line: Line) -> str:
    share = 1.0 if line.state == "done" else line.done / line.due if line.due else 0.0
    full = round(BAR * min(share, 1.0))
    return "#" * full + "." * (BAR - full)


def _say_how_to_look_on(out: Path | str, every: bool) -> None:
    if not every:
        console.following(f"worldloom status {out} --watch")


def _say_how_it_ended(found: Snapshot, out: Path | str) -> None:
    resume = f"the same command resumes, or: worldloom run {out}/job.yaml"
    if found.ended is None:
        ago = console.duration(max(time.time() - found.written, 0))
        console.warn(f"stopped: process {found.pid} on {found.host} is gone, last heard of {ago} ago; {resume}")
        return
    ago = console.duration(max(time.time() - found.ended, 0))
    if found.how == "interrupted":
        console.warn(f"interrupted {ago} ago, {found.rows} rows done in that run; {resume}")
    elif found.how == "failed":
        console.warn(f"failed {ago} ago ({found.said}), {found.rows} rows done in that run; {resume}")
    else:
        took = console.duration(found.ended - found.started)
        console.say(f"the last run ended {ago} ago and took {took}; {found.rows} rows")


def print_lost(space: Workspace, every: bool) -> None:
    """Why rows were lost: an example per reason, or every row; failed ones with the command that tries one alone."""
    from worldloom.commands.funnel import here
    from worldloom.pipeline.quarantine import case_name

    groups: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for row in space.problems():
        groups[row.operation, row.status, row.reason].append(row)
    for (operation, ended, reason), rows in sorted(groups.items(), key=lambda group: (group[0], -len(group[1]))):
        console.say(f"{operation}: {len(rows)} {ended}, {reason or 'unnamed'}")
        for row in rows if every else rows[:1]:
            console.say(f"  {_said(row, whole=every)}")
            file = case_name(row.operation, row.item)
            if space.layout.store.exists(file):
                console.say(f"  alone: worldloom annotate {here(space.out)}/{file}")
    if any(len(rows) > 1 for rows in groups.values()) and not every:
        console.say(f"every lost row: worldloom status {here(space.out)} --all")
    failed = sorted({reason for (_, ended, reason) in groups if ended == "failed"})
    if failed:
        console.say(f"try them again: --retry {' --retry '.join(failed)}, or --retry failed for all")


def print_dropped(space: Workspace, every: bool) -> None:
    """Why compose left clips out, with the figures they failed on or the clip they are a copy of."""
    from worldloom.pipeline.passes.dropped import read_dropped

    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_dropped(space.layout).to_pylist():
        groups[row["reason"]].append(row)
    for reason, rows in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        console.say(f"compose: {len(rows)} dropped, {reason}")
        for row in rows if every else rows[:1]:
            told = ", ".join(f"{name} {_shown(value)}" for name, value in json.loads(row["told"]).items())
            console.say(f"  {row['key']} ({row['uri']})" + (f": {told}" if told else ""))


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _said(row: Entry, *, whole: bool) -> str:
    """Item and error; what a dying process said last can be a page long, and is in the file of the row as well."""
    from worldloom.pipeline.sources.source import kind_and_uri

    item = kind_and_uri(row.item)[1]
    error = row.error.removeprefix(f"{item}: ") or "nothing was said"
    lines = error.splitlines()
    if not whole and (len(lines) > 1 or len(error) > SAID):
        error = lines[0][:SAID] + " ..."
    return f"{item}: {error}"


def _as_json(found: Snapshot | None, space: Workspace | None) -> dict[str, Any]:
    values: dict[str, Any] = {"running": bool(found and found.alive), "standing": found and found.as_json()}
    if space is not None:
        from worldloom.pipeline.passes.dropped import read_dropped

        summary = space.summary()
        lost = [
            {name: getattr(row, name) for name in ("item", "operation", "status", "reason", "error", "attempts")}
            for row in space.problems()
        ]
        values |= {
            "tables": [vars(tally) for tally in summary.tables],
            "dataset": None if summary.dataset is None else str(summary.dataset),
            "manifest": summary.manifest,
            "exit_code": summary.exit_code,
            "notes": list(summary.notes),
            "lost": lost,
            "dropped": [{**row, "told": json.loads(row["told"])} for row in read_dropped(space.layout).to_pylist()],
        }
    return values
