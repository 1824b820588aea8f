"""The catalog: one row per clip, with all that one selects by; DuckDB answers without opening a tar.

Each operation is a column of its own that holds a structure, so one writes `quality.sharpness > 0.2 and
pose.confidence > 0.5 and events.pairs > 0`.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from worldloom.catalogs.attributes import as_type, attributes_type, cast_value, united_type
from worldloom.catalogs.catalog_checks import places_problem
from worldloom.catalogs.catalog_row import MEASURES, OPERATIONS, PLAIN, SOURCE, WHO
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import FileEntry, Manifest, local_file
from worldloom.catalogs.parquet_extent import extent_problem
from worldloom.catalogs.storage import Store, open_store

ROW_GROUP = 1 << 16
ATTRIBUTES = "attributes"


def catalog_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table, in order of their keys; its columns depend on the rows alone.

    Raises:
        ValueError: two rows of one key, or an operation with the name of a plain column.
    """
    ordered = sorted(rows, key=lambda row: row["key"])
    for one, other in itertools.pairwise(ordered):
        if one["key"] == other["key"]:
            raise ValueError(f"clip {one['key']} is in the catalog twice")
    return _table(ordered, _schema(ordered))


def columns_of_rows(rows: Sequence[Mapping[str, Any]], columns: Collection[str]) -> pa.Table:
    """Some columns of a catalog to be, in the order of the rows; `key` is always among them.

    Args:
        rows: as `catalog_row` gives them; what a row does not have is null.
        columns: plain columns and names of operations; `attributes` is left out where no row has any.
    """
    return _table(rows, _schema_of(rows, sorted({"key", *columns})))


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
    attributes = [table.schema.field(ATTRIBUTES).type for table in tables if ATTRIBUTES in table.schema.names]
    if attributes:
        found[ATTRIBUTES] = united_type(attributes)
    for table in tables:
        for column in table.schema:
            if column.name == ATTRIBUTES:
                continue
            if pa.types.is_struct(column.type):
                fields = found.setdefault(column.name, {})
                assert isinstance(fields, dict)
                fields.update({child.name: child.type for child in column.type})
            else:
                found[column.name] = _known(column.type, PLAIN.get(column.name))
    first = (*PLAIN, *OPERATIONS)
    columns = []
    for name in (*(name for name in first if name in found), *sorted(found.keys() - set(first))):
        kind = found[name]
        columns.append((name, pa.struct(_in_order(name, kind)) if isinstance(kind, dict) else kind))
    return pa.schema(columns)


def _in_order(column: str, fields: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    known = SOURCE if column == "source" else {**WHO, **MEASURES.get(column, {})}
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
                cast_value(pc.struct_field(values, child.name), child.type)
                if child.name in there
                else pa.nulls(len(values), child.type)
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
    if problem := places_problem(table, PLAIN):
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
    extra = sorted({name for row in rows for name in row} - PLAIN.keys() - set(OPERATIONS))
    return _schema_of(rows, (*PLAIN, *OPERATIONS, *extra))


def _schema_of(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> pa.Schema:
    scores, attributes = _scores(rows), attributes_type(rows)
    kinds = [(name, attributes if name == ATTRIBUTES else _column_type(name, scores)) for name in names]
    return pa.schema([(name, kind) for name, kind in kinds if kind is not None])


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    plain = [dict(row) for row in rows]
    if ATTRIBUTES in schema.names:
        kind = schema.field(ATTRIBUTES).type
        plain = [{**row, ATTRIBUTES: as_type(row.get(ATTRIBUTES), kind)} for row in plain]
    return pa.Table.from_pylist(plain, schema=schema)


def _scores(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the figures that annotators put into `quality`."""
    return sorted({name for row in rows for name in (row.get("quality") or {})} - WHO.keys())


def _column_type(name: str, scores: Sequence[str]) -> pa.DataType:
    if name in PLAIN:
        return PLAIN[name]
    measures = dict.fromkeys(scores, pa.float64()) if name == "quality" else MEASURES.get(name, {})
    return pa.struct({**WHO, **measures})
