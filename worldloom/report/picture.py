"""One picture that sums up one annotated clip."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from worldloom.catalogs.clip import Clip
from worldloom.report.cards import ORDER, name_of, why_missing
from worldloom.report.figure import BAD, GOOD, INK, MUTED, figure, short, to_png
from worldloom.report.pictures import FrameStore, film_strip, spread
from worldloom.report.views import action_lanes, name_of_camera

if TYPE_CHECKING:
    from PIL import Image

WIDTH = 1800
GAP = 28


def annotate_picture(clip: Clip, path: Path, truth: Clip | None = None) -> Path:
    """Draw one clip with everything known about it: frames, path, actions, exits and entries, depth, revisits.

    What is absent is named with its reason.

    Args:
        clip: with its annotations.
        path: the PNG to write; its folder is made.
        truth: true annotations to draw beside, if known.

    Returns:
        `path`.
    """
    from PIL import Image

    store = FrameStore(clip, 480)
    inner = WIDTH - 2 * GAP
    frames = spread(clip.frames, 6)
    store.read(frames)
    strip = Image.fromarray(film_strip([store.or_grey(i) for i in frames]))
    left = inner * 34 // 100
    right = inner - left - GAP
    half = (inner - GAP) // 2
    rows = [
        [_fit(_opened(_header(clip)), inner, grow=False)],
        [_fit(strip, inner)],
        [_stacked([_path(clip, truth)], left), _stacked([_actions(clip, truth), _events(clip, truth, store)], right)],
        [_stacked([_depth(clip, truth, store)], half), _stacked([_revisits(clip, truth, store)], half)],
    ]
    sheet = _laid_out(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    path.write_bytes(buffer.getvalue())
    return path


def _laid_out(rows: list[list[Image.Image]]) -> Image.Image:
    from PIL import Image

    height = GAP + sum(max(part.height for part in row) + GAP for row in rows)
    sheet = Image.new("RGB", (WIDTH, height), "white")
    top = GAP
    for row in rows:
        left = GAP
        for part in row:
            sheet.paste(part, (left, top))
            left += part.width + GAP
        top += max(part.height for part in row) + GAP
    return sheet


def _stacked(pictures: list[bytes], width: int) -> Image.Image:
    from PIL import Image

    parts = [_fit(_opened(picture), width) for picture in pictures]
    column = Image.new("RGB", (width, sum(part.height for part in parts) + GAP * (len(parts) - 1)), "white")
    top = 0
    for part in parts:
        column.paste(part, (0, top))
        top += part.height + GAP
    return column


def _opened(png: bytes) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(png)).convert("RGB")


def _fit(picture: Image.Image, width: int, grow: bool = True) -> Image.Image:
    from PIL import Image

    if picture.width == width or (not grow and picture.width < width):
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _header(clip: Clip) -> bytes:
    order = sorted(clip.annotations, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    with figure(WIDTH / 160, 0.62) as drawn:
        drawn.text(0, 0.78, short(name_of(clip), 90), fontsize=14, color=INK, va="center")
        size = f"{clip.width}×{clip.height}, {float(clip.fps):.4g} frames/s"
        drawn.text(0, 0.4, f"{clip.key}   {clip.seconds:.1f} s, {size}", fontsize=8, color=MUTED, va="center")
        for number, name in enumerate(order):
            status = clip.annotations[name].status
            sign, colour = {"ok": ("●", GOOD), "absent": ("○", MUTED)}.get(status, ("●", BAD))
            text = f"{sign} {name}" + ("" if status == "ok" else f" {status}")
            drawn.text(number * 0.125, 0.06, text, fontsize=8, color=colour, va="center")
        drawn.text(0.994, 0.06, ".", color="white")  # keeps the full width when the picture is cropped to its content
        return to_png(drawn, pad=0)


def _path(clip: Clip, truth: Clip | None) -> bytes:
    from worldloom.report.paths import paths_from_above

    true_camera = truth.camera if truth is not None else None
    if clip.camera is None and true_camera is None:
        return _said("camera path", why_missing(clip, "pose"), 4.2, 1.6)
    return paths_from_above(clip.camera, true_camera, name=name_of_camera(clip))


def _actions(clip: Clip, truth: Clip | None) -> bytes:
    from worldloom.report.actions import action_strip

    lanes = action_lanes(clip, truth)
    return action_strip(lanes, float(clip.fps)) if lanes else _said("actions", why_missing(clip, "actions"))


def _events(clip: Clip, truth: Clip | None, store: FrameStore) -> bytes:
    from worldloom.report.timeline import event_timeline

    if clip.subjects is None:
        return _said("exits and entries", why_missing(clip, "subjects", "events"))
    return event_timeline(clip, truth if truth is not None and truth.subjects is not None else None, store)


def _depth(clip: Clip, truth: Clip | None, store: FrameStore) -> bytes:
    from worldloom.report.depth import depth_pair, shown_frame

    true_depth = truth.depth if truth is not None else None
    frame = shown_frame(clip.depth, true_depth)
    if frame is None:
        return _said("depth", why_missing(clip, "depth"), 7.0)
    return depth_pair(store.one(frame), clip.depth, true_depth, frame)


def _revisits(clip: Clip, truth: Clip | None, store: FrameStore) -> bytes:
    from worldloom.report.loops import revisit_loop

    if clip.revisits is None:
        return _said("revisits", why_missing(clip, "revisits"), 7.0)
    return revisit_loop(clip, truth.revisits if truth is not None else None, store=store)


def _said(what: str, reason: str, width: float = 9.0, height: float = 0.9) -> bytes:
    """A box with the reason why there is no picture."""
    import textwrap

    with figure(width, height) as drawn:
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_linestyle((0, (4, 3)))
        lines = "\n".join(textwrap.wrap(short(reason, 200), int(width * 12)))
        axes.text(0.5, 0.5, lines, ha="center", va="center", fontsize=9, color=MUTED)
        axes.set_title(what, color=INK)
        return to_png(drawn)
