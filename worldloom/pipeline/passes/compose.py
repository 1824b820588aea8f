"""Pass 3, clips to chosen clips: select, derive, split. Pure metadata; nothing is decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from worldloom.catalogs.catalog import catalog_table, matching
from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.known import KnownClip
from worldloom.pipeline.settings import Compose, Derive


@dataclass(frozen=True)
class Chosen:
    """One sample to be.

    Attributes:
        clip: the ingested clip it is made from.
        operation: what is done to it: empty, `reverse:loop`, `reverse:plain` or `window:<start>:<stop>`.
        split: `train` or `test`.
        frames: how many it will have.
    """

    clip: KnownClip
    operation: str
    split: str
    frames: int

    @property
    def order(self) -> str:
        """Where it stands among the others: a hash, so that what is derived does not follow its parent."""
        return hashlib.sha256(f"{self.clip.key}\0{self.operation}".encode()).hexdigest()


def compose(rules: Compose, clips: Sequence[KnownClip]) -> tuple[list[Chosen], Tally]:
    """Choose clips, derive others from them, and split.

    Args:
        rules: configuration of the pass.
        clips: with their answers.

    Returns:
        What to pack, in no particular order, and the pass's line of the table.

    Raises:
        UsageError: a condition that DuckDB does not understand.
    """
    reasons = _drop_reasons(rules, clips)
    chosen = [clip for clip in clips if clip.key not in reasons]
    if rules.limit is not None:
        # Keys are hashes: their order is a fair and lasting draw.
        keep = {clip.key for clip in sorted(chosen, key=lambda clip: clip.key)[: rules.limit]}
        reasons |= {clip.key: "over_limit" for clip in chosen if clip.key not in keep}
        chosen = [clip for clip in chosen if clip.key in keep]
    samples = [
        Chosen(clip, operation, split_of(clip, rules), frames)
        for clip in chosen
        for operation, frames in [("", clip.frames), *_derived(clip, rules.derive)]
    ]
    ends = [("dropped", reasons[clip.key]) if clip.key in reasons else ("ok", "") for clip in clips]
    return samples, Tally.of("compose", ends, out=len(samples))


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
        with duckdb.connect(config={"threads": 1, "enable_external_access": False}) as connection:
            query = f"SELECT 1 FROM clips WHERE ({condition}\n)"  # noqa: S608 -- parsed, not run
            found = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
        parsed = json.loads(found[0]) if found else {}
        if parsed.get("error"):
            raise UsageError(f"compose.where: '{condition}' is no valid condition ({parsed['error_message']})")
        for column in _columns(parsed):
            if column not in known:
                raise UsageError(f"compose.where: no clip has '{column}' ('{condition}')" + nearest(column, known))


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


def empty_split(rules: Compose, chosen: Sequence[Chosen]) -> str:
    """A word for those whose few sources all fell on one side; empty where both sides have clips or none is wanted."""
    share, found = rules.split.test, {one.split for one in chosen}
    if not chosen or share in (0, 1) or found == {"train", "test"}:
        return ""
    empty = "test" if found == {"train"} else "train"
    return (
        f"compose.split: no {rules.split.by} fell into '{empty}'. Sides are drawn by hash, so that a video stays on "
        f"its side when others come; with few videos, take another share than {share:g}"
    )


def split_of(clip: KnownClip, rules: Compose) -> str:
    """`train` or `test`; with `by: source`, all clips of one video and all that is derived from them agree."""
    unit = clip.sha256 if rules.split.by == "source" else clip.key
    return "test" if share_of(f"split:{unit}") < rules.split.test else "train"


def _derived(clip: KnownClip, rules: Sequence[Derive]) -> list[tuple[str, int]]:
    """(operation, frames) of everything that is made from a clip."""
    frames = clip.frames
    found = []
    for rule in rules:
        name = f"reverse:{rule.reverse}" if rule.reverse else f"window:{rule.window_frames}"
        if share_of(f"{name}:{clip.key}") >= rule.share:
            continue
        if rule.reverse == "loop":
            found.append((name, 2 * frames - 1))
        elif rule.reverse == "plain":
            found.append((name, frames))
        else:
            length = rule.window_frames or frames
            starts = range(0, frames - length + 1, length) if length < frames else ()
            found += [(f"window:{start}:{start + length}", length) for start in starts]
    return found


def _drop_reasons(rules: Compose, clips: Sequence[KnownClip]) -> dict[str, str]:
    """Reason by key of every clip that is not chosen; the first that holds counts."""
    reasons: dict[str, str] = {}
    for clip in clips:
        for name in rules.require:
            answer = clip.answers.get(name)
            if name not in clip.given and (answer is None or answer.status != "ok"):
                reasons.setdefault(clip.key, f"missing_{name}")
    conditions = rules.conditions()
    rest = [clip for clip in clips if clip.key not in reasons]
    if conditions and rest:
        table = catalog_table(figures(clip) for clip in rest)
        keys = table["key"].to_pylist()
        for reason, condition in conditions.items():
            holds = set(matching(table, condition).tolist())
            for number, key in enumerate(keys):
                if number not in holds:
                    reasons.setdefault(key, reason)
    return reasons


def figures(clip: KnownClip) -> dict[str, Any]:
    """The clip's row of the catalog as far as it is known before packing."""
    row: dict[str, Any] = dict(clip.about["row"])
    for name, answer in clip.answers.items():
        if answer.status == "failed":
            row[name] = {"status": "failed", "reason": answer.reason, "confidence": 0.0}
        for column, values in answer.facts.items():
            row[column] = {**row.get(column, {}), **values}
    return row
