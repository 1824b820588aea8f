"""Questions about a ledger on disk, in SQL: counts and sums over millions of rows without one Python object each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worldloom.catalogs.storage import Store

if TYPE_CHECKING:
    import duckdb

_LATEST = (
    "CREATE VIEW latest AS SELECT * FROM known QUALIFY row_number() OVER "
    "(PARTITION BY item, operation, recipe, source ORDER BY sequence DESC) = 1"
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
    with duckdb.connect(config={"threads": 1}) as connection:
        if names:
            files = connection.read_parquet([str(store.local(name)) for name in names])
            files.create_view("known")
        else:
            connection.register("known", SCHEMA.empty_table())
        connection.execute(_LATEST)
        connection.execute(_CLIPS)
        yield connection


def lost_reasons(store: Store) -> dict[tuple[str, str], int]:
    """Rows by (status, reason) that `--retry` can name: those dropped by ingest, and those that failed."""
    with ledger_rows(store) as connection:
        found = connection.sql(
            "SELECT status, reason, count(*) FROM (SELECT * FROM known QUALIFY row_number() OVER "
            "(PARTITION BY item, operation ORDER BY sequence DESC) = 1) "
            "WHERE status = 'failed' OR (status = 'dropped' AND operation = 'ingest') GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return {(status, reason): count for status, reason, count in found}
