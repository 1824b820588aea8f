"""Which clips are copies of each other, from their fingerprints alone: pure functions over arrays.

A copy shows the same pictures in the same order, at one offset and one speed, perhaps mirrored. So two clips that
share some near-equal hashes are laid beside each other at every offset those suggest, and must agree along it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from worldloom.pipeline.likeness import Likeness
from worldloom.pipeline.near_hashes import near_pairs

SPEEDS = (1.0, -1.0, 1.25, 0.8, 1.5, 2 / 3, 2.0, 0.5, 1.1, 0.9)
"""Of the second clip against the first; -1 runs backwards. Speeds in between are found for some seconds, until they
are a sample ahead."""

OTHER_SPEED = 0.7
"""Of the shorter clip, in common at another speed: among many speeds some stretch always fits."""

BESIDE = (0.999, 1.0, 0.999)
"""Samples a step beside agree as well; of offsets that are equally good, the one in the middle counts."""

OFFSETS = 3
"""Looked at closely per speed."""

MOST_OFFSETS = 512
"""Compared by their motion."""

ANCHORS_PER_S = 1.0
"""Samples of each clip that others are looked up among."""

ASIDE_S = (-1.5, -1.0, 1.0, 1.5)
"""Seconds in the first clip by which two clips are shifted against each other to see that they fit nowhere else."""

WHOLE = 0.9
"""Of a clip in the other, from which it counts as contained."""

LEAST_CONTRAST = 1.5
"""Bits by which the fit must be better than aside, beside the factor `contrast`."""

LEAST_MOTION = 0.75
"""Cells of 64 per sample that move, on average, from which clips are compared by their motion. With less, one clip must
contain the other: empty rooms are alike."""

FIXED = 40.0
"""Cells of 64 per sample that move, up to which the camera counts as fixed."""

LEAST_ALIKE = 0.5
"""Moving cells in common over those of either, of any copies; with a moving camera true ones have 0.6 and more."""


class Words(NamedTuple):
    """Fingerprint of one clip; see `worldloom.annotators.fingerprint`."""

    sight: np.ndarray
    inner: np.ndarray
    motion: np.ndarray
    rate: float


@dataclass(frozen=True)
class Fingerprints:
    """Samples of n clips, one clip after the other.

    Attributes:
        start: (n + 1,) int64, first sample of each clip, and the end.
        sight: (N,) uint64; 0 where a sample has no detail.
        inner: (N,) uint64, the same of the middle of the picture.
        motion: (N,) uint64.
        rate: (n,) samples per second.
        source: (n,) int, equal for clips of one source file.
    """

    start: np.ndarray
    sight: np.ndarray
    inner: np.ndarray
    motion: np.ndarray
    rate: np.ndarray
    source: np.ndarray

    def __len__(self) -> int:
        return len(self.rate)

    @classmethod
    def of(cls, clips: Iterable[Words], source: np.ndarray | None = None) -> Fingerprints:
        """From the words of each clip; every clip has a source of its own where none is given."""
        rows = list(clips)
        lengths = [len(one.sight) for one in rows]
        nothing = np.zeros(0, np.uint64)
        return cls(
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([nothing, *(one.sight for one in rows)]),
            np.concatenate([nothing, *(one.inner for one in rows)]),
            np.concatenate([nothing, *(one.motion for one in rows)]),
            np.array([one.rate for one in rows], np.float64),
            np.arange(len(rows)) if source is None else np.asarray(source),
        )

    def words(self, clip: int) -> Words:
        """Of one clip."""
        span = slice(self.start[clip], self.start[clip + 1])
        return Words(self.sight[span], self.inner[span], self.motion[span], float(self.rate[clip]))


class Match(NamedTuple):
    """Two clips that show the same.

    Attributes:
        first: number of a clip.
        second: of another.
        symmetry: what the picture of the second is against that of the first: `same`, `mirrored`, or turned clockwise.
        cropped: the one that shows the middle of the other: `first`, `second`, or empty.
        speed: of the second against the first; negative where it runs backwards.
        offset_s: time in the second at which the first begins.
        share_first: of the first that is in the second.
        share_second: of the second that is in the first.
        distance: mean bits in which aligned samples differ.
        cosine: mean of the best frames, of a pair that only embeddings have found.
    """

    first: int
    second: int
    symmetry: str
    cropped: str
    speed: float
    offset_s: float
    share_first: float
    share_second: float
    distance: float
    cosine: float | None = None


@dataclass(frozen=True)
class _Symmetry:
    name: str
    transposed: bool
    flip_x: bool
    flip_y: bool

    def sight(self, words: np.ndarray) -> np.ndarray:
        """Sight words of the picture changed so: the transform of a mirrored picture has its odd terms negated."""
        bits = _bits(words)
        if self.transposed:
            bits = bits.transpose(0, 2, 1)
        odd = np.arange(8) % 2 == 1
        flips = (odd & self.flip_x)[None, :] ^ (odd & self.flip_y)[:, None]
        changed = bits ^ flips
        changed[:, 0, 0] = False
        return np.where(words == 0, np.uint64(0), _words(changed))

    def motion(self, words: np.ndarray) -> np.ndarray:
        """Motion words of the picture changed so."""
        cells = _bits(words)
        if self.transposed:
            cells = cells.transpose(0, 2, 1)
        return _words(cells[:, :: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])


SYMMETRIES = (
    _Symmetry("same", False, False, False),
    _Symmetry("mirrored", False, True, False),
    _Symmetry("turned by 180", False, True, True),
    _Symmetry("turned by 90", True, True, False),
    _Symmetry("turned by 270", True, False, True),
    _Symmetry("mirrored and turned by 180", False, False, True),
    _Symmetry("mirrored and turned by 90", True, False, False),
    _Symmetry("mirrored and turned by 270", True, True, True),
)


def _bits(words: np.ndarray) -> np.ndarray:
    return np.unpackbits(words.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1).reshape(-1, 8, 8).astype(bool)


def _words(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits.reshape(-1, 64), axis=1).view(">u8").reshape(-1).astype(np.uint64)


CROPPED = ("", "second", "first")
"""Which of a pair may show the middle of the other only, by number."""


def find_copies(prints: Fingerprints, rules: Likeness) -> list[Match]:
    """Every pair of clips that show the same, in order of their numbers; deterministic.

    Args:
        prints: of all clips.
        rules: what counts.
    """
    found: list[Match] = []
    for first, second, symmetry, cropped in candidates(prints, rules):
        if found and (found[-1].first, found[-1].second) == (first, second):
            continue
        match = aligned(prints, first, second, SYMMETRIES[symmetry], CROPPED[cropped], rules)
        if match is not None:
            found.append(match)
    return found


def candidates(prints: Fingerprints, rules: Likeness) -> Iterator[tuple[int, int, int, int]]:
    """(first, second, number of the symmetry, number in `CROPPED`) of clips with near-equal hashes, each once, ordered.

    Args:
        prints: of all clips.
        rules: what counts.
    """
    clip = np.repeat(np.arange(len(prints)), np.diff(prints.start))
    every = np.maximum(1, np.round(prints.rate / ANCHORS_PER_S)).astype(np.int64)
    step = np.arange(len(clip)) - prints.start[:-1][clip]
    anchors = _distinct(prints.sight, clip, step % every[clip] == 0, most=2)
    ways, n = len(SYMMETRIES) * len(CROPPED), max(len(prints), 1)
    codes = [np.zeros(0, np.int64)]
    for whole, words in enumerate((prints.sight, prints.inner)[: 1 + rules.cropped]):
        queries = _distinct(words, clip, prints.sight != 0, most=0)
        for kind in _kinds(rules):
            asked = SYMMETRIES[kind].sight(words[queries])
            for query, anchor in near_pairs(prints.sight[anchors], asked, rules.distance):
                one, other = clip[queries[query]], clip[anchors[anchor]]
                first, second = np.minimum(one, other), np.maximum(one, other)
                # The clip whose middle was looked for is the whole one, the one it was found in the cropped one.
                cropped = whole * np.where(one < other, 1, 2)
                code = (first * n + second) * ways + kind * len(CROPPED) + cropped
                codes.append(np.unique(code[first != second]))
    pair, way = np.divmod(np.unique(np.concatenate(codes)), ways)
    symmetry, cropped = np.divmod(way, len(CROPPED))
    yield from zip(*(one.tolist() for one in (*np.divmod(pair, n), symmetry, cropped)), strict=True)


def _kinds(rules: Likeness) -> list[int]:
    if rules.turned:
        return [k for k, one in enumerate(SYMMETRIES) if rules.mirrored or "mirrored" not in one.name]
    return [0, 1] if rules.mirrored else [0]


def _distinct(words: np.ndarray, clip: np.ndarray, wanted: np.ndarray, most: int) -> np.ndarray:
    """Samples with detail that differ in more than `most` bits from the one before of the same clip."""
    rows = np.flatnonzero(wanted & (words != 0))
    if not len(rows):
        return rows
    change = np.bitwise_count(words[rows[1:]] ^ words[rows[:-1]])
    new = np.concatenate([[True], (change > most) | (clip[rows[1:]] != clip[rows[:-1]])])
    return rows[new]


def aligned(
    prints: Fingerprints, first: int, second: int, symmetry: _Symmetry, cropped: str, rules: Likeness
) -> Match | None:
    """How the second clip shows what the first one does, or None where it does not.

    Args:
        prints: of all clips.
        first: number of a clip.
        second: of another.
        symmetry: in which their pictures agree.
        cropped: see `Match`.
        rules: what counts.
    """
    one, other = prints.words(first), prints.words(second)
    sight_a = one.inner if cropped == "second" else one.sight
    sight_b = other.inner if cropped == "first" else other.sight
    distance = np.bitwise_count(symmetry.sight(sight_a)[:, None] ^ sight_b[None]).astype(np.int16)
    distance[(sight_a == 0)[:, None] | (sight_b == 0)[None]] = 64
    one_file = bool(prints.source[first] == prints.source[second])
    if one_file and (cropped or symmetry.name != "same"):
        return None  # a walk straight on shows the middle of what it showed before
    sides = (symmetry.motion(one.motion), other.motion)
    pair = _Pair(distance, *sides, one.rate, other.rate / one.rate, rules, bool(cropped), one_file)
    near = distance <= rules.distance
    i, j = np.nonzero(near)
    least = rules.agreement * max(3.0, rules.least_s * one.rate / 2, pair.least_share * min(near.shape)) / 2
    if min(near.any(axis=1).sum(), near.any(axis=0).sum()) < least:
        return None
    back = _Pair(distance.T, *sides[::-1], other.rate, one.rate / other.rate, rules, bool(cropped), one_file)
    for speed in SPEEDS:
        if speed < 0 and (cropped or one_file):
            continue
        slope = speed * pair.slope
        # Samples of the faster clip are looked up in the slower one, where the nearest is nearer.
        turned = abs(slope) < 1
        here, slope = (back, 1 / slope) if turned else (pair, slope)
        for offset in here.offsets(*((j, i) if turned else (i, j)), slope):
            mean = here.judged(slope, offset)
            if mean is not None:
                shares = here.shares(slope, offset)
                begins = -offset / slope if turned else float(offset)
                share_a, share_b = shares[::-1] if turned else shares
                return Match(
                    first, second, symmetry.name, cropped, speed, begins / other.rate, share_a, share_b, round(mean, 2)
                )
    return None


@dataclass(frozen=True)
class _Pair:
    """Two clips beside each other: sample i of the first, sample j of the second."""

    distance: np.ndarray
    motion_a: np.ndarray
    motion_b: np.ndarray
    rate: float
    slope: float
    rules: Likeness
    cropped: bool
    one_file: bool

    @property
    def least_share(self) -> float:
        """Of the shorter clip; half of it at least where the middle of a picture or two shots of a video are alike."""
        return max(self.rules.least_share, 0.5) if self.cropped or self.one_file else self.rules.least_share

    def offsets(self, i: np.ndarray, j: np.ndarray, slope: float) -> list[int]:
        """Offsets along which enough samples may agree, the most promising ones; i and j are those that do anywhere."""
        shift = np.round(j - slope * i).astype(np.int64)
        least = int(shift.min()) - 1
        votes = np.convolve(np.bincount(shift - least, minlength=int(shift.max()) - least + 2), BESIDE, "same")
        offset = least + np.arange(len(votes))
        common = self._common(slope, offset)
        count_a, count_b = self.distance.shape
        share = np.maximum(common / count_a, common * abs(slope) / count_b)
        # Where only ends overlap, nobody can see whether they would fit better a second farther apart.
        as_fast = self._as_fast(slope)
        wanted = np.maximum(3.0, self.rules.least_s * self.rate * np.where(as_fast & (share >= WHOLE), 0.5, 1.0))
        least_share = self.least_share if as_fast else max(self.least_share, OTHER_SPEED)
        possible = (common >= wanted) & (share >= least_share) & (votes >= self.rules.agreement * common - 1)
        chosen = np.flatnonzero(possible)
        if len(chosen) <= OFFSETS:
            return [int(one) for one in offset[chosen[np.argsort(-votes[chosen], kind="stable")]]]
        # A view that hardly changes agrees at any offset; how things move says which.
        alike = np.array([self._motion(slope, int(one))[0] for one in offset[chosen[:MOST_OFFSETS]]])
        by_motion = chosen[:MOST_OFFSETS][np.argsort(-alike, kind="stable")[:1]]
        by_votes = chosen[np.argsort(-votes[chosen], kind="stable")[:OFFSETS]]
        return [int(one) for one in offset[np.concatenate([by_motion, by_votes])]]

    def _as_fast(self, slope: float) -> bool:
        """Whether both run at one speed, perhaps one backwards."""
        return bool(np.isclose(abs(slope), self.slope))

    def _common(self, slope: float, offset: np.ndarray) -> np.ndarray:
        """Samples of the first that fall into the second at each offset."""
        count_a, count_b = self.distance.shape
        ends = np.stack([-offset / slope, (count_b - 1 - offset) / slope])
        return np.maximum(0, np.minimum(ends.max(axis=0), count_a - 1) - np.maximum(ends.min(axis=0), 0) + 1)

    def _along(self, slope: float, offset: int) -> tuple[np.ndarray, np.ndarray]:
        i = np.arange(self.distance.shape[0])
        j = np.round(slope * i + offset).astype(np.int64)
        inside = (j >= 0) & (j < self.distance.shape[1])
        return i[inside], j[inside]

    def shares(self, slope: float, offset: int) -> tuple[float, float]:
        """Of each clip, how much is in common."""
        i, _ = self._along(slope, offset)
        count_a, count_b = self.distance.shape
        return round(len(i) / count_a, 4), round(min(1.0, len(i) * abs(slope) / count_b), 4)

    def judged(self, slope: float, offset: int) -> float | None:
        """Mean distance along j = slope i + offset, give or take one sample, if that makes them copies."""
        distance = self._distances(slope, offset)
        if len(distance) < 3 or (distance <= self.rules.distance).mean() < self.rules.agreement:
            return None
        mean = float(distance.mean())
        alike, moving = self._motion(slope, offset)
        near = mean <= self.rules.still_distance
        wanted = self.rules.motion_agreement if moving <= FIXED and not near else LEAST_ALIKE
        if mean > self.rules.distance or alike < wanted:
            return None
        if self._aside(slope, offset) >= self.rules.contrast * mean + LEAST_CONTRAST:
            return mean
        # Nothing tells how fast nothing moves, nor when.
        still = moving >= LEAST_MOTION or (
            slope > 0 and self._as_fast(slope) and max(self.shares(slope, offset)) >= WHOLE
        )
        return mean if near and still and moving <= FIXED and not self.one_file else None

    def _distances(self, slope: float, offset: int) -> np.ndarray:
        """Along an offset, of samples with detail in both, to the nearest of three."""
        i, j = self._along(slope, offset)
        around = np.clip(j[:, None] + np.array([-1, 0, 1]), 0, self.distance.shape[1] - 1)
        distance = self.distance[i[:, None], around].min(axis=1)
        return distance[distance < 64]

    def _aside(self, slope: float, offset: int) -> float:
        """Least mean distance one second and a half aside; a copy's is a narrow valley, a slow walk's a wide one."""
        shifts = {offset + round(shift * self.rate * abs(slope)) for shift in ASIDE_S}
        found = [distance for shift in sorted(shifts) if len(distance := self._distances(slope, shift)) >= 3]
        return min((float(one.mean()) for one in found), default=0.0)

    def _motion(self, slope: float, offset: int) -> tuple[float, float]:
        """Moving cells in common over those of either, 1 where hardly any moves; and how many move per sample."""
        i, j = self._along(slope, offset)
        one, other = self.motion_a[i], self.motion_b[j]
        union = int(np.bitwise_count(one | other).sum())
        common = int(np.bitwise_count(one & other).sum())
        return (common / union if union >= LEAST_MOTION * len(i) else 1.0), union / max(1, len(i))
