"""Questions to a ledger on disk."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from pathlib import Path

import duckdb
import pytest

import worldloom.pipeline.segments as segments_module
from worldloom.catalogs.errors import UsageError, WorldloomError
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Entry, Ledger
from worldloom.pipeline.rows import explain_retry, find_in_rows, ledger_rows, lost_reasons, was_interrupted


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(Entry("a", "ingest", "r", "s", "dropped", "too_short"))
        for item, reason in (("x", "timeout"), ("y", "timeout"), ("z", "crashed")):
            ledger.append(Entry(item, "pose", "r", "s", "failed", reason))
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(Entry("z", "pose", "r", "s", "ok"))
    return tmp_path


def test_the_last_row_of_each_counts(out: Path) -> None:
    store = Layout(out).store
    assert lost_reasons(store) == {("dropped", "too_short"): 1, ("failed", "timeout"): 2}
    with ledger_rows(store) as connection:
        assert connection.sql("SELECT count(*) FROM known").fetchall() == [(5,)]
        assert connection.sql("SELECT count(*) FROM latest").fetchall() == [(4,)]


def test_a_row_that_a_killed_compaction_left_twice_counts_once(tmp_path: Path) -> None:
    told = '{"clips": [{"key": "k", "bytes": 10, "row": {"frames": 5, "seconds": 0.5}}]}'
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(Entry("a", "ingest", "r", "s", "ok", told=told))
        ledger.append(Entry("k", "pose", "r", "s", "failed", "timeout"))
    (segment,) = (tmp_path / "ledger").iterdir()
    shutil.copyfile(segment, segment.with_name("000000000000-0123abcd.parquet"))
    store = Layout(tmp_path).store
    with ledger_rows(store) as connection:
        assert connection.sql("SELECT count(*) FROM known").fetchall() == [(4,)]
        assert connection.sql("SELECT count(*) FROM latest").fetchall() == [(2,)]
        assert connection.sql("SELECT key, frames FROM clips").fetchall() == [("k", 5)]
    assert lost_reasons(store) == {("failed", "timeout"): 1}


def test_a_question_is_asked_again_when_a_driver_compacts_meanwhile(tmp_path: Path) -> None:
    for item in "abc":
        with Ledger(tmp_path, writable=True) as ledger:
            ledger.append(Entry(item, "pose", "r", "s", "ok"))
    asked: list[bool] = []

    def count(connection: duckdb.DuckDBPyConnection) -> int:
        if not asked:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 1)
                Ledger(tmp_path, writable=True)
        asked.append(True)
        ((rows,),) = connection.sql("SELECT count(*) FROM latest").fetchall()
        return int(rows)

    assert find_in_rows(Layout(tmp_path).store, count) == 3 and len(asked) == 2


def test_a_disk_that_fails_is_told_in_one_sentence(out: Path) -> None:
    with (
        pytest.raises(WorldloomError, match=r"the ledger cannot be read or written \(.*mend that") as refused,
        ledger_rows(Layout(out).store) as connection,
    ):
        connection.sql("SELECT * FROM latest").write_parquet(str(out / "no" / "such" / "folder.parquet"))
    assert "\n" not in str(refused.value)


def test_a_reason_of_a_recipe_that_the_job_may_go_back_to_is_known(tmp_path: Path) -> None:
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(Entry("x", "pose", "old", "s", "failed", "timeout"))
        ledger.append(Entry("x", "pose", "new", "s", "ok"))
    assert explain_retry(Layout(tmp_path).store, ["timeout"]) == []


def test_an_empty_folder_has_no_rows(tmp_path: Path) -> None:
    assert lost_reasons(Layout(tmp_path).store) == {}
    with ledger_rows(Layout(tmp_path).store) as connection:
        assert connection.sql("SELECT count(*) FROM clips").fetchall() == [(0,)]


def test_a_folder_named_like_a_pattern_is_read(tmp_path: Path) -> None:
    out = tmp_path / "a[0-9]*"
    with Ledger(out, writable=True) as ledger:
        ledger.append(Entry("x", "pose", "r", "s", "failed", "timeout"))
    assert lost_reasons(Layout(out).store) == {("failed", "timeout"): 1}


def test_a_reason_that_no_row_has_is_told_before_the_work(out: Path) -> None:
    store = Layout(out).store
    assert explain_retry(store, []) == explain_retry(store, ["timeout", "too_short"]) == []
    (note,) = explain_retry(store, ["moonlight", "timeout"])
    assert note == "--retry moonlight: no row has this reason (lost rows: timeout 2, too_short 1)"
    with pytest.raises(UsageError, match="did you mean 'timeout'"):
        explain_retry(store, ["timout"])


def test_an_interrupt_during_a_query_is_known_as_one() -> None:
    """What DuckDB makes of a handler that raises, as the command line's does."""
    heavy = "SELECT count(*) FROM range(4000000) one, range(1000) two WHERE one.range % 7 = two.range % 11"

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def send() -> None:
        time.sleep(0.3)
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        thread = threading.Thread(target=send)
        thread.start()
        with duckdb.connect() as connection, pytest.raises((KeyboardInterrupt, RuntimeError)) as stopped:
            connection.execute(heavy)
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert was_interrupted(stopped.value)
    assert not was_interrupted(RuntimeError("disk full")) and not was_interrupted(ValueError("Query interrupted"))
