"""One kill: a job in its own folder, a process that dies at a chosen moment, and the same command until it is done."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos.processes import Driver, left_over, role_of
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.manifest import latest_or_none
from worldloom.catalogs.verify import verify

LIMIT_S = 240.0
"""A driver that takes longer has hung."""

GONE_AFTER_S = 30.0
"""Of workers and their children, after the driver's death or end."""

ATTEMPTS = 4
"""So often the command is given, the disturbed time included."""

MOMENTS = {
    "before_link": "in the commit, before the link",
    "after_link": "in the commit, after the link",
    "shard": "inside a shard write",
}


@dataclass(frozen=True)
class Kill:
    """Who dies when.

    Attributes:
        victim: `driver`, `worker`, `child` or `raylet`.
        moment: `before_link`, `after_link` (the driver only), `shard` (while one is being written), or a step the
            driver says (`start ingest`, `advance annotate`).
        count: how often that step was said by then.
        delay_s: seconds after it.
    """

    victim: str
    moment: str
    count: int = 1
    delay_s: float = 0.0

    def __str__(self) -> str:
        return MOMENTS.get(self.moment) or f"{self.moment} {self.count} + {self.delay_s:.2f} s"


@dataclass(frozen=True)
class Oracle:
    """What an undisturbed run made.

    Attributes:
        keys: of all samples, in the catalog's order.
        digests: sha256 by file, of everything the manifest names, read from the disk.
        tables: the run's counts.
        rows: how many rows it said were done.
    """

    keys: tuple[str, ...]
    digests: dict[str, str]
    tables: list[dict[str, Any]]
    rows: int


@dataclass
class Struck:
    """How one kill ended.

    Attributes:
        kill: which.
        code: exit code of the disturbed driver; None where it hung.
        seconds: from the kill to the end of the disturbed driver.
        attempts: how often the command was given until it was done.
        rows: how many rows all drivers together said were done.
        problems: everything that differs from an undisturbed run.
        missed: the job was over before a victim was met.
        family: processes of the disturbed run, for a look at what is left of them.
    """

    kill: Kill
    code: int | None = None
    seconds: float = 0.0
    attempts: int = 1
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    missed: bool = False
    family: list[psutil.Process] = field(default_factory=list)

    def ending(self) -> str:
        """What the disturbed driver did."""
        if self.code is None:
            return "hung"
        return {0: "went on", -9: "died"}.get(self.code, f"gave up ({self.code})")


def undisturbed(job: Path, out: Path) -> Oracle:
    """Run a job in peace.

    Raises:
        RuntimeError: it did not end well even so.
    """
    driver = Driver(job)
    code = driver.end(LIMIT_S * 10)
    if code not in (0, 3):
        raise RuntimeError(f"the undisturbed run ended with {code}: {driver.last_words()}")
    keys, digests = contents(out / "dataset")
    return Oracle(keys, digests, driver.outcome["tables"], driver.rows())


def contents(dataset: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Keys of a dataset, and digests of all its files as they lie on the disk."""
    manifest = latest_or_none(dataset)
    if manifest is None:
        return (), {}
    files = (*manifest.shards, manifest.catalog)
    digests = {file.path: hashlib.sha256((dataset / file.path).read_bytes()).hexdigest() for file in files}
    return tuple(ShardDataset(dataset).keys), digests


def strike(kill: Kill, job: Path, out: Path, oracle: Oracle, seed: int) -> Struck:
    """Disturb a job once, then give the same command until it is done.

    Args:
        kill: who dies when.
        job: YAML file of a job that is not done yet.
        out: its working folder.
        oracle: what has to come out.
        seed: chooses among several victims.
    """
    struck = Struck(kill)
    drivers = [Driver(job, *([kill.moment] if kill.moment.endswith("_link") else []))]
    _hit(kill, drivers[0], struck, random.Random(seed))
    began = time.monotonic()
    struck.code = drivers[0].end(LIMIT_S)
    struck.seconds = time.monotonic() - began
    if kill.victim == "driver" and struck.code != -9:
        struck.problems.append(f"the driver was to die and ended with {struck.code}")
    _check_commit(kill, out / "dataset", struck)
    while drivers[-1].outcome.get("exit_code") != 0 and len(drivers) < ATTEMPTS:
        drivers.append(Driver(job, tag=drivers[0].tag))
        drivers[-1].end(LIMIT_S)
    struck.attempts = len(drivers)
    struck.rows = sum(driver.rows() for driver in drivers)
    _check_outcome(struck, drivers[-1], oracle)
    _check_dataset(struck, out, oracle)
    struck.family += drivers[-1].family()
    ours = [one for one in struck.family if role_of(one) in ("worker", "child")]
    struck.problems += [f"{role_of(one)} {one.pid} is left over" for one in left_over(ours, GONE_AFTER_S)]
    return struck


def _hit(kill: Kill, driver: Driver, struck: Struck, chance: random.Random) -> None:
    """Kill the victim at its moment."""
    if kill.moment.endswith("_link"):
        return  # the driver does it itself
    if kill.moment == "shard":
        _hit_in_shard(kill, driver, struck)
        return
    if driver.wait_for(kill.moment, kill.count, LIMIT_S):
        time.sleep(kill.delay_s)
    victim = driver.victim(kill.victim, chance, LIMIT_S)
    if victim is None:
        struck.problems.append(f"no {kill.victim} was met at this moment")
        struck.missed = True
        return
    struck.family = driver.family()
    struck.missed = not driver.kill(victim)


def _hit_in_shard(kill: Kill, driver: Driver, struck: Struck) -> None:
    writer = driver.writer_of_shard(LIMIT_S)
    if writer is None:
        struck.problems.append("no child was met with a shard half written")
        struck.missed = True
        return
    struck.family = driver.family()
    for victim in driver.members("driver") if kill.victim == "driver" else [writer]:
        driver.kill(victim)
    if writer.is_running():
        writer.resume()  # the child of a dead driver may write on until its worker notices


def _check_commit(kill: Kill, dataset: Path, struck: Struck) -> None:
    """A link is there or not; a driver that died around it says which."""
    if kill.moment.endswith("_link"):
        committed = latest_or_none(dataset) is not None
        if committed != (kill.moment == "after_link"):
            struck.problems.append(f"killed {kill}, and there is {'a' if committed else 'no'} dataset")


def _check_outcome(struck: Struck, driver: Driver, oracle: Oracle) -> None:
    outcome = driver.outcome
    if outcome.get("exit_code") != 0:
        struck.problems.append(f"not done after {struck.attempts} attempts: {driver.last_words()}")
        return
    if not outcome["balanced"]:
        struck.problems.append("the table does not balance")
    if outcome["tables"] != oracle.tables:
        struck.problems.append(f"the table differs: {outcome['tables']}")
    if struck.code == -9 and not any("took over the lock" in note for note in outcome["notes"]):
        struck.problems.append("the dead driver's lock was not taken over")


def _check_dataset(struck: Struck, out: Path, oracle: Oracle) -> None:
    keys, digests = contents(out / "dataset")
    if keys != oracle.keys:
        struck.problems.append(f"{len(set(oracle.keys) - set(keys))} keys are lost, {len(keys)} are there")
    if digests != oracle.digests:
        differing = sorted(path for path in digests | oracle.digests if digests.get(path) != oracle.digests.get(path))
        struck.problems.append(f"digests differ: {', '.join(differing)}")
    if digests:
        struck.problems += [f"verify: {problem}" for problem in verify(out / "dataset").problems]
        if not (out / "dataset" / "README.md").is_file():
            struck.problems.append("the card is missing")
    if (out / "lock").exists():
        struck.problems.append("the lock is still there")
