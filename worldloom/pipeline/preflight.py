"""Can this machine or cluster run the job at all? Asked before it starts, because Ray would wait for ever instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worldloom.catalogs.errors import UsageError

FEEDING_CPUS = 1.0
"""For the task that feeds the pools: a pool whose minimum takes every CPU starves its own input, silently."""


@dataclass(frozen=True)
class Demand:
    """What one actor of an operator takes."""

    name: str
    cpus: float
    gpus: float
    memory_mb: float


@dataclass(frozen=True)
class Node:
    """What one machine has."""

    cpus: float
    gpus: float
    memory_mb: float


def check_capacity(demands: Sequence[Demand], nodes: Sequence[Node]) -> None:
    """Every operator must fit on some node, and the smallest pools of all with one task must fit together.

    Args:
        demands: operators that run at the same time; pools start with one actor each.
        nodes: of the cluster.

    Raises:
        UsageError: names the operator, the resource, and what there is.
    """
    for demand in demands:
        for resource, unit in (("cpus", "CPUs"), ("gpus", "GPUs"), ("memory_mb", "MB of memory")):
            wanted = getattr(demand, resource)
            largest = max((getattr(node, resource) for node in nodes), default=0.0)
            if wanted > largest:
                hint = "; set execution.memory_mb" if resource == "memory_mb" else ""
                has = f"the largest node has {_number(largest)}"
                raise UsageError(f"{demand.name} wants {_number(wanted)} {unit} per worker, {has}{hint}")
    if not demands:
        return
    wanted = sum(demand.cpus for demand in demands) + FEEDING_CPUS
    there = sum(node.cpus for node in nodes)
    if wanted > there:
        names = ", ".join(demand.name for demand in demands)
        raise UsageError(f"{names} and the task that feeds them want {wanted:g} CPUs at least, there are {there:g}")


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:g}"
