"""Runs fuzz cases in a child process and accounts for every one of them.

A case is (kind, seed, number) and nothing else: the same three give the same bytes.
"""

from __future__ import annotations

import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.kinds import KINDS, Kind
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.sandbox import Child, ChildFailure, Limits

BATCH = 25
CASE_DEADLINE_S = 20.0
MEMORY_MB = 3000
"""Of the child: a case that wants more is out of bounds. With less, children that had read other formats before died
by SIGSEGV in `duckdb.connect`; a fresh one connects in 300 MB, so what used up the address space is not known."""


@dataclass
class Account:
    """What became of the cases of one kind.

    Attributes:
        cases: asked for.
        ok: read without complaint.
        refused: by reason.
        contained: child died, hung or ate memory where worldloom reads in a child too, by reason.
        violations: number of the case and what happened.
        seconds: wall clock.
        slowest_s: of one case.
    """

    cases: int = 0
    ok: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    contained: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0
    slowest_s: float = 0.0

    @property
    def accounted(self) -> bool:
        """Whether every case ended in exactly one way."""
        return self.cases == self.ok + sum(self.refused.values()) + sum(self.contained.values()) + len(self.violations)


def fuzz_kind(kind: Kind, folder: Path, seed: int, cases: int) -> Account:
    """Run cases 0 to `cases` - 1 of a kind; files are kept in `folder`, which belongs to this kind alone."""
    started = time.monotonic()
    folder.mkdir(parents=True)
    kind.prepare(folder)
    account = Account()
    limits = Limits(deadline_s=BATCH * CASE_DEADLINE_S, memory_mb=MEMORY_MB, recycle_after=1000)
    with Child("tests.fuzz.cases:run_cases", limits) as child:
        for first in range(0, cases, BATCH):
            numbers = list(range(first, min(cases, first + BATCH)))
            for number, kept, how, seconds in _batch(child, kind, folder, seed, numbers):
                account.cases += 1
                account.slowest_s = max(account.slowest_s, seconds)
                _count(account, kind, number, kept, how)
    account.seconds = time.monotonic() - started
    return account


def _count(account: Account, kind: Kind, number: int, kept: str, how: str) -> None:
    if kept == "ok":
        account.ok += 1
    elif kept == "refused":
        account.refused[how] += 1
    elif kept == "contained" and kind.contains:
        account.contained[how.partition(":")[0]] += 1
    else:
        account.violations.append((number, how))


def _batch(
    child: Child, kind: Kind, folder: Path, seed: int, numbers: list[int]
) -> Iterator[tuple[int, str, str, float]]:
    """Ends of the cases; where the child is lost, one by one, to find out at which."""
    call = {"kind": kind.name, "folder": str(folder), "seed": seed}
    try:
        yield from child.call({**call, "numbers": numbers}, deadline_s=CASE_DEADLINE_S + len(numbers))
    except ChildFailure as failure:
        if len(numbers) == 1:
            yield numbers[0], "contained", f"{failure.reason}: {failure} {failure.last_words}", CASE_DEADLINE_S
            return
        for number in numbers:
            yield from _batch(child, kind, folder, seed, [number])


def run_cases(payload: Mapping[str, Any]) -> list[tuple[int, str, str, float]]:
    """In the child: (number, `ok`, `refused` or `violation`, reason or traceback, seconds) of each case."""
    kind, folder = KINDS[payload["kind"]], Path(payload["folder"])
    ends = []
    for number in payload["numbers"]:
        path, good, bad = damaged(kind, folder, payload["seed"], number)
        started = time.monotonic()
        path.write_bytes(bad)
        try:
            kind.read(folder, path)
            end = ("ok", "")
        except MemoryError:
            raise
        except BadInput as error:
            end = ("refused", error.reason)
        except UsageError:
            end = ("refused", "usage")
        except BaseException:
            end = ("violation", traceback.format_exc())
        finally:
            path.write_bytes(good)
        ends.append((number, *end, time.monotonic() - started))
    return ends


def damaged(kind: Kind, folder: Path, seed: int, number: int) -> tuple[Path, bytes, bytes]:
    """The file of a case, what is in it, and what the case puts into it.

    Good bytes are kept beside the folder, so that a case whose child died does no harm to the next one.
    """
    rng = np.random.default_rng([seed, zlib.crc32(kind.name.encode()), number])
    paths = sorted(path for pattern in kind.targets for path in folder.glob(pattern))
    path = paths[int(rng.integers(len(paths)))]
    keep = folder.with_name(f"{folder.name}.good") / path.relative_to(folder)
    if not keep.exists():
        keep.parent.mkdir(parents=True, exist_ok=True)
        keep.write_bytes(path.read_bytes())
    good = keep.read_bytes()
    return path, good, kind.mutate(good, rng)
