"""The working folder of a job: where everything lies, and clips with all that is known about them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloom.catalogs.clip import Annotation, Clip
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import BadInput, UsageError, WorldloomError
from worldloom.catalogs.manifest import numbers
from worldloom.catalogs.sample import members_to_clip
from worldloom.pipeline.answers import attach
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.known import (
    REPEATED,
    KnownClip,
    annotate_tallies,
    find_answers,
    ingest_tally,
    is_among,
    known_clips,
    repeated_videos,
)
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Entry, Ledger, read_payload
from worldloom.pipeline.parcel import record_members, stored_name, unpack_parcel
from worldloom.pipeline.sources.source import kind_and_uri
from worldloom.pipeline.state import WRITTEN_ANEW, read_state

ITEMS = "items.parquet"
"""Every source item of the last run, in order, with the recipe and fingerprint it was asked for with."""

_INPUTS_AT_ONCE = 10_000


def record_of(layout: Layout, key: str, place: tuple[str, int]) -> Clip:
    """The clip as ingest left it.

    Args:
        layout: of the working folder.
        key: of the clip.
        place: part file and row of its video's payload.
    """
    parcel = unpack_parcel(read_payload(layout.store, *place))
    members, recipe = record_members(parcel, key)
    clip = members_to_clip(key, members)
    clip.video = layout.video(recipe, stored_name(parcel, key))
    return clip


def answer_of(layout: Layout, payload: bytes) -> dict[str, bytes]:
    """Members of an answer, its blob read from its own file.

    Raises:
        WorldloomError: the file is gone, or no longer what was written.
    """
    members = unpack_parcel(payload)
    if "blob" in members:
        name, sha256 = members.pop("blob").decode(), members.pop("blob.sha256").decode()
        where = f"{layout.out}/{name}"
        remedy = "restore it from a copy, or run the job into another `out`"
        try:
            value = layout.store.read(name)
        except FileNotFoundError:
            raise WorldloomError(f"{where}: the answer that lay here is gone; {remedy}") from None
        if hashlib.sha256(value).hexdigest() != sha256:
            raise WorldloomError(f"{where}: the answer that lay here was changed or is damaged; {remedy}")
        members["value.npz"] = value
    return members


def load_clip(
    layout: Layout,
    key: str,
    record: tuple[str, int],
    operations: Iterable[Mapping[str, Any]],
    answers: Mapping[str, Any],
) -> Clip:
    """A clip with the answers of these operations; one that failed leaves its line in `annotations`.

    Args:
        layout: of the working folder.
        key: of the clip.
        record: part file and row of its record.
        operations: `name`, `gives`, `method` and `version` of each.
        answers: by operation, part file and row, or the reason it failed for.
    """
    clip = record_of(layout, key, record)
    for operation in operations:
        name = operation["name"]
        found = answers.get(name)
        if isinstance(found, str):
            clip.annotations[name] = Annotation("failed", operation["method"], operation["version"], found, 0.0)
        elif found is not None:
            attach(clip, name, operation["gives"], answer_of(layout, read_payload(layout.store, *found)))
    return clip


def files_of(layout: Layout, key: str, place: tuple[str, int]) -> tuple[str, str]:
    """The recipe and the name under which a clip's files lie; arguments as for `record_of`."""
    parcel = unpack_parcel(read_payload(layout.store, *place))
    return record_members(parcel, key)[1], stored_name(parcel, key)


def truth_of(layout: Layout, key: str, place: tuple[str, int]) -> Clip | None:
    """What the renderer knows about a clip of a rendered world; None for every other clip.

    Args:
        layout: of the working folder.
        key: of the clip.
        place: part file and row of its video's payload.

    Raises:
        BadInput: `bad_truth`, the file is damaged.
    """
    files = files_of(layout, key, place)
    name = layout.truth_name(*files)
    try:
        clip = members_to_clip(key, unpack_parcel(layout.store.read(name)))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput("bad_truth", f"cannot be read ({error})", where=f"{layout.out}/{name}") from None
    clip.video = layout.video(*files)
    return clip


class Workspace:
    """A working folder, read only: the clips of its job and everything known about them.

    Args:
        out: the folder of a run.

    Raises:
        UsageError: nothing has run there yet.
        WorldloomError: a file of the folder is damaged.
    """

    def __init__(self, out: Path | str) -> None:
        self.layout = Layout(out)
        self.out = self.layout.out
        self.state = read_state(self.layout)
        operations = [operation.model_dump() for operation in self.state.operations]
        self._operations: dict[str, dict[str, Any]] = {row["name"]: row for row in operations}
        self._ledger = Ledger(self.out)
        self._known = known_clips(self._ledger, self._items())
        find_answers(self._ledger, self._known, operations)
        keys = self._known.table["key"].to_pylist()
        self._numbers: dict[str, int] = {key: number for number, key in enumerate(keys)}

    @property
    def dataset(self) -> Path | str:
        """Folder of the dataset; it may not be there yet."""
        return self.layout.dataset

    def clips(self) -> list[str]:
        """Keys of all ingested clips, sorted."""
        return sorted(self._numbers)

    def clip(self, key: str) -> KnownClip:
        """What the ledger says about a clip; nothing of it is opened.

        Raises:
            UsageError: there is no such clip.
        """
        if key not in self._numbers:
            raise UsageError(f"{self.out}: there is no clip {key}" + nearest(key, sorted(self._numbers)))
        return self._known.clip(self._numbers[key])

    def known(self) -> Iterator[KnownClip]:
        """What the ledger says about every clip, in the order of the sources; nothing is opened."""
        return self._known.rows()

    @property
    def operations(self) -> list[dict[str, Any]]:
        """`name`, `gives`, `method`, `version` and so on of every operation of the job, in order."""
        return list(self._operations.values())

    def seconds_per_row(self) -> dict[str, float]:
        """Mean wall-clock time of one row, by pass and operation; a row runs on one core unless it is a GPU's."""
        return self._ledger.seconds_per_row()

    def left_out(self) -> list[dict[str, Any]]:
        """What compose dropped when it ran last: `key`, `uri`, `reason` and `told`, the figures or the copy behind it.

        Raises:
            BadInput: `bad_dropped`, the list is damaged.
        """
        from worldloom.pipeline.passes.dropped import read_dropped

        return [{**row, "told": json.loads(row["told"])} for row in read_dropped(self.layout).to_pylist()]

    def load(self, key: str, operations: Iterable[str] | None = None) -> Clip:
        """A clip with its annotations.

        Args:
            key: of the clip.
            operations: which to attach; all that have an answer where not given.

        Raises:
            UsageError: there is no such clip.
        """
        known = self.clip(key)
        wanted = set(self._operations) if operations is None else set(operations)
        rows = [row for name, row in self._operations.items() if name in wanted]
        return load_clip(self.layout, key, known.record, rows, known.answer_places())

    def truth(self, key: str) -> Clip | None:
        """What the renderer knows about a clip of a rendered world; None for every other clip.

        Raises:
            BadInput: `bad_truth`, the file is damaged.
        """
        return truth_of(self.layout, key, self.clip(key).record)

    def truth_name(self, key: str) -> str:
        """Where in the working folder the renderer's knowledge about a clip lies, if there is any."""
        return self.layout.truth_name(*files_of(self.layout, key, self.clip(key).record))

    def summary(self) -> RunSummary:
        """Where the job stands: ingest, operations and dataset as they are now, compose and pack as they last ran."""
        tables = [ingest_tally(self._known), *annotate_tallies(self._known, list(self._operations))]
        earlier = " and ".join(tally.name for tally in self.state.earlier)
        committed = numbers(self.dataset)
        return RunSummary(
            tables=(*tables, *self.state.packing()),
            out=self.out,
            dataset=self.dataset if committed else None,
            manifest=committed[-1] if committed else 0,
            exit_code=self.state.exit_code,
            notes=(f"{earlier}: as of an earlier run, which got further than the last",) if earlier else (),
        )

    def _items(self) -> pa.Table:
        where = f"{self.out}/{ITEMS}"
        try:
            return pq.read_table(self.layout.store.local(ITEMS), columns=["item", "recipe", "source"])
        except FileNotFoundError:
            raise WorldloomError(f"{where}: missing; {WRITTEN_ANEW}") from None
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk says so, not the file
            raise WorldloomError(f"{where}: damaged ({' '.join(str(error).split())}); {WRITTEN_ANEW}") from None

    def inputs(self) -> Iterator[pa.Table]:
        """Every video or thing that the job's sources listed, in their order, some at a time: `item`, and `status`,
        `reason`, `error`, `attempts`, `told` and `at` of its ledger row, null where it has none yet."""
        repeated = {entry.item: entry for entry in self._repeated()}
        names = ("status", "reason", "error", "told")
        for start in range(0, len(self._known.videos), _INPUTS_AT_ONCE):
            videos = self._known.videos.slice(start, _INPUTS_AT_ONCE)
            rows = self._ledger.rows(videos["sequence"].to_numpy(), (*names, "attempts", "at"))
            rows = rows.add_column(0, "item", videos["item"])
            again = [repeated.get(item) for item in rows["item"].to_pylist()] if repeated else []
            if any(again):
                for name in names:
                    said = rows[name].to_pylist()
                    said = [getattr(one, name) if one else value for one, value in zip(again, said, strict=True)]
                    rows = rows.set_column(rows.column_names.index(name), name, pa.array(said, pa.string()))
            yield rows

    def problems(self) -> list[Entry]:
        """Ledger rows of videos and operations that were dropped or failed, each with its reason and sentence; and the
        videos that are `duplicate`, which is said of no row, for it is the job's order that makes them so."""
        lost = {"dropped", "failed"}
        videos = self._known.videos
        of_videos = videos["sequence"].to_numpy()[is_among(videos["status"], lost)]
        numbers, sequences = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for answers in self._known.answers.values():
            rows = np.flatnonzero(is_among(answers["status"], lost))
            numbers.append(rows)
            sequences.append(answers["sequence"].to_numpy()[rows])
        by_clip = np.concatenate(sequences)[np.argsort(np.concatenate(numbers), kind="stable")]
        found = [self._ledger.entries_at(some.astype(np.int64)) for some in (of_videos, by_clip)]
        return [*found[0], *self._repeated(), *found[1]]

    def _repeated(self) -> list[Entry]:
        """Videos all of whose clips come from earlier ones, with the sentence that names one of these."""
        sequences = self._known.videos["sequence"].to_numpy()[repeated_videos(self._known)]
        found = []
        for entry in self._ledger.entries_at(sequences.astype(np.int64)):
            keys = [one["key"] for one in entry.facts["clips"]]
            first = self._known.table["item"][self._numbers[keys[0]]].as_py()
            kind, uri = kind_and_uri(first)
            said = f"all of it has come already, from {uri} ({kind})"
            found.append(replace(entry, status="dropped", reason=REPEATED, error=said, told="{}"))
        return found
