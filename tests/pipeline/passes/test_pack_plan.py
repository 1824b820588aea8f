from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.pipeline.passes.test_compose import clip
from worldloom.pipeline.known import KnownClip
from worldloom.pipeline.passes.compose import compose
from worldloom.pipeline.passes.pack import JSON_BYTES, PlannedShard, plan_shards
from worldloom.pipeline.settings import Compose, Derive, Split


def plan(clips: Sequence[KnownClip], rules: Compose | None = None, **options: object) -> list[PlannedShard]:
    values = {"bucket_by": ("resolution",), "target_mb": 1.0, "crf": 18, **options}
    return list(plan_shards(compose(rules or Compose(), list(clips))[0], [], **values))  # type: ignore[arg-type]


def sized(number: int, size: int, width: int = 64) -> KnownClip:
    one = clip(number)
    one.about = {"bytes": size, "row": {**one.about["row"], "width": width}}
    return one


def test_every_sample_is_planned_once() -> None:
    rules = Compose(split=Split(test=0.4), derive=(Derive(reverse="loop", share=0.5),))
    clips = [clip(number) for number in range(60)]
    shards = plan(clips, rules, target_mb=0.02)
    found = sorted((sample.clip.key, sample.operation) for shard in shards for sample in shard.samples)
    assert found == sorted((sample.clip.key, sample.operation) for sample in compose(rules, clips)[0])
    assert all(sample.split == shard.split for shard in shards for sample in shard.samples)
    assert all(shard.name.startswith(f"{shard.split}-{shard.recipe}-") for shard in shards)


def test_the_order_of_the_clips_does_not_matter() -> None:
    clips = [clip(number) for number in range(30)]
    assert plan(clips) == plan(clips[::-1])


def test_shards_fill_up_to_the_target() -> None:
    shards = plan([sized(number, 200_000 - JSON_BYTES) for number in range(23)])
    assert sorted(len(shard.samples) for shard in shards) == [3, 5, 5, 5, 5]
    big = plan([sized(number, 5_000_000) for number in range(3)])
    assert [len(shard.samples) for shard in big] == [1, 1, 1], "a clip larger than a shard gets one of its own"


def test_clips_of_one_shard_agree_in_their_bucket() -> None:
    clips = [sized(number, 1000, width=64 + 2 * (number % 3)) for number in range(30)]
    shards = plan(clips)
    assert len(shards) == 3
    assert all(len({sample.clip.about["row"]["width"] for sample in shard.samples}) == 1 for shard in shards)
    assert len(plan(clips, bucket_by=())) == 1


def test_a_shard_is_named_by_what_is_in_it() -> None:
    clips = [clip(number) for number in range(5)]
    before = plan(clips)
    clips[3] = replace(clips[3], record_digest="other")
    after = plan(clips)
    assert before[0].name != after[0].name
    assert plan(clips, crf=30) == after, "nothing in it is encoded at pack"
    loops = Compose(derive=(Derive(reverse="loop"),))
    assert plan(clips, loops, crf=30)[0].name != plan(clips, loops)[0].name
