"""Questions about a ledger on disk, in SQL: counts and sums over millions of rows without one Python object each."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import Store

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "1GB"
"""Of one question; beyond it DuckDB spills to the machine's temporary folder (default ours)."""
_LATEST = (
    "CREATE VIEW latest AS SELECT * FROM known SEMI JOIN "
    "(SELECT max(sequence) AS sequence FROM known GROUP BY item, operation, recipe, source) USING (sequence)"
)
_CLIPS = (
    "CREATE VIEW clips AS SELECT item, recipe, source, clip.key AS key, clip.bytes AS bytes, "
    "clip.row.frames AS frames, clip.row.seconds AS seconds FROM (SELECT item, recipe, source, "
    "unnest(from_json(json_extract(told, '$.clips'), "
    '\'[{"key":"VARCHAR","bytes":"BIGINT","row":{"frames":"BIGINT","seconds":"DOUBLE"}}]\')) AS clip '
    "FROM latest WHERE operation = 'ingest' AND status = 'ok')"
)


@contextmanager
def ledger_rows(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which `known` is every row of the ledger and `latest` the last one of each identity;
    `clips` are those of ingested videos: item, recipe and source of the video, key, bytes, frames, seconds.

    Rows that are not flushed yet are not among them.

    Args:
        store: of the working folder.
    """
    import duckdb

    from worldloom.pipeline.ledger import SCHEMA

    names = sorted(name for name in store.names("ledger") if name.endswith(".parquet"))
    settings: dict[str, Any] = {"threads": 2, "memory_limit": MEMORY_LIMIT, "temp_directory": spill_folder()}
    with duckdb.connect(config=settings) as connection:
        if names:
            files = connection.read_parquet([_plain(str(store.local(name))) for name in names])
            files.create_view("known")
        else:
            connection.register("known", SCHEMA.empty_table())
        connection.execute(_LATEST)
        connection.execute(_CLIPS)
        yield connection


def spill_folder() -> str:
    """Where DuckDB puts what does not fit in memory; made by it, and gone with the connection."""
    return str(Path(tempfile.gettempdir(), f"worldloom-rows-{os.getpid()}-{uuid.uuid4().hex[:8]}"))


def _plain(path: str) -> str:
    """A path in which nothing is a pattern to DuckDB."""
    return re.sub(r"[\[*?]", lambda found: f"[{found[0]}]", path)


def lost_reasons(store: Store) -> dict[tuple[str, str], int]:
    """Rows by (status, reason) that `--retry` can name: those dropped by ingest, and those that failed."""
    with ledger_rows(store) as connection:
        found = connection.sql(
            "SELECT status, reason, count(*) FROM (SELECT * FROM known QUALIFY row_number() OVER "
            "(PARTITION BY item, operation ORDER BY sequence DESC) = 1) "
            "WHERE status = 'failed' OR (status = 'dropped' AND operation = 'ingest') GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return {(status, reason): count for status, reason, count in found}


def explain_retry(store: Store, reasons: Collection[str]) -> list[str]:
    """Notes on reasons to retry that no row has, told before the work begins.

    Args:
        store: of the working folder.
        reasons: as given by `--retry`.

    Raises:
        UsageError: a reason that no row has, but that is spelt nearly like one that some have.
    """
    if not reasons:
        return []
    counts: Counter[str] = Counter()
    for (_, reason), count in lost_reasons(store).items():
        counts[reason] += count
    there = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    notes = []
    for reason in sorted(set(reasons) - set(counts)):
        close = difflib.get_close_matches(reason, list(counts), n=1, cutoff=0.7)
        if close:
            raise UsageError(f"--retry {reason}: no row has this reason; did you mean '{close[0]}'? Lost rows: {there}")
        found = f"lost rows: {there}" if there else "nothing failed or was dropped"
        notes.append(f"--retry {reason}: no row has this reason ({found})")
    return notes
