"""How fast shards are written: from files on disk, against `tar` and then `sha256sum` on the same files.

    python benchmarks/pack.py            600 MB, about a minute
    python benchmarks/pack.py --quick    60 MB

Ours gives the tar, its sha256, and offset, length and CRC-32 of every member; the baseline gives the tar and its
sha256. All files are in the page cache; rounds alternate, the median counts. `tar` leaves the data to the kernel; ours
waits until it is on disk, so both are shown. Below it, in Python: `tarfile` plus sha256, and reading with `tarfile`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.timing import medians
from worldloom.catalogs.sample import MEMBERS
from worldloom.catalogs.shards import read_shard, write_shard

VIDEO_BYTES, SMALL_BYTES, ROUNDS = 1 << 20, 20_000, 3
EXTENSIONS = MEMBERS[:6]
TARGET = 0.7


def make_files(folder: Path, samples: int) -> list[str]:
    keys = [f"{i:026d}" for i in range(samples)]
    for key in keys:
        for extension in EXTENSIONS:
            (folder / f"{key}.{extension}").write_bytes(os.urandom(VIDEO_BYTES if extension == "mp4" else SMALL_BYTES))
    return keys


def ours(folder: Path, keys: list[str], target: Path, durable: bool) -> None:
    def samples() -> Iterator[tuple[str, dict[str, bytes | Path]]]:
        for key in keys:
            yield key, {extension: folder / f"{key}.{extension}" for extension in EXTENSIONS}

    write_shard(target, samples(), durable=durable)


def tar_and_sha256sum(folder: Path, names: Path, target: Path) -> None:
    subprocess.run(["tar", "cf", target, "-C", folder, "-T", names], check=True)
    subprocess.run(["sha256sum", target], check=True, stdout=subprocess.DEVNULL)


def with_tarfile(folder: Path, keys: list[str], target: Path) -> None:
    with tarfile.open(target, "w") as archive:
        for key in keys:
            for extension in EXTENSIONS:
                archive.add(folder / f"{key}.{extension}", f"{key}.{extension}")
    with target.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def read_with_tarfile(path: Path) -> int:
    with tarfile.open(path) as archive:
        return sum(len(archive.extractfile(member).read()) for member in archive)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    samples = 53 if parser.parse_args().quick else 530
    folder = Path(tempfile.mkdtemp(prefix="worldloom-pack-"))
    try:
        files = folder / "files"
        files.mkdir()
        keys = make_files(files, samples)
        names = folder / "names"
        names.write_text("".join(f"{key}.{extension}\n" for key in keys for extension in EXTENSIONS))
        a, b, c = folder / "ours.tar", folder / "tar.tar", folder / "tarfile.tar"
        size = samples * (VIDEO_BYTES + (len(EXTENSIONS) - 1) * SMALL_BYTES) / 1e6
        seconds = medians(
            {
                "tar + sha256sum": lambda: tar_and_sha256sum(files, names, b),
                "ours": lambda: ours(files, keys, a, False),
                "ours, on disk": lambda: ours(files, keys, a, True),
                "tarfile + sha256": lambda: with_tarfile(files, keys, c),
                "read: tarfile": lambda: read_with_tarfile(a),
                "read: ours": lambda: sum(len(members) for _, members in read_shard(a)),
            },
            ROUNDS,
            before=os.sync,  # what the one before left to the kernel is not paid for by the next
        )
        print(f"{samples} samples of {len(EXTENSIONS)} members, {size:.0f} MB, median of {ROUNDS}; MB/s")
        print(f"{'':32}{'ours':>10}{'baseline':>10}{'ratio':>8}{'target':>9}")
        for what, own, baseline, target in (
            ("pack against tar + sha256sum", "ours", "tar + sha256sum", f">= {TARGET}"),
            ("  the same, waiting for the disk", "ours, on disk", "tar + sha256sum", ""),
            ("pack against tarfile", "ours", "tarfile + sha256", ""),
            ("read against tarfile", "read: ours", "read: tarfile", ""),
        ):
            x, y = seconds[own], seconds[baseline]
            print(f"{what:32}{size / x:>10.0f}{size / y:>10.0f}{y / x:>8.2f}{target:>9}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
