"""Splits that never leak: clips that know each other stay on one side, and sides last when other clips come.

Units are connected components: clips of one source file (sha256), of one address (several files of one video), a clip
and what was derived from it, near-duplicates, and with `by: scene` (or another attribute) all clips of one scene. The
side of a unit is drawn by the hash of its name alone, so that a video stays on its side whatever else is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.origins import family_links, identities, linked
from worldloom.pipeline.settings import Split

ROWS = pa.schema(
    [
        ("key", pa.string()),
        ("sha256", pa.string()),
        ("uri", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("value", pa.string()),
        ("duplicates", pa.int64()),
        ("split", pa.string()),
    ]
)
"""Columns that `draw_sides` reads: `value` of the attribute that is split by, `duplicates` the number of a group of
near-duplicates, `split` where a clip lies already and has to stay; nulls where there is none."""

_MOST_OF_ALL = 0.5
"""A unit with more than this share of all clips is told: the shares asked for cannot be met (default ours)."""


@dataclass(frozen=True)
class Sides:
    """Where every clip goes.

    Attributes:
        names: of the sides, sorted.
        side: (n,) int64, a number into `names`.
        unit: (n,) int64, clips of one unit have one number.
        notes: sentences for the person at the terminal.
    """

    names: tuple[str, ...]
    side: np.ndarray
    unit: np.ndarray
    notes: tuple[str, ...] = ()


def share_of(text: str) -> float:
    """A number in [0, 1) that is always the same for the same text: draws do not depend on what else is there."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def draw_sides(rows: pa.Table, rules: Split) -> Sides:
    """The side of every clip.

    The name of a unit is the smallest value of the attribute in it, with `by: source` (and where no clip has a value)
    the smallest sha256 of its sources, with `by: clip` its smallest key. What happens when clips come:

    - of a unit that is there, under a name that is not smaller: nothing moves. `by: scene` names a unit after its
      scene, so that any further video of the scene goes where the scene is;
    - a clip that joins two units: the joined unit takes the name, and the side, of the one with the smaller name; the
      other's clips move along where they were on another side. That has to be: apart they would leak;
    - clips that lie in a dataset already (`split` of the row, with `pack.append`) do not move: their unit is where
      they are.

    `pins` hold a unit on a side by hand: what must stay for good, such as the scenes of a published benchmark.

    Args:
        rows: of `ROWS`.
        rules: of the job.

    Raises:
        UsageError: pins want one unit on two sides.
    """
    shares = rules.wanted()
    unit = _units(rows, rules)
    names = _unit_names(rows, rules, unit)
    sides = sorted({rules.REST, *shares, *rules.pins, *rows["split"].drop_null().unique().to_pylist()})
    number = {side: place for place, side in enumerate(sides)}
    drawn = np.array([number[_drawn(share_of(f"split:{name}"), shares, rules.REST)] for name in names], np.int64)
    pinned, notes = _pinned(rows, rules, unit)
    for one, side in pinned.items():
        drawn[one] = number[side]
    placed, more = _placed(rows, unit, drawn, number)
    for one, place in placed.items():
        drawn[one] = place
    notes += more + _told(rows, rules, unit, shares)
    return Sides(tuple(sides), drawn[unit] if len(rows) else np.zeros(0, np.int64), unit, tuple(notes))


def empty_sides(rules: Split, sides: Mapping[str, int]) -> str:
    """A word for those whose few units all fell on one side; empty where every side that is wanted has clips.

    Args:
        rules: of the job.
        sides: samples by side.
    """
    shares = rules.wanted()
    wanted = {**shares, rules.REST: 1 - sum(shares.values())}
    empty = [side for side, share in wanted.items() if share > 1e-9 and not sides.get(side)]
    if not sum(sides.values()) or not empty:
        return ""
    listed = " and ".join(f"'{side}'" for side in empty)
    given = ", ".join(f"{side} {share:g}" for side, share in shares.items())
    return (
        f"compose.split: no {rules.by} fell into {listed}. Sides are drawn by hash, so that a video stays on its side "
        f"when others come; with few videos, take another share than {given}, or name some in compose.split.pins"
    )


def _units(rows: pa.Table, rules: Split) -> np.ndarray:
    """(n,) number of the unit of each clip."""
    every = np.arange(len(rows))
    links = [family_links(rows["key"], rows["parents"]), (every, rows["duplicates"])]
    if rules.by != "clip":
        links += [(every, rows["sha256"]), (every, identities(rows["uri"]))]
    if rules.attribute:
        links.append((every, rows["value"]))
    return linked(len(rows), links)


def _unit_names(rows: pa.Table, rules: Split, unit: np.ndarray) -> list[str]:
    """Of every unit, what its side is drawn by."""
    keys, digests = rows["key"], rows["sha256"]
    own = keys if rules.by == "clip" else pc.if_else(pc.equal(pc.fill_null(digests, ""), ""), keys, digests)
    if not rules.attribute:
        return _smallest(own, unit)
    names = _smallest(own, unit)
    having = np.flatnonzero(rows["value"].is_valid().to_numpy())
    units, inverse = np.unique(unit[having], return_inverse=True)
    values = _smallest(rows["value"].take(pa.array(having)), inverse) if len(having) else []
    for one, value in zip(units.tolist(), values, strict=True):
        names[one] = f"{rules.attribute}={value}"
    return names


def _smallest(texts: pa.ChunkedArray, unit: np.ndarray) -> list[str]:
    """The smallest text of each unit."""
    if not len(texts):
        return []
    # Once by text, then stably by unit: the first of each unit is its smallest.
    order = pc.sort_indices(texts).to_numpy()
    order = order[np.argsort(unit[order], kind="stable")]
    first = np.flatnonzero(np.r_[True, np.diff(unit[order]) > 0])
    return list(texts.take(pa.array(order[first])).to_pylist())


def _drawn(draw: float, shares: Mapping[str, float], rest: str) -> str:
    """The side of a number in [0, 1): sides lie one after the other, so another share at the end moves none before."""
    edge = 0.0
    for side, share in shares.items():
        edge += share
        if draw < edge or edge >= 1 - 1e-12:
            return side
    return rest


def _pinned(rows: pa.Table, rules: Split, unit: np.ndarray) -> tuple[dict[int, str], list[str]]:
    """Side by unit that is held on it, and a note on pins that hold nothing."""
    found: dict[int, tuple[str, str]] = {}
    unknown = []
    for side, names in rules.pins.items():
        for name in names:
            hits = _named(rows, name)
            if not hits.any():
                unknown.append(name)
            for one in np.unique(unit[hits]).tolist():
                other, by = found.setdefault(one, (side, name))
                if other != side:
                    raise UsageError(
                        f"compose.split.pins: '{by}' is pinned to '{other}' and '{name}' to '{side}', but their clips "
                        "belong together (one source, one attribute, near-duplicates, or derived); pin both to one side"
                    )
    listed = ", ".join(f"'{name}'" for name in unknown[:5]) + (" ..." if len(unknown) > 5 else "")
    note = [f"compose.split.pins: {len(unknown)} names belong to no clip: {listed}"] if unknown else []
    return {one: side for one, (side, _) in found.items()}, note


def _named(rows: pa.Table, name: str) -> np.ndarray:
    """Clips that a pin means: `sha256:HEX`, a URI, a key, or a value of the attribute."""
    if name.startswith("sha256:"):
        hit = pc.equal(rows["sha256"], name.removeprefix("sha256:").lower())
    else:
        hit = pc.or_(pc.equal(rows["uri"], name), pc.equal(rows["key"], name))
        hit = pc.or_(pc.fill_null(hit, False), pc.fill_null(pc.equal(rows["value"], name), False))
    return np.asarray(pc.fill_null(hit, False).to_numpy(), bool)


def _placed(
    rows: pa.Table, unit: np.ndarray, drawn: np.ndarray, number: Mapping[str, int]
) -> tuple[dict[int, int], list[str]]:
    """Side by unit that has clips in the dataset already, the one with the most of them; and notes."""
    there = np.flatnonzero(rows["split"].is_valid().to_numpy())
    if not len(there):
        return {}, []
    side = np.array([number[name] for name in rows["split"].take(pa.array(there)).to_pylist()], np.int64)
    pairs, counts = np.unique(np.stack([unit[there], side]), axis=1, return_counts=True)
    # Of one unit the most clips last, and of equally many the first name: it is the one that stays in the mapping.
    order = np.lexsort((-pairs[1], counts, pairs[0]))
    found = dict(zip(pairs[0][order].tolist(), pairs[1][order].tolist(), strict=True))
    notes = []
    if torn := len(pairs[0]) - len(found):
        notes.append(
            f"compose.split: {torn} groups of clips that belong together lie in several splits of the dataset already; "
            "new ones go where most are. Without pack.append all are packed anew, each group on one side"
        )
    if moved := sum(drawn[one] != place for one, place in found.items()):
        notes.append(f"compose.split: {moved} groups of clips stay in the split where the dataset has them")
    return found, notes


def _told(rows: pa.Table, rules: Split, unit: np.ndarray, shares: Mapping[str, float]) -> list[str]:
    if not len(rows) or not (shares or rules.pins):
        return []
    notes = []
    own = rows.filter(rows["split"].is_null())
    if rules.attribute and (missing := own["value"].null_count):
        notes.append(
            f"compose.split: {missing} of {len(own)} clips have no '{rules.attribute}'; they are split by their source"
        )
    if rules.by == "clip":
        notes.append(
            "compose.split: by clip, clips of one video may fall on several sides; worldloom verify names them"
        )
    counts = np.bincount(unit)
    if len(counts) > 1 and (largest := int(counts.max())) > _MOST_OF_ALL * len(rows):
        notes.append(
            f"compose.split: {largest} of {len(rows)} clips belong together and fall on one side, whatever the shares"
        )
    return notes


def rows_to_split(columns: Mapping[str, pa.Array | pa.ChunkedArray | Sequence[object]]) -> pa.Table:
    """A table of `ROWS`; columns that are not given are null."""
    count = len(columns["key"])
    arrays = []
    for field in ROWS:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(count, field.type))
        elif isinstance(values, pa.Array | pa.ChunkedArray):
            arrays.append(values.cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=ROWS)
