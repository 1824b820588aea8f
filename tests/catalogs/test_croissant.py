from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.catalogs.edited import build, clip
from worldloom.catalogs.card import write_card
from worldloom.catalogs.croissant import About, croissant
from worldloom.catalogs.manifest import latest


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [clip(number, source=number) for number in range(4)]
    for number, one in enumerate(clips):
        one.attributes = {"scene": f"house {number % 2}", "views": float(number), "indoor": number > 1}
    clips[3].provenance = type(clips[3].provenance)("folder", "x.mp4", "ff" * 32, "")
    dataset = build(tmp_path_factory.mktemp("croissant") / "dataset", [("train", clips[:3]), ("test", clips[3:])])
    write_card(dataset)
    return dataset


@pytest.fixture(scope="module")
def document(dataset: Path) -> dict[str, Any]:
    values = json.loads((dataset / "croissant.json").read_text())
    assert isinstance(values, dict)
    return values


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_every_file_is_named_with_its_digest(dataset: Path, document: dict[str, Any]) -> None:
    manifest = latest(dataset)
    files = {one["@id"]: one["sha256"] for one in document["distribution"] if one["@type"] == "cr:FileObject"}
    assert files == {one.path: one.sha256 for one in (*manifest.shards, manifest.catalog)}
    sets = {one["@id"]: one["containedIn"] for one in document["distribution"] if one["@type"] == "cr:FileSet"}
    assert sets.keys() == {"videos-test", "videos-train"}
    assert [sets[f"videos-{one.split}"] for one in manifest.shards] == [{"@id": one.path} for one in manifest.shards]
    assert "http://mlcommons.org/croissant/1.0" in document["conformsTo"]


def test_licences_are_addresses_where_they_are_known(document: dict[str, Any]) -> None:
    assert document["license"] == ["https://creativecommons.org/licenses/by/4.0/", "unknown"]


def test_every_column_of_the_catalog_is_a_field(dataset: Path, document: dict[str, Any]) -> None:
    schema = pq.read_schema(dataset / latest(dataset).catalog.path)
    fields = {one["name"]: one for one in document["recordSet"][0]["field"]}
    assert list(fields) == schema.names
    for column in schema:
        kind = column.type.value_type if pa.types.is_list(column.type) else column.type
        assert fields[column.name].get("repeated", False) == pa.types.is_list(column.type)
        if pa.types.is_struct(kind):
            assert [one["name"] for one in fields[column.name]["subField"]] == [child.name for child in kind]


@pytest.mark.usefixtures("no_network")
def test_mlcroissant_reads_the_records(dataset: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    found = mlcroissant.Dataset(str(dataset / "croissant.json"))
    issues = found.metadata.issues
    assert not issues.errors
    assert [one for one in issues.warnings if "datePublished" not in one] == [], "nobody knows when it is published"
    rows = pq.read_table(dataset / latest(dataset).catalog.path).to_pylist()
    records = list(found.records("clips"))
    assert len(records) == len(rows) == 4
    for row, record in zip(rows, records, strict=True):
        assert record["clips/key"].decode() == row["key"] and record["clips/frames"] == row["frames"]
        assert record["clips/source"]["clips/source/sha256"].decode() == row["source"]["sha256"]
        assert record["clips/attributes"]["clips/attributes/scene"].decode() == row["attributes"]["scene"]
        assert record["clips/attributes"]["clips/attributes/views"] == row["attributes"]["views"]
        assert record["clips/attributes"]["clips/attributes/indoor"] == row["attributes"]["indoor"]
        assert record["clips/quality"]["clips/quality/sharpness"] == row["quality"]["sharpness"]
        assert record["clips/actions"]["clips/actions/move"] == row["actions"]["move"]
        members = [one["clips/members/name"].decode() for one in record["clips/members"]]
        assert members == [one["name"] for one in row["members"]]


def test_columns_that_no_reader_could_follow_are_left_out(dataset: Path) -> None:
    inner = pa.struct(
        {"where": pa.string(), "a b": pa.string(), "good": pa.float64(), "deep": pa.struct({"x": pa.int8()})}
    )
    schema = pa.schema(
        {"key": pa.string(), "odd": inner, "$.x": pa.string(), "blob": pa.binary(), "nothing": pa.struct([])}
    )
    document = json.loads(croissant(latest(dataset), schema, About("d", [])))
    fields = document["recordSet"][0]["field"]
    assert [one["name"] for one in fields] == ["key", "odd"]
    assert [one["name"] for one in fields[1]["subField"]] == ["good"]
    assert document["license"] == ["unknown"]


def test_a_hostile_name_makes_no_other_entry_of_the_citation(dataset: Path) -> None:
    manifest = latest(dataset).model_copy(update={"name": "x}, author = {evil} @misc{\\input"})
    document = json.loads(croissant(manifest, pa.schema({"key": pa.string()}), About("d", ["MIT"])))
    assert document["citeAs"].count("{") == document["citeAs"].count("}") == 4 and document["citeAs"].count("@") == 1
    assert "\\" not in document["citeAs"]
