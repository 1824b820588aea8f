"""A job's processes: its driver as a child of this one, and everything that the driver and Ray started for it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
TAG = "WORLDLOOM_DISTURBED"
_TICK_S = 0.003
_SLICE_S = 0.001


class Driver:
    """`benchmarks.chaos.driver` at work; its processes are known by a mark in their environment.

    Args:
        job: YAML file.
        words: of the command line, after the job.
        tag: mark of the processes; a new one where not given.
    """

    def __init__(self, job: Path, *words: str, tag: str = "") -> None:
        self.tag = tag or uuid.uuid4().hex
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        # A Ray of its own, whatever cluster this machine may belong to: its raylet is going to be killed.
        environment = os.environ | {TAG: self.tag, "PYTHONPATH": path, "RAY_ADDRESS": "local"}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- read when the process has ended
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.chaos.driver", str(job), *words],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        self.steps: Counter[str] = Counter()
        self.outcome: dict[str, Any] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.outcome = json.loads(line)
            else:
                self.steps[line.strip()] += 1

    def rows(self) -> int:
        """How many rows it said were done."""
        return sum(count for step, count in self.steps.items() if step.startswith("advance "))

    def wait_for(self, step: str, count: int, limit_s: float) -> bool:
        """Wait until a step was said so often; False where the driver ended or the time is over."""
        end = time.monotonic() + limit_s
        while self.steps[step] < count:
            if not self.running or time.monotonic() > end:
                return False
            time.sleep(_TICK_S)
        return True

    def end(self, limit_s: float) -> int | None:
        """Wait for its end: the exit code, negative for a signal, or None where it hung and was killed."""
        try:
            code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill(psutil.Process(self._process.pid))
            self._process.wait()
            code = None
        self._reader.join(10)
        return code

    def last_words(self) -> str:
        """End of what it wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-1500:]

    def family(self) -> list[psutil.Process]:
        """Every process of the job that lives, the driver included."""
        marked, others = {}, []
        for process in psutil.process_iter():
            try:
                if process.environ().get(TAG) == self.tag:
                    marked[process.pid] = process
                elif process.ppid() in marked:
                    others.append(process)  # one whose environment was emptied
            except psutil.Error:
                continue
        return [*marked.values(), *others]

    def members(self, role: str) -> list[psutil.Process]:
        """Processes of a role: `driver`, `worker` (a Ray actor at work), `child` (its sandbox), `raylet`."""
        if role == "driver":
            return [psutil.Process(self._process.pid)] if self.running else []
        return [process for process in self.family() if role_of(process) == role]

    def victim(self, role: str, chance: random.Random, limit_s: float) -> psutil.Process | None:
        """One process of a role, as soon as there is one."""
        end = time.monotonic() + limit_s
        while self.running and time.monotonic() < end:
            if found := sorted(self.members(role), key=lambda process: process.pid):
                return chance.choice(found)
            time.sleep(_TICK_S)
        return None

    def writer_of_shard(self, limit_s: float) -> psutil.Process | None:
        """A child that is stopped (SIGSTOP) with a shard half written; None where none was met in time."""
        end = time.monotonic() + limit_s
        children: list[psutil.Process] = []
        looked_at = 0.0
        while self.running and time.monotonic() < end:
            if time.monotonic() - looked_at > 0.2:
                children, looked_at = self.members("child"), time.monotonic()
            for child in children:
                with contextlib.suppress(psutil.Error):
                    child.suspend()
                    if _open_shard(child):
                        return child
                    child.resume()
            # A small shard is written in milliseconds, so the children run in slices that are shorter.
            time.sleep(_SLICE_S)
        return None

    @staticmethod
    def kill(process: psutil.Process) -> bool:
        """SIGKILL; False where it was gone already."""
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            return False
        return True


def role_of(process: psutil.Process) -> str:
    """`worker`, `child`, `raylet`, or empty."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    line = " ".join(words)
    if "sandbox_child" in line:
        return "child"
    if line.startswith("ray::") and "Worker" in line:
        return "worker"
    return "raylet" if words and Path(words[0]).name == "raylet" else ""


def left_over(processes: list[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Those of the processes that have not ended after so long."""
    end = time.monotonic() + limit_s
    alive = list(processes)
    while (alive := [process for process in alive if _runs(process)]) and time.monotonic() < end:
        time.sleep(0.2)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _open_shard(process: psutil.Process) -> bool:
    """Whether the process has a tar file open that holds something."""
    folder = Path("/proc", str(process.pid), "fd")
    try:
        for entry in folder.iterdir():
            if ".tar" in entry.readlink().name and entry.stat().st_size > 0:
                return True
    except OSError:
        return False
    return False
