"""`inspect` at 10,000 clips: how long its pages take to write, how large they are, and how soon a browser shows them.

    python benchmarks/inspect_load.py                    10,000 clips against 100, three loads each, in turns
    python benchmarks/inspect_load.py --clips 2000

The datasets are made up: every clip is one of a few small videos with rows, labels and figures of its own; the shards
are not there, so that what is measured is the pages. Strips of frames are copies of a few real ones, a file per clip,
as `inspect` leaves them. Loading is timed in headless Chromium, where there is one, from the navigation to the page
that has counted and drawn everything (`performance.now()` of the page itself), and so are a filter, a sort and a jump
through the gallery, each to the frame after it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.report.browser import PROGRAMS, Browser
from worldloom.pipeline.progress import Silent
from worldloom.report.collection import Collection, Sight
from worldloom.report.site import write
from worldloom.report.site.clip_pages import Pages
from worldloom.report.site.look import coded, write_strip
from worldloom.report.site.looks import Look, Looked, look_at_all, strip_name

STRIPS = 16
ENDS = [("ok", ""), ("absent", "too_little_parallax"), ("absent", "no_texture_to_track"), ("failed", "timeout")]
SCORES = ("sharpness", "brightness", "contrast", "motion", "still")
ROUNDS = 3


def strips(folder: Path) -> list[Path]:
    """Strips of frames of generated videos, as `inspect` makes them."""
    from tests.report.fake_clips import DrawnClip, true_clip

    made = []
    for number in range(STRIPS):
        clip = true_clip()
        clip.__class__ = DrawnClip
        made.append(folder / f"{number}.webp")
        write_strip(clip, made[-1])
    return made


def row(rng: np.random.Generator, number: int) -> tuple[dict[str, Any], Look]:
    """A row of the catalog and what a look says, with the variety that a dataset of many sources has."""
    frames = int(rng.integers(32, 900))
    labels = [np.repeat(rng.integers(0, 10, frames // 20 + 1), 20)[:frames] for _ in range(2)]
    ends = {name: ENDS[rng.choice(4, p=[0.8, 0.1, 0.06, 0.04])] for name in ("pose", "actions", "depth", "revisits")}
    who = {name: {"status": status, "reason": reason, "method": "generated", "version": "1", "confidence": rng.random()}
           for name, (status, reason) in ends.items()}  # fmt: skip
    counts = [np.bincount(one, minlength=10).tolist() for one in labels]
    key = np.base_repr(int(rng.integers(2**62)), 32).lower().rjust(26, "a")[:26]
    values: dict[str, Any] = {
        "key": key, "split": "test" if number % 10 == 0 else "train", "fps": 16.0, "frames": frames, "height": 480,
        "width": 832, "seconds": frames / 16, "caption": f"walk {number} through a hall with {number % 97} doors",
        "parents": [], "crc32": {},
        "source": {"kind": ("folder", "web", "egodex")[number % 3], "uri": f"walks/{number // 4:05d}/clip {number}.mp4",
                   "licence": ("CC-BY-4.0", "CC0-1.0", "")[number % 3], "sha256": f"{number:064x}", "retrieved_at": ""},
        "quality": {"status": "ok", "reason": "", "method": "pixels", "version": "3", "confidence": 1.0}
        | {name: round(float(rng.beta(2, 5)), 6) for name in SCORES},
        **who,
        "events": {"status": "ok", "reason": "", "count": int(rng.poisson(3)), "pairs": int(rng.poisson(0.5))},
        "attributes": {"scene": f"scene {number % 40}", "views": float(rng.integers(1, 10**6))},
    }  # fmt: skip
    values["actions"] |= {
        "move": counts[0],
        "view": counts[1],
        "uncertain_share": round(float(np.mean(labels[0] == 9)), 6),
    }
    values["revisits"] |= {"density": round(float(rng.random()), 6)}
    events = [["pair", int(frames * 0.2), int(frames * 0.5)]] * (number % 3)
    return values, Look(f"{number}", "", coded(labels[0]), coded(labels[1]), events)


def make_site(folder: Path, clips: int) -> dict[str, float]:
    """Write the site of a made-up dataset: seconds and megabytes."""
    rng = np.random.default_rng(0)
    pictures = strips(folder / "pictures")
    rows, looks, sights = [], {}, []
    for number in range(clips):
        one, look = row(rng, number)
        sight = Sight(one["key"], {}, f"{number}", f"{number}")
        look.strip = strip_name(sight)
        place = folder / "site" / "thumbs" / look.strip
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pictures[number % STRIPS], place)
        rows.append(one)
        looks[one["key"]] = look
        sights.append(sight)
    rows.sort(key=lambda one: one["key"])
    collection = Collection("runs/made", "dataset", "made", sights, {}, lambda _: None)  # type: ignore[arg-type,return-value]
    looked, menu = Looked(looks, 0, 0, Counter()), [{"href": "index.html", "title": "Overview", "count": ""}]
    (folder / "site" / "cache").mkdir(parents=True, exist_ok=True)
    write.copy_assets(folder / "site")
    started = time.perf_counter()
    write.write_overview(collection, rows, looked, Pages({}, 0, Counter(), {}), [], menu, folder / "site")
    wrote = time.perf_counter() - started
    data = (folder / "site" / "data" / "clips.js").stat().st_size
    thumbs = sum(file.stat().st_size for file in (folder / "site" / "thumbs").rglob("*.webp"))
    return {"write_s": wrote, "again_s": known_again(folder / "site", sights, looks), "data_mb": data / 1e6,
            "page_mb": (folder / "site" / "index.html").stat().st_size / 1e6, "strips_mb": thumbs / 1e6}  # fmt: skip


def known_again(site: Path, sights: list[Sight], looks: dict[str, Look]) -> float:
    """Seconds that the looks of a second run take, where nothing is opened."""
    from worldloom.report.site import looks as module

    module._write(site / "cache" / "looks.jsonl", {
        sight.key: Look(**asdict(looks[sight.key]) | {"stamp": module._digest(sight.stamp)}) for sight in sights
    })  # fmt: skip
    started = time.perf_counter()
    looked = look_at_all(sights, site, Silent())
    assert (looked.opened, looked.decoded) == (0, 0)
    return time.perf_counter() - started


NEXT_FRAME = "await new Promise(done => requestAnimationFrame(() => setTimeout(done)));"
STEPS = {
    "filter": "const box = document.querySelector('#side input'); box.click();",
    "search": "const s = document.getElementById('search'); s.value = 'doors 4'; s.dispatchEvent(new Event('input'));"
    "await new Promise(done => setTimeout(done, 121));",
    "sort": "const s = document.getElementById('sort'); s.value = 'quality.sharpness';"
    "s.dispatchEvent(new Event('change'));",
    "jump": "scrollTo({top: document.body.scrollHeight / 2, behavior: 'instant'});",
}


def load(browser: Browser, site: Path) -> dict[str, float]:
    """Milliseconds until the page is ready, and of what one does in it."""
    browser.open(site / "index.html")
    found = {"ready": float(browser.until("document.documentElement.dataset.ready"))}
    for name, step in STEPS.items():
        waited = 121.0 if name == "search" else 0.0
        expression = (
            f"(async () => {{ const t = performance.now(); {step} {NEXT_FRAME} return performance.now() - t }})()"
        )
        found[name] = float(browser.ask(expression)) - waited
    found["cards"] = float(browser.ask("document.querySelectorAll('#gallery .clip').length"))
    found["heap_mb"] = float(browser.ask("performance.memory.usedJSHeapSize")) / 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--baseline", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="for programs")
    asked = parser.parse_args()
    sizes = [asked.baseline, asked.clips]
    with tempfile.TemporaryDirectory(prefix="worldloom-inspect-") as scratch:
        made = {size: make_site(Path(scratch, str(size)), size) for size in sizes}
        loaded: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
        if any(shutil.which(name) for name in PROGRAMS):
            for number in range(ROUNDS):
                for size in sizes if number % 2 == 0 else sizes[::-1]:
                    with Browser() as browser:
                        loaded[size].append(load(browser, Path(scratch, str(size), "site")))
    results = {
        size: made[size]
        | {name: statistics.median(one[name] for one in loaded[size]) for name in (loaded[size] or [{}])[0]}
        for size in sizes
    }
    if asked.json:
        print(json.dumps(results, indent=1))
        return
    print(f"{'':24}{sizes[0]:>12,}{sizes[1]:>12,}{'times':>10}")
    for name in results[sizes[0]]:
        few, many = results[sizes[0]][name], results[sizes[1]][name]
        unit = "" if name.endswith(("_s", "_mb")) or name == "cards" else " ms"
        print(f"{name + unit:24}{few:>12.3f}{many:>12.3f}{many / few if few else float('nan'):>10.1f}")
    if not loaded[sizes[0]]:
        print("no browser here: loading was not timed")


if __name__ == "__main__":
    main()
