"""What the pages show of one clip beside its row of the catalog: a strip of frames, its labels over time, its events.

Everything here runs in a child process: it decodes videos that may come from anywhere.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Clip
from worldloom.report.actions import runs
from worldloom.report.pictures import spread

if TYPE_CHECKING:
    from worldloom.catalogs.dataset import ShardDataset

STRIP_WIDTH, STRIP_HEIGHT, GAP = 480, 90, 2
"""Pixels of a strip and between its frames (ours): twice what a narrow card shows, 8 kB as WebP on camera footage."""
MOST_FRAMES = 8
QUALITY = 70
"""Of the WebP, 0 to 100; at 70 a strip takes half of what JPEG takes at equal looks (by eye)."""
MOST_EVENTS = 64
"""Marks of one clip; more could not be told apart on a card."""


def look(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Open one clip and say what a page shows of it. Runs in the child.

    Args:
        payload: where the clip lies, see `open_clip`; `strip`: file to write the frames to, empty for none;
            `row`: whether to say its row of the catalog.

    Returns:
        `move` and `view` as `coded` labels (empty where there are none), `events`, `row` or None.

    Raises:
        BadInput: the clip or its frames cannot be read.
    """
    clip = open_clip(payload)
    if payload["strip"]:
        write_strip(clip, Path(payload["strip"]))
    return {
        "move": "" if clip.actions is None else coded(clip.actions.move),
        "view": "" if clip.actions is None else coded(clip.actions.view),
        "events": [[event.kind, event.first_hidden, event.first_visible] for event in clip.events[:MOST_EVENTS]],
        "row": catalog_row(clip) if payload["row"] else None,
    }


def open_clip(payload: Mapping[str, Any]) -> Clip:
    """The clip that a payload names, from a run's working folder or from a dataset.

    Args:
        payload: `key`, and either `out` with what `load_clip` takes (`record`, `operations`, `answers`), or `dataset`
            and `number` of its manifest; both where the run has packed the clip, whose mp4 may then lie there alone.
    """
    key = payload["key"]
    if not payload.get("out"):
        return _dataset(payload["dataset"], payload["number"]).get(key)
    from worldloom.pipeline.layout import Layout
    from worldloom.pipeline.workspace import load_clip

    clip = load_clip(Layout(payload["out"]), key, payload["record"], payload["operations"], payload["answers"])
    if payload.get("dataset") and isinstance(clip.video, Path) and not clip.video.exists():
        packed = _dataset(payload["dataset"], payload["number"])
        clip.video = packed.read(packed.keys.index(key), ["mp4"])["mp4"]
    return clip


@lru_cache(maxsize=2)
def _dataset(place: str, number: int) -> ShardDataset:
    from worldloom.catalogs.dataset import ShardDataset

    return ShardDataset(place, number=number)


def write_strip(clip: Clip, path: Path) -> None:
    """Write frames of a clip, evenly chosen, side by side as one WebP of `STRIP_WIDTH` by `STRIP_HEIGHT` pixels.

    The narrower the picture, the more frames; what does not fit a cell is cut off at its sides.

    Raises:
        BadInput: no frame can be read.
    """
    from PIL import Image

    cells = max(1, min(MOST_FRAMES, round(STRIP_WIDTH / (STRIP_HEIGHT * clip.width / max(1, clip.height)))))
    wanted = spread(clip.frames, cells)
    edges = np.linspace(0, STRIP_WIDTH + GAP, len(wanted) + 1).round().astype(int)
    sheet = Image.new("RGB", (STRIP_WIDTH, STRIP_HEIGHT), "white")
    with clip.open_frames() as frames:
        for index, left, right in zip(wanted, edges[:-1], edges[1:], strict=True):
            cell = _covering(np.asarray(frames[index]), int(right - left) - GAP, STRIP_HEIGHT)
            sheet.paste(Image.fromarray(cell), (int(left), 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=QUALITY, method=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(buffer.getvalue())
    draft.replace(path)


def _covering(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width, 3): the middle of a frame, as large as covers the cell."""
    from PIL import Image

    scale = max(width / rgb.shape[1], height / rgb.shape[0])
    size = (max(width, round(rgb.shape[1] * scale)), max(height, round(rgb.shape[0] * scale)))
    picture = Image.fromarray(rgb).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)))


def coded(labels: np.ndarray) -> str:
    """Labels as short text: a letter per stretch, `a` for 0 to `j` for 9, and how long it is where longer than one."""
    return "".join(
        f"{chr(97 + min(max(label, 0), 9))}{end - first if end - first > 1 else ''}"
        for first, end, label in runs(labels)
    )


def decoded(text: str) -> np.ndarray:
    """(T,) uint8: the inverse of `coded`; empty for what is no such text."""
    import re

    parts = re.findall(r"([a-j])(\d{0,7})", text)
    if "".join(letter + length for letter, length in parts) != text:
        return np.zeros(0, np.uint8)
    lengths = [int(length or 1) for _, length in parts]
    return np.repeat(np.array([ord(letter) - 97 for letter, _ in parts], np.uint8), lengths)


def shortened(text: str, cells: int) -> str:
    """`coded` labels as at most so many cells, each the commonest label of its frames; for a card, not for counting."""
    labels = decoded(text)
    if len(labels) <= cells:
        return text
    edges = np.linspace(0, len(labels), cells + 1).round().astype(int)
    cell = np.repeat(np.arange(cells), np.diff(edges))
    counts = np.bincount(10 * cell + labels, minlength=10 * cells).reshape(cells, 10)
    return coded(counts.argmax(axis=1))
