"""What a card counts, by plain Python over a dictionary per clip: slow, and what `card_figures` has to equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from worldloom.catalogs.card_figures import (
    AttributeFigures,
    CardFigures,
    LabelFigures,
    SourceFigures,
    SplitFigures,
    Spread,
)
from worldloom.catalogs.catalog_row import OPERATIONS

Rows = Sequence[Mapping[str, Any]]


def plain_figures(table: pa.Table) -> CardFigures:
    """The figures of a catalog."""
    rows = table.drop_columns(["members"]).to_pylist()
    return CardFigures(
        schema=table.schema,
        clips=len(rows),
        frames=sum(row["frames"] for row in rows),
        seconds=sum(row["seconds"] for row in rows),
        licences={row["source"]["licence"] or "" for row in rows},
        splits=splits(rows),
        labels=labels(rows),
        moves=classes(rows, "move"),
        views=classes(rows, "view"),
        spreads=spreads(rows),
        attributes=attributes(rows),
        leaks=leaks(rows),
        sources=sources(rows),
    )


def splits(rows: Rows) -> dict[str, SplitFigures]:
    found = {}
    for split in {row["split"] for row in rows}:
        own = [row for row in rows if row["split"] == split]
        found[split] = SplitFigures(
            np.array([row["seconds"] for row in own]),
            sum(row["frames"] for row in own),
            Counter((row["width"], row["height"]) for row in own),
            {row["fps"] for row in own},
        )
    return found


def labels(rows: Rows) -> dict[str, LabelFigures]:
    known = [*OPERATIONS, *sorted({name for row in rows for name, value in row.items() if is_operation(name, value)})]
    found = {}
    for name in dict.fromkeys(known):
        notes = [row[name] for row in rows if row.get(name) and row[name].get("status")]
        if notes:
            found[name] = LabelFigures(
                Counter(note["status"] for note in notes),
                Counter(f"{note['method']} {note['version']}" for note in notes),
                Counter(note["reason"] for note in notes if note["status"] != "ok" and note["reason"]),
                {figure: total(rows, name, figure) for figure in TOTALS.get(name, ())},
                {figure: mean(rows, name, figure) for figure in MEANS.get(name, ())},
                Counter(row[name]["scale"] for row in rows if row.get(name) and row[name]["scale"])
                if name == "pose"
                else Counter(),
            )
    return found


TOTALS = {
    "events": ("count", "pairs"),
    "revisits": ("pairs",),
    "subjects": ("count",),
    "captions": ("count",),
    "depth": ("frames",),
}
MEANS = {"revisits": ("density",), "actions": ("uncertain_share",)}


def is_operation(name: str, value: Any) -> bool:
    return name != "source" and isinstance(value, Mapping) and "status" in value


def total(rows: Rows, name: str, figure: str) -> int:
    return sum(row[name][figure] or 0 for row in rows if row.get(name))


def mean(rows: Rows, name: str, figure: str) -> float:
    values = [row[name][figure] for row in rows if row.get(name) and row[name][figure] is not None]
    return float(np.mean(values)) if values else 0.0


def classes(rows: Rows, group: str) -> dict[str, np.ndarray]:
    counts: dict[str, list[Any]] = {}
    for row in rows:
        if row.get("actions") and row["actions"][group]:
            counts.setdefault(row["split"], []).append(row["actions"][group])
    return {split: np.sum(own, axis=0) for split, own in counts.items()}


def spreads(rows: Rows) -> dict[str, Spread]:
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault("seconds", []).append(row["seconds"])
        for name, value in sorted((row.get("quality") or {}).items()):
            if isinstance(value, float) and name != "confidence":
                values.setdefault(f"quality.{name}", []).append(value)
        for column, figure in (
            ("pose", "confidence"),
            ("pose", "posed_share"),
            ("actions", "uncertain_share"),
            ("depth", "confidence"),
            ("revisits", "density"),
        ):
            note = row.get(column) or {}
            if note.get(figure) is not None and (figure != "confidence" or note["status"] == "ok"):
                values.setdefault(f"{column}.{figure}", []).append(note[figure])
    order = ["seconds", *sorted(name for name in values if name.startswith("quality."))]
    order += ["pose.confidence", "pose.posed_share", "actions.uncertain_share", "depth.confidence", "revisits.density"]
    return {name: spread(values[name]) for name in order if name in values}


def spread(values: list[float]) -> Spread:
    return Spread(len(values), *(float(np.percentile(values, share)) for share in (0, 25, 50, 75, 100)))


def attributes(rows: Rows) -> dict[str, AttributeFigures]:
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in (row.get("attributes") or {}).items():
            if value is not None:
                values.setdefault(name, []).append(value)
    found = {}
    for name in sorted(values):
        own = values[name]
        if isinstance(own[0], float):
            found[name] = AttributeFigures(len(own), len(set(own)), [], spread(own))
            continue
        counted = Counter(str(one).lower() if isinstance(one, bool) else one for one in own)
        most = sorted(counted.items(), key=lambda one: (-one[1], one[0]))[:5]
        found[name] = AttributeFigures(len(own), len(counted), most, None)
    return found


def leaks(rows: Rows) -> int:
    """Files with clips in several splits, then families that do not lie in those files wholly."""
    files: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["source"]["sha256"]:
            files.setdefault(row["source"]["sha256"], []).append(row)
    torn = [own for own in files.values() if len({row["split"] for row in own}) > 1]
    told = {row["key"] for own in torn for row in own}
    names = {row["key"]: {row["key"]} for row in rows}
    for row in rows:
        for parent in row["parents"] or ():
            one, other = names.setdefault(parent, {parent}), names[row["key"]]
            one |= other
            for key in one:
                names[key] = one
    families = {id(names[row["key"]]): names[row["key"]] for row in rows}.values()
    by_key = {row["key"]: row for row in rows}
    found = [[by_key[key] for key in family if key in by_key] for family in families]
    apart = [own for own in found if len({row["split"] for row in own}) > 1]
    return len(torn) + sum(not {row["key"] for row in own} <= told for own in apart)


def sources(rows: Rows) -> dict[tuple[str, str], SourceFigures]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["source"]["kind"], row["source"]["licence"] or "unknown"), []).append(row)
    found = {}
    for key, own in groups.items():
        files = len({row["source"]["sha256"] for row in own})
        derived = sum(bool(row["parents"]) for row in own)
        found[key] = SourceFigures(len(own), derived, files, sum(row["seconds"] for row in own))
    return found
