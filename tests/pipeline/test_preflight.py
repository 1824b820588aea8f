from __future__ import annotations

import pytest

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.preflight import Demand, Node, check_capacity, room_for

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


def test_room_is_counted_node_by_node_and_by_the_scarcest_resource() -> None:
    assert room_for(Demand("pose", 1, 0, 2000), NODES) == 2 + 2
    assert room_for(Demand("pose", 0.5, 0, 100), NODES) == 4 + 8
    assert room_for(Demand("depth", 1, 0.5, 1000), NODES) == 2
    assert room_for(Demand("depth", 1, 2, 1000), NODES) == 0


def test_a_minimum_that_does_not_fit_is_refused_with_the_key_to_lower() -> None:
    with pytest.raises(UsageError, match=r"depth wants 2 workers at least, 1 fit .*min of execution\.gpu_workers"):
        check_capacity([Demand("depth", 1, 1, 4000, least=2)], NODES)
    with pytest.raises(UsageError, match=r"pose wants 7 workers at least, 6 fit .*min of execution\.workers"):
        check_capacity([Demand("pose", 1, 0, 1000, least=7)], NODES)
    check_capacity([Demand("pose", 1, 0, 1000, least=5)], NODES)


def test_minima_that_fit_alone_and_not_together_are_refused() -> None:
    both = [Demand("depth", 1, 1, 1000), Demand("caption", 1, 1, 1000)]
    with pytest.raises(UsageError, match="depth, caption want 2 GPUs at least, there are 1"):
        check_capacity(both, NODES)
