"""Which sample goes into which shard: a plan made on metadata, a function of the contents alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worldloom.pipeline.operation import Operation
from worldloom.pipeline.passes.compose import Chosen
from worldloom.pipeline.settings import Pack

PACK_VERSION = "1"
"""Changes whenever the same clips and annotations make other shards or other catalog rows: with the form of samples
and catalog, the encoder, and `synth.reverse`."""

JSON_BYTES = 3000
"""Of a sample's JSON and tar headers, for the estimate of its size."""

SHORTEST_LENGTH_BUCKET = 16
"""Frames: `length` buckets are 1 to 16, 17 to 32, 33 to 64, and so on."""

BATCH = 65_536
"""Samples whose contents are in memory as text at once."""


@dataclass(frozen=True)
class PlannedShard:
    """One shard to be.

    Attributes:
        name: file name: split, digest of its contents, number.
        split: of all its samples.
        recipe: digest of what decides its bytes.
        samples: in order.
        bytes: size, by estimate.
    """

    name: str
    split: str
    recipe: str
    samples: Chosen
    bytes: int


def plan_shards(chosen: Chosen, operations: Sequence[Operation], rules: Pack, crf: int) -> Iterator[PlannedShard]:
    """Which sample goes where: per split and bucket, in the order of hashes, up to the target size.

    Args:
        chosen: samples.
        operations: of the job, for what they answered.
        rules: size of a shard, by estimate, and what clips of one shard agree in.
        crf: of what has to be encoded.
    """
    if not len(chosen):
        return
    buckets = _buckets(chosen, rules.bucket_by)
    order = chosen.order()
    rank = np.lexsort((order[:, 1], order[:, 0], *reversed(buckets)))
    chosen = chosen.take(rank)
    sizes = _sizes(chosen, operations)
    keys = np.stack([bucket[rank] for bucket in buckets])
    starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
    edges = _edges(sizes, starts, rules.target_mb * 1e6, rules.max_samples)
    recipes = _recipes(chosen, operations, crf, edges)
    number, last = 0, ""
    for (start, stop), recipe in zip(edges, recipes, strict=True):
        split = chosen.sides[chosen.side[start]]
        number = number + 1 if split == last else 0
        last = split
        samples = chosen.take(np.arange(start, stop))
        size = int(sizes[start:stop].sum())
        yield PlannedShard(f"{split}-{recipe}-{number:05d}.tar", split, recipe, samples, size)


def _buckets(chosen: Chosen, bucket_by: Sequence[str]) -> list[np.ndarray]:
    """What decides which samples may share a shard, the first counting most; splits in the order of their names."""
    length = np.maximum(SHORTEST_LENGTH_BUCKET, chosen.frames)
    kinds = {
        "resolution": [chosen.clips.column(name)[chosen.number] for name in ("width", "height")],
        "frames": [chosen.frames],
        "length": [1 << np.ceil(np.log2(length)).astype(np.int64)],
    }
    return [chosen.side, *(column for name in bucket_by for column in kinds[name])]


def _sizes(chosen: Chosen, operations: Sequence[Operation]) -> np.ndarray:
    """Bytes of every sample, by estimate."""
    clips = chosen.clips
    answers = np.zeros(len(clips), np.int64)
    for name in clips.answers:
        answers += clips.answers[name]["bytes"].fill_null(0).to_numpy()
    number = chosen.number
    video = clips.column("bytes")[number] * chosen.frames / clips.column("frames")[number]
    return np.asarray(video + JSON_BYTES + answers[number])


def _edges(sizes: np.ndarray, starts: np.ndarray, target: float, most: int | None) -> list[tuple[int, int]]:
    """First sample and one after the last of every shard."""
    new_bucket = set(starts.tolist())
    edges: list[tuple[int, int]] = []
    first, size = 0, 0.0
    for place, estimate in enumerate(sizes.tolist()):
        full = size + estimate > target or place - first == most
        if place > first and (full or place in new_bucket):
            edges.append((first, place))
            first, size = place, 0.0
        size += estimate
    return [*edges, (first, len(sizes))]


def _recipes(
    chosen: Chosen, operations: Sequence[Operation], crf: int, edges: Sequence[tuple[int, int]]
) -> Iterator[str]:
    """Digest of everything that decides the bytes of each shard.

    It is `config.digest` of the version and a list per sample: key, digest of the record, what is done to it, crf where
    it is encoded, and per operation method, version, status, reason and digest of the answer - what was found, not how,
    so that equal answers are not packed again. Written piece by piece, since the whole text would be gigabytes.
    """
    texts = _texts(chosen, operations, crf)
    for start, stop in edges:
        text = hashlib.sha256(f"[{json.dumps(PACK_VERSION)},[".encode())
        for number in range(stop - start):
            text.update(f"{',' if number else ''}{next(texts)}".encode())
        text.update(b"]]")
        yield text.hexdigest()[:16]


def _texts(chosen: Chosen, operations: Sequence[Operation], crf: int) -> Iterator[str]:
    """Contents of every sample as JSON, its keys in order."""
    clips = chosen.clips
    for start in range(0, len(chosen), BATCH):
        rows = slice(start, start + BATCH)
        index = pa.array(chosen.number[rows])
        record = clips.table.select(["key", "record_digest"]).take(index).to_pydict()
        answers = [
            _answer_texts(operation, clips.answers[operation.name].take(index))
            for operation in sorted(operations, key=lambda operation: operation.name)
        ]
        for key, digest, operation, *found in zip(
            record["key"], record["record_digest"], chosen.operation[rows], *answers, strict=True
        ):
            encoded = f"{json.dumps(operation)},{crf}" if operation else '"",null'
            yield f'["{key}","{digest}",{encoded},{{{",".join(one for one in found if one is not None)}}}]'


def _answer_texts(operation: Operation, answers: pa.Table) -> list[str | None]:
    """`"name":[method,version,status,reason,digest]` of each answer; None where there is none."""
    status, reason = answers["status"].combine_chunks(), answers["reason"].combine_chunks()
    head = f"{json.dumps(operation.name)}:[{json.dumps(operation.method)},{json.dumps(operation.version)},"
    joined = pc.binary_join_element_wise(head, _quoted(status), ",", _quoted(reason), ',"', answers["digest"], '"]', "")
    return list(joined.to_pylist())


def _quoted(column: pa.DictionaryArray) -> pa.Array:
    """Words of a column as JSON."""
    words = pa.array([json.dumps(word) for word in column.dictionary.to_pylist()], pa.string())
    return words.take(column.indices)
