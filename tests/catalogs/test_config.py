from __future__ import annotations

import pickle
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from worldloom.catalogs.config import Strict, digest, load, nearest, read_yaml
from worldloom.catalogs.errors import BadInput, UsageError, WorldloomError


class Folder(Strict):
    kind: Literal["folder"] = "folder"
    path: str
    licence: str = ""


class Worlds(Strict):
    kind: Literal["worlds"] = "worlds"
    count: int = Field(default=3, ge=1)


class Ingest(Strict):
    fps: float | None = None
    height: int = 480


class Job(Strict):
    name: str
    ingest: Ingest = Ingest()
    sources: list[Annotated[Folder | Worlds, Field(discriminator="kind")]] = Field(default_factory=list)
    split: Ingest | None = None
    by_name: dict[str, Ingest] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "ingset": {}}, "unknown key 'ingset'; did you mean 'ingest'?"),
        ({"name": "x", "ingest": {"hieght": 3}}, "unknown key 'ingest.hieght'; did you mean 'height'?"),
        ({"name": "x", "split": {"fsp": 3}}, "unknown key 'split.fsp'; did you mean 'fps'?"),
        ({"name": "x", "by_name": {"a": {"fsp": 3}}}, "did you mean 'fps'?"),
        ({"name": "x", "zzz": 1}, "unknown key 'zzz'; choose from by_name, ingest, name, sources, split"),
        ({}, "key 'name' is missing"),
        ({"name": "x", "ingest": {"height": "tall"}}, "ingest.height"),
        ({"name": "x", "sources": [{"kind": "foldr", "path": "p"}]}, "unknown kind 'foldr'; did you mean 'folder'?"),
        ({"name": "x", "sources": [{"kind": "folder", "pth": "p", "path": "p"}]}, "did you mean 'path'?"),
        ({"name": "x", "sources": [{"kind": "worlds", "cuont": 1}]}, "did you mean 'count'?"),
        ({"name": "x", "sources": [{"kind": "worlds", "count": 0}]}, "(got 0)"),
        ({"name": "x", "sources": [{"kind": "folder"}]}, "path' is missing"),
    ],
)
def test_mistakes_are_named_with_the_nearest_right_key(values: dict, message: str) -> None:
    with pytest.raises(UsageError) as error:
        load(Job, values, where="job.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("job.yaml: ")
    assert error.value.exit_code == 2


def test_every_mistake_has_its_line() -> None:
    with pytest.raises(UsageError) as error:
        load(Job, {"nam": "x", "ingset": {}})
    assert len(str(error.value).strip().splitlines()) == 3
    assert "did you mean 'name'" in str(error.value)


def test_right_values_load_and_do_not_change() -> None:
    job = load(Job, {"name": "x", "ingest": {"fps": 16}, "sources": [{"kind": "worlds"}]})
    assert job.ingest == Ingest(fps=16)
    assert isinstance(job.sources[0], Worlds)
    with pytest.raises(ValidationError):
        job.name = "y"


def test_defaults_are_checked_too() -> None:
    class Wrong(Strict):
        count: int = "many"  # type: ignore[assignment]

    with pytest.raises(UsageError, match="count"):
        load(Wrong, {})


def test_yaml_is_read_safely(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("name: x\ningest: {fps: 16}\n", encoding="utf-8")
    assert read_yaml(path) == {"name": "x", "ingest": {"fps": 16}}
    for text in ("!!python/object/apply:os.system ['echo no']", "a: [", "- 1", "3", ""):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"job\.yaml"):
            read_yaml(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"job\.yaml"):
        read_yaml(path)
    with pytest.raises(UsageError, match="no such file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_yaml(tmp_path)


def test_merge_keys_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: [*b, {z: 4}], x: 5}\n")
    assert read_yaml(path)["c"] == {"x": 5, "y": 3, "z": 4}


def test_nearest_offers_choices_where_nothing_is_near() -> None:
    assert nearest("pyaw", ["pyav", "decord"]) == "; did you mean 'pyav'?"
    assert nearest("x", ["b", "a"]) == "; choose from a, b"
    assert nearest("x", []) == ""


def test_a_digest_depends_on_content_alone() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest(Ingest(fps=16)) == digest({"height": 480, "fps": 16.0})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest([1, 2]) != digest([2, 1])
    assert len(digest({}, length=8)) == 8


def test_errors_say_where_and_what_to_do_and_cross_processes() -> None:
    error = BadInput("encrypted", "the video is encrypted", where=Path("a/b.mp4"), remedy="Ask its owner.")
    assert str(error) == "a/b.mp4: the video is encrypted. Ask its owner."
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.reason, copy.where, copy.remedy) == (str(error), "encrypted", "a/b.mp4", "Ask its owner.")
    assert (WorldloomError("x").exit_code, UsageError("x").exit_code) == (1, 2)
