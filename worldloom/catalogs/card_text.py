"""The text of a card: what is in a dataset, how good it is, where it comes from, and what it may be used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.catalogs.card_figures import CardFigures, LabelFigures, Spread
from worldloom.catalogs.card_header import front_matter
from worldloom.catalogs.catalog_row import OPERATIONS
from worldloom.catalogs.licences import is_stated, known_licence, terms
from worldloom.catalogs.manifest import Manifest
from worldloom.catalogs.markdown import bullets, cell, code, table

MEMBERS = (
    ("mp4", "H.264, yuv420p, constant rate, key frames at most 1 s apart, no audio"),
    ("json", "the record: size, rate, captions, events, revisits, quality, who wrote each annotation, provenance"),
    ("camera.npz", "c2w (T,4,4) camera-to-world in OpenCV axes, intrinsics (T,4) in pixels, confidence, pts_s, up"),
    ("actions.npz", "move and view (T,) in 0..9, margins, the motion they came from"),
    ("subjects.npz", "id, label, box (S,T,4), visibility (S,T), position"),
    ("depth.npz", "z-depth of some frames: z = exp((log_steps - 1) * step) * smallest, 0 where unknown"),
    ("hands.npz", "joints in camera space, metres"),
)
CITATIONS = {
    "realestate10k": "T. Zhou, R. Tucker, J. Flynn, G. Fyffe, N. Snavely: Stereo Magnification: Learning View "
    "Synthesis using Multiplane Images. SIGGRAPH 2018. https://google.github.io/realestate10k",
    "egodex": "R. Hoque, P. Huang, D. J. Yoon, M. Sivapurapu, J. Zhang: EgoDex: Learning Dexterous Manipulation from "
    "Large-Scale Egocentric Video. 2025. arXiv:2505.11709",
    "hydra": "K. Chen, D. Liang, X. Zhou, Y. Ding, X. Liu, P. Wan, X. Bai: Out of Sight but Not Out of Mind: Hybrid "
    "Memory for Dynamic Video World Models. 2026. arXiv:2603.25716",
    "worlds": "rendered by worldloom itself; nobody's footage",
}
"""What to cite for the clips of a source, by its kind."""
CITATIONS["hm_world"] = CITATIONS["hydra"]

WITH_WEBDATASET = """import io, json
import numpy as np
import webdataset as wds

shards = [shard["path"] for shard in json.load(open("manifest.json"))["shards"]]
for sample in wds.WebDataset(shards, shardshuffle=False):
    record = json.loads(sample["json"])
    camera = np.load(io.BytesIO(sample["camera.npz"]), allow_pickle=False)
    video = sample.get("mp4")  # bytes of the file
    print(record["key"], record["frames"], sorted(camera.files))
"""
WITH_WORLDLOOM = """from worldloom import ShardDataset

dataset = ShardDataset(".", where="frames > 1")
clip = dataset[0]
with clip.open_frames() as frames:
    print(clip.key, frames[0].shape, clip.annotations.keys())
"""
_FEW_SHARE = 0.5
"""Labels that less than this share of the clips have are named as gaps (ours)."""


def readme(
    manifest: Manifest,
    figures: CardFigures,
    scores: Sequence[Mapping[str, Any]] = (),
    left_out: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The card as Markdown.

    Args:
        manifest: of the dataset.
        figures: of its catalog.
        scores: rows of a scorecard; a table of label truth is added where there are any.
        left_out: what the run did not take: `pass`, `ended`, `reason` and number of `rows`.
    """
    title = manifest.name or "A worldloom dataset"
    parts = [
        front_matter(manifest, figures),
        f"# {cell(title)}\n\n{summary(manifest, figures)} Manifest {manifest.number:06d}.",
        "## What is in it\n\n" + _splits(manifest, figures),
        _split_word(figures),
        "## Labels\n\n" + _labels(figures),
        _actions(figures),
        "## Figures of the clips\n\n" + _spreads(figures) if figures.spreads else "",
        "## Attributes\n\n" + _attributes(figures) if figures.attributes else "",
        "## Label truth\n\n" + _truth(scores) if scores else "",
        "## Sources and licences\n\n" + _sources(figures),
        _licences(figures),
        "## How to cite\n\n" + _citations(manifest, figures),
        "## Left out\n\n" + _left_out(left_out) if left_out else "",
        "## Known gaps\n\n" + bullets(gaps(figures, scores)),
        "## Reading it\n\nEvery shard is a tar that plain WebDataset reads:\n\n"
        f"```python\n{WITH_WEBDATASET}```\n\nor, with random access and SQL over the catalog:\n\n"
        f"```python\n{WITH_WORLDLOOM}```",
        "## Members of a sample\n\n" + table(["member", "content"], MEMBERS),
        "Lengths compare only inside a `scale_group`; `scale` says whether they are metres. Action i moves frame i to "
        "frame i + 1; 9 is uncertain and is masked in training. `worldloom verify` checks every byte of this folder.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(manifest: Manifest, figures: CardFigures) -> str:
    """One sentence about the whole."""
    size = sum(shard.bytes for shard in manifest.shards) / 1e6
    return (
        f"{figures.clips} clips, {figures.frames} frames, {_duration(figures.seconds)} of video with camera "
        f"paths, actions, events and their provenance, in {len(manifest.shards)} shards ({size:.1f} MB)."
    )


def _splits(manifest: Manifest, figures: CardFigures) -> str:
    lines = []
    for split, own in sorted(figures.splits.items()):
        shards = [shard for shard in manifest.shards if shard.split == split]
        rates = sorted({round(rate, 3) for rate in own.rates})
        lengths = own.seconds
        lines.append(
            (
                split,
                len(lengths),
                own.frames,
                _duration(float(lengths.sum())),
                f"{lengths.min():.1f} / {np.median(lengths):.1f} / {lengths.max():.1f}",
                ", ".join(f"{width}x{height} ({count})" for (width, height), count in own.sizes.most_common(4)),
                ", ".join(f"{rate:g}" for rate in rates[:6]) + (" ..." if len(rates) > 6 else ""),
                len(shards),
                f"{sum(shard.bytes for shard in shards) / 1e6:.1f}",
            )
        )
    heads = ["split", "clips", "frames", "video", "seconds min / median / max", "size", "frames/s", "shards", "MB"]
    return table(heads, lines)


def _labels(figures: CardFigures) -> str:
    lines = [
        (
            name,
            label.status["ok"],
            label.status["absent"],
            label.status["failed"],
            ", ".join(method for method, _ in label.methods.most_common(3)),
            ", ".join(f"{reason} ({count})" for reason, count in label.reasons.most_common(3)),
            _highlight(name, label),
        )
        for name, label in figures.labels.items()
    ]
    return table(["label", "ok", "absent", "failed", "method", "why not", "figures"], lines)


def _highlight(name: str, label: LabelFigures) -> str:
    """What one wants to know first of an operation."""
    if name == "pose":
        return ", ".join(f"{scale} {count}" for scale, count in label.scales.most_common())
    if name == "events":
        return f"{label.totals['count']} events, {label.totals['pairs']} exit-entry pairs"
    if name == "revisits":
        return f"{label.totals['pairs']} pairs, mean density {label.means['density']:.2f}"
    if name == "actions":
        return f"{100 * label.means['uncertain_share']:.0f} % of moves uncertain"
    if name in ("subjects", "captions"):
        return f"{label.totals['count']}"
    return f"{label.totals['frames']} frames" if name == "depth" else ""


def _split_word(figures: CardFigures) -> str:
    if len(figures.splits) < 2:
        return ""
    if figures.leaks:
        return (
            f"**Clips of one source, or derived from one another, lie in several splits ({figures.leaks} times)**: a "
            "model would be tested on what it was trained on. `worldloom verify` names them."
        )
    return "No source file, no address and no clip with what was derived from it has clips in two splits."


def _actions(figures: CardFigures) -> str:
    """How often each of the ten classes occurs, in each split."""
    splits = sorted(figures.moves.keys() | figures.views.keys())
    if not splits:
        return ""
    heads, columns = ["class"], [[str(number) for number in range(len(MOVES))]]
    for name, words, counts in (("move", MOVES, figures.moves), ("view", VIEWS, figures.views)):
        heads += [name, *(f"% of {split}" for split in splits)]
        columns.append(list(words))
        for split in splits:
            own = counts.get(split, np.zeros(len(words)))
            columns.append([f"{share:.1f}" for share in 100 * own / max(1, own.sum())])
    return table(heads, zip(*columns, strict=True))


def _spreads(figures: CardFigures) -> str:
    lines = [
        (name, one.clips, *(f"{value:.4g}" for value in (one.low, one.first, one.median, one.third, one.high)))
        for name, one in figures.spreads.items()
    ]
    return table(["figure", "clips", "smallest", "25 %", "median", "75 %", "largest"], lines)


def _attributes(figures: CardFigures) -> str:
    lines = [
        (
            name,
            one.clips,
            one.different,
            _range(one.spread) if one.spread else ", ".join(f"{_short(value)} ({n})" for value, n in one.commonest),
        )
        for name, one in figures.attributes.items()
    ]
    return table(["attribute", "clips", "different values", "commonest, or range and median"], lines)


def _range(spread: Spread) -> str:
    return f"{spread.low:.4g} to {spread.high:.4g}, {spread.median:.4g}"


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _truth(scores: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in scores:
        value = row.get("value")
        figure = "not measured" if value is None else f"{float(value):.4g} {row.get('unit', '')}".strip()
        on = f"{row.get('n', '')} {row.get('of', '')}, {row.get('truth', '')}".strip(" ,")
        lines.append((row.get("annotator", ""), row.get("measure", ""), figure, on, row.get("target", "")))
    commands = sorted({str(row["command"]) for row in scores if row.get("command")})
    text = "How far the methods that wrote these labels are from the truth, where the truth is known:\n\n"
    text += table(["annotator", "measure", "value", "scored on", "target"], lines)
    return text + "".join(f"\n\nReproduce: {code(command)}" for command in commands)


def _sources(figures: CardFigures) -> str:
    lines = [
        (kind, licence, one.clips, one.derived, one.files, _duration(one.seconds))
        for (kind, licence), one in sorted(figures.sources.items())
    ]
    return table(["source", "licence", "clips", "of these derived", "files", "video"], lines)


def _licences(figures: CardFigures) -> str:
    """What each licence says about passing clips on, and a warning where one forbids it."""
    clips: dict[str, int] = {}
    kinds: dict[str, set[str]] = {}
    for (kind, licence), one in figures.sources.items():
        clips[licence] = clips.get(licence, 0) + one.clips
        kinds.setdefault(licence, set()).add(kind)
    lines = []
    for stated in sorted(clips):
        found = known_licence(stated)
        lines.append((stated, clips[stated], *terms(stated), found.url if found else ""))
    heads = ["licence", "clips", "adapted copies may be passed on", "commercial use", "name the makers", "text"]
    parts = [
        table(heads, lines),
        "A summary by the licences' names, no legal advice; a source may have terms beyond it.",
    ]
    for stated in sorted(clips):
        found = known_licence(stated)
        if found is not None and found.adapted == "no":
            of = ", ".join(sorted(map(cell, kinds[stated])))
            parts.append(
                f"> **Do not pass on what is under {cell(stated)} ({of}; clips: {clips[stated]}).** It allows no "
                "adapted copies, and a clip is one: cut, encoded anew and labelled. Share the job that made this "
                "dataset, and let others run it on their own copy."
            )
        if not is_stated(stated):
            parts.append(
                f"> **Nobody stated the licence of some clips ({clips[stated]}).** Find out before this leaves your "
                "hands."
            )
    return "\n\n".join(parts)


def _citations(manifest: Manifest, figures: CardFigures) -> str:
    kinds = sorted({kind for kind, _ in figures.sources})
    lines = [f"{code(kind)}: {CITATIONS[kind]}" for kind in kinds if kind in CITATIONS]
    others = [kind for kind in kinds if kind not in CITATIONS]
    if others:
        named = ", ".join(map(code, others))
        lines.append(f"{named}: the makers of the files, whose addresses stand in the catalog (`source.uri`)")
    lines.append(
        f"this dataset: its name, the number of the manifest ({manifest.number}) and the digest of the catalog "
        f"({code(manifest.catalog.sha256[:16])}), which together say exactly which clips"
    )
    return bullets(lines)


def _left_out(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [(row.get("pass", ""), row.get("ended", ""), row.get("reason", ""), row.get("rows", "")) for row in rows]
    text = "What the last run that packed here did not take, and why; ingest counts files, the other passes clips:\n\n"
    return text + table(["pass", "ended", "reason", "rows"], lines)


def gaps(figures: CardFigures, scores: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """What somebody should know before relying on it, a line each."""
    if not figures.clips:
        return ["there are no clips"]
    lines = []
    never = [name for name in OPERATIONS if name not in figures.labels and name != "shots"]
    if never:
        lines.append(f"no clip has {', '.join(never)}: they were not asked for")
    for name, label in figures.labels.items():
        if (ok := label.status["ok"]) < _FEW_SHARE * figures.clips:
            lines.append(f"only {ok} of {figures.clips} clips have {code(name)}")
        if failed := label.status["failed"]:
            lines.append(f"{code(name)} failed on {failed} clips; `worldloom run --retry` tries again")
    if (pose := figures.labels.get("pose")) and (other := sum(pose.scales.values()) - pose.scales["metric"]):
        lines.append(f"{other} camera paths are not in metres: lengths do not compare between those clips")
    if len(figures.splits) == 1:
        lines.append(f"there is one split only, {code(next(iter(figures.splits)))}: nothing is held out")
    if not scores:
        lines.append("nobody scored these labels against a truth; `worldloom scorecard` does")
    return lines or ["none that the figures above do not tell"]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
