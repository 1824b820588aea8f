"""Ray Data runs the passes: rows in from the driver, rows out to the driver as they are done.

The only module that imports Ray. What runs in an actor is a supervisor: a class built once per worker and called
with one row, which keeps all native code in a child process of its own (`worldloom.pipeline.envelope`).
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Any

from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.catalogs.memory import give_memory_back
from worldloom.catalogs.storage import open_store
from worldloom.pipeline.actor import Actor, supervisor_class
from worldloom.pipeline.cluster import HELP, NodeReport, check_reports, open_port_note, report_node
from worldloom.pipeline.preflight import Demand, Node, check_capacity, room_for
from worldloom.pipeline.settings import Execution
from worldloom.pipeline.stretches import BLOCK_ROWS_AT_MOST, ROUNDS_ALONE, Stretches

RETRIES = 1
"""Of a task whose actor died; Ray's own default is without end. Actors are started again as often as it takes."""

ANSWER_S = 60.0
"""In which a node of a cluster has to say that it is there and sees the working folder (default ours)."""

HELPERS_S = 30.0
"""In which Ray Data's own actors should have come up; later ones are waited for where they are needed."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_metrics_report_interval_ms": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_event_stats": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Environment of Ray and its workers: no reports to the outside, no second runtime environment, one thread each; no
bookkeeping for a dashboard that is not there."""

ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Makes Ray on one machine listen on 127.0.0.1 alone; asked for this address by name it takes the outer one instead."""


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
        out: working folder, which every node of a cluster must see.

    Attributes:
        stages: all that may run; whether they can is checked when the first one starts.
        started: whether any stage ran.
        notes: sentences for the person at the terminal.
    """

    def __init__(self, execution: Execution, out: str | os.PathLike[str] | None = None) -> None:
        self.execution = execution
        self.out = None if out is None else os.fspath(out)
        self.stages: list[Stage] = []
        self.started = False
        self.notes: list[str] = []
        self._nodes: list[Node] = []
        self._pace: dict[str, float | None] = {}
        self._ours = False

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            import ray

            self._ours = False
            with _undisturbed():
                ray.shutdown()

    def run(
        self, stage: Stage, rows: Iterable[Mapping[str, Any]], count: int | None = None
    ) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Work on all rows; they begin in the order given, results come in the order in which they are done.

        A task whose worker dies is tried `1 + RETRIES` times. Rows that shared it then go out alone; one that is lost
        in `ROUNDS_ALONE` rounds alone is told as the supervisor's `lost` has it. What the driver holds does not grow
        with the number of rows.

        Args:
            stage: what to do with each.
            rows: plain data, read as far as the workers need them.
            count: of the rows, where known: no more workers are started.

        Raises:
            UsageError: no node can run the stage.
            WorldloomError: the supervisor has an error of its own, or Ray itself failed.
        """
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return
        self.start()
        give_memory_back()
        least, most = self._pool(stage)
        most = max(1, min(most, count)) if count is not None else most
        least = min(least, most)
        stretches = Stretches(chain([first], rows), most, self._pace.get(stage.name))
        lost = supervisor_class(stage.supervisor).lost
        while blocks := stretches.next_blocks():
            began, done = 0.0, 0
            ahead = stretches.tasks_per_worker(len(blocks))
            for number, result, payload in self._stretch(stage, blocks, least, min(most, len(blocks)), ahead):
                began = began or time.monotonic()  # not before: the workers' start says nothing about the rows
                done += 1
                if stretches.came_back(number):
                    yield result, payload
            stretches.took(done, time.monotonic() - began)
            give_memory_back()
            for row in stretches.lost():
                times = ROUNDS_ALONE * (1 + RETRIES)
                yield lost(row, f"{stage.name}: the worker died under this row {times} times", times)
        self._pace[stage.name] = stretches.seconds_per_row

    def start(self) -> None:
        """Start Ray, unless it runs, and prove that every stage can.

        Raises:
            UsageError: a stage fits on no node, or a node of the cluster cannot take part.
        """
        if self.started:
            return
        self.started = True
        address = self.execution.address
        for name, value in (QUIET if address else QUIET | ON_LOOPBACK).items():
            os.environ.setdefault(name, value)
        logging.getLogger("ray").setLevel(logging.ERROR)
        import ray
        import ray.data

        # It reports a task that failed with a trace of its own; which rows were lost is counted here.
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        if not ray.is_initialized():
            self._ours = True
            with _signals_kept():
                self._connect()
        _set_up_ray_data()
        if self._ours:
            _start_helpers()
        self._nodes = _nodes()
        for stage in self.stages:  # they run one after the other
            check_capacity([self._demand(stage)], self._nodes)
        self._look_at_nodes()

    def _connect(self) -> None:
        import ray

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not self.execution.address:
            ray.init(
                address="local",
                # Bookkeeping only, on one machine: a CPU per worker, and one that is always free.
                num_cpus=self.execution.worker_count + 1,
                include_dashboard=False,
                object_store_memory=self.execution.object_store_mb * 1_000_000,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
            return
        try:
            ray.init(address=self.execution.address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            # To a wrong token Ray says no more than to a wrong address.
            said = str(error).strip().splitlines()[0]
            remedy = "check the address, and that RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH are those of the cluster"
            raise UsageError(f"no Ray cluster can be joined ({said}); {remedy} ({HELP})") from error

    def _demand(self, stage: Stage) -> Demand:
        least = self.execution.bounds(stage.gpus).min
        return Demand(stage.name, stage.cpus, stage.gpus, stage.memory_mb, least)

    def _pool(self, stage: Stage) -> tuple[int, int]:
        """Actors at least and at most: a pool that asks for more than fits would wait for them."""
        bounds = self.execution.bounds(stage.gpus)
        room = room_for(self._demand(stage), self._nodes)
        if self.execution.address:  # nodes may join later
            return bounds.min, max(bounds.min, bounds.max or room)
        asked = bounds.max or (room if stage.gpus else self.execution.worker_count)
        most = max(1, bounds.min, min(asked, room))
        return most, most

    def _stretch(
        self, stage: Stage, blocks: Sequence[Sequence[tuple[int, str]]], least: int, most: int, ahead: int
    ) -> Iterator[tuple[int, dict[str, Any], bytes]]:
        """One execution of Ray Data; rows whose task failed are left out."""
        import pyarrow as pa
        import ray
        from ray.data import ActorPoolStrategy

        tables = [pa.table({"number": [row[0] for row in block], "row": [row[1] for row in block]}) for block in blocks]
        dataset = ray.data.from_blocks(tables)  # `from_arrow` looks at every block in a task of its own
        with warnings.catch_warnings():
            # It has no named parameter yet, and its default is without end.
            warnings.simplefilter("ignore")
            dataset = dataset.map_batches(
                Actor,
                fn_constructor_args=(stage.supervisor, dict(stage.settings)),
                batch_size=1,  # rows of a block are still one task; with GPUs Ray asks for a number
                batch_format="pyarrow",
                compute=ActorPoolStrategy(
                    min_size=1,
                    initial_size=max(1, min(least, most)),
                    max_size=most,
                    max_tasks_in_flight_per_actor=ahead,
                ),
                num_cpus=stage.cpus,
                num_gpus=stage.gpus or None,
                memory=stage.memory_mb * 1_000_000,
                max_task_retries=RETRIES,
            )
        try:
            # Without prefetch: a finished row that waits for the next one is lost if the driver is killed.
            batches = iter(dataset.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"))
            with _without_a_false_alarm():
                first = next(batches, None)
            for batch in chain([] if first is None else [first], batches):
                for row in batch.to_pylist():
                    if row["broken"]:
                        raise WorldloomError(f"{stage.name}: an error in the program, not in the data\n{row['broken']}")
                    yield row["number"], json.loads(row["row"]), row["payload"]
        except ray.exceptions.RayError as error:
            raise WorldloomError(f"{stage.name}: Ray failed ({str(error).strip().splitlines()[-1]})") from error

    def _look_at_nodes(self) -> None:
        """Ask every node of a cluster what it runs and sees."""
        import ray

        alive = [node for node in ray.nodes() if node["Alive"]]
        addresses = [node["NodeManagerAddress"] for node in alive]
        if not self.execution.address:
            guarded = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
            unguarded = [] if guarded else ["this machine"]
        else:
            reports = _ask_nodes([(node["NodeID"], node["NodeManagerHostname"]) for node in alive], self.out)
            check_reports(reports, self.out)
            unguarded = sorted({report.host for report in reports if not report.wants_token})
        if note := open_port_note(addresses, unguarded):
            self.notes.append(note)


def _ask_nodes(nodes: Sequence[tuple[str, str]], out: str | None) -> list[NodeReport]:
    """One task on every node, which looks for a file that was just written into the working folder.

    Raises:
        UsageError: a node does not answer, or has no worldloom.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name, token = f"tmp/seen-{secrets.token_hex(8)}", secrets.token_bytes(16)
    if out is not None:
        open_store(out).write(name, token)
    try:
        task = ray.remote(num_cpus=0, max_retries=1)(report_node)
        asked = {}
        for node, host in nodes:
            strategy = NodeAffinitySchedulingStrategy(node, soft=False)
            asked[task.options(scheduling_strategy=strategy).remote(out, name, token)] = host
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
        if silent:
            raise UsageError(f"node {asked[silent[0]]} does not answer; `ray status` there, or end it with `ray stop`")
        reports = []
        for one in answered:
            try:
                reports.append(NodeReport(**ray.get(one)))
            except ray.exceptions.RayError as error:
                said = str(error).strip().splitlines()[-1]
                raise UsageError(f"node {asked[one]} cannot run worldloom ({said}); {HELP}") from error
        return reports
    finally:
        if out is not None:
            open_store(out).delete(name)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep who is told of SIGTERM: Ray's own handler would end the driver without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let nobody interrupt the end of Ray: half of its processes would stay behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    # A block that failed costs its rows, and `Stretches` knows which: they are tried alone, then told as lost.
    context.max_errored_blocks = -1
    # A finished row is a block and leaves its task at once.
    context.target_min_block_size = context.target_max_block_size = 1
    # Else a worker that is two rows ahead waits for the next look at it; its rows are small.
    context._max_num_blocks_in_streaming_gen_buffer = BLOCK_ROWS_AT_MOST
    # With one task per actor a busy pool is at 1.0; Ray's default of 1.75 would never add an actor.
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
    context.log_internal_stack_trace_to_stdout = False


def _start_helpers() -> None:
    """Start the three actors that Ray Data has on every cluster, all at once instead of one after the other.

    It would start each when it first needs it, and wait; a release that has other helpers starts its own in time.
    """
    import ray

    with suppress(ImportError, AttributeError):
        from ray.data._internal.cluster_autoscaler import get_or_create_autoscaling_coordinator
        from ray.data._internal.execution.node_trackers import get_or_create_actor_location_tracker
        from ray.data._internal.stats import get_or_create_stats_actor

        starts = get_or_create_autoscaling_coordinator, get_or_create_actor_location_tracker, get_or_create_stats_actor
        ray.wait([start().__ray_ready__.remote() for start in starts], num_returns=len(starts), timeout=HELPERS_S)


def _nodes() -> list[Node]:
    import ray

    found = []
    for node in ray.nodes():
        if node["Alive"]:
            resources = node["Resources"]
            memory_mb = resources.get("memory", 0) / 1e6
            found.append(Node(resources.get("CPU", 0), resources.get("GPU", 0), memory_mb))
    return found
