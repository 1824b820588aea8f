from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.ledger_rows import Known, Row, known
from tests.pipeline.test_copies import walk, words
from worldloom.annotators.embedding import vectors_to_text
from worldloom.annotators.fingerprint import to_text
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.copies import Match
from worldloom.pipeline.duplicates import Copies, duplicate_groups, find_duplicates, groups_of, worse_copies
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.likeness import Duplicates
from worldloom.pipeline.passes.compose import Chosen, compose
from worldloom.pipeline.passes.dropped import read_dropped, write_dropped
from worldloom.pipeline.rules import RULES, SETS
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Compose, Job

BEST = Compose(duplicates=Duplicates())


def shown(pictures: np.ndarray, borders: tuple[float, ...] = (0, 0, 0, 0)) -> dict[str, Any]:
    found = words(pictures)
    texts = {name: to_text(getattr(found, name)) for name in ("sight", "inner", "motion")}
    return {"confidence": 1.0, "notes": json.dumps({"rate": found.rate, "borders": borders, **texts})}


def clip(number: int, pictures: np.ndarray, sharp: float = 0.5, **values: Any) -> Row:
    borders = values.pop("borders", (0, 0, 0, 0))
    answers = {"fingerprint": shown(pictures, borders), "quality": {"sharpness": sharp}}
    return Row(number, answers=answers, **values)


def dropped(rules: Compose, job: Known) -> dict[int, dict[str, Any]]:
    """What is told about each dropped clip, with its reason."""
    chosen, tally = compose(rules, job.clips, job.operations, job.ledger)
    assert tally.balanced
    rows = chosen.dropped.to_pylist()
    assert sum(tally.dropped.values()) == len(rows) == len(job.clips) - len(chosen)
    return {int(row["key"]): {"reason": row["reason"], **json.loads(row["told"])} for row in rows}


def test_the_best_copy_stays_and_the_others_name_it(tmp_path: Path) -> None:
    rows = [
        clip(1, walk(0), width=64),
        clip(2, walk(0, 0, 7.5), width=128),
        clip(3, walk(0)[:, :, ::-1], width=128),
        clip(4, walk(1)),
        Row(5, answers={"fingerprint": "absent", "quality": {"sharpness": 0.5}}),
    ]
    found = dropped(BEST, known(tmp_path, rows))
    assert {number: row["same_as"] for number, row in found.items()} == {1: rows[2].key, 2: rows[2].key}
    assert found[1]["reason"] == "duplicate" and found[1]["how"] == "mirrored"
    assert found[1]["same_as_uri"] == "3.mp4" and found[1]["share"] == 1.0


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"width": 80}, {"width": 64, "sharp": 0.9}),
        ({"sharp": 0.6}, {"sharp": 0.5}),
        ({"width": 64, "height": 48}, {"width": 64, "height": 64, "borders": (0.2, 0.2, 0, 0)}),
        ({}, {}),
    ],
    ids=["more pixels", "sharper", "without its borders", "the smaller key"],
)
def test_which_of_two_stays(tmp_path: Path, better: dict[str, Any], worse: dict[str, Any]) -> None:
    assert list(dropped(BEST, known(tmp_path, [clip(1, walk(0), **better), clip(2, walk(0), **worse)]))) == [2]
    if better:
        turned = known(tmp_path / "turned", [clip(1, walk(0), **worse), clip(2, walk(0), **better)])
        assert list(dropped(BEST, turned)) == [1]


def test_a_longer_clip_is_not_lost_for_a_short_one_that_has_more_pixels(tmp_path: Path) -> None:
    rows = [clip(1, walk(0, 0, 9)), clip(2, walk(0, 3, 6), width=128)]
    assert dropped(BEST, known(tmp_path / "kept", rows)) == {}
    greedy = Compose(duplicates=Duplicates(covered=0.25))
    assert list(dropped(greedy, known(tmp_path / "greedy", rows))) == [1]


def test_what_was_derived_from_a_clip_is_no_copy_of_it(tmp_path: Path) -> None:
    """A dataset that is taken over has loops in it: longer than their clip, and with all of it inside."""
    there = walk(0)
    loop = np.concatenate([there, there[-2::-1]])
    parent = Row(1).key
    rows = [clip(1, there), clip(2, loop, parents=(parent,)), clip(3, walk(0, 0, 6), parents=(parent,))]
    job = known(tmp_path / "family", rows)
    assert find_duplicates(job.clips, job.ledger, Duplicates()).matches, "they are alike all the same"
    assert dropped(BEST, job) == {}
    strangers = known(tmp_path / "strangers", [clip(1, there), clip(2, loop)])
    assert list(dropped(BEST, strangers)) == [1]


def test_a_copy_of_what_fails_a_condition_stays(tmp_path: Path) -> None:
    job = known(tmp_path, [clip(1, walk(0), sharp=0.1, width=128), clip(2, walk(0))])
    rules = Compose(where={"blurred": "quality.sharpness > 0.2"}, duplicates=Duplicates())
    assert dropped(rules, job) == {1: {"reason": "blurred", "quality.sharpness": 0.1}}


def test_what_is_a_copy_only_of_a_dropped_copy_stays(tmp_path: Path) -> None:
    job = known(tmp_path, [clip(1, walk(0, 0, 5)), clip(2, walk(0, 2.5, 7.5)), clip(3, walk(0, 5, 10))])
    assert list(dropped(BEST, job)) == [2]
    assert duplicate_groups(job.clips, job.ledger, job.operations, BEST).tolist() == [0, 0, 0]


def test_keep_all_drops_nothing_and_still_says_what_belongs_together(tmp_path: Path) -> None:
    job = known(tmp_path, [clip(n, walk(n % 2)) for n in range(5)])
    rules = Compose(duplicates=Duplicates(keep="all"))
    assert dropped(rules, job) == {}
    assert duplicate_groups(job.clips, job.ledger, job.operations, rules).tolist() == [0, 1, 0, 1, 0]
    assert duplicate_groups(job.clips, job.ledger, job.operations, Compose()).tolist() == list(range(5))


def test_a_threshold_decides_without_another_fingerprint(tmp_path: Path) -> None:
    job = known(tmp_path, [clip(1, walk(0)), clip(2, walk(0, 1.125, 8))])
    assert list(dropped(BEST, job)) == [2]
    assert dropped(Compose(duplicates=Duplicates(distance=0)), job) == {}


def test_a_job_without_fingerprints_finds_nothing(tmp_path: Path) -> None:
    job = known(tmp_path, [Row(1, answers={"quality": {"sharpness": 0.5}})])
    assert find_duplicates(job.clips, job.ledger, Duplicates()).matches == []


def test_groups_are_connected_components() -> None:
    assert groups_of(7, [(5, 6), (1, 2), (2, 5)]).tolist() == [0, 1, 1, 3, 4, 1, 1]
    assert groups_of(0, []).tolist() == []


def test_drops_do_not_depend_on_the_order_of_the_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [clip(n, walk(n % 3), sharp=float(rng.random()), width=int(rng.choice([64, 128]))) for n in range(9)]
    found = dropped(BEST, known(tmp_path / "one", rows))
    assert len(found) == 6
    assert found == dropped(BEST, known(tmp_path / "other", rows[::-1]))


def test_only_clips_that_are_left_compete(tmp_path: Path) -> None:
    job = known(tmp_path, [clip(n, walk(0)) for n in range(3)])
    matches = [Match(a, b, "same", "", 1.0, 0.0, 1.0, 1.0, 0.0) for a, b in ((0, 1), (0, 2), (1, 2))]
    copies = Copies(matches, np.ones(3), np.ones(3))
    found = worse_copies(copies, job.clips, {1: 0.5, 2: 0.4}, Duplicates())
    assert [(one.number, one.of) for one in found] == [(2, 1)]


@pytest.mark.parametrize("keep", ["best", "all"])
def test_a_copy_does_not_take_the_place_of_what_was_taken_down(tmp_path: Path, keep: Any) -> None:
    # Taken down is the best of two copies; it is a third of the third; the fourth is another.
    rows = [clip(1, walk(0, 3, 6.5), width=128), clip(2, walk(0, 3, 6.5)), clip(3, walk(0, 0, 10)), clip(4, walk(1))]
    job = known(tmp_path, rows)
    rules = Compose(duplicates=Duplicates(keep=keep))
    chosen, tally = compose(rules, job.clips, job.operations, job.ledger, [{"key": rows[0].key}])
    assert tally.balanced and dict(tally.dropped) == {"taken_down": 3}
    told = {row["key"]: json.loads(row["told"]) for row in chosen.dropped.to_pylist()}
    assert told[rows[1].key]["same_as"] == told[rows[2].key]["same_as"] == rows[0].key and told[rows[0].key] == {}
    assert chosen.sample_keys() == [rows[3].key]


def test_what_was_dropped_lies_in_a_file(tmp_path: Path) -> None:
    job = known(tmp_path, [clip(1, walk(0)), clip(2, walk(0))])
    layout = Layout(tmp_path)
    assert len(read_dropped(layout)) == 0
    chosen, _ = compose(BEST, job.clips, job.operations, job.ledger)
    write_dropped(layout, chosen.dropped)
    assert read_dropped(layout).to_pylist() == chosen.dropped.to_pylist()
    assert read_dropped(layout)["reason"].to_pylist() == ["duplicate"]


def test_rules_stand_for_their_conditions_before_those_of_the_job() -> None:
    rules = Compose(rules="light", where="frames > 3")
    assert list(rules.conditions()) == ["too_dark", "burnt_out", "no_contrast", "flickers", "where"]
    assert rules.required() == ("quality",)
    assert Compose(rules=("has_cuts", "too_dark"), require=("pose",)).required() == ("pose", "quality", "shots")
    mine = Compose(rules="default", where={"too_dark": "quality.dark < 0.9"})
    assert mine.conditions()["too_dark"] == "quality.dark < 0.9"
    assert Compose().conditions() == {} and {name for one in SETS.values() for name in one} <= RULES.keys()


def test_a_row_is_counted_under_the_first_rule_it_fails_with_the_figure(tmp_path: Path) -> None:
    good = {"dark": 0.1, "burnt": 0.0, "contrast": 0.2, "flicker": 0.0}
    rows = [
        Row(1, answers={"quality": good}),
        Row(2, answers={"quality": {**good, "dark": 0.7, "contrast": 0.01}}),
        Row(3, answers={"quality": {**good, "contrast": 0.01}}),
        Row(4, answers={"quality": "failed"}),
    ]
    assert dropped(Compose(rules="light"), known(tmp_path, rows)) == {
        2: {"reason": "too_dark", "quality.dark": 0.7},
        3: {"reason": "no_contrast", "quality.contrast": 0.01},
        4: {"reason": "missing_quality"},
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"compose": {"duplicates": {"keep": "best"}}}, "add 'fingerprint' to annotate"),
        ({"compose": {"rules": "default"}, "annotate": ["shots"]}, "add it to annotate"),
        ({"compose": {"rules": ["to_dark"]}}, "did you mean 'too_dark'"),
        ({"compose": {"duplicates": {"kep": "best"}}}, "did you mean 'keep'"),
        ({"compose": {"duplicates": "some"}}, "keep"),
        ({"compose": {"duplicates": {"distance": 40}}}, "24"),
        (
            {"compose": {"duplicates": {"embedding": 0.9}}, "annotate": ["fingerprint"]},
            "add 'embedding: {weights: FOLDER}'",
        ),
        ({"compose": {"duplicates": {"embedding": 1.1}}}, "embedding"),
        ({"annotate": ["embedding"]}, "weights"),
        ({"annotate": [{"embedding": {"weights": "nowhere"}}]}, "no such folder: /.*/nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    make_job: Callable[..., Job], videos: Path, values: dict[str, Any], message: str
) -> None:
    source = {"kind": "folder", "path": str(videos), "licence": "none"}
    with pytest.raises(UsageError, match=message):
        run_job(make_job(sources=[source], **values), dry_run=True)


def side_names(chosen: Chosen) -> list[str]:
    return [chosen.sides[side] for side in chosen.side.tolist()]


@pytest.mark.parametrize("keep", ["best", "all"])
def test_copies_never_lie_on_both_sides_of_a_split(tmp_path: Path, keep: Any) -> None:
    # Every second clip is a copy of the one before it that shares a third: too little to be dropped for.
    pairs = [clip(2 * n + k, walk(n, 4 * k, 6 + 4 * k)) for n in range(14) for k in range(2)]
    job = known(tmp_path, pairs)
    rules = Compose.model_validate({"duplicates": {"keep": keep}, "split": {"by": "source", "test": 0.5}})
    chosen, _ = compose(rules, job.clips, job.operations, job.ledger)
    sides: dict[int, set[str]] = {}
    for number, side in zip(chosen.number.tolist(), side_names(chosen), strict=True):
        sides.setdefault(int(job.clips.table["key"][number].as_py()) // 2, set()).add(side)
    assert len(chosen) == 28 and all(len(one) == 1 for one in sides.values())
    assert len({next(iter(one)) for one in sides.values()}) == 2
    apart, _ = compose(rules.model_copy(update={"duplicates": None}), job.clips, job.operations, job.ledger)
    assert side_names(apart) != side_names(chosen), "without the copies known, some lie on both"


def seen(number: int, vectors: np.ndarray, weights: str = "w", **values: Any) -> Row:
    """A clip with a fingerprint like no other, and these embeddings."""
    notes = {"weights": weights, "width": vectors.shape[1], "vectors": vectors_to_text(vectors)}
    row = clip(number, walk(50 + number), **values)
    row.answers["embedding"] = {"confidence": 1.0, "notes": json.dumps(notes)}
    return row


def near(vectors: np.ndarray, by: float, seed: int = 0) -> np.ndarray:
    """Vectors at a cosine of about 1 / sqrt(1 + by^2)."""
    noise = np.random.default_rng(seed).normal(size=vectors.shape)
    return vectors + by * noise * np.linalg.norm(vectors, axis=1, keepdims=True) / np.sqrt(vectors.shape[1])


def scene(seed: int, frames: int = 4, width: int = 64) -> np.ndarray:
    return np.random.default_rng(1000 + seed).normal(size=(frames, width))


BY_SIGHT = Compose(duplicates=Duplicates(embedding=0.95))


def test_what_no_hash_finds_is_found_by_its_embedding_and_told(tmp_path: Path) -> None:
    rows = [seen(1, scene(0)), seen(2, near(scene(0), 0.2), width=128), seen(3, scene(1)), seen(4, near(scene(1), 0.5))]
    job = known(tmp_path, rows)
    assert dropped(BEST, job) == {}
    found = dropped(BY_SIGHT, job)
    told = {"same_as": rows[1].key, "same_as_uri": "2.mp4", "share": 1.0, "how": "embedding cosine 0.98"}
    assert found == {1: {"reason": "duplicate", **told}}
    assert list(dropped(Compose(duplicates=Duplicates(embedding=0.8)), job)) == [1, 4]
    assert duplicate_groups(job.clips, job.ledger, job.operations, BY_SIGHT).tolist() == [0, 0, 2, 3]
    assert dropped(Compose(duplicates=Duplicates(embedding=0.95, keep="all")), job) == {}


def test_a_pair_that_hashes_find_is_told_by_its_hashes(tmp_path: Path) -> None:
    rows = [seen(1, scene(0)), seen(2, scene(0))]
    rows[1].answers["fingerprint"] = rows[0].answers["fingerprint"]
    job = known(tmp_path, rows)
    assert dropped(BY_SIGHT, job) == dropped(BEST, job)
    assert len(find_duplicates(job.clips, job.ledger, Duplicates(embedding=0.95)).matches) == 1


def test_hashes_and_embeddings_link_one_group(tmp_path: Path) -> None:
    rows = [seen(1, scene(0)), seen(2, near(scene(0), 0.2)), seen(3, scene(2))]
    rows[2].answers["fingerprint"] = rows[1].answers["fingerprint"]
    job = known(tmp_path, rows)
    assert duplicate_groups(job.clips, job.ledger, job.operations, BEST).tolist() == [0, 1, 1]
    assert duplicate_groups(job.clips, job.ledger, job.operations, BY_SIGHT).tolist() == [0, 0, 0]


def test_vectors_of_other_weights_or_sizes_are_not_compared(tmp_path: Path) -> None:
    rows = [seen(1, scene(0)), seen(2, scene(0), weights="others"), seen(3, scene(0)[:2]), seen(4, scene(0, 4, 32))]
    assert dropped(BY_SIGHT, known(tmp_path, rows)) == {}


def test_stretches_of_one_file_are_no_copies_by_their_embeddings(tmp_path: Path) -> None:
    rows = [seen(1, scene(0), video=1), seen(2, scene(0), video=1), seen(3, scene(1))]
    assert dropped(BY_SIGHT, known(tmp_path, rows)) == {}


def test_a_clip_with_an_answer_set_by_hand_and_one_without_detail_match_nothing(tmp_path: Path) -> None:
    rows = [seen(1, scene(0)), seen(2, scene(0)), seen(3, scene(0))]
    rows[1].answers["embedding"] = {"confidence": 1.0}
    rows[2].answers["embedding"] = "absent"
    assert dropped(BY_SIGHT, known(tmp_path, rows)) == {}


def test_what_embeddings_link_never_lies_on_both_sides_of_a_split(tmp_path: Path) -> None:
    rows = [seen(2 * n + k, near(scene(n), 0.1 * k)) for n in range(14) for k in range(2)]
    job = known(tmp_path, rows)
    split = {"by": "source", "test": 0.5}
    straddling = []
    for asked in ({"keep": "all", "embedding": 0.95}, {"keep": "all"}):
        rules = Compose.model_validate({"duplicates": asked, "split": split})
        chosen, _ = compose(rules, job.clips, job.operations, job.ledger)
        sides: dict[int, set[str]] = {}
        for number, side in zip(chosen.number.tolist(), side_names(chosen), strict=True):
            sides.setdefault(int(job.clips.table["key"][number].as_py()) // 2, set()).add(side)
        assert {side for one in sides.values() for side in one} == {"train", "test"}
        straddling.append(sum(len(one) == 2 for one in sides.values()))
    assert straddling[0] == 0 < straddling[1]
