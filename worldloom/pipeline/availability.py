"""What became of every input of a job: which addresses are gone, which videos have no frame for a row, which are clips.

One CSV, a row per input in the order of the sources, for a person with a spreadsheet or `duckdb`.
"""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterator
from pathlib import Path

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.sources.source import kind_and_uri
from worldloom.pipeline.workspace import Workspace

COLUMNS = ("source", "uri", "status", "reason", "clips", "attempts", "at", "said")
"""Kind of the source, name of the input in it; `ok`, `dropped`, `failed` or `waiting`; slug; clips that it became; how
often it was tried; when, ISO 8601 in UTC; the sentence."""


def availability(space: Workspace) -> Iterator[tuple[str | int, ...]]:
    """Values of `COLUMNS` for every input.

    Args:
        space: working folder of the job.
    """
    for rows in space.inputs():
        for row in rows.to_pylist():
            kind, uri = kind_and_uri(row["item"])
            if row["status"] is None:
                yield kind, uri, "waiting", "", 0, 0, "", ""
                continue
            clips = len(json.loads(row["told"] or "{}").get("clips", ()))
            at = datetime.datetime.fromtimestamp(int(row["at"]), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            said = (row["error"] or "").removeprefix(f"{uri}: ")
            yield kind, uri, row["status"], row["reason"] or "", clips, row["attempts"], at, said


def write_availability(space: Workspace, path: Path) -> int:
    """Write the table; how many inputs it has.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            count = 0
            for row in availability(space):
                writer.writerow(row)
                count += 1
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    return count
