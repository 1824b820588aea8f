"""How well `quality.text` tells clips with something drawn over them from clips without.

    python benchmarks/overlays.py [--worlds 24]

The clips of `benchmarks/duplicates.py`, each as it is, with white words that have a black edge over the lower fifth,
and with a small bright badge in a corner. Found: the figure is over the threshold of the rule `overlaid_text`, 0.004,
or over others. Clips count as moving where `quality.motion` is over 0.03 picture widths per second; of the others
nothing can be told.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import tempfile
from pathlib import Path

import numpy as np
from duplicates import Footage, real_footage, rendered_footage, with_caption, with_logo

from worldloom.annotators.quality import QualityAnnotator
from worldloom.catalogs.clip import Clip, Provenance
from worldloom.catalogs.video import encode_frames

MOVES = 0.03


def figures(one: Footage, frames: np.ndarray) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "clip.mp4")
        encode_frames(video, iter(frames), one.fps, crf=20)
        count, height, width = frames.shape[:3]
        times = np.arange(count) / float(one.fps)
        origin = Provenance("folder", one.name, "0" * 64)
        answer = QualityAnnotator().annotate(
            Clip("a" * 26, one.fps, count, height, width, times, origin, video=video), Path(folder)
        )
    return dict(answer.value)  # type: ignore[union-attr]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=24)
    asked = parser.parse_args()
    root = Path(os.environ.get("WORLDLOOM_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")
    rows = []
    for footage in (rendered_footage(asked.worlds), real_footage(root)):
        for one in footage:
            bare = figures(one, one.frames)
            text = [figures(one, change(one.frames))["text"] for change in (with_caption, with_logo)]
            rows.append((bare["motion"] > MOVES, bare["text"], *text))
            print(f"  {one.name:32} motion {bare['motion']:.3f}, text {bare['text']:.4f}, {text[0]:.4f}, {text[1]:.4f}")
    table = np.array(rows, float)
    moving = table[table[:, 0] > 0]
    print(f"\n{len(moving)} of {len(table)} clips move")
    print("| threshold | moving, bare | moving, words | moving, badge | still, words or badge | precision |")
    print("|---|---|---|---|---|---|")
    for threshold in (0.002, 0.004, 0.01, 0.02):
        over = table[:, 1:] > threshold
        m, s = over[table[:, 0] > 0], over[table[:, 0] == 0]
        right, wrong = int(over[:, 1:].sum()), int(over[:, 0].sum())
        cells = [f"{int(m[:, k].sum())} of {len(m)}" for k in range(3)]
        still = f"{int(s[:, 1:].sum())} of {2 * len(s)}"
        share = f"{100 * right / max(1, right + wrong):.0f} %"
        print(f"| {threshold} | {' | '.join(cells)} | {still} | {share} |")


if __name__ == "__main__":
    main()
