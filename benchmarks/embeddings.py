"""What looking for copies by embeddings costs, against comparing every frame with every frame in the same run.

    python benchmarks/embeddings.py [--clips 1000 4000 16000] [--width 768] [--spread 0.1 0.3]

Made-up vectors, four per clip: all have something in common (two unrelated clips have a cosine of about 0.5), the
frames of a clip lie around one direction at `spread` times its length, and every tenth clip is a copy with some noise.
One thread. It says nothing about what an encoder finds: that depends on its weights.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import resource
import time

import numpy as np

from worldloom.pipeline import near_embeddings
from worldloom.pipeline.near_embeddings import embedded_copies

FRAMES, LEAST = 4, 0.95


def made_up(count: int, width: int, spread: float) -> np.ndarray:
    """(count, 4, width) int8."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=width)
    out = np.zeros((count, FRAMES, width), np.int8)
    for number in range(count):
        if number % 10 == 1:
            values = out[number - 1] + 5 * rng.normal(size=(FRAMES, width))
        else:
            values = common + rng.normal(size=width) + spread * np.sqrt(2) * rng.normal(size=(FRAMES, width))
        out[number] = np.round(127 * values / np.abs(values).max(axis=1, keepdims=True))
    return out


def looked(vectors: np.ndarray, every_frame: bool = False) -> tuple[int, float, float]:
    """Copies found, CPU seconds, and the share of pairs that were compared frame by frame."""
    compared = 0
    inside, means = near_embeddings.in_each_other, near_embeddings._means

    def counted(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, ...]:
        nonlocal compared
        compared += len(one) * len(other)
        return inside(one, other)

    def anything(vectors: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
        mean, radius = means(vectors, block)
        return mean, radius + 2

    near_embeddings.in_each_other = counted
    if every_frame:
        near_embeddings._means = anything
    started = time.process_time()
    found = embedded_copies(vectors, np.arange(len(vectors)), LEAST)
    seconds = time.process_time() - started
    near_embeddings.in_each_other, near_embeddings._means = inside, means
    assert all(one.second == one.first + 1 and one.first % 10 == 0 for one in found)
    return len(found), seconds, compared / (len(vectors) * (len(vectors) - 1) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 4000, 16_000])
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--spread", type=float, nargs="+", default=[0.1, 0.3])
    asked = parser.parse_args()
    print("| clips | spread of frames | copies found | CPU s | every frame, CPU s | compared by frames | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for spread in asked.spread:
        for count in asked.clips:
            vectors = made_up(count, asked.width, spread)
            found, seconds, share = looked(vectors)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            slow = f"{looked(vectors, every_frame=True)[1]:.2f}" if count <= 4000 else ""
            copies = f"{found:,} of {len(range(1, count, 10)):,}"
            cells = (f"{count:,}", spread, copies, f"{seconds:.2f}", slow, f"{100 * share:.2f} %", peak)
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
