"""A job that is killed anywhere: after the same command again, is everything as if nothing had happened?

    python benchmarks/kills.py [--kills 20] [--seed 0] [--videos 24] [--quick]

Every kill has a fresh working folder: the job starts, one process gets SIGKILL at a seeded moment (the driver, a Ray
worker, a worker's sandboxed child, the raylet; two inside a shard write, two inside the commit), and the command is
given again until it is done. Equal means: keys, sha256 of every shard and of the catalog, and the table of counts are
those of an undisturbed run. `after s` is how long the disturbed driver went on, `again` counts rows that
had been reported done and ran once more. Target: all equal.
Takes about 30 s per kill.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.chaos.processes import left_over
from benchmarks.chaos.scene import write_job, write_videos
from benchmarks.chaos.strike import Kill, Oracle, Struck, strike, undisturbed

FIXED = (
    Kill("driver", "before_link"),
    Kill("child", "shard"),
    Kill("driver", "after_link"),
    Kill("driver", "shard"),
)
RAY_GONE_AFTER_S = 120.0
"""Ray's own agents look for their dead control store for a minute before they end."""

TRIES = 4
"""To meet a victim at its moment, each a little earlier than the one before."""

STEPS = ("start ingest", "advance ingest", "start annotate", "advance annotate", "start pack", "advance pack")
VICTIMS = ("driver", "worker", "child", "raylet")


def plan(kills: int, seed: int, videos: int) -> Iterator[Kill]:
    """The fixed ones first, then victims in turn, each at a moment drawn by chance."""
    yield from FIXED[:kills]
    chance = random.Random(seed)
    decks: dict[str, list[str]] = {victim: [] for victim in VICTIMS}
    for number in range(kills - len(FIXED)):
        victim = VICTIMS[number % len(VICTIMS)]
        if not decks[victim]:
            decks[victim] = chance.sample(STEPS, len(STEPS))
        step = decks[victim].pop()
        last = {"advance ingest": videos - 1, "advance annotate": videos, "advance pack": 3}.get(step, 1)
        delay_s = chance.uniform(0, 3 if step.startswith("start") else 0.4)
        yield Kill(victim, step, chance.randint(1, last), delay_s)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--numbers", default="", help="of the kills to do, e.g. 5-8; all where not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--quick", action="store_true", help="the four fixed kills, on 8 videos")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.kills, arguments.videos = len(FIXED), 8
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        raise SystemExit(_run(Path(scratch), arguments))


def _run(room: Path, arguments: argparse.Namespace) -> int:
    write_videos(room / "videos", arguments.videos)
    out = room / "undisturbed"
    oracle = undisturbed(write_job(room / "undisturbed.yaml", room / "videos", out), out)
    files = len(oracle.digests)
    print(f"undisturbed: {oracle.rows} rows, {len(oracle.keys)} samples, {files} files", flush=True)
    print(f"{'':3}{'victim':8}{'moment':34}{'driver':12}{'after s':>8}{'commands':>9}{'again':>6}  equal")
    different = done = 0
    family: list[psutil.Process] = []
    first, _, last = arguments.numbers.partition("-")
    chosen = range(int(first or 1), int(last or first or arguments.kills) + 1)
    for number, kill in enumerate(plan(arguments.kills, arguments.seed, arguments.videos), 1):
        if number not in chosen:
            continue
        struck = _strike(kill, room / f"{number:02d}", room / "videos", oracle, arguments.seed + number)
        kill = struck.kill
        family += struck.family
        done += 1
        different += bool(struck.problems)
        again = struck.rows - oracle.rows
        equal = "; ".join(struck.problems) or "yes"
        how = f"{struck.ending():12}{struck.seconds:8.1f}{struck.attempts:9}{again:6}"
        print(f"{number:<3}{kill.victim:8}{kill!s:34}{how}  {equal}", flush=True)
    alive = left_over(family, RAY_GONE_AFTER_S)
    print(f"different: {different} of {done} kills (target 0); processes left over: {len(alive)} (target 0)")
    return 1 if different or alive else 0


def _strike(kill: Kill, room: Path, videos: Path, oracle: Oracle, seed: int) -> Struck:
    """One kill; where the job was faster than its moment, an earlier one in another folder."""
    for attempt in range(TRIES):
        earlier = replace(kill, count=max(1, kill.count - attempt), delay_s=kill.delay_s * (1 - attempt / (TRIES - 1)))
        out = room / f"{attempt}"
        room.mkdir(exist_ok=True)
        struck = strike(earlier, write_job(room / f"{attempt}.yaml", videos, out), out, oracle, seed)
        if not struck.missed:
            break
    return struck


if __name__ == "__main__":
    main()
