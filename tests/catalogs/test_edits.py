from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalogs.edited import KEYS, build, clip, sha256_of, six_clips, with_catalog, with_manifest
from worldloom.catalogs.catalog import read_catalog
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.edits import remove, rollback
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import commit, latest, numbers, removed_list
from worldloom.catalogs.storage import FolderStore, ObjectStore, open_store
from worldloom.catalogs.verify import verify

Put = Callable[[Path], str]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("edits") / "dataset", six_clips())


def keys_of(place: str | Path) -> list[str]:
    return read_catalog(open_store(place).local(latest(place).catalog.path)).column("key").to_pylist()


def members_of(place: str | Path) -> dict[str, dict[str, bytes]]:
    dataset = ShardDataset(place)
    return {key: dataset.read(i) for i, key in enumerate(dataset.keys)}


def without(*numbers: int) -> list[str]:
    return sorted(key for i, key in enumerate(KEYS[:6]) if i not in numbers)


def test_a_clip_goes_with_all_that_was_derived_from_it(pristine: Path, put: Put) -> None:
    place = put(pristine)
    before, contents = latest(place), members_of(place)
    done = remove(place, [KEYS[1]])
    assert (done.keys, done.manifest, done.committed) == (tuple(sorted([KEYS[1], KEYS[4], KEYS[5]])), 2, True)
    now = latest(place)
    assert (now.operation, now.parent, now.samples, len(now.shards)) == ("remove", 1, 3, 2)
    assert removed_list(now) == [{"key": KEYS[1]}]
    assert members_of(place) == {key: contents[key] for key in without(1, 4, 5)}
    assert verify(place).problems == []
    assert f"{len(keys_of(place))} clips" in open_store(place).read("README.md").decode()
    assert not {shard.path for shard in now.shards} & {shard.path for shard in before.shards}


@pytest.mark.parametrize("named", ["walks/2.mp4", f"sha256:{sha256_of(2)}"])
def test_a_source_goes_with_all_that_was_cut_from_it(pristine: Path, put: Put, named: str) -> None:
    place = put(pristine)
    untouched = latest(place).shards[0]
    assert remove(place, [named]).keys == tuple(sorted([KEYS[2], KEYS[3]]))
    assert keys_of(place) == without(2, 3)
    assert removed_list(latest(place)) == [{"sha256": sha256_of(2), "uri": "walks/2.mp4"}]
    assert untouched in latest(place).shards, "a shard that holds none of them stays as it is"
    assert verify(place).problems == []


def test_a_dry_run_changes_nothing(pristine: Path, put: Put) -> None:
    place = put(pristine)
    before = sorted(open_store(place).listing())
    done = remove(place, [KEYS[0]], dry=True, purge=True)
    assert (done.keys, done.committed) == ((KEYS[0],), False)
    assert done.purged == (*done.shards, latest(place).catalog.path)
    assert sorted(open_store(place).listing()) == before


def test_an_unknown_name_is_refused_with_the_nearest(pristine: Path) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{KEYS[3]}'"):
        remove(pristine, [KEYS[3][:-1] + "7"])
    with pytest.raises(UsageError, match=r"did you mean 'walks/\d\.mp4'"):
        remove(pristine, ["walks/99.mp4"])
    with pytest.raises(UsageError, match="no clip, source or digest"):
        remove(pristine, ["sha256:" + "0" * 64])
    assert numbers(pristine) == [1]


def test_what_is_gone_already_may_be_named_again(pristine: Path, put: Put) -> None:
    place = put(pristine)
    remove(place, [KEYS[1], "walks/2.mp4"])
    again = remove(place, [KEYS[1], "walks/2.mp4"])
    assert (again.keys, again.committed, again.manifest) == ((), False, 2)


def test_everything_may_go(pristine: Path, put: Put) -> None:
    place = put(pristine)
    remove(place, KEYS[:6])
    assert (latest(place).samples, latest(place).shards) == (0, ())
    assert verify(place).problems == [] and len(ShardDataset(place)) == 0


def test_purging_leaves_no_byte_of_a_clip(pristine: Path, put: Put) -> None:
    place = put(pristine)
    store = open_store(place)
    contents = members_of(place)
    remove(place, [KEYS[0]])
    old = ShardDataset(place, number=1)
    assert KEYS[0] in old.keys and old.get(KEYS[0])
    done = remove(place, [KEYS[0]], purge=True)
    assert len(done.purged) == 2 and done.manifest == 2
    record = contents[KEYS[0]]["json"]
    assert [name for name in store.names() if record in store.read(name)] == []
    named = [name for name in store.names() if KEYS[0].encode() in store.read(name)]
    assert sorted(named) == ["manifest.json", "manifests/000002.json"], "only what says that it must not come back"
    assert verify(place).problems == []
    with pytest.raises(BadInput, match="manifest 1 cannot be gone back to") as refusal:
        rollback(place, 1)
    assert done.purged[0] in str(refusal.value)
    assert remove(place, [KEYS[0]], purge=True).purged == ()


def test_a_damaged_shard_is_not_given_a_new_digest(pristine: Path, put: Put) -> None:
    place = put(pristine)
    store = open_store(place)
    shard = ShardDataset(place, where=f"key = '{KEYS[0]}'").table.column("shard")[0].as_py()
    data = bytearray(store.read(shard))
    data[-2000] ^= 1
    store.write(shard, bytes(data))
    with pytest.raises(BadInput, match="its sha256 is not the one in the manifest") as refusal:
        remove(place, [KEYS[0]])
    assert shard in str(refusal.value) and numbers(place) == [1]


def test_a_damaged_catalog_is_not_given_a_new_digest(pristine: Path, put: Put) -> None:
    """Most flipped bits leave a file that reads, with another value somewhere."""
    place = put(pristine)
    store = open_store(place)
    path = latest(place).catalog.path
    data = bytearray(store.read(path))
    read = 0
    for at in range(len(data) // 2, len(data) // 2 + 40):
        data[at] ^= 1
        store.write(path, bytes(data))
        try:
            read_catalog(store.local(path))
            read += 1
        except BadInput:
            pass
        for edit in (lambda: remove(place, [KEYS[0]]), lambda: ShardDataset(place), lambda: rollback(place, 1)):
            with pytest.raises(BadInput, match="its sha256 is not the one in the manifest") as refusal:
                edit()
            assert refusal.value.reason == "bad_catalog" and path in str(refusal.value)
        data[at] ^= 1
        if read:
            break
    assert read, "no flipped bit went unnoticed by Parquet: the test shows nothing"
    assert numbers(place) == [1]


def test_a_missing_shard_is_named(pristine: Path, put: Put) -> None:
    place = put(pristine)
    shard = ShardDataset(place, where=f"key = '{KEYS[0]}'").table.column("shard")[0].as_py()
    open_store(place).delete(shard)
    with pytest.raises(BadInput, match=r"Copy the dataset anew") as refusal:
        remove(place, [KEYS[0]])
    assert refusal.value.reason == "missing_file" and shard in str(refusal.value) and numbers(place) == [1]


@pytest.mark.parametrize("column", ["parents", "source", "offset"])
def test_a_catalog_without_a_column_is_refused(tmp_path: Path, column: str) -> None:
    place = with_catalog(build(tmp_path / "dataset", six_clips()), lambda table: table.drop_columns([column]))
    with pytest.raises(BadInput, match=f"no column {column}"):
        remove(place, [KEYS[0]])
    assert any(f"no column {column}" in str(problem) for problem in verify(place).problems)


def test_a_list_of_takedowns_with_other_values_is_refused(tmp_path: Path) -> None:
    place = build(tmp_path / "dataset", six_clips())
    with_manifest(place, lambda values: values["notes"].update(removed=[{"key": 5}]))
    with pytest.raises(BadInput, match=r"000001\.json: notes\.removed"):
        remove(place, [KEYS[0]])
    assert any("notes.removed" in str(problem) for problem in verify(place).problems)


def test_going_back_is_a_new_manifest(pristine: Path, put: Put) -> None:
    place = put(pristine)
    first = latest(place)
    commit(place, first.model_copy(update={"number": 2, "parent": 1, "shards": first.shards[:1], "samples": 1}))
    made = rollback(place)
    assert (made.number, made.parent, made.operation, made.notes) == (3, 2, "rollback", {"rolled_back_to": 1})
    assert made.same_contents(first) and latest(place) == made
    assert rollback(place, 1) == made, "nothing to do"
    with pytest.raises(UsageError, match="no manifest 9; there is 1 to 3"):
        rollback(place, 9)
    assert verify(place).problems == []


def test_going_back_never_brings_back_what_was_taken_down(pristine: Path, put: Put) -> None:
    place = put(pristine)
    remove(place, ["walks/2.mp4"])
    with pytest.raises(UsageError, match="2 clips that were taken down") as refusal:
        rollback(place)
    assert KEYS[2] in str(refusal.value) and KEYS[3] in str(refusal.value)
    remove(place, [KEYS[0]])
    with pytest.raises(UsageError, match=KEYS[0]):
        rollback(place, 2)


def test_verify_names_a_clip_that_came_back(tmp_path: Path) -> None:
    place = build(tmp_path / "dataset", six_clips())
    remove(place, [KEYS[0]])
    first = six_clips()
    build(place, first, number=3)
    assert any(f"clip {KEYS[0]}" in str(one) and "taken down" in str(one) for one in verify(place).problems)


def test_adding_to_it_keeps_the_list(tmp_path: Path) -> None:
    place = build(tmp_path / "dataset", six_clips())
    remove(place, [KEYS[0]])
    build(place, [("train", [clip(7), clip(8)])], number=3)
    assert removed_list(latest(place)) == [{"key": KEYS[0]}]


def _killed_at(place: str, step: int) -> None:
    """A takedown whose process is killed at its n-th write, half of the times before it and half after it."""
    done = 0

    def counting(write: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            nonlocal done
            done += 1
            if done == step and step % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            result = write(*args)
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    for kind in (FolderStore, ObjectStore):
        for name in ("take", "create", "write", "delete"):
            setattr(kind, name, counting(getattr(kind, name)))
    remove(place, [KEYS[1]], purge=True)


@pytest.mark.parametrize("first", [1, 2])
def test_killed_at_any_write_it_is_the_old_state_or_the_new_one(pristine: Path, put: Put, first: int) -> None:
    fork = multiprocessing.get_context("fork")
    states = []
    for step in itertools.count(first, 2):
        place = put(pristine)
        child = fork.Process(target=_killed_at, args=(place, step))
        child.start()
        child.join()
        states.append(len(numbers(place)))
        assert verify(place, deep=False).problems == []
        assert len(keys_of(place)) == (6 if states[-1] == 1 else 3)
        remove(place, [KEYS[1]], purge=True)
        assert keys_of(place) == without(1, 4, 5) and verify(place, deep=False).problems == []
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert states == sorted(states) and set(states) == {1, 2} and len(states) >= 5
