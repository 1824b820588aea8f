"""What becomes of odd files: the real ones, and those that tests/pipeline/oddities.py makes, in one job.

    python benchmarks/oddities.py                         # ../shared/data/odd where it is, and the made ones
    python benchmarks/oddities.py --real PATH --out table.md

Every file is a row of the ledger, with its reason or with its clip (`min_seconds: 0`). Beside a clip stands what
ffprobe (where it is installed) decodes of the same stream: number of frames, size of the upright picture, first and
last time; and by how much the clip's source times are off from the nearest of ffprobe's, frame by frame.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, ROOT)

from tests.pipeline.oddities import MAKERS, ffprobe_times, make_all  # noqa: E402
from worldloom.pipeline.run import run_job  # noqa: E402
from worldloom.pipeline.settings import Job  # noqa: E402
from worldloom.pipeline.workspace import Workspace  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description="What becomes of odd files?")
    parser.add_argument("--real", type=Path, default=Path(ROOT).parent / "shared" / "data" / "odd")
    parser.add_argument("--out", type=Path, help="also write the table here, as Markdown")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oddities-") as scratch:
        made = Path(scratch, "made")
        expected = make_all(made)
        folders = [made, *([args.real] if args.real.is_dir() else [])]
        rows = [row for folder in folders for row in _rows(folder, Path(scratch, f"run-{folder.name}"))]
    whats = {name: one.what for name, one in expected.items()}
    lines = ["| file | what | becomes | ffprobe | agree |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        name = " ".join(row["name"].split())
        lines.append(f"| {name} | {whats.get(row['name'], '')} | {row['ours']} | {row['theirs']} | {row['agree']} |")
    table = "\n".join(lines)
    print(table)
    counted = [row["agree"] for row in rows]
    print(
        f"\n{len(rows)} files ({len(MAKERS)} made): {sum('clip' in row['ours'] for row in rows)} give clips, "
        f"{sum('clip' not in row['ours'] for row in rows)} a reason; of the clips {counted.count('yes')} agree with "
        f"ffprobe, {sum(one.startswith('NO') for one in counted)} do not"
    )
    if args.out:
        args.out.write_text(table + "\n", encoding="utf-8")


def _rows(folder: Path, out: Path) -> list[dict[str, str]]:
    """A row per file: run the job, then ask its ledger and its clips."""
    rules = {"min_seconds": 0, "shots": False}
    source = {"kind": "folder", "path": str(folder), "licence": "unknown"}
    job = Job.model_validate({"name": "odd", "out": str(out), "sources": [source], "ingest": rules})
    run_job(job)
    workspace = Workspace(out)
    lost = {entry.item.split(":", 2)[-1]: entry for entry in workspace.problems() if entry.operation == "ingest"}
    clips: dict[str, list[Any]] = {}
    for key in workspace.clips():
        clip = workspace.load(key)
        clips.setdefault(clip.provenance.uri, []).append(clip)
    found = []
    for path in sorted(folder.iterdir()):
        if path.name in lost:
            entry = lost[path.name]
            found.append({
                "name": path.name, "ours": f"{entry.status}: {entry.reason}", "theirs": "", "agree": "",
            })  # fmt: skip
            continue
        if path.name not in clips:
            found.append({"name": path.name, "ours": "the bytes of a file before it", "theirs": "", "agree": ""})
        for clip in clips.get(path.name, ()):
            found.append({"name": path.name, **_compared(path, clip)})
    return found


def _compared(path: Path, clip: Any) -> dict[str, str]:
    notes = clip.annotations["ingest"].notes
    damage = f", {clip.quality['damaged']:.0f} damaged" if "damaged" in clip.quality else ""
    stopped = f", ends early ({notes['error']})" if "error" in notes else ""
    ours = (
        f"clip of {clip.frames} frames at {float(clip.fps):.4g}/s, {clip.width} x {clip.height}, "
        f"{clip.pts_s[0]:.3f} to {clip.pts_s[-1]:.3f} s{damage}{stopped}"
    )
    if not shutil.which("ffprobe"):
        return {"ours": ours, "theirs": "not installed", "agree": ""}
    times = ffprobe_times(path, clip.provenance.stream)
    if times is None:
        return {"ours": ours, "theirs": "no frame", "agree": "NO"}
    width, height, turned = _shown_size(path, clip.provenance.stream)
    how = f" (turned {turned})" if turned else ""
    theirs = f"{len(times)} frames, {width} x {height}{how}, {times[0]:.3f} to {times[-1]:.3f} s"
    off = np.abs(np.array(times)[None] - clip.pts_s[:, None]).min(axis=1).max()
    rate = float(clip.fps)
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 1 / rate
    wanted = max(1, int((times[-1] - times[0] + usual) * rate + 1e-3))
    size = abs(width - clip.width) <= 1 and abs(height - clip.height) <= 1
    agree = off < 2e-3 and size and (clip.frames == wanted or bool(damage or stopped))
    return {"ours": ours, "theirs": theirs, "agree": "yes" if agree else f"NO (off {off:.3f} s, {wanted} wanted)"}


def _shown_size(path: Path, stream: int) -> tuple[int, int, int]:
    """Size of the upright picture with square pixels, and by how much it is turned, as ffprobe sees it."""
    command = [
        "ffprobe", "-v", "quiet", "-select_streams", str(stream), "-show_entries",
        "stream=width,height,sample_aspect_ratio:stream_side_data=rotation", "-of", "json", f"file:{path}",
    ]  # fmt: skip
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout)
    told = answer["streams"][0]
    turned = next((int(one["rotation"]) for one in told.get("side_data_list", []) if "rotation" in one), 0)
    width, height = told["width"], told["height"]
    across, down = (int(part) for part in told.get("sample_aspect_ratio", "1:1").split(":"))
    if across and down and across != down:
        width, height = (width * across // down, height) if across < down else (width, height * down // across)
    return (height, width, turned) if turned % 180 else (width, height, turned)


if __name__ == "__main__":
    main()
