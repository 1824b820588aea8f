"""What a card says in numbers, counted from the columns of a catalog's file; no row becomes a Python object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from worldloom.catalogs.catalog_row import OPERATIONS
from worldloom.catalogs.errors import BadInput

BATCH_ROWS = 1 << 16
"""So many rows of a few columns are in memory at once (ours)."""

_NEEDED = {
    "split": pa.string(),
    "seconds": pa.float64(),
    "fps": pa.float64(),
    "frames": pa.int32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "source.kind": pa.string(),
    "source.licence": pa.string(),
    "source.sha256": pa.string(),
    "parents": pa.list_(pa.string()),
}
_NEVER_NULL = ("split", "seconds", "fps", "frames", "source.kind")
_TOTALS = {
    "events": ("count", "pairs"),
    "revisits": ("pairs",),
    "subjects": ("count",),
    "captions": ("count",),
    "depth": ("frames",),
}
_MEANS = {"revisits": ("density",), "actions": ("uncertain_share",)}
_CLASSES = 10


@dataclass
class SplitFigures:
    """Of one split.

    Attributes:
        seconds: of its clips, in the catalog's order.
        sizes: clips by width and height in pixels, in the order in which they first occur.
        rates: frames per second that occur.
    """

    seconds: np.ndarray
    sizes: Counter[tuple[int | None, int | None]] = field(default_factory=Counter)
    rates: set[float] = field(default_factory=set)


@dataclass
class LabelFigures:
    """Of one operation; everything counted is in the order in which it first occurs.

    Attributes:
        status: clips by status.
        methods: clips by method and version.
        reasons: clips that have no label, by reason.
        totals: sums of figures over all clips.
        means: means of figures over the clips that have them, 0 where none has.
        scales: clips by the scale of their camera path.
    """

    status: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    totals: dict[str, int] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    scales: Counter[str] = field(default_factory=Counter)


@dataclass
class SourceFigures:
    """Of the clips of one kind of source under one licence.

    Attributes:
        clips: how many.
        derived: how many of them have parents.
        files: source files that they come from.
        seconds: of all of them.
    """

    clips: int = 0
    derived: int = 0
    files: int = 0
    seconds: float = 0.0


@dataclass
class CardFigures:
    """Everything that a card says about a catalog.

    Attributes:
        schema: of the catalog.
        clips: rows.
        frames: of all clips.
        seconds: of all clips.
        licences: as the sources state them; empty where one states none.
        splits: by name.
        labels: by operation, those that wrote something.
        moves: how often each of the ten classes of `actions.move` occurs; None where no clip has moves.
        views: the same of `actions.view`.
        sources: by kind and licence, `unknown` where none is stated.
    """

    schema: pa.Schema
    clips: int
    frames: int
    seconds: float
    licences: set[str]
    splits: dict[str, SplitFigures]
    labels: dict[str, LabelFigures]
    moves: np.ndarray | None
    views: np.ndarray | None
    sources: dict[tuple[str, str], SourceFigures]


def card_figures(catalog: Path | str) -> CardFigures:
    """Count a catalog.

    Args:
        catalog: the Parquet file.

    Raises:
        BadInput: `bad_catalog`, no such file, no Parquet file, or not with the columns of a catalog.
    """
    with _opened(catalog) as file:
        columns = _Columns(file)
        columns.check()
        frames = sum(int(pc.sum(table["frames"]).as_py()) for table in columns.batches("frames"))
        # One after the other in the order of the rows: another order would round the sum another way.
        seconds = 0.0
        for table in columns.batches("seconds"):
            seconds = sum(table["seconds"].to_pylist(), seconds)
        return CardFigures(
            schema=file.schema_arrow,
            clips=file.metadata.num_rows,
            frames=frames,
            seconds=seconds,
            licences={licence or "" for (licence,) in columns.counted("source.licence")},
            splits=_splits(columns),
            labels=_labels(columns),
            moves=_classes(columns, "actions.move"),
            views=_classes(columns, "actions.view"),
            sources=_sources(columns),
        )


@contextmanager
def _opened(catalog: Path | str) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(catalog, memory_map=False) as file:
            yield file
    except FileNotFoundError:
        raise BadInput("bad_catalog", "no such file", where=catalog) from None
    except (pa.ArrowException, OSError) as error:
        raise BadInput("bad_catalog", f"not a readable catalog ({error})", where=catalog) from None


class _Columns:
    """Columns of the file, figures of operations by `operation.figure`."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self.file = file
        self.types: dict[str, pa.DataType] = {}
        for column in file.schema_arrow:
            children = list(column.type) if pa.types.is_struct(column.type) else []
            self.types |= {f"{column.name}.{child.name}": child.type for child in children} or {
                column.name: column.type
            }

    def check(self) -> None:
        """Refuse a file without the columns that every catalog has."""
        for name, kind in _NEEDED.items():
            if self.types.get(name) != kind:
                raise pa.ArrowTypeError(f"column {name} is {self.types.get(name, 'missing')}, {kind} expected")
        for table in self.batches(*_NEVER_NULL):
            for name in _NEVER_NULL:
                if missing := table[name].null_count:
                    raise pa.ArrowTypeError(f"column {name} has {missing} values missing")

    def batches(self, *names: str) -> Iterator[pa.Table]:
        """Some columns, by so many rows as a batch has."""
        for batch in self.file.iter_batches(BATCH_ROWS, columns=list(names), use_threads=False):
            yield pa.Table.from_batches([batch]).flatten().select(list(names))

    def counted(self, *names: str) -> Counter[tuple[Any, ...]]:
        """Rows by what they hold in some columns, in the order in which it first occurs; missing ones are null."""
        found: Counter[tuple[Any, ...]] = Counter()
        there = [name for name in names if name in self.types]
        for table in self.batches(*there):
            numbered = table.append_column("_row", pa.array(np.arange(len(table))))
            groups = numbered.group_by(there, use_threads=False).aggregate([([], "count_all"), ("_row", "min")])
            groups = groups.sort_by("_row_min")  # Arrow's order is only nearly that of the first occurrence
            lists = [groups[name].to_pylist() if name in there else [None] * len(groups) for name in names]
            for key, count in zip(zip(*lists, strict=True), groups["count_all"].to_pylist(), strict=True):
                found[key] += count
        return found


def _splits(columns: _Columns) -> dict[str, SplitFigures]:
    seconds: dict[str, list[np.ndarray]] = {}
    for table in columns.batches("split", "seconds"):
        groups = table.group_by("split", use_threads=False).aggregate([("seconds", "list")])
        for split, values in zip(groups["split"].to_pylist(), groups["seconds_list"], strict=True):
            seconds.setdefault(split, []).append(values.values.to_numpy())
    found = {split: SplitFigures(np.concatenate(values)) for split, values in seconds.items()}
    for (split, width, height, fps), count in columns.counted("split", "width", "height", "fps").items():
        found[split].sizes[width, height] += count
        found[split].rates.add(fps)
    return found


def _labels(columns: _Columns) -> dict[str, LabelFigures]:
    """In the order of the columns that are always there, the others after them by name."""
    own = {name.removesuffix(".status") for name in columns.types if name.endswith(".status")} - {"source"}
    found = {}
    for name in (*(one for one in OPERATIONS if one in own), *sorted(own - set(OPERATIONS))):
        label = LabelFigures()
        fields = [f"{name}.{field}" for field in ("status", "method", "version", "reason")]
        for (status, method, version, reason), count in columns.counted(*fields).items():
            if status:
                label.status[status] += count
                label.methods[f"{method} {version}"] += count
                if status != "ok" and reason:
                    label.reasons[reason] += count
        if label.status:
            _measure(columns, name, label)
            found[name] = label
    return found


def _measure(columns: _Columns, name: str, label: LabelFigures) -> None:
    for figure in _TOTALS.get(name, ()):
        parts = [pc.sum(values).as_py() or 0 for values in _values(columns, f"{name}.{figure}")]
        label.totals[figure] = sum(parts)
    for figure in _MEANS.get(name, ()):
        arrays = [values.drop_null().to_numpy() for values in _values(columns, f"{name}.{figure}")]
        every = np.concatenate([*arrays, np.zeros(0)])
        label.means[figure] = float(np.mean(every)) if len(every) else 0.0
    if name == "pose" and "pose.scale" in columns.types:
        label.scales = Counter({scale: count for (scale,), count in columns.counted("pose.scale").items() if scale})


def _values(columns: _Columns, name: str) -> Iterator[pa.ChunkedArray]:
    if name in columns.types:
        yield from (table[name] for table in columns.batches(name))


def _classes(columns: _Columns, name: str) -> np.ndarray | None:
    total = None
    for values in _values(columns, name):
        lengths = pc.list_value_length(values).drop_null().to_numpy()
        if not np.isin(lengths, (0, _CLASSES)).all():
            raise pa.ArrowTypeError(f"{name} does not count {_CLASSES} classes")
        if lengths.any():
            counts = pc.list_flatten(values).cast(pa.int64()).fill_null(0).to_numpy()
            counts = counts.reshape(-1, _CLASSES).sum(axis=0)
            total = counts if total is None else total + counts
    return total


def _sources(columns: _Columns) -> dict[tuple[str, str], SourceFigures]:
    found: dict[tuple[str, str], SourceFigures] = {}
    digests: dict[tuple[str, str], list[pa.Array]] = {}
    for table in columns.batches("source.kind", "source.licence", "source.sha256", "seconds", "parents"):
        stated = pc.fill_null(table["source.licence"], "")
        some = pa.table(
            {
                "kind": table["source.kind"],
                "licence": pc.if_else(pc.equal(stated, ""), "unknown", stated),
                "sha256": table["source.sha256"],
                "seconds": table["seconds"],
                "derived": pc.greater(pc.fill_null(pc.list_value_length(table["parents"]), 0), 0),
            }
        )
        unknown_too = pc.CountOptions(mode="all")
        measures = [([], "count_all"), ("derived", "sum"), ("seconds", "list"), ("sha256", "distinct", unknown_too)]
        for row in _rows(some.group_by(["kind", "licence"], use_threads=False).aggregate(measures)):
            key = row["kind"].as_py(), row["licence"].as_py()
            one = found.setdefault(key, SourceFigures())
            one.clips += row["count_all"].as_py()
            one.derived += row["derived_sum"].as_py()
            one.seconds = sum(row["seconds_list"].values.to_pylist(), one.seconds)
            digests.setdefault(key, []).append(row["sha256_distinct"].values)
    for key, parts in digests.items():
        found[key].files = len(pa.chunked_array(parts, pa.string()).unique())
    return found


def _rows(groups: pa.Table) -> Iterator[Mapping[str, pa.Scalar]]:
    for number in range(len(groups)):
        yield {name: groups[name][number] for name in groups.column_names}
