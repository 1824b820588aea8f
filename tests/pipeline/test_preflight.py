from __future__ import annotations

import pytest

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.preflight import Demand, Node, check_capacity

NODES = [Node(cpus=2, gpus=0, memory_mb=8000), Node(cpus=4, gpus=1, memory_mb=4000)]


def test_what_fits_passes() -> None:
    check_capacity([Demand("pose", 1, 0, 8000), Demand("depth", 1, 1, 4000)], NODES)
    check_capacity([], [])


@pytest.mark.parametrize(
    ("demand", "message"),
    [
        (Demand("pose", 8, 0, 100), "pose wants 8 CPUs per worker, the largest node has 4"),
        (Demand("depth", 1, 2, 100), "depth wants 2 GPUs per worker, the largest node has 1"),
        (Demand("pose", 1, 0, 9000), "pose wants 9000 MB .* has 8000; set execution.memory_mb"),
    ],
)
def test_an_operator_that_fits_on_no_node_is_named(demand: Demand, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_capacity([demand], NODES)


def test_a_pool_that_takes_every_cpu_would_starve_its_input() -> None:
    with pytest.raises(UsageError, match="want 2 CPUs at least, there are 1"):
        check_capacity([Demand("pose", 1, 0, 100)], [Node(1, 0, 8000)])
    two = [Demand("pose", 1, 0, 100), Demand("depth", 1, 0, 100)]
    with pytest.raises(UsageError, match=r"pose, depth .* want 3 CPUs"):
        check_capacity(two, [Node(2, 0, 8000)])
    check_capacity(two, [Node(3, 0, 8000)])
