from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.sources.rows import Row, columns_of, read_rows


def rows(path: Path) -> list[Row]:
    return list(read_rows(path, path.name))


def test_three_kinds_of_lists_say_the_same(tmp_path: Path) -> None:
    wanted = [
        {"url": "https://a.org/1.mp4", "views": 12.0, "indoor": True, "who": "Ann"},
        {"url": "https://a.org/2.mp4", "views": -1.5, "indoor": False, "who": None},
    ]
    pq.write_table(pa.Table.from_pylist(wanted), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(
        "\ufeffurl,views,indoor,who\r\nhttps://a.org/1.mp4,12,true,Ann\r\n\r\nhttps://a.org/2.mp4,-1.5,FALSE,\r\n"
    )
    (tmp_path / "a.tsv").write_text(
        "url\tviews\tindoor\twho\nhttps://a.org/1.mp4\t12\ttrue\tAnn\nhttps://a.org/2.mp4\t-1.5\tfalse\t\n"
    )
    (tmp_path / "a.jsonl").write_text(
        '\ufeff{"url": "https://a.org/1.mp4", "views": 12, "indoor": true, "who": "Ann"}\n\n'
        '{"url": "https://a.org/2.mp4", "views": -1.5, "indoor": false, "who": null}'
    )
    for name in ("a.parquet", "a.csv", "a.tsv", "a.jsonl"):
        found = rows(tmp_path / name)
        assert [dict(row.values) for row in found] == wanted, name
        assert columns_of(tmp_path / name, name) == list(wanted[0])
        assert all(not row.problem for row in found)
    assert [row.place for row in rows(tmp_path / "a.csv")] == ["line 2", "line 4"]
    assert [row.place for row in rows(tmp_path / "a.jsonl")] == ["line 1", "line 3"]
    assert [row.place for row in rows(tmp_path / "a.parquet")] == ["row 1", "row 2"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("5", 5.0), ("0", 0.0), ("-0.5", -0.5), ("1e3", 1000.0), ("007", "007"), ("+5", "+5"), ("1_0", "1_0"),
     ("nan", "nan"), ("inf", "inf"), ("1e999", "1e999"), ("9007199254740993", "9007199254740993"), ("\u0665", "\u0665"),
     ("TRUE", True), ("yes", "yes"), ("", None), (" a ", "a"), ("0x10", "0x10"), ("1.", "1.")],
)  # fmt: skip
def test_cells_are_numbers_only_where_nothing_is_lost(tmp_path: Path, cell: str, value: object) -> None:
    (tmp_path / "a.csv").write_text(f'x,y\n"{cell}",1\n')
    assert rows(tmp_path / "a.csv")[0].values["x"] == value


def test_a_bad_row_costs_itself(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        b'url,title\nhttps://a/1,one\nhttps://a/2\nhttps://a/3,x,y\nhttps://a/\xff,x\n"a"b,x\nhttps://a/4,"two\nlines"\n'
        b"https://a/5,end\n"
    )
    found = rows(tmp_path / "a.csv")
    assert [(row.place, row.problem) for row in found if row.problem] == [
        ("line 3", "has 1 columns, 2 expected"),
        ("line 4", "has 3 columns, 2 expected"),
        ("line 5", "is not UTF-8"),
        ("line 6", "cannot be read (',' expected after '\"')"),
    ]
    assert [row.values["url"] for row in found if not row.problem] == ["https://a/1", "https://a/4", "https://a/5"]
    assert found[-1].place == "line 9"
    (tmp_path / "a.jsonl").write_bytes(
        b'{"url": 1}\n[1]\n{"url"\n"x"\n\xff\n' + b'{"x": "' + b"y" * 2_000_000 + b'"}\n'
        + b'{"a": "\\ud800"}\n' + b"[" * 100_000 + b"\n" + b'{"url": 2}\n'
    )  # fmt: skip
    found = rows(tmp_path / "a.jsonl")
    assert [bool(row.problem) for row in found] == [False] + [True] * 7 + [False]
    assert found[-1].place == "line 9" and found[5].problem == "is longer than 1048576 bytes"


def test_values_of_parquet_are_plain(tmp_path: Path) -> None:
    when = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
    table = pa.table({"when": [when], "big": [2**60], "raw": [b"\x01\xff"], "tags": [["a", "b"]]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet")[0].values == {
        "when": "2026-05-01T12:00:00+00:00", "big": str(2**60), "raw": "01ff", "tags": ["a", "b"],
    }  # fmt: skip


def test_files_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    for name, content in {
        "a.txt": b"x", "empty.csv": b"", "twice.csv": b"url,url\n1,2\n", "a.parquet": b"PAR1 no",
        "bytes.csv": b"\xff,a\n",
        "wide.csv": ",".join(f"c{number}" for number in range(600)).encode(),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match=name.replace(".", r"\.")):
            rows(tmp_path / name)
        with pytest.raises(UsageError):
            columns_of(tmp_path / name, name)


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"url": [f"https://a/{number}" for number in range(5000)]}), path, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[200:20_000] = bytes(19_800)
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"a\.parquet"):
        rows(path)
