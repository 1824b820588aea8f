"""What became of the rows: per pass and per operation, everything that went in is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Tally:
    """One line of the table; `inputs` = `ok` + everything in `absent`, `dropped` and `failed`.

    Attributes:
        name: of the pass (`ingest`, `annotate`, `compose`, `pack`) or of an operation (`pose`).
        inputs: rows that went in.
        ok: rows that came through.
        absent: rows answered with "nothing to say", by reason; operations only.
        dropped: rows left out, by reason.
        failed: rows that failed, by reason.
        out: rows handed on: one video becomes several clips, one clip two samples.
        part_of: the pass an operation belongs to; empty for a pass.
    """

    name: str
    inputs: int
    ok: int
    absent: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    out: int = 0
    part_of: str = ""

    @classmethod
    def of(cls, name: str, ends: Iterable[tuple[str, str]], *, out: int | None = None, part_of: str = "") -> Tally:
        """Count rows by how they ended.

        Args:
            name: of the line.
            ends: (status, reason) per row; status is `ok`, `absent`, `dropped` or `failed`.
            out: rows handed on; as many as are ok where not given.
            part_of: see the attributes.
        """
        return cls.counted(name, Counter(ends), out=out, part_of=part_of)

    @classmethod
    def counted(
        cls, name: str, ends: Mapping[tuple[str, str], int], *, out: int | None = None, part_of: str = ""
    ) -> Tally:
        """The line of rows that are counted already.

        Args:
            name: of the line.
            ends: number of rows by (status, reason).
            out: see `of`.
            part_of: see the attributes.
        """
        counts: dict[str, Counter[str]] = {status: Counter() for status in ("ok", "absent", "dropped", "failed")}
        for (status, reason), rows in ends.items():
            if rows:
                counts[status][reason] += rows
        ok = counts["ok"].total()
        lost = {status: dict(sorted(counts[status].items())) for status in ("absent", "dropped", "failed")}
        inputs = sum(count.total() for count in counts.values())
        return cls(name, inputs, ok, out=ok if out is None else out, part_of=part_of, **lost)

    @property
    def balanced(self) -> bool:
        """Whether every row that went in is accounted for."""
        return self.inputs == self.ok + sum(sum(one.values()) for one in (self.absent, self.dropped, self.failed))

    @property
    def failed_share(self) -> float:
        """Failed rows over rows that went in."""
        return sum(self.failed.values()) / self.inputs if self.inputs else 0.0


@dataclass(frozen=True)
class Due:
    """What a run would do, for `--dry-run`.

    Attributes:
        name: of the pass or operation.
        done: rows that the ledger has an answer for.
        due: rows that would run; None where it depends on what earlier passes find.
        seconds: what one row took on average so far, over all workers; None where none has run yet.
    """

    name: str
    done: int
    due: int | None
    seconds: float | None = None


@dataclass(frozen=True)
class RunSummary:
    """How a run ended.

    Attributes:
        tables: a line per pass and per operation, in order.
        out: working folder.
        dataset: folder of the dataset; None while nothing was packed.
        manifest: number of the manifest that is the dataset now; 0 while there is none.
        committed: whether this run wrote that manifest.
        exit_code: 0 done, 1 failed, 3 done but over the failure budget.
        ray_started: whether anything had to run; false when the ledger answered everything.
        ran: rows that ran in this run, by pass or operation.
        notes: sentences for the person at the terminal.
        plan: filled by a dry run alone.
    """

    tables: tuple[Tally, ...]
    out: Path | str
    dataset: Path | str | None = None
    manifest: int = 0
    committed: bool = False
    exit_code: int = 0
    ray_started: bool = False
    ran: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    plan: tuple[Due, ...] = ()

    def table(self, name: str) -> Tally:
        """The line of this name.

        Raises:
            KeyError: there is none.
        """
        for tally in self.tables:
            if tally.name == name:
                return tally
        raise KeyError(name)


def exit_code_for(tables: Iterable[Tally], failure_budget: float) -> int:
    """3 if some line has more failed rows than the budget allows, else 0."""
    return 3 if any(tally.failed_share > failure_budget for tally in tables) else 0
