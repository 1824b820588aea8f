"""Which copies of a clip are found, which are not, how many others are taken for copies, and what looking costs.

    python benchmarks/duplicates.py [--worlds 24] [--cost 1000 10000 100000] [--out FOLDER]

Clips come from rendered worlds (the same few places, walked by several seeds) and, where they are there, from the
real videos of `../shared/data` (WORLDLOOM_REAL_DATA): among them neighbouring stretches of one walk and of one fixed
camera, which are no copies of each other. Every clip is changed in every way below, written as H.264 and fingerprinted
from the file. A copy is found where the driver's matching, with its default setting and among all clips and copies,
says so. Precision: pairs found that are one clip, or two copies of one, over all pairs found.

Cost: made-up fingerprints of a random walk through the space of hashes, one in ten a copy; seconds of one thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldloom.annotators.annotator import Absent
from worldloom.annotators.fingerprint import FingerprintAnnotator, from_text, to_text
from worldloom.catalogs.clip import Clip, Provenance
from worldloom.catalogs.video import Frames, encode_frames
from worldloom.pipeline.copies import Fingerprints, Words, candidates, find_copies
from worldloom.pipeline.likeness import Likeness

HEIGHT = 240


@dataclass
class Footage:
    """Frames in memory."""

    name: str
    frames: np.ndarray
    fps: Fraction
    source: str
    start_s: float = 0.0


Change = Callable[[np.ndarray, Fraction], tuple[np.ndarray, Fraction, int]]


def resampled(frames: np.ndarray, fps: Fraction, to: float, speed: float = 1.0) -> tuple[np.ndarray, Fraction, int]:
    """Nearest frames at another rate, or played faster."""
    count = max(2, round(len(frames) / float(fps) / speed * to))
    index = np.minimum(np.round(np.arange(count) / to * float(fps) * speed).astype(int), len(frames) - 1)
    return frames[index], Fraction(to).limit_denominator(1000), 20


def scaled(frames: np.ndarray, share: float) -> np.ndarray:
    size = [max(16, round(side * share / 2) * 2) for side in (frames.shape[2], frames.shape[1])]
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in frames])


def cropped(frames: np.ndarray, share: float, x: float = 0.5, y: float = 0.5) -> np.ndarray:
    """`share` of the width and of the height is cut away; x and y say how much of that on the left and at the top."""
    height, width = frames.shape[1:3]
    h, w = (round(side * (1 - share) / 2) * 2 for side in (height, width))
    top, left = round((height - h) * y), round((width - w) * x)
    return np.ascontiguousarray(frames[:, top : top + h, left : left + w])


def padded(frames: np.ndarray, top: float, side: float, colour: int = 0) -> np.ndarray:
    height, width = frames.shape[1:3]
    h, w = round(height * top / 2) * 2, round(width * side / 2) * 2
    return np.pad(frames, ((0, 0), (h, h), (w, w), (0, 0)), constant_values=colour)


def lit(frames: np.ndarray, gain: float, gamma: float = 1.0) -> np.ndarray:
    table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    return table[frames]


def with_logo(frames: np.ndarray) -> np.ndarray:
    """A bright badge of 15 % x 12 % in the upper right corner."""
    out = frames.copy()
    height, width = frames.shape[1:3]
    y, x, h, w = round(0.05 * height), round(0.8 * width), round(0.12 * height), round(0.15 * width)
    out[:, y : y + h, x : x + w] = (240, 40, 40)
    out[:, y + h // 4 : y + h // 2, x + w // 6 : x + w - w // 6] = 250
    return out


def with_caption(frames: np.ndarray) -> np.ndarray:
    """White words with a black edge over the lower fifth."""
    out = frames.copy()
    height, width = frames.shape[1:3]
    for one in out:
        for colour, thick in (((0, 0, 0), 5), ((255, 255, 255), 2)):
            place = (round(0.1 * width), round(0.9 * height))
            cv2.putText(one, "the same as before", place, cv2.FONT_HERSHEY_SIMPLEX, height / 240, colour, thick)
    return out


def cut(frames: np.ndarray, first: float, last: float) -> np.ndarray:
    """A stretch of the clip, in shares; begins between two samples of a fingerprint."""
    start = round(first * len(frames)) + (1 if first else 0)
    return frames[start : max(start + 2, round(last * len(frames)))]


def mixed(frames: np.ndarray, fps: Fraction) -> tuple[np.ndarray, Fraction, int]:
    """What a re-upload looks like: trimmed, mirrored, smaller, letterboxed, another rate, encoded hard."""
    frames = np.ascontiguousarray(cut(frames, 0.2, 0.95)[:, :, ::-1])
    frames, fps, _ = resampled(padded(scaled(frames, 0.6), 0.12, 0), fps, 12)
    return frames, fps, 32


CHANGES: dict[str, Change] = {
    "encoded, crf 23": lambda f, r: (f, r, 23),
    "encoded, crf 32": lambda f, r: (f, r, 32),
    "encoded, crf 40": lambda f, r: (f, r, 40),
    "scaled to 0.5": lambda f, r: (scaled(f, 0.5), r, 20),
    "scaled to 0.25": lambda f, r: (scaled(f, 0.25), r, 20),
    "10 frames/s": lambda f, r: resampled(f, r, 10),
    "24 frames/s": lambda f, r: resampled(f, r, 24),
    "25 % cut at the start": lambda f, r: (cut(f, 0.25, 1), r, 20),
    "25 % cut at the end": lambda f, r: (cut(f, 0, 0.75), r, 20),
    "50 % cut at the start": lambda f, r: (cut(f, 0.5, 1), r, 20),
    "50 % cut at the end": lambda f, r: (cut(f, 0, 0.5), r, 20),
    "mirrored": lambda f, r: (np.ascontiguousarray(f[:, :, ::-1]), r, 20),
    "letterboxed": lambda f, r: (padded(f, 0.14, 0), r, 20),
    "pillarboxed": lambda f, r: (padded(f, 0, 0.16), r, 20),
    "white frame around": lambda f, r: (padded(f, 0.06, 0.06, 255), r, 20),
    "cropped by 5 %": lambda f, r: (cropped(f, 0.05), r, 20),
    "cropped by 10 %": lambda f, r: (cropped(f, 0.10), r, 20),
    "cropped by 20 %": lambda f, r: (cropped(f, 0.20), r, 20),
    "cropped by 10 %, corner": lambda f, r: (cropped(f, 0.10, 0, 0), r, 20),
    "darker (0.7)": lambda f, r: (lit(f, 0.7), r, 20),
    "brighter (1.3)": lambda f, r: (lit(f, 1.3), r, 20),
    "gamma 1.4": lambda f, r: (lit(f, 1.0, 1.4), r, 20),
    "logo": lambda f, r: (with_logo(f), r, 20),
    "caption": lambda f, r: (with_caption(f), r, 20),
    "1.25 times as fast": lambda f, r: resampled(f, r, float(r), 1.25),
    "0.8 times as fast": lambda f, r: resampled(f, r, float(r), 0.8),
    "2 times as fast": lambda f, r: resampled(f, r, float(r), 2.0),
    "reversed": lambda f, r: (f[::-1], r, 20),
    "rotated by 90 degrees": lambda f, r: (np.ascontiguousarray(np.rot90(f, 1, (1, 2))), r, 20),
    "mirrored, trimmed, small, boxed, 12/s, crf 32": mixed,
}


def real_footage(root: Path) -> Iterator[Footage]:
    """Stretches of the real videos, with neighbours of one walk and of one fixed camera among them."""
    stretches = {
        "walk_clips/video-9.m4v": [(0, 6), (6, 12), (12, 18)],
        "walk_clips/video-3.m4v": [(0, 4), (4, 8)],
        "people/one-by-one-person-detection.mp4": [(6, 14), (22, 30), (30, 38), (50, 58), (70, 78), (94, 102)],
        "people/bedroom.mp4": [(0, 6)],
        "ue5_hydra/1.mp4": [(0, 6)],
        "ue5_hydra/2.mp4": [(0, 6)],
        "egodex/add_remove_lid/0.mp4": [(0, 4)],
        "odd/nasa_13013.mp4": [(0, 6), (6, 12)],
        **{f"re10k/videos/{path.name}": [(0, 3)] for path in sorted(root.glob("re10k/videos/*.mp4"))},
    }
    for name, spans in stretches.items():
        if not (root / name).exists():
            continue
        with Frames(root / name) as frames:
            times = frames.pts_s - frames.pts_s[0]
            fps = Fraction(round(1000 / float(np.median(np.diff(times)))), 1000)
            for start, stop in spans:
                chosen = np.flatnonzero((times >= start) & (times < stop))
                share = min(1.0, HEIGHT / frames.height)
                pictures = np.concatenate([scaled(frames[[int(i)]], share) for i in chosen])
                yield Footage(f"{Path(name).stem}@{start}", pictures, fps, name, start)


def rendered_footage(count: int) -> Iterator[Footage]:
    """Worlds of two seeds: the same places, other ways through them."""
    from worldloom.synth.planner import plan_worlds
    from worldloom.synth.render import render_frames

    for seed in (0, 1):
        for plan in plan_worlds(count // 2, seed=seed, frames=81, width=256, height=144):
            pictures = np.stack([frame.rgb for frame in render_frames(plan)])
            yield Footage(plan.name, pictures, Fraction(plan.fps), plan.sha256)


def black_footage() -> Iterator[Footage]:
    """Two black clips and a grey one: all alike, and nobody's copy."""
    for name, luma in (("black, 3 s", 0), ("black, 4 s", 1), ("grey", 128)):
        frames = np.full((48 if "3" in name else 64, 144, 256, 3), luma, np.uint8)
        yield Footage(name, frames, Fraction(16), name)


@dataclass
class Printed:
    """A fingerprinted file."""

    base: str
    change: str
    words: Words
    source: str
    real: bool


def fingerprint(frames: np.ndarray, fps: Fraction, crf: int, video: Path) -> Words | None:
    """Of the pictures as H.264 keeps them; None where there is nothing to know them by."""
    encode_frames(video, iter(frames), fps, crf=crf)
    count, height, width = frames.shape[:3]
    provenance = Provenance("folder", video.name, "0" * 64)
    clip = Clip("a" * 26, fps, count, height, width, np.arange(count) / float(fps), provenance, video=video)
    answer = FingerprintAnnotator().annotate(clip, video.parent)
    if isinstance(answer, Absent):
        return None
    notes = answer.notes
    return Words(*(from_text(notes[name]) for name in Words._fields[:3]), notes["rate"])


def printed(one: Footage, real: bool, shots: Path | None) -> list[Printed]:
    """The clip and all its copies, and a picture of each where somebody wants to look."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, change in {"original": lambda f, r: (f, r, 18), **CHANGES}.items():
            frames, fps, crf = change(one.frames, one.fps)
            words = fingerprint(frames, fps, crf, Path(folder, "clip.mp4"))
            if words is not None:
                source = one.source if name == "original" else f"{one.name} {name}"
                found.append(Printed(one.name, name, words, source, real))
            if shots is not None:
                middle = frames[len(frames) // 2][:, :, ::-1]
                cv2.imwrite(str(shots / f"{one.name} {name.replace('/', ' per ')}.png"), middle)
    return found


def all_printed(worlds: int, root: Path, workers: int, shots: Path | None) -> list[Printed]:
    """Every clip and copy, in a lasting order."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting = [pool.submit(printed, one, False, shots) for one in rendered_footage(worlds)]
        waiting += [pool.submit(printed, one, False, None) for one in black_footage()]
        waiting += [pool.submit(printed, one, True, shots) for one in real_footage(root)]
        found = []
        for number, one in enumerate(waiting):
            found += one.result()
            print(f"  {number + 1} of {len(waiting)}", flush=True)
    return found


def saved(clips: list[Printed], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**vars(one), "words": [*(to_text(words) for words in one.words[:3]), one.words.rate]} for one in clips]
    path.write_text(json.dumps(rows))


def read(path: Path) -> list[Printed]:
    rows = json.loads(path.read_text())
    return [
        Printed(**{**row, "words": Words(*(from_text(text) for text in row["words"][:3]), row["words"][3])})
        for row in rows
    ]


def judged(clips: list[Printed], rules: Likeness) -> dict[str, Any]:
    """Found copies by change, and how many of all pairs found are right."""
    sources = {name: number for number, name in enumerate(sorted({one.source for one in clips}))}
    prints = Fingerprints.of([one.words for one in clips], np.array([sources[one.source] for one in clips]))
    found = {(match.first, match.second): match for match in find_copies(prints, rules)}
    originals = {one.base: number for number, one in enumerate(clips) if one.change == "original"}
    rows: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(clips):
        if one.change == "original" or one.base not in originals:
            continue
        pair = tuple(sorted((number, originals[one.base])))
        row = rows.setdefault(one.change, defaultdict(int, missed=[], bits=[]))
        kind = "real" if one.real else "rendered"
        row[f"{kind}_all"] += 1
        row[kind] += pair in found
        if pair in found:
            row["bits"].append(found[pair].distance)
        else:
            row["missed"].append(one.base)
    wrong = [pair for pair in found if clips[pair[0]].base != clips[pair[1]].base]
    first = [pair for pair in wrong if all(clips[one].change == "original" for one in pair)]
    every = sum(row["rendered"] + row["real"] for row in rows.values())
    asked = sum(row["rendered_all"] + row["real_all"] for row in rows.values())
    right = len(found) - len(wrong)
    per_base = defaultdict(int)
    for one in clips:
        per_base[one.base] += 1
    pairs = sum(count * (count - 1) // 2 for count in per_base.values())
    for row in rows.values():
        row["bits"] = float(np.median(row["bits"])) if row["bits"] else None
    return {
        "changes": rows,
        "recall": every / asked,
        "copies": asked,
        "precision": right / max(1, len(found)),
        "pairs_found": len(found),
        "pairs_wrong": len(wrong),
        "pairs_wrong_of_originals": len(first),
        "recall_of_all_pairs": right / max(1, pairs),
        "different_pairs": len(clips) * (len(clips) - 1) // 2 - pairs,
        "wrong": [
            f"{clips[a].base} ({clips[a].change}) = {clips[b].base} ({clips[b].change}), {found[a, b].distance:.1f}"
            for a, b in wrong[:40]
        ],
    }  # fmt: skip


def made_up(count: int, seed: int = 0) -> Fingerprints:
    """Clips of 10 s: walks through the space of hashes that begin in one of count / 50 scenes, every tenth a copy."""
    rng = np.random.default_rng(seed)
    samples = 40
    scenes = rng.integers(1, 2**63, max(1, count // 50), dtype=np.uint64)

    def flips(shape: tuple[int, ...], bits: int) -> np.ndarray:
        out = np.zeros(shape, np.uint64)
        for _ in range(bits):
            out ^= np.uint64(1) << rng.integers(0, 63, shape).astype(np.uint64)
        return out

    start = scenes[rng.integers(0, len(scenes), count)] ^ flips((count,), 10)
    steps = flips((count, samples), 3)
    steps[:, 0] = start
    sight = np.bitwise_xor.accumulate(steps, axis=1)
    copies = np.arange(1, count, 10)
    sight[copies] = sight[copies - 1] ^ flips((len(copies), samples), 3)
    inner = sight ^ flips((count, samples), 12)
    motion = rng.integers(0, 2**63, (count, samples), dtype=np.uint64)
    motion[copies] = motion[copies - 1]
    edges = np.arange(count + 1, dtype=np.int64) * samples
    return Fingerprints(edges, sight.ravel(), inner.ravel(), motion.ravel(), np.full(count, 4.0), np.arange(count))


def costs(counts: list[int]) -> list[dict[str, float]]:
    rows = []
    for count in counts:
        prints = made_up(count)
        started, cpu = time.perf_counter(), time.process_time()
        pairs = len(list(candidates(prints, Likeness())))
        half = time.process_time()
        matches = find_copies(prints, Likeness())
        row = {
            "clips": count,
            "candidates": pairs,
            "copies": len(range(1, count, 10)),
            "found": sum(match.second == match.first + 1 and match.first % 10 == 0 for match in matches),
            "candidates_cpu_s": round(half - cpu, 2),
            "all_cpu_s": round(time.process_time() - half, 2),
            "wall_s": round(time.perf_counter() - started, 2),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
        print("  " + ", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        rows.append(row)
    return rows


def markdown(found: dict[str, Any], turned: dict[str, Any]) -> str:
    """The tables of docs/duplicates.md."""
    lines = ["| what was done to the clip | rendered | real | bits of 63 | with `turned` |", "|---|---|---|---|---|"]
    for name, row in found["changes"].items():
        other = turned["changes"].get(name)
        cells = [f"{row[kind]} of {row[f'{kind}_all']}" for kind in ("rendered", "real")]
        with_turned = f"{other['rendered'] + other['real']}" if other else ""
        bits = "" if row["bits"] is None else f"{row['bits']:.1f}"
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {bits} | {with_turned} |")
    lines += [
        "",
        "| setting | copies found | precision of pairs | wrong pairs, of so many different ones |",
        "|---|---|---|---|",
    ]
    for name, one in (("default", found), ("`turned: true`", turned)):
        share = f"{100 * one['recall']:.1f} % of {one['copies']}"
        wrong = (
            f"{one['pairs_wrong']} of {one['different_pairs']:,} ({one['pairs_wrong_of_originals']} of two originals)"
        )
        lines.append(f"| {name} | {share} | {100 * one['precision']:.2f} % of {one['pairs_found']:,} | {wrong} |")
    return "\n".join(lines)


def cost_table(rows: list[dict[str, float]]) -> str:
    lines = [
        "| clips of 10 s | pairs looked at | copies found | CPU s | of it for candidates | peak MB |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = f"{row['found']:,} of {row['copies']:,}"
        lines.append(
            f"| {row['clips']:,} | {row['candidates']:,} | {share} | {row['all_cpu_s']} | {row['candidates_cpu_s']} "
            f"| {row['peak_mb']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=24, help="rendered clips; 0 for none")
    parser.add_argument("--cost", type=int, nargs="*", default=[1000, 10_000, 100_000], help="made-up clips")
    parser.add_argument("--out", type=Path, help="where duplicates.json and duplicates.md go")
    parser.add_argument("--pictures", type=Path, help="where a frame of every copy goes")
    parser.add_argument("--fingerprints", type=Path, help="file that keeps them, to try other thresholds on")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    root = Path(os.environ.get("WORLDLOOM_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if asked.pictures:
        asked.pictures.mkdir(parents=True, exist_ok=True)
    clips: list[Printed] = []
    if asked.fingerprints and asked.fingerprints.exists():
        clips = read(asked.fingerprints)
    elif asked.worlds:
        clips = all_printed(asked.worlds, root, asked.workers, asked.pictures)
        if asked.fingerprints:
            saved(clips, asked.fingerprints)
    results: dict[str, Any] = {}
    texts = []
    if clips:
        few = [one for one in clips if one.change in ("original", "mirrored", "rotated by 90 degrees")]
        results["default"], results["turned"] = judged(clips, Likeness()), judged(few, Likeness(turned=True))
        texts.append(markdown(results["default"], results["turned"]))
        for name in ("default", "turned"):
            print(name, "taken for copies:", *results[name]["wrong"], sep="\n  ")
        print(
            "missed:",
            *(
                f"{name}: {', '.join(row['missed'])}"
                for name, row in results["default"]["changes"].items()
                if row["missed"]
            ),
            sep="\n  ",
        )
    if asked.cost:
        results["cost"] = costs(asked.cost)
        texts.append(cost_table(results["cost"]))
    print("", *texts, sep="\n\n")
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "duplicates.json").write_text(json.dumps(results, indent=1))
        (asked.out / "duplicates.md").write_text("\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
