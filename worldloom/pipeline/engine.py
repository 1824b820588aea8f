"""Ray Data runs the passes: rows in from the driver, rows out to the driver as they are done.

The only module that imports Ray. What runs in an actor is a supervisor: a class built once per worker and called
with one row, which keeps all native code in a child process of its own (`worldloom.pipeline.envelope`).
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Any, Protocol

from worldloom.catalogs.errors import WorldloomError
from worldloom.pipeline.preflight import Demand, Node, check_capacity
from worldloom.pipeline.settings import Execution

RETRIES = 2
"""Of a row whose actor died; Ray's own default is without end. Actors are started again as often as it takes."""

ROWS_PER_BLOCK_ABOVE = 20_000
"""One row per block costs about 9 ms and lets every finished row out at once; above so many rows, 8 per block."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_metrics_report_interval_ms": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Environment of Ray and its workers: no reports to the outside, no second runtime environment, one thread each."""


class Supervisor(Protocol):
    """What an actor holds: called with plain data, returns plain data and bytes."""

    def __call__(self, row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Work on one row."""


@dataclass(frozen=True)
class Stage:
    """One operator.

    Attributes:
        name: for messages.
        supervisor: `module:Class`, built with the keywords of `settings`.
        settings: plain data.
        cpus: of one actor.
        gpus: of one actor.
        memory_mb: of one actor and its child.
    """

    name: str
    supervisor: str
    settings: Mapping[str, Any]
    cpus: float = 1.0
    gpus: float = 0.0
    memory_mb: int = 1024


class Engine:
    """Ray, started when the first stage runs and ended with the `with` block; one that runs already is used as it is.

    Args:
        execution: workers, address, sizes.

    Attributes:
        stages: all that may run; whether they can is checked when the first one starts.
        started: whether any stage ran.
    """

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.stages: list[Stage] = []
        self.started = False
        self._ours = False

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            import ray

            ray.shutdown()
            self._ours = False

    def run(self, stage: Stage, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Work on all rows; results come in the order in which they are done.

        Args:
            stage: what to do with each.
            rows: plain data.

        Raises:
            WorldloomError: no node can run the stage, or Ray itself failed.
        """
        if not rows:
            return
        self.start()
        import ray
        from ray.data import ActorPoolStrategy

        workers = min(self.execution.worker_count, len(rows))
        count = len(rows) if len(rows) <= ROWS_PER_BLOCK_ABOVE else -(-len(rows) // 8)
        dataset = ray.data.from_items([{"row": json.dumps(row)} for row in rows], override_num_blocks=count)
        with warnings.catch_warnings():
            # It has no named parameter yet, and its default is without end.
            warnings.simplefilter("ignore")
            dataset = dataset.map(
                _Actor,
                fn_constructor_args=(stage.supervisor, dict(stage.settings)),
                # One row at a time: a second one queued at a busy actor would wait while another actor idles.
                compute=ActorPoolStrategy(
                    min_size=1,
                    initial_size=workers if self._ours and not self.execution.address else 1,
                    max_size=workers,
                    max_tasks_in_flight_per_actor=1,
                ),
                num_cpus=stage.cpus,
                num_gpus=stage.gpus or None,
                memory=stage.memory_mb * 1_000_000,
                max_task_retries=RETRIES,
            )
        try:
            # Without prefetch: a finished row that waits for the next one is lost if the driver is killed.
            blocks = iter(dataset.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"))
            with _without_a_false_alarm():
                first = next(blocks)
            for block in chain([first], blocks):
                for row in block.to_pylist():
                    yield json.loads(row["row"]), row["payload"]
        except ray.exceptions.RayError as error:
            raise WorldloomError(f"{stage.name}: Ray failed ({str(error).strip().splitlines()[-1]})") from error

    def start(self) -> None:
        """Start Ray, unless it runs, and prove that every stage can.

        Raises:
            UsageError: a stage fits on no node.
        """
        if self.started:
            return
        self.started = True
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        logging.getLogger("ray").setLevel(logging.ERROR)
        import ray
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)

        if not ray.is_initialized():
            self._ours = True
            if self.execution.address:
                ray.init(address=self.execution.address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                ray.init(
                    # Bookkeeping only, on one machine: a CPU per worker and one for the task that feeds them.
                    num_cpus=self.execution.worker_count + 1,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=self.execution.object_store_mb * 1_000_000,
                    _node_ip_address="127.0.0.1",
                )
        _set_up_ray_data()
        nodes = _nodes()
        for stage in self.stages:  # they run one after the other
            check_capacity([Demand(stage.name, stage.cpus, stage.gpus, stage.memory_mb)], nodes)


class _Actor:
    """Ray's side of a supervisor: JSON in, JSON and bytes out, so that no block holds pickled objects."""

    def __init__(self, supervisor: str, settings: dict[str, Any]) -> None:
        module, _, name = supervisor.partition(":")
        self._supervisor: Supervisor = getattr(importlib.import_module(module), name)(**settings)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        result, payload = self._supervisor(json.loads(row["row"]))
        return {"row": json.dumps(result), "payload": payload}


@contextmanager
def _without_a_false_alarm() -> Iterator[None]:
    """Hold back what the process writes to stderr while the actors start, and give it out without one line.

    Ray's core prints an error per pool whose actors may be started again, because Ray Data keeps their arguments in
    the object store; the driver holds these for as long as the pool lives.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            held.seek(0)
            lines = [line for line in held if b"constructor arguments in the object store" not in line]
            os.write(stderr, b"".join(lines))
            os.close(stderr)


def _set_up_ray_data() -> None:
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = 0
    # With one task per actor a busy pool is at 1.0; Ray's default of 1.75 would never add an actor.
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
    context.log_internal_stack_trace_to_stdout = False


def _nodes() -> list[Node]:
    import ray

    found = []
    for node in ray.nodes():
        if node["Alive"]:
            resources = node["Resources"]
            memory_mb = resources.get("memory", 0) / 1e6
            found.append(Node(resources.get("CPU", 0), resources.get("GPU", 0), memory_mb))
    return found
