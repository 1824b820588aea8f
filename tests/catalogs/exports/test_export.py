"""The export as a whole: what comes in, what is refused, and that the folder appears at once or not at all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.edited import build, with_catalog
from tests.catalogs.exports.walks import walk
from tests.object_store import object_store
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.exports import export as module
from worldloom.catalogs.exports.export import export
from worldloom.catalogs.exports.licences import is_unknown
from worldloom.catalogs.formats.lerobot import read_lerobot
from worldloom.catalogs.formats.tum import read_tum
from worldloom.catalogs.manifest import latest
from worldloom.catalogs.sandbox import ChildDied
from worldloom.catalogs.storage import open_store

LICENSED = [walk(number) for number in (0, 1)]
CLIPS = [
    *LICENSED,
    dataclasses.replace(walk(2), camera=None),
    walk(3, licence=""),
    walk(4, licence=" Unknown. "),
]
KEYS = [clip.key for clip in CLIPS]
KNOWN = "source.licence = 'CC-BY-4.0'"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset") / "dataset"
    return build(folder, [("train", CLIPS[:3]), ("test", CLIPS[3:])])


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def record(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "export.json").read_text()))


def test_every_clip_is_exported_or_skipped_with_its_reason(dataset: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    done = export(dataset, "tum", tmp_path / "out", allow_unknown_licence=True, advance=lambda: seen.append(1))
    assert set(done.clips) == {KEYS[i] for i in (0, 1, 3, 4)} and list(done.clips) == sorted(done.clips)
    assert done.reasons == {"no_pose": 1} and set(done.skipped) == {KEYS[2]} and len(seen) == 5
    assert set(files(tmp_path / "out")) == {*(f"{key}.txt" for key in done.clips), "export.json", "provenance.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    told = record(tmp_path / "out")
    assert told["clips"] == {"in": 5, "exported": 4, "skipped": {"no_pose": 1}}
    assert told["skipped"] == {KEYS[2]: {"reason": "no_pose", "message": done.skipped[KEYS[2]][1]}}
    assert told["exported"][KEYS[0]] == {"frames": 12, "of": 12, "scale": "metric"}
    assert told["licences"] == {"CC-BY-4.0": 2, "unknown": 2}
    assert told["dataset"]["manifest"] == 1 and told["options"] == {"times": "clip"}
    assert done.following == f"evo_traj tum {tmp_path}/out/{done.clips[0]}.txt"


def test_provenance_goes_along(dataset: Path, tmp_path: Path) -> None:
    export(dataset, "tum", tmp_path / "out", where=KNOWN)
    told = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert set(told) == {KEYS[0], KEYS[1]}  # not of the clip that was skipped
    one, wanted = told[KEYS[1]], CLIPS[1].provenance
    assert (one["uri"], one["sha256"], one["licence"]) == (wanted.uri, wanted.sha256, "CC-BY-4.0")
    assert one["retrieved_at"] == wanted.retrieved_at and one["kind"] == "folder" and one["parents"] == []


def test_unknown_licences_are_refused_by_name(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        export(dataset, "tum", tmp_path / "out")
    message = str(refused.value)
    assert "2 of 5 clips have no known licence" in message and "--allow-unknown-licence" in message
    assert "folder walks/3.mp4 (1)" in message and "folder walks/4.mp4 (1)" in message and "walks/0" not in message
    assert not any(tmp_path.iterdir())
    assert export(dataset, "tum", tmp_path / "out", where=KNOWN).clips == tuple(sorted(KEYS[:2]))


@pytest.mark.parametrize("word", ["", " ", "unknown", "UNKNOWN.", "None", "n/a", "Not  stated", "NOASSERTION", None])
def test_words_that_state_no_licence(word: str | None) -> None:
    assert is_unknown(word)
    assert not is_unknown("CC-BY-4.0") and not is_unknown("unknown-horizons licence")


def test_conditions_splits_and_limits_choose(dataset: Path, tmp_path: Path) -> None:
    assert export(dataset, "tum", tmp_path / "a", split="train").clips == tuple(sorted(KEYS[:2]))
    one = export(dataset, "tum", tmp_path / "b", where=KNOWN, limit=1)
    assert len(one.clips) + len(one.skipped) == 1
    with pytest.raises(UsageError, match="no clip fits"):
        export(dataset, "tum", tmp_path / "c", where="frames > 1000")
    with pytest.raises(UsageError, match="no valid condition"):
        export(dataset, "tum", tmp_path / "c", where="framez > 3")


def test_a_full_folder_is_never_touched(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="not of an export"):
            export(dataset, "tum", tmp_path / "mine", where=KNOWN, overwrite=overwrite)
    assert files(tmp_path / "mine") == {"thesis.txt": b"precious"}
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(UsageError, match="a link"):
        export(dataset, "tum", tmp_path / "link", where=KNOWN)
    with pytest.raises(UsageError, match="a folder"):
        export(dataset, "tum", "s3://bucket/out", where=KNOWN)
    (tmp_path / "empty").mkdir()
    assert export(dataset, "tum", tmp_path / "empty", where=KNOWN).clips


def test_an_earlier_export_is_replaced_only_when_asked_and_as_a_whole(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(dataset, "tum", out, where=KNOWN)
    before = files(out)
    with pytest.raises(UsageError, match="--overwrite"):
        export(dataset, "plucker", out, where=KNOWN)
    with pytest.raises(BadInput) as nothing:
        export(dataset, "hydra12", out, where=KNOWN, overwrite=True)
    assert nothing.value.reason == "nothing_exported" and "too_short" in str(nothing.value)
    assert files(out) == before and [path.name for path in tmp_path.iterdir()] == ["out"]
    export(dataset, "plucker", out, where=KNOWN, overwrite=True)
    assert {Path(name).suffix for name in files(out)} == {".npz", ".json"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_equal_exports_have_equal_bytes_whatever_the_workers(dataset: Path, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 3)):
        export(dataset, "lerobot", tmp_path / name, where=KNOWN, workers=workers)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_failure_in_the_middle_leaves_nothing(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_provenance", fail)
    with pytest.raises(OSError, match="No space"):
        export(dataset, "tum", tmp_path / "out", where=KNOWN)
    assert not any(tmp_path.iterdir())


def test_a_clip_that_kills_its_process_costs_one_clip(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = module.Child.call

    def killed(child: Any, payload: dict[str, Any]) -> Any:
        if payload.get("key") == KEYS[0]:
            (Path(payload["folder"]) / "half").write_text("written before the crash")
            raise ChildDied("ended the process by SIGSEGV", "SIGSEGV")
        return call(child, payload)

    monkeypatch.setattr(module.Child, "call", killed)
    done = export(dataset, "tum", tmp_path / "out", where=KNOWN)
    assert done.clips == (KEYS[1],) and done.reasons["crashed"] == 1
    assert set(files(tmp_path / "out")) == {f"{KEYS[1]}.txt", "export.json", "provenance.json"}


def test_a_clip_that_cannot_be_read_costs_one_clip(tmp_path: Path) -> None:
    """A video that is none, in a sample whose digests are right: somebody packed it so."""
    broken = dataclasses.replace(walk(5), video=b"#!/bin/sh\nrm -rf /\n")
    dataset = build(tmp_path / "dataset", [("train", [broken, walk(6)])])
    done = export(dataset, "colmap", tmp_path / "out")
    assert done.clips == (walk(6).key,) and done.reasons == {"not_video": 1}


def test_a_torn_shard_ends_the_export(tmp_path: Path) -> None:
    dataset = build(tmp_path / "dataset", [("train", [walk(5)])])
    shard = dataset / latest(dataset).shards[0].path
    data = bytearray(shard.read_bytes())
    data[600] ^= 255
    shard.write_bytes(data)
    with pytest.raises(BadInput) as refused:
        export(dataset, "realestate10k", tmp_path / "out")
    assert refused.value.reason == "torn_shard" and not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"dataset"}


def test_a_hostile_key_is_no_path(tmp_path: Path) -> None:
    dataset = build(tmp_path / "dataset", [("train", [walk(5), walk(6)])])
    key = walk(5).key

    def renamed(table: Any) -> Any:
        keys = ["../../escaped" if one == key else one for one in table["key"].to_pylist()]
        return table.set_column(table.column_names.index("key"), "key", [keys])

    with_catalog(dataset, renamed)
    done = export(dataset, "tum", tmp_path / "out")
    assert done.reasons == {"bad_key": 1} and done.clips == (walk(6).key,)
    assert not (tmp_path / "escaped").exists() and not list(tmp_path.parent.glob("escaped*"))


def test_hostile_texts_reach_tables_and_nothing_else(tmp_path: Path) -> None:
    clip = walk(7, hands=True)
    clip.attributes["task"] = "$(touch hacked) <script> ../../x"
    clip.provenance = dataclasses.replace(clip.provenance, uri="../../a\nb.mp4?token=secret", licence="CC0 </json>")
    dataset = build(tmp_path / "dataset", [("train", [clip])])
    export(dataset, "lerobot", tmp_path / "out")
    assert read_lerobot(tmp_path / "out").episodes[0].tasks == ("$(touch hacked) <script> ../../x",)
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())[clip.key]["licence"] == "CC0 </json>"
    assert not any("hacked" in path.name for path in tmp_path.rglob("*"))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as address:
        yield address


def test_a_dataset_in_an_object_store_is_exported_likewise(dataset: Path, bucket: str, tmp_path: Path) -> None:
    place = f"{bucket}/walks/dataset"
    store = open_store(place)
    for path in dataset.rglob("*"):
        if path.is_file():
            store.write(path.relative_to(dataset).as_posix(), path.read_bytes())
    export(dataset, "realestate10k", tmp_path / "a", where=KNOWN)
    export(place, "realestate10k", tmp_path / "b", where=KNOWN)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_poses_of_the_export_are_those_of_the_dataset(dataset: Path, tmp_path: Path) -> None:
    export(dataset, "tum", tmp_path / "out", where=KNOWN)
    for clip in LICENSED:
        np.testing.assert_allclose(read_tum(tmp_path / "out" / f"{clip.key}.txt").c2w, clip.camera.c2w, atol=1e-12)
