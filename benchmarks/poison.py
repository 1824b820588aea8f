"""A poisoned set: 200 good clips among files and clips that crash, hang, bomb and lie. And what the sandbox costs.

    python benchmarks/poison.py             200 good clips of 77 frames, 160x96 at 16 fps
    python benchmarks/poison.py --quick     20 good clips, one round

Poisoned clips are good videos of a length at which the annotator `Poison` misbehaves: SIGSEGV, os._exit, an endless
loop, all memory, a full disk, a child of its own that never ends. They are one `failed` row each. Poisoned files (an
8192x8192 bomb, truncated mp4, ffconcat, m3u8, empty, random bytes) are refused at ingest: one `dropped` row each,
under its reason; a truncated mp4 that still holds frames is a clip. Then the same function over the good clips, in a
plain process and through a warm child, interleaved, in nine pairs of processes; the median ratio counts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, ROOT)
os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
    os.environ[variable] = "1"  # as in a child, so that both sides of the comparison use one thread

import numpy as np  # noqa: E402
import psutil  # noqa: E402

from worldloom.annotators.annotator import Absent, Annotator, Given, Resources  # noqa: E402
from worldloom.catalogs.clip import Clip  # noqa: E402
from worldloom.catalogs.config import Strict  # noqa: E402

FRAMES, HEIGHT, WIDTH, FPS = 77, 96, 160, Fraction(16)
TROUBLES = ("SIGSEGV", "os._exit", "endless loop", "out of memory", "full disk", "endless grandchild")
EXPECTED = ("crashed", "crashed", "timeout", "out_of_memory", "disk_full", "timeout")
DEADLINE_S = 15.0
TURN = 10


class NoRules(Strict):
    """Nothing to set."""


class Poison(Annotator):
    """Misbehaves on clips of FRAMES + 1, + 2, ... frames, in the order of TROUBLES; mean brightness of all others."""

    name = "poison"
    version = "1"
    method = "poison"
    gives = "quality"
    Config = NoRules
    resources = Resources(deadline_s=DEADLINE_S, memory_mb=500)

    def annotate(self, clip: Clip, scratch: Path) -> Given | Absent:
        """Nothing unusual for a clip of FRAMES frames."""
        number = clip.frames - FRAMES - 1
        if 0 <= number < len(TROUBLES):
            _misbehave(TROUBLES[number])
        with clip.open_frames() as frames:
            return Given({"brightness": round(float(np.mean([frame.mean() for frame in frames])), 3)})


def _misbehave(trouble: str) -> None:
    if trouble == "SIGSEGV":
        os.kill(os.getpid(), signal.SIGSEGV)
    if trouble == "os._exit":
        os._exit(7)
    if trouble == "out of memory":
        kept = []
        while True:
            kept.append(np.ones(1 << 24))
    if trouble == "full disk":
        with Path("/dev/full").open("wb") as disk:
            disk.write(bytes(1 << 20))
    if trouble == "endless grandchild":
        subprocess.run([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True, check=True)
    while True:
        pass


def work(payload: Mapping[str, Any]) -> dict[str, float]:
    """What both sides of the comparison run: decode a clip, and measure its pictures as `quality` does."""
    import cv2

    from worldloom.catalogs.video import Frames

    cv2.setNumThreads(1)
    with Frames(payload["path"]) as frames:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    sharpness = [float(cv2.Laplacian(picture, cv2.CV_32F).var()) for picture in grey]
    return {"sharpness": float(np.median(sharpness)), "brightness": float(np.mean([one.mean() for one in grey]))}


def main() -> None:
    parser = argparse.ArgumentParser(description="What a poisoned set costs.")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pair", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pair:
        _pair(args.pair, args.clips)
        return
    clips, rounds = (20, 1) if args.quick else (args.clips, args.rounds)
    with tempfile.TemporaryDirectory(prefix="poison-") as name:
        folder = Path(name, "videos")
        folder.mkdir()
        for number in range(clips):
            _write(folder / f"good{number:03}.mp4", number)
        print(f"{clips} good clips of {FRAMES} frames {WIDTH}x{HEIGHT}; Python {sys.version.split()[0]}")
        slower = _overhead(folder, clips, rounds)
        right = _poisoned(folder, clips)
    if not right or slower > 1.05:
        sys.exit(1)


def _write(path: Path, seed: int, frames: int = FRAMES) -> None:
    from worldloom.catalogs.video import encode_frames

    small = np.random.default_rng(seed).integers(30, 220, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    still = small.repeat(8, 0).repeat(8, 1)
    encode_frames(path, (np.ascontiguousarray(np.roll(still, 2 * t, axis=1)) for t in range(frames)), FPS)


def _poison(folder: Path) -> dict[str, str]:
    """Write the bad ones; reason that each file is to be dropped for."""
    for number, _ in enumerate(TROUBLES):
        _write(folder / f"trouble{number}.mp4", 10_000 + number, FRAMES + 1 + number)
    good = (folder / "good000.mp4").read_bytes()
    (folder / "bad_truncated.mp4").write_bytes(good[:600])
    (folder / "bad_concat.mp4").write_text("ffconcat version 1.0\nfile 'good000.mp4'\nfile '/etc/passwd'\n")
    (folder / "bad_playlist.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    (folder / "bad_empty.mp4").touch()
    (folder / "bad_random.mp4").write_bytes(np.random.default_rng(0).bytes(100_000))
    _bomb(folder / "bad_bomb.mp4")
    return {
        "bad_truncated.mp4": "cannot_open",
        "bad_concat.mp4": "not_video",
        "bad_playlist.mp4": "not_video",
        "bad_empty.mp4": "empty_file",
        "bad_random.mp4": "not_video",
        "bad_bomb.mp4": "too_large",
    }


def _bomb(path: Path) -> None:
    """8192x8192 pixels in a few kilobytes."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width = stream.height = 8192
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"preset": "ultrafast"}
        frame = av.VideoFrame(8192, 8192, "yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _poisoned(folder: Path, clips: int) -> bool:
    from worldloom.catalogs.dataset import ShardDataset
    from worldloom.pipeline.job import job_for_folder
    from worldloom.pipeline.run import run_job
    from worldloom.pipeline.workspace import Workspace

    dropped = _poison(folder)
    out = folder.with_name("out")
    job = job_for_folder(
        folder,
        out,
        ["annotate=[benchmarks.poison:Poison]", "compose.require=[poison]", "execution.workers=2"],
    )
    started = time.monotonic()
    summary = run_job(job)
    seconds = time.monotonic() - started
    workspace = Workspace(out)
    found = {}
    print(f"\n{'item':32} {'operation':10} {'status':8} {'reason':14} {'tries':>5} {'s':>6}")
    for entry in sorted(workspace.problems(), key=lambda one: (one.operation, one.item)):
        item = entry.item.split(":")[-1] if entry.operation == "ingest" else _trouble(workspace, entry.item)
        found[item] = entry.status, entry.reason
        told = f"{entry.operation:10} {entry.status:8} {entry.reason:14} {entry.attempts:5} {entry.seconds:6.1f}"
        print(f"{item:32} {told}")
    wanted = {name: ("dropped", reason) for name, reason in dropped.items()}
    wanted |= {trouble: ("failed", reason) for trouble, reason in zip(TROUBLES, EXPECTED, strict=True)}
    samples = len(ShardDataset(out / "dataset"))
    cases = len(list((out / "quarantine").rglob("*.json")))
    closed = all(tally.balanced for tally in summary.tables)
    right = found == wanted and samples == clips and cases == len(TROUBLES) and closed
    for tally in summary.tables:
        lost = f"dropped {sum(tally.dropped.values())}, failed {sum(tally.failed.values())}"
        print(f"{tally.name:12} {tally.inputs} in = {tally.ok} ok, absent {sum(tally.absent.values())}, {lost}")
    print(f"samples {samples} of {clips}; quarantine files {cases} of {len(TROUBLES)}; every table balanced: {closed}")
    print(f"job: {seconds:.0f} s, exit code {summary.exit_code}; exactly the expected rows: {found == wanted}")
    for name in sorted(found.keys() ^ wanted.keys() | {one for one in found if found[one] != wanted.get(one)}):
        print(f"  {name}: {found.get(name)}, expected {wanted.get(name)}")
    print(f"target: exactly the good samples, one row each for the rest: {'met' if right else 'NOT met'}")
    return right


def _trouble(workspace: Any, key: str) -> str:
    return TROUBLES[workspace.load(key, []).frames - FRAMES - 1]


def _overhead(folder: Path, clips: int, rounds: int) -> float:
    """The comparison in pairs of processes that are new in every round: one may lie badly in the machine's caches."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--clips", str(clips), "--pair", str(folder)]
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"{'':16} {'wall s':>8} {'CPU s':>8} {'ms per clip':>12}")
    for name in found[0]:
        wall, cpu = (statistics.median(one[name][i] for one in found) for i in range(2))
        print(f"{name:16} {wall:8.2f} {cpu:8.2f} {1000 * wall / clips:12.2f}")
    ratios = [[one["warm child"][i] / one["plain process"][i] for one in found] for i in range(2)]
    over = [100 * (statistics.median(one) - 1) for one in ratios]
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(
        f"sandbox overhead: {over[0]:.1f} % of wall time, {over[1]:.1f} % of CPU time (target: under 5 % of wall): "
        f"{'met' if over[0] <= 5 else 'NOT met'}; load per core {load:.1f}\n"
        f"of wall time in each round: {', '.join(f'{100 * (ratio - 1):.1f}' for ratio in ratios[0])} %"
    )
    return 1 + over[0] / 100


def _pair(folder: Path, clips: int) -> None:
    """Seconds, wall and CPU, of this process and of a warm child, in turns; as JSON."""
    from worldloom.pipeline.envelope import Envelope

    payloads = [{"path": str(folder / f"good{number:03}.mp4")} for number in range(clips)]
    envelope = Envelope("benchmarks.poison:work", deadline_s=60, memory_mb=2000, recycle_after=10**6)
    if envelope.call(payloads[0]).result != work(payloads[0]):
        raise RuntimeError("the child's result differs")
    child = psutil.Process(envelope.child_pid())

    def through(payload: dict[str, str]) -> None:
        envelope.call(payload)

    clocks = {"plain process": [0.0, 0.0], "warm child": [0.0, 0.0]}
    # In turns, so that other load meets both alike; a few clips each, for a worker's child does not sleep in between.
    for start in range(0, clips, TURN):
        sides = [("plain process", work), ("warm child", through)]
        for name, call in sides if start // TURN % 2 else sides[::-1]:
            wall, cpu = time.perf_counter(), _cpu_s(child)
            for payload in payloads[start : start + TURN]:
                call(payload)
            clocks[name][0] += time.perf_counter() - wall
            clocks[name][1] += _cpu_s(child) - cpu
    envelope.close()
    print(json.dumps(clocks))


def _cpu_s(child: psutil.Process) -> float:
    """CPU seconds of this process and of the child."""
    times = child.cpu_times()
    return time.process_time() + times.user + times.system


if __name__ == "__main__":
    main()
