from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from worldloom.catalogs.storage import open_store
from worldloom.pipeline import ledger as ledger_module
from worldloom.pipeline.ledger import Entry, Ledger, read_payload, wanted_rows


def entry(item: str, status: str = "ok", payload: bytes = b"", **values: object) -> Entry:
    return Entry(item, "pose", "recipe", "source", status, payload=payload, **values)  # type: ignore[arg-type]


def wanted(*items: str) -> object:
    return wanted_rows((item, "pose", "recipe", "source") for item in items)


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(entry("a", payload=b"result of a", told='{"pose": {"scale": "metric"}}', seconds=2.0))
        ledger.append(entry("b", "failed", reason="timeout", error="took too long", attempts=2))
    found = Ledger(tmp_path).entries(wanted("a", "b", "c"))  # type: ignore[arg-type]
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
        assert ledger.entries(wanted("a"))["a", "pose"].status == "ok"  # type: ignore[arg-type]
        ledger.append(entry("a", "failed", reason="crashed"))
        assert ledger.entries(wanted("a"))["a", "pose"].reason == "crashed"  # type: ignore[arg-type]


def test_payloads_are_read_one_by_one(tmp_path: Path) -> None:
    with Ledger(tmp_path, writable=True) as ledger:
        for number in range(50):
            ledger.append(entry(f"{number:02d}", payload=b"x" * number + b"!"))
    found = Ledger(tmp_path).entries(wanted(*(f"{number:02d}" for number in range(50))))  # type: ignore[arg-type]
    for number in range(50):
        one = found[f"{number:02d}", "pose"]
        assert read_payload(open_store(tmp_path), one.part, one.row) == b"x" * number + b"!"
    with pq.ParquetFile(tmp_path / one.part) as part:
        assert part.num_row_groups > 1


def test_a_part_file_that_no_segment_names_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver killed between the part file and the segment."""
    with Ledger(tmp_path, writable=True) as ledger:
        ledger.append(entry("a", payload=b"kept"))
    writes = ledger_module.write_table

    def dies_at_the_segment(table: object, path: Path, **options: object) -> None:
        if path.parent.name == "ledger":
            raise KeyboardInterrupt
        writes(table, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger_module, "write_table", dies_at_the_segment)
    ledger = Ledger(tmp_path, writable=True)
    ledger.append(entry("b", payload=b"orphan"))
    with pytest.raises(KeyboardInterrupt):
        ledger.flush()
    parts = list((tmp_path / "annotations" / "pose" / "recipe").glob("part-*.parquet"))
    assert len(parts) == 2
    assert set(Ledger(tmp_path).entries(wanted("a", "b"))) == {("a", "pose")}  # type: ignore[arg-type]


def test_it_is_on_disk_after_256_rows_without_being_asked(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, writable=True)
    for number in range(ledger_module.FLUSH_ROWS):
        ledger.append(entry(str(number)))
    assert len(Ledger(tmp_path).latest()) == ledger_module.FLUSH_ROWS


def test_compaction_keeps_the_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_ABOVE_SEGMENTS", 5)
    with Ledger(tmp_path, writable=True) as ledger:
        for number in range(12):
            ledger.append(entry(str(number % 4), reason=str(number), status="failed"))
            ledger.flush()
    before = Ledger(tmp_path).latest().to_pylist()
    assert len(list((tmp_path / "ledger").glob("*.parquet"))) == 12
    with Ledger(tmp_path, writable=True) as ledger:
        assert len(list((tmp_path / "ledger").glob("*.parquet"))) == 1
        assert ledger.latest().to_pylist() == before
        ledger.append(entry("0"))
    found = Ledger(tmp_path).entries(wanted("0", "1"))  # type: ignore[arg-type]
    assert found["0", "pose"].status == "ok"
    assert found["1", "pose"].reason == "9"


def test_readers_leave_no_trace(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "nothing")
    assert ledger.latest_entries() == []
    assert ledger.entries(wanted("a")) == {}  # type: ignore[arg-type]
    assert not (tmp_path / "nothing").exists()
