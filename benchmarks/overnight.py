"""A job left alone overnight, in minutes: many small clips, some poisoned, while a seeded process kills parts of it.

    python benchmarks/overnight.py [--clips 1000] [--seed 0] [--minutes 15] [--quick]

Children, Ray workers, the raylet and the driver get SIGKILL again and again, until the job is done or the minutes are
over; a loop gives the same command again whenever the driver has ended early, as a data engineer's cron would. In the
morning the failures are tried again (`--retry crashed`), for a clip whose process was killed twice from outside looks
like one that kills its process. Then the table of counts, the keys, and the sha256 of every shard and of the catalog
have to be those of an undisturbed run, and each poisoned clip costs one row. Target: no difference.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos import annotators
from benchmarks.chaos.processes import Driver, left_over
from benchmarks.chaos.scene import TRAPS, write_clips, write_job
from benchmarks.chaos.strike import Oracle, contents, undisturbed
from worldloom.catalogs.verify import verify

MEAN_S = {"child": 4.0, "worker": 9.0, "driver": 40.0, "raylet": 75.0}
"""Between two kills of a kind, by chance; starting Ray takes ten seconds of the last two."""

ONE_RUN_S = 3600.0
RAY_GONE_AFTER_S = 120.0


@dataclass
class Chaos:
    """Kills processes of whichever driver is at work, in a thread of its own."""

    seed: int
    end_at: float
    driver: Driver | None = None
    kills: Counter[str] = field(default_factory=Counter)
    family: dict[int, psutil.Process] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until the job is done or the time is over."""
        chance = random.Random(self.seed)
        now = time.monotonic()
        due = {victim: now + chance.expovariate(1 / mean) for victim, mean in MEAN_S.items()}
        while not self.over.wait(0.05) and time.monotonic() < self.end_at:
            victim = min(due, key=lambda one: due[one])
            if time.monotonic() < due[victim] or self.driver is None or not self.driver.running:
                continue
            due[victim] = time.monotonic() + chance.expovariate(1 / MEAN_S[victim])
            self.family |= {process.pid: process for process in self.driver.family()}
            found = self.driver.victim(victim, chance, limit_s=2.0)
            if found is not None and self.driver.kill(found):
                self.kills[victim] += 1


def left_alone(job: Path, chaos: Chaos) -> tuple[Driver, list[int | None]]:
    """Give the command until the job is done; the last driver, and how the ones before ended."""
    endings: list[int | None] = []
    thread = threading.Thread(target=chaos.run)
    thread.start()
    driver = Driver(job)
    while True:
        chaos.driver = driver
        code = driver.end(ONE_RUN_S)
        if driver.outcome:
            break
        endings.append(code)
        if len(endings) > 100:
            raise SystemExit(f"not done after {len(endings)} commands: {driver.last_words()}")
        driver = Driver(job, tag=driver.tag)
    chaos.over.set()
    thread.join()
    return driver, endings


def differences(out: Path, outcome: dict[str, Any], oracle: Oracle, poison: dict[str, int]) -> list[str]:
    """What is not as after an undisturbed run, and poison that is not accounted for."""
    found = []
    keys, digests = contents(out / "dataset")
    if keys != oracle.keys:
        lost, more = set(oracle.keys) - set(keys), set(keys) - set(oracle.keys)
        found.append(f"{len(lost)} keys lost, {len(more)} too many")
    found += [f"{path} differs" for path in digests | oracle.digests if digests.get(path) != oracle.digests.get(path)]
    if outcome["tables"] != oracle.tables:
        found.append("the table of counts differs")
    if not outcome["balanced"]:
        found.append("the table does not balance")
    tables = {table["name"]: table for table in outcome["tables"]}
    if (failed := sum(tables["trap"]["failed"].values())) != sum(poison[kind] for kind in TRAPS):
        found.append(f"{failed} rows of the fragile model failed")
    if sum(tables["ingest"]["dropped"].values()) != poison["text"] + poison["truncated"]:
        found.append(f"ingest dropped {tables['ingest']['dropped']}")
    found += [f"verify: {problem}" for problem in verify(out / "dataset").problems]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15, help="of killing, at most")
    parser.add_argument("--quick", action="store_true", help="120 clips")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.clips = 120
    with tempfile.TemporaryDirectory(prefix="overnight-") as scratch:
        raise SystemExit(_run(Path(scratch), arguments))


def _run(room: Path, arguments: argparse.Namespace) -> int:
    poison = write_clips(room / "clips", arguments.clips, max(7, arguments.clips // 50), arguments.seed)
    trap = {f"{annotators.__name__}:Trap": {name: 16 + more for name, more in TRAPS.items()}}
    toil = {f"{annotators.__name__}:Toil": {"cpu_s": 0.1}}
    changes: dict[str, Any] = {"ingest": {"min_seconds": 0.5}, "annotate": ["quality", toil, trap]}
    changes["pack"] = {"target_mb": 0.5}
    print(f"{arguments.clips} clips, poisoned: {', '.join(f'{count} {kind}' for kind, count in poison.items())}")
    began = time.monotonic()
    peace = room / "peace"
    oracle = undisturbed(write_job(room / "peace.yaml", room / "clips", peace, **changes), peace)
    calm_s = time.monotonic() - began
    print(f"undisturbed: {calm_s:.0f} s, {len(oracle.keys)} samples, {len(oracle.digests)} files", flush=True)

    out = room / "night"
    job = write_job(room / "night.yaml", room / "clips", out, **changes)
    began = time.monotonic()
    chaos = Chaos(arguments.seed, time.monotonic() + 60 * arguments.minutes)
    driver, endings = left_alone(job, chaos)
    night_s = time.monotonic() - began
    retried = Driver(job, "--retry", "crashed", tag=driver.tag)
    retried.end(ONE_RUN_S)
    tried = sum(rows for name, rows in retried.outcome["ran"].items() if name != "pack")
    innocent = tried - poison["crashes"] - poison["exits"]
    problems = differences(out, retried.outcome, oracle, poison)
    alive = left_over([*chaos.family.values(), *driver.family()], RAY_GONE_AFTER_S)
    subprocess.run([sys.executable, "-m", "worldloom.cli", "status", str(out)], check=True)
    kills = ", ".join(f"{count} x {victim}" for victim, count in sorted(chaos.kills.items()))
    rows = driver.rows()
    print(f"kills: {kills}; commands given: {len(endings) + 1} (ended early: {endings})")
    print(f"disturbed: {night_s:.0f} s, {night_s / calm_s:.1f} x the undisturbed run; last command: {rows} rows")
    print(f"rows tried again in the morning beside the poisoned ones, and now right: {innocent}")
    print(f"different from an undisturbed run: {'; '.join(problems) or 'nothing'} (target nothing)")
    print(f"processes left over: {len(alive)} (target 0)")
    return 1 if problems or alive else 0


if __name__ == "__main__":
    main()
