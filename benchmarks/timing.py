"""Times compared fairly on a machine that is not: in rounds that alternate, by their medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def medians(
    actions: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    before: Callable[[], object] = lambda: None,
    warm_up: bool = False,
) -> dict[str, float]:
    """Median wall-clock seconds of each action; every round begins with another one, for a machine has moods.

    Args:
        actions: by name.
        rounds: of all of them, one after the other.
        before: runs ahead of each one, not counted.
        warm_up: run all once, not counted: imports and the page cache.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values() if warm_up else ():
        action()
    names = list(actions)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            before()
            start = time.perf_counter()
            actions[name]()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(one) for name, one in times.items()}
