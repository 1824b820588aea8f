"""Pass 3, clips to chosen clips: select, derive, split. Pure metadata; nothing is decoded."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from worldloom.catalogs.catalog import catalog_table, columns_of_rows, matching, united
from worldloom.catalogs.clip import clip_key
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.answers import columns_told
from worldloom.pipeline.duplicates import Copies, copies_of, duplicate_groups, find_duplicates, told, worse_copies
from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.known import KnownClips, is_among
from worldloom.pipeline.ledger import Ledger
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.passes.dropped import SCHEMA, dropped_table
from worldloom.pipeline.passes.split_rows import rows_of_clips
from worldloom.pipeline.rules import expanded
from worldloom.pipeline.settings import Compose, Derive
from worldloom.pipeline.splits import Sides, draw_sides, empty_sides, share_of

BATCH = 16_384
"""Clips whose figures are in memory at once; each batch asks the ledger once per operation."""

TAKEN_DOWN = "taken_down"
"""Reason of a clip that was removed from the dataset for good: no later run brings it back."""


DUPLICATE = "duplicate"
"""Reason of a clip that shows what a better one shows."""


@dataclass(frozen=True)
class Chosen:
    """The samples to be, as columns, in no particular order.

    Attributes:
        clips: what they are made from.
        number: of the clip of each, a row of `clips`.
        operation: what is done to it: empty, `reverse:loop`, `reverse:plain` or `window:<start>:<stop>`.
        side: of each, a number into `sides`.
        sides: names of the splits, sorted.
        frames: how many it will have.
        notes: sentences about the splits, for the person at the terminal.
        dropped: clips that are left out, and why; see `worldloom.pipeline.passes.dropped`.
    """

    clips: KnownClips
    number: np.ndarray
    operation: list[str]
    side: np.ndarray
    sides: tuple[str, ...]
    frames: np.ndarray
    notes: tuple[str, ...] = ()
    dropped: pa.Table = field(default_factory=SCHEMA.empty_table)

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: np.ndarray) -> Chosen:
        """Some of them, in the order given."""
        operation = [self.operation[row] for row in rows.tolist()]
        number, side, frames = self.number[rows], self.side[rows], self.frames[rows]
        return replace(self, number=number, operation=operation, side=side, frames=frames)

    def splits(self) -> Counter[str]:
        """Samples by split, those that have any."""
        counts = np.bincount(self.side, minlength=len(self.sides)).tolist()
        return +Counter(dict(zip(self.sides, counts, strict=True)))

    def order(self) -> np.ndarray:
        """Where each stands among the others: a hash, so that what is derived does not follow its parent.

        Returns:
            (n, 2) uint64, the first 16 bytes of the hash.
        """
        keys = self.clips.table["key"].take(pa.array(self.number)).to_pylist()
        hashes = (
            hashlib.sha256(f"{key}\0{operation}".encode()).digest()[:16]
            for key, operation in zip(keys, self.operation, strict=True)
        )
        return np.frombuffer(b"".join(hashes), ">u8").reshape(-1, 2).astype(np.uint64)

    def sample_keys(self) -> list[str]:
        """Keys that the samples will have."""
        clips = self.clips.table.select(["key", "frames"]).take(pa.array(self.number))
        rows = zip(clips["key"].to_pylist(), clips["frames"].to_pylist(), self.operation, strict=True)
        return [sample_key(key, frames, operation) for key, frames, operation in rows]


def sample_key(key: str, frames: int, operation: str) -> str:
    """Key of what an operation makes of a clip; `worldloom.synth.reverse` names it so.

    Args:
        key: of the clip.
        frames: of the clip.
        operation: see `Chosen`.
    """
    return clip_key(key, 0, 0, frames - 1, operation) if operation else key


def compose(
    rules: Compose,
    clips: KnownClips,
    operations: Sequence[Operation],
    ledger: Ledger,
    removed: Sequence[Mapping[str, str]] = (),
    *,
    placed: pa.Table | None = None,
) -> tuple[Chosen, Tally]:
    """Choose clips, derive others from them, and split.

    Sides are drawn over all clips, chosen or not: another threshold moves no video to another side.

    Args:
        rules: configuration of the pass.
        clips: with their answers.
        operations: of the job.
        ledger: where figures that conditions name are looked up.
        removed: what was taken down from the dataset, by `key` or by `sha256` of its source.
        placed: catalog of a dataset whose clips stay in their splits; what belongs to them joins them there.

    Returns:
        What to pack, and the pass's line of the table.

    Raises:
        UsageError: a condition that DuckDB does not understand, an attribute that no clip has, pins at odds.
    """
    reasons = _drop_reasons(rules, clips, operations, ledger, removed)
    kept = np.flatnonzero(reasons.codes < 0)
    if rules.limit is not None and len(kept) > rules.limit:
        # Keys are hashes: their order is a fair and lasting draw.
        keys = np.array(clips.table["key"].take(pa.array(kept)).to_pylist())
        reasons.drop(np.sort(kept[np.argsort(keys, kind="stable")[rules.limit :]]), "over_limit")
        kept = np.flatnonzero(reasons.codes < 0)
    copies = duplicate_groups(clips, ledger, operations, rules, reasons.copies) if rules.duplicates else None
    sides = draw_sides(rows_of_clips(rules.split, clips, ledger, placed, copies), rules.split)
    chosen = _samples(rules, clips, kept, sides)
    gone = {row["key"] for row in removed if "key" in row}
    if gone and len(chosen) > len(kept):
        there = np.array([key not in gone for key in chosen.sample_keys()], bool)
        chosen = chosen.take(np.flatnonzero(there))
    if note := empty_sides(rules.split, chosen.splits()):
        chosen = replace(chosen, notes=(*chosen.notes, note))
    chosen = replace(chosen, dropped=reasons.table(clips))
    return chosen, Tally.counted("compose", reasons.ends(), out=len(chosen))


def _samples(rules: Compose, clips: KnownClips, kept: np.ndarray, sides: Sides) -> Chosen:
    """The clips themselves, then what every rule makes of them, on the side of its clip."""
    table = clips.table.select(["key", "frames"]).take(pa.array(kept))
    keys, frames = table["key"].to_pylist(), table["frames"].to_numpy()
    rows, made, lengths = [np.arange(len(kept))], [""] * len(kept), [frames]
    for rule in rules.derive:
        derived = list(_derived(keys, frames.tolist(), rule))
        rows.append(np.array([row for row, _, _ in derived], np.int64))
        made += [operation for _, operation, _ in derived]
        lengths.append(np.array([length for _, _, length in derived], np.int64))
    number = kept[np.concatenate(rows)]
    length = np.concatenate(lengths).astype(np.int64)
    return Chosen(clips, number, made, sides.side[number], sides.names, length, sides.notes)


def check_conditions(rules: Compose, operations: Sequence[str]) -> None:
    """Refuse conditions that are no SQL, or ask for what no clip has, before hours of work.

    Args:
        rules: configuration of the pass.
        operations: names of the job's operations and of what its sources give.

    Raises:
        UsageError: names the condition and the nearest column.
    """
    known = sorted({*catalog_table([]).column_names, *operations})
    for condition in rules.conditions().values():
        parsed = _parsed(condition)
        if parsed.get("error"):
            raise UsageError(f"compose.where: '{condition}' is no valid condition ({parsed['error_message']})")
        for column in _columns(parsed):
            if column not in known:
                raise UsageError(f"compose.where: no clip has '{column}' ('{condition}')" + nearest(column, known))


def asked_of_clips(rules: Compose) -> list[str]:
    """For a dry run: what `rules` stands for, and what is done about duplicates."""
    known = expanded(rules.rules)
    said = [
        f"compose.rules: {name} drops what fails {condition}: {known[name].why}"
        for name, condition in rules.conditions().items()
        if name in known
    ]
    if rules.duplicates is not None:
        kept = "all copies stay, on one side of the split" if rules.duplicates.keep == "all" else "the best copy stays"
        said.append(f"compose.duplicates: {kept}")
        if (cosine := rules.duplicates.embedding) is not None:
            said.append(f"compose.duplicates: clips of two files with an embedding cosine of {cosine:g} are copies too")
    return said


def _parsed(condition: str) -> Any:
    """DuckDB's syntax tree of a condition, or its `error`."""
    with duckdb.connect(config={"threads": 1, "enable_external_access": False}) as connection:
        query = f"SELECT 1 FROM clips WHERE ({condition}\n)"  # noqa: S608 -- parsed, not run
        found = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    return json.loads(found[0]) if found else {}


def _columns(parsed: Any) -> Iterator[str]:
    """First names of all columns in a parsed query."""
    if isinstance(parsed, dict):
        if parsed.get("class") == "COLUMN_REF":
            yield parsed["column_names"][0]
        for value in parsed.values():
            yield from _columns(value)
    elif isinstance(parsed, list):
        for value in parsed:
            yield from _columns(value)


def _derived(keys: Sequence[str], frames: Sequence[int], rule: Derive) -> Iterator[tuple[int, str, int]]:
    """(clip, operation, frames) of everything that a rule makes."""
    name = f"reverse:{rule.reverse}" if rule.reverse else f"window:{rule.window_frames}"
    for number, (key, length) in enumerate(zip(keys, frames, strict=True)):
        if rule.share < 1 and share_of(f"{name}:{key}") >= rule.share:
            continue
        if rule.reverse:
            yield number, name, 2 * length - 1 if rule.reverse == "loop" else length
            continue
        window = rule.window_frames or length
        for start in range(0, length - window + 1, window) if window < length else ():
            yield number, f"window:{start}:{start + window}", window


class _Reasons:
    """Why clips are dropped; the first reason that holds counts.

    Attributes:
        codes: per clip, a number into `words`; -1 where it stays.
        words: reasons.
        told: by number of a clip, what more there is to say, plain JSON values.
        copies: near-duplicates, where they were looked for: `duplicate_groups` takes them, to look only once.
    """

    def __init__(self, count: int) -> None:
        self.codes = np.full(count, -1, np.int32)
        self.words: list[str] = []
        self.told: dict[int, dict[str, Any]] = {}
        self.copies: Copies | None = None

    def drop(self, rows: np.ndarray, reason: str) -> None:
        """Drop these rows, numbers or a mask, unless they are dropped already."""
        wanted = np.zeros(len(self.codes), bool)
        wanted[rows] = True
        self.codes[wanted & (self.codes < 0)] = len(self.words)
        self.words.append(reason)

    def of(self, reason: str) -> np.ndarray:
        """Numbers of the clips that are dropped for this reason."""
        return np.flatnonzero(np.isin(self.codes, [code for code, word in enumerate(self.words) if word == reason]))

    def table(self, clips: KnownClips) -> pa.Table:
        """Every dropped clip with its reason; see `worldloom.pipeline.passes.dropped`."""
        numbers = np.flatnonzero(self.codes >= 0).tolist()
        return dropped_table(clips, {number: self.words[self.codes[number]] for number in numbers}, self.told)

    def ends(self) -> Counter[tuple[str, str]]:
        """How many rows ended how."""
        ends: Counter[tuple[str, str]] = Counter()
        for code, rows in Counter(self.codes.tolist()).items():
            ends[("ok", "") if code < 0 else ("dropped", self.words[code])] += rows
        return ends


def _drop_reasons(
    rules: Compose,
    clips: KnownClips,
    operations: Sequence[Operation],
    ledger: Ledger,
    removed: Sequence[Mapping[str, str]],
) -> _Reasons:
    reasons = _Reasons(len(clips))
    for name, column in (("key", "key"), ("sha256", "sha256")):
        gone = {row[name] for row in removed if name in row}
        if gone:
            reasons.drop(is_among(clips.table[column], gone), TAKEN_DOWN)
    for name in rules.required():
        ok = clips.given(name)
        if name in clips.answers:
            answered = clips.has(name)
            ok = np.where(answered, clips.has(name, "ok"), ok)
        reasons.drop(~ok, f"missing_{name}")
    rest = np.flatnonzero(reasons.codes < 0)
    conditions = rules.conditions()
    if conditions and len(rest):
        named = {column for condition in conditions.values() for column in _columns(_parsed(condition))}
        table = figures(ledger, clips, operations, rest, named)
        for reason, condition in conditions.items():
            fails = np.ones(len(rest), bool)
            fails[matching(table, condition)] = False
            first = np.flatnonzero(fails & (reasons.codes[rest] < 0))
            asked = sorted(set(_figures_named(_parsed(condition))))
            for row, figure in zip(first.tolist(), _shown(table.take(pa.array(first)), asked), strict=True):
                reasons.told[int(rest[row])] = figure
            reasons.drop(rest[fails], reason)
    _drop_copies(rules, clips, operations, ledger, reasons)
    return reasons


def _figures_named(parsed: Any) -> Iterator[tuple[str, ...]]:
    """Full names of all columns in a parsed query: (`quality`, `dark`)."""
    if isinstance(parsed, dict):
        if parsed.get("class") == "COLUMN_REF":
            yield tuple(parsed["column_names"])
        for value in parsed.values():
            yield from _figures_named(value)
    elif isinstance(parsed, list):
        for value in parsed:
            yield from _figures_named(value)


def _shown(table: pa.Table, names: Sequence[tuple[str, ...]]) -> Iterator[dict[str, Any]]:
    """Of every row the figures of these names; null where there is none."""
    for row in table.to_pylist():
        found = {}
        for name in names:
            value: Any = row
            for part in name:
                value = value.get(part) if isinstance(value, dict) else None
            found[".".join(name)] = value
        yield found


def _drop_copies(
    rules: Compose, clips: KnownClips, operations: Sequence[Operation], ledger: Ledger, reasons: _Reasons
) -> None:
    """Drop copies of what was taken down, then near-duplicates of what is left, all but the best."""
    rest = np.flatnonzero(reasons.codes < 0)
    down = reasons.of(TAKEN_DOWN)
    best = rules.duplicates is not None and rules.duplicates.keep == "best"
    if rules.duplicates is None or not len(rest) or not (best or len(down)):
        return
    copies = reasons.copies = find_duplicates(clips, ledger, rules.duplicates)
    if not copies.matches:
        return
    keys, uris = (clips.table[name].to_pylist() for name in ("key", "uri"))
    removed = copies_of(copies, down, rest, rules.duplicates)
    reasons.told |= {copy.number: told(copy, keys, uris) for copy in removed}
    reasons.drop(np.array([copy.number for copy in removed], np.int64), TAKEN_DOWN)
    rest = np.flatnonzero(reasons.codes < 0)
    if not best or not len(rest):
        return
    rows = figures(ledger, clips, operations, rest, ["quality"])["quality"].to_pylist()
    sharp = [float((row or {}).get("sharpness") or 0.0) for row in rows]
    worse = worse_copies(copies, clips, dict(zip(rest.tolist(), sharp, strict=True)), rules.duplicates)
    reasons.told |= {copy.number: told(copy, keys, uris) for copy in worse}
    reasons.drop(np.array([copy.number for copy in worse], np.int64), DUPLICATE)


def figures(
    ledger: Ledger, clips: KnownClips, operations: Sequence[Operation], numbers: np.ndarray, columns: Collection[str]
) -> pa.Table:
    """Columns of the catalog as far as they are known before packing; nothing else is read.

    Args:
        ledger: where they are looked up.
        clips: with their answers.
        operations: of the job, in order: of two that tell one figure the later one counts.
        numbers: of the clips, in the order of the result.
        columns: names.
    """
    telling = [one for one in operations if {one.name, *columns_told(one.gives)} & set(columns)]
    videos = clips.videos["sequence"].fill_null(-1).to_numpy()
    tables = []
    for start in range(0, len(numbers), BATCH):
        chosen = numbers[start : start + BATCH]
        some = clips.table.select(["key", "video"]).take(pa.array(chosen))
        keys = some["key"].to_pylist()
        rows = _ingested_rows(ledger, keys, videos[some["video"].to_numpy()], columns)
        for operation in telling:
            answers = clips.answers[operation.name].take(pa.array(chosen))
            sequences = answers["sequence"].fill_null(-1).to_numpy()
            told = ledger.rows(sequences, ["told", "status", "reason"])
            for row, text, status, reason in zip(
                rows, *(told[name].to_pylist() for name in told.column_names), strict=True
            ):
                if status == "failed" and operation.name in columns:
                    row[operation.name] = {"status": "failed", "reason": reason, "confidence": 0.0}
                for column, values in json.loads(text or "{}").items():
                    if column in columns:
                        row[column] = {**row.get(column, {}), **values}
        tables.append(columns_of_rows(rows, columns))
    return united(tables)


def _ingested_rows(
    ledger: Ledger, keys: Sequence[str], sequences: np.ndarray, columns: Collection[str]
) -> list[dict[str, Any]]:
    """What ingest told about these clips."""
    wanted, places = np.unique(sequences, return_inverse=True)
    told = [
        {about["key"]: about["row"] for about in json.loads(text)["clips"]}
        for text in ledger.rows(wanted, ["told"])["told"].to_pylist()
    ]
    return [
        {"key": key} | {name: value for name, value in told[place][key].items() if name in columns}
        for key, place in zip(keys, places.tolist(), strict=True)
    ]
