"""Edits of a dataset by the command line, on a folder and in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.catalogs.edited import KEYS, build, clip, six_clips
from tests.object_store import object_store
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.manifest import latest, numbers
from worldloom.cli import main
from worldloom.pipeline.lock import Lock


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as address:
        yield address


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_a_takedown_and_a_way_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = build(tmp_path / "run" / "dataset", six_clips())
    code, out, _ = run(capsys, "remove", tmp_path / "run", "walks/2.mp4", "--dry-run")
    assert code == 0 and "2 clips would go, out of 2 shards" in out and KEYS[2] in out and numbers(dataset) == [1]
    code, out, _ = run(capsys, "remove", tmp_path / "run", "walks/2.mp4")
    assert code == 0 and "2 clips taken down" in out and "manifest 2 (committed)" in out and "--purge" in out
    code, out, err = run(capsys, "rollback", dataset)
    assert code == 2 and "2 clips that were taken down" in err and KEYS[3] in err
    code, out, _ = run(capsys, "remove", dataset, "walks/2.mp4", "--purge")
    assert code == 0 and "nothing to take down" in out and out.count("deleted ") == 3
    code, out, err = run(capsys, "rollback", dataset, 1)
    assert code == 1 and "manifest 1 cannot be gone back to" in err
    code, out, err = run(capsys, "remove", dataset, KEYS[0][:-2])
    assert code == 2 and f"did you mean '{KEYS[0]}'" in err
    code, out, _ = run(capsys, "verify", dataset, "--quick")
    assert code == 0 and "no problems" in out


def test_verify_warns_of_what_lies_in_two_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "verify", build(tmp_path / "walks", six_clips()), "--quick")
    assert code == 0 and "no problems, but the splits leak" in out, "nothing is damaged"
    assert f"split leak: clip, with what was derived from it, {KEYS[1]} has clips in 2 splits" in " ".join(err.split())


def test_going_back_names_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = build(tmp_path / "dataset", six_clips())
    build(dataset, [("train", [clip(8)])], number=2)
    code, out, _ = run(capsys, "rollback", dataset)
    assert code == 0 and "manifest 3 (committed): the 6 clips of manifest 1; 1 before" in out
    code, out, _ = run(capsys, "rollback", dataset, 1)
    assert code == 0 and "nothing was changed" in out


def test_an_edit_and_a_cleaning_wait_for_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = build(tmp_path / "run" / "dataset", six_clips())
    build(dataset, [("train", [clip(8)])], number=2)
    (tmp_path / "run" / "job.yaml").write_text("")
    edits: list[tuple[object, ...]] = [("remove", dataset, KEYS[8]), ("rollback", dataset)]
    edits.append(("merge", build(tmp_path / "one", six_clips()), dataset, "--out", dataset))
    with Lock(dataset):
        for words in (*edits, ("clean", tmp_path / "run")):
            code, _, err = run(capsys, *words)
            assert code == 2 and "is working there" in err, words
        assert run(capsys, "remove", dataset, KEYS[8], "--dry-run")[0] == 0, "looking is free"
        assert numbers(dataset) == [1, 2]
    with Lock(tmp_path / "run"):  # as a run holds it
        assert run(capsys, "remove", tmp_path / "run", KEYS[8])[0] == 0, "a takedown does not wait for a run"
    assert numbers(dataset) == [1, 2, 3] and not (dataset / "lock").exists()


def test_a_takedown_of_what_the_dataset_no_longer_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = build(tmp_path / "dataset", six_clips())
    build(dataset, [("train", [clip(8)])], number=2)
    code, out, _ = run(capsys, "remove", dataset, KEYS[0], "--dry-run")
    assert code == 0 and "it would be on the list" in out and numbers(dataset) == [1, 2]
    code, out, _ = run(capsys, "remove", dataset, KEYS[0])
    assert code == 0 and "it is on the list of what never comes back" in out and "manifest 3 (committed)" in out
    code, out, _ = run(capsys, "remove", dataset, KEYS[0])
    assert code == 0 and "all of it is gone already" in out


def test_merging_into_an_object_store(tmp_path: Path, bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    one = build(tmp_path / "one", six_clips())
    other = build(tmp_path / "other", [("test", [clip(8, source=0), clip(1, caption="another")])])
    target = f"{bucket}/merged"
    code, _, err = run(capsys, "merge", one, other, "--out", target)
    assert code == 2 and KEYS[1] in err and f"--prefer {one}" in err
    code, out, err = run(capsys, "merge", one, other, "--out", target, "--prefer", other)
    assert code == 0 and "7 clips in 4 shards" in out and "1 clips were in more than one dataset" in out
    assert "1 sources have clips in more than one split" in err
    assert ShardDataset(target).get(KEYS[1]).captions[0].text == "another"
    code, out, _ = run(capsys, "remove", target, KEYS[8])
    assert code == 0 and latest(target).number == 2
    code, out, _ = run(capsys, "verify", target)
    assert code == 0 and "no problems" in out
    code, _, err = run(capsys, "verify", f"{bucket}/nothing")
    assert code == 2 and "neither a dataset" in err
