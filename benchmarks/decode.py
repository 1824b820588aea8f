"""How fast frames are read: PyAV (the default) against decord, in sequence and at random, at two GOP lengths.

    python benchmarks/decode.py

Baseline: decord 0.6 in sequence at the same GOP, in this run. Published beside it (2 cores, 2 threads, H.264 720p30,
600 frames): decord 388 and PyAV 352 frames/s at GOP 30; here both run on one thread, on a smaller video.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from worldloom.catalogs.video import Frames

FRAMES, HEIGHT, WIDTH, RATE, RANDOM = 300, 480, 832, 30, 20


def pictures() -> list[np.ndarray]:
    """A textured wall that slides by: compressible like a walk, not like noise."""
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 255, (HEIGHT // 8, (WIDTH + 4 * FRAMES) // 8 + 1, 3)).astype(np.uint8)
    wall = wall.repeat(8, axis=0).repeat(8, axis=1)
    return [np.ascontiguousarray(wall[:HEIGHT, 4 * i : 4 * i + WIDTH]) for i in range(FRAMES)]


def write(path: Path, gop: int) -> None:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = gop
        stream.codec_context.options = {"crf": "18", "preset": "veryfast", "sc_threshold": "0"}
        for rgb in pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))


def in_sequence(path: Path, reader: str) -> float:
    start = time.perf_counter()
    with Frames(path, reader=reader) as frames:
        count = sum(1 for _ in frames)
    return count / (time.perf_counter() - start)


def at_random(path: Path, reader: str) -> float:
    chosen = np.random.default_rng(1).choice(FRAMES, RANDOM, replace=False)
    start = time.perf_counter()
    with Frames(path, reader=reader) as frames:
        for i in chosen:
            frames[int(i)]
    return RANDOM / (time.perf_counter() - start)


def main() -> None:
    readers = ["pyav"]
    try:
        import decord  # noqa: F401

        readers.append("decord")
    except ImportError:
        print("decord is not installed: pip install 'worldloom[decord]'")
    print(f"{FRAMES} frames {WIDTH}x{HEIGHT}, H.264, one thread, best of 3; frames/s, opening the file included")
    print(f"{'':28}{''.join(f'{reader:>10}' for reader in readers)}{'ratio':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for gop in (250, RATE):
            path = Path(folder) / f"{gop}.mp4"
            write(path, gop)
            for name, measure in (("in sequence", in_sequence), (f"{RANDOM} frames at random", at_random)):
                speeds = [max(measure(path, reader) for _ in range(3)) for reader in readers]
                ratio = f"{speeds[0] / speeds[1]:>10.2f}" if len(speeds) > 1 else ""
                print(f"{f'GOP {gop}, {name}':28}{''.join(f'{speed:>10.0f}' for speed in speeds)}{ratio}")


if __name__ == "__main__":
    main()
