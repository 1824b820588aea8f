"""How fast worlds are made and rendered: pictures, truth and encoding, 480 x 272, all four places.

    python benchmarks/render.py [clips per place]

Two processes of one thread each, as a job runs them, and one process with two threads. Seconds to paint and light a
world are given apart: it is done once per process and place. Baseline: a bare cast of the same rays against an empty
room (Embree, one thread), in this run. Published beside it (2 cores): about 5 ms per cast, and 46 frames/s for one
room textured in NumPy without people, shadows, truth or encoding.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from worldloom.synth.materials.noise import plain
from worldloom.synth.mesh import Mesh
from worldloom.synth.people import View
from worldloom.synth.plan import WorldPlan
from worldloom.synth.planner import plan_worlds
from worldloom.synth.render import render_world
from worldloom.synth.shapes import box
from worldloom.synth.world import PLACES, layout, world


def bare_cast_ms() -> float:
    mesh = Mesh(box((-5, -5, -5), (5, 5, 5), lambda sheet: plain(sheet, (1, 1, 1))))
    u, v = (a.ravel() for a in np.meshgrid(np.arange(480) + 0.5, np.arange(272) + 0.5))
    rays = View(np.eye(4), 370.0, 480, 272).rays(u, v)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        mesh.cast(rays)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def bake_seconds(place: str) -> float:
    layout(place, 0)
    start = time.perf_counter()
    world(place, 0)
    return time.perf_counter() - start


def render(plans: list[WorldPlan], threads: int = 1) -> dict[str, float]:
    """Seconds of rendering by place, worlds not counted."""
    cv2.setNumThreads(1)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for plan in plans:
            world(plan.place, plan.look)
            start = time.perf_counter()
            render_world(plan, Path(folder) / f"{plan.name}.mp4", threads=threads)
            seconds[plan.place] = seconds.get(plan.place, 0.0) + time.perf_counter() - start
    return seconds


def report(name: str, plans: list[WorldPlan], runs: list[dict[str, float]]) -> None:
    total = sum(plan.frames for plan in plans)
    wall = max(sum(run.values()) for run in runs)
    print(f"{name}: {total / wall:.1f} frames/s over all places")
    for place in PLACES:
        frames = sum(plan.frames for plan in plans if plan.place == place)
        rate = frames / (sum(run.get(place, 0.0) for run in runs) / len(runs))
        print(f"    {place:12s} {rate:.1f}")


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    cv2.setNumThreads(1)
    print(f"bare cast of 480 x 272 rays, one thread: {bare_cast_ms():.1f} ms")
    for place in PLACES:
        print(f"paint and light {place}: {bake_seconds(place):.1f} s")
    plans = plan_worlds(len(PLACES) * clips)
    report("one process, two threads", plans, [render(plans, threads=2)])
    half = [plans[: len(PLACES) * clips // 2], plans[len(PLACES) * clips // 2 :]]
    with get_context("spawn").Pool(2) as pool:
        report("two processes, one thread each", plans, pool.map(render, half))


if __name__ == "__main__":
    main()
