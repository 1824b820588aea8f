from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.object_store import object_store
from worldloom.catalogs.errors import WorldloomError
from worldloom.catalogs.storage import FolderStore, open_store
from worldloom.pipeline import ledger as ledger_module
from worldloom.pipeline import segments as segments_module
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import SCHEMA, Entry, Ledger, read_payload, wanted_rows
from worldloom.pipeline.rows import ledger_rows, lost_reasons
from worldloom.pipeline.segments import Segments


def entry(item: str, status: str = "ok", payload: bytes = b"", **values: object) -> Entry:
    return Entry(item, "pose", "recipe", "source", status, payload=payload, **values)  # type: ignore[arg-type]


def wanted(*items: str) -> pa.Table:
    return wanted_rows((item, "pose", "recipe", "source") for item in items)


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(entry("a", payload=b"result of a", told='{"pose": {"scale": "metric"}}', seconds=2.0))
        ledger.append(entry("b", "failed", reason="timeout", error="took too long", attempts=2))
    found = Ledger(tmp_path).entries(wanted("a", "b", "c"))
    assert set(found) == {("a", "pose"), ("b", "pose")}
    a, b = found["a", "pose"], found["b", "pose"]
    assert a.facts == {"pose": {"scale": "metric"}}
    assert read_payload(open_store(tmp_path), a.part, a.row) == b"result of a"
    assert (b.status, b.reason, b.error, b.attempts, b.part) == ("failed", "timeout", "took too long", 2, "")
    assert a.host and a.at > 0


def test_another_recipe_or_source_is_another_row(tmp_path: Path) -> None:
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(entry("a"))
        for row in (
            ("a", "pose", "other", "source"),
            ("a", "pose", "recipe", "other"),
            ("a", "depth", "recipe", "source"),
        ):
            assert ledger.entries(wanted_rows([row])) == {}


def test_the_last_word_counts(tmp_path: Path) -> None:
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(entry("a", "failed", reason="timeout"))
        ledger.flush()
        ledger.append(entry("a"))
    with Ledger(tmp_path, writable=True) as ledger:
        assert ledger.entries(wanted("a"))["a", "pose"].status == "ok"
        ledger.append(entry("a", "failed", reason="crashed"))
        assert ledger.entries(wanted("a"))["a", "pose"].reason == "crashed"


def test_payloads_are_read_one_by_one(tmp_path: Path) -> None:
    with Ledger(tmp_path, writable=True) as ledger:
        for number in range(50):
            ledger.append(entry(f"{number:02d}", payload=b"x" * number + b"!"))
    found = Ledger(tmp_path).entries(wanted(*(f"{number:02d}" for number in range(50))))
    for number in range(50):
        one = found[f"{number:02d}", "pose"]
        assert read_payload(open_store(tmp_path), one.part, one.row) == b"x" * number + b"!"
    with pq.ParquetFile(tmp_path / one.part) as part:
        assert part.num_row_groups > 1


def test_a_part_file_that_no_segment_names_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver killed between the part file and the segment."""
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(entry("a", payload=b"kept"))

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Segments, "append", dies)
    ledger = Ledger(tmp_path, writable=True)
    ledger.append(entry("b", payload=b"orphan"))
    with pytest.raises(KeyboardInterrupt):
        ledger.flush()
    parts = list((tmp_path / "annotations" / "pose" / "recipe").glob("part-*.parquet"))
    assert len(parts) == 2
    assert set(Ledger(tmp_path).entries(wanted("a", "b"))) == {("a", "pose")}


def test_it_is_on_disk_after_256_rows_without_being_asked(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, writable=True)
    for number in range(ledger_module.FLUSH_ROWS):
        ledger.append(entry(str(number)))
    assert len(Ledger(tmp_path).latest()) == ledger_module.FLUSH_ROWS


def test_large_payloads_do_not_wait_for_256_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "FLUSH_BYTES", 1000)
    ledger = Ledger(tmp_path, writable=True)
    for item in "ab":
        ledger.append(entry(item, payload=b"x" * 500))
    assert len(Ledger(tmp_path).latest()) == 2


def fill(folder: Path, segments: int) -> None:
    with Ledger(folder, writable=True) as ledger:
        for number in range(segments):
            ledger.append(entry(str(number % 4), reason=str(number), status="failed"))
            ledger.flush()


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "ledger").glob("*.parquet"))


def test_compaction_keeps_the_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 12)
    before = Ledger(tmp_path).latest().to_pylist()
    assert len(segments(tmp_path)) == 12
    monkeypatch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 5)
    with Ledger(tmp_path, writable=True) as ledger:
        assert len(segments(tmp_path)) == 1
        assert ledger.latest().to_pylist() == before
        ledger.append(entry("0"))
        ledger.flush()
        assert len(segments(tmp_path)) == 2
        assert ledger.latest()["sequence"].to_pylist()[0] > max(row["sequence"] for row in before), "numbers go on"
    found = Ledger(tmp_path).entries(wanted("0", "1"))
    assert found["0", "pose"].status == "ok"
    assert found["1", "pose"].reason == "9"


def test_a_long_run_compacts_on_the_way_and_leaves_large_segments_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 5)
    monkeypatch.setattr(segments_module, "SETTLED_ROWS", 10)
    with Ledger(tmp_path, writable=True) as ledger:
        for number in range(60):
            ledger.append(entry(f"{number:02d}"))
            ledger.flush()
            assert len(segments(tmp_path)) <= 12
        settled = [path for path in segments(tmp_path) if pq.read_metadata(path).num_rows >= 10]
        assert settled
        times = {path: path.stat().st_mtime_ns for path in settled}
        for number in range(60, 80):
            ledger.append(entry(f"{number:02d}"))
            ledger.flush()
    assert {path: path.stat().st_mtime_ns for path in settled} == times
    assert [row["item"] for row in Ledger(tmp_path).latest().to_pylist()] == [f"{number:02d}" for number in range(80)]


@pytest.mark.parametrize(
    ("rows", "bytes_", "groups"), [(5, 10**9, [6, 6]), (10**9, 300, [3] * 4), (10**9, 10**9, [12])]
)
def test_compaction_holds_one_row_group_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, bytes_: int, groups: list[int]
) -> None:
    with Ledger(tmp_path, writable=True) as ledger:
        for number in range(12):
            ledger.append(entry(f"{number:02d}"))
            if number % 3 == 2:
                ledger.flush()
    monkeypatch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 1)
    monkeypatch.setattr(segments_module, "GROUP_ROWS", rows)
    monkeypatch.setattr(segments_module, "GROUP_BYTES", bytes_)
    with Ledger(tmp_path, writable=True) as ledger:
        assert [row["item"] for row in ledger.latest().to_pylist()] == [f"{number:02d}" for number in range(12)]
    (merged,) = segments(tmp_path)
    about = pq.read_metadata(merged)
    assert [about.row_group(number).num_rows for number in range(about.num_row_groups)] == groups


@pytest.mark.parametrize("kills_at", range(7))
def test_compaction_may_be_killed_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills_at: int) -> None:
    """Before the merged segment is there, and after each segment that it replaces is gone."""
    fill(tmp_path, 6)
    before = Ledger(tmp_path).latest().to_pylist()
    steps = iter(range(100))

    def dying(does: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: object) -> None:
            if next(steps) == kills_at:
                raise KeyboardInterrupt
            does(*arguments)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 5)
        for name in ("take", "delete"):
            patch.setattr(FolderStore, name, dying(getattr(FolderStore, name)))
        with pytest.raises(KeyboardInterrupt):
            Ledger(tmp_path, writable=True)
    assert Ledger(tmp_path).latest().to_pylist() == before
    monkeypatch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 0)
    assert Ledger(tmp_path, writable=True).latest().to_pylist() == before
    (left,) = segments(tmp_path)
    assert pq.read_metadata(left).num_rows == 4, "no row is there twice"


def test_a_reader_asks_again_when_segments_vanish_under_its_hands(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    reader = Ledger(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 1)
        Ledger(tmp_path, writable=True)
    assert len(reader.latest()) == 3


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "other columns":
        pq.write_table(pa.table({"sequence": [0], "x": [1]}), path)
        return
    damaged = {
        "empty": b"",
        "garbage": b"no parquet" * 100,
        "truncated": data[: len(data) // 2],
        "overwritten inside": data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :],
    }
    path.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["empty", "garbage", "truncated", "overwritten inside", "other columns"])
def test_a_damaged_segment_is_named_and_the_ledger_goes_on_without_it(tmp_path: Path, how: str) -> None:
    fill(tmp_path, 3)
    bad = segments(tmp_path)[1]
    damage(bad, how)
    for ask in (lambda: Ledger(tmp_path).latest(), lambda: lost_reasons(Layout(tmp_path).store)):
        with pytest.raises(WorldloomError, match=f"{bad.name}: this segment of the ledger is damaged .*move it out"):
            ask()
    with (
        pytest.raises(WorldloomError, match="is damaged"),
        ledger_rows(Layout(tmp_path).store) as connection,
    ):
        connection.sql("SELECT * FROM known").fetchall()
    bad.rename(tmp_path / "aside")
    with Ledger(tmp_path, writable=True) as ledger:
        assert len(ledger.latest()) == 2


def test_a_damaged_segment_is_named_by_compaction_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a question does not look at, compaction does."""
    fill(tmp_path, 3)
    bad = segments(tmp_path)[1]
    span = pq.read_metadata(bad).row_group(0).column(SCHEMA.names.index("host"))
    start = span.dictionary_page_offset or span.data_page_offset
    data = bytearray(bad.read_bytes())
    data[start : start + span.total_compressed_size] = bytes(span.total_compressed_size)
    bad.write_bytes(data)
    monkeypatch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 1)
    with pytest.raises(WorldloomError, match=f"{bad.name}: this segment of the ledger is damaged"):
        Ledger(tmp_path, writable=True)
    assert len(segments(tmp_path)) == 3


def test_a_question_without_room_to_spill_says_where(tmp_path: Path) -> None:
    fill(tmp_path, 1)

    def heavy(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("SET memory_limit = '20MB'; SET max_temp_directory_size = '0KiB'; SET threads = 1")
        connection.sql("SELECT md5(i::VARCHAR) AS m FROM range(2000000) t(i) ORDER BY m").to_arrow_table()

    with pytest.raises(
        WorldloomError, match=r"needs more room than is left in .*; free some, or set TMPDIR"
    ) as refused:
        Segments(Layout(tmp_path), SCHEMA).find(heavy)
    assert "\n" not in str(refused.value)


def test_a_question_that_is_wrong_is_no_damage(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    with pytest.raises(duckdb.BinderException):
        Segments(Layout(tmp_path), SCHEMA).ask("SELECT nothing_of_the_kind FROM known")


def test_answers_stand_beside_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_module, "GAP", 1)
    with Ledger(tmp_path, writable=True) as ledger:
        for item in "cab":
            ledger.append(entry(item, "failed", reason="timeout", error=f"sentence {item}"))
        ledger.append(entry("a", payload=b"second try"))
    answers = Ledger(tmp_path).answers("pose", "recipe", pa.table({"item": list("abxc"), "source": ["source"] * 4}))
    assert answers["status"].to_pylist() == ["ok", "failed", None, "failed"]
    assert answers["sequence"].to_pylist() == [3, 2, None, 0]
    rows = Ledger(tmp_path).rows([0, 2, -1, 2], ["error"])
    assert rows["error"].to_pylist() == ["sentence c", "sentence b", None, "sentence b"]


def test_readers_leave_no_trace(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "nothing")
    assert ledger.latest_entries() == []
    assert ledger.entries(wanted("a")) == {}
    assert ledger.seconds_per_row() == {}
    assert not (tmp_path / "nothing").exists()


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's [all] *mine*?"
    fill(folder, 2)
    assert len(Ledger(folder).latest()) == 2


def test_a_ledger_and_its_payloads_lie_in_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store(monkeypatch) as bucket:
        out = f"{bucket}/runs/one"
        with Ledger(out, writable=True) as ledger:
            ledger.append(entry("a", payload=b"result of a"))
            ledger.append(entry("b", "failed", reason="timeout"))
        found = Ledger(out).entries(wanted("a", "b"))
        assert read_payload(open_store(out), found["a", "pose"].part, found["a", "pose"].row) == b"result of a"
        assert found["b", "pose"].reason == "timeout"
        monkeypatch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 0)
        with Ledger(out, writable=True) as ledger:
            ledger.append(entry("b"))
        assert Ledger(out).entries(wanted("b"))["b", "pose"].status == "ok"
        assert len(list(open_store(out).names("ledger"))) == 1


def test_a_driver_that_lost_its_folder_writes_nothing_more(tmp_path: Path) -> None:
    held = True
    with Ledger(tmp_path, writable=True, held=lambda: held) as ledger:
        ledger.append(Entry("a", "ingest", "r", "s", "ok"))
        ledger.flush()
        held = False
        ledger.append(Entry("b", "ingest", "r", "s", "ok"))
        with pytest.raises(WorldloomError, match="another run took this folder over"):
            ledger.flush()
    assert [entry.item for entry in Ledger(tmp_path).latest_entries()] == ["a"]


def test_compaction_goes_by_what_a_row_is_about_not_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two drivers that worked for a moment at once may have numbered alike."""
    monkeypatch.setattr(segments_module, "GAP", 1)
    with Ledger(tmp_path, writable=True) as one, Ledger(tmp_path, writable=True) as other:
        for ledger, item in ((one, "a"), (other, "b"), (one, "b"), (other, "a")):
            ledger.append(entry(item, reason=f"{item} of {'one' if ledger is one else 'other'}", status="failed"))
            ledger.flush()
    numbers = pq.read_table(tmp_path / "ledger")["sequence"].to_pylist()
    assert sorted(numbers) == [0, 0, 1, 1]
    before = Ledger(tmp_path).latest().select(["item", "sequence", "reason"]).to_pylist()
    monkeypatch.setattr(segments_module, "COMPACT_ABOVE_SEGMENTS", 1)
    with Ledger(tmp_path, writable=True) as ledger:
        assert len(segments(tmp_path)) == 1
        assert ledger.latest().select(["item", "sequence", "reason"]).to_pylist() == before
        assert [row["reason"] for row in before] == ["a of other", "b of one"]


def test_two_drivers_do_not_number_alike(tmp_path: Path) -> None:
    with Ledger(tmp_path, writable=True) as one, Ledger(tmp_path, writable=True) as other:
        for number in range(20):
            (one, other)[number % 2].append(entry(str(number)))
    assert len(set(pq.read_table(tmp_path / "ledger")["sequence"].to_pylist())) == 20
