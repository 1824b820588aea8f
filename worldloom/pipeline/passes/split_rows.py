"""What the split is drawn from: the clips of a job, and those of a dataset that stay where they are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.attributes import as_text
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.known import KnownClips
from worldloom.pipeline.ledger import Ledger
from worldloom.pipeline.settings import Split
from worldloom.pipeline.splits import rows_to_split

BATCH = 4096
"""Videos whose records are in memory at once."""


def rows_of_clips(
    rules: Split, clips: KnownClips, ledger: Ledger, placed: pa.Table | None, duplicates: np.ndarray | None
) -> pa.Table:
    """Rows of `splits.ROWS`: all clips in order, and below them those that lie in a dataset.

    Args:
        rules: of the job.
        clips: of the job.
        ledger: where attributes are looked up, only if the split is by one.
        placed: catalog of the dataset, with `pack.append`.
        duplicates: (n,) number of each clip's group of near-duplicates, below 0 where it has none.

    Raises:
        UsageError: no clip has the attribute.
    """
    columns: dict[str, Any] = {name: clips.table[name] for name in ("key", "sha256", "uri", "parents")}
    known: set[str] = set()
    if name := rules.attribute:
        columns["value"], known = _attribute(ledger, clips, name)
    if duplicates is not None:
        columns["duplicates"] = pa.array(duplicates, pa.int64(), mask=duplicates < 0)
    tables = [rows_to_split(columns)]
    if placed is not None:
        tables.append(_placed_rows(placed, name))
    rows = pa.concat_tables(tables)
    if name and len(clips) and rows["value"].null_count == len(rows):
        raise UsageError(f"compose.split.by: no clip has the attribute '{name}'{nearest(name, sorted(known))}")
    return rows


def _attribute(ledger: Ledger, clips: KnownClips, name: str) -> tuple[list[str | None], set[str]]:
    """Value of an attribute per clip as text, and the names of all attributes that clips have."""
    by_key: dict[str, str] = {}
    known: set[str] = set()
    sequences = clips.videos["sequence"].fill_null(-1).to_numpy()[np.unique(clips.column("video"))]
    for start in range(0, len(sequences), BATCH):
        for text in ledger.rows(sequences[start : start + BATCH], ["told"])["told"].to_pylist():
            for about in json.loads(text)["clips"]:
                attributes = about["row"].get("attributes") or {}
                known.update(attributes)
                if (value := attributes.get(name)) not in (None, ""):
                    by_key.setdefault(about["key"], as_text(value))
    return [by_key.get(key) for key in clips.table["key"].to_pylist()], known


def _placed_rows(placed: pa.Table, attribute: str) -> pa.Table:
    source = placed["source"].combine_chunks()
    columns: dict[str, Any] = {name: placed[name] for name in ("key", "parents", "split")}
    columns |= {name: source.field(name) for name in ("sha256", "uri")}
    if attribute and "attributes" in placed.column_names and pa.types.is_struct(placed["attributes"].type):
        values = placed["attributes"].combine_chunks()
        if values.type.get_field_index(attribute) >= 0:
            found = pc.struct_field(values, attribute).to_pylist()
            columns["value"] = [None if value in (None, "") else as_text(value) for value in found]
    return rows_to_split(columns)
