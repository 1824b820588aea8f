"""What differs between two collections: clips that only one has, and what became other on those that both have."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.report.actions import LEGEND
from worldloom.report.collection import Collection
from worldloom.report.figure import ARROWS
from worldloom.report.page import write_page
from worldloom.report.site.columns import Row, endings, figures, operations_of, title_of_row
from worldloom.report.site.look import decoded
from worldloom.report.site.looks import Look
from worldloom.report.site.overview import in_hours
from worldloom.report.site.script import write_data

BINS = 24
FIRST_ROWS = 50
"""Clips per list that the page shows without its script."""
_PLAIN = ("split", "caption", "frames", "width", "height", "fps")
_SAME = 1e-9


@dataclass(frozen=True)
class Change:
    """What became other on one clip, there to here.

    Attributes:
        kind: `bytes`, `labels`, `events`, `status`, `figures` or `facts`.
        said: in words.
    """

    kind: str
    said: str


def changes(here: Row, there: Row, look: Look, other: Look) -> list[Change]:
    """What differs between two rows of one key; nothing where both say the same."""
    found = []
    crc = [(row.get("crc32") or {}).get("mp4") for row in (here, there)]
    if None not in crc and crc[0] != crc[1]:
        found.append(Change("bytes", "other video bytes"))
    for name in _PLAIN:
        if here.get(name) != there.get(name):
            found.append(Change("facts", f"{name}: {_short(there.get(name))} to {_short(here.get(name))}"))
    for name in ("kind", "uri", "licence"):
        if here["source"][name] != there["source"][name]:
            found.append(Change("facts", f"{name}: {_short(there['source'][name])} to {_short(here['source'][name])}"))
    ours, theirs = here.get("attributes") or {}, there.get("attributes") or {}
    for name in sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        found.append(Change("facts", f"attributes.{name}: {_short(theirs.get(name))} to {_short(ours.get(name))}"))
    for group in ("move", "view"):
        if getattr(look, group) != getattr(other, group):
            found.append(Change("labels", f"{group}: {_labels_said(getattr(other, group), getattr(look, group))}"))
    if look.events != other.events:
        found.append(Change("events", f"events: {len(other.events)} to {len(look.events)}"))
    for name in operations_of([here, there]):
        before, after = endings([there], name)[0], endings([here], name)[0]
        if before != after:
            found.append(Change("status", f"{name}: {_end_said(before)} to {_end_said(after)}"))
    return found + _figure_changes(here, there)


def _figure_changes(here: Row, there: Row) -> list[Change]:
    found = []
    for outer in operations_of([here, there]):
        ours, theirs = here.get(outer) or {}, there.get(outer) or {}
        for name in sorted(ours.keys() | theirs.keys()):
            a, b = theirs.get(name), ours.get(name)
            if not isinstance(a, (int, float)) or not isinstance(b, (int, float)) or abs(a - b) <= _SAME:
                continue
            found.append(Change("figures", f"{outer}.{name}: {a:.4g} to {b:.4g}"))
    return found


def _labels_said(before: str, after: str) -> str:
    a, b = decoded(before), decoded(after)
    if not len(a) or not len(b):
        return "labels gone" if len(a) else "labels new"
    if len(a) != len(b):
        return f"{len(a)} labels to {len(b)}"
    return f"{np.mean(a != b):.1%} of its frames"


def _end_said(end: tuple[str, str]) -> str:
    return "not asked" if not end[0] else f"{end[0]} ({end[1]})" if end[1] else end[0]


def _short(value: Any) -> str:
    text = "none" if value is None else "not stated" if value == "" else str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


@dataclass(frozen=True)
class Agreement:
    """How labels of common clips agree, frame by frame; clips of equal length that both sides have labelled.

    Attributes:
        frames: compared; the last label of a clip moves nowhere and is left out.
        confusion: (10, 10) frames by label there (rows) and here (columns).
    """

    frames: int
    confusion: np.ndarray

    @property
    def equal(self) -> float:
        """Share of frames with one label on both sides."""
        return float(np.trace(self.confusion) / self.frames) if self.frames else float("nan")

    def f1(self, label: int) -> float | None:
        """2 x both / (here + there): agreement on one label; None where neither side has it."""
        total = self.confusion[label].sum() + self.confusion[:, label].sum()
        return float(2 * self.confusion[label, label] / total) if total else None


def agreement(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Labels there and here, as `coded` texts."""
    confusion = np.zeros((10, 10), np.int64)
    for before, after in pairs:
        a, b = decoded(before)[:-1], decoded(after)[:-1]
        if len(a) == len(b) > 0:
            confusion += np.bincount(10 * a.astype(int) + b, minlength=100).reshape(10, 10)
    return Agreement(int(confusion.sum()), confusion)


def overlaid(here: Sequence[Any], there: Sequence[Any]) -> dict[str, Any] | None:
    """Two histograms over one range, each as shares of its own clips; None where there is nothing to draw.

    Returns:
        `bars` (x, y, width, height) of ours and `line`, the path of theirs, in a box of 240 by 70; `least`, `most`.
    """
    sides = [np.array([value for value in values if value is not None], float) for values in (here, there)]
    known = np.concatenate(sides)
    if not len(known) or known.min() == known.max():
        return None
    bounds = (float(known.min()), float(known.max()))
    shares = [np.histogram(one, BINS, bounds)[0] / max(1, len(one)) for one in sides]
    most = max(float(one.max()) for one in shares) or 1.0
    wide = 240 / BINS
    bars = [(f"{i * wide:.1f}", f"{70 - 66 * v / most:.1f}", f"{wide - 1:.1f}", f"{66 * v / most:.1f}")
            for i, v in enumerate(shares[0]) if v]  # fmt: skip
    steps = " ".join(f"V{70 - 66 * v / most:.1f} H{(i + 1) * wide:.1f}" for i, v in enumerate(shares[1]))
    return {"bars": bars, "line": f"M0 70 {steps} V70", "least": bounds[0], "most": bounds[1]}


def figure_rows(ours: Sequence[Row], theirs: Sequence[Row], common: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Per figure: means of both sides, how many common clips changed and by how much, and both histograms."""
    both = {column.name: column for column in figures([*ours, *theirs])}
    rows = []
    for name, column in both.items():
        here, there = column.values[: len(ours)], column.values[len(ours) :]
        pairs = [(here[i], there[j]) for i, j in common if here[i] is not None and there[j] is not None]
        changed = [a - b for a, b in pairs if abs(a - b) > _SAME]
        rows.append({
            "name": name, "here": _mean(here), "there": _mean(there), "common": len(pairs), "changed": len(changed),
            "change": sum(changed) / len(pairs) if pairs else None, "drawn": overlaid(here, there),
        })  # fmt: skip
    return sorted(rows, key=lambda row: -row["changed"])


def _mean(values: Sequence[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def write_comparison(
    collection: Collection,
    other: Collection,
    ours: tuple[Sequence[Row], Mapping[str, Look]],
    theirs: tuple[Sequence[Row], Mapping[str, Look]],
    *,
    menu: Sequence[dict[str, Any]],
    folder: Path,
    hrefs: Mapping[str, str],
) -> Path:
    """Write `compare.html` and its data.

    Args:
        collection: the one that is inspected: here.
        other: the one that it is compared with: there.
        ours: rows and looks of the first.
        theirs: the same of the other.
        menu: pages of the site.
        folder: of the site.
        hrefs: address of each clip's page, by key.
    """
    here, there = {row["key"]: row for row in ours[0]}, {row["key"]: row for row in theirs[0]}
    common = sorted(here.keys() & there.keys())
    found = {key: changes(here[key], there[key], ours[1][key], theirs[1][key]) for key in common}
    changed = [
        {**_entry(here[key], hrefs), "what": [[one.kind, one.said] for one in found[key]]}
        for key in common if found[key]
    ]  # fmt: skip
    lists = {
        "changed": changed,
        "here": [_entry(here[key], hrefs) for key in sorted(here.keys() - there.keys())],
        "there": [_entry(there[key], {}) for key in sorted(there.keys() - here.keys())],
    }
    write_data(folder / "data" / "compare.js", "compare", lists)
    place = [{row["key"]: number for number, row in enumerate(rows)} for rows in (ours[0], theirs[0])]
    labels = {
        group: agreement([(getattr(theirs[1][key], group), getattr(ours[1][key], group)) for key in common])
        for group in ("move", "view")
    }
    kinds = Counter(kind for key in common for kind in {one.kind for one in found[key]})
    return write_page(
        folder / "compare.html",
        "compare.html.j2",
        root="",
        pages=[{**page, "here": page["href"] == "compare.html"} for page in menu],
        here=str(collection.place),
        there=str(other.place),
        title=collection.name,
        other=other.name,
        tiles=[
            (f"{len(lists['here']):,}", "clips only here"), (f"{len(lists['there']):,}", "clips only there"),
            (f"{len(common):,}", "in both"), (f"{len(changed):,}", "of these changed"),
        ],
        totals=_totals(ours, theirs),
        kinds=sorted(kinds.items(), key=lambda one: -one[1]),
        statuses=_statuses(ours[0], theirs[0], here, there, common),
        labels=[(group, one, _matrix(one)) for group, one in labels.items() if one.frames],
        names={
            group: [f"{ARROWS[i]} {LEGEND[i].split(' · ')[side]}" for i in range(10)]
            for group, side in (("move", 0), ("view", -1))
        },
        arrows=ARROWS,
        figures=figure_rows(ours[0], theirs[0], [(place[0][key], place[1][key]) for key in common]),
        lists=[(name, rows[:FIRST_ROWS], len(rows)) for name, rows in lists.items()],
        next_command=f"worldloom inspect {shlex.quote(str(other.place))}",
        facts=[("here", str(collection.place)), ("there", str(other.place))],
    )  # fmt: skip


def _entry(row: Row, hrefs: Mapping[str, str]) -> dict[str, Any]:
    return {
        "key": row["key"], "name": title_of_row(row), "source": row["source"]["kind"],
        "seconds": round(row["seconds"], 2), "page": hrefs.get(row["key"], ""),
    }  # fmt: skip


def _totals(
    ours: tuple[Sequence[Row], Mapping[str, Look]], theirs: tuple[Sequence[Row], Mapping[str, Look]]
) -> list[tuple[str, str, str]]:
    def events(looks: Mapping[str, Look], kind: str = "") -> int:
        return sum(not kind or event[0] == kind for look in looks.values() for event in look.events)

    sides = [
        [
            f"{len(rows):,}", in_hours(sum(row["seconds"] for row in rows)), f"{sum(row['frames'] for row in rows):,}",
            f"{len({row['source']['sha256'] or row['source']['uri'] for row in rows}):,}",
            f"{sum(bool(row['parents']) for row in rows):,}", f"{events(looks):,}", f"{events(looks, 'pair'):,}",
        ]
        for rows, looks in (ours, theirs)
    ]  # fmt: skip
    names = ("clips", "of video", "frames", "source videos", "derived clips", "events", "exit-entry pairs")
    return list(zip(names, *sides, strict=True))


def _statuses(
    ours: Sequence[Row],
    theirs: Sequence[Row],
    here: Mapping[str, Row],
    there: Mapping[str, Row],
    common: Sequence[str],
) -> list[dict[str, Any]]:
    rows = []
    for name in operations_of([*ours, *theirs]):
        moved = Counter(
            (before, after)
            for key in common
            if (before := endings([there[key]], name)[0]) != (after := endings([here[key]], name)[0])
        )
        told = [(f"{_end_said(before)} → {_end_said(after)}", count) for (before, after), count in moved.most_common(6)]
        ok = [sum(end[0] == "ok" for end in endings(side, name)) for side in (ours, theirs)]
        rows.append({"name": name, "here": ok[0], "there": ok[1], "moved": told})
    return rows


def _matrix(one: Agreement) -> list[tuple[int, list[tuple[str, str]], int, float | None]]:
    """Rows of the table of labels there against labels here, those that occur: text and class of each cell, F1."""
    used = [label for label in range(10) if one.confusion[label].any() or one.confusion[:, label].any()]
    rows = []
    for there in used:
        total = int(one.confusion[there].sum())
        cells = []
        for here in used:
            share = one.confusion[there, here] / total if total else 0.0
            kind = "same" if here == there else "m3" if share > 0.3 else "m2" if share > 0.1 else "m1" if share else ""
            cells.append(("" if not share else "<1 %" if share < 0.01 else f"{share:.0%}", kind))
        rows.append((there, cells, total, one.f1(there)))
    return rows
