"""Turns on the spot inside a clip whose camera also walks: where they are, and the stretches between them.

A model cannot be grown through a wide one: its frames share no parallax with either side. Each side is mapped by
itself, and the pictures in between carry the rotation across.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from worldloom.annotators.pose.tracks import Tracks
from worldloom.annotators.pose.turning import rotation_between, unit_rays
from worldloom.catalogs.config import Strict


class TurnRules(Strict):
    """When key frames belong to a turn on the spot (defaults ours)."""

    share: float = 0.95
    """A mere rotation explains this share of the tracks from a key frame to the next but one ..."""
    within_px: float = 1.0
    """... within this many pixels of a picture 480 wide."""
    cut: float = 1.0
    """A turn that moves the picture by more than this share of its width always separates two stretches."""
    try_cut: float = 0.4
    """One that moves it by so much does where no single model is believed."""
    overlap: int = 2
    """Key frames of the turn that are still mapped with the stretch beside it."""


@dataclass(frozen=True)
class Turn:
    """A run of key frames first..last during which the camera only turns; motion of the picture in widths."""

    first: int
    last: int
    swept: float


def find_turns(
    tracks: Tracks, keyframes: list[int], size: tuple[int, int], focal: float, rules: TurnRules
) -> list[Turn]:
    """Runs of key frames, in order of time, between which the camera only turns."""
    tolerance = rules.within_px * max(size) / 480 / focal
    turns: list[Turn] = []
    for k in range(len(keyframes) - 2):
        _, a, b = tracks.shared(keyframes[k], keyframes[k + 2])
        if len(a) < 20:
            continue
        _, fits = rotation_between(unit_rays(a, size, focal), unit_rays(b, size, focal), tolerance)
        if fits.mean() < rules.share:
            continue
        if turns and k <= turns[-1].last:
            turns[-1] = Turn(turns[-1].first, k + 2, 0.0)
        else:
            turns.append(Turn(k, k + 2, 0.0))
    return [Turn(t.first, t.last, _swept(tracks, keyframes[t.first : t.last + 1]) / max(size)) for t in turns]


def _swept(tracks: Tracks, frames: list[int]) -> float:
    """Pixels by which the picture moved, summed from key frame to key frame."""
    total = 0.0
    for before, after in itertools.pairwise(frames):
        _, a, b = tracks.shared(before, after)
        total += float(np.linalg.norm(np.median(b - a, axis=0))) if len(a) else 0.0
    return total


def split(keyframes: int, turns: list[Turn], widest: float, overlap: int) -> list[list[int]]:
    """Key frames 0..keyframes-1 in stretches between the turns that sweep more than `widest`."""
    stretches, start = [], 0
    for turn in turns:
        if turn.swept > widest:
            stretches.append(list(range(start, min(turn.first + overlap, turn.last) + 1)))
            start = max(turn.last - overlap, turn.first)
    stretches.append(list(range(start, keyframes)))
    return stretches
