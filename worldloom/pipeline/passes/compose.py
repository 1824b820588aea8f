"""Pass 3, clips to chosen clips: select, derive, split. Pure metadata; nothing is decoded."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import numpy as np
import pyarrow as pa

from worldloom.catalogs.catalog import catalog_table, columns_of_rows, matching, united
from worldloom.catalogs.clip import clip_key
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.answers import columns_told
from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.known import KnownClips, is_among
from worldloom.pipeline.ledger import Ledger
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.settings import Compose, Derive

BATCH = 16_384
"""Clips whose figures are in memory at once; each batch asks the ledger once per operation."""

TAKEN_DOWN = "taken_down"
"""Reason of a clip that was removed from the dataset for good: no later run brings it back."""


class Told(Protocol):
    """What choosing asks of an operation."""

    @property
    def name(self) -> str:
        """Of the operation, and of its column."""

    @property
    def gives(self) -> str:
        """The member of a clip that it fills in."""


@dataclass(frozen=True)
class Chosen:
    """The samples to be, as columns, in no particular order.

    Attributes:
        clips: what they are made from.
        number: of the clip of each, a row of `clips`.
        operation: what is done to it: empty, `reverse:loop`, `reverse:plain` or `window:<start>:<stop>`.
        test: whether it is for testing; otherwise for training.
        frames: how many it will have.
    """

    clips: KnownClips
    number: np.ndarray
    operation: list[str]
    test: np.ndarray
    frames: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: np.ndarray) -> Chosen:
        """Some of them, in the order given."""
        operation = [self.operation[row] for row in rows.tolist()]
        return Chosen(self.clips, self.number[rows], operation, self.test[rows], self.frames[rows])

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
) -> tuple[Chosen, Tally]:
    """Choose clips, derive others from them, and split.

    Args:
        rules: configuration of the pass.
        clips: with their answers.
        operations: of the job.
        ledger: where figures that conditions name are looked up.
        removed: what was taken down from the dataset, by `key` or by `sha256` of its source.

    Returns:
        What to pack, and the pass's line of the table.

    Raises:
        UsageError: a condition that DuckDB does not understand.
    """
    reasons = _drop_reasons(rules, clips, operations, ledger, removed)
    kept = np.flatnonzero(reasons.codes < 0)
    chosen = _samples(rules, clips, kept)
    gone = {row["key"] for row in removed if "key" in row}
    if gone and len(chosen) > len(kept):
        there = np.array([key not in gone for key in chosen.sample_keys()], bool)
        chosen = chosen.take(np.flatnonzero(there))
    return chosen, Tally.counted("compose", reasons.ends(), out=len(chosen))


def left_out(
    rules: Compose,
    clips: KnownClips,
    operations: Sequence[Told],
    ledger: Ledger,
    removed: Sequence[Mapping[str, str]] = (),
) -> dict[str, str]:
    """Clips that the rules drop, and the reason of each; arguments as for `compose`.

    Raises:
        UsageError: a condition that DuckDB does not understand.
    """
    reasons = _drop_reasons(rules, clips, operations, ledger, removed)
    rows = np.flatnonzero(reasons.codes >= 0)
    keys = clips.table["key"].take(pa.array(rows)).to_pylist()
    return {key: reasons.words[code] for key, code in zip(keys, reasons.codes[rows].tolist(), strict=True)}


def _samples(rules: Compose, clips: KnownClips, kept: np.ndarray) -> Chosen:
    """The clips themselves, then what every rule makes of them."""
    table = clips.table.take(pa.array(kept))
    keys, frames = table["key"].to_pylist(), table["frames"].to_numpy()
    units = keys if rules.split.by == "clip" else table["sha256"].to_pylist()
    test = _is_test(units, rules.split.test)
    rows, made, lengths = [np.arange(len(kept))], [""] * len(kept), [frames]
    for rule in rules.derive:
        derived = list(_derived(keys, frames.tolist(), rule))
        rows.append(np.array([row for row, _, _ in derived], np.int64))
        made += [operation for _, operation, _ in derived]
        lengths.append(np.array([length for _, _, length in derived], np.int64))
    row = np.concatenate(rows)
    return Chosen(clips, kept[row], made, test[row], np.concatenate(lengths).astype(np.int64))


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


def share_of(text: str) -> float:
    """A number in [0, 1) that is always the same for the same text: draws do not depend on what else is there."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def empty_split(rules: Compose, chosen: Chosen) -> str:
    """A word for those whose few sources all fell on one side; empty where both sides have clips or none is wanted."""
    share, tests = rules.split.test, int(chosen.test.sum())
    if not len(chosen) or share in (0, 1) or 0 < tests < len(chosen):
        return ""
    empty = "train" if tests else "test"
    return (
        f"compose.split: no {rules.split.by} fell into '{empty}'. Sides are drawn by hash, so that a video stays on "
        f"its side when others come; with few videos, take another share than {share:g}"
    )


def _is_test(units: Sequence[str], share: float) -> np.ndarray:
    """Which units are for testing; with `by: source`, all clips of one video and all derived from them agree."""
    if share in (0, 1):
        return np.full(len(units), bool(share))
    return np.array([share_of(f"split:{unit}") < share for unit in units], bool)


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
    """

    def __init__(self, count: int) -> None:
        self.codes = np.full(count, -1, np.int32)
        self.words: list[str] = []

    def drop(self, rows: np.ndarray, reason: str) -> None:
        """Drop these rows, numbers or a mask, unless they are dropped already."""
        wanted = np.zeros(len(self.codes), bool)
        wanted[rows] = True
        self.codes[wanted & (self.codes < 0)] = len(self.words)
        self.words.append(reason)

    def ends(self) -> Counter[tuple[str, str]]:
        """How many rows ended how."""
        ends: Counter[tuple[str, str]] = Counter()
        for code, rows in Counter(self.codes.tolist()).items():
            ends[("ok", "") if code < 0 else ("dropped", self.words[code])] += rows
        return ends


def _drop_reasons(
    rules: Compose,
    clips: KnownClips,
    operations: Sequence[Told],
    ledger: Ledger,
    removed: Sequence[Mapping[str, str]],
) -> _Reasons:
    reasons = _Reasons(len(clips))
    for name, column in (("key", "key"), ("sha256", "sha256")):
        gone = {row[name] for row in removed if name in row}
        if gone:
            reasons.drop(is_among(clips.table[column], gone), TAKEN_DOWN)
    for name in rules.require:
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
            reasons.drop(rest[fails], reason)
    kept = np.flatnonzero(reasons.codes < 0)
    if rules.limit is not None and len(kept) > rules.limit:
        # Keys are hashes: their order is a fair and lasting draw.
        keys = np.array(clips.table["key"].take(pa.array(kept)).to_pylist())
        reasons.drop(np.sort(kept[np.argsort(keys, kind="stable")[rules.limit :]]), "over_limit")
    return reasons


def figures(
    ledger: Ledger, clips: KnownClips, operations: Sequence[Told], numbers: np.ndarray, columns: Collection[str]
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
