"""What a card says in numbers, counted from the columns of a catalog's file; no row becomes a Python object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from worldloom.catalogs.catalog_columns import CatalogColumns, opened_catalog
from worldloom.catalogs.catalog_row import OPERATIONS
from worldloom.catalogs.origins import split_leaks

_TOTALS = {
    "events": ("count", "pairs"),
    "revisits": ("pairs",),
    "subjects": ("count",),
    "captions": ("count",),
    "depth": ("frames",),
}
_MEANS = {"revisits": ("density",), "actions": ("uncertain_share",)}
_CLASSES = 10
_SPREAD = (
    "pose.confidence",
    "pose.posed_share",
    "actions.uncertain_share",
    "depth.confidence",
    "revisits.density",
)
MOST_VALUES = 5
"""Commonest values of an attribute that a card lists (ours)."""


@dataclass
class SplitFigures:
    """Of one split.

    Attributes:
        seconds: of its clips, in the catalog's order.
        frames: of all of them.
        sizes: clips by width and height in pixels, in the order in which they first occur.
        rates: frames per second that occur.
    """

    seconds: np.ndarray
    frames: int = 0
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


@dataclass(frozen=True)
class Spread:
    """How a figure is distributed over the clips that have it."""

    clips: int
    low: float
    first: float
    median: float
    third: float
    high: float


@dataclass(frozen=True)
class AttributeFigures:
    """Of one attribute.

    Attributes:
        clips: that have it.
        different: values.
        commonest: values and how many clips have each, the commonest first; of texts and booleans.
        spread: of numbers.
    """

    clips: int
    different: int
    commonest: list[tuple[str, int]]
    spread: Spread | None


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
        moves: how often each of the ten classes of `actions.move` occurs, by split; splits without any are left out.
        views: the same of `actions.view`.
        spreads: of figures of the clips, by column: `seconds`, `quality.sharpness`, `revisits.density`, ...
        attributes: by name.
        leaks: sources, and families of derived clips, that lie in several splits.
        sources: by kind and licence, `unknown` where none is stated.
    """

    schema: pa.Schema
    clips: int
    frames: int
    seconds: float
    licences: set[str]
    splits: dict[str, SplitFigures]
    labels: dict[str, LabelFigures]
    moves: dict[str, np.ndarray]
    views: dict[str, np.ndarray]
    spreads: dict[str, Spread]
    attributes: dict[str, AttributeFigures]
    leaks: int
    sources: dict[tuple[str, str], SourceFigures]


def card_figures(catalog: Path | str) -> CardFigures:
    """Count a catalog.

    Args:
        catalog: the Parquet file.

    Raises:
        BadInput: `bad_catalog`, no such file, no Parquet file, or not with the columns of a catalog.
    """
    with opened_catalog(catalog) as file:
        columns = CatalogColumns(file)
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
            spreads=_spreads(columns),
            attributes=_attributes(columns),
            leaks=len(split_leaks(_origins(file))),
            sources=_sources(columns),
        )


def _splits(columns: CatalogColumns) -> dict[str, SplitFigures]:
    seconds: dict[str, list[np.ndarray]] = {}
    for table in columns.batches("split", "seconds"):
        groups = table.group_by("split", use_threads=False).aggregate([("seconds", "list")])
        for split, values in zip(groups["split"].to_pylist(), groups["seconds_list"], strict=True):
            seconds.setdefault(split, []).append(values.values.to_numpy())
    found = {split: SplitFigures(np.concatenate(values)) for split, values in seconds.items()}
    for table in columns.batches("split", "frames"):
        for row in _rows(table.group_by("split", use_threads=False).aggregate([("frames", "sum")])):
            found[row["split"].as_py()].frames += row["frames_sum"].as_py()
    for (split, width, height, fps), count in columns.counted("split", "width", "height", "fps").items():
        found[split].sizes[width, height] += count
        found[split].rates.add(fps)
    return found


def _labels(columns: CatalogColumns) -> dict[str, LabelFigures]:
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


def _measure(columns: CatalogColumns, name: str, label: LabelFigures) -> None:
    for figure in _TOTALS.get(name, ()):
        parts = [pc.sum(values).as_py() or 0 for values in columns.values(f"{name}.{figure}")]
        label.totals[figure] = sum(parts)
    for figure in _MEANS.get(name, ()):
        every = columns.numbers(f"{name}.{figure}")
        label.means[figure] = float(np.mean(every)) if len(every) else 0.0
    if name == "pose" and "pose.scale" in columns.types:
        label.scales = Counter({scale: count for (scale,), count in columns.counted("pose.scale").items() if scale})


def _classes(columns: CatalogColumns, name: str) -> dict[str, np.ndarray]:
    """How often each class occurs, by split; splits whose clips have none are left out."""
    total: dict[str, np.ndarray] = {}
    if name not in columns.types:
        return total
    for table in columns.batches("split", name):
        lengths = pc.fill_null(pc.list_value_length(table[name]), 0).to_numpy()
        if not np.isin(lengths, (0, _CLASSES)).all():
            raise pa.ArrowTypeError(f"{name} does not count {_CLASSES} classes")
        having = np.flatnonzero(lengths)
        if not len(having):
            continue
        some = table.take(pa.array(having))
        counts = pc.list_flatten(some[name]).cast(pa.int64()).fill_null(0).to_numpy().reshape(-1, _CLASSES)
        splits = some["split"].combine_chunks().dictionary_encode()
        for place, split in enumerate(splits.dictionary.to_pylist()):
            own = counts[splits.indices.to_numpy() == place].sum(axis=0)
            total[split] = total[split] + own if split in total else own
    return total


def _spreads(columns: CatalogColumns) -> dict[str, Spread]:
    """Of every figure that says how good or how long something is."""
    scores = sorted(
        name
        for name, kind in columns.types.items()
        if name.startswith("quality.") and kind == pa.float64() and name != "quality.confidence"
    )
    found = {}
    for name in ("seconds", *scores, *_SPREAD):
        values = _confidences(columns, name) if name.endswith(".confidence") else columns.numbers(name)
        if len(values):
            found[name] = spread_of(values)
    return found


def _confidences(columns: CatalogColumns, name: str) -> np.ndarray:
    """Of the clips that have the label: where it is absent, its confidence is 0 and means nothing."""
    status = f"{name.removesuffix('confidence')}status"
    if name not in columns.types or status not in columns.types:
        return np.zeros(0)
    having = (table.filter(pc.equal(table[status], "ok")) for table in columns.batches(name, status))
    return np.concatenate([*(table[name].drop_null().to_numpy() for table in having), np.zeros(0)])


def spread_of(values: np.ndarray) -> Spread:
    """Smallest, quartiles and largest (linear between neighbours) of (n,) numbers, n >= 1."""
    low, first, median, third, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist()
    return Spread(len(values), low, first, median, third, high)


def _attributes(columns: CatalogColumns) -> dict[str, AttributeFigures]:
    found = {}
    for column in sorted(name for name in columns.types if name.startswith("attributes.")):
        name = column.removeprefix("attributes.")
        if pa.types.is_floating(columns.types[column]):
            values = columns.numbers(column)
            if len(values):
                found[name] = AttributeFigures(len(values), len(np.unique(values)), [], spread_of(values))
            continue
        counted = _value_counts(columns, column)
        if len(counted):
            order = counted.sort_by([("counts", "descending"), ("values", "ascending")]).slice(0, MOST_VALUES)
            most = list(zip(order["values"].to_pylist(), order["counts"].to_pylist(), strict=True))
            found[name] = AttributeFigures(int(pc.sum(counted["counts"]).as_py()), len(counted), most, None)
    return found


def _value_counts(columns: CatalogColumns, name: str) -> pa.Table:
    """Values of a column of texts or booleans, as texts, and how often each occurs."""
    parts = []
    for values in columns.values(name):
        counts = pc.value_counts(values.drop_null().combine_chunks())
        parts.append(pa.table({"values": counts.field(0).cast(pa.string()), "counts": counts.field(1)}))
    empty = pa.table({"values": pa.array([], pa.string()), "counts": pa.array([], pa.int64())})
    every = pa.concat_tables([empty, *parts]).group_by("values", use_threads=False).aggregate([("counts", "sum")])
    return every.rename_columns(["values", "counts"])


def _sources(columns: CatalogColumns) -> dict[tuple[str, str], SourceFigures]:
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


def _origins(file: pq.ParquetFile) -> pa.Table:
    """Where clips come from, the columns that `split_leaks` needs."""
    return file.read(["key", "split", "source.uri", "source.sha256", "parents"], use_threads=False)


def _rows(groups: pa.Table) -> Iterator[Mapping[str, pa.Scalar]]:
    for number in range(len(groups)):
        yield {name: groups[name][number] for name in groups.column_names}
