"""Clips as the driver knows them: columns of places and digests from the ledger, no pixels, no arrays, no figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldloom.catalogs.config import digest
from worldloom.catalogs.memory import give_memory_back
from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.ledger import WITHDRAWN, Ledger

if TYPE_CHECKING:
    from worldloom.pipeline.operation import Operation

BATCH = 4096
"""Clips, or source items, of which everything is in memory at once."""

REPEATED = "duplicate"
"""Why a video is dropped whose clips have all come from an earlier one."""

ROWS = 256
"""Clips that are made one by one are made so many at a time: what waits for a worker must not fill the driver."""

_CLIP = pa.schema(
    [
        ("key", pa.string()),
        ("source", pa.string()),
        ("part", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.int32()),
        ("record_digest", pa.string()),
        ("bytes", pa.int64()),
        ("frames", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("item", pa.string()),
        ("uri", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("given", pa.dictionary(pa.int32(), pa.string())),
        ("video", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one operation said about one clip; see `worldloom.pipeline.ledger.Entry`."""

    status: str
    reason: str
    digest: str
    part: str
    row: int
    bytes: int
    sequence: int

    @property
    def place(self) -> Any:
        """Part file and row of the answer, or the reason it failed for."""
        return [self.part, self.row] if self.part else self.reason


@dataclass(frozen=True, slots=True)
class KnownClip:
    """One clip, looked at by itself.

    Attributes:
        number: row of the clip among all.
        key: of the clip.
        source: digest of what its annotations depend on beside their recipes.
        record: part file and row of its record.
        record_digest: of that payload.
        bytes: size of its mp4.
        frames: T.
        width: pixels.
        height: pixels.
        sha256: of the video it was cut from.
        item: source item it comes from.
        uri: of that video.
        given: operations that the source has answered.
        answers: by operation.
    """

    number: int
    key: str
    source: str
    record: tuple[str, int]
    record_digest: str
    bytes: int
    frames: int
    width: int
    height: int
    sha256: str
    item: str
    uri: str
    given: tuple[str, ...]
    answers: dict[str, Answer] = field(default_factory=dict)

    def answer_places(self) -> dict[str, Any]:
        """By operation, part file and row of its answer, or the reason it failed for."""
        return {name: answer.place for name, answer in self.answers.items()}


@dataclass
class KnownClips:
    """All clips of a job, numbered in the order of the sources.

    The same stretch of the same video has one key wherever it was found; the first item in order keeps it.

    Attributes:
        table: a row per clip: key, source, part and row of its record and its digest, size, what it was cut from.
        videos: a row per source item: item, and how its ingest ended, see `ledger.ANSWER_COLUMNS`.
        answers: by operation, a row per clip in `ledger.ANSWER_COLUMNS`; nulls where there is no answer.
        sources: digest per clip under which an operation that builds on a person's correction is looked up; other
            operations go by the column `source`.
        set_by_hand: by operation, which clips a person has answered; operations without any are left out.
    """

    table: pa.Table
    videos: pa.Table
    answers: dict[str, pa.Table] = field(default_factory=dict)
    sources: dict[str, pa.Array] = field(default_factory=dict)
    set_by_hand: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> np.ndarray:
        """A column of numbers."""
        return np.asarray(self.table[name].to_numpy())

    def given(self, operation: str) -> np.ndarray:
        """Which clips the source itself has answered this operation for."""
        column = self.table["given"].combine_chunks()
        kinds = np.array([operation in text.split() for text in column.dictionary.to_pylist()] or [False])
        return np.asarray(kinds[column.indices.to_numpy()], bool) if len(column) else np.zeros(0, bool)

    def has(self, operation: str, *statuses: str) -> np.ndarray:
        """Which clips have an answer, with one of these statuses where any are named."""
        found = self.answers[operation]["status"]
        if not statuses:
            return np.asarray(found.is_valid().to_numpy())
        # Compared with the few words there are, not with every row.
        return is_among(found, set(statuses))

    def source_of(self, operation: str) -> pa.Array:
        """Digests under which the operation's answers lie, one per clip."""
        return self.sources.get(operation, self.table["source"])

    def clip(self, number: int) -> KnownClip:
        """One clip."""
        return next(self.rows([number]))

    def rows(self, numbers: Sequence[int] | np.ndarray | None = None) -> Iterator[KnownClip]:
        """Clips one by one, made in batches; all of them, in order, where no numbers are given."""
        asked = np.arange(len(self)) if numbers is None else np.asarray(numbers, np.int64)
        for start in range(0, len(asked), ROWS):
            chosen = asked[start : start + ROWS]
            answers = {name: _answers(table, chosen) for name, table in self.answers.items()}
            for place, row in enumerate(
                self.table.take(pa.array(chosen)).drop_columns(["video", "parents"]).to_pylist()
            ):
                row["record"] = row.pop("part"), row.pop("row")
                row["given"] = tuple(row["given"].split())
                found = {name: answer for name, column in answers.items() if (answer := column[place]) is not None}
                yield KnownClip(number=int(chosen[place]), answers=found, **row)


def known_clips(ledger: Ledger, items: pa.Table) -> KnownClips:
    """The clips of ingested videos.

    Args:
        ledger: where they are looked up.
        items: columns item, recipe (one for all) and source, in the order of the sources.
    """
    if not len(items):
        return KnownClips(_CLIP.empty_table(), _videos(ledger, items))
    videos = _videos(ledger, items)
    sequences = videos["sequence"].fill_null(-1).to_numpy()
    # In the order in which they were written, a batch lies in few row groups of the ledger.
    due = np.flatnonzero(is_among(videos["status"], {"ok"}))
    due = due[np.argsort(sequences[due], kind="stable")]
    batches = []
    for start in range(0, len(due), BATCH):
        chosen = due[start : start + BATCH]
        told = ledger.rows(sequences[chosen], ["told"])["told"]
        for first in range(0, len(chosen), ROWS):
            some = chosen[first : first + ROWS]
            batches.append(_clips_of(videos.take(pa.array(some)), some, told.slice(first, ROWS).to_pylist()))
        del told
        give_memory_back(collect=False)
    table = pa.concat_tables(batches).unify_dictionaries().combine_chunks() if batches else _CLIP.empty_table()
    batches.clear()
    found = KnownClips(_first_of_each(table), videos)
    del table
    give_memory_back(collect=False)
    return found


def find_answers(ledger: Ledger, clips: KnownClips, operations: Iterable[Operation | Mapping[str, Any]]) -> None:
    """Look up what the ledger says about every clip and operation, and fill in `answers` and `sources`.

    What a person has set wins. Operations that build on it are looked up under a source that names it, so that
    exactly this clip's dependants run again.

    Args:
        ledger: where.
        clips: of the job.
        operations: name, recipe and `after`, each after those it builds on.
    """
    corrections = _corrections(ledger, clips)
    inherited: dict[str, dict[int, dict[str, str]]] = {}
    clips.answers, clips.sources, clips.set_by_hand = {}, {}, {}
    for operation in operations:
        values = operation if isinstance(operation, Mapping) else vars(operation)
        name, after = str(values["name"]), tuple(values.get("after", ()))
        mixed: dict[int, dict[str, str]] = {}
        for other in after:
            for number, found in inherited.get(other, {}).items():
                mixed.setdefault(number, {}).update(found)
        if mixed:
            clips.sources[name] = _with_corrections(clips.table["source"], mixed)
        wanted = pa.table({"item": clips.table["key"], "source": clips.source_of(name)})
        answers = ledger.answers(name, str(values["recipe"]), wanted)
        answers = _without(answers, clips.given(name))
        set_by_hand = corrections.get(name, {})
        clips.answers[name] = _overlaid(answers, set_by_hand)
        if set_by_hand:
            clips.set_by_hand[name] = np.isin(np.arange(len(clips)), list(set_by_hand))
        inherited[name] = mixed | {number: {name: row["digest"]} for number, row in set_by_hand.items()}


def repeated_videos(clips: KnownClips) -> np.ndarray:
    """Which rows of `videos` have become clips that an earlier one has brought already, all of them."""
    brought = np.bincount(clips.column("video"), minlength=len(clips.videos)) > 0
    return np.asarray(is_among(clips.videos["status"], {"ok"}) & ~brought)


def ingest_tally(clips: KnownClips) -> Tally:
    """The table's line for ingest; a video all of whose clips an earlier one has brought is dropped, `duplicate`."""
    duplicate = repeated_videos(clips)
    ends = _ends(clips.videos.filter(pa.array(~duplicate)))
    if duplicate.any():
        ends["dropped", REPEATED] += int(duplicate.sum())
    return Tally.counted("ingest", ends, out=len(clips))


def annotate_tallies(clips: KnownClips, operations: Iterable[str]) -> list[Tally]:
    """A line for the pass, whose rows are clips, and one per operation.

    A clip counts as failed if one of its operations did, under that operation's name; `absent` is an answer. Clips
    whose source answered an operation are among its `ok`. Rows that nothing has run for yet are in no line.
    """
    names = list(operations)
    complete, first_failed = np.ones(len(clips), bool), np.full(len(clips), -1)
    lines = []
    for number, name in enumerate(names):
        answered = clips.has(name)
        given = clips.given(name) & ~answered
        complete &= answered | given
        first_failed[(first_failed < 0) & clips.has(name, "failed")] = number
        ends = _ends(clips.answers[name])
        ends["ok", ""] += int(given.sum())
        lines.append(Tally.counted(name, ends, part_of="annotate"))
    counts = Counter(first_failed[complete].tolist())
    ends = Counter({("failed", names[number]): rows for number, rows in counts.items() if number >= 0})
    ends["ok", ""] = counts[-1]
    return [Tally.counted("annotate", ends), *lines]


def is_among(column: pa.ChunkedArray, words: Collection[str]) -> np.ndarray:
    """Which rows of a column of words hold one of these; a null holds none."""
    return np.asarray(pc.fill_null(pc.is_in(column, value_set=pa.array(sorted(words), pa.string())), False).to_numpy())


def _videos(ledger: Ledger, items: pa.Table) -> pa.Table:
    recipes = items["recipe"].unique().to_pylist()
    assert len(recipes) <= 1, "one run asks for one recipe"
    found = ledger.answers("ingest", recipes[0] if recipes else "", items)
    return found.append_column("item", items["item"])


def _clips_of(videos: pa.Table, numbers: np.ndarray, told: Sequence[str]) -> pa.Table:
    """A row per clip of these videos, from what ingest told about each."""
    columns: dict[str, list[Any]] = {name: [] for name in _CLIP.names}
    rows = zip(numbers.tolist(), videos.to_pylist(), told, strict=True)
    for number, video, text in rows:
        facts = json.loads(text)
        of_all = facts.get("given", [])  # earlier versions told it once for all clips of a video
        for about in facts["clips"]:
            row = about["row"]
            values = {
                "key": about["key"],
                "source": about["source"],
                "part": video["part"],
                "row": video["row"],
                "record_digest": video["digest"],
                "bytes": about["bytes"],
                "frames": row["frames"],
                "width": row["width"],
                "height": row["height"],
                "sha256": facts["sha256"],
                "item": video["item"],
                "uri": row["source"]["uri"],
                "parents": row.get("parents") or [],
                "given": " ".join(about.get("given", of_all)),
                "video": number,
            }
            for name, value in values.items():
                columns[name].append(value)
    plain = {
        name: pa.array(values, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for (name, values), field in zip(columns.items(), _CLIP, strict=True)
    }
    return pa.table(
        {name: plain[name].dictionary_encode() if name in ("part", "given") else plain[name] for name in plain}
    )


def _first_of_each(table: pa.Table) -> pa.Table:
    """Clips in the order of their videos, each key once."""
    table = table.take(pa.array(np.argsort(table["video"].to_numpy(), kind="stable")))
    codes = table["key"].combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.sort(np.unique(codes, return_index=True)[1])
    return table if len(first) == len(table) else table.take(pa.array(first)).combine_chunks()


def _corrections(ledger: Ledger, clips: KnownClips) -> dict[str, dict[int, dict[str, Any]]]:
    """What people have set, by operation and number of the clip; what they took back is left out."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    table = ledger.corrections()
    if not len(table):
        return found
    numbers = pc.index_in(table["item"], value_set=clips.table["key"].combine_chunks()).to_pylist()
    for number, row in zip(numbers, table.to_pylist(), strict=True):
        if number is not None and (row["status"], row["reason"]) != ("absent", WITHDRAWN):
            found.setdefault(row["operation"], {})[number] = row
    return found


def _with_corrections(sources: pa.ChunkedArray, mixed: Mapping[int, Mapping[str, str]]) -> pa.Array:
    values = sources.to_pylist()
    for number, found in mixed.items():
        values[number] = digest([values[number], dict(found)])
    return pa.array(values, pa.string())


def _overlaid(answers: pa.Table, rows: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """Answers with some rows replaced."""
    if not rows:
        return answers
    numbers = np.array(sorted(rows))
    hand = pa.Table.from_pylist([dict(rows[number]) for number in numbers.tolist()]).select(answers.column_names)
    plain = pa.schema([(one.name, _plain(one.type)) for one in answers.schema])
    both = pa.concat_tables([answers.cast(plain), hand.cast(plain)])
    index = np.arange(len(answers))
    index[numbers] = len(answers) + np.arange(len(numbers))
    return _encoded(both.take(pa.array(index)), answers.schema)


def _without(answers: pa.Table, left_out: np.ndarray) -> pa.Table:
    """Answers with nulls in some rows."""
    if not left_out.any():
        return answers
    index = pa.array(np.arange(len(answers)), mask=left_out)
    return answers.combine_chunks().take(index)


def _encoded(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = {}
    for one in schema:
        column = table[one.name]
        columns[one.name] = (
            column.dictionary_encode() if pa.types.is_dictionary(one.type) else column
        ).combine_chunks()
    return pa.table(columns)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _ends(table: pa.Table) -> Counter[tuple[str, str]]:
    """How many rows ended how."""
    counted = table.select(["status", "reason"]).filter(table["status"].is_valid())
    groups = counted.cast(pa.schema([("status", pa.string()), ("reason", pa.string())])).group_by(["status", "reason"])
    rows = groups.aggregate([([], "count_all")]).to_pylist()
    return Counter({(row["status"], row["reason"]): row["count_all"] for row in rows})


def _answers(table: pa.Table, numbers: np.ndarray) -> list[Answer | None]:
    rows = table.take(pa.array(numbers)).to_pylist()
    return [None if row["status"] is None else Answer(**row) for row in rows]
