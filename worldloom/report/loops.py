"""Revisits: how much each frame sees again of each other one, and two pictures of the same place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from worldloom.catalogs.clip import Clip, Revisits
from worldloom.report.figure import ESTIMATE, INK, MUTED, TRUTH, figure, hatch_background, quiet, to_png
from worldloom.report.pictures import FrameStore

MOST_PAIRS = 2
MOST_ROWS = 40
MAP_WIDTH = 80


def overlap_of(clip: Clip) -> tuple[np.ndarray, np.ndarray] | None:
    """Overlap matrix (N, N) of a clip and the frames (N,) it stands for; None without a camera.

    From depth where there is depth at several frames, else from the poses alone. Made for the eye: at most
    `MOST_ROWS` frames, and depth thinned to about `MAP_WIDTH` pixels across.
    """
    from worldloom.catalogs.overlap import overlap_matrix, pose_overlap_matrix

    if clip.camera is None or not clip.camera.valid.any():
        return None
    if clip.depth is not None and len(clip.depth) > 2:
        rows = slice(None, None, -(-len(clip.depth) // MOST_ROWS))
        step = max(1, clip.depth.z.shape[2] // MAP_WIDTH)
        thin = replace(
            clip.depth,
            frames=clip.depth.frames[rows],
            z=clip.depth.z[rows, step // 2 :: step, step // 2 :: step],
            valid=clip.depth.valid[rows, step // 2 :: step, step // 2 :: step],
            confidence=clip.depth.confidence[rows],
        )
        return overlap_matrix(thin, clip.camera, clip.width, clip.height), np.asarray(thin.frames)
    frames = np.flatnonzero(clip.camera.valid)
    frames = frames[:: -(-len(frames) // MOST_ROWS)]
    return pose_overlap_matrix(clip.camera, clip.width, clip.height, clip.fps, frames=frames), frames


def revisit_loop(
    clip: Clip,
    truth: Revisits | None = None,
    overlap: tuple[np.ndarray, np.ndarray] | None = None,
    store: FrameStore | None = None,
) -> bytes:
    """Overlap matrix with the chosen pairs, and the pictures of the best of them, as a PNG.

    Args:
        clip: with revisits.
        truth: true pairs, drawn as squares.
        overlap: matrix (N, N) and frames (N,), computed from the clip where not given.
        store: frames already read, if any.
    """
    overlap = overlap_of(clip) if overlap is None else overlap
    pairs = chosen_pairs(clip.revisits)
    store = store or FrameStore(clip)
    store.read([i for pair in pairs for i in pair[:2]])
    aspect = clip.width / clip.height
    side, rows = 3.3, max(1, len(pairs))
    wide = min(3.3, (side - 0.3 * rows) / rows * aspect) if pairs else 0.0
    width = 0.55 + side + (0.95 + 2 * wide + 0.12 if pairs else 2.6)
    height = side + 0.62
    with figure(width, height) as drawn:
        axes = drawn.add_axes((0.55 / width, 0.48 / height, side / width, side / height))
        draw_overlap(axes, overlap, clip.revisits, truth, float(clip.fps), clip.frames)
        first = 0.55 + side + 0.75
        for number, (early, late, share) in enumerate(pairs):
            bottom = 0.48 + side - (number + 1) * (side / rows) + 0.06
            for column, frame in enumerate((early, late)):
                place = (first + column * (wide + 0.1), bottom, wide, wide / aspect)
                _thumbnail(drawn, [value / (width, height)[i % 2] for i, value in enumerate(place)], store, frame,
                           float(clip.fps), f"overlap {share:.2f}" if column else "")  # fmt: skip
        if not pairs:
            drawn.text(
                (first - 0.2) / width, 0.5, "no revisit: no frame sees\nagain what was out of sight", color=MUTED
            )
        return to_png(drawn)


def chosen_pairs(revisits: Revisits | None) -> list[tuple[int, int, float]]:
    """The pairs with most overlap, no two of them closer than six frames at both ends."""
    if revisits is None or not len(revisits.pairs):
        return []
    order = np.argsort(-np.asarray(revisits.overlap, float), kind="stable")
    kept: list[tuple[int, int, float]] = []
    for i in order:
        early, late = (int(value) for value in revisits.pairs[i])
        if all(max(abs(early - a), abs(late - b)) >= 6 for a, b, _ in kept):
            kept.append((early, late, float(revisits.overlap[i])))
        if len(kept) == MOST_PAIRS:
            break
    return kept


def draw_overlap(
    axes: Any, overlap: tuple[np.ndarray, np.ndarray] | None, revisits: Revisits | None, truth: Revisits | None,
    fps: float, frames: int,
) -> None:  # fmt: skip
    """The matrix into an axes: earlier frame across, later frame down."""
    from matplotlib.colors import LinearSegmentedColormap

    if overlap is not None and len(overlap[1]):
        hatch_background(axes)
        matrix, at = np.asarray(overlap[0], float), np.asarray(overlap[1], float)
        edges = np.concatenate([[at[0]], (at[1:] + at[:-1]) / 2, [at[-1] + 1]]) / fps
        colours = LinearSegmentedColormap.from_list("overlap", ["#f7f4ed", "#bcd3d0", "#5d9199", "#1d3c52"])
        image = axes.pcolormesh(
            edges, edges, np.ma.masked_invalid(matrix), cmap=colours, vmin=0, vmax=1, rasterized=True
        )
        place = axes.inset_axes((1.03, 0.0, 0.03, 1.0))
        bar = axes.figure.colorbar(image, cax=place, ticks=[0, 0.2, 0.5, 1.0])
        bar.outline.set_visible(False)
        place.tick_params(length=0, labelsize=7)
    else:
        axes.text(0.5, 0.5, "no overlap known", transform=axes.transAxes, ha="center", color=MUTED)
    if truth is not None and len(truth.pairs):
        late, early = truth.pairs[:, 1] / fps, truth.pairs[:, 0] / fps
        axes.plot(early, late, "s", ms=8, mfc="none", mec="white", mew=2.6)
        axes.plot(early, late, "s", ms=8, mfc="none", mec=TRUTH, mew=1.2, label="true pair")
    if revisits is not None and len(revisits.pairs):
        late, early = revisits.pairs[:, 1] / fps, revisits.pairs[:, 0] / fps
        axes.plot(early, late, "o", ms=4.5, mfc=ESTIMATE, mec="white", mew=0.6, label="pair found")
    axes.set_xlim(0, frames / fps)
    axes.set_ylim(frames / fps, 0)
    axes.set_aspect("equal")
    axes.set_xlabel("earlier frame, seconds", fontsize=7.5)
    axes.set_ylabel("later frame, seconds", fontsize=7.5)
    axes.set_title("overlap", color=INK)
    axes.tick_params(length=0)
    quiet(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.03, 0.985), ncols=2, labelcolor=INK, handletextpad=0.2,
                    columnspacing=1.0)  # fmt: skip


def _thumbnail(drawn: Any, place: list[float], store: FrameStore, frame: int, fps: float, note: str) -> None:
    axes = drawn.add_axes(tuple(place))
    axes.imshow(store.or_grey(frame), interpolation="antialiased", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    quiet(axes)
    axes.set_title(f"{frame / fps:.1f} s", fontsize=8, pad=3)
    if note:
        axes.set_title(note, fontsize=8, pad=3, loc="right", color=MUTED)
