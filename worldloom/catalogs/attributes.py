"""Attributes: what a source tells about a clip beyond its frames (scene, subject, title, a column of a list).

They are plain values under plain names, so that `where: "attributes.views > 1000"` works on every dataset, whoever
wrote the list that they come from.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Value = str | float | bool

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
"""What a name looks like: SQL takes it without quotes (ours)."""

MOST = 256
"""Attributes of one clip (ours)."""

LONGEST = 4096
"""Characters of a text (ours)."""


def plain_attributes(values: Mapping[str, Any]) -> dict[str, Value]:
    """Any columns as attributes: names in small letters, numbers as floats, lists and mappings as JSON, nothing empty.

    Args:
        values: as a table or a JSON file has them. None, NaN and empty texts are left out, texts are cut to `LONGEST`
            characters; of names that become the same one, the later get a number (`title`, `title_2`).
    """
    found: dict[str, Value] = {}
    for name, value in values.items():
        if (kept := _plain_value(value)) is not None and len(found) < MOST:
            found[_free(_plain_name(str(name)), found)] = kept
    return found


def attributes_problem(values: Any) -> str:
    """Why these cannot be attributes; empty where they can."""
    if not isinstance(values, Mapping) or len(values) > MOST:
        return f"attributes: a mapping of at most {MOST} names to texts, numbers and booleans expected"
    for name, value in values.items():
        if not isinstance(name, str) or not NAME.match(name):
            return f"attributes: '{str(name)[:80]}' is no plain name (small letters, digits and _)"
        if not isinstance(value, str | float | bool | int) or (isinstance(value, str) and len(value) > LONGEST):
            return f"attributes.{name}: a text of at most {LONGEST} characters, a number or a boolean expected"
    return ""


def attributes_type(rows: Iterable[Mapping[str, Any]]) -> pa.DataType | None:
    """Type of the catalog's column for these rows, text where values differ in kind; None where no row has any."""
    kinds: dict[str, pa.DataType] = {}
    for row in rows:
        for name, value in (row.get("attributes") or {}).items():
            kind = pa.bool_() if isinstance(value, bool) else pa.string() if isinstance(value, str) else pa.float64()
            kinds[name] = kind if kinds.get(name, kind) == kind else pa.string()
    return pa.struct({name: kinds[name] for name in sorted(kinds)}) if kinds else None


def as_type(values: Mapping[str, Any] | None, kind: pa.DataType) -> dict[str, Any] | None:
    """One row's attributes as a column of this type takes them."""
    if not values:
        return None
    texts = {child.name for child in kind if child.type == pa.string()}
    return {name: as_text(value) if name in texts else value for name, value in values.items()}


def as_text(value: Value) -> str:
    """A value as text, `5` and not `5.0`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def united_type(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """The type that holds the attributes of several catalogs: all names, in text where their types differ."""
    found: dict[str, pa.DataType] = {}
    for kind in kinds:
        for child in kind:
            found[child.name] = child.type if found.get(child.name, child.type) == child.type else pa.string()
    return pa.struct({name: found[name] for name in sorted(found)})


def cast_value(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column of one attribute in another type: the same text that `as_text` gives."""
    if values.type == kind:
        return values
    if kind != pa.string():
        return values.cast(kind)
    if pa.types.is_floating(values.type):
        return pa.array([None if one is None else as_text(one) for one in values.to_pylist()], pa.string())
    return pc.cast(values, kind)


def _plain_name(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60] or "column"
    return plain if plain[0].isalpha() else f"c_{plain}"[:60]


def _free(name: str, taken: Mapping[str, Value]) -> str:
    if name not in taken:
        return name
    return next(other for number in range(2, MOST + 2) if (other := f"{name[:58]}_{number}") not in taken)


def _plain_value(value: Any) -> Value | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return str(value)[:LONGEST]
        return number if math.isfinite(number) else None
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
        except (TypeError, ValueError, RecursionError):
            value = str(value)
    text = value.strip().encode("utf-8", "replace").decode()[:LONGEST]
    return text.replace("\0", "") or None
