from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.ledger_rows import Known, Row, known
from tests.pipeline.passes.plainly import compose_plainly
from worldloom.catalogs.catalog import catalog_table
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.funnel import Tally
from worldloom.pipeline.passes.compose import Chosen, check_conditions, compose
from worldloom.pipeline.passes.split_rows import rows_of_clips
from worldloom.pipeline.settings import Compose, Derive, Split
from worldloom.pipeline.splits import draw_sides


def clip(number: int, *, video: int | None = None, frames: int = 20, **answers: Any) -> Row:
    return Row(number, video=video, frames=frames, answers=answers)


def composed(rules: Compose, job: Known, removed: Any = ()) -> tuple[Chosen, Tally]:
    return compose(rules, job.clips, job.operations, job.ledger, removed)


def kept(rules: Compose, job: Known, removed: Any = ()) -> set[int]:
    chosen, tally = composed(rules, job, removed)
    assert tally.balanced and tally.inputs == len(job.clips) and tally.out == len(chosen)
    return {int(key) for key, made in samples(chosen) if not made}


def splits(chosen: Chosen) -> list[str]:
    return [chosen.sides[side] for side in chosen.side.tolist()]


def samples(chosen: Chosen) -> list[tuple[str, str]]:
    keys = chosen.clips.table["key"].to_pylist()
    return [(keys[number], made) for number, made in zip(chosen.number.tolist(), chosen.operation, strict=True)]


def test_nothing_asked_for_keeps_everything(tmp_path: Path) -> None:
    job = known(tmp_path, [clip(1), clip(2, pose="failed"), clip(3, pose="absent")])
    assert kept(Compose(), job) == {1, 2, 3}


def test_what_is_required_must_have_ended_well(tmp_path: Path) -> None:
    given = replace(clip(5), given=("pose",))
    job = known(tmp_path, [clip(1, pose={}), clip(2, pose="failed"), clip(3, pose="absent"), clip(4), given])
    rules = Compose(require=("pose",))
    assert kept(rules, job) == {1, 5}
    assert composed(rules, job)[1].dropped == {"missing_pose": 3}


def test_conditions_drop_under_their_own_reason_and_the_first_counts(tmp_path: Path) -> None:
    clips = [
        clip(1, quality={"brightness": 0.5, "sharpness": 0.9}, pose={"confidence": 0.9}),
        clip(2, quality={"brightness": 0.01, "sharpness": 0.1}, pose={"confidence": 0.9}),
        clip(3, quality={"brightness": 0.5, "sharpness": 0.1}, pose={"confidence": 0.9}),
        clip(4, quality={"brightness": 0.5, "sharpness": 0.9}, pose="failed"),
        clip(5, pose={"confidence": 0.9}),
    ]
    job = known(tmp_path, clips)
    rules = Compose(where={"too_dark": "quality.brightness > 0.1", "blurred": "quality.sharpness > 0.2"})
    assert kept(rules, job) == {1, 4}
    assert composed(rules, job)[1].dropped == {"too_dark": 2, "blurred": 1}, "without a figure no condition holds"
    assert kept(Compose(where="quality.sharpness > 0.2 and pose.confidence > 0.5"), job) == {1}
    assert composed(Compose(where="frames > 20"), job)[1].dropped == {"where": 5}
    assert kept(Compose(where="source.uri = '3.mp4' or pose.status = 'failed'"), job) == {3, 4}
    assert kept(Compose(where="1 = 1"), job) == {1, 2, 3, 4, 5}
    with pytest.raises(UsageError, match="sharpnes"):
        kept(Compose(where="quality.sharpnes > 0.2"), job)


def test_conditions_are_checked_before_anything_runs() -> None:
    check_conditions(Compose(where="quality.anything > 0 and mine.figure < 3 and source.kind = 'folder'"), ["mine"])
    with pytest.raises(UsageError, match=r"no clip has 'posse'.*did you mean 'pose'"):
        check_conditions(Compose(where="posse.confidence > 0"), [])
    with pytest.raises(UsageError, match="no valid condition"):
        check_conditions(Compose(where="quality.sharpness > 0)) --"), [])


def test_a_condition_reads_no_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        kept(Compose(where="(select count(*) from read_text('/etc/hostname')) > 0"), known(tmp_path, [clip(1)]))


def test_a_limit_is_a_lasting_draw(tmp_path: Path) -> None:
    clips = [clip(number) for number in range(10)]
    job = known(tmp_path / "one", clips)
    three = kept(Compose(limit=3), job)
    assert len(three) == 3
    assert three == kept(Compose(limit=3), known(tmp_path / "other", clips[::-1]))
    assert composed(Compose(limit=3), job)[1].dropped == {"over_limit": 7}


def test_the_lengths_of_what_is_derived(tmp_path: Path) -> None:
    rules = (Derive(reverse="loop"), Derive(reverse="plain"), Derive(window_frames=8))
    job = known(tmp_path, [clip(1, frames=21)])
    chosen, tally = composed(Compose(derive=rules), job)
    found = dict(zip(chosen.operation, chosen.frames.tolist(), strict=True))
    assert found == {"": 21, "reverse:loop": 41, "reverse:plain": 21, "window:0:8": 8, "window:8:16": 8}
    assert tally.out == 5
    assert len(np.unique(chosen.order(), axis=0)) == 5
    assert len(composed(Compose(derive=(Derive(window_frames=21),)), job)[0]) == 1


def test_a_share_is_drawn_clip_by_clip(tmp_path: Path) -> None:
    clips = [clip(number) for number in range(400)]
    everything, some = known(tmp_path / "all", clips), known(tmp_path / "some", clips[:100])

    def reversed_clips(share: float, job: Known = everything) -> set[str]:
        chosen, _ = composed(Compose(derive=(Derive(reverse="loop", share=share),)), job)
        return {key for key, made in samples(chosen) if made}

    half = reversed_clips(0.5)
    assert 150 < len(half) < 250
    assert reversed_clips(0.25) < half, "a smaller share is a part of the larger one"
    assert reversed_clips(0.5, some) == half & {one.key for one in clips[:100]}, "others do not matter"
    assert reversed_clips(0.0) == set()
    assert len(reversed_clips(1.0)) == 400


def test_clips_of_one_video_stay_on_one_side(tmp_path: Path) -> None:
    job = known(tmp_path, [clip(number, video=number // 4 + 1) for number in range(400)])
    chosen, _ = composed(Compose(split=Split(test=0.3, val=0.2), derive=(Derive(reverse="loop"),)), job)
    video = job.clips.column("video")[chosen.number]
    sides = set(zip(video.tolist(), splits(chosen), strict=True))
    assert len(sides) == 100
    counts = Counter(split for _, split in sides)
    assert 15 < counts["test"] < 45 and 8 < counts["val"] < 35 and 35 < counts["train"] < 65
    by_clip, _ = composed(Compose(split=Split(by="clip", test=0.3)), job)
    assert len(set(zip(job.clips.column("video")[by_clip.number].tolist(), splits(by_clip), strict=True))) > 100
    assert "by clip" in " ".join(by_clip.notes)
    assert set(splits(composed(Compose(), job)[0])) == {"train"}


def test_a_side_that_stayed_empty_is_said(tmp_path: Path) -> None:
    job = known(tmp_path / "many", [clip(number, video=number + 1) for number in range(40)])
    one = known(tmp_path / "one", [clip(0, video=1)])
    rules = Compose(split=Split(test=0.5))
    chosen, _ = composed(rules, one)
    other = "train" if splits(chosen) == ["test"] else "test"
    assert f"no source fell into '{other}'" in " ".join(chosen.notes)
    assert composed(rules, job)[0].notes == ()
    assert composed(Compose(), job)[0].notes == (), "nobody asked for a test side"
    assert composed(rules, known(tmp_path / "none", []))[0].notes == ()


def test_clips_are_split_by_an_attribute_that_the_source_gives(tmp_path: Path) -> None:
    clips = [
        replace(clip(number, video=number + 1), attributes={"scene": f"house {number % 20}"}) for number in range(200)
    ]
    clips += [clip(900, video=900), replace(clip(901, video=901), attributes={"scene": ""})]
    job = known(tmp_path, clips)
    chosen, _ = composed(Compose(split=Split(by="scene", test=0.3), derive=(Derive(reverse="plain"),)), job)
    scenes = job.clips.column("video")[chosen.number] % 20
    of_scene = set(
        zip(scenes[chosen.number < 200].tolist(), np.array(splits(chosen))[chosen.number < 200], strict=True)
    )
    assert len(of_scene) == 20 and {"test", "train"} == {side for _, side in of_scene}
    assert chosen.notes == ("compose.split: 2 of 202 clips have no 'scene'; they are split by their source",)
    with pytest.raises(UsageError, match=r"no clip has the attribute 'scenes'; did you mean 'scene'"):
        composed(Compose(split=Split(by="attributes.scenes", test=0.3)), job)


def test_what_is_appended_joins_what_is_there(tmp_path: Path) -> None:
    """The dataset has a clip of each video on the side where a draw would not put it."""
    job = known(tmp_path, [clip(number, video=number // 2 + 1) for number in range(80)])
    rules = Compose(split=Split(test=0.5))
    drawn = dict(
        zip((key for key, _ in samples(composed(rules, job)[0])), splits(composed(rules, job)[0]), strict=True)
    )
    there = [
        {**one.about()["row"], "split": "test" if drawn[one.key] == "train" else "train", "parents": []}
        for one in (clip(number, video=number // 2 + 1) for number in range(0, 80, 2))
    ]
    placed = catalog_table(there)
    chosen, _ = compose(rules, job.clips, job.operations, job.ledger, placed=placed)
    found = dict(zip((key for key, _ in samples(chosen)), splits(chosen), strict=True))
    assert all(found[key] != drawn[key] for key in found), "the other clip of each video is where the first one is"
    assert "stay in the split where the dataset has them" in " ".join(chosen.notes)


def test_near_duplicates_and_scenes_of_the_dataset_are_on_one_side(tmp_path: Path) -> None:
    clips = [replace(clip(number, video=number + 1), attributes={"scene": f"s{number // 2}"}) for number in range(80)]
    job = known(tmp_path, clips)
    rules = Compose(split=Split(test=0.5))
    groups = np.where(np.arange(80) < 60, np.arange(80) // 3, -1)
    alike = draw_sides(rows_of_clips(rules.split, job.clips, job.ledger, None, groups), rules.split)
    assert len(set(zip(groups[:60].tolist(), alike.side[:60].tolist(), strict=True))) == 20
    assert len(np.unique(alike.unit[60:])) == 20 and set(alike.side.tolist()) == {0, 1}
    assert len({(number // 3, one) for number, one in enumerate(splits(composed(rules, job)[0]))}) > 30
    there = catalog_table([{**clip(900).about()["row"], "split": "val", "parents": [], "attributes": {"scene": "s7"}}])
    by_scene = Compose(split=Split(by="scene", test=0.5))
    joined, _ = compose(by_scene, job.clips, job.operations, job.ledger, placed=there)
    side = dict(zip(joined.number.tolist(), splits(joined), strict=True))
    assert [number for number, one in side.items() if one == "val"] == [14, 15], "the scene is in val already"


def test_what_was_taken_down_stays_down(tmp_path: Path) -> None:
    clips = [clip(number, video=number // 2 + 1, pose={}) for number in range(6)]
    job = known(tmp_path, clips)
    loops = Compose(derive=(Derive(reverse="loop"),), require=("pose",))
    everything, _ = composed(loops, job)
    derived = dict(zip(samples(everything), everything.sample_keys(), strict=True))[clips[5].key, "reverse:loop"]
    removed = [{"key": clips[0].key, "uri": "0.mp4"}, {"sha256": f"{2:064x}"}, {"key": derived}]
    chosen, tally = composed(loops, job, removed)
    assert kept(loops, job, removed) == {1, 4, 5}
    assert tally.dropped == {"taken_down": 3} and tally.balanced
    assert (clips[5].key, "reverse:loop") not in samples(chosen) and (clips[4].key, "reverse:loop") in samples(chosen)


@pytest.mark.parametrize("seed", range(3))
def test_columns_choose_what_plain_loops_choose(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def figures(sharp: float) -> Any:
        return rng.choice(["failed", "absent"]) if rng.random() < 0.2 else {"sharpness": sharp}

    clips = [
        Row(
            int(number),
            video=int(rng.integers(1, 40)),
            frames=int(rng.integers(10, 90)),
            given=(),
            answers={
                "quality": figures(rng.random()),
                **({"pose": {"confidence": rng.random()}} if rng.random() < 0.7 else {}),
            },
        )
        for number in rng.permutation(120)
    ]
    job = known(tmp_path, clips)
    rows = {}
    for one in clips:
        rows[one.key] = one.about()["row"]
        for name, said in one.answers.items():
            who = {"status": said, "reason": "because", "confidence": 0.0} if said == "failed" else None
            if who or not isinstance(said, str):
                rows[one.key][name] = who or {"status": "ok", "confidence": 1.0, **said}
    rules = Compose(
        require=("quality",),
        where={"blurred": "quality.sharpness > 0.2", "long": "frames < 80", "lost": "pose.confidence > 0.1"},
        derive=(Derive(reverse="loop", share=0.5), Derive(window_frames=16, share=0.7)),
        limit=30,
        split=Split(by="clip" if seed else "source", test=0.3),
    )
    chosen, tally = composed(rules, job)
    plain, reasons = compose_plainly(rules, job.clips, rows)
    found = zip(samples(chosen), splits(chosen), chosen.frames.tolist(), strict=True)
    assert sorted((key, made, split, frames) for (key, made), split, frames in found) == sorted(
        (one.clip.key, one.operation, one.split, one.frames) for one in plain
    )
    assert tally.dropped == dict(sorted(Counter(reasons.values()).items())) and len(tally.dropped) == 5
