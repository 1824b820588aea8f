"""Corrections: the file, its checks, and the ledger entries it becomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worldloom.catalogs.clip import Camera, Clip, Depth, Provenance
from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.answers import attach
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import HUMAN, Entry, Ledger, read_payload, wanted_rows
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.overrides import COLUMNS, OVERRIDES, Overrides, sync_overrides
from worldloom.pipeline.workspace import answer_of

FRAMES = 5
KEY = "abcdefghijklmnopqrstuvwxyz"


def operation(name: str, gives: str) -> Operation:
    return Operation(name, name, {}, "m", "1", gives, (), (), False, (), "r", 1, 0, 100, 1.0)


OPERATIONS = [operation("pose", "camera"), operation("quality", "quality"), operation("depth", "depth")]


INGEST = "recipe of ingest"


def ingest(out: Path, recipe: str, frames: int) -> None:
    about = {"key": KEY, "source": "s", "bytes": 10, "row": {"frames": frames, "seconds": 0.5}}
    with Ledger(out, writable=True) as ledger:
        told = json.dumps({"clips": [about], "given": [], "sha256": "x"})
        ledger.append(Entry("folder:a.mp4", "ingest", recipe, "f", "ok", told=told))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder where one clip is ingested."""
    ingest(tmp_path, INGEST, FRAMES)
    return tmp_path


def sync(out: Path, operations: Sequence[Operation] = OPERATIONS, recipe: str = INGEST) -> list[str]:
    with Ledger(out, writable=True) as ledger:
        return sync_overrides(ledger, Layout(out), operations, recipe)


def human(out: Path, name: str) -> Entry | None:
    found = Ledger(out).entries(wanted_rows([(KEY, name, HUMAN, "")]))
    return found.get((KEY, name))


def camera(frames: int = FRAMES) -> Camera:
    return Camera.known(np.tile(np.eye(4), (frames, 1, 1)), (10, 10, 4, 4), "metric")


def attached(out: Path, entry: Entry, gives: str) -> Clip:
    clip = Clip(KEY, Fraction(10), FRAMES, 8, 8, np.zeros(FRAMES), Provenance("", "", ""))
    attach(clip, entry.operation, gives, answer_of(Layout(out), read_payload(Layout(out).store, entry.part, entry.row)))
    return clip


def write(out: Path, **columns: list[Any]) -> None:
    pq.write_table(pa.table(columns), out / OVERRIDES)


def test_a_correction_becomes_an_entry_that_attach_reads(out: Path) -> None:
    Overrides(out).set(KEY, "pose", camera(), who="ann", note="the map was mirrored")
    assert sync(out) == [f"{OVERRIDES}: 1 corrections taken, 0 withdrawn"]
    entry = human(out, "pose")
    assert entry is not None and entry.status == "ok" and entry.digest
    clip = attached(out, entry, "camera")
    np.testing.assert_array_equal(clip.camera.c2w, camera().c2w)
    line = clip.annotations["pose"]
    assert (line.status, line.method, line.confidence) == ("ok", "human", 1.0)
    assert "ann" not in json.dumps(entry.facts), "who it was stays out of samples"


def test_a_large_array_lies_in_a_file_of_its_own(out: Path) -> None:
    z = np.full((1, 2, 2), 3.0, np.float32)
    depth = Depth(np.array([4], np.int32), z, np.ones(z.shape, bool), np.ones(1, np.float32), "metric", 0.01)
    Overrides(out).set(KEY, "depth", depth, who="ann")
    sync(out)
    entry = human(out, "depth")
    assert entry is not None and list((out / "blobs/depth/human").rglob("*.npz"))
    assert np.allclose(attached(out, entry, "depth").depth.z, z, rtol=0.01)


def test_the_same_file_again_adds_nothing(out: Path) -> None:
    Overrides(out).set(KEY, "quality", {"sharpness": 0.5}, who="ann")
    sync(out)
    rows = len(Ledger(out).latest())
    assert sync(out) == []
    assert len(Ledger(out).latest()) == rows


def test_the_last_row_counts_and_a_withdrawal_takes_it_back(out: Path) -> None:
    overrides = Overrides(out)
    overrides.set(KEY, "quality", {"sharpness": 0.5}, who="ann")
    overrides.set(KEY, "quality", {"sharpness": 0.7}, who="bob")
    sync(out)
    entry = human(out, "quality")
    assert entry is not None and entry.facts["quality"]["sharpness"] == 0.7
    overrides.withdraw(KEY, "quality", who="ann")
    assert sync(out) == [f"{OVERRIDES}: 0 corrections taken, 1 withdrawn"]
    entry = human(out, "quality")
    assert entry is not None and (entry.status, entry.reason) == ("absent", "withdrawn")
    assert len(overrides.table()) == 3


@pytest.mark.parametrize("how", ["an empty table", "no file"])
def test_a_row_that_disappears_is_withdrawn(out: Path, how: str) -> None:
    Overrides(out).set(KEY, "quality", {"sharpness": 0.5}, who="ann")
    sync(out)
    if how == "no file":
        (out / OVERRIDES).unlink()
    else:
        pq.write_table(Overrides(out).table().slice(0, 0), out / OVERRIDES)
    sync(out)
    entry = human(out, "quality")
    assert entry is not None and entry.status == "absent"


def test_a_row_that_disappears_after_a_run_without_its_operation_is_withdrawn(out: Path) -> None:
    Overrides(out).set(KEY, "quality", {"sharpness": 0.5}, who="ann")
    sync(out)
    sync(out, [one for one in OPERATIONS if one.name != "quality"])
    assert human(out, "quality").status == "ok", "the row is there still"  # type: ignore[union-attr]
    (out / OVERRIDES).unlink()
    assert sync(out) == [f"{OVERRIDES}: 0 corrections taken, 1 withdrawn"]
    assert human(out, "quality").status == "absent"  # type: ignore[union-attr]
    assert sync(out) == []


def test_the_ledger_alone_tells_what_was_taken(out: Path) -> None:
    """So a run that is killed right after it has written it there leaves nothing that cannot be taken back."""
    Overrides(out).set(KEY, "quality", {"sharpness": 0.5}, who="ann")
    sync(out)
    for path in out.iterdir():
        if path.is_file():
            path.unlink()
    sync(out)
    assert human(out, "quality").status == "absent"  # type: ignore[union-attr]


def test_a_correction_is_of_the_clip_as_this_job_ingests_it(out: Path) -> None:
    """The same stretch of the same video has one key, however many of its frames a job keeps."""
    for recipe, frames in (("before", FRAMES - 2), (INGEST, FRAMES), ("after", FRAMES + 2)):
        ingest(out, recipe, frames)
    for recipe, frames in (("before", FRAMES - 2), (INGEST, FRAMES), ("after", FRAMES + 2)):
        Overrides(out).set(KEY, "pose", camera(frames), who="ann")
        assert sync(out, recipe=recipe) == [f"{OVERRIDES}: 1 corrections taken, 0 withdrawn"]
        Overrides(out).set(KEY, "pose", camera(frames + 1), who="ann")
        with pytest.raises(UsageError, match=f"not the camera of a clip of {frames} frames"):
            sync(out, recipe=recipe)


def test_a_file_written_by_others_needs_only_its_own_columns(out: Path) -> None:
    import pandas as pd

    rows = [{"key": KEY, "operation": "quality", "value": '{"b": 2, "a": 1}', "at": pd.Timestamp("2026-01-01")}]
    pd.DataFrame(rows).to_parquet(out / OVERRIDES)
    sync(out)
    entry = human(out, "quality")
    assert entry is not None and entry.facts["quality"]["a"] == 1.0
    assert Overrides(out).table().column_names == list(COLUMNS)
    assert Overrides(out).table()["at"].to_pylist() == [pytest.approx(1767225600.0)]
    digest = entry.digest
    write(out, key=[KEY], operation=["quality"], value=['{"a":1.0,"b":2.0}'])
    assert sync(out) == [], "the same value, written otherwise, is the same correction"
    assert human(out, "quality").digest == digest  # type: ignore[union-attr]


def test_rows_of_no_clip_and_no_operation_are_counted_and_told(out: Path) -> None:
    write(out, key=[KEY, "x" * 26], operation=["qualty", "quality"], value=["{}", "{}"])
    notes = sync(out)
    assert any("1 row is of 'qualty'" in note and "did you mean 'quality'?" in note for note in notes)
    assert any("1 rows belong to no clip" in note and "row 2" in note for note in notes)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"key": [KEY], "value": ["{}"]}, "column 'operation' is missing"),
        ({"key": [KEY], "operation": ["quality"], "valeu": ["{}"]}, "unknown column 'valeu'; did you mean 'value'?"),
        ({"key": [KEY, KEY], "operation": ["quality", ""], "value": ["{}", "{}"]}, "row 2 has no operation"),
        ({"key": [KEY], "operation": ["quality"]}, "neither value nor blob"),
        ({"key": [KEY], "operation": ["quality"], "value": ["{}"], "blob": [b"x"]}, "both value and blob"),
        ({"key": [KEY], "operation": ["quality"], "value": ["not json"]}, "row 1"),
        ({"key": [KEY], "operation": ["quality"], "value": ["[1]"]}, "row 1"),
        ({"key": [KEY], "operation": ["pose"], "value": ["{}"]}, "camera belongs into blob"),
        ({"key": [KEY], "operation": ["pose"], "blob": [b"not an npz"]}, "row 1"),
        ({"key": [KEY], "operation": ["quality"], "value": ["{}"], "withdrawn": ["maybe"]}, "column 'withdrawn'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(out: Path, columns: dict[str, list[Any]], says: str) -> None:
    write(out, **columns)
    with pytest.raises(UsageError) as refused:
        sync(out)
    assert says in str(refused.value) and OVERRIDES in str(refused.value)
    assert human(out, "quality") is None


def test_an_annotation_of_another_length_is_refused(out: Path) -> None:
    Overrides(out).set(KEY, "pose", camera(FRAMES + 1), who="ann")
    with pytest.raises(UsageError, match=r"not the camera of a clip of 5 frames \(it is 6 frames long\)"):
        sync(out)


def test_a_damaged_file_is_refused_and_left_as_it_is(out: Path) -> None:
    (out / OVERRIDES).write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match="not a readable Parquet file"):
        Overrides(out).set(KEY, "quality", {"a": 1}, who="ann")
    assert (out / OVERRIDES).read_bytes() == b"PAR1 not really"
