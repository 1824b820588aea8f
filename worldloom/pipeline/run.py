"""Run a job: ingest, annotate, compose, pack; each does only what the ledger has no answer for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from worldloom.catalogs.config import nearest
from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.catalogs.manifest import latest_or_none, numbers, removed_list
from worldloom.catalogs.memory import frugal_memory
from worldloom.catalogs.storage import absolute
from worldloom.pipeline.check import check_job
from worldloom.pipeline.clean import PUT_AWAY
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.funnel import Due, RunSummary, Tally, exit_code_for
from worldloom.pipeline.job import job_yaml
from worldloom.pipeline.known import KnownClips, annotate_tallies, find_answers, ingest_tally, known_clips
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Ledger
from worldloom.pipeline.lock import Lock
from worldloom.pipeline.operations import ingest_recipe, plan_operations
from worldloom.pipeline.overrides import sync_overrides
from worldloom.pipeline.passes.annotate import annotate, annotate_stages
from worldloom.pipeline.passes.compose import asked_of_clips, compose
from worldloom.pipeline.passes.dropped import write_dropped
from worldloom.pipeline.passes.ingest import ingest, ingest_stage, wanted_items
from worldloom.pipeline.passes.pack import Packed, catalog_of, pack, pack_stage
from worldloom.pipeline.passes.work import EVERY_FAILURE, Work
from worldloom.pipeline.progress import Progress, Silent
from worldloom.pipeline.quarantine import forget_solved
from worldloom.pipeline.rows import explain_retry, was_interrupted
from worldloom.pipeline.segments import write_table
from worldloom.pipeline.settings import Job
from worldloom.pipeline.standing import Standing
from worldloom.pipeline.state import STATE, OperationState, State, read_state
from worldloom.pipeline.workspace import ITEMS

if TYPE_CHECKING:
    from worldloom.pipeline.sources.source import SourceItem

PASSES = ("ingest", "annotate", "compose", "pack")


def run_job(
    job: Job,
    *,
    limit: int | None = None,
    only: str | None = None,
    retry: str | Sequence[str] | None = None,
    workers: int | None = None,
    address: str | None = None,
    dry_run: bool = False,
    append: bool = False,
    progress: Progress | None = None,
    engine: Engine | None = None,
    items: Sequence[SourceItem] | None = None,
) -> RunSummary:
    """Run a job, or what is left of it.

    Args:
        job: from `load_job` or `job_for_folder`.
        limit: at most this many source items, the first ones.
        only: one pass: `ingest`, `annotate`, `compose` or `pack`; earlier ones are taken as they are in the ledger.
        retry: reasons whose failed or dropped rows are tried again; `failed` or `all` for every failed row.
        workers: overrides `execution.workers`.
        address: overrides `execution.address`.
        dry_run: say what would run; nothing is written.
        append: as `pack.append`.
        progress: told how far it is.
        engine: runs the passes; Ray where not given.
        items: source items to work on, instead of all that the job's sources list.

    Returns:
        The table, and what ran.

    Raises:
        UsageError: the job or its sources are wrong, or another run is at work in its folder.
        WorldloomError: a shard could not be written, or Ray failed.
    """
    if only is not None and only not in PASSES:
        raise UsageError(f"--only: unknown pass '{only}'" + nearest(only, PASSES))
    check_job(job)
    execution = job.execution.asked(workers, address)
    packing = job.pack.model_copy(update={"append": append or job.pack.append})
    job = job.model_copy(update={"execution": execution, "pack": packing, "out": absolute(job.out)})
    if dry_run:
        return _Run(job, Ledger(job.out), progress, limit=limit, only=only, retry=retry, dry=True).go()
    with (
        frugal_memory(),
        Lock(job.out) as lock,
        Ledger(job.out, writable=True, held=lock.held) as ledger,
    ):
        run = _Run(job, ledger, progress, limit=limit, only=only, retry=retry, dry=False, engine=engine, items=items)
        if lock.note:
            run.notes.append(lock.note)
        work = run.work
        with Standing(run.layout.store, work.progress, job.execution.worker_count, work.due) as standing:
            work.progress, work.hear = standing, standing.hear
            try:
                return run.go()
            except (KeyboardInterrupt, Exception) as error:
                told = f"{sum(work.ran.values())} rows done in this run, the same command resumes"
                if was_interrupted(error):
                    raise KeyboardInterrupt(told) from None
                error.add_note(told)  # Ray too may have made an error of its own of an interrupt
                raise


class _Run:
    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        progress: Progress | None,
        *,
        limit: int | None,
        only: str | None,
        retry: str | Sequence[str] | None,
        dry: bool,
        engine: Engine | None = None,
        items: Sequence[SourceItem] | None = None,
    ) -> None:
        self.job, self.ledger, self.limit, self.only, self.dry = job, ledger, limit, only, dry
        self.layout = Layout(job.out)
        self.operations = plan_operations(job)
        self.engine = engine or Engine(job.execution, job.out)
        self.given_items = items
        self.work = Work(job, self.layout, ledger, self.engine, progress or Silent(), dry=dry)
        self.work.retry = frozenset([retry] if isinstance(retry, str) else retry or ())
        self.tables: list[Tally] = []
        # Refused before the standing of an earlier run is written over.
        self.notes = explain_retry(self.layout.store, self.work.retry - set(EVERY_FAILURE))
        self.packed = Packed()
        self.earlier: list[Tally] = []

    def go(self) -> RunSummary:
        items = self._items()
        wanted = wanted_items(self.job, items)
        self._check_once(items, wanted)
        if not self.dry:
            self._prepare(wanted)
        self.engine.stages = [
            ingest_stage(self.work),
            *annotate_stages(self.work, self.operations),
            pack_stage(self.work, self.operations),
        ]
        with self.engine:
            if self._wants("ingest"):
                ingest(self.work, items[: self.limit], wanted[: self.limit])
            del items  # as large as all that is known about the clips
            clips = known_clips(self.ledger, wanted[: self.limit])
            self.tables.append(ingest_tally(clips))
            self._annotate(clips)
            if not self.dry:
                self._forget_solved(clips)
                self.tables += annotate_tallies(clips, [operation.name for operation in self.operations])
            unknown = self.dry and any(due for due, _ in self.work.due.values())
            if self._wants("compose", "pack") and not unknown:
                self._compose_and_pack(clips)
        return self._end()

    def _wants(self, *names: str) -> bool:
        return self.only is None or self.only in names

    def _items(self) -> list[SourceItem]:
        if self.given_items is not None:
            return list(self.given_items)
        items = [item for source in self.job.sources for item in source.listed()]
        if not items:
            raise UsageError(f"sources: there is nothing in {', '.join(_places(self.job))}")
        return items

    @staticmethod
    def _check_once(items: Sequence[SourceItem], wanted: pa.Table) -> None:
        codes = wanted["item"].combine_chunks().dictionary_encode().indices.to_numpy()
        twice = np.flatnonzero(np.bincount(codes)[codes] > 1)
        if len(twice):
            item = items[twice[-1]]
            raise UsageError(f"sources: '{item.uri}' is listed twice ({item.kind}); name each folder once")

    def _prepare(self, wanted: pa.Table) -> None:
        """What others read while the job runs: the job, what its recipes are, and what it works on."""
        self.layout.forget_drafts()
        self.layout.store.write("job.yaml", job_yaml(self.job).encode())
        write_table(self.layout.store, ITEMS, wanted)
        with suppress(WorldloomError):  # there is none, or it is damaged: it is written anew
            self.earlier = read_state(self.layout).packing()
        self._write_state()

    def _write_state(self, exit_code: int = 0) -> None:
        names = {tally.name for tally in self.tables}
        state = State(
            name=self.job.name,
            ingest=ingest_recipe(self.job),
            operations=tuple(OperationState.model_validate(vars(operation)) for operation in self.operations),
            tables=tuple(self.tables),
            earlier=tuple(tally for tally in self.earlier if tally.name not in names),
            manifest=self.packed.manifest,
            exit_code=exit_code,
        )
        self.layout.write_json(STATE, state.model_dump(mode="json"))

    def _annotate(self, clips: KnownClips) -> None:
        if not self.dry:
            self.notes += sync_overrides(self.ledger, self.layout, self.operations, ingest_recipe(self.job))
        if self._wants("annotate"):
            annotate(self.work, clips, self.operations)
        else:
            find_answers(self.ledger, clips, self.operations)

    def _forget_solved(self, clips: KnownClips) -> None:
        forget_solved(self.layout, "ingest", clips.videos["item"], clips.videos["status"])
        for operation in self.operations:
            forget_solved(self.layout, operation.name, clips.table["key"], clips.answers[operation.name]["status"])

    def _compose_and_pack(self, clips: KnownClips) -> None:
        before = latest_or_none(self.layout.dataset)
        removed = removed_list(before) if before is not None else []
        placed = catalog_of(self.work, before) if self.job.pack.append and before is not None else None
        chosen, tally = compose(self.job.compose, clips, self.operations, self.ledger, removed, placed=placed)
        self.tables.append(tally)
        self.notes += chosen.notes
        if not self.dry:
            write_dropped(self.layout, chosen.dropped)
        if self._wants("pack"):
            append, tables = self.job.pack.append, tuple(self.tables)
            self.packed = pack(self.work, chosen, self.operations, before, append=append, tables=tables)
            self.notes += self.packed.notes
            if not self.dry:
                self.tables.append(self.packed.tally)

    def _end(self) -> RunSummary:
        self.notes += self.engine.notes
        if self.work.failures:
            lost = self.work.failures
            each = "1 row failed; it" if lost == 1 else f"{lost} rows failed; each"
            self.notes.append(f"{each} has a file in {self.layout.out}/quarantine")
            if self.layout.store.exists(PUT_AWAY):
                back = f"worldloom clean {self.layout.out} --bring-back"
                self.notes.append(f"clips were put away by `clean --clips`; bring them back ({back}) and retry")
        exit_code = exit_code_for(self.tables, self.job.execution.failure_budget)
        if self.packed.problem:
            exit_code = 1
        if self.dry:
            self.notes += asked_of_clips(self.job.compose)
        else:
            self._write_state(exit_code)
        committed = numbers(self.layout.dataset)
        return RunSummary(
            tables=tuple(self.tables),
            out=self.layout.out,
            dataset=self.layout.dataset if committed else None,
            manifest=committed[-1] if committed else 0,
            committed=self.packed.committed,
            exit_code=exit_code,
            ray_started=self.engine.started,
            ran=dict(self.work.ran),
            notes=tuple(self.notes),
            plan=tuple(self._plan()) if self.dry else (),
        )

    def _plan(self) -> Iterator[Due]:
        seconds = self.ledger.seconds_per_row()
        for name, (due, done) in self.work.due.items():
            # Clips that ingest has yet to find are still unknown to the operations.
            unknown = name != "ingest" and self.work.due.get("ingest", (0, 0))[0] > 0
            yield Due(name, done, None if unknown else due, seconds.get(name))


def _places(job: Job) -> list[str]:
    return [str(folder) for source in job.sources for folder in source.folders().values()]
