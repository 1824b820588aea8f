"""The slow twin of compose and the shard plan: one object per clip, one loop per rule, no columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from worldloom.catalogs.catalog import catalog_table, matching
from worldloom.catalogs.config import digest
from worldloom.pipeline.known import KnownClip, KnownClips
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.passes.shard_plan import JSON_BYTES, PACK_VERSION
from worldloom.pipeline.settings import Compose, Derive, Pack
from worldloom.pipeline.splits import share_of


class Sample(NamedTuple):
    """One sample to be."""

    clip: KnownClip
    operation: str
    split: str
    frames: int

    @property
    def order(self) -> str:
        return hashlib.sha256(f"{self.clip.key}\0{self.operation}".encode()).hexdigest()


def compose_plainly(
    rules: Compose, clips: KnownClips, figures: dict[str, dict[str, Any]]
) -> tuple[list[Sample], dict[str, str]]:
    """Samples, and the reason of every clip that is dropped.

    Args:
        rules: configuration of the pass.
        clips: with their answers.
        figures: row of the catalog by key, as far as it is known.
    """
    everything = list(clips.rows())
    reasons: dict[str, str] = {}
    for clip in everything:
        for name in rules.require:
            found = clip.answers.get(name)
            if name not in clip.given and (found is None or found.status != "ok"):
                reasons.setdefault(clip.key, f"missing_{name}")
    rest = [clip for clip in everything if clip.key not in reasons]
    table = catalog_table([figures[clip.key] for clip in rest])
    keys = table["key"].to_pylist()
    for reason, condition in rules.conditions().items():
        holds = set(matching(table, condition).tolist())
        for number, key in enumerate(keys):
            if number not in holds:
                reasons.setdefault(key, reason)
    chosen = [clip for clip in rest if clip.key not in reasons]
    if rules.limit is not None:
        keep = {clip.key for clip in sorted(chosen, key=lambda clip: clip.key)[: rules.limit]}
        reasons |= {clip.key: "over_limit" for clip in chosen if clip.key not in keep}
        chosen = [clip for clip in chosen if clip.key in keep]
    samples = []
    for clip in chosen:
        unit = clip.sha256 if rules.split.by == "source" else clip.key
        split = "test" if share_of(f"split:{unit}") < rules.split.test else "train"
        samples.append(Sample(clip, "", split, clip.frames))
        for rule in rules.derive:
            samples += [Sample(clip, made, split, frames) for made, frames in _derived(clip, rule)]
    return samples, reasons


def _derived(clip: KnownClip, rule: Derive) -> Iterator[tuple[str, int]]:
    frames = clip.frames
    name = f"reverse:{rule.reverse}" if rule.reverse else f"window:{rule.window_frames}"
    if share_of(f"{name}:{clip.key}") >= rule.share:
        return
    if rule.reverse:
        yield name, 2 * frames - 1 if rule.reverse == "loop" else frames
        return
    length = rule.window_frames or frames
    if length < frames:
        for start in range(0, frames - length + 1, length):
            yield f"window:{start}:{start + length}", length


def plan_plainly(
    samples: Sequence[Sample], operations: Sequence[Operation], rules: Pack, crf: int
) -> dict[str, list[tuple[str, str]]]:
    """(key, operation) of every sample by shard."""

    def bucket(sample: Sample) -> tuple[Any, ...]:
        row = sample.clip
        kinds = {"resolution": (row.width, row.height), "frames": (sample.frames,), "length": (_length(sample.frames),)}
        return sample.split, *(number for name in rules.bucket_by for number in kinds[name])

    shards: dict[str, list[tuple[str, str]]] = {}
    ordered = sorted(samples, key=lambda sample: (bucket(sample), sample.order))
    for split, side in groupby(ordered, key=lambda sample: sample.split):
        number = 0
        for _, group in groupby(side, key=bucket):
            for members in _filled(list(group), rules):
                recipe = digest([PACK_VERSION, [_contents(sample, operations, crf) for sample in members]])
                shards[f"{split}-{recipe}-{number:05d}.tar"] = [(one.clip.key, one.operation) for one in members]
                number += 1
    return shards


def _length(frames: int) -> int:
    bucket = 16
    while bucket < frames:
        bucket *= 2
    return bucket


def _filled(samples: Sequence[Sample], rules: Pack) -> Iterator[list[Sample]]:
    shard: list[Sample] = []
    size = 0.0
    for sample in samples:
        clip = sample.clip
        estimate = clip.bytes * sample.frames / clip.frames + JSON_BYTES
        estimate += sum(answer.bytes for answer in clip.answers.values())
        if shard and (size + estimate > rules.target_mb * 1e6 or len(shard) == rules.max_samples):
            yield shard
            shard, size = [], 0.0
        shard.append(sample)
        size += estimate
    if shard:
        yield shard


def _contents(sample: Sample, operations: Sequence[Operation], crf: int) -> list[Any]:
    clip = sample.clip
    answers = {
        operation.name: [operation.method, operation.version, answer.status, answer.reason, answer.digest]
        for operation in operations
        if (answer := clip.answers.get(operation.name)) is not None
    }
    return [clip.key, clip.record_digest, sample.operation, crf if sample.operation else None, answers]
