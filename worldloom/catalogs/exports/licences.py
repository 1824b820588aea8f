"""What an export may hold, and where each clip of it comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.licences import is_stated

_MOST_NAMED = 5


def is_unknown(licence: str | None) -> bool:
    """Whether it says nothing about what one may do."""
    return not is_stated(licence)


def refuse_unknown(table: pa.Table) -> None:
    """Refuse clips whose licence nobody stated.

    Args:
        table: rows of a catalog.

    Raises:
        UsageError: how many they are, and of which sources.
    """
    sources = table["source"].to_pylist()
    unknown = [source for source in sources if is_unknown(source["licence"])]
    if not unknown:
        return
    counts = Counter(f"{source['kind']} {source['uri']}" for source in unknown)
    named = [f"{one[:120]} ({count})" for one, count in counts.most_common(_MOST_NAMED)]
    more = len(counts) - len(named)
    raise UsageError(
        f"{len(unknown)} of {len(sources)} clips have no known licence: {', '.join(named)}"
        + (f" and {more} sources more" if more else "")
        + "; state it in the job (licence: of the source) and run it again, leave these clips out with --where, or, if "
        "you know that you may, add --allow-unknown-licence"
    )


def write_provenance(path: Path, table: pa.Table) -> None:
    """Write where each clip comes from, by key.

    Args:
        path: of the JSON.
        table: rows of a catalog.
    """
    columns = ("key", "source", "parents", "operations")
    rows = table.select([name for name in columns if name in table.column_names]).to_pylist()
    told: dict[str, Any] = {row.pop("key"): {**row.pop("source"), **row} for row in rows}
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def by_licence(licences: Iterable[str | None]) -> dict[str, int]:
    """How many clips each licence covers; `unknown` where none is stated."""
    counts = Counter("unknown" if is_unknown(one) else str(one) for one in licences)
    return dict(sorted(counts.items()))
