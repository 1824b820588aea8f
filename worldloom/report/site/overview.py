"""What the overview says in words, tables and its first cards; its script adds the rest from `data/clips.js`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from worldloom.report.content import FunnelRow
from worldloom.report.site.columns import Row, endings, facets, operations_of, title_of_row
from worldloom.report.site.look import decoded, shortened
from worldloom.report.site.looks import Look

FIRST_CARDS = 24
"""Cards that a page has without its script."""
_CELLS = 96
_SHOWN_VALUES = 12
KINDS = {"pair": "exit-entry pair", "interval": "hidden in between", "exit": "exit only", "entry": "entry only"}


@dataclass(frozen=True)
class Chip:
    """A reason with its count, and where its rows are to be seen."""

    kind: str
    says: str
    count: int
    href: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a funnel, ready for the template: `parts` are (kind, left, width) in per cent."""

    name: str
    inputs: int
    ok: int
    out: int | str
    part_of: str
    balanced: bool
    parts: list[tuple[str, str, str]]
    chips: list[Chip]


def funnel_lines(rows: Iterable[Any], *, quarantine: str = "", clips: str = "") -> list[Line]:
    """Lines of a funnel.

    Args:
        rows: `Tally` or `FunnelRow`.
        quarantine: page that dropped and failed rows are on; empty for none.
        clips: page whose clips are filtered by how an operation ended; empty for none.
    """
    lines = []
    for row in rows:
        lost = {kind: dict(getattr(row, kind)) for kind in ("absent", "dropped", "failed")}
        counts = {"ok": row.ok} | {kind: sum(reasons.values()) for kind, reasons in lost.items()}
        left, parts = 0.0, []
        for kind, count in counts.items():
            width = 100 * count / row.inputs if row.inputs else 0.0
            if count:
                parts.append((kind, f"{left:.3f}", f"{width:.3f}"))
            left += width
        chips = [
            Chip(kind, f"{'nothing to say' if kind == 'absent' else kind}: {reason or 'unnamed'}", count,
                 _where(row, kind, reason, quarantine, clips))
            for kind, reasons in lost.items() for reason, count in sorted(reasons.items(), key=lambda one: -one[1])
        ]  # fmt: skip
        out = "" if row.part_of else row.ok if row.out is None else row.out
        lines.append(Line(row.name, row.inputs, row.ok, out, row.part_of, row.balanced, parts, chips))
    return lines


def _where(row: Any, kind: str, reason: str, quarantine: str, clips: str) -> str:
    if kind == "absent" or not quarantine:
        return f"{clips}#{urlencode({f'status.{row.name}': _ended(kind, reason)})}" if clips else ""
    if row.name == "annotate" and not row.part_of:
        return f"{quarantine}#{urlencode({'stage': reason})}"  # there, the reason is the operation that failed
    return f"{quarantine}#{urlencode({'stage': row.name, 'reason': reason or 'unnamed'})}"


def _ended(status: str, reason: str) -> str:
    return f"{status}: {reason}" if reason else status


def annotation_rows(rows: Sequence[Row]) -> list[FunnelRow]:
    """Per annotation how many clips have it, and why others do not."""
    table = []
    for name in operations_of(rows):
        counted = Counter(end for end in endings(rows, name) if end[0])
        lost: dict[str, dict[str, int]] = {"absent": {}, "failed": {}}
        for (status, reason), count in counted.items():
            if status in lost:
                lost[status][reason] = count
        ok = sum(count for (status, _), count in counted.items() if status not in lost)
        table.append(FunnelRow(name, counted.total(), ok, absent=lost["absent"], failed=lost["failed"]))
    return table


def tiles(rows: Sequence[Row], looks: Mapping[str, Look], lost: int) -> list[tuple[str, str]]:
    """A few figures in large type."""
    found = [(f"{len(rows):,}", "clips"), (in_hours(sum(row["seconds"] for row in rows)), "of video")]
    posed = sum((row.get("pose") or {}).get("status") == "ok" for row in rows)
    if any((row.get("pose") or {}).get("status") for row in rows):
        found.append((f"{posed / max(1, len(rows)):.0%}", "of clips posed"))
    events = Counter(str(event[0]) for look in looks.values() for event in look.events)
    if any((row.get("events") or {}).get("status") for row in rows):
        found += [(f"{events.total():,}", "events"), (f"{events['pair']:,}", "exit-entry pairs")]
    density = [value for row in rows if isinstance(value := (row.get("revisits") or {}).get("density"), float)]
    if density:
        found.append((f"{sum(density) / len(density):.0%}", "mean revisit density"))
    if lost:
        found.append((f"{lost:,}", "rows in quarantine"))
    return found


def in_hours(seconds: float) -> str:
    """`48 s`, `12.5 min` or `3.2 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def counts(rows: Sequence[Row], looks: Mapping[str, Look]) -> list[tuple[str, list[tuple[str, int]], int]]:
    """Tables of how many clips have which value: name, the commonest values, and how many more there are."""
    events = Counter(KINDS.get(str(event[0]), str(event[0])) for look in looks.values() for event in look.events)
    found = [(column.name, Counter(_said(value) for value in column.values)) for column in facets(rows)]
    tables = []
    for name, counted in [*found, ("events", events)]:
        most = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
        if most:
            tables.append((name, most[:_SHOWN_VALUES], max(0, len(most) - _SHOWN_VALUES)))
    return tables


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "(none)" if value is None else value or "(not stated)"


def first_cards(
    rows: Sequence[Row], looks: Mapping[str, Look], hrefs: Mapping[str, str], count: int = FIRST_CARDS
) -> list[dict[str, Any]]:
    """The first cards, as the template draws them."""
    cards = []
    for row in rows[:count]:
        look = looks.get(row["key"]) or Look()
        ends = [(name, endings([row], name)[0][0]) for name in operations_of([row])]
        ends.sort(key=lambda end: {"failed": 0, "absent": 1}.get(end[1], 2))  # what is missing is seen first
        cards.append({
            "key": row["key"], "name": title_of_row(row),
            "href": hrefs.get(row["key"], ""), "strip": f"thumbs/{look.strip}" if look.strip else "",
            "trouble": look.trouble, "seconds": f"{row['seconds']:.1f} s", "source": row["source"]["kind"],
            "size": f"{row['width']}×{row['height']}", "badges": ends,
            "move": _lane(look.move), "view": _lane(look.view), "events": _marks(look.events, row["frames"]),
            "told": _told(look),
        })  # fmt: skip
    return cards


def _lane(text: str) -> list[tuple[str, str, int]]:
    from worldloom.report.actions import runs

    labels = decoded(shortened(text, _CELLS))
    scale = 1000 / max(1, len(labels))
    return [(f"{first * scale:.1f}", f"{(end - first) * scale:.1f}", label) for first, end, label in runs(labels)]


def _marks(events: Sequence[Sequence[Any]], frames: int) -> list[tuple[str, str, str]]:
    marks = []
    for kind, first, end in events:
        left = 1000 * (first or 0) / max(1, frames)
        right = 1000 * (frames if end is None else end) / max(1, frames)
        marks.append((f"{min(left, 994):.1f}", f"{max(6.0, right - left):.1f}", str(kind)))
    return marks


def _told(look: Look) -> str:
    labels = decoded(look.move)
    if not len(labels):
        return "no action labels"
    from worldloom.report.actions import LEGEND

    share = Counter(labels.tolist()).most_common(2)
    said = " and ".join(f"{LEGEND[label].split(' · ')[0]} {count / len(labels):.0%}" for label, count in share)
    return f"moves: {said}; {len(look.events)} events"
