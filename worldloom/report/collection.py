"""What there is to inspect, a run's working folder or a dataset: clips to look at, rows to count, what was lost."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom.catalogs.clip import Clip
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import absolute, inside, open_store

if TYPE_CHECKING:
    from worldloom.catalogs.dataset import ShardDataset
    from worldloom.pipeline.funnel import Tally
    from worldloom.pipeline.workspace import Workspace
    from worldloom.report.site.problems import Problem
    from worldloom.report.site.throughput import Pace


_READ = ("key", "split", "fps", "frames", "height", "width", "seconds", "caption", "parents")
"""Columns that hold no structure and are read by pages."""
_PLAIN_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Sight:
    """Where one clip lies, for a child process that opens it.

    Attributes:
        key: of the clip.
        payload: see `worldloom.report.site.look.open_clip`; plain data.
        video: what decides how its frames look.
        stamp: what decides all that is known about it.
        wants_row: whether its row of the catalog is to be said along; a dataset has one already.
    """

    key: str
    payload: Mapping[str, Any]
    video: str
    stamp: str
    wants_row: bool = False


@dataclass
class Collection:
    """Clips of one place.

    Attributes:
        place: the folder or address, as the person gave it.
        what: `run` or `dataset`.
        name: a few words to call it by.
        sights: where every clip lies, sorted by key.
        catalog: rows of the catalog by key, as far as clips are packed; see `worldloom.catalogs.catalog`.
        load: a clip by its key, opened in this process.
        truth: its truth by its key, None where there is none.
        funnel: the job's table, where this is a run.
        problems: rows of the run that were dropped or failed.
        pace: what every stage of the run takes, given the seconds of all its clips together.
        facts: small print by name.
    """

    place: Path | str
    what: str
    name: str
    sights: Sequence[Sight]
    catalog: Mapping[str, dict[str, Any]]
    load: Callable[[str], Clip]
    truth: Callable[[str], Clip | None] = lambda _: None
    funnel: Sequence[Tally] = ()
    problems: Callable[[], list[Problem]] = list
    pace: Callable[[float], list[Pace]] = lambda _: []
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """Of all clips, sorted."""
        return [sight.key for sight in self.sights]


def open_collection(place: Path | str) -> Collection:
    """What lies at `place`.

    Args:
        place: the folder or address of a run or a dataset; `DATASET@3` for the dataset as manifest 3 has it.

    Raises:
        UsageError: neither a run nor a dataset.
    """
    if open_store(place).exists("state.json"):
        return _run(place)
    for candidate in (place, inside(place, "dataset")):
        if _is_dataset(candidate):
            return _dataset(candidate)
    base, at, number = str(place).rpartition("@")
    if at and number.isascii() and number.isdecimal():
        for candidate in (base, inside(base, "dataset")):
            if _is_dataset(candidate):
                return _dataset(candidate, int(number))
    raise UsageError(f"{place}: neither a dataset (no manifests/) nor the folder of a run in which something has run")


def whole_key(collection: Collection, beginning: str) -> str:
    """The one key that begins so.

    Raises:
        UsageError: none does, or several do.
    """
    found = [key for key in collection.keys if key.startswith(beginning)]
    if beginning in found:
        return beginning
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{collection.place}: {len(found)} clips begin with {beginning}; give more of the key")
    raise UsageError(
        f"{collection.place}: there is no clip {beginning}; list them with: worldloom inspect {collection.place}"
    )


def _is_dataset(place: Path | str) -> bool:
    return any(True for _ in open_store(place).names("manifests"))


def _run(place: Path | str) -> Collection:
    from worldloom.pipeline.workspace import Workspace
    from worldloom.report.site.problems import problems_of
    from worldloom.report.site.throughput import paces

    space = Workspace(place)
    packed = _dataset(space.dataset) if _is_dataset(space.dataset) else None
    by_key = {} if packed is None else {sight.key: sight for sight in packed.sights}
    sights = _sights_of_run(space, by_key)
    known = {sight.key for sight in sights}
    sights += [sight for key, sight in by_key.items() if key not in known]

    def load(key: str) -> Clip:
        return space.load(key) if key in known or packed is None else packed.load(key)

    return Collection(
        place,
        "run",
        space.state.name or Path(absolute(place)).name,
        sorted(sights, key=lambda sight: sight.key),
        {} if packed is None else packed.catalog,
        load,
        lambda key: space.truth(key) if key in known else None,
        space.summary().tables,
        lambda: problems_of(space),
        lambda seconds: paces(space, seconds),
        {"working folder": str(place)} | ({"dataset": "none packed yet"} if packed is None else packed.facts),
    )


def _sights_of_run(space: Workspace, packed: Mapping[str, Sight]) -> list[Sight]:
    operations = space.operations
    out = str(absolute(space.out))
    sights = []
    for clip in space.known():
        payload: dict[str, Any] = {
            "key": clip.key,
            "out": out,
            "record": clip.record,
            "operations": operations,
            "answers": clip.answer_places(),
        }
        if clip.key in packed:
            payload |= {name: packed[clip.key].payload[name] for name in ("dataset", "number")}
        answers = sorted((name, one.digest, one.status, one.reason) for name, one in clip.answers.items())
        sights.append(Sight(clip.key, payload, clip.record_digest, f"{clip.record_digest} {answers}", True))
    return sights


def _dataset(place: Path | str, number: int | None = None) -> Collection:
    from worldloom.catalogs.dataset import ShardDataset

    dataset = ShardDataset(place, number=number)
    catalog = rows_of(dataset)
    opened = {"dataset": str(absolute(place)), "number": dataset.manifest.number}
    sights = [
        Sight(key, {"key": key, **opened}, str(crc.get("mp4")), str(sorted(crc.items())))
        for key, crc in ((row["key"], row["crc32"]) for row in catalog.values())
    ]
    facts = {"dataset": str(place), "manifest": str(dataset.manifest.number), "samples": f"{len(catalog):,}"}
    name = dataset.manifest.name or Path(absolute(place)).name
    name += "" if number is None else f", manifest {number}"
    return Collection(
        place, "dataset", name, sorted(sights, key=lambda one: one.key), catalog, dataset.get, facts=facts
    )


def rows_of(dataset: ShardDataset) -> dict[str, dict[str, Any]]:
    """The rows of a dataset's catalog by key; the places of members become their checksums, `crc32`.

    What the catalog of somebody else may lack or hold otherwise (only keys and places were checked) is made plain here.
    """
    table = dataset.table
    wanted = [name for name in table.column_names if name not in ("offset", "length")]
    found = {}
    for row in table.select(wanted).to_pylist():
        row["crc32"] = {member["name"]: member["crc32"] for member in row.pop("members") or ()}
        found[row["key"]] = plain_row(row)
    return found


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with all plain columns that pages read, each of its type; of other columns, those that hold a structure."""
    row = {name: value for name, value in row.items() if name in _READ or isinstance(value, Mapping)}
    for name in ("seconds", "fps"):
        row[name] = _number(row.get(name))
    for name in ("frames", "width", "height"):
        row[name] = int(_number(row.get(name)))
    source = row["source"] if isinstance(row.get("source"), Mapping) else {}
    row["source"] = {name: _text(source.get(name)) for name in ("kind", "uri", "licence", "sha256", "retrieved_at")}
    row["split"] = _text(row.get("split"))
    row["parents"] = list(row["parents"]) if isinstance(row.get("parents"), list | tuple) else []
    row["caption"] = row["caption"] if isinstance(row.get("caption"), str) else None
    return row


def _number(value: Any) -> float:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12
    return float(value) if usable else 0.0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def file_stem(key: str) -> str:
    """What files about a clip are called: its key, or a digest of one that a file may not be called by."""
    return key if _PLAIN_KEY.fullmatch(key) else "x" + hashlib.sha256(key.encode()).hexdigest()[:25]
