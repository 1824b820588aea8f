"""What there is to inspect: a run's working folder or a dataset, as rows to count and clips to open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import UsageError
from worldloom.report.actions import share_of_actions
from worldloom.report.content import FunnelRow

MOST_ROWS = 2000
"""Clips counted on a run's index page at most; a dataset is counted whole from its catalog."""


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
        place: the folder, as the person gave it.
        what: `run` or `dataset`.
        keys: of all clips, sorted.
        load: a clip by its key.
        truth: its truth by its key, None where there is none.
        rows: what to count; fewer than `keys` where there are very many.
        funnel: the job's table, where this is a run.
        facts: small print by name.
    """

    place: Path
    what: str
    keys: Sequence[str]
    load: Callable[[str], Clip]
    truth: Callable[[str], Clip | None]
    rows: Callable[[], list[ClipRow]]
    funnel: Sequence[FunnelRow] = ()
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


def open_collection(place: Path) -> Collection:
    """What lies at `place`.

    Raises:
        UsageError: neither a run nor a dataset.
    """
    if (place / "state.json").is_file():
        return _run(place)
    if (place / "manifests").is_dir():
        return _dataset(place)
    if (place / "dataset" / "manifests").is_dir():
        return _dataset(place / "dataset")
    raise UsageError(f"{place}: neither a dataset (no manifests/) nor the folder of a run in which something has run")


def _run(place: Path) -> Collection:
    from worldloom.pipeline.workspace import Workspace

    workspace = Workspace(place)
    keys = workspace.clips()
    summary = workspace.summary()
    packed = _dataset(workspace.dataset) if (workspace.dataset / "manifests").is_dir() else None
    known = set(keys)
    derived = [key for key in packed.keys if key not in known] if packed is not None else []

    def load(key: str) -> Clip:
        return packed.load(key) if packed is not None and key in derived else workspace.load(key)

    def rows() -> list[ClipRow]:
        return [row_of_clip(load(key)) for key in [*keys, *derived][:MOST_ROWS]]

    facts = {"working folder": str(place)} | (packed.facts if packed is not None else {"dataset": "none packed yet"})
    return Collection(place, "run", [*keys, *derived], load, workspace.truth, rows, _funnel(summary.tables), facts)


def _funnel(tables: Sequence[object]) -> list[FunnelRow]:
    """The job's table as it is: same names, same meaning."""
    return list(tables)  # type: ignore[arg-type]


def _dataset(place: Path) -> Collection:
    from worldloom.catalogs.dataset import ShardDataset

    dataset = ShardDataset(place)
    keys = sorted(dataset.keys)

    def rows() -> list[ClipRow]:
        return [row_of_clip(dataset.get(key)) for key in keys[:MOST_ROWS]]

    facts = {"dataset": str(place), "clips": str(len(keys))}
    return Collection(place, "dataset", keys, dataset.get, lambda _: None, rows, (), facts)


def sum_of_shares(rows: Sequence[ClipRow], name: str) -> np.ndarray:
    """(10,) frames-weighted counts of `move` or `view` over rows that have labels."""
    total = np.zeros(10)
    for row in rows:
        if shares := getattr(row, name):
            total += np.asarray(shares) * row.seconds * row.fps
    return total
