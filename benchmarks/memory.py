"""Peak memory of one denoising step, by length of history: HPMC against keeping everything and keeping nothing.

    python benchmarks/memory.py [--json PATH] [--plot PNG]

Every figure comes from a fresh process: VmHWM of /proc/self/status after the part measured, minus VmRSS before it, in
MiB, without gradients. `begin` is what reading the history costs once per chunk, `step` one evaluation of the velocity,
given apart; `peak_mib` in the JSON is the larger of the two. `step` counts from before `begin`, so it holds what
`begin` leaves behind (`plan_mib`): far more than the plan's tensors, which makes it an upper bound for HPMC. The
history's own latents and the weights exist before and do not count.
What makes the difference the tensors' own:
- VmHWM is reset before each part (5 to /proc/self/clear_refs), so importing and building leave no trace in it;
- glibc is told to give blocks from 64 KiB back at once, so freed memory of an earlier part hides no later peak;
- a warm-up at the smallest size (one latent of history, one of target) and one long enough for HPMC's windows, both
  of 2 x 2 latents, bring the libraries' code, thread pools and kernels into memory: one-off, and no part of a step.
Baseline: `none` with window 0, a plain transformer of the same size, whose peak cannot depend on the history.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import ctypes
import gc
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

HISTORIES = (1, 21, 81, 161, 321)
TARGET, ROWS, COLUMNS = 21, 12, 12
DIT = {"dim": 192, "ffn_dim": 768, "num_heads": 4, "num_layers": 3}
MEMORIES = {
    "hpmc": {"kind": "hpmc", "hidden": 64, "num_heads": 4, "groups": 16},
    "none, all": {"kind": "none", "window": None},
    "none, 0": {"kind": "none", "window": 0},
}
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
MIB = 1024


def status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1])


def settle() -> int:
    """Give back what is free, forget the peak; KiB held now."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status_kib("VmRSS")


def child(memory: str, history: int) -> None:
    """Measure one case in this process and print it as JSON."""
    import torch

    from worldloom.model.config import ModelConfig
    from worldloom.model.memory.lifecycle import Chunk, Query
    from worldloom.model.world import WorldModel

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = WorldModel(ModelConfig(codec="haar:16", memory=MEMORIES[memory], dit=DIT)).eval()

    def inputs(past: int, target: int, rows: int, columns: int) -> tuple[Chunk, Query, torch.Tensor]:
        chunk = Chunk(torch.randn(1, 16, past, rows, columns), torch.arange(past).float())
        actions = torch.zeros(1, 4 * target + 1, 2, dtype=torch.long)
        query = Query(torch.arange(past - 1, past - 1 + target).float(), (rows, columns), actions=actions)
        return chunk, query, torch.randn(1, 16, target, rows, columns)

    t = torch.tensor([0.5])
    with torch.no_grad():
        for past in (1, 81):
            chunk, query, noisy = inputs(past, 1, 2, 2)
            model.velocity(noisy, t, model.plan(chunk, query), query)
        chunk, query, noisy = inputs(history, TARGET, ROWS, COLUMNS)
        before = settle()
        plan = model.plan(chunk, query)
        begin = status_kib("VmHWM") - before
        held = settle() - before
        start = time.perf_counter()
        model.velocity(noisy, t, plan, query)
        seconds = time.perf_counter() - start
        # The plan stays while steps run: it counts.
        step = status_kib("VmHWM") - before
    context = model.memory.context_frames(history)
    print(
        json.dumps(
            {
                "memory": memory,
                "history_latents": history,
                "context_latents": context,
                "begin_mib": begin / MIB,
                "plan_mib": held / MIB,
                "step_mib": step / MIB,
                "peak_mib": max(begin, step) / MIB,
                "step_seconds": seconds,
            }
        )
    )


def measure(memory: str, history: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", memory, str(history)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **GIVE_BACK})
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def table(found: dict[tuple[str, int], dict[str, float]]) -> None:
    heads = ("history", "hpmc begin", "hpmc step", "all step", "0 step", "all/hpmc", "hpmc/0")
    print(" ".join(f"{head:>{width}}" for head, width in zip(heads, (8, 11, 10, 9, 7, 9, 7), strict=True)))
    for history in HISTORIES:
        hpmc, everything, nothing = (found[name, history] for name in MEMORIES)
        print(
            f"{history:8d} {hpmc['begin_mib']:11.1f} {hpmc['step_mib']:10.1f} {everything['step_mib']:9.1f}"
            f" {nothing['step_mib']:7.1f} {everything['step_mib'] / hpmc['step_mib']:9.2f}"
            f" {hpmc['step_mib'] / nothing['step_mib']:7.2f}"
        )
    print("\nfrom 81 to 321 latents of history the step's peak grows by a factor of:")
    for name in MEMORIES:
        print(f"    {name:10s} {found[name, 321]['step_mib'] / found[name, 81]['step_mib']:.2f}")


def plot(found: dict[tuple[str, int], dict[str, float]], path: Path) -> None:
    from worldloom.report.memory import memory_curve

    names = {"hpmc": "HPMC, reading included", "none, all": "the whole history", "none, 0": "no history"}
    peaks = {said: [found[name, history]["peak_mib"] for history in HISTORIES] for name, said in names.items()}
    path.write_bytes(memory_curve(HISTORIES, peaks))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments.child[0], int(arguments.child[1]))
    found = {(name, history): measure(name, history) for history in HISTORIES for name in MEMORIES}
    print(f"MiB; target {TARGET} latents of {ROWS} x {COLUMNS}, {DIT}, {platform.machine()}, one thread, float32")
    table(found)
    if arguments.plot:
        plot(found, arguments.plot)
    if arguments.json:
        setting = {"target_latents": TARGET, "rows": ROWS, "columns": COLUMNS, "dit": DIT, "memories": MEMORIES}
        content = {**setting, "machine": platform.machine(), "rows_measured": list(found.values())}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
