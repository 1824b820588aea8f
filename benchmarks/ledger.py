"""What the driver does without running anything, for a job of many clips: seconds and peak memory of every step.

    python benchmarks/ledger.py                      100,000 and 1,000,000 clips x 8 operations
    python benchmarks/ledger.py --quick              2,000
    python benchmarks/ledger.py --clips 100000 --operations 8

The records are generated, as a job leaves them behind: segments of the ledger, part files, rows of the catalog; no
video exists. Each size is measured in a process of its own, its records are made in another. Seconds are of one run;
CPU seconds are those of all threads, and tell a busy machine from slow code; peak memory is the process's resident set,
the interpreter included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from worldloom.catalogs.catalog import catalog_table, write_catalog_of
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Annotation, Clip, Provenance
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.known import KnownClips, annotate_tallies, ingest_tally, known_clips
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import SCHEMA, Entry, Ledger, read_payload, wanted_rows
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.parcel import pack_parcel
from worldloom.pipeline.passes.annotate import annotate
from worldloom.pipeline.passes.compose import compose
from worldloom.pipeline.passes.pack_shard import FRAGMENT, fragment_of, read_fragment
from worldloom.pipeline.passes.shard_plan import PlannedShard, plan_shards
from worldloom.pipeline.passes.work import Work
from worldloom.pipeline.progress import Silent
from worldloom.pipeline.segments import Segments
from worldloom.pipeline.settings import Compose, Derive, Execution, Job, Pack, Split

TARGETS = {100_000: (20.0, 1.5), 1_000_000: (180.0, 6.0)}
"""Seconds and GiB of all steps together, without `where`, which no target names."""

SEGMENT_ROWS = 1_000_000
CLIP_BYTES = 1_000_000
RULES = Compose(derive=(Derive(reverse="loop", share=0.5),), split=Split(test=0.02))
CONDITIONS = Compose(where="figures0.confidence > 0.5 and quality.figure1 > 0.1 and frames > 20")
PACK = Pack(target_mb=512)
DUE_SHARE = 0.01


def operations(count: int) -> list[Operation]:
    plain: dict[str, Any] = {
        "config": {}, "method": "generated", "version": "1", "gives": "quality", "needs": (), "sees": (),
        "sees_frames": True, "cpus": 1.0, "gpus": 0.0, "memory_mb": 1000, "deadline_s": 60.0,
    }  # fmt: skip
    return [
        Operation(
            name=name,
            place=name,
            after=() if number < 4 else (f"figures{number - 4}",),
            recipe=f"{number:016x}",
            **plain,
        )
        for number, name in enumerate(f"figures{number}" for number in range(count))
    ]


def hexes(rng: np.random.Generator, count: int, length: int) -> list[str]:
    text = rng.bytes(count * length // 2).hex()
    return [text[at : at + length] for at in range(0, count * length, length)]


def record(key: str, sha256: str, number: int) -> Clip:
    source = Provenance(
        "folder", f"day{number % 97:02d}/video-{number:07d}.mp4", sha256, "CC-BY-4.0", "2026-01-01T00:00:00Z"
    )
    notes = {"source_fps": "30/1", "source_size": [1920, 1080], "source_codec": "h264", "copied": False}
    line = Annotation("ok", "encode", "1", notes=notes)
    return Clip(key, Fraction(16), 40 + number % 80, 480, 832, np.arange(2) / 16, source, annotations={"ingest": line})


def generate(out: Path, clips: int, count: int) -> None:
    """The ledger of a finished job but for one row in a hundred."""
    rng = np.random.default_rng(0)
    keys, sha256 = [f"{one}" for one in hexes(rng, clips, 26)], hexes(rng, clips, 64)
    segments, sequence = Segments(Layout(out), SCHEMA), 0
    order = rng.permutation(clips)  # jobs run the dearest first
    for start in range(0, clips, SEGMENT_ROWS):
        rows = order[start : start + SEGMENT_ROWS]
        told = []
        for number in rows.tolist():
            clip = record(keys[number], sha256[number], number)
            about = {"key": clip.key, "source": clip.key[:16], "bytes": CLIP_BYTES, "row": catalog_row(clip)}
            told.append(json.dumps({"clips": [about], "given": [], "sha256": sha256[number], "damaged": 0, "shots": 1}))
        columns = {
            "item": [f"folder:12345678:{number}" for number in rows],
            "told": told,
            "source": [f"{number:016x}" for number in rows],
        }
        segments.append(table_of("ingest", "ingest", rng, columns, sequence))
        sequence += len(rows)
    each = SEGMENT_ROWS // count
    for start in range(0, clips, each):
        rows = order[start : start + each]
        tables = []
        for operation in operations(count):
            there = rows[rng.random(len(rows)) >= DUE_SHARE]
            some = {
                "item": [keys[number] for number in there],
                "source": [keys[number][:16] for number in there],
                "told": [said(operation.name, number % 1000 / 1000) for number in there],
            }
            tables.append(table_of(operation.name, operation.recipe, rng, some, sequence))
            sequence += len(there)
        segments.append(pa.concat_tables(tables))
    generate_fragments(out, clips, count)


def said(name: str, figure: float) -> str:
    who = {"confidence": figure, "method": "generated", "notes": None, "reason": "", "status": "ok", "version": "1"}
    return json.dumps({name: who, "quality": {f"figure{name[-1]}": figure}})


def table_of(operation: str, recipe: str, rng: np.random.Generator, columns: dict[str, Any], sequence: int) -> pa.Table:
    count = len(columns["item"])
    status = (
        np.array(["ok", "absent", "failed"])[np.searchsorted([0.93, 0.98], rng.random(count))]
        if operation != "ingest"
        else np.full(count, "ok")
    )
    values = {
        "operation": [operation] * count, "recipe": [recipe] * count, "status": status,
        "reason": np.where(status == "ok", "", "no_parallax"), "error": [""] * count, "digest": hexes(rng, count, 64),
        "part": [f"annotations/{operation}/{recipe}/part-{row // 32:032x}.parquet" for row in range(count)],
        "row": np.arange(count) % 32, "bytes": rng.integers(1000, 9000, count), "seconds": rng.random(count),
        "attempts": np.ones(count), "host": ["machine"] * count, "at": np.full(count, 1.8e9),
        "sequence": np.arange(sequence, sequence + count),
    }  # fmt: skip
    return pa.table(
        {name: pa.array({**values, **columns}[name]).cast(SCHEMA.field(name).type) for name in SCHEMA.names}
    )


def generate_fragments(out: Path, clips: int, count: int) -> None:
    """The ledger's rows of packed shards, each with its rows of the catalog."""
    with Ledger(out, writable=True) as ledger:
        known = look_up(ledger, clips, count)
        template: dict[int, pa.Table] = {}
        for shard in planned(ledger, known, count):
            size = len(shard.samples)
            if size not in template:
                full = [record(f"{number:026d}", "0" * 64, number) for number in range(size)]
                for clip in full:
                    clip.annotations |= {
                        one.name: Annotation("ok", one.method, one.version) for one in operations(count)
                    }
                    clip.quality |= {f"figure{number}": 0.5 for number in range(count)}
                members = [
                    {"name": name, "offset": 512, "length": 9000, "crc32": 1} for name in ("mp4", "json", "camera.npz")
                ]
                template[size] = catalog_table({**catalog_row(clip), "members": members} for clip in full)
            keys = sorted(shard.samples.sample_keys())
            table = template[size].set_column(0, "key", pa.array(keys))
            payload = pack_parcel({FRAGMENT: fragment_of(table)})
            ledger.append(Entry(shard.name, "pack", shard.recipe, "", "ok", payload=payload))


def look_up(ledger: Ledger, clips: int, count: int) -> KnownClips:
    wanted = wanted_rows((f"folder:12345678:{number}", "ingest", "ingest", f"{number:016x}") for number in range(clips))
    known = known_clips(ledger, wanted)
    annotate(work(ledger), known, operations(count))
    return known


def planned(ledger: Ledger, known: KnownClips, count: int) -> list[PlannedShard]:
    chosen, _ = compose(RULES, known, operations(count), ledger)
    return list(plan_shards(chosen, operations(count), PACK, 18))


def work(ledger: Ledger) -> Work:
    execution = Execution(workers=1)
    job = Job.model_construct(execution=execution)
    return Work(job, Layout("."), ledger, Engine(execution), Silent(), dry=True)


def measure(out: Path, clips: int, count: int) -> None:
    """Print seconds and peak GiB of every step as a JSON line."""
    steps: list[tuple[str, float, float, float, str]] = []

    @contextmanager
    def step(name: str) -> Iterator[list[str]]:
        Path("/proc/self/clear_refs").write_text("5")
        start, used, note = time.perf_counter(), time.process_time(), [""]
        yield note
        seconds, used = time.perf_counter() - start, time.process_time() - used
        status = Path("/proc/self/status").read_text()
        peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / (1 << 20)
        steps.append((name, seconds, used, peak, note[0]))

    ledger = Ledger(out)
    some = operations(count)
    with step("clips of the ingested videos") as note:
        wanted = wanted_rows(
            (f"folder:12345678:{number}", "ingest", "ingest", f"{number:016x}") for number in range(clips)
        )
        known = known_clips(ledger, wanted)
        note[0] = f"{len(known)} clips"
    with step("answers, anti-join") as note:
        at_work = work(ledger)
        annotate(at_work, known, some)
        note[0] = f"{sum(due for due, _ in at_work.due.values())} rows due of {len(known) * count}"
    with step("table of the run") as note:
        tables = [ingest_tally(known), *annotate_tallies(known, [operation.name for operation in some])]
        note[0] = f"{len(tables)} lines, balanced: {all(tally.balanced for tally in tables)}"
    with step("select, derive, split") as note:
        chosen, _ = compose(RULES, known, some, ledger)
        note[0] = f"{len(chosen)} samples"
    with step("shard plan") as note:
        shards = list(plan_shards(chosen, some, PACK, 18))
        note[0] = f"{len(shards)} shards"
    with step("catalog") as note:
        written = ledger.entries(wanted_rows((shard.name, "pack", shard.recipe, "") for shard in shards))
        store = Layout(out).store
        fragments = [read_fragment(read_payload(store, entry.part, entry.row)) for entry in written.values()]
        entry = write_catalog_of(out / "dataset", fragments)
        note[0] = f"{sum(map(len, fragments))} rows, {entry.bytes / 1e6:.0f} MB"
        del fragments
    with step("where, two figures") as note:
        note[0] = f"{len(compose(CONDITIONS, known, some, ledger)[0])} clips"
    print(json.dumps(steps))


def report(clips: int, count: int, steps: list[tuple[str, float, float, float, str]]) -> None:
    print(f"\n{f'{clips:,} clips x {count} operations':40}{'seconds':>10}{'CPU s':>10}{'peak GiB':>10}")
    for name, seconds, used, peak, note in steps:
        print(f"  {name:38}{seconds:>10.2f}{used:>10.2f}{peak:>10.2f}  {note}")
    counted = [row for row in steps if not row[0].startswith("where")]
    seconds, used, peak = sum(row[1] for row in counted), sum(row[2] for row in counted), max(row[3] for row in counted)
    limit = TARGETS.get(clips) if count == 8 else None
    target = f"target {limit[0]:g} s, {limit[1]:g} GiB" if limit else "no target for this size"
    print(f"  {'together, without where':38}{seconds:>10.2f}{used:>10.2f}{peak:>10.2f}  {target}")
    if limit:
        print(
            f"  {'share of the target':38}{seconds / limit[0]:>10.2f}{used / limit[0]:>10.2f}{peak / limit[1]:>10.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, action="append")
    parser.add_argument("--operations", type=int, default=8)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--step", choices=("generate", "measure"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="keep the records here and use them again")
    options = parser.parse_args()
    if options.step == "generate":
        generate(options.out, options.clips[0], options.operations)
    elif options.step == "measure":
        measure(options.out, options.clips[0], options.operations)
    else:
        for clips in options.clips or ([2000] if options.quick else list(TARGETS)):
            with tempfile.TemporaryDirectory(prefix="worldloom-ledger-") as scratch:
                out = (options.out or Path(scratch)) / f"{clips}-{options.operations}"
                command = [
                    sys.executable,
                    __file__,
                    "--clips",
                    str(clips),
                    "--operations",
                    str(options.operations),
                    "--out",
                    str(out),
                ]
                if not (out / "ledger").is_dir():
                    subprocess.run([*command, "--step", "generate"], check=True)
                done = subprocess.run([*command, "--step", "measure"], check=True, stdout=subprocess.PIPE, text=True)
                report(clips, options.operations, json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
