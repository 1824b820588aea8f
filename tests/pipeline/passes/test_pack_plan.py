from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.ledger_rows import Row, known
from tests.pipeline.passes.plainly import compose_plainly, plan_plainly
from worldloom.pipeline.passes.compose import compose
from worldloom.pipeline.passes.shard_plan import JSON_BYTES, PlannedShard, plan_shards
from worldloom.pipeline.settings import Compose, Derive, Pack, Split


@pytest.fixture
def plan(tmp_path: Path):  # type: ignore[no-untyped-def]
    numbers = iter(range(1000))

    def planned(
        rows: Sequence[Row], rules: Compose | None = None, *, crf: int = 18, **options: object
    ) -> list[PlannedShard]:
        job = known(tmp_path / str(next(numbers)), rows)
        pack = Pack(**{"target_mb": 1.0, **options})  # type: ignore[arg-type]
        chosen, _ = compose(rules or Compose(), job.clips, job.operations, job.ledger)
        return list(plan_shards(chosen, job.operations, pack, crf))

    return planned


def contents(shard: PlannedShard) -> list[tuple[str, str]]:
    keys = shard.samples.clips.table["key"].to_pylist()
    return [(keys[number], made) for number, made in zip(shard.samples.number, shard.samples.operation, strict=True)]


def sized(number: int, size: int, width: int = 64) -> Row:
    return Row(number, bytes=size, width=width)


def test_every_sample_is_planned_once(plan) -> None:  # type: ignore[no-untyped-def]
    rules = Compose(split=Split(test=0.4), derive=(Derive(reverse="loop"),))
    shards = plan([Row(number) for number in range(60)], rules, target_mb=0.02)
    found = sorted(sample for shard in shards for sample in contents(shard))
    assert found == sorted((Row(number).key, made) for number in range(60) for made in ("", "reverse:loop"))
    assert {shard.split for shard in shards} == {"test", "train"}
    assert all(shard.samples.splits() == {shard.split: len(shard.samples)} for shard in shards)
    assert all(shard.name.startswith(f"{shard.split}-{shard.recipe}-") for shard in shards)


def test_the_order_of_the_clips_does_not_matter(plan) -> None:  # type: ignore[no-untyped-def]
    clips = [Row(number) for number in range(30)]
    one, other = plan(clips), plan(clips[::-1])
    assert [(shard.name, contents(shard)) for shard in one] == [(shard.name, contents(shard)) for shard in other]


def test_shards_fill_up_to_the_target(plan) -> None:  # type: ignore[no-untyped-def]
    clips = [sized(number, 200_000 - JSON_BYTES) for number in range(23)]
    shards = plan(clips)
    assert sorted(len(shard.samples) for shard in shards) == [3, 5, 5, 5, 5]
    assert shards[0].bytes == 1_000_000
    big = plan([sized(number, 5_000_000) for number in range(3)])
    assert [len(shard.samples) for shard in big] == [1, 1, 1], "a clip larger than a shard gets one of its own"
    assert sorted(len(shard.samples) for shard in plan(clips, max_samples=4)) == [3, 4, 4, 4, 4, 4]


def test_clips_of_one_shard_agree_in_their_bucket(plan) -> None:  # type: ignore[no-untyped-def]
    clips = [sized(number, 1000, width=64 + 2 * (number % 3)) for number in range(30)]
    shards = plan(clips)
    assert len(shards) == 3
    widths = [{int(shard.samples.clips.column("width")[number]) for number in shard.samples.number} for shard in shards]
    assert sorted(map(sorted, widths)) == [[64], [66], [68]]
    assert len(plan(clips, bucket_by=())) == 1


def test_lengths_are_bucketed_by_powers_of_two(plan) -> None:  # type: ignore[no-untyped-def]
    lengths = [1, 15, 16, 17, 32, 33, 64, 65]
    shards = plan([Row(number, frames=frames) for number, frames in enumerate(lengths)], bucket_by=("length",))
    assert [sorted(shard.samples.frames.tolist()) for shard in shards] == [[1, 15, 16], [17, 32], [33, 64], [65]]


def test_a_shard_is_named_by_what_is_in_it(plan) -> None:  # type: ignore[no-untyped-def]
    clips = [Row(number) for number in range(5)]
    before = plan(clips)
    clips[3] = replace(clips[3], record="other")
    after = plan(clips)
    assert before[0].name != after[0].name
    assert plan(clips, crf=30)[0].name == after[0].name, "nothing in it is encoded at pack"
    loops = Compose(derive=(Derive(reverse="loop"),))
    assert plan(clips, loops, crf=30)[0].name != plan(clips, loops)[0].name


def test_the_names_are_those_of_earlier_versions(plan) -> None:  # type: ignore[no-untyped-def]
    """A plan of the first release, which had one object per clip: datasets made with it are not packed again."""
    clips = [Row(number, answers={"pose": {}, "quality": "absent"}) for number in range(4)]
    assert [shard.name for shard in plan(clips, Compose(derive=(Derive(reverse="loop", share=0.5),)))] == [
        "train-f7144be9c410d958-00000.tar"
    ]


@pytest.mark.parametrize("seed", range(3))
def test_columns_plan_what_plain_loops_plan(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = [{}, "absent", "failed", None]
    clips = [
        Row(
            int(number),
            video=int(rng.integers(1, 30)),
            frames=int(rng.integers(10, 90)),
            width=int(rng.choice([64, 128])),
            bytes=int(rng.integers(1000, 90_000)),
            given=(),
            answers={name: one for name in ("pose", "quality") if (one := said[rng.integers(4)]) is not None},
        )
        for number in rng.permutation(150)
    ]
    job = known(tmp_path, clips)
    rules = Compose(derive=(Derive(reverse="loop", share=0.5), Derive(window_frames=16)), split=Split(test=0.3))
    bucket_by = (("resolution", "length"), ("frames",), ("resolution",))[seed]
    pack = Pack(target_mb=0.2, max_samples=(None, 5, 3)[seed], bucket_by=bucket_by)  # type: ignore[arg-type]
    chosen, _ = compose(rules, job.clips, job.operations, job.ledger)
    found = {shard.name: contents(shard) for shard in plan_shards(chosen, job.operations, pack, 18)}
    rows = {one.key: one.about()["row"] for one in clips}
    assert found == plan_plainly(compose_plainly(rules, job.clips, rows)[0], job.operations, pack, 18)
    assert len(found) > 10
