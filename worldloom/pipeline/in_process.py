"""The passes without Ray: the same supervisors, each with its child process, driven by threads of this process."""

from __future__ import annotations

import importlib
import queue
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from worldloom.pipeline.actor import Supervisor
from worldloom.pipeline.engine import Engine, Stage


class InProcess(Engine):
    """An engine for a handful of rows, as a dry run samples them; what a row costs is what it costs under Ray.

    Args:
        execution: its `worker_count` is how many rows are worked on at once.
    """

    def start(self) -> None:
        """Nothing has to start."""
        self.started = True

    def run(
        self, stage: Stage, rows: Iterable[Mapping[str, Any]], count: int | None = None
    ) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Work on all rows; results come in the order in which they are done.

        Args:
            stage: what to do with each.
            rows: plain data.
            count: how many rows there are; not needed here.
        """
        self.start()
        todo = list(rows)
        if not todo:
            return
        idle: queue.SimpleQueue[Supervisor] = queue.SimpleQueue()
        made = [_supervisor(stage) for _ in range(min(self.execution.worker_count, len(todo)))]
        for one in made:
            idle.put(one)

        def work(row: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
            supervisor = idle.get()
            try:
                return supervisor(dict(row))
            finally:
                idle.put(supervisor)

        pool = ThreadPoolExecutor(len(made), thread_name_prefix="row")
        try:
            for future in as_completed([pool.submit(work, row) for row in todo]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _supervisor(stage: Stage) -> Supervisor:
    module, _, name = stage.supervisor.partition(":")
    made: Supervisor = getattr(importlib.import_module(module), name)(**stage.settings)
    return made
