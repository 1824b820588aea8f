"""What a catalog of somebody else has to hold before anything follows it: columns, types, and places that can be."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.shards import MAX_MEMBER_BYTES

MAX_SHARD_BYTES = 1 << 46
"""No member lies beyond it, whatever a catalog claims (ours)."""


def places_problem(table: pa.Table, kinds: Mapping[str, pa.DataType]) -> str:
    """Why readers could not follow its keys, shards, members and sources; empty where they can.

    Args:
        table: a catalog.
        kinds: types of the plain columns.
    """
    never_null = ("key", "split", "shard", "offset", "length", "members")
    for name in (*never_null, "source", "parents"):
        if table.column_names.count(name) != 1:
            return f"has no column {name}" if name not in table.column_names else f"has two columns {name}"
        column, kind = table.column(name), kinds[name]
        if name == "source":
            fits = pa.types.is_struct(column.type) and {("uri", pa.string()), ("sha256", pa.string())} <= {
                (child.name, child.type) for child in column.type
            }
        else:
            fits = column.type == kind
        if not fits or (name in never_null and column.null_count):
            return f"column {name} is {column.type} with {column.null_count} values missing, {kind} expected"
    if (different := pc.count_distinct(table["key"]).as_py()) != len(table):
        return f"column key has {len(table)} values, {different} of them different"
    members = table.column("members").combine_chunks().flatten()
    if members.null_count or any(members.field(one.name).null_count for one in members.type):
        return "column members has values missing"
    figures = {
        "offset": (table["offset"], MAX_SHARD_BYTES),
        "length": (table["length"], MAX_SHARD_BYTES),
        "members.offset": (members.field("offset"), MAX_SHARD_BYTES),
        "members.length": (members.field("length"), MAX_MEMBER_BYTES),
    }
    for name, (values, most) in figures.items():
        lowest, highest = pc.min_max(values).as_py().values()
        if lowest is not None and not 0 <= lowest <= highest <= most:
            return f"column {name} has the value {lowest if lowest < 0 else highest}, 0 to {most} expected"
    return ""
