"""Can this machine or cluster run the job at all? Asked before it starts, because Ray would wait for ever instead."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worldloom.catalogs.errors import UsageError

if TYPE_CHECKING:
    from worldloom.pipeline.settings import Execution

FEEDING_CPUS = 1.0
"""For the task that feeds the pools: a pool whose minimum takes every CPU starves its own input, silently."""

RESOURCES = (("cpus", "CPUs"), ("gpus", "GPUs"), ("memory_mb", "MB of memory"))


@dataclass(frozen=True)
class Demand:
    """What an operator takes.

    Attributes:
        name: for messages.
        cpus: of one actor.
        gpus: of one actor.
        memory_mb: of one actor and its child, 10^6 bytes.
        least: actors that must run before the work starts.
    """

    name: str
    cpus: float
    gpus: float
    memory_mb: float
    least: int = 1


@dataclass(frozen=True)
class Node:
    """What one machine has; memory in 10^6 bytes."""

    cpus: float
    gpus: float
    memory_mb: float


def check_capacity(demands: Sequence[Demand], nodes: Sequence[Node]) -> None:
    """Every operator must fit on some node, and the smallest pools of all with one task must fit together.

    Args:
        demands: operators that run at the same time.
        nodes: of the cluster.

    Raises:
        UsageError: names the operator, the resource, what there is, and what to do.
    """
    for demand in demands:
        for resource, unit in RESOURCES:
            wanted = getattr(demand, resource)
            largest = max((getattr(node, resource) for node in nodes), default=0.0)
            if wanted > largest:
                has = f"the largest node has {_number(largest)}"
                raise UsageError(f"{demand.name} wants {_number(wanted)} {unit} per worker, {has}{_remedy(resource)}")
        room = room_for(demand, nodes)
        if room < demand.least:
            key = "execution.gpu_workers" if demand.gpus else "execution.workers"
            wants = f"{demand.name} wants {demand.least} workers at least, {room} fit at the same time"
            raise UsageError(f"{wants}; lower the min of {key}, or add nodes")
    if not demands:
        return
    names = ", ".join(demand.name for demand in demands)
    for resource, unit in RESOURCES:
        wanted = sum(demand.least * getattr(demand, resource) for demand in demands)
        what = names
        if resource == "cpus":
            wanted += FEEDING_CPUS
            what = f"{names} and the task that feeds them"
        there = sum(getattr(node, resource) for node in nodes)
        if wanted > there:
            message = f"{what} want {_number(wanted)} {unit} at least, there are {_number(there)}{_remedy(resource)}"
            raise UsageError(message)


def room_for(demand: Demand, nodes: Sequence[Node]) -> int:
    """How many actors of an operator fit on empty nodes at the same time."""
    return sum(_on_one(demand, node) for node in nodes)


def pool_size(execution: Execution, nodes: int, cpus: float, gpus: float) -> int:
    """How many workers an operation will have, as far as memory allows it.

    Args:
        execution: without an address, its bounds are those of each node: each runs as this machine does. With one,
            they are those of the whole cluster.
        nodes: like this one; where it has no GPU and one is needed, as if it had.
        cpus: of one worker.
        gpus: of one worker.
    """
    bounds = execution.bounds(gpus)
    cores = execution.cores if execution.address else execution.worker_count + 1  # as the engine tells Ray
    room = room_for(Demand("", cpus, gpus, 0), [Node(cores, max(gpu_count(), math.ceil(gpus)), 0)])
    if execution.address:
        return max(1, min(bounds.max or nodes * room, nodes * room))
    asked = bounds.max or (room if gpus else execution.worker_count)
    return nodes * max(1, bounds.min, min(asked, room))


def gpu_count() -> int:
    """GPUs of this machine that CUDA may use; neither Ray nor torch is asked, which take seconds to start."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = sum(re.fullmatch(r"nvidia\d+", path.name) is not None for path in Path("/dev").glob("nvidia*"))
    return (
        there
        if visible is None
        else min(there, len([one for one in visible.split(",") if one.strip() and one.strip() != "-1"]))
    )


def _on_one(demand: Demand, node: Node) -> int:
    shares = [
        getattr(node, resource) / getattr(demand, resource) for resource, _ in RESOURCES if getattr(demand, resource)
    ]
    return int(min(shares, default=0) + 1e-9)


def _remedy(resource: str) -> str:
    return "; set execution.memory_mb" if resource == "memory_mb" else "; add a node that has them"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:g}"
