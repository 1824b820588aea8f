"""The card of a dataset: README.md and croissant.json, from the manifest, the catalog and a scorecard. Rebuildable."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldloom.catalogs.actions import MOVES, VIEWS
from worldloom.catalogs.card_figures import CardFigures, LabelFigures, card_figures
from worldloom.catalogs.croissant import croissant
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.manifest import Manifest, copy_latest, latest, local_file
from worldloom.catalogs.storage import Store, open_store

_MEMBERS = (
    ("mp4", "H.264, yuv420p, constant rate, key frames at most 1 s apart, no audio"),
    ("json", "the record: size, rate, captions, events, revisits, quality, who wrote each annotation, provenance"),
    ("camera.npz", "c2w (T,4,4) camera-to-world in OpenCV axes, intrinsics (T,4) in pixels, confidence, pts_s, up"),
    ("actions.npz", "move and view (T,) in 0..9, margins, the motion they came from"),
    ("subjects.npz", "id, label, box (S,T,4), visibility (S,T), position"),
    ("depth.npz", "z-depth of some frames: z = exp((log_steps - 1) * step) * smallest, 0 where unknown"),
    ("hands.npz", "joints in camera space, metres"),
)
_TOLD = {
    "manifest.json": re.compile(r'^ "number": (\d+)', re.MULTILINE),
    "README.md": re.compile(r" MB\)\. Manifest (\d{6,})\.$", re.MULTILINE),
    "croissant.json": re.compile(r'^ "version": "(\d+)\.', re.MULTILINE),
}
"""Where each derived file says which manifest it tells of."""
_SCORES = "scorecard.json"
_TEXTS = ("annotator", "measure", "truth", "unit", "n", "of", "target", "command")
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", "`": "'", **{sign: f"\\{sign}" for sign in "\\|[]!"}})
_LICENCE_ID = re.compile(r"[A-Za-z0-9.+-]+\Z")
_WITH_WEBDATASET = """import io, json
import numpy as np
import webdataset as wds

shards = [shard["path"] for shard in json.load(open("manifest.json"))["shards"]]
for sample in wds.WebDataset(shards, shardshuffle=False):
    record = json.loads(sample["json"])
    camera = np.load(io.BytesIO(sample["camera.npz"]), allow_pickle=False)
    video = sample.get("mp4")  # bytes of the file
    print(record["key"], record["frames"], sorted(camera.files))
"""
_WITH_WORLDLOOM = """from worldloom import ShardDataset

dataset = ShardDataset(".", where="frames > 1")
clip = dataset[0]
with clip.open_frames() as frames:
    print(clip.key, frames[0].shape, clip.annotations.keys())
"""


def write_card(dataset: Path | str, scorecard: Path | Mapping[str, Any] | None = None) -> str:
    """Write README.md, croissant.json and the copy of the manifest, all derived from what is committed.

    Args:
        dataset: its folder or `s3://bucket/prefix`.
        scorecard: as `worldloom scorecard` saves it (`rows` of figures), a path or its content; kept as
            `scorecard.json` beside the card, and used again when the card is rebuilt without one.

    Returns:
        Where the README is.

    Raises:
        UsageError: there is no dataset.
        BadInput: the manifest, catalog or scorecard is damaged.
    """
    store = open_store(dataset)
    manifest = latest(dataset)
    scores = _scores(store, scorecard)
    while True:
        figures = card_figures(local_file(store, manifest.catalog))
        licences = sorted({licence or "unknown" for licence in figures.licences})
        summary = _summary(manifest, figures)
        store.write("README.md", readme(manifest, figures, scores).encode())
        store.write("croissant.json", croissant(manifest, figures.schema, summary, licences).encode())
        if copy_latest(dataset) == manifest.number:
            return f"{store.place}/README.md"
        manifest = latest(dataset)  # of another committer, whose card this may have replaced


def stale_copies(dataset: Path | str) -> dict[str, int]:
    """Files that are derived from the manifest and do not tell of the latest one: a run or an edit was killed there.

    Args:
        dataset: its folder or `s3://bucket/prefix`.

    Returns:
        By name, the number of the manifest that it tells of; 0 where there is no such file. A file that tells of none
        is somebody's own and left out.
    """
    store = open_store(dataset)
    number = latest(dataset).number
    found = {}
    for name, pattern in _TOLD.items():
        try:
            told = pattern.search(store.read(name).decode(errors="replace"))
        except FileNotFoundError:
            found[name] = 0
            continue
        if told is not None and int(told[1]) != number:
            found[name] = int(told[1])
    return found


def renew_card(dataset: Path | str) -> None:
    """As `write_card`, where the card or the copy of the manifest is missing or out of date."""
    if stale_copies(dataset):
        write_card(dataset)


def readme(manifest: Manifest, figures: CardFigures, scores: Sequence[Mapping[str, Any]] = ()) -> str:
    """The card as Markdown.

    Args:
        manifest: of the dataset.
        figures: of its catalog.
        scores: rows of a scorecard; a table of label truth is added where there are any.
    """
    title = manifest.name or "A worldloom dataset"
    parts = [
        _front_matter(title, figures),
        f"# {_cell(title)}\n\n{_summary(manifest, figures)} Manifest {manifest.number:06d}.",
        "## What is in it\n\n" + _splits(manifest, figures),
        "## Labels\n\n" + _labels(figures),
        _actions(figures),
        "## Label truth\n\n" + _truth(scores) if scores else "",
        "## Sources and licences\n\n" + _sources(figures),
        "## Reading it\n\nEvery shard is a tar that plain WebDataset reads:\n\n"
        f"```python\n{_WITH_WEBDATASET}```\n\nor, with random access and SQL over the catalog:\n\n"
        f"```python\n{_WITH_WORLDLOOM}```",
        "## Members of a sample\n\n" + _table(["member", "content"], _MEMBERS),
        "Lengths compare only inside a `scale_group`; `scale` says whether they are metres. Action i moves frame i to "
        "frame i + 1; 9 is uncertain and is masked in training. `worldloom verify` checks every byte of this folder.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(manifest: Manifest, figures: CardFigures) -> str:
    size = sum(shard.bytes for shard in manifest.shards) / 1e6
    return (
        f"{figures.clips} clips, {figures.frames} frames, {_duration(figures.seconds)} of video with camera "
        f"paths, actions, events and their provenance, in {len(manifest.shards)} shards ({size:.1f} MB)."
    )


def _front_matter(title: str, figures: CardFigures) -> str:
    licences = sorted(figures.licences - {""})
    name = licences[0].lower() if len(licences) == 1 and _LICENCE_ID.match(licences[0]) else "other"
    lines = ["---", f"pretty_name: {json.dumps(title)}", f"license: {json.dumps(name)}"]
    return "\n".join([*lines, "tags: [video, world-model, webdataset, worldloom]", "---"])


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
                _duration(float(lengths.sum())),
                f"{lengths.min():.1f} / {np.median(lengths):.1f} / {lengths.max():.1f}",
                ", ".join(f"{width}x{height} ({count})" for (width, height), count in own.sizes.most_common(4)),
                ", ".join(f"{rate:g}" for rate in rates[:6]) + (" ..." if len(rates) > 6 else ""),
                len(shards),
                f"{sum(shard.bytes for shard in shards) / 1e6:.1f}",
            )
        )
    heads = ["split", "clips", "video", "seconds min / median / max", "size", "frames/s", "shards", "MB"]
    return _table(heads, lines)


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
    return _table(["label", "ok", "absent", "failed", "method", "why not", "figures"], lines)


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


def _actions(figures: CardFigures) -> str:
    """How often each of the ten classes occurs."""
    if figures.moves is None or figures.views is None:
        return ""
    moves, views = (100 * counts / max(1, counts.sum()) for counts in (figures.moves, figures.views))
    lines = [
        (number, move, f"{moves[number]:.1f}", view, f"{views[number]:.1f}")
        for number, (move, view) in enumerate(zip(MOVES, VIEWS, strict=True))
    ]
    return _table(["class", "move", "% of frames", "view", "% of frames"], lines)


def _truth(scores: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in scores:
        value = row.get("value")
        figure = "not measured" if value is None else f"{float(value):.4g} {row.get('unit', '')}".strip()
        on = f"{row.get('n', '')} {row.get('of', '')}, {row.get('truth', '')}".strip(" ,")
        lines.append((row.get("annotator", ""), row.get("measure", ""), figure, on, row.get("target", "")))
    commands = sorted({str(row["command"]) for row in scores if row.get("command")})
    text = "How far the methods that wrote these labels are from the truth, where the truth is known:\n\n"
    text += _table(["annotator", "measure", "value", "scored on", "target"], lines)
    return text + "".join(f"\n\nReproduce: {_code(command)}" for command in commands)


def _sources(figures: CardFigures) -> str:
    lines = [
        (kind, licence, one.clips, one.derived, one.files, _duration(one.seconds))
        for (kind, licence), one in sorted(figures.sources.items())
    ]
    return _table(["source", "licence", "clips", "of these derived", "files", "video"], lines)


def _scores(store: Store, scorecard: Path | Mapping[str, Any] | None) -> list[dict[str, Any]]:
    where = f"{store.place}/{_SCORES}"
    try:
        if isinstance(scorecard, Mapping):
            values = dict(scorecard)
        elif scorecard is not None:
            where = str(scorecard)
            values = json.loads(scorecard.read_text(encoding="utf-8"))
        elif store.exists(_SCORES):
            values = json.loads(store.read(_SCORES))
        else:
            return []
        found = [dict(row) for row in values["rows"]]
        for number, row in enumerate(found):
            _check_score(number, row)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        remedy = "Save it anew with worldloom scorecard, or remove it."
        raise BadInput("bad_scorecard", f"not a scorecard ({error})", where=where, remedy=remedy) from None
    if scorecard is not None:
        store.write(_SCORES, (json.dumps(values, indent=1, sort_keys=True) + "\n").encode())
    return found


def _check_score(number: int, row: Mapping[str, Any]) -> None:
    """Refuse a row that is none: a scorecard comes with its dataset, from wherever that came."""
    for name, value in row.items():
        if name == "value" and (isinstance(value, bool) or not isinstance(value, int | float | None)):
            raise ValueError(f"rows.{number}.value is {type(value).__name__}, a number or null expected")
        if name in _TEXTS and not isinstance(value, str | int | float | None):
            raise ValueError(f"rows.{number}.{name} is {type(value).__name__}, a text expected")
    if abs(row.get("value") or 0) > sys.float_info.max:
        raise ValueError(f"rows.{number}.value is too large")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _table(heads: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(_cell(value) for value in row) + " |" for row in rows)


def _cell(value: Any) -> str:
    """Text of others that stays inside its cell and carries no markup: no links, pictures, tags or entities."""
    return " ".join(str(value).split()).translate(_ESCAPED)


def _code(value: Any) -> str:
    """Text of others as code on one line, in which nothing but a backtick is markup."""
    text = " ".join(str(value).split()).replace("`", "'")
    return f"`{text}`"
