from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.known import KnownClip
from worldloom.pipeline.ledger import Entry
from worldloom.pipeline.passes.compose import check_conditions, compose, empty_split, split_of
from worldloom.pipeline.settings import Compose, Derive, Split


def clip(number: int, *, video: int | None = None, frames: int = 20, **answers: Any) -> KnownClip:
    """A clip whose answers are dicts of figures, or words: `absent` or `failed`."""
    key = f"{number:026d}"
    row = {"key": key, "frames": frames, "fps": 10.0, "width": 64, "height": 48, "seconds": frames / 10}
    known = KnownClip(
        key, "s", ("part", 0), "d", {"bytes": 1000, "row": row}, (), str(video or number), f"folder:x:{number}"
    )
    for name, answer in answers.items():
        if isinstance(answer, str):
            known.answers[name] = Entry(key, name, "r", "s", answer, reason="because")
        else:
            who = {"status": "ok", "confidence": answer.pop("confidence", 1.0)}
            known.answers[name] = Entry(key, name, "r", "s", "ok", told=json.dumps({name: {**who, **answer}}))
    return known


def kept(rules: Compose, clips: list[KnownClip]) -> set[int]:
    samples, tally = compose(rules, clips)
    assert tally.balanced and tally.inputs == len(clips) and tally.out == len(samples)
    return {int(sample.clip.key) for sample in samples if not sample.operation}


def test_nothing_asked_for_keeps_everything() -> None:
    clips = [clip(1), clip(2, pose="failed"), clip(3, pose="absent")]
    assert kept(Compose(), clips) == {1, 2, 3}


def test_what_is_required_must_have_ended_well() -> None:
    clips = [clip(1, pose={}), clip(2, pose="failed"), clip(3, pose="absent"), clip(4)]
    given = clip(5)
    given.given = ("pose",)
    rules = Compose(require=("pose",))
    assert kept(rules, [*clips, given]) == {1, 5}
    assert compose(rules, clips)[1].dropped == {"missing_pose": 3}


def test_conditions_drop_under_their_own_reason_and_the_first_counts() -> None:
    clips = [
        clip(1, quality={"brightness": 0.5, "sharpness": 0.9}, pose={"confidence": 0.9}),
        clip(2, quality={"brightness": 0.01, "sharpness": 0.1}, pose={"confidence": 0.9}),
        clip(3, quality={"brightness": 0.5, "sharpness": 0.1}, pose={"confidence": 0.9}),
        clip(4, quality={"brightness": 0.5, "sharpness": 0.9}, pose="failed"),
        clip(5, pose={"confidence": 0.9}),
    ]
    rules = Compose(where={"too_dark": "quality.brightness > 0.1", "blurred": "quality.sharpness > 0.2"})
    assert kept(rules, clips) == {1, 4}
    assert compose(rules, clips)[1].dropped == {"too_dark": 2, "blurred": 1}, "without a figure no condition holds"
    assert kept(Compose(where="quality.sharpness > 0.2 and pose.confidence > 0.5"), clips) == {1}
    assert compose(Compose(where="frames > 20"), clips)[1].dropped == {"where": 5}


def test_conditions_are_checked_before_anything_runs() -> None:
    check_conditions(Compose(where="quality.anything > 0 and mine.figure < 3 and source.kind = 'folder'"), ["mine"])
    with pytest.raises(UsageError, match=r"no clip has 'posse'.*did you mean 'pose'"):
        check_conditions(Compose(where="posse.confidence > 0"), [])
    with pytest.raises(UsageError, match="no valid condition"):
        check_conditions(Compose(where="quality.sharpness > 0)) --"), [])


def test_a_condition_reads_no_files() -> None:
    with pytest.raises(UsageError):
        compose(Compose(where="(select count(*) from read_text('/etc/hostname')) > 0"), [clip(1)])


def test_a_limit_is_a_lasting_draw() -> None:
    clips = [clip(number) for number in range(10)]
    three = kept(Compose(limit=3), clips)
    assert len(three) == 3
    assert three == kept(Compose(limit=3), clips[::-1])
    assert compose(Compose(limit=3), clips)[1].dropped == {"over_limit": 7}


def test_the_lengths_of_what_is_derived() -> None:
    rules = (Derive(reverse="loop"), Derive(reverse="plain"), Derive(window_frames=8))
    samples, tally = compose(Compose(derive=rules), [clip(1, frames=21)])
    found = {sample.operation: sample.frames for sample in samples}
    assert found == {"": 21, "reverse:loop": 41, "reverse:plain": 21, "window:0:8": 8, "window:8:16": 8}
    assert tally.out == 5
    assert len({sample.order for sample in samples}) == 5
    assert len(compose(Compose(derive=(Derive(window_frames=21),)), [clip(1, frames=21)])[0]) == 1


def test_a_share_is_drawn_clip_by_clip() -> None:
    clips = [clip(number) for number in range(400)]

    def reversed_clips(share: float, among: list[KnownClip]) -> set[str]:
        samples, _ = compose(Compose(derive=(Derive(reverse="loop", share=share),)), among)
        return {sample.clip.key for sample in samples if sample.operation}

    half = reversed_clips(0.5, clips)
    assert 150 < len(half) < 250
    assert reversed_clips(0.25, clips) < half, "a smaller share is a part of the larger one"
    assert reversed_clips(0.5, clips[:100]) == half & {one.key for one in clips[:100]}, "others do not matter"
    assert reversed_clips(0.0, clips) == set()
    assert len(reversed_clips(1.0, clips)) == 400


def test_clips_of_one_video_stay_on_one_side() -> None:
    clips = [clip(number, video=number // 4 + 1) for number in range(400)]
    rules = Compose(split=Split(test=0.3), derive=(Derive(reverse="loop"),))
    sides: dict[str, set[str]] = {}
    for sample in compose(rules, clips)[0]:
        sides.setdefault(sample.clip.sha256, set()).add(sample.split)
    assert all(len(side) == 1 for side in sides.values())
    counts = Counter(next(iter(side)) for side in sides.values())
    assert 15 < counts["test"] < 45
    by_clip = Compose(split=Split(by="clip", test=0.3))
    assert any(split_of(clips[number], by_clip) != split_of(clips[number + 1], by_clip) for number in range(0, 400, 4))
    assert {split_of(one, Compose()) for one in clips} == {"train"}


def test_a_side_that_stayed_empty_is_said() -> None:
    clips = [clip(number, video=number + 1) for number in range(40)]
    one = clips[:1]
    rules = Compose(split=Split(test=0.5))
    chosen, _ = compose(rules, one)
    assert f"no source fell into '{'train' if chosen[0].split == 'test' else 'test'}'" in empty_split(rules, chosen)
    assert empty_split(rules, compose(rules, clips)[0]) == ""
    assert empty_split(Compose(), compose(Compose(), clips)[0]) == "", "nobody asked for a test side"
    assert empty_split(rules, []) == ""
