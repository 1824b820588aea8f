"""Pairs of 64-bit hashes that differ in few bits, among millions, without comparing all with all.

The bits of every hash are reordered so that some of its steadiest bits come first, and the words are sorted: hashes
that agree in those bits then lie next to each other (Manku, Jain and Das Sarma 2007, "Detecting near-duplicates for
web crawling"; here the leading bits are drawn by chance per table, as in locality-sensitive hashing by bit sampling).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

TABLES = 10
LEADING = 20
"""Bits that must agree within a table; with a million anchors a bucket then holds about one by chance."""

STEADY = 44
"""Leading bits are drawn from so many of the lowest frequencies: a re-encoded picture flips the high ones first."""

BUCKET = 64
"""Neighbours looked at per hash and table: a view that a thousand clips share costs no million comparisons."""

CHUNK = 1 << 20
"""Queries at a time; temporaries stay below some hundred MB."""


def steady_bits() -> np.ndarray:
    """Bits of a sight word, counted from the highest, by their frequency; without the mean and the highest ones."""
    v, u = np.divmod(np.arange(64), 8)
    return np.argsort(u + v + 0.01 * np.abs(u - v), kind="stable")[1 : STEADY + 1]


def tables(count: int = TABLES) -> list[np.ndarray]:
    """Orders of bits, the leading ones first; always the same."""
    rng = np.random.default_rng(20_07)
    orders = []
    for _ in range(count):
        leading = rng.permutation(steady_bits())[:LEADING]
        orders.append(np.concatenate([leading, np.setdiff1d(np.arange(64), leading)]))
    return orders


def reordered(words: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Words whose bit k, counted from the highest, is bit `order[k]` of the given ones.

    Args:
        words: (n,) uint64.
        order: (64,) a permutation.
    """
    target = np.empty(64, np.int64)
    target[order] = np.arange(64)
    values = np.arange(256, dtype=np.uint64)
    out = np.zeros(len(words), np.uint64)
    for byte in range(8):
        table = np.zeros(256, np.uint64)
        for bit in range(8):
            on = (values >> np.uint64(7 - bit)) & np.uint64(1)
            table |= on << np.uint64(63 - target[8 * byte + bit])
        out |= table[(words >> np.uint64(56 - 8 * byte)).astype(np.uint8)]
    return out


def near_pairs(anchors: np.ndarray, queries: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of (query, anchor) that differ in at most `most` bits, as far as the tables find them.

    A pair that several tables find comes several times. Cost: a sort of both per table, and at most `BUCKET`
    comparisons per query and table.

    Args:
        anchors: (n,) uint64.
        queries: (m,) uint64.
        most: bits.
    """
    shift = np.uint64(64 - LEADING)
    for order in tables():
        words = reordered(anchors, order)
        rank = np.argsort(words)
        words = words[rank]
        heads = words >> shift
        for start in range(0, len(queries), CHUNK):
            asked = reordered(queries[start : start + CHUNK], order)
            head = asked >> shift
            place = np.searchsorted(words, asked)
            first = np.maximum(np.searchsorted(heads, head), place - BUCKET // 2)
            stop = np.minimum(np.searchsorted(heads, head, side="right"), place + BUCKET // 2)
            query, at = _ranges(first, stop)
            near = np.bitwise_count(asked[query] ^ words[at]) <= most
            yield start + query[near], rank[at[near]]


def _ranges(first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every number of every range, with the number of its range."""
    counts = np.maximum(stop - first, 0)
    which = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return which, np.arange(len(which)) - before[which] + first[which]
