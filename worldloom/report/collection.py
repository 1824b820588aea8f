"""What there is to inspect: a run's working folder or a dataset, as rows to count and clips to open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import inside, open_store
from worldloom.report.actions import share_of_actions
from worldloom.report.content import FunnelRow

if TYPE_CHECKING:
    from worldloom.pipeline.funnel import Tally

MOST_ROWS = 2000
"""Clips that were not packed, counted on a run's index page at most; the others are counted from the catalog."""


@dataclass(frozen=True)
class ClipRow:
    """What an index page counts of one clip.

    Attributes:
        key: of the clip.
        seconds: its length.
        size: e.g. `480×272`.
        fps: frames per second.
        licence: as stated; empty where unknown.
        kind: of its source.
        split: of the dataset; empty where there is none.
        status: per annotation `ok`, `absent` or `failed`.
        reason: per annotation that is not ok.
        move: ten shares of its frames by action; empty where not labelled.
        view: the same for view.
        events: number of events by kind.
        density: share of frames with a revisit partner; NaN where not known.
        derived: whether it was made from another clip (reversed, cut).
    """

    key: str
    seconds: float
    size: str
    fps: float
    licence: str = ""
    kind: str = ""
    split: str = ""
    status: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str] = field(default_factory=dict)
    move: list[float] = field(default_factory=list)
    view: list[float] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)
    density: float = float("nan")
    derived: bool = False


@dataclass
class Collection:
    """Clips of one place.

    Attributes:
        place: the folder or address, as the person gave it.
        what: `run` or `dataset`.
        keys: of all clips, sorted.
        load: a clip by its key.
        truth: its truth by its key, None where there is none.
        rows: what to count; fewer than `keys` where there are very many.
        funnel: the job's table, where this is a run.
        facts: small print by name.
    """

    place: Path | str
    what: str
    keys: Sequence[str]
    load: Callable[[str], Clip]
    truth: Callable[[str], Clip | None]
    rows: Callable[[], list[ClipRow]]
    funnel: Sequence[FunnelRow | Tally] = ()
    facts: dict[str, str] = field(default_factory=dict)


def row_of_clip(clip: Clip, split: str = "") -> ClipRow:
    """The row of a clip from the clip itself."""
    kinds = [event.kind for event in clip.events]
    return ClipRow(
        key=clip.key,
        seconds=clip.seconds,
        size=f"{clip.width}×{clip.height}",
        fps=float(clip.fps),
        licence=clip.provenance.licence,
        kind=clip.provenance.kind,
        split=split,
        status={name: note.status for name, note in clip.annotations.items()},
        reason={name: note.reason for name, note in clip.annotations.items() if note.status != "ok"},
        move=[] if clip.actions is None else share_of_actions(clip.actions.move),
        view=[] if clip.actions is None else share_of_actions(clip.actions.view),
        events={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        density=float("nan") if clip.revisits is None else float(clip.revisits.density),
        derived=bool(clip.provenance.parents),
    )


def open_collection(place: Path | str) -> Collection:
    """What lies at `place`.

    Raises:
        UsageError: neither a run nor a dataset.
    """
    if open_store(place).exists("state.json"):
        return _run(place)
    for candidate in (place, inside(place, "dataset")):
        if _is_dataset(candidate):
            return _dataset(candidate)
    raise UsageError(f"{place}: neither a dataset (no manifests/) nor the folder of a run in which something has run")


def _is_dataset(place: Path | str) -> bool:
    return any(True for _ in open_store(place).names("manifests"))


def _run(place: Path | str) -> Collection:
    from worldloom.pipeline.workspace import Workspace

    workspace = Workspace(place)
    ingested = workspace.clips()
    known = set(ingested)
    packed = _dataset(workspace.dataset) if _is_dataset(workspace.dataset) else None
    derived = [] if packed is None else [key for key in packed.keys if key not in known]

    def load(key: str) -> Clip:
        return workspace.load(key) if key in known or packed is None else packed.load(key)

    def rows() -> list[ClipRow]:
        counted = [] if packed is None else packed.rows()
        left_out = sorted(known - {row.key for row in counted})
        return counted + [row_of_clip(workspace.load(key)) for key in left_out[:MOST_ROWS]]

    facts = {"working folder": str(place)} | ({"dataset": "none packed yet"} if packed is None else packed.facts)
    keys = [*ingested, *derived]
    return Collection(place, "run", keys, load, workspace.truth, rows, workspace.summary().tables, facts)


def _dataset(place: Path | str) -> Collection:
    from worldloom.catalogs.dataset import ShardDataset

    dataset = ShardDataset(place)
    table = dataset.table
    keys = sorted(table["key"].to_pylist())

    def rows() -> list[ClipRow]:
        wanted = [name for name in table.column_names if name not in ("members", "caption", "offset", "length")]
        return [row_of_catalog(row) for row in table.select(wanted).to_pylist()]

    facts = {"dataset": str(place), "samples": f"{len(keys):,}"}
    return Collection(place, "dataset", keys, dataset.get, lambda _: None, rows, (), facts)


def row_of_catalog(row: dict[str, Any]) -> ClipRow:
    """The row of a clip from its row of the catalog, without opening a shard."""
    notes = {
        name: value
        for name, value in row.items()
        if name != "attributes" and isinstance(value, dict) and value.get("status")
    }
    source, actions, density = row["source"], row.get("actions") or {}, (row.get("revisits") or {}).get("density")
    return ClipRow(
        key=row["key"],
        seconds=row["seconds"],
        size=f"{row['width']}×{row['height']}",
        fps=row["fps"],
        licence=source["licence"],
        kind=source["kind"],
        split=row["split"],
        status={name: note["status"] for name, note in notes.items()},
        reason={name: note["reason"] for name, note in notes.items() if note["status"] != "ok"},
        move=_shares(actions.get("move")),
        view=_shares(actions.get("view")),
        events=_kinds(row.get("events") or {}),
        density=float("nan") if density is None else density,
        derived=bool(row["parents"]),
    )


def _shares(counts: list[int] | None) -> list[float]:
    return [] if not counts else [count / max(1, sum(counts)) for count in counts]


def _kinds(events: dict[str, Any]) -> dict[str, int]:
    """Events by kind from the catalog's figures, where an interval counts as an exit and as an entry."""
    count, exits, entries = (events.get(name) or 0 for name in ("count", "exits", "entries"))
    pairs = events.get("pairs") or 0
    kinds = {
        "entry": count - exits,
        "exit": count - entries,
        "interval": exits + entries - count - pairs,
        "pair": pairs,
    }
    return {kind: number for kind, number in kinds.items() if number}


def sum_of_shares(rows: Sequence[ClipRow], name: str) -> np.ndarray:
    """(10,) frames-weighted counts of `move` or `view` over rows that have labels."""
    total = np.zeros(10)
    for row in rows:
        if shares := getattr(row, name):
            total += np.asarray(shares) * row.seconds * row.fps
    return total
