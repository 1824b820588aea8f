from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.chaos.processes import left_over
from tests.pipeline.conftest import write_video
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.ledger import Ledger
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

DRIVER = """
import signal, sys
from pathlib import Path
from worldloom.pipeline.job import load_job
from worldloom.pipeline.run import run_job

def interrupt(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, interrupt)
try:
    run_job(load_job(Path(sys.argv[1]), ()))
except KeyboardInterrupt:
    sys.exit(130)
"""
"""What the command line does with both signals."""


def answered(out: Path) -> int:
    """Clips that the ledger on disk has an answer for."""
    return sum(entry.operation == "sleeper" for entry in Ledger(out).latest_entries())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_driver_leaves_no_process_and_keeps_what_is_done(
    shared_ray: Engine, make_job: Callable[..., Job], tmp_path: Path, number: int
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for seed in range(24):
        write_video(videos / f"{seed:02d}.mp4", 12, seed)
    job = make_job(
        sources=[{"kind": "folder", "path": str(videos), "licence": "CC0-1.0"}],
        annotate=["tests.pipeline.sleepers:Sleeper"],
        execution={"workers": 2},
    )
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "job.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    family: set[psutil.Process] = set()
    try:
        end = time.monotonic() + 120
        while answered(job.out) == 0:  # the ledger is flushed every few seconds
            assert driver.poll() is None and time.monotonic() < end, driver.stderr and driver.stderr.read()
            family |= set(psutil.Process(driver.pid).children(recursive=True))
            time.sleep(0.2)
        family |= set(psutil.Process(driver.pid).children(recursive=True))
        driver.send_signal(number)
        assert driver.wait(timeout=30) == 130
    finally:
        driver.kill()
    assert not left_over(list(family), 15)  # `psutil.wait_procs` fails on a process that is gone
    done = answered(job.out)
    assert 0 < done < 24
    summary = run_job(job)
    assert summary.exit_code == 0 and summary.ran["sleeper"] == 24 - done
