"""What compose left out, clip by clip: `dropped.parquet` in the working folder, for people and pages to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.known import KnownClips
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.segments import write_table

DROPPED = "dropped.parquet"

SCHEMA = pa.schema([("key", pa.string()), ("uri", pa.string()), ("reason", pa.string()), ("told", pa.string())])
"""`told` is JSON: the figures that a condition failed on, or the clip that a duplicate is the `same_as`."""


def dropped_table(clips: KnownClips, reasons: Mapping[int, str], told: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """A row per dropped clip, in the order of the clips.

    Args:
        clips: of the job.
        reasons: by number of the clip.
        told: by number of the clip, plain JSON values.
    """
    numbers = np.array(sorted(reasons), np.int64)
    some = clips.table.select(["key", "uri"]).take(pa.array(numbers))
    columns = {
        "key": some["key"],
        "uri": some["uri"],
        "reason": [reasons[number] for number in numbers.tolist()],
        "told": [json.dumps(told.get(number, {})) for number in numbers.tolist()],
    }
    return pa.table(columns, schema=SCHEMA)


def write_dropped(layout: Layout, table: pa.Table) -> None:
    """Keep what this run left out, in place of what the last one did."""
    write_table(layout.store, DROPPED, table)


def read_dropped(layout: Layout) -> pa.Table:
    """Columns of `SCHEMA`; no rows where compose has not run yet.

    Raises:
        BadInput: `bad_dropped`, the file is damaged.
    """
    try:
        return pq.read_table(layout.store.local(DROPPED)).cast(SCHEMA)
    except FileNotFoundError:
        return SCHEMA.empty_table()
    except (pa.ArrowException, OSError, ValueError) as error:
        where = f"{layout.out}/{DROPPED}"
        raise BadInput("bad_dropped", f"cannot be read ({error})", where=where, remedy="Delete it.") from None
