"""Whether the driver's memory grows with the job: peak RSS over a job of few clips and one of many.

    python benchmarks/driver_memory.py [--clips 1000 10000] [--quick]

Clips of 16 frames of 64 x 48 with known cameras; ingest and quality, two workers; each job in a driver process of its
own, whose peak RSS (VmHWM, its children not counted) is read at the end of ingest and of annotate. Target: at most
10 % more with the second number of clips than with the first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from worldloom.pipeline.run import run_job

sys.path.insert(0, str(Path(__file__).parent))

from overhead import make_clips, the_job

TARGET_PERCENT = 10.0


def peak_mb() -> float:
    """Peak resident memory of this process, in 10^6 bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def run_here(folder: Path, clips: int) -> None:
    """The driver of one job; prints seconds, and its peak after each pass."""
    job = the_job(folder, folder / "out", ["quality"])
    started = time.perf_counter()
    peaks = []
    for name in ("ingest", "annotate"):
        assert run_job(job, only=name).ran[name if name == "ingest" else "quality"] == clips
        peaks.append(peak_mb())
    print(time.perf_counter() - started, *peaks)


def measure(clips: int) -> list[float]:
    """Seconds and peaks of a job in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        make_clips(Path(folder), clips, 16, 64, 48)
        command = [sys.executable, __file__, "--inside", folder, "--clips", str(clips)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [float(number) for number in done.stdout.split()]


def main() -> None:
    """Both sizes, and the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--quick", action="store_true", help="100 and 400 clips")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        run_here(chosen.inside, chosen.clips[0])
        return
    sizes = [100, 400] if chosen.quick else chosen.clips
    print(f"{'clips':>8}{'seconds':>10}{'peak MB, ingest':>18}{'peak MB, annotate':>20}")
    peaks = []
    for clips in sizes:
        seconds, after_ingest, after_annotate = measure(clips)
        peaks.append(after_annotate)
        print(f"{clips:>8}{seconds:>10.1f}{after_ingest:>18.0f}{after_annotate:>20.0f}", flush=True)
    growth = 100 * (peaks[-1] / peaks[0] - 1)
    print(f"\n{'figure':<24}{'ours':>8}{'baseline':>10}{'ratio':>8}{'target':>9}")
    print(f"{'peak RSS of the driver':<24}{peaks[-1]:>8.0f}{peaks[0]:>10.0f}{peaks[-1] / peaks[0]:>8.3f}{'<= 1.10':>9}")
    if growth > TARGET_PERCENT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
