"""What this machine can and cannot do: interpreter, cores, memory, disk, packages, native libraries, GPU.

Native packages are tried in child processes with a deadline, so that one that aborts or hangs becomes a line of the
table and not the end of it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "note", "missing", "broken"]

OLDEST_PYTHON = (3, 11)
MEMORY_GB = 8.0
"""Below this a job with two workers (about 2 GB each) and Ray's store gets tight (ours)."""
DISK_GB = 10.0
"""The demo takes less than 0.1 GB; this is room for a first job over videos of one's own (ours)."""
DEADLINE_S = 120.0

PACKAGES = (
    "av", "duckdb", "jinja2", "matplotlib", "numpy", "psutil", "pyarrow", "pydantic", "pyyaml", "rich",
    "safetensors", "scipy", "typer",
)  # fmt: skip
"""Needed, and not tried below."""

CV2 = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        name: what was looked at.
        status: `ok`; `note`, works with less; `missing` or `broken`, the data side does not work without it.
        found: what is there.
        remedy: what to do about it; empty where nothing is to be done.
    """

    name: str
    status: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Trial:
    """A native package, tried in a child process.

    Attributes:
        name: of the line.
        code: Python that prints what it found and exits with 0 if all is well.
        remedy: what to install or do where it fails.
        required: whether the data side needs it.
    """

    name: str
    code: str
    remedy: str
    required: bool = True


TRIALS = (
    Trial(
        "video (PyAV, H.264)",
        """
import tempfile, pathlib, av, numpy as np
path = pathlib.Path(tempfile.mkdtemp()) / 'probe.mp4'
with av.open(str(path), 'w') as sink:
    stream = sink.add_stream('libx264', rate=16)
    stream.width, stream.height, stream.pix_fmt, stream.thread_count = 64, 48, 'yuv420p', 1
    for level in range(4):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * level, np.uint8), format='rgb24')
        sink.mux(stream.encode(frame))
    sink.mux(stream.encode(None))
with av.open(str(path)) as source:
    count = sum(1 for _ in source.decode(video=0))
path.unlink(); path.parent.rmdir()
assert count == 4, f'{count} of 4 frames came back'
print(av.__version__)
""",
        "pip install av; the wheel brings FFmpeg with libx264",
    ),
    Trial(
        "structure from motion (cv2, then pycolmap)",
        """
import cv2, numpy as np, pycolmap
picture = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
assert cv2.imencode('.png', picture)[0]
pose = pycolmap.Rigid3d()
print(f'pycolmap {pycolmap.__version__}, cv2 {cv2.__version__}')
""",
        "pip install opencv-python-headless pycolmap",
    ),
    Trial(
        "ray casting (Open3D)",
        """
import numpy as np
from worldloom.synth.raycast import open3d
o3d = open3d()
scene = o3d.t.geometry.RaycastingScene(nthreads=1)
corners = o3d.core.Tensor(np.array([[-1, -1, 2], [1, -1, 2], [0, 1, 2]], np.float32))
scene.add_triangles(corners, o3d.core.Tensor(np.array([[0, 1, 2]], np.uint32)))
hit = scene.cast_rays(o3d.core.Tensor(np.array([[0, 0, 0, 0, 0, 1]], np.float32)))
assert abs(float(hit['t_hit'].numpy()[0]) - 2) < 1e-5
print(o3d.__version__)
""",
        "pip install open3d-cpu libusb-package (glibc 2.35 or newer); without them no worlds are rendered",
    ),
    Trial(
        "Ray",
        """
import os
os.environ.setdefault('RAY_ENABLE_UV_RUN_RUNTIME_ENV', '0')
import ray
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level='ERROR',
         object_store_memory=100 * 2**20)
answer = ray.get(ray.remote(lambda: 41 + 1).remote(), timeout=60)
assert answer == 42
ray.shutdown()
print(f'{ray.__version__}, starts and runs a task')
""",
        "pip install 'ray[data]'; if it is there and does not start, look into /tmp/ray/session_latest/logs",
    ),
    Trial("decord (second reader)", "import decord; print(decord.__version__)", "pip install decord", required=False),
    Trial(
        "webdataset (to read shards elsewhere)",
        "import importlib.metadata as m; import webdataset; print(m.version('webdataset'))",
        "pip install webdataset",
        required=False,
    ),
    Trial(
        "tensorboard (training curves)",
        "import importlib.metadata as m; import tensorboard; print(m.version('tensorboard'))",
        "pip install tensorboard",
        required=False,
    ),
    Trial(
        "diffusers (Wan's autoencoder)",
        "import importlib.metadata as m; import diffusers; print(m.version('diffusers'))",
        "pip install diffusers",
        required=False,
    ),
    Trial(
        "torch",
        """
import torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
names = ', '.join(f'{torch.cuda.get_device_name(i)} ({torch.cuda.get_device_properties(i).total_memory / 1e9:.0f} GB)'
                  for i in range(count))
print(f'{torch.__version__}, ' + (names or 'no GPU'))
""",
        "pip install torch; the data side runs without it",
        required=False,
    ),
)


def examine(folder: Path, trials: Sequence[Trial] = TRIALS) -> list[Check]:
    """Every check, in the order of the table.

    Args:
        folder: where runs will lie; its disk is looked at.
        trials: native packages to try.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        tried = pool.map(_try, trials)
        return [*machine(folder), *packages(), *tried]


def usable(checks: Sequence[Check]) -> bool:
    """Whether the data side works here."""
    return not any(check.status in ("missing", "broken") for check in checks)


def machine(folder: Path) -> list[Check]:
    """Interpreter, operating system, cores, memory and disk."""
    version = platform.python_version()
    wanted = ".".join(map(str, OLDEST_PYTHON))
    old = sys.version_info < OLDEST_PYTHON
    return [
        Check("Python", "broken" if old else "ok", version, f"worldloom needs Python {wanted} or newer" if old else ""),
        Check("system", "ok", f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}".strip(", ")),
        _cores(),
        _memory(),
        _disk(folder),
    ]


def packages(version_of: Callable[[str], str] = importlib.metadata.version) -> list[Check]:
    """Versions of the Python packages, and that there is exactly one cv2.

    Args:
        version_of: gives the version of a distribution or raises `PackageNotFoundError`.
    """
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version_of(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    checks = [Check("packages", "ok", ", ".join(found))] if found else []
    if missing:
        checks.append(Check("packages", "missing", ", ".join(missing), f"pip install {' '.join(missing)}"))
    return [*checks, _one_cv2(version_of)]


def _one_cv2(version_of: Callable[[str], str]) -> Check:
    there = []
    for name in CV2:
        try:
            there.append(f"{name} {version_of(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    if len(there) == 1:
        return Check("OpenCV", "ok", there[0])
    if not there:
        return Check("OpenCV", "missing", "no cv2", "pip install opencv-python-headless")
    others = " ".join(name.split()[0] for name in there)
    remedy = f"keep one: pip uninstall {others}; pip install opencv-python-headless"
    return Check("OpenCV", "broken", "several distributions write the same cv2: " + ", ".join(there), remedy)


def _cores() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2:
        return Check("cores", "note", str(count), "jobs run, but one clip at a time")
    return Check("cores", "ok", str(count))


def _memory() -> Check:
    try:
        import psutil
    except ImportError:
        return Check("memory", "note", "unknown", "pip install psutil")
    total, free = psutil.virtual_memory().total / 1e9, psutil.virtual_memory().available / 1e9
    text = f"{total:.0f} GB, {free:.0f} GB free"
    if free < MEMORY_GB:
        return Check("memory", "note", text, f"below {MEMORY_GB:.0f} GB free, run jobs with --workers 1")
    return Check("memory", "ok", text)


def _disk(folder: Path) -> Check:
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    text = f"{free:.0f} GB free at {place}"
    if free < DISK_GB:
        return Check("disk", "note", text, f"a job over your own videos wants {DISK_GB:.0f} GB or more")
    return Check("disk", "ok", text)


def _try(trial: Trial, deadline_s: float = DEADLINE_S) -> Check:
    command = [sys.executable, "-c", trial.code]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    bad: State = "broken" if trial.required else "note"
    try:
        # S603: the command is this interpreter and a constant of this file.
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=deadline_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return Check(trial.name, bad, f"no answer within {deadline_s:.0f} s", trial.remedy)
    if done.returncode == 0:
        lines = done.stdout.strip().splitlines()
        return Check(trial.name, "ok", lines[-1] if lines else "works")
    lines = done.stderr.strip().splitlines()
    ending = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return Check(trial.name, bad, lines[-1] if lines else ending, trial.remedy)
