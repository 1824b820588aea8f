"""What a job costs before it has run: core hours, storage, shards; from rows that ran, or from a sample run for real.

One observation is one source item with all its clips. Totals follow from them by the ratio estimator: the sum of a
figure over the observed items, over the sum of their sizes, times the size of all (Cochran, Sampling Techniques,
chapter 6). Its standard error is given as +- twice itself, and is unknown for less than two observations.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloom.catalogs.storage import Store, open_store
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.operations import ingest_recipe, plan_operations
from worldloom.pipeline.preflight import pool_size
from worldloom.pipeline.progress import Progress, Silent
from worldloom.pipeline.rows import find_in_rows
from worldloom.pipeline.settings import Compose, Execution, Job

if TYPE_CHECKING:
    import duckdb

    from worldloom.pipeline.sources.source import SourceItem

CLIPS, CLIP_BYTES, CLIP_SECONDS, ANSWER_BYTES = "clips", "clip bytes", "clip seconds", "answer bytes"
SAMPLE_BYTES = 3000
"""Of a sample's JSON and tar headers."""
PACK_BYTES_PER_S = 100e6
"""Of one core that packs clips as they are (default ours, on the safe side): read, hash, write."""


@dataclass(frozen=True)
class Figure:
    """An estimated total.

    Attributes:
        value: best guess.
        spread: twice the standard error; None where it is unknown.
    """

    value: float
    spread: float | None = None

    def __add__(self, other: Figure) -> Figure:
        """Sum of two; spreads are added, since both come from the same items."""
        spreads = (self.spread, other.spread)
        return Figure(self.value + other.value, None if None in spreads else sum(one or 0.0 for one in spreads))

    def times(self, factor: float) -> Figure:
        """The same in another unit."""
        return Figure(self.value * factor, None if self.spread is None else self.spread * factor)


@dataclass
class Observation:
    """One source item that ran.

    Attributes:
        size: bytes of its file, or 1 for one without.
        figures: seconds by operation, and what became of it.
    """

    size: float
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class Estimate:
    """What a job takes.

    Attributes:
        observed: items it is estimated from.
        items: all source items.
        core_seconds: by operation, of what is still to do; only those of which something is known.
        unknown: operations of which nothing is known.
        clips: that the whole job has.
        clip_seconds: of video.
        clip_bytes: of the whole job's clips, on disk.
        answer_bytes: of all answers, large ones included.
        shard_bytes: of the dataset, before compose drops anything; derived clips included.
        shards: of the target size.
        execution: of the job.
        takes: CPUs and GPUs of one worker, by operation; where nothing is said, one CPU.
    """

    observed: int
    items: int
    core_seconds: dict[str, Figure]
    unknown: list[str]
    clips: Figure
    clip_seconds: Figure
    clip_bytes: Figure
    answer_bytes: Figure
    shard_bytes: Figure
    shards: int
    execution: Execution
    takes: Mapping[str, tuple[float, float]]

    @property
    def total_core_seconds(self) -> Figure:
        """Of all operations of which something is known."""
        return sum(self.core_seconds.values(), Figure(0.0, 0.0))

    def wall_seconds(self, nodes: int) -> Figure:
        """On so many nodes like this one, one operation after the other, all its workers busy to the end."""
        times = (figure.times(1 / self.workers(nodes, name)) for name, figure in self.core_seconds.items())
        return sum(times, Figure(0.0, 0.0))

    def workers(self, nodes: int, name: str = "") -> int:
        """Of an operation, on so many nodes like this one; without a name, of one that takes one CPU."""
        return pool_size(self.execution, nodes, *self.takes.get(name, (1.0, 0.0)))

    def gpu_workers(self, nodes: int) -> int:
        """The most that any operation has of those that take a GPU; 0 where none does."""
        return max((self.workers(nodes, name) for name, (_, gpus) in self.takes.items() if gpus), default=0)


def estimate_job(
    job: Job,
    summary: RunSummary,
    *,
    limit: int | None = None,
    only: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    sample: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """What the rest of a job takes, and how large all of it will be.

    Args:
        job: as it would run.
        summary: of its dry run, for what is due.
        limit: as of the dry run, like `only`, `workers` and `address`; see `run_job`.
        only: one pass.
        workers: overrides `execution.workers`.
        address: overrides `execution.address`.
        sample: source items to run for real, in a temporary folder; none where 0.
        progress: told how far the sample is.
    """
    job = job.model_copy(update={"execution": job.execution.asked(workers, address)})
    items = [item for source in job.sources for item in source.listed()][:limit]
    store = open_store(job.out)
    seen, pack_rate = _from_ledger(job, store, items), _pack_rate(store)
    left = _left(job, summary, items, seen, only)
    if sample:
        sampled, rate = _from_sample(job, _draw(items, sample), progress or Silent())
        seen, pack_rate = {**seen, **sampled}, rate or pack_rate
    observations = [observation for observation in seen.values() if observation.figures]
    return _estimate(job, _sizes(items), observations, left, pack_rate or PACK_BYTES_PER_S)


def ratio_estimate(observations: Sequence[Observation], name: str, total_size: float) -> Figure:
    """Total of a figure over items of a total size.

    Args:
        observations: at least one.
        name: of the figure; an item without it counts as 0.
        total_size: over all items, the observed ones included.
    """
    sizes = [one.size for one in observations]
    values = [one.figures.get(name, 0.0) for one in observations]
    count, size = len(observations), sum(sizes)
    ratio = sum(values) / size
    if count < 2:
        return Figure(ratio * total_size)
    rest = sum((value - ratio * own) ** 2 for value, own in zip(values, sizes, strict=True)) / (count - 1)
    unseen = max(1 - size / total_size, 0.0)
    error = total_size / (size / count) * math.sqrt(unseen * rest / count)
    return Figure(ratio * total_size, 2 * error)


def _left(
    job: Job, summary: RunSummary, items: Sequence[SourceItem], seen: Mapping[str, Observation], only: str | None
) -> dict[str, float]:
    """Share of the source that each operation that would run has still to work on, by size."""
    sizes = _sizes(items)
    total = sum(sizes.values()) or 1.0
    plan = {row.name: row for row in summary.plan}
    shares = {}
    names = {"ingest": ["ingest"], "annotate": [operation.name for operation in plan_operations(job)]}
    for name in names.get(only, []) if only else [*names["ingest"], *names["annotate"]]:
        row = plan.get(name)
        if row is not None and row.due is not None and row.due + row.done:
            shares[name] = row.due / (row.due + row.done)
        else:  # how many clips there will be is not known: what has an answer is done
            shares[name] = 1 - sum(one.size for one in seen.values() if name in one.figures) / total
    if only in (None, "pack"):
        packing = plan.get("pack")
        shares["pack"] = 1.0
        if packing is not None and packing.due is not None and packing.due + packing.done:
            shares["pack"] = packing.due / (packing.due + packing.done)
    return shares


def _estimate(
    job: Job,
    sizes: Mapping[str, float],
    seen: Sequence[Observation],
    left: Mapping[str, float],
    pack_rate: float,
) -> Estimate:
    total = sum(sizes.values())
    core_seconds: dict[str, Figure] = {}
    for name, share in left.items():
        # An item without a clip has nothing to annotate: it counts as one that took no time.
        if any(name in one.figures for one in seen):
            core_seconds[name] = ratio_estimate(seen, name, total).times(share)
    unknown = [name for name in left if name not in core_seconds and name != "pack"]
    nothing = Figure(0.0, 0.0)
    told = {
        name: ratio_estimate(seen, name, total) if seen else nothing
        for name in (CLIPS, CLIP_SECONDS, CLIP_BYTES, ANSWER_BYTES)
    }
    sample_bytes = told[CLIP_BYTES] + told[ANSWER_BYTES] + told[CLIPS].times(SAMPLE_BYTES)
    shard_bytes = sample_bytes.times(derived_share(job.compose))
    if seen and "pack" in left:
        core_seconds["pack"] = shard_bytes.times(left["pack"] / pack_rate)
    return Estimate(
        observed=len(seen),
        items=len(sizes),
        core_seconds=core_seconds,
        unknown=unknown,
        clips=told[CLIPS],
        clip_seconds=told[CLIP_SECONDS],
        clip_bytes=told[CLIP_BYTES],
        answer_bytes=told[ANSWER_BYTES],
        shard_bytes=shard_bytes,
        shards=math.ceil(shard_bytes.value / (job.pack.target_mb * 1e6)),
        execution=job.execution,
        takes=_takes(job),
    )


def _takes(job: Job) -> dict[str, tuple[float, float]]:
    """CPUs and GPUs of one worker by operation; neighbours with a GPU, and neighbours without, share their workers."""
    found: dict[str, tuple[float, float]] = {}
    for _, neighbours in groupby(plan_operations(job), key=lambda operation: operation.gpus > 0):
        wave = list(neighbours)
        most = max(one.cpus for one in wave), max(one.gpus for one in wave)
        found |= {one.name: most for one in wave}
    return found


def derived_share(rules: Compose) -> float:
    """How many frames are packed per frame of a chosen clip: 1 for the clip itself, and what is derived from it."""
    return 1.0 + sum(rule.share * (2.0 if rule.reverse == "loop" else 1.0) for rule in rules.derive)


def _sizes(items: Sequence[SourceItem]) -> dict[str, float]:
    """Size by item: bytes where every item is a file, else 1 each."""
    found = {}
    for item in items:
        if item.problem is not None:
            continue
        if not item.path:
            return {one.id: 1.0 for one in items if one.problem is None}
        found[item.id] = max(_bytes(Path(item.path)), 1.0)
    return found


def _bytes(path: Path) -> float:
    """Of a file, or of the files in a folder; 0 of a pipe, a link that leads nowhere, and what else nobody can read."""
    try:
        files = path.iterdir() if path.is_dir() else [path]
        return float(sum(one.stat().st_size for one in files if one.is_file()))
    except OSError:
        return 0.0


def _draw(items: Sequence[SourceItem], count: int) -> list[SourceItem]:
    """Items by the hash of their name: the same ones every time, and a fair draw."""
    usable = [item for item in items if item.problem is None]
    return sorted(usable, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest())[:count]


def _from_ledger(job: Job, store: Store, items: Sequence[SourceItem]) -> dict[str, Observation]:
    """What rows of this job's recipes took; of operations whose recipe changed, what the last one took."""
    import pyarrow as pa

    sizes = _sizes(items)
    if not sizes:
        return {}
    found: dict[str, Observation] = defaultdict(lambda: Observation(1.0))
    recipe = ingest_recipe(job)
    wanted = pa.table({"item": pa.array(list(sizes), pa.string())})

    def rows(connection: duckdb.DuckDBPyConnection) -> tuple[list[Any], list[Any], list[Any]]:
        connection.register("wanted", wanted)
        videos = connection.execute(
            "SELECT item, sum(seconds) FROM latest SEMI JOIN wanted USING (item) "
            "WHERE operation = 'ingest' AND recipe = ? GROUP BY ALL",
            [recipe],
        ).fetchall()
        connection.execute("CREATE TEMP TABLE mine AS SELECT * FROM clips WHERE recipe = ?", [recipe])
        made = connection.sql("SELECT item, count(*), sum(seconds), sum(bytes) FROM mine GROUP BY ALL").fetchall()
        answers = connection.sql(
            "SELECT mine.item, latest.operation, sum(latest.seconds), sum(latest.bytes) FROM latest "
            "JOIN mine ON mine.key = latest.item WHERE latest.recipe <> 'human' GROUP BY ALL"
        ).fetchall()
        return videos, made, answers

    videos, made, answers = find_in_rows(store, rows)
    for item, seconds in videos:
        found[item] = Observation(sizes[item], {"ingest": seconds})
    for item, clips, seconds, size in made:
        if item in found:
            found[item].figures |= {CLIPS: clips, CLIP_SECONDS: seconds, CLIP_BYTES: size, ANSWER_BYTES: 0.0}
    for item, operation, seconds, size in answers:
        if item in found:
            found[item].figures[operation] = seconds
            found[item].figures[ANSWER_BYTES] += size
    return dict(found)


def _from_sample(
    job: Job, items: Sequence[SourceItem], progress: Progress
) -> tuple[dict[str, Observation], float | None]:
    """Run these items for real, packing included; nothing of it stays."""
    from worldloom.pipeline.in_process import InProcess
    from worldloom.pipeline.run import run_job

    with tempfile.TemporaryDirectory(prefix="worldloom-sample-") as folder:
        moved = job.model_copy(update={"out": Path(folder)})
        with InProcess(job.execution) as engine:
            run_job(moved, engine=engine, items=items, progress=progress)
        return _from_ledger(job, open_store(folder), items), _pack_rate(open_store(folder))


def _pack_rate(store: Store) -> float | None:
    """Bytes of shards per second of one worker; None where nothing was packed."""
    ((size, seconds),) = find_in_rows(
        store,
        lambda connection: connection.sql(
            "SELECT sum(CAST(json_extract(told, '$.bytes') AS BIGINT)), sum(seconds) FROM latest "
            "WHERE operation = 'pack' AND status = 'ok'"
        ).fetchall(),
    )
    return float(size / seconds) if size and seconds else None
