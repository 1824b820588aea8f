from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.catalogs.example_clip import example_clip
from worldloom.catalogs import catalog as catalog_module
from worldloom.catalogs.catalog import catalog_table, matching, read_catalog, write_catalog, write_catalog_of
from worldloom.catalogs.catalog_row import catalog_row
from worldloom.catalogs.clip import Annotation
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.shards import Entry, Span

ROWS = [catalog_row(example_clip(i), split="train" if i else "test") for i in range(6)]


def keys(*numbers: int) -> list[str]:
    return sorted(example_clip(i).key for i in numbers)


def chosen(where: str) -> list[str]:
    table = catalog_table(ROWS)
    return table.take(pa.array(matching(table, where))).column("key").to_pylist()


MEMBERS_TYPE = pa.list_(
    pa.struct({"name": pa.string(), "offset": pa.int64(), "length": pa.int64(), "crc32": pa.uint32()})
)


def test_a_row_says_what_one_selects_by() -> None:
    entry = Entry("k", 512, 2048, {"mp4": Span(1024, 10, 7)})
    row = catalog_row(example_clip(2), split="train", shard="shards/a.tar", entry=entry)
    assert (row["shard"], row["offset"], row["length"]) == ("shards/a.tar", 512, 2048)
    assert row["members"] == [{"name": "mp4", "offset": 1024, "length": 10, "crc32": 7}]
    assert row["fps_fraction"] == "30000/1001"
    assert row["events"]["pairs"] == 1
    assert (row["events"]["exits"], row["events"]["entries"]) == (1, 2)
    assert row["actions"]["move"] == [0, 11, 0, 0, 0, 0, 0, 0, 0, 0]
    assert row["pose"]["posed_share"] == pytest.approx(11 / 12, abs=1e-6)
    assert row["pose"]["path_length"] == pytest.approx(0.5 * 9)  # two of eleven steps touch the frame without a pose
    assert row["revisits"]["density"] == 0.25
    assert row["depth"]["reason"] == "no parallax"
    assert row["source"]["licence"] == "CC-BY-4.0"


def test_conditions_reach_into_operations() -> None:
    assert chosen("quality.sharpness > 0.2") == keys(2, 3, 4, 5)
    assert chosen("quality.sharpness > 0.2 AND pose.confidence > 0.5 AND split = 'train'") == keys(2, 3, 4, 5)
    assert chosen("depth.status = 'ok'") == []
    assert chosen("depth.status = 'absent' -- every one\n") == keys(0, 1, 2, 3, 4, 5)
    assert chosen("actions.move[2] > 5 AND source.uri LIKE '%3.mp4'") == keys(3)
    assert chosen("(pose.notes->>'registered')::INT = 11 AND list_contains(operations, 'cut')") == keys(*range(6))
    assert chosen("shots.status IS NULL AND hands.status IS NULL") == keys(*range(6))


def test_rows_are_numbered_in_order() -> None:
    found = matching(catalog_table(ROWS), "frames > 0")
    np.testing.assert_array_equal(found, np.arange(6))


@pytest.mark.parametrize(
    ("where", "word"),
    [
        ("quality.sharpnes > 1", "did you mean 'sharpness'"),
        ("frmaes > 1", "did you mean 'frames'"),
        ("frames >", "no valid condition"),
        ("frames > 1) OR (1 = 1; DROP TABLE x", "no valid condition"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd')) > 0", "no valid condition"),
    ],
)
def test_wrong_conditions_are_explained(where: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        chosen(where)


def test_bytes_are_equal_whatever_the_order_of_rows(tmp_path: Path) -> None:
    one = write_catalog(tmp_path, ROWS)
    data = (tmp_path / one.path).read_bytes()
    assert write_catalog(tmp_path, reversed(ROWS)) == one
    assert one.path == f"catalog-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
    assert one.bytes == len(data)
    assert read_catalog(tmp_path / one.path).to_pylist() == catalog_table(ROWS).to_pylist()


def test_bytes_are_equal_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.catalogs.example_clip import example_clip\n"
        "from worldloom.catalogs.catalog import write_catalog\n"
        "from worldloom.catalogs.catalog_row import catalog_row\n"
        "rows = [catalog_row(example_clip(i), split='train' if i else 'test') for i in range(6)]\n"
        "print(write_catalog(Path(sys.argv[1]), rows).sha256)"
    )
    root = str(Path(__file__).parents[2])
    digests = {write_catalog(tmp_path, ROWS).sha256}
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        command = [sys.executable, "-c", script, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_operations_of_ones_own_get_a_column() -> None:
    clip = example_clip()
    clip.annotations["weather"] = Annotation("ok", "barometer", "2", confidence=0.5)
    table = catalog_table([*ROWS[1:], catalog_row(clip)])
    assert table.take(pa.array(matching(table, "weather.method = 'barometer'"))).column("key").to_pylist() == [clip.key]
    clip.annotations["shard"] = Annotation("ok", "x", "1")
    with pytest.raises(ValueError, match="may not be called 'shard'"):
        catalog_row(clip)


def test_a_bare_clip_has_a_row() -> None:
    clip = example_clip()
    for name in ("camera", "actions", "subjects", "depth", "hands", "revisits"):
        setattr(clip, name, None)
    clip.annotations, clip.quality, clip.events, clip.captions = {}, {}, [], []
    table = catalog_table([catalog_row(clip)])
    assert table.num_rows == 1
    assert len(matching(table, "pose.confidence > 0")) == 0
    assert catalog_table([]).num_rows == 0


def test_a_key_comes_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        catalog_table([ROWS[0], ROWS[0]])


def test_a_damaged_catalog_is_named(tmp_path: Path) -> None:
    path = tmp_path / "catalog-0.parquet"
    with pytest.raises(BadInput, match="no such file"):
        read_catalog(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput, match=r"catalog-0\.parquet.*Parquet"):
        read_catalog(path)
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(BadInput, match="no column key"):
        read_catalog(path)


def test_the_same_rows_give_the_same_bytes_in_whatever_fragments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some have figures, and operations, that others do not have; row groups are small here."""
    rows = []
    for number in range(60):
        row = {**ROWS[number % len(ROWS)], "key": f"{number * 7 % 60:026d}"}
        row["quality"] = {"status": "ok", f"figure{number % 3}": float(number)}
        if number % 4 == 0:
            row["mine"] = {"status": "ok", "confidence": 0.5}
        rows.append(row)
    monkeypatch.setattr(catalog_module, "ROW_GROUP", 7)
    one = write_catalog(tmp_path, rows)
    for count in (2, 5, 60):
        fragments = [catalog_table(rows[start::count]) for start in range(count)]
        assert write_catalog_of(tmp_path, fragments) == one
    table = read_catalog(tmp_path / one.path)
    assert table.to_pylist() == catalog_table(rows).to_pylist()
    assert table.schema.equals(catalog_table(rows).schema)
    assert (
        matching(table, "quality.figure1 > 30 and mine.confidence > 0").tolist()
        == matching(catalog_table(rows), "quality.figure1 > 30 and mine.confidence > 0").tolist()
    )


def test_a_key_in_two_fragments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        write_catalog_of(tmp_path, [catalog_table(ROWS), catalog_table(ROWS[:1])])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("key", pa.array([None, "b"], pa.string())),
        ("shard", pa.array([1, 2])),
        ("members", pa.array([[{"name": "mp4", "offset": -5, "length": 1, "crc32": 0}]] * 2, MEMBERS_TYPE)),
        ("members", pa.array([[{"name": "mp4", "offset": 0, "length": 2**61, "crc32": 0}]] * 2, MEMBERS_TYPE)),
        ("members", pa.array([[{"name": "mp4", "offset": 0, "length": None, "crc32": 0}]] * 2, MEMBERS_TYPE)),
        ("members", pa.array([[{"name": "mp4", "offset": 0, "length": 2**45, "crc32": 0}]] * 2, MEMBERS_TYPE)),
        ("members", pa.array([[{"name": None, "offset": 0, "length": 1, "crc32": 0}]] * 2, MEMBERS_TYPE)),
        ("members", pa.array([[{"name": "mp4", "offset": 0, "length": 1, "crc32": None}]] * 2, MEMBERS_TYPE)),
        ("members", pa.array([[None]] * 2, MEMBERS_TYPE)),
        ("offset", pa.array([0, None], pa.int64())),
        ("offset", pa.array([0, -512], pa.int64())),
        ("length", pa.array([0, 2**62], pa.int64())),
        ("key", pa.array(["a", "a"], pa.string())),
        ("source", pa.array(["a", "b"], pa.string())),
        ("source", pa.array([{"uri": 5, "sha256": "a"}] * 2)),
        ("source", pa.array([{"uri": "a"}] * 2)),
        ("parents", pa.array([[1], [2]])),
    ],
)
def test_a_catalog_that_lies_about_places_is_refused(tmp_path: Path, name: str, values: pa.Array) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "catalog-0.parquet"
    table = catalog_table([catalog_row(example_clip(i)) for i in range(2)])
    pq.write_table(table, path)
    assert len(read_catalog(path)) == 2
    pq.write_table(table.set_column(table.column_names.index(name), name, values), path)
    with pytest.raises(BadInput, match=f"column {name}") as refusal:
        read_catalog(path)
    assert refusal.value.reason == "bad_catalog"
