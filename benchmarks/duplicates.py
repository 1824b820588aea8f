"""Which copies of a clip are found, which are not, how many others are taken for copies, and what looking costs.

    python benchmarks/duplicates.py [--worlds 24] [--cost 1000 10000 100000] [--out FOLDER] [--pictures FOLDER]

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
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from worldloom.annotators.annotator import Absent
from worldloom.annotators.fingerprint import FingerprintAnnotator, from_text
from worldloom.catalogs.clip import Clip, Provenance
from worldloom.catalogs.video import Frames, encode_frames

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
