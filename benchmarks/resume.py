"""A finished job again, and the same job with new thresholds: what is not done twice, and how long that takes.

    python benchmarks/resume.py                      1,000 clips of 16 frames, 64x48
    python benchmarks/resume.py --quick              40
    python benchmarks/resume.py --clips 200 --keep FOLDER

Every run is a process of its own, so its seconds hold Python's start and all imports; CPU
seconds are those of the driver and what it started itself. That no video is decoded is shown
in two ways: the ledger has no new row but of `pack`, and every call of `av.open` in any process of the run, without
which nothing is decoded or encoded, is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml

FRAMES, WIDTH, HEIGHT = 16, 64, 48
ANNOTATE = ["quality", "shots"]
AGAIN_S, THRESHOLDS_S = 5.0, 60.0

WATCH = """
import importlib.abc, importlib.util, os, sys

class Watch(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name != "av":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        self.loads, spec.loader = spec.loader.exec_module, self
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        self.loads(module)
        opens = module.open
        def counted(*arguments, **options):
            with open(os.environ["WORLDLOOM_OPENED"], "a") as log:
                log.write(f"{arguments[0]}\\n")
            return opens(*arguments, **options)
        module.open = counted

sys.meta_path.insert(0, Watch())
"""
"""A `sitecustomize` for every process of a run: each call of `av.open`, by which videos are read and written,
leaves a line in a file."""

RUN = """
import json, sys
from worldloom.pipeline.job import load_job
from worldloom.pipeline.run import run_job
summary = run_job(load_job(sys.argv[1]))
print(json.dumps({"ran": summary.ran, "ray": summary.ray_started, "committed": summary.committed,
                  "tables": {tally.name: [tally.inputs, tally.ok, tally.out] for tally in summary.tables}}))
"""


def write_videos(folder: Path, clips: int) -> None:
    from worldloom.catalogs.video import encode_frames

    folder.mkdir(parents=True)
    for number in range(clips):
        small = np.random.default_rng(number).integers(30, 220, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        still = small.repeat(8, 0).repeat(8, 1)
        frames = (np.ascontiguousarray(np.roll(still, 2 * t, axis=1)) for t in range(FRAMES))
        encode_frames(folder / f"{number:05d}.mp4", frames, Fraction(16))


def run(folder: Path, name: str, **changes: Any) -> tuple[float, float, dict[str, Any], int]:
    """Seconds of a run, CPU seconds of its driver, what it says about itself, and how often it opened a video."""
    job = folder / "job.yaml"
    values = {
        "name": "resume",
        "out": "out",
        "sources": [{"kind": "folder", "path": "videos"}],
        "ingest": {"min_seconds": 0.5},
        "annotate": ANNOTATE,
        "pack": {"target_mb": 1},
        **changes,
    }
    job.write_text(yaml.safe_dump(values))
    opened = folder / f"opened-{name}"
    opened.write_text("")
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(WATCH)
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([str(site), root, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "WORLDLOOM_OPENED": str(opened)}
    start, used = time.perf_counter(), os.times().children_user + os.times().children_system
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(job)], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    seconds = time.perf_counter() - start
    used = os.times().children_user + os.times().children_system - used
    return seconds, used, json.loads(done.stdout.splitlines()[-1]), len(opened.read_text().splitlines())


def ledger_rows(out: Path) -> Counter[str]:
    from worldloom.pipeline.ledger import Ledger

    return Counter(Ledger(out).latest()["operation"].to_pylist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path, help="use this folder, and what an earlier call has left in it")
    options = parser.parse_args()
    clips = 40 if options.quick else options.clips
    with tempfile.TemporaryDirectory(prefix="worldloom-resume-") as scratch:
        folder = options.keep or Path(scratch)
        if not (folder / "videos").is_dir():
            write_videos(folder / "videos", clips)
        measure(folder, clips)


def measure(folder: Path, clips: int) -> None:
    out = folder / "out"
    first, _, _, opened = run(folder, "first")
    rows = ledger_rows(out)
    again = sorted((run(folder, "again") for _ in range(3)), key=lambda one: one[0])[1]
    assert not again[2]["ran"] and not again[2]["ray"] and not again[2]["committed"], again[2]
    compose = {
        "where": {"few": "frames >= 10", "half": "quality.brightness > 0.0 and frames < 1000"},
        "limit": max(1, clips // 2),
        "split": {"by": "clip", "test": 0.2},
    }
    changed, driver, told, decoded = run(folder, "thresholds", compose=compose, pack={"target_mb": 0.5})
    new = ledger_rows(out) - rows
    print(
        f"{clips} clips of {FRAMES} frames {WIDTH}x{HEIGHT}, {os.cpu_count()} cores; "
        f"the first run took {first:.1f} s and opened {opened} videos"
    )
    print(f"{'':34}{'seconds':>9}{'CPU s':>9}{'target':>9}{'ratio':>8}  rows that ran; videos opened")
    for name, seconds, used, target, ran, count in (
        ("the same job again (median of 3)", again[0], again[1], AGAIN_S, again[2]["ran"], again[3]),
        ("new thresholds, packing included", changed, driver, THRESHOLDS_S, told["ran"], decoded),
    ):
        says = f"{ran or 'none, Ray not started'}; {count}"
        print(f"{name:34}{seconds:>9.2f}{used:>9.2f}{target:>9.0f}{seconds / target:>8.2f}  {says}")
    print(
        f"compose: {told['tables']['compose'][1]} of {told['tables']['compose'][0]} clips; new ledger rows: {dict(new)}"
    )
    assert set(new) == {"pack"} and not decoded, "something was annotated or ingested again"


if __name__ == "__main__":
    main()
