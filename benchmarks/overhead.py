"""What the engine costs: a job against the same stage functions in two plain processes.

    python benchmarks/overhead.py [--clips 300] [--rounds 3] [--conforming] [--quick]

Clips of 77 frames of 480 x 272 with known cameras (RealEstate10K); ingest, quality and actions; two workers. Ours is
`run_job` in a Ray that has been started: ledger, sandbox, actor pools and all. The plain script calls `ingest_video`
and `annotate_clip` in two processes that take the next video when they are done with one; no sandbox, no deadline, no
ledger, results in a file per clip. Interleaved, a new working folder each, median of the ratios. Target: at most 1.15.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloom.catalogs.config import load
from worldloom.catalogs.video import encode_frames
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.ledger import Ledger
from worldloom.pipeline.operations import plan_operations
from worldloom.pipeline.passes.annotate_clip import annotate_clip
from worldloom.pipeline.passes.ingest_video import ingest_video
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job

WORKERS = 2
TARGET = 1.15


def make_clip(order: tuple[str, int, int, int, int, bool]) -> None:
    """A picture that moves, and a camera that walks straight on."""
    folder, seed, frames, width, height, conforming = order
    small = np.random.default_rng(seed).integers(30, 220, (height // 8, width // 8, 3), np.uint8)
    still = np.ascontiguousarray(small.repeat(8, 0).repeat(8, 1))
    pictures = (np.roll(still, 2 * t, axis=1) for t in range(frames))
    for name in ("mp4", "txt"):
        Path(folder, name).mkdir(parents=True, exist_ok=True)
    path = Path(folder, "mp4", f"{seed:06d}.mp4")
    if conforming:
        encode_frames(path, pictures, Fraction(16))
    else:
        as_the_web_has_it(path, pictures, width, height)
    lines = ["https://example.org/video"]
    for t in range(frames):
        pose = np.hstack([np.eye(3), [[0], [0], [-0.05 * t]]])
        numbers = [0.8, 0.8 * width / height, 0.5, 0.5, 0, 0, *pose.ravel()]
        lines.append(f"{t * 62_500} " + " ".join(f"{number:.6f}" for number in numbers))
    Path(folder, "txt", f"{seed:06d}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def as_the_web_has_it(path: Path, pictures: Iterator[np.ndarray], width: int, height: int) -> None:
    """One key frame for everything, so that ingest has to encode; conforming files are copied."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16, options={"g": "250", "crf": "20", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def make_clips(folder: Path, clips: int, frames: int, width: int, height: int, *, conforming: bool = False) -> None:
    """`clips` of them, in two processes."""
    with get_context("spawn").Pool(WORKERS) as pool:
        pool.map(
            make_clip, [(str(folder), seed, frames, width, height, conforming) for seed in range(clips)], chunksize=8
        )


def the_job(folder: Path, out: Path, annotate: list[str]) -> Job:
    """Over the clips of `make_clips`."""
    source = {
        "kind": "realestate10k",
        "poses": str(folder / "txt"),
        "videos": str(folder / "mp4"),
        "licence": "CC0-1.0",
    }
    values = {"name": "bench", "out": str(out), "sources": [source], "annotate": annotate}
    return load(Job, values | {"execution": {"workers": WORKERS}}, where="benchmark")


def ours(job: Job) -> tuple[float, dict[str, float]]:
    """Wall-clock seconds of ingest and annotate, and of these the mean seconds per row in the children."""
    started = time.perf_counter()
    for name in ("ingest", "annotate"):
        summary = run_job(job, only=name)
        assert summary.exit_code == 0, summary
    seconds = time.perf_counter() - started
    return seconds, Ledger(job.out).seconds_per_row()


def plain_video(order: dict[str, Any]) -> dict[str, float]:
    """One video through the stage functions, as a script does it."""
    out, seconds = Path(order["out"]), {}
    started = time.perf_counter()
    answer = ingest_video({name: order[name] for name in ("item", "ingest", "out")})
    seconds["ingest"] = time.perf_counter() - started
    for clip in answer["facts"]["clips"]:
        keep(out, f"record-{clip['key']}", answer["payload"])
        fresh: dict[str, bytes] = {}
        for operation in order["operations"]:
            started = time.perf_counter()
            result = annotate_clip(
                {
                    "out": order["out"],
                    "key": clip["key"],
                    "record": [f"record-{clip['key']}", 0],
                    "operation": operation,
                    "gives": {},
                    "known": {},
                    "fresh": fresh,
                }
            )
            assert result["status"] == "ok", result
            keep(out, f"{operation['name']}-{clip['key']}", result["payload"])
            seconds[operation["name"]] = time.perf_counter() - started
    return seconds


def keep(out: Path, name: str, payload: bytes) -> None:
    """A payload in a file that the stage functions can read."""
    pq.write_table(pa.table({"payload": pa.array([payload], pa.large_binary())}), out / name)


def plain(job: Job) -> tuple[float, dict[str, float]]:
    """The same work in two processes."""
    job.out.mkdir(parents=True)
    operations = [operation.as_json() for operation in plan_operations(job)]
    shared = {"out": str(job.out), "ingest": job.ingest.model_dump(mode="json"), "operations": operations}
    orders = [{**shared, "item": vars(item)} for source in job.sources for item in source.items()]
    started = time.perf_counter()
    with get_context("spawn").Pool(WORKERS) as pool:
        rows = list(pool.imap_unordered(plain_video, orders, chunksize=1))
    seconds = time.perf_counter() - started
    return seconds, {name: statistics.mean(row[name] for row in rows) for name in rows[0]}


def main() -> None:
    """Make the clips, run both ways in turn, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--conforming", action="store_true", help="sources that ingest copies instead of encoding")
    parser.add_argument("--quick", action="store_true", help="40 clips, one round")
    chosen = parser.parse_args()
    clips, rounds = (40, 1) if chosen.quick else (chosen.clips, chosen.rounds)
    with tempfile.TemporaryDirectory() as folder, Engine(the_job(Path(folder), Path(folder), []).execution) as engine:
        make_clips(Path(folder), clips, 77, 480, 272, conforming=chosen.conforming)
        started = time.perf_counter()
        engine.start()
        print(f"{clips} clips; Ray started in {time.perf_counter() - started:.1f} s (not counted)")
        ratios = []
        for number in range(rounds):
            names = ["quality", "actions"]
            base, base_rows = plain(the_job(Path(folder), Path(folder, f"plain{number}"), names))
            mine, my_rows = ours(the_job(Path(folder), Path(folder, f"ours{number}"), names))
            ratios.append(mine / base)
            print(f"round {number + 1}: ours {mine:.1f} s, plain {base:.1f} s, ratio {mine / base:.3f}", flush=True)
        print("\nms per clip in the stage function (last round)    ours   plain")
        for name in base_rows:
            print(f"  {name:<47}{1000 * my_rows[name]:>6.0f}{1000 * base_rows[name]:>8.0f}")
        work = 1000 * sum(my_rows.values())
        print(f"  everything else, per clip and worker           {1000 * mine * WORKERS / clips - work:>6.0f}")
    median = statistics.median(ratios)
    print(f"\n{'figure':<34}{'ours':>8}{'baseline':>10}{'ratio':>8}{'target':>9}")
    print(f"{'seconds of the last round':<34}{mine:>8.1f}{base:>10.1f}{median:>8.3f}{'<= 1.15':>9}")
    if median > TARGET:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
