"""The passes without Ray: the same supervisors, each with its child process, driven by threads of this process."""

from __future__ import annotations

import importlib
import queue
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from types import TracebackType
from typing import Any, Protocol

from worldloom.pipeline.actor import Supervisor
from worldloom.pipeline.engine import Engine, Stage
from worldloom.pipeline.preflight import pool_size

_AGAIN_S = 0.1
"""Between two looks at whether the rows at work are given up."""


class Interruptible(Supervisor, Protocol):
    """A supervisor whose work another thread can end."""

    def interrupt(self) -> None:
        """Give the row at work up, and every later one."""


class InProcess(Engine):
    """An engine for a handful of rows, as a dry run samples them; what a row costs is what it costs under Ray.

    Args:
        execution: says how many rows are worked on at once.
    """

    _begun: Generator[tuple[dict[str, Any], bytes]] | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An interrupt of whoever takes the results leaves the rest of them at work.
        if self._begun is not None:
            self._begun.close()

    def start(self) -> None:
        """Nothing has to start."""
        self.started = True

    def run(
        self, stage: Stage, rows: Iterable[Mapping[str, Any]], count: int | None = None
    ) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Work on all rows; results come in the order in which they are done. Rows at work are given up with them.

        Args:
            stage: what to do with each.
            rows: plain data.
            count: how many rows there are; not needed here.
        """
        self._begun = self._work(stage, rows)
        return self._begun

    def _work(self, stage: Stage, rows: Iterable[Mapping[str, Any]]) -> Generator[tuple[dict[str, Any], bytes]]:
        self.start()
        todo = list(rows)
        if not todo:
            return
        idle: queue.SimpleQueue[Interruptible] = queue.SimpleQueue()
        made = [_supervisor(stage) for _ in range(min(pool_size(self.execution, 1, stage.cpus, stage.gpus), len(todo)))]
        for one in made:
            idle.put(one)

        def work(row: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
            supervisor = idle.get()
            try:
                return supervisor(dict(row))
            finally:
                idle.put(supervisor)

        pool = ThreadPoolExecutor(len(made), thread_name_prefix="row")
        futures: list[Future[tuple[dict[str, Any], bytes]]] = []
        try:
            for row in todo:
                futures.append(pool.submit(work, row))
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            at_work = [future for future in futures if not future.done()]
            while wait(at_work, timeout=_AGAIN_S).not_done:  # a child may just be starting, and is ended next time
                for one in made:
                    one.interrupt()
            pool.shutdown()


def _supervisor(stage: Stage) -> Interruptible:
    module, _, name = stage.supervisor.partition(":")
    made: Interruptible = getattr(importlib.import_module(module), name)(**stage.settings)
    return made
