from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from worldloom.pipeline.stretches import (
    AHEAD_ABOVE,
    AHEAD_AT_MOST,
    AHEAD_UNKNOWN,
    BLOCK_ROWS_AT_MOST,
    ROUNDS_ALONE,
    ROWS_AT_LEAST,
    ROWS_AT_MOST,
    TAIL_BLOCKS_PER_WORKER,
    UNKNOWN_BLOCK_ROWS,
    Stretches,
    split_blocks,
)


def rows(count: int) -> Iterator[dict[str, Any]]:
    return ({"n": number} for number in range(count))


def worked(stretches: Stretches, lose: frozenset[int] = frozenset()) -> tuple[list[int], list[int]]:
    """Numbers that came back and rows that were given up, where some never come back."""
    back, lost = [], []
    while blocks := stretches.next_blocks():
        for number, text in (row for block in blocks for row in block):
            if number not in lose and stretches.came_back(number):
                assert json.loads(text) == {"n": number}
                back.append(number)
        lost += [row["n"] for row in stretches.lost()]
    return back, lost


@pytest.mark.parametrize("pace", [None, 0.01, 0.5, 60.0])
@pytest.mark.parametrize("count", [0, 1, 5, 3000])
def test_every_row_goes_out_once_and_in_order(count: int, pace: float | None) -> None:
    back, lost = worked(Stretches(rows(count), workers=2, seconds_per_row=pace))
    assert back == list(range(count)) and lost == []


@pytest.mark.parametrize("pace", [None, 0.01])
def test_what_never_comes_back_is_given_up_and_nothing_else(pace: float | None) -> None:
    back, lost = worked(Stretches(rows(3000), workers=2, seconds_per_row=pace), frozenset({3, 4, 1500, 2999}))
    assert sorted(lost) == [3, 4, 1500, 2999]
    assert sorted([*back, *lost]) == list(range(3000))


def test_what_shared_a_block_goes_out_alone_before_it_is_given_up() -> None:
    stretches = Stretches(rows(400), workers=2, seconds_per_row=0.01)
    blocks = stretches.next_blocks()
    shared = next(block for block in blocks if len(block) > 1)
    for number in {row[0] for block in blocks for row in block} - {row[0] for row in shared}:
        assert stretches.came_back(number)
    for _ in range(ROUNDS_ALONE):
        assert list(stretches.lost()) == []
        assert stretches.next_blocks() == [[row] for row in shared]
    assert [row["n"] for row in stretches.lost()] == [row[0] for row in shared]
    assert stretches.next_blocks() == []


def test_a_row_that_is_done_twice_is_told_once() -> None:
    stretches = Stretches(rows(2), workers=1)
    stretches.next_blocks()
    assert stretches.came_back(0) and not stretches.came_back(0)


def test_short_rows_share_a_task_and_long_ones_do_not() -> None:
    sizes = {
        pace: max(map(len, Stretches(rows(4000), workers=2, seconds_per_row=pace).next_blocks()))
        for pace in (None, 0.001, 0.2, 10.0)
    }
    assert sizes == {None: UNKNOWN_BLOCK_ROWS, 0.001: BLOCK_ROWS_AT_MOST, 0.2: 10, 10.0: 1}


def test_a_stretch_is_bounded_however_many_rows_there_are() -> None:
    endless = ({"n": 0} for _ in iter(int, 1))
    for pace, expected in ((None, ROWS_AT_LEAST), (0.001, ROWS_AT_MOST), (1000.0, ROWS_AT_LEAST)):
        blocks = Stretches(islice(endless, 10_000), workers=2, seconds_per_row=pace).next_blocks()
        assert sum(map(len, blocks)) == expected
    blocks = Stretches(islice(endless, 10_000), workers=100).next_blocks()
    assert sum(map(len, blocks)) == 3200


def test_the_last_blocks_are_of_one_row() -> None:
    blocks = split_blocks([(number, "") for number in range(300)], 8, workers=3)
    tail = blocks[-3 * TAIL_BLOCKS_PER_WORKER :]
    assert all(len(block) == 1 for block in tail) and max(map(len, blocks)) == 8
    assert [number for block in blocks for number, _ in block] == list(range(300))


def test_the_pace_is_that_of_one_worker() -> None:
    stretches = Stretches(rows(1), workers=4)
    stretches.took(7, 1.0)
    assert stretches.seconds_per_row is None  # too few to tell
    stretches.took(100, 50.0)
    assert stretches.seconds_per_row == 2.0


def test_the_first_rows_go_out_alone_while_the_pace_is_unknown() -> None:
    blocks = Stretches(rows(400), workers=2).next_blocks()
    assert all(len(block) == 1 for block in blocks[:100]) and len(blocks[100]) == UNKNOWN_BLOCK_ROWS


def test_lost_rows_go_out_before_new_ones_and_nothing_waits_behind_them() -> None:
    stretches = Stretches(rows(3000), workers=2, seconds_per_row=0.01)
    first = stretches.next_blocks()
    assert stretches.tasks_per_worker(len(first)) > 1 and not stretches.careful
    numbers = [number for block in first for number, _ in block]
    lost = numbers[-200:]
    assert all(stretches.came_back(number) for number in numbers[:-200])
    assert list(stretches.lost()) == []
    again = stretches.next_blocks()
    assert [[number for number, _ in block] for block in again] == [[number] for number in lost]
    assert stretches.tasks_per_worker(len(again)) == 1 and stretches.careful
    assert all(stretches.came_back(number) for number in lost)
    stretches.took(200, 1e6)
    assert stretches.seconds_per_row == 0.01, "the time that deaths took is not the rows'"
    assert list(stretches.lost()) == []
    assert stretches.next_blocks()[0][0][0] == len(numbers) and not stretches.careful


@pytest.mark.parametrize(("pace", "expected"), [(None, AHEAD_UNKNOWN), (0.001, AHEAD_AT_MOST), (0.2, 2), (60.0, 2)])
def test_a_worker_always_has_the_next_third_of_a_second_at_hand(pace: float | None, expected: int) -> None:
    stretches = Stretches(rows(10_000), workers=2, seconds_per_row=pace)
    stretches.next_blocks()
    assert stretches.tasks_per_worker(2 * AHEAD_ABOVE) == expected
    assert stretches.tasks_per_worker(2 * AHEAD_ABOVE - 1) == 1
