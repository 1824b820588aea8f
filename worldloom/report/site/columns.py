"""Rows of a catalog as compact columns for a page: what one filters by, what one counts, and how DuckDB calls it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

from worldloom.report.cards import ORDER
from worldloom.report.collection import file_stem
from worldloom.report.site.look import shortened
from worldloom.report.site.looks import Look
from worldloom.report.title import title_from

Row = Mapping[str, Any]

PLAIN = ("seconds", "frames", "fps", "height", "width")
"""Figures of a clip itself."""
FIRST = (
    "seconds",
    "quality.sharpness",
    "pose.confidence",
    "revisits.density",
    "events.pairs",
    "actions.uncertain_share",
)
"""Figures that are shown first (ours): what one most often chooses clips by."""
NOT_OPERATIONS = ("source", "attributes", "crc32")
"""Columns that hold a structure and are no operation's answer."""
_WHO = ("status", "method", "version", "reason", "notes")
_NEVER = {"source": ("kind", "uri", "licence", "sha256", "retrieved_at", "stream")}
"""Of a structure, what is neither a figure nor picked from a list, or is already."""
MOST_VALUES = 60
"""Different values of a text that one still picks from a list; others are found by the search (default ours)."""
MOST_FIGURES = 80
CELLS = 96
"""Of a card's action strip at most."""
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Column:
    """One column that a row may have.

    Attributes:
        name: as people read it, e.g. `pose.confidence`.
        sql: as DuckDB reads it in the catalog.
        values: one per row; None where it has none.
    """

    name: str
    sql: str
    values: list[Any]


def operations_of(rows: Iterable[Row]) -> list[str]:
    """Operations that any row has an answer of, in the order in which a reader expects them."""
    names = {
        name
        for row in rows
        for name, value in row.items()
        if isinstance(value, Mapping) and value.get("status") and name not in NOT_OPERATIONS
    }
    return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def structures(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """Columns that hold a structure, and the names in it, those of operations in their order and others after them."""
    fields: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, Mapping) and name != "crc32":
                fields.setdefault(name, {}).update(dict.fromkeys(value))
    known = {name: number for number, name in enumerate(ORDER)}
    return [(name, list(fields[name])) for name in sorted(fields, key=lambda name: (known.get(name, 99), name))]


def figures(rows: Sequence[Row]) -> list[Column]:
    """Every number by which clips differ: their own, then those of each operation and of `attributes`."""
    columns = [Column(name, name, [_number(row.get(name)) for row in rows]) for name in PLAIN]
    for outer, names in structures(rows):
        for name in names:
            if name in _NEVER.get(outer, _WHO if outer != "attributes" else ()):
                continue
            values = [_number((row.get(outer) or {}).get(name)) for row in rows]
            columns.append(Column(f"{outer}.{name}", _path(outer, name), values))
    first = {name: number for number, name in enumerate(FIRST)}
    late = len(first) + len(columns)

    def place(numbered: tuple[int, Column]) -> int:
        number, column = numbered
        plain = late if column.name in PLAIN else len(first)
        return first.get(column.name, plain + number)

    ordered = [column for _, column in sorted(enumerate(columns), key=place)]
    return [column for column in ordered if _differs(column.values)][:MOST_FIGURES]


def facets(rows: Sequence[Row]) -> list[Column]:
    """Everything one picks values of from a list: source, licence, split, size, method, other words and flags."""

    def inner(outer: str, name: str) -> list[Any]:
        return [_word((row.get(outer) or {}).get(name)) for row in rows]

    first = [
        Column("source", "source.kind", inner("source", "kind")),
        Column("licence", "source.licence", inner("source", "licence")),
        Column("split", "split", [_word(row.get("split")) for row in rows]),
        Column("size", "concat(width, 'x', height)", [f"{row['width']}x{row['height']}" for row in rows]),
        Column("derived", "len(parents) > 0", [bool(row.get("parents")) for row in rows]),
    ]
    others = [
        Column(f"{outer}.{name}", _path(outer, name), inner(outer, name))
        for outer, names in structures(rows)
        for name in names
        if outer == "attributes" or (outer != "source" and name not in ("status", "reason", "version", "notes"))
    ]
    pickable = [column for column in others if 1 < len(set(column.values)) <= MOST_VALUES]
    return [*(column for column in first if len(set(column.values) - {None, ""}) > 0), *pickable]


def texts(rows: Sequence[Row]) -> list[Column]:
    """Everything the search looks into."""
    names = [
        name
        for outer, inner in structures(rows)
        if outer == "attributes"
        for name in inner
        if any(isinstance((row.get("attributes") or {}).get(name), str) for row in rows)
    ]
    return [
        Column("key", "key", [row["key"] for row in rows]),
        Column("uri", "source.uri", [row["source"]["uri"] for row in rows]),
        Column("caption", "caption", [row.get("caption") for row in rows]),
        *(
            Column(f"attributes.{name}", _path("attributes", name), [_text(row, name) for row in rows])
            for name in names
        ),
    ]


def _text(row: Row, name: str) -> str | None:
    value = (row.get("attributes") or {}).get(name)
    return value if isinstance(value, str) else None


def endings(rows: Sequence[Row], operation: str) -> list[tuple[str, str]]:
    """Status and reason per row; two empty words where the operation has not run."""
    found = []
    for row in rows:
        note = row.get(operation) or {}
        status = str(note.get("status") or "")
        found.append((status, str(note.get("reason") or "") if status not in ("", "ok") else ""))
    return found


def data_of_clips(rows: Sequence[Row], looks: Mapping[str, Look], pages: Iterable[str]) -> dict[str, Any]:
    """Everything the overview's script knows about the clips; lists are columns, in the order of `rows`."""
    seen = [looks.get(row["key"]) or Look() for row in rows]
    made = set(pages)
    stems = [file_stem(row["key"]) for row in rows]
    actions = [row.get("actions") or {} for row in rows]
    return {
        "count": len(rows),
        "seconds": [_number(row["seconds"]) for row in rows],
        "name": _listed([title_of_row(row) for row in rows]),
        "size": _listed([f"{row['width']}×{row['height']}" for row in rows]),
        "source": _listed([row["source"]["kind"] for row in rows]),
        "frames": [row["frames"] for row in rows],
        "strip": [look.strip for look in seen],
        "trouble": _listed([look.trouble for look in seen]),
        "files": None if all(stem == row["key"] for stem, row in zip(stems, rows, strict=True)) else stems,
        "page": [int(row["key"] in made) for row in rows],
        "move": [shortened(look.move, CELLS) for look in seen],
        "view": [shortened(look.view, CELLS) for look in seen],
        "events": [[_mark(one, row["frames"]) for one in look.events] for look, row in zip(seen, rows, strict=True)],
        "texts": [{"name": one.name, "sql": one.sql, **_listed(one.values)} for one in texts(rows)],
        "facets": [{"name": one.name, "sql": one.sql, **_listed(one.values)} for one in facets(rows)],
        "status": [
            {"name": name, "sql": _path(name), **_listed([list(end) for end in endings(rows, name)])}
            for name in operations_of(rows)
        ],
        "figures": [{"name": one.name, "sql": one.sql, "values": one.values} for one in figures(rows)],
        "labels": {group: _by_class([one.get(group) for one in actions]) for group in ("move", "view")},
    }  # fmt: skip


def title_of_row(row: Row) -> str:
    """What a clip is called, as on its own page."""
    return title_from(str(row["key"]), str(row["source"]["kind"]), row["source"]["uri"])


def _mark(event: Sequence[Any], frames: int) -> list[Any]:
    """An event as its kind and its stretch in thousandths of the clip."""
    kind, first, end = event
    ends = (0 if first is None else first, frames if end is None else end)
    return [kind, *(round(1000 * min(max(at, 0), frames) / max(1, frames)) for at in ends)]


def _by_class(counts: Sequence[Any]) -> list[list[int]]:
    """Ten columns of frames per class; none where no clip has labels."""
    if not any(counts):
        return []
    usable = [
        one if isinstance(one, list) and len(one) == 10 and all(isinstance(count, int) for count in one) else [0] * 10
        for one in counts
    ]
    return [[one[label] for one in usable] for label in range(10)]


def _listed(values: Sequence[Any]) -> dict[str, Any]:
    """Values as numbers into a list of those there are, the commonest first."""
    plain = [tuple(value) if isinstance(value, list) else value for value in values]
    kinds = Counter((type(value).__name__, value) for value in plain)
    order = sorted(kinds, key=lambda kind: (-kinds[kind], str(kind)))
    places = {kind: number for number, kind in enumerate(order)}
    return {
        "values": [list(value) if isinstance(value, tuple) else value for _, value in order],
        "codes": [places[type(value).__name__, value] for value in plain],
    }


def _number(value: Any) -> float | int | None:
    """As the catalog has it, or a bound would mean one thing here and another in DuckDB; `2.0` is written `2`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _word(value: Any) -> str | bool | None:
    return value if isinstance(value, (str, bool)) else None


def _differs(values: Sequence[Any]) -> bool:
    return len({value for value in values if value is not None}) > 1


def _path(*names: str) -> str:
    return ".".join(quoted(name) for name in names)


def quoted(name: str) -> str:
    """A column's name as DuckDB reads it."""
    plain = _SIMPLE.match(name) and name.lower() not in _keywords()
    return name if plain else '"' + name.replace('"', '""') + '"'


@cache
def _keywords() -> frozenset[str]:
    import duckdb

    with duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False}) as connection:
        found = connection.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'")
        return frozenset(row[0] for row in found.fetchall())
