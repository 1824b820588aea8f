"""The job against the script a user would write instead (`script_pipeline.py`): time on clean clips, then poison.

    python benchmarks/script.py [--clips 6] [--frames 49] [--rounds 3] [--quick] [--only clean|poison]

Clean: rendered walks with parallax, 480 x 272, in Matroska so that both encode them; both normalise, find poses and
pack, on two workers, interleaved, wall-clock time from start to end of the process. Ours cuts at shots besides.
Target: at most 1.1 of the script's time, as many samples with video and camera.

Poison: eight good clips and one bad one; the script as it is, the script with `except Exception`, and the job (one run
with all of the bad ones). A script that takes longer than a minute has hung. The good clips that came out are counted.
Target: all good clips, and one row that says what is wrong with the bad one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import av

from benchmarks.chaos import annotators
from benchmarks.chaos.annotators import TrapRules
from benchmarks.chaos.processes import ROOT, Driver
from benchmarks.chaos.scene import TRAPS, moving, write_job
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.encode import encode_frames
from worldloom.pipeline.workspace import Workspace
from worldloom.synth.planner import plan_worlds
from worldloom.synth.render import render_world

MOVING = ("walk", "orbit", "strafe", "back")
HANG_S = 60.0
GOOD = 8
LIMIT_S = 3600.0


def render_walks(folder: Path, count: int, frames: int) -> None:
    """Clips of cameras that move through rendered places, rewrapped as Matroska."""
    folder.mkdir()
    plans = [plan for plan in plan_worlds(20, frames=frames) if plan.kind in MOVING]
    for number, plan in enumerate(plans[:count]):
        rendered = folder.parent / f"{number}.mp4"
        render_world(plan, rendered, threads=2)
        with av.open(str(rendered)) as source, av.open(str(folder / f"{number}.mkv"), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)


def run_script(videos: Path, out: Path, *words: str, limit_s: float = LIMIT_S) -> tuple[float, str]:
    """Seconds, and the last line of what went wrong; empty where nothing did."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(ROOT / "benchmarks" / "script_pipeline.py"), str(videos), str(out), *words]
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return limit_s, "hung, was killed"
    finally:  # a pool's worker in an endless loop outlives its script
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    lines = errors.strip().splitlines()
    return time.monotonic() - began, lines[-1].split(":")[0].split(".")[-1] if process.returncode else ""


def run_job(job: Path) -> tuple[float, dict[str, Any]]:
    """Seconds, and the outcome.

    Raises:
        SystemExit: it did not end well.
    """
    began = time.monotonic()
    driver = Driver(job)
    code = driver.end(LIMIT_S)
    if code not in (0, 3):
        raise SystemExit(f"the job ended with {code}: {driver.last_words()}")
    return time.monotonic() - began, driver.outcome


def in_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the members that are whole."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                yield member.name, stream.read() if stream is not None else b""
    except (tarfile.TarError, FileNotFoundError):
        return


def clean(room: Path, clips: int, frames: int, rounds: int) -> bool:
    """Time and outputs on clean clips; whether the target was reached."""
    render_walks(room / "walks", clips, frames)
    ratios = []
    print(f"clean: {clips} clips of {frames} frames, 480 x 272: normalise, poses, pack; 2 workers", flush=True)
    print(
        f"{'round':8}{'ours s':>8}{'script s':>10}{'ratio':>7}{'ours':>7}{'script':>8}  samples with video and camera"
    )
    same = True
    for number in range(rounds):
        out = room / f"ours-{number}"
        job = write_job(room / f"{number}.yaml", room / "walks", out, ingest={}, annotate=["pose"], compose={}, pack={})
        tar = room / f"script-{number}.tar"
        runs: dict[str, Callable[[], tuple[float, Any]]] = {
            "ours": partial(run_job, job),
            "script": partial(run_script, room / "walks", tar, "--pose"),
        }
        order = list(runs) if number % 2 == 0 else list(reversed(runs))
        times = {name: runs[name]()[0] for name in order}
        mine = sum(clip.camera is not None for clip in ShardDataset(out / "dataset"))
        theirs = sum(name.endswith(".camera.npz") for name, _ in in_tar(tar))
        same &= mine >= theirs
        ratios.append(times["ours"] / times["script"])
        print(
            f"{number + 1:<8}{times['ours']:8.1f}{times['script']:10.1f}{ratios[-1]:7.2f}{mine:7}{theirs:8}", flush=True
        )
    print(f"median ratio {median(ratios):.2f} (target at most 1.10); at least as many samples: {same}")
    return same and median(ratios) <= 1.1


def write_good(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(GOOD):
        encode_frames(folder / f"good{number}.mkv", moving(number, 16), Fraction(16))


def write_bad(path: Path, kind: str) -> None:
    """One poisoned file."""
    if kind == "text":
        path.write_text("this is no video\n")
    elif kind == "playlist":  # reads whatever file it names, here a neighbour
        path.write_text("ffconcat version 1.0\nfile good0.mkv\nfile good1.mkv\n")
    elif kind == "bomb":
        write_bomb(path)
    else:
        encode_frames(path, moving(99, 16 + TRAPS.get(kind, 0)), Fraction(16))
        if kind == "truncated":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_bomb(path: Path, side: int = 8192, frames: int = 8) -> None:
    """A few kilobytes that decode to a gigabyte and a half of RGB."""
    with av.open(str(path), "w") as target:
        stream: Any = target.add_stream("libx264", rate=frames, options={"preset": "ultrafast", "crf": "40"})
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame(side, side, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([90]) * plane.buffer_size)
        for number in range(frames):
            frame.pts = number
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


KINDS = ("crashes", "exits", "hangs", "eats", "raises", "truncated", "text", "playlist", "bomb")


def poison(room: Path) -> bool:
    """The table of what happens; whether ours reached the target."""
    trap = TrapRules(**{name: 16 + more for name, more in TRAPS.items()})
    print(f"poison: {GOOD} good clips and one bad one; good clips that came out", flush=True)
    ours = poisoned_job(room / "all", trap)
    print(f"{'the bad one':12}{'script':34}{'script, except Exception':34}ours")
    for kind in KINDS:
        cells = []
        for word in ("", "--careful"):
            videos = room / f"{kind}{word}"
            write_good(videos / "videos")
            write_bad(videos / "videos" / "bad.mp4", kind)
            words = ["--trap", trap.model_dump_json(), *([word] if word else [])]
            seconds, problem = run_script(videos / "videos", videos / "out.tar", *words, limit_s=HANG_S)
            uris = [json.loads(data)["uri"] for name, data in in_tar(videos / "out.tar") if name.endswith(".json")]
            good = sum(uri.startswith("good") for uri in uris)
            said = problem or ("bad one packed" if len(uris) > good else "bad one skipped")
            cells.append(f"{good}  {said}, {seconds:.0f} s")
        print(f"{kind:12}{cells[0]:34}{cells[1]:34}{ours.get(kind, 'ok')}", flush=True)
    return all(cell.startswith(f"{GOOD} ") for cell in ours.values()) and set(ours) == set(KINDS)


def poisoned_job(room: Path, trap: TrapRules) -> dict[str, str]:
    """What one job makes of all bad ones at once, by kind."""
    write_good(room / "videos")
    for kind in KINDS:
        write_bad(room / "videos" / f"{kind}.mp4", kind)
    annotate = [{f"{annotators.__name__}:Trap": trap.model_dump()}]
    changes: dict[str, Any] = {"annotate": annotate, "compose": {"require": ["trap"]}, "ingest": {"min_seconds": 0.5}}
    run_job(write_job(room / "job.yaml", room / "videos", room / "out", **changes))
    uris = [clip.provenance.uri for clip in ShardDataset(room / "out" / "dataset")]
    good = sum(Path(uri).name.startswith("good") for uri in uris)
    workspace = Workspace(room / "out")
    said = {}
    for entry in workspace.problems():
        uri = entry.item.split(":")[-1] if entry.operation == "ingest" else workspace.load(entry.item).provenance.uri
        said[Path(uri).stem] = f"{good}  {entry.status}: {entry.reason}, {entry.attempts} x"
    return {kind: said.get(kind, f"{good}  packed") for kind in KINDS if kind in said or f"{kind}.mp4" in uris}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("clean", "poison"))
    parser.add_argument("--quick", action="store_true", help="2 clips of 33 frames, one round")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.clips, arguments.frames, arguments.rounds = 2, 33, 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing that hangs is left behind
    reached = True
    with tempfile.TemporaryDirectory(prefix="script-") as scratch:
        if arguments.only != "poison":
            reached &= clean(Path(scratch), arguments.clips, arguments.frames, arguments.rounds)
        if arguments.only != "clean":
            reached &= poison(Path(scratch) / "poison")
    raise SystemExit(0 if reached else 1)


if __name__ == "__main__":
    main()
