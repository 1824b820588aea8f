"""Near-duplicates over all clips of a job: found by what lies in the ledger; which stays, which belong
together.

Pure metadata: nothing is decoded, and another threshold runs no annotator again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from worldloom.annotators.embedding import vectors_from_text
from worldloom.annotators.fingerprint import from_text
from worldloom.catalogs.origins import family_links, linked
from worldloom.pipeline.copies import Fingerprints, Match, Words, find_copies
from worldloom.pipeline.near_embeddings import embedded_copies

if TYPE_CHECKING:
    from worldloom.pipeline.known import KnownClips
    from worldloom.pipeline.ledger import Ledger
    from worldloom.pipeline.likeness import Duplicates
    from worldloom.pipeline.operation import Operation
    from worldloom.pipeline.settings import Compose

FINGERPRINT, EMBEDDING = "fingerprint", "embedding"
BATCH = 16_384
"""Clips whose texts are in memory at once."""


class Copies(NamedTuple):
    """Copies among the clips of a job.

    Attributes:
        matches: pairs, by the clips' numbers.
        seconds: (n,) length of each clip that has a fingerprint, else 0.
        shown: (n,) share of each picture that is no border, else 1.
    """

    matches: list[Match]
    seconds: np.ndarray
    shown: np.ndarray


def find_duplicates(clips: KnownClips, ledger: Ledger, rules: Duplicates) -> Copies:
    """Every pair of copies among the clips that have a fingerprint, then those that only embeddings find.

    Args:
        clips: with their answers.
        ledger: where fingerprints and embeddings lie.
        rules: what counts.

    Raises:
        UsageError: too many pairs are alike by their embeddings.
    """
    copies = _by_fingerprint(clips, ledger, rules)
    if rules.embedding is None or EMBEDDING not in clips.answers:
        return copies
    known = {(match.first, match.second) for match in copies.matches}
    more = _by_embedding(clips, ledger, rules.embedding)
    return copies._replace(
        matches=copies.matches + [match for match in more if (match.first, match.second) not in known]
    )


def _by_fingerprint(clips: KnownClips, ledger: Ledger, rules: Duplicates) -> Copies:
    seconds, shown = np.zeros(len(clips)), np.ones(len(clips))
    if FINGERPRINT not in clips.answers:
        return Copies([], seconds, shown)
    having, rows = [], []
    for number, notes in _notes(clips, ledger, FINGERPRINT):
        words, borders = _words(notes)
        having.append(number)
        rows.append(words)
        seconds[number] = len(words.sight) / words.rate
        shown[number] = (1 - borders[0] - borders[1]) * (1 - borders[2] - borders[3])
    place = np.array(having, np.int64)
    prints = Fingerprints.of(rows, _files(clips)[place])
    matches = [
        match._replace(first=int(place[match.first]), second=int(place[match.second]))
        for match in find_copies(prints, rules)
    ]
    return Copies(matches, seconds, shown)


def _by_embedding(clips: KnownClips, ledger: Ledger, least: float) -> list[Match]:
    """Pairs by the vectors of one encoder; those of another one, or of another number of frames, are not comparable."""
    rows: dict[tuple[str, tuple[int, ...]], list[tuple[int, np.ndarray]]] = defaultdict(list)
    for number, notes in _notes(clips, ledger, EMBEDDING):
        vectors = vectors_from_text(notes["vectors"], int(notes["width"]))
        rows[str(notes["weights"]), vectors.shape].append((number, vectors))
    files, found = _files(clips), []
    for some in rows.values():
        place = np.array([number for number, _ in some])
        for match in embedded_copies(np.stack([vectors for _, vectors in some]), files[place], least):
            found.append(match._replace(first=int(place[match.first]), second=int(place[match.second])))
    return found


def _files(clips: KnownClips) -> np.ndarray:
    """(n,) a number for the file of each clip."""
    return np.asarray(clips.table["sha256"].combine_chunks().dictionary_encode().indices.to_numpy())


def _notes(clips: KnownClips, ledger: Ledger, operation: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and notes of every clip that has an answer; what a person has set has none."""
    numbers = np.flatnonzero(clips.has(operation, "ok"))
    sequences = clips.answers[operation]["sequence"].fill_null(-1).to_numpy()[numbers]
    for start in range(0, len(numbers), BATCH):
        told = ledger.rows(sequences[start : start + BATCH], ["told"])["told"].to_pylist()
        for number, text in zip(numbers[start : start + BATCH].tolist(), told, strict=True):
            notes = (json.loads(text or "{}").get(operation) or {}).get("notes")
            if notes:
                yield number, json.loads(notes)


def _words(values: Mapping[str, Any]) -> tuple[Words, list[float]]:
    """Fingerprint of a clip, and its borders."""
    sight, inner, motion = (from_text(values[name]) for name in ("sight", "inner", "motion"))
    return Words(sight, inner, motion, float(values["rate"])), list(values["borders"])


class Copy(NamedTuple):
    """Why a clip is dropped.

    Attributes:
        number: of the clip.
        of: number of the one that stays.
        match: how they show the same.
    """

    number: int
    of: int
    match: Match


def copies_of(copies: Copies, removed: Iterable[int], left: Iterable[int], rules: Duplicates) -> list[Copy]:
    """The clips that show enough of a clip that is not to be shown any more, or are for so much a part of it.

    Without this, the copy of a clip that was taken down would take its place.

    Args:
        copies: of `find_duplicates`.
        removed: numbers of the clips that were taken down.
        left: numbers of those that may go.
        rules: what counts.
    """
    down, there = set(map(int, removed)), set(map(int, left))
    found: dict[int, Copy] = {}
    for match in copies.matches:
        if max(match.share_first, match.share_second) < rules.covered:
            continue
        for number, of in ((match.first, match.second), (match.second, match.first)):
            if number in there and of in down:
                found.setdefault(number, Copy(number, of, match))
    return [found[number] for number in sorted(found)]


def worse_copies(copies: Copies, clips: KnownClips, sharpness: Mapping[int, float], rules: Duplicates) -> list[Copy]:
    """The clips to drop, given that only those of `sharpness` are left.

    The best comes first: more pixels of picture, then longer by more than half a second, then sharper, then the smaller
    key. A clip goes if enough of it is in one that stays; so what is only a copy of a dropped clip may stay. A clip and
    what was derived from it (a loop, a reversal, a window) are no copies: somebody has asked for both.

    Args:
        copies: of `find_duplicates`.
        clips: of the job.
        sharpness: by number of the clips that are left, 0 where unknown.
        rules: what counts.
    """
    beside: dict[int, list[tuple[int, float, Match]]] = defaultdict(list)
    family = linked(len(clips), [family_links(clips.table["key"], clips.table["parents"])])
    for match in copies.matches:
        if match.first in sharpness and match.second in sharpness and family[match.first] != family[match.second]:
            beside[match.first].append((match.second, match.share_first, match))
            beside[match.second].append((match.first, match.share_second, match))
    involved = np.array(sorted(beside), np.int64)
    pixels = clips.column("width").astype(np.int64) * clips.column("height")
    keys = dict(zip(involved.tolist(), clips.table["key"].take(involved).to_pylist(), strict=True))

    def rank(number: int) -> tuple[Any, ...]:
        # Encoders want even sides and borders are found to a hundredth: so are pixels compared.
        shown = round(float(np.log2(max(1.0, pixels[number] * copies.shown[number]))) * 16)
        return -shown, -round(2 * copies.seconds[number]), -sharpness[number], keys[number]

    stays: set[int] = set()
    found = []
    for number in sorted(involved.tolist(), key=rank):
        better = [one for one in beside[number] if one[0] in stays and one[1] >= rules.covered]
        if better:
            other, _, match = max(better, key=lambda one: (one[1], -one[0]))
            found.append(Copy(number, other, match))
        else:
            stays.add(number)
    return found


def duplicate_groups(
    clips: KnownClips, ledger: Ledger, operations: Sequence[Operation], rules: Compose, copies: Copies | None = None
) -> np.ndarray:
    """Number of the group of each clip; clips that show the same, or are linked by such ones, have one number.

    Args:
        clips: with their answers.
        ledger: where the fingerprints lie.
        operations: of the job.
        rules: of the pass; without `duplicates` every clip is a group by itself.
        copies: where they are known already.

    Returns:
        (n,) int64: the smallest number of a clip of the group.
    """
    if rules.duplicates is None or FINGERPRINT not in {operation.name for operation in operations}:
        return np.arange(len(clips))
    if copies is None:
        copies = find_duplicates(clips, ledger, rules.duplicates)
    return groups_of(len(clips), ((match.first, match.second) for match in copies.matches))


def groups_of(count: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """(count,) smallest member of the connected component of each, by union-find.

    Args:
        count: of things.
        pairs: that belong together.
    """
    parent = list(range(count))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return np.array([root(one) for one in range(count)], np.int64)


def told(copy: Copy, keys: Sequence[str], uris: Sequence[str]) -> dict[str, Any]:
    """What a person is told about a dropped copy, plain JSON values.

    Args:
        copy: the dropped clip.
        keys: of all clips.
        uris: of all clips.
    """
    match = copy.match
    share = match.share_first if match.first == copy.number else match.share_second
    same = {"same_as": keys[copy.of], "same_as_uri": uris[copy.of], "share": round(share, 4)}
    if match.cosine is not None:
        return {**same, "how": f"embedding cosine {match.cosine:.2f}"}
    how = [match.symmetry] if match.symmetry != "same" else []
    if match.cropped:
        how.append("cropped")
    if match.speed != 1.0:
        how.append("reversed" if match.speed == -1 else f"speed {match.speed:.3g}")
    return {**same, "bits": match.distance, "how": ", ".join(how) or "same"}
