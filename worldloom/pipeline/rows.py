"""Questions about a ledger on disk, in SQL: counts and sums over millions of rows without one Python object each."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.catalogs.storage import Store
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import SCHEMA
from worldloom.pipeline.segments import Segments

if TYPE_CHECKING:
    import duckdb

_Found = TypeVar("_Found")
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


def find_in_rows(store: Store, question: Callable[[duckdb.DuckDBPyConnection], _Found]) -> _Found:
    """What a question finds out, as `ledger_rows` answers it; asked again where a driver compacts meanwhile.

    Args:
        store: of the working folder.
        question: may be asked more than once.
    """

    def ask(connection: duckdb.DuckDBPyConnection) -> _Found:
        _create_views(connection)
        return question(connection)

    return _segments(store).find(ask)


@contextmanager
def ledger_rows(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which `known` is every row of the ledger and `latest` the last one of each identity;
    `clips` are those of ingested videos: item, recipe and source of the video, key, bytes, frames, seconds.

    Rows that are not flushed yet are not among them. For who holds the folder's lock; others take `find_in_rows`.

    Args:
        store: of the working folder.

    Raises:
        WorldloomError: a segment is damaged, or the disk fails or is full.
    """
    import duckdb

    try:
        with _segments(store).connected() as connection:
            _create_views(connection)
            yield connection
    except duckdb.IOException as error:
        said = str(error).partition("\n")[0]
        raise WorldloomError(
            f"{store.place}: the ledger cannot be read or written ({said}); mend that and run the same command again"
        ) from None


def lost_reasons(store: Store) -> dict[tuple[str, str], int]:
    """Rows by (status, reason) that `--retry` can name: those dropped by ingest, and those that failed.

    With the recipes a job had before: it may have gone back to one.
    """
    found = find_in_rows(
        store,
        lambda connection: connection.sql(
            "SELECT status, reason, count(*) FROM latest "
            "WHERE status = 'failed' OR (status = 'dropped' AND operation = 'ingest') GROUP BY ALL ORDER BY ALL"
        ).fetchall(),
    )
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


def was_interrupted(error: BaseException) -> bool:
    """Whether an error is Ctrl-C; DuckDB tells it in its own words where it comes during a query."""
    return isinstance(error, KeyboardInterrupt) or (
        type(error) is RuntimeError and str(error).startswith("Query interrupted")
    )


def _segments(store: Store) -> Segments:
    return Segments(Layout(store.place), SCHEMA)


def _create_views(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_LATEST)
    connection.execute(_CLIPS)
