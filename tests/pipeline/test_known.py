"""What the driver knows: clips and answers as columns, and people's word above all others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.pipeline.ledger_rows import INGEST, Known, Row, answer, ingested, known, look_up, operation
from worldloom.pipeline.engine import Engine
from worldloom.pipeline.known import annotate_tallies, ingest_tally, known_clips
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import HUMAN, WITHDRAWN, Entry, Ledger, wanted_rows
from worldloom.pipeline.passes.annotate import _dearest_first, _find_due, annotate
from worldloom.pipeline.passes.compose import figures
from worldloom.pipeline.passes.work import Work
from worldloom.pipeline.progress import Silent
from worldloom.pipeline.settings import Execution, Job

CHAIN = [
    operation("pose"),
    operation("actions", after=["pose"]),
    operation("events", after=["actions"]),
    operation("depth"),
]
"""pose -> actions -> events, and depth beside them."""

EVERYTHING = {"pose": {}, "actions": {}, "events": {}, "depth": {}}


def set_by_hand(row: Row, name: str, digest: str = "by hand") -> Entry:
    return Entry(row.key, name, HUMAN, "whatever", "ok", digest=digest, part="part-hand", row=3, bytes=7)


def due(out: Path, job: Known, retry: str = "") -> dict[str, set[int]]:
    """Numbers of the clips that a run would work on, by operation."""
    work = working(out, job, retry)
    annotate(work, job.clips, job.operations)
    found = {
        name: set(np.flatnonzero(rows).tolist()) for name, rows in _find_due(work, job.clips, job.operations).items()
    }
    assert {name: len(rows) for name, rows in found.items()} == {name: count for name, (count, _) in work.due.items()}
    return {name: rows for name, rows in found.items() if rows}


def working(out: Path, job: Known, retry: str = "") -> Work:
    execution = Execution(workers=1)
    plain = Job.model_construct(execution=execution)
    return Work(plain, Layout(out), job.ledger, Engine(execution), Silent(), retry=retry, dry=True)


def test_a_clip_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [Row(3, frames=33, given=("pose", "subjects")), Row(1, video=7, answers={"depth": {}}), Row(2, video=7)]
    job = known(tmp_path, rows, CHAIN)
    one, other, last = job.clips.rows()
    assert (one.key, one.frames, one.given, one.item, one.uri) == (
        rows[0].key,
        33,
        ("pose", "subjects"),
        "item:3",
        "3.mp4",
    )
    assert one.record == ("part-3", 3) and one.bytes == 1000 and one.answers == {}
    assert other.record == last.record and other.item == last.item == "item:7"
    assert other.answers["depth"].status == "ok" and job.clips.clip(1) == other
    assert job.clips.given("pose").tolist() == [True, False, False]
    assert [clip.number for clip in job.clips.rows([2, 0])] == [2, 0]


def test_the_first_video_keeps_a_clip_that_two_have(tmp_path: Path) -> None:
    twice = Row(1)
    with Ledger(tmp_path, writable=True) as ledger:
        # Written in another order than the sources have.
        ledger.append(ingested([twice], item=2, sha256="2" * 64))
        ledger.append(ingested([Row(5)], item=3, sha256="3" * 64))
        ledger.append(ingested([twice, Row(4)], item=1, sha256="1" * 64))
        ledger.append(Entry("item:4", "ingest", INGEST, "file 4", "failed", reason="crashed"))
    job = look_up(tmp_path, [1, 2, 3, 4, 5], [])
    assert job.clips.table["item"].to_pylist() == ["item:1", "item:1", "item:3"]
    tally = ingest_tally(job.clips)
    assert tally.balanced and (tally.inputs, tally.ok, tally.out) == (4, 2, 3)
    assert tally.dropped == {"duplicate": 1} and tally.failed == {"crashed": 1}


def test_a_clip_of_which_one_operation_failed_counts_under_its_name(tmp_path: Path) -> None:
    rows = [
        Row(1, answers=EVERYTHING),
        Row(2, answers={**EVERYTHING, "actions": "failed", "depth": "failed"}),
        Row(3, answers={**EVERYTHING, "pose": "absent"}),
        Row(4, answers={"pose": {}}),
        replace(Row(5, answers={name: {} for name in EVERYTHING if name != "pose"}), given=("pose",)),
    ]
    job = known(tmp_path, rows, CHAIN)
    annotated, pose, actions, *_ = annotate_tallies(job.clips, [one.name for one in CHAIN])
    assert annotated.inputs == 4 and annotated.ok == 3 and annotated.failed == {"actions": 1}
    assert pose.inputs == 5 and pose.ok == 4 and pose.absent == {"because": 1}
    assert actions.inputs == 4 and actions.failed == {"because": 1}


def test_only_what_has_no_answer_is_due(tmp_path: Path) -> None:
    rows = [Row(0, answers=EVERYTHING), Row(1, answers={"pose": {}, "depth": "failed"}), Row(2, given=("pose",))]
    job = known(tmp_path, rows, CHAIN)
    assert due(tmp_path, job) == {"actions": {1, 2}, "events": {1, 2}, "depth": {2}}
    assert due(tmp_path, job, retry="because")["depth"] == {1, 2}
    assert due(tmp_path, job, retry="failed")["depth"] == {1, 2}
    assert due(tmp_path, job, retry="timeout")["depth"] == {2}


def test_what_builds_on_a_row_that_is_tried_again_runs_again(tmp_path: Path) -> None:
    job = known(tmp_path, [Row(0, answers={**EVERYTHING, "pose": "failed"}), Row(1, answers=EVERYTHING)], CHAIN)
    assert due(tmp_path, job, retry="because") == {"pose": {0}, "actions": {0}, "events": {0}}


def test_a_person_has_the_last_word_and_exactly_the_dependants_run_again(tmp_path: Path) -> None:
    rows = [Row(number, answers=EVERYTHING) for number in range(3)]
    known(tmp_path, rows, CHAIN)
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(set_by_hand(rows[1], "pose"))
        ledger.append(answer(rows[1], "pose", {}))  # relabelled afterwards
    job = look_up(tmp_path, range(3), CHAIN)
    assert [clip.answers["pose"].digest == "by hand" for clip in job.clips.rows()] == [False, True, False]
    assert job.clips.clip(1).answers["pose"].place == ["part-hand", 3]
    assert due(tmp_path, job) == {"actions": {1}, "events": {1}}
    assert due(tmp_path, job, retry="failed") == {"actions": {1}, "events": {1}}, "nobody overrules a person"


def test_the_dependants_of_a_correction_are_found_again_until_it_changes(tmp_path: Path) -> None:
    rows = [Row(number, answers=EVERYTHING) for number in range(2)]
    known(tmp_path, rows, CHAIN)
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(set_by_hand(rows[0], "pose"))
    job = look_up(tmp_path, range(2), CHAIN)
    with Ledger(tmp_path, writable=True) as ledger:
        for name in ("actions", "events"):
            ledger.append(
                answer(rows[0], name, {}, source=job.clips.source_of(name)[0].as_py(), digest="after the correction")
            )
    job = look_up(tmp_path, range(2), CHAIN)
    assert due(tmp_path, job) == {}
    assert job.clips.clip(0).answers["events"].digest == "after the correction"
    assert job.clips.clip(1).answers["events"].digest != "after the correction"
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(set_by_hand(rows[0], "pose", digest="another hand"))
    assert due(tmp_path, look_up(tmp_path, range(2), CHAIN)) == {"actions": {0}, "events": {0}}
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(replace(set_by_hand(rows[0], "pose"), status="absent", reason=WITHDRAWN))
    job = look_up(tmp_path, range(2), CHAIN)
    assert due(tmp_path, job) == {}, "the answers from before the correction count again"
    assert job.clips.clip(0).answers["pose"].digest != "by hand"
    assert job.clips.clip(0).answers["events"].digest != "after the correction"


def test_a_correction_in_the_middle_hides_what_lies_above_it(tmp_path: Path) -> None:
    rows = [Row(0, answers=EVERYTHING)]
    known(tmp_path, rows, CHAIN)
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(set_by_hand(rows[0], "actions"))
    job = look_up(tmp_path, [0], CHAIN)
    assert due(tmp_path, job) == {"events": {0}}
    before = job.clips.source_of("events")[0].as_py()
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(set_by_hand(rows[0], "pose", digest="other"))
    job = look_up(tmp_path, [0], CHAIN)
    assert due(tmp_path, job) == {"events": {0}}
    assert job.clips.source_of("events")[0].as_py() == before, "events see the corrected actions, and those alone"


def test_a_correction_counts_where_the_source_had_answered(tmp_path: Path) -> None:
    rows = [Row(0, given=("pose",)), Row(1, given=("pose",))]
    known(tmp_path, rows, CHAIN)
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(set_by_hand(rows[0], "pose"))
        ledger.append(set_by_hand(Row(99), "pose"))  # of no clip of this job
    job = look_up(tmp_path, range(2), CHAIN)
    assert [set(clip.answers) for clip in job.clips.rows()] == [{"pose"}, set()]
    pose = annotate_tallies(job.clips, ["pose"])[1]
    assert pose.inputs == pose.ok == 2
    assert "pose" not in due(tmp_path, job)


def test_nothing_ingested_is_no_clip(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for items in ([], [("item:1", "ingest", INGEST, "file 1")]):
        clips = known_clips(ledger, wanted_rows(items))
        assert len(clips) == 0 and list(clips.rows()) == []
        assert ingest_tally(clips).inputs == 0


def test_rows_go_to_the_workers_dearest_first(tmp_path: Path) -> None:
    sizes = [(20, 64), (20, 128), (90, 64), (20, 64)]
    job = known(tmp_path, [Row(number, frames=frames, width=width) for number, (frames, width) in enumerate(sizes)])
    assert _dearest_first(job.clips, np.arange(4)).tolist() == [2, 1, 0, 3]


def test_figures_are_read_for_what_a_condition_names_alone(tmp_path: Path) -> None:
    rows = [Row(number, answers={"pose": {"confidence": number / 100}, "quality": {"x": 1.0}}) for number in range(40)]
    job = known(tmp_path, rows)
    table = figures(job.ledger, job.clips, job.operations, np.arange(40)[::-1], {"pose", "frames"})
    assert table.column_names == ["key", "frames", "pose"]
    assert [row["confidence"] for row in table["pose"].to_pylist()] == [number / 100 for number in range(40)][::-1]
