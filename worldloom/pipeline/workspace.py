"""The working folder of a job: where everything lies, and clips with all that is known about them."""

from __future__ import annotations

import json
import os
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import pyarrow.parquet as pq

from worldloom.catalogs.clip import Annotation, Clip
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.sample import members_to_clip
from worldloom.pipeline.answers import attach
from worldloom.pipeline.funnel import RunSummary, Tally
from worldloom.pipeline.known import KnownClip, annotate_tallies, fill_answers, ingest_tally, known_clips
from worldloom.pipeline.ledger import Entry, Ledger, read_payload
from worldloom.pipeline.parcel import unpack_parcel

STATE = "state.json"
"""Operations and recipes of the job, and how its last run ended."""

ITEMS = "items.parquet"
"""Every source item of the last run, in order, with the recipe and fingerprint it was asked for with."""


class Layout:
    """Where things lie in a working folder; knows nothing of what is in them."""

    def __init__(self, out: Path | str) -> None:
        self.out = Path(out)
        self.dataset = self.out / "dataset"

    def video(self, key: str) -> Path:
        """The mp4 of an ingested clip."""
        return self.out / "clips" / key[:2] / f"{key}.mp4"

    def truth(self, key: str) -> Path:
        """What a renderer knows about a clip; never packed."""
        return self.out / "truth" / key[:2] / f"{key}.zip"

    def blob(self, operation: str, recipe: str, key: str) -> str:
        """A large result, relative to the working folder."""
        return f"blobs/{operation}/{recipe}/{key[:2]}/{key}.npz"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of one's own on the same file system, gone afterwards."""
        folder = self.out / "tmp" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            rmtree(folder, ignore_errors=True)


def put_in_place(draft: Path, target: Path) -> None:
    """Move a finished file to where others look for it: durable, and never half there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    draft.replace(target)


def write_json(path: Path, values: Any) -> None:
    """Write a small JSON file that is either there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    draft.write_text(json.dumps(values, indent=1, sort_keys=True), encoding="utf-8")
    put_in_place(draft, path)


def record_of(layout: Layout, key: str, place: tuple[str, int]) -> Clip:
    """The clip as ingest left it.

    Args:
        layout: of the working folder.
        key: of the clip.
        place: part file and row of its video's payload.
    """
    prefix = f"{key}/"
    parcel = unpack_parcel(read_payload(layout.out, *place))
    clip = members_to_clip(
        key, {name.removeprefix(prefix): data for name, data in parcel.items() if name.startswith(prefix)}
    )
    clip.video = layout.video(key)
    return clip


def answer_of(layout: Layout, payload: bytes) -> dict[str, bytes]:
    """Members of an answer, its blob read from its own file."""
    members = unpack_parcel(payload)
    if "blob" in members:
        members["value.npz"] = (layout.out / members.pop("blob").decode()).read_bytes()
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
            attach(clip, name, operation["gives"], answer_of(layout, read_payload(layout.out, *found)))
    return clip


class Workspace:
    """A working folder, read only: the clips of its job and everything known about them.

    Args:
        out: the folder of a run.

    Raises:
        UsageError: nothing has run there yet.
    """

    def __init__(self, out: Path | str) -> None:
        self.layout = Layout(out)
        self.out = self.layout.out
        try:
            self.state: dict[str, Any] = json.loads((self.out / STATE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{self.out}: nothing has run here yet ({STATE} is missing)") from None
        self._operations: dict[str, dict[str, Any]] = {row["name"]: row for row in self.state["operations"]}
        ledger = Ledger(self.out)
        items = pq.read_table(self.out / ITEMS)
        self._videos = list(ledger.entries(items).values())
        order = {item: number for number, item in enumerate(items["item"].to_pylist())}
        self._videos.sort(key=lambda entry: order[entry.item])
        self._clips = {clip.key: clip for clip in known_clips(self._videos)}
        fill_answers(ledger, self._clips.values(), {row["name"]: row["recipe"] for row in self.state["operations"]})

    @property
    def dataset(self) -> Path:
        """Folder of the dataset; it may not be there yet."""
        return self.layout.dataset

    def clips(self) -> list[str]:
        """Keys of all ingested clips, sorted."""
        return sorted(self._clips)

    def clip(self, key: str) -> KnownClip:
        """Where a clip and its answers lie.

        Raises:
            UsageError: there is no such clip.
        """
        known = self._clips.get(key)
        if known is None:
            raise UsageError(f"{self.out}: there is no clip {key}")
        return known

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
        path = self.layout.truth(key)
        if not path.is_file():
            return None
        try:
            clip = members_to_clip(key, unpack_parcel(path.read_bytes()))
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BadInput("bad_truth", f"cannot be read ({error})", where=path) from None
        clip.video = self.layout.video(key)
        return clip

    def summary(self) -> RunSummary:
        """Where the job stands: ingest and operations from the ledger as it is now, the rest as of the last run."""
        known = {row["name"]: Tally(**row) for row in self.state.get("tables", [])}
        tables = [ingest_tally(self._videos), *annotate_tallies(self._clips.values(), list(self._operations))]
        tables += [known[name] for name in ("compose", "pack") if name in known]
        number = int(self.state.get("manifest", 0))
        return RunSummary(
            tables=tuple(tables),
            out=self.out,
            dataset=self.dataset if number else None,
            manifest=number,
            exit_code=int(self.state.get("exit_code", 0)),
        )

    def problems(self) -> list[Entry]:
        """Ledger rows of videos and operations that were dropped or failed, each with its reason and sentence."""
        answers = [entry for clip in self._clips.values() for entry in clip.answers.values()]
        return [entry for entry in [*self._videos, *answers] if entry.status in ("dropped", "failed")]
