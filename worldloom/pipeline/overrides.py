"""What people have corrected: `overrides.parquet` in the working folder, which outlives every relabelling.

The last row of a clip and operation counts. At the start of a run the driver turns rows that are new into ledger
entries of the recipe `human`; these win over every annotator, and what builds on them is computed again.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from worldloom.catalogs.clip import Actions, Annotation, Camera, Clip, Depth, Hands, Provenance, Subjects
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.catalogs.storage import Store, open_store
from worldloom.pipeline.answers import BLOBS, attach, encode_annotation, encode_value, facts_of
from worldloom.pipeline.ledger import HUMAN, WITHDRAWN, Entry, Ledger, wanted_rows
from worldloom.pipeline.parcel import pack_parcel
from worldloom.pipeline.rows import find_in_rows

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb
    import pyarrow as pa

    from worldloom.pipeline.layout import Layout
    from worldloom.pipeline.operation import Operation

OVERRIDES = "overrides.parquet"
VERSION = "1"

COLUMNS = {
    "key": "of the clip",
    "operation": "of the job",
    "value": "JSON text, for events, revisits, quality and captions",
    "blob": "bytes of an npz, for camera, actions, subjects, depth and hands",
    "who": "has said it",
    "at": "seconds since the epoch",
    "note": "why",
    "withdrawn": "true takes earlier rows back",
}
"""Of the file; key and operation must be there, and value or blob."""
_AS_ARRAYS: dict[type, str] = {
    Camera: "camera",
    Actions: "actions",
    Subjects: "subjects",
    Depth: "depth",
    Hands: "hands",
}


@dataclass(frozen=True)
class Correction:
    """One row of the file, as it counts.

    Attributes:
        row: of the file, from 1, for messages.
        key: of the clip.
        operation: whose answer it replaces.
        value: JSON text; None for arrays.
        blob: an npz; None for plain values.
        withdrawn: whether it takes back what was said before.
    """

    row: int
    key: str
    operation: str
    value: str | None
    blob: bytes | None
    withdrawn: bool


class Overrides:
    """Corrections of a working folder.

    Whoever edits the file with pandas or DuckDB instead writes the same columns; one person at a time.

    Args:
        out: working folder, or its `s3://` address.
    """

    def __init__(self, out: Path | str) -> None:
        self._store = open_store(out)
        self._where = f"{str(out).rstrip('/')}/{OVERRIDES}"

    def set(self, key: str, operation: str, value: Any, who: str, note: str = "") -> None:
        """Say what the answer of an operation on a clip is.

        Args:
            key: of the clip.
            operation: of the job.
            value: a `Camera`, `Actions`, `Subjects`, `Depth` or `Hands`, or plain data as the sample's JSON has it.
            who: says so.
            note: why.
        """
        gives = _AS_ARRAYS.get(type(value))
        blob = None if gives is None else encode_value(gives, value)["value.npz"]
        text = json.dumps(value, sort_keys=True, ensure_ascii=False) if gives is None else None
        self._append(key, operation, text, blob, who, note, withdrawn=False)

    def withdraw(self, key: str, operation: str, who: str, note: str = "") -> None:
        """Take back what was said: the annotator's answer counts again."""
        self._append(key, operation, None, None, who, note, withdrawn=True)

    def table(self) -> pa.Table:
        """All rows, in the order in which they were written; every column is there.

        Raises:
            UsageError: the file is not what `overrides.parquet` should be.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _schema()
        try:
            found = pq.read_table(io.BytesIO(self._store.read(OVERRIDES)))
        except FileNotFoundError:
            return schema.empty_table()
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{self._where}: not a readable Parquet file ({error}); restore or remove it") from None
        for name in found.column_names:
            if name not in COLUMNS:
                raise UsageError(f"{self._where}: unknown column '{name}'" + nearest(name, list(COLUMNS)))
        for name in ("key", "operation"):
            if name not in found.column_names:
                raise UsageError(f"{self._where}: column '{name}' is missing ({COLUMNS[name]}, text)")
        columns = []
        for field in schema:
            if field.name not in found.column_names:
                columns.append(pa.nulls(len(found), field.type))
                continue
            columns.append(self._cast(found[field.name], field))
        return pa.table(columns, schema=schema)

    def corrections(self) -> list[Correction]:
        """The rows that count: the last one of each clip and operation.

        Raises:
            UsageError: a row says nothing, or says it twice; names the row.
        """
        last: dict[tuple[str, str], Correction] = {}
        for number, row in enumerate(self.table().to_pylist(), 1):
            place = f"{self._where}: row {number}"
            if not row["key"] or not row["operation"]:
                raise UsageError(f"{place} has no {'operation' if row['key'] else 'key'}; fill it in or remove the row")
            withdrawn = bool(row["withdrawn"])
            given = [name for name in ("value", "blob") if row[name] is not None]
            if not withdrawn and len(given) != 1:
                what = "both value and blob" if given else "neither value nor blob"
                raise UsageError(
                    f"{place} ({row['key']}, {row['operation']}) has {what}; give one, or withdrawn = true"
                )
            identity = row["key"], row["operation"]
            last[identity] = Correction(number, *identity, row["value"], row["blob"], withdrawn)
        return list(last.values())

    def _cast(self, column: Any, field: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            if field.name == "at" and pa.types.is_timestamp(column.type):
                ms = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64()).cast(pa.float64())
                return pc.divide(ms, 1000.0)
            return column.cast(field.type)
        except pa.ArrowException as error:
            wanted = f"{field.type} ({COLUMNS[field.name]})"
            raise UsageError(f"{self._where}: column '{field.name}' should be {wanted}: {error}") from None

    def _append(
        self, key: str, operation: str, value: str | None, blob: bytes | None, who: str, note: str, *, withdrawn: bool
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        values = (key, operation, value, blob, who, time.time(), note, withdrawn)
        row = pa.Table.from_pylist([dict(zip(COLUMNS, values, strict=True))], schema=_schema())
        stream = io.BytesIO()
        pq.write_table(pa.concat_tables([self.table(), row]), stream)
        self._store.write(OVERRIDES, stream.getvalue())


def sync_overrides(ledger: Ledger, layout: Layout, operations: Sequence[Operation], recipe: str) -> list[str]:
    """Turn rows that are new into ledger entries; called by the driver after ingest, before annotate.

    What the ledger has taken and the file no longer says is withdrawn.

    Args:
        ledger: writable.
        layout: of the working folder.
        operations: of the job.
        recipe: of its ingest, which decides how long a clip is.

    Returns:
        Sentences for the person at the terminal: what was taken, and rows that belong to no clip or operation.

    Raises:
        UsageError: the file, or a value in it, is not what it should be; names row and remedy.
    """
    taken = _taken(ledger)
    if not taken and not layout.store.exists(OVERRIDES):
        return []
    gives = {operation.name: operation.gives for operation in operations}
    ledger.flush()
    corrections = Overrides(layout.out).corrections()
    frames = _frames_of(layout.store, {one.key for one in corrections}, recipe)
    known = [one for one in corrections if one.operation in gives and one.key in frames]
    entries = [_entry_of(layout, one, gives[one.operation], frames[one.key]) for one in known]
    said = {(one.key, one.operation) for one in corrections}
    entries += [Entry(*gone, HUMAN, "", "absent", reason=WITHDRAWN) for gone in sorted(taken - said)]
    before = ledger.entries(wanted_rows((one.item, one.operation, HUMAN, "") for one in entries))
    counts: Counter[str] = Counter()
    for entry in entries:
        earlier = before.get((entry.item, entry.operation))
        if earlier is None and entry.status == "absent":
            continue  # nothing was said before, so there is nothing to take back
        if earlier is not None and (earlier.status, earlier.digest) == (entry.status, entry.digest):
            continue
        ledger.append(entry)
        counts[entry.status] += 1
    ledger.flush()
    return list(_notes(counts, corrections, gives, frames))


def _entry_of(layout: Layout, one: Correction, gives: str, frames: int) -> Entry:
    if one.withdrawn:
        return Entry(one.key, one.operation, HUMAN, "", "absent", reason=WITHDRAWN)
    place = f"{layout.out}/{OVERRIDES}: row {one.row} ({one.key}, {one.operation})"
    head = {"annotation.json": encode_annotation(Annotation("ok", HUMAN, VERSION))}
    value = _checked_value(one, gives, frames, head, place)
    members = {**head, **value}
    stored = value
    if gives in BLOBS:
        # By its digest: packing may still read the one before.
        sha256 = hashlib.sha256(value["value.npz"]).hexdigest()
        name = layout.blob_name(one.operation, HUMAN, one.key, sha256)
        layout.store.write(name, value["value.npz"])
        stored = {"blob": name.encode(), "blob.sha256": sha256.encode()}
    return Entry(
        one.key,
        one.operation,
        HUMAN,
        "",
        "ok",
        digest=hashlib.sha256(pack_parcel(members)).hexdigest(),
        told=json.dumps(facts_of(one.operation, gives, members), sort_keys=True),
        payload=pack_parcel({**head, **stored}),
        bytes=sum(map(len, value.values())),
    )


def _checked_value(one: Correction, gives: str, frames: int, head: Mapping[str, bytes], place: str) -> dict[str, bytes]:
    """The value in the form annotators leave it, so that equal values have equal digests."""
    arrays = gives in _AS_ARRAYS.values()
    if arrays != (one.blob is not None):
        column = "blob, the bytes of an npz" if arrays else "value, JSON text"
        raise UsageError(f"{place}: {gives} belongs into {column} (`Overrides.set` does it)")
    members = {"value.npz": one.blob} if one.blob is not None else {"value.json": (one.value or "").encode()}
    bare = Clip("", Fraction(1), frames, 0, 0, np.zeros(frames), Provenance("", "", ""))
    try:
        attach(bare, one.operation, gives, {**head, **members})
        value = getattr(bare, gives)
        _check_length(value, frames)
        return encode_value(gives, value)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, WorldloomError) as error:
        said = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | AttributeError) else str(error)
        raise UsageError(f"{place}: not the {gives} of a clip of {frames} frames ({said}); correct it") from None


def _check_length(value: Any, frames: int) -> None:
    """An annotation of another clip would only be noticed when somebody trains on it."""
    length = frames
    if isinstance(value, Camera | Actions):
        length = len(value)
    elif isinstance(value, Subjects):
        length = value.box.shape[1]
    if length != frames:
        raise ValueError(f"it is {length} frames long")
    if isinstance(value, Depth) and len(value) and not 0 <= int(value.frames.min()) <= int(value.frames.max()) < frames:
        raise ValueError(f"it names frame {int(value.frames.max())}")


def _frames_of(store: Store, keys: set[str], recipe: str) -> dict[str, int]:
    """Frames of those clips that there are, as this recipe ingests them."""
    import pyarrow as pa

    if not keys:
        return {}

    def rows(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
        connection.register("wanted", pa.table({"key": pa.array(sorted(keys), pa.string())}))
        query = "SELECT DISTINCT key, frames FROM clips WHERE recipe = ? AND key IN (FROM wanted)"
        return list(connection.execute(query, [recipe]).fetchall())

    return dict(find_in_rows(store, rows))


def _taken(ledger: Ledger) -> set[tuple[str, str]]:
    """Clips and operations whose corrections count now."""
    rows = ledger.corrections().select(["item", "operation", "status", "reason"]).to_pylist()
    return {(row["item"], row["operation"]) for row in rows if (row["status"], row["reason"]) != ("absent", WITHDRAWN)}


def _notes(
    counts: Counter[str], corrections: Sequence[Correction], gives: Mapping[str, str], frames: Mapping[str, int]
) -> list[str]:
    notes = []
    if counts:
        notes.append(f"{OVERRIDES}: {counts['ok']} corrections taken, {counts['absent']} withdrawn")
    strange = Counter(one.operation for one in corrections if one.operation not in gives)
    for name, count in sorted(strange.items()):
        rows = "row is" if count == 1 else "rows are"
        notes.append(f"{OVERRIDES}: {count} {rows} of '{name}', no operation of this job{nearest(name, list(gives))}")
    lost = [one for one in corrections if one.operation in gives and one.key not in frames]
    if lost:
        named = f"first: row {lost[0].row}, {lost[0].key}"
        notes.append(f"{OVERRIDES}: {len(lost)} rows belong to no clip that this job ingested ({named})")
    return notes


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"blob": pa.large_binary(), "at": pa.float64(), "withdrawn": pa.bool_()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
