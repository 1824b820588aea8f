"""The catalog: one row per clip, with all that one selects by; DuckDB answers without opening a tar.

Each operation is a column of its own that holds a structure, so one writes `quality.sharpness > 0.2 and
pose.confidence > 0.5 and events.pairs > 0`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from worldloom.catalogs.catalog_checks import places_problem
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import FileEntry, Manifest, local_file
from worldloom.catalogs.parquet_extent import extent_problem
from worldloom.catalogs.shards import Entry
from worldloom.catalogs.storage import Store, open_store

ROW_GROUP = 1 << 16

OPERATIONS = (
    "quality",
    "shots",
    "pose",
    "actions",
    "subjects",
    "events",
    "depth",
    "revisits",
    "hands",
    "captions",
)
"""Columns that are always there, whether or not the job ran them."""

_WHO = {
    "status": pa.string(),
    "method": pa.string(),
    "version": pa.string(),
    "reason": pa.string(),
    "confidence": pa.float64(),
    "notes": pa.string(),
}
_COUNTS = pa.list_(pa.int32())
_MEASURES: dict[str, dict[str, pa.DataType]] = {
    "pose": {
        "scale": pa.string(),
        "posed_share": pa.float64(),
        "translation_share": pa.float64(),
        "scale_groups": pa.int32(),
        "path_length": pa.float64(),
    },
    "actions": {"move": _COUNTS, "view": _COUNTS, "uncertain_share": pa.float64(), "unit": pa.string()},
    "subjects": {"count": pa.int32()},
    "events": {"count": pa.int32(), "pairs": pa.int32(), "exits": pa.int32(), "entries": pa.int32()},
    "depth": {"frames": pa.int32()},
    "revisits": {"pairs": pa.int32(), "density": pa.float64(), "from_depth": pa.bool_()},
    "captions": {"count": pa.int32()},
}
_SOURCE = {
    "kind": pa.string(),
    "uri": pa.string(),
    "sha256": pa.string(),
    "licence": pa.string(),
    "retrieved_at": pa.string(),
    "stream": pa.int32(),
    "first_s": pa.float64(),
    "last_s": pa.float64(),
}
_MEMBER = pa.struct({"name": pa.string(), "offset": pa.int64(), "length": pa.int64(), "crc32": pa.uint32()})
_PLAIN: dict[str, pa.DataType] = {
    "key": pa.string(),
    "split": pa.string(),
    "shard": pa.string(),
    "offset": pa.int64(),
    "length": pa.int64(),
    "members": pa.list_(_MEMBER),
    "fps": pa.float64(),
    "fps_fraction": pa.string(),
    "frames": pa.int32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "seconds": pa.float64(),
    "caption": pa.string(),
    "source": pa.struct(_SOURCE),
    "parents": pa.list_(pa.string()),
    "operations": pa.list_(pa.string()),
}


def catalog_row(clip: Clip, *, split: str = "", shard: str = "", entry: Entry | None = None) -> dict[str, Any]:
    """What the catalog says about one clip, as plain data; before packing, place and split are empty.

    Args:
        clip: with all its annotations.
        split: name.
        shard: path of the shard in the dataset.
        entry: where the sample lies in it.
    """
    origin = clip.provenance
    members = entry.members.items() if entry else ()
    row: dict[str, Any] = {
        "key": clip.key,
        "split": split,
        "shard": shard,
        "offset": entry.offset if entry else 0,
        "length": entry.length if entry else 0,
        "members": [{"name": name, **span._asdict()} for name, span in members],
        "fps": float(clip.fps),
        "fps_fraction": f"{clip.fps.numerator}/{clip.fps.denominator}",
        "frames": clip.frames,
        "height": clip.height,
        "width": clip.width,
        "seconds": _number(clip.seconds),
        "caption": clip.captions[0].text if clip.captions else None,
        "source": {
            "kind": origin.kind,
            "uri": origin.uri,
            "sha256": origin.sha256,
            "licence": origin.licence,
            "retrieved_at": origin.retrieved_at,
            "stream": origin.stream,
            "first_s": _number(origin.span_s[0]),
            "last_s": _number(origin.span_s[1]),
        },
        "parents": list(origin.parents),
        "operations": list(origin.operations),
    }
    measures = _measures(clip)
    for name in sorted({*clip.annotations, *measures}):
        row[name] = {**_who(clip, name), **measures.get(name, {})}
    return row


def catalog_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table, in order of their keys; its columns depend on the rows alone.

    Raises:
        ValueError: two rows of one key, or an operation with the name of a plain column.
    """
    ordered = sorted(rows, key=lambda row: row["key"])
    for one, other in itertools.pairwise(ordered):
        if one["key"] == other["key"]:
            raise ValueError(f"clip {one['key']} is in the catalog twice")
    return pa.Table.from_pylist([dict(row) for row in ordered], schema=_schema(ordered))


def columns_of_rows(rows: Sequence[Mapping[str, Any]], columns: Collection[str]) -> pa.Table:
    """Some columns of a catalog to be, in the order of the rows; `key` is always among them.

    Args:
        rows: as `catalog_row` gives them; what a row does not have is null.
        columns: plain columns and names of operations.
    """
    scores = _scores(rows)
    names = sorted({"key", *columns})
    return pa.Table.from_pylist(list(rows), schema=pa.schema([(name, _column_type(name, scores)) for name in names]))


def united(tables: Sequence[pa.Table]) -> pa.Table:
    """Catalogs, or the same columns of several, below each other; figures that one does not have are null."""
    schema = _united_schema(tables)
    return pa.concat_tables([_conformed(table, schema) for table in tables])


def write_catalog(dataset: Path | str, rows: Iterable[Mapping[str, Any]]) -> FileEntry:
    """Write `catalog-<digest>.parquet`; equal rows give equal bytes with one version of pyarrow.

    Returns:
        Its line of the manifest.
    """
    return write_catalog_of(dataset, [catalog_table(rows)])


def write_catalog_of(dataset: Path | str, fragments: Sequence[pa.Table]) -> FileEntry:
    """Write the catalog of rows that come in several tables; the same rows give the same bytes in whatever tables.

    Every fragment is sorted by key, so that a row group is a slice of each; beside the fragments, one row group is in
    memory.

    Args:
        dataset: its folder or address.
        fragments: tables of `catalog_table`, or read by `read_catalog`.

    Returns:
        Its line of the manifest.

    Raises:
        ValueError: a key that comes twice, or a fragment that is not sorted.
    """
    store = open_store(dataset)
    schema = _united_schema(fragments)
    with tempfile.TemporaryDirectory(prefix="worldloom-catalog-") as scratch:
        draft = Path(scratch, "catalog.parquet")
        options = {"version": "2.6", "data_page_version": "1.0", "compression": "zstd", "compression_level": 9}
        with pq.ParquetWriter(draft, schema, **options) as writer:
            for group in _row_groups([_conformed(fragment, schema) for fragment in fragments]):
                writer.write_table(group, row_group_size=ROW_GROUP)
        with draft.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        entry = FileEntry(path=f"catalog-{sha256[:16]}.parquet", bytes=draft.stat().st_size, sha256=sha256)
        store.take(draft, entry.path)
    return entry


def _row_groups(fragments: Sequence[pa.Table]) -> Iterator[pa.Table]:
    """The rows of all fragments in the order of their keys, by so many as a row group holds."""
    # As bytes: four times smaller than numpy's text, and in the same order.
    keys = [np.array(fragment["key"].cast(pa.binary()).to_pylist(), bytes) for fragment in fragments]
    for one in keys:
        if (one[1:] < one[:-1]).any():
            raise ValueError("a fragment of the catalog is not sorted by key")
    ordered = np.sort(np.concatenate(keys)) if keys else np.zeros(0, bytes)
    if (twice := np.flatnonzero(ordered[1:] == ordered[:-1])).size:
        raise ValueError(f"clip {ordered[twice[0]].decode()} is in the catalog twice")
    bounds = ordered[ROW_GROUP::ROW_GROUP]
    edges = [[0, *np.searchsorted(one, bounds).tolist(), len(one)] for one in keys]
    for number in range(len(bounds) + 1):
        slices = [
            fragment.slice(edge[number], edge[number + 1] - edge[number])
            for fragment, edge in zip(fragments, edges, strict=True)
            if edge[number + 1] > edge[number]
        ]
        if slices:
            table = pa.concat_tables(slices).combine_chunks()
            yield table.take(pc.sort_indices(table["key"]))


def _united_schema(tables: Sequence[pa.Table]) -> pa.Schema:
    """The columns that any of the tables has, in the order of a catalog's."""
    found: dict[str, dict[str, pa.DataType] | pa.DataType] = {}
    for table in tables:
        for column in table.schema:
            if pa.types.is_struct(column.type):
                fields = found.setdefault(column.name, {})
                assert isinstance(fields, dict)
                fields.update({child.name: child.type for child in column.type})
            else:
                found[column.name] = _known(column.type, _PLAIN.get(column.name))
    first = (*_PLAIN, *OPERATIONS)
    columns = []
    for name in (*(name for name in first if name in found), *sorted(found.keys() - set(first))):
        kind = found[name]
        columns.append((name, pa.struct(_in_order(name, kind)) if isinstance(kind, dict) else kind))
    return pa.schema(columns)


def _in_order(column: str, fields: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    known = _SOURCE if column == "source" else {**_WHO, **_MEASURES.get(column, {})}
    names = (*(name for name in known if name in fields), *sorted(fields.keys() - known.keys()))
    return {name: _known(fields[name], known.get(name)) for name in names}


def _known(kind: pa.DataType, ours: pa.DataType | None) -> pa.DataType:
    """Ours where both are equal: lists that were read call their items otherwise, and the file's bytes would tell."""
    return ours if kind == ours else kind


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with these columns; figures it does not have are null."""
    if table.schema.equals(schema):
        return table
    columns = []
    for column in schema:
        if column.name not in table.column_names:
            columns.append(pa.nulls(len(table), column.type))
            continue
        values = table[column.name].combine_chunks()
        if values.type != column.type and pa.types.is_struct(column.type):
            there = {child.name for child in values.type}
            children = [
                pc.struct_field(values, child.name) if child.name in there else pa.nulls(len(values), child.type)
                for child in column.type
            ]
            values = pa.StructArray.from_arrays(children, fields=list(column.type), mask=values.is_null())
        columns.append(values.cast(column.type))
    return pa.table(columns, schema=schema)


def open_catalog(store: Store, manifest: Manifest) -> pa.Table:
    """The catalog that a manifest names, byte for byte the one that was written.

    Raises:
        BadInput: `missing_file`; `bad_catalog`, it is damaged or has other clips than the manifest counts.
    """
    table = read_catalog(local_file(store, manifest.catalog))
    strangers = {*table["shard"].unique().to_pylist()} - {shard.path for shard in manifest.shards}
    problem = f"names the shard {min(strangers)}, which the manifest does not" if strangers else ""
    if len(table) != manifest.samples:
        problem = f"has {len(table)} rows, the manifest counts {manifest.samples} samples"
    if problem:
        where = f"{store.place}/{manifest.catalog.path}"
        raise BadInput("bad_catalog", problem, where=where, remedy="Run worldloom verify on the dataset.")
    return table


def read_catalog(path: Path | str) -> pa.Table:
    """The catalog as a table, its columns and places checked.

    Raises:
        BadInput: `bad_catalog`, naming the column.
    """
    try:
        if problem := extent_problem(path):
            raise BadInput("bad_catalog", problem, where=path)
        table = pq.read_table(path, use_threads=False, memory_map=False)
    except FileNotFoundError:
        raise BadInput("bad_catalog", "no such file", where=path) from None
    except (pa.ArrowException, OSError) as error:
        raise BadInput("bad_catalog", f"not a readable Parquet file ({error})", where=path) from None
    if problem := places_problem(table, _PLAIN):
        raise BadInput("bad_catalog", problem, where=path)
    return table


def matching(table: pa.Table, where: str) -> np.ndarray:
    """Numbers of the rows for which an SQL condition holds, ascending; `quality.sharpness > 0.2`.

    Args:
        table: of `catalog_table` or `read_catalog`.
        where: a condition in DuckDB's SQL; it sees the table and nothing else, no files and no network.

    Raises:
        UsageError: it is no valid condition, naming the nearest column.
    """
    import duckdb

    numbered = table.append_column("_row", pa.array(np.arange(len(table)), pa.int64()))
    settings = {"threads": 1, "enable_external_access": False, "lock_configuration": True}
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.register("catalog", numbered)
        try:
            found = connection.execute(f"SELECT _row FROM catalog WHERE ({where}\n) ORDER BY _row")  # noqa: S608
            return np.asarray(found.fetchnumpy()["_row"], np.int64)
        except duckdb.Error as error:
            raise UsageError(f"where: {_sql_problem(error, where, table)}") from None


def _sql_problem(error: Exception, where: str, table: pa.Table) -> str:
    text = str(error).strip().splitlines()[0]
    wrong = text.split('"')[1] if text.count('"') >= 2 else ""
    known = [name for name in _columns(table.schema) if wrong and name != wrong]
    hint = nearest(wrong, known) if wrong and ("not find" in text or "not found" in text) else ""
    return f"'{where}' is no valid condition ({text}){hint if 'choose from' not in hint else ''}"


def _columns(schema: pa.Schema) -> list[str]:
    inner = [child.name for column in schema if pa.types.is_struct(column.type) for child in column.type]
    return [*schema.names, *inner]


def _schema(rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    extra = sorted({name for row in rows for name in row} - _PLAIN.keys() - set(OPERATIONS))
    scores = _scores(rows)
    return pa.schema([(name, _column_type(name, scores)) for name in (*_PLAIN, *OPERATIONS, *extra)])


def _scores(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the figures that annotators put into `quality`."""
    return sorted({name for row in rows for name in (row.get("quality") or {})} - _WHO.keys())


def _column_type(name: str, scores: Sequence[str]) -> pa.DataType:
    if name in _PLAIN:
        return _PLAIN[name]
    measures = dict.fromkeys(scores, pa.float64()) if name == "quality" else _MEASURES.get(name, {})
    return pa.struct({**_WHO, **measures})


def _who(clip: Clip, name: str) -> dict[str, Any]:
    if name in _PLAIN:
        raise ValueError(f"an operation may not be called '{name}'")
    note = clip.annotations.get(name)
    if note is None:
        return {}
    return {
        "status": note.status,
        "method": note.method,
        "version": note.version,
        "reason": note.reason,
        "confidence": _number(note.confidence),
        "notes": json.dumps(note.notes, sort_keys=True) if note.notes else None,
    }


def _measures(clip: Clip) -> dict[str, dict[str, Any]]:
    """Figures per operation, for what the clip holds."""
    found: dict[str, dict[str, Any]] = {}
    if clip.quality:
        found["quality"] = {name: _number(value) for name, value in clip.quality.items() if name not in _WHO}
    if (camera := clip.camera) is not None:
        found["pose"] = {
            "scale": camera.scale,
            "posed_share": _number(camera.valid.mean()),
            "translation_share": _number(camera.translation_known.mean()),
            "scale_groups": len(np.unique(camera.scale_group[camera.valid])),
            "path_length": _number(_path_length(camera.c2w[:, :3, 3], camera.scale_group)),
        }
    if (actions := clip.actions) is not None:
        counted = slice(0, max(0, len(actions) - 1))  # the last entry moves nowhere
        found["actions"] = {
            "move": np.bincount(actions.move[counted], minlength=10).tolist(),
            "view": np.bincount(actions.view[counted], minlength=10).tolist(),
            "uncertain_share": _number(np.mean(actions.move[counted] == 9)) if len(actions) > 1 else None,
            "unit": actions.unit,
        }
    if clip.subjects is not None:
        found["subjects"] = {"count": len(clip.subjects)}
    if clip.events or "events" in clip.annotations:
        kinds = [event.kind for event in clip.events]
        found["events"] = {
            "count": len(kinds),
            "pairs": kinds.count("pair"),
            "exits": sum(event.first_hidden is not None for event in clip.events),
            "entries": sum(event.first_visible is not None for event in clip.events),
        }
    if clip.depth is not None:
        found["depth"] = {"frames": len(clip.depth)}
    if (revisits := clip.revisits) is not None:
        density = _number(revisits.density)
        found["revisits"] = {"pairs": len(revisits.pairs), "density": density, "from_depth": revisits.from_depth}
    if clip.hands is not None:
        found["hands"] = {}
    if clip.captions:
        found["captions"] = {"count": len(clip.captions)}
    return found


def _path_length(positions: np.ndarray, group: np.ndarray) -> float:
    """Length of the path over steps inside a scale group whose both ends are known."""
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    return float(np.nansum(steps[group[1:] == group[:-1]]))


def _number(value: Any) -> float | None:
    """Six digits are plenty, and NaN is no number to select by."""
    rounded = round(float(value), 6)
    return rounded if np.isfinite(rounded) else None
