"""How fast shards are written and read: our own headers against `tarfile`, with sha256 in both.

    python benchmarks/pack.py

Baseline: `tarfile.addfile` plus sha256 of the file, in this run. Published beside it (600 MB, 2 cores): tarfile 3.5 s,
own headers 0.7-0.9 s.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from worldloom.catalogs.sample import MEMBERS
from worldloom.catalogs.shards import read_shard, write_shard

SAMPLES, VIDEO_BYTES, SMALL_BYTES = 200, 1 << 20, 20_000


def samples() -> list[tuple[str, dict[str, bytes]]]:
    video, small = os.urandom(VIDEO_BYTES), os.urandom(SMALL_BYTES)
    names = MEMBERS[1:6]
    return [(f"{i:026d}", {"mp4": video, **dict.fromkeys(names, small)}) for i in range(SAMPLES)]


def with_tarfile(path: Path, content: list[tuple[str, dict[str, bytes]]]) -> None:
    with tarfile.open(path, "w") as archive:
        for key, members in content:
            for name, data in members.items():
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
        os.fsync(file.fileno())


def read_with_tarfile(path: Path) -> int:
    with tarfile.open(path) as archive:
        return sum(len(archive.extractfile(member).read()) for member in archive)


def best(action: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    content = samples()
    size = sum(len(data) for _, members in content for data in members.values()) / 1e6
    print(f"{SAMPLES} samples of 6 members, {size:.0f} MB, best of 3; MB/s")
    print(f"{'':12}{'ours':>10}{'tarfile':>10}{'ratio':>10}")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.tar", Path(folder) / "theirs.tar"
        rows = (
            ("write", lambda: write_shard(ours, content), lambda: with_tarfile(theirs, content)),
            ("read", lambda: sum(len(members) for _, members in read_shard(ours)), lambda: read_with_tarfile(theirs)),
        )
        for name, own, baseline in rows:
            a, b = best(own), best(baseline)
            print(f"{name:12}{size / a:>10.0f}{size / b:>10.0f}{b / a:>10.2f}")


if __name__ == "__main__":
    main()
