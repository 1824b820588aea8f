from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalogs.edited import KEYS, build, clip, sha256_of, six_clips, with_catalog, with_manifest
from worldloom.catalogs.card import stale_copies, write_card
from worldloom.catalogs.catalog import read_catalog
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.dataset import ShardDataset
from worldloom.catalogs.edits import remove, rollback
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.manifest import ManifestConflict, commit, latest, manifest_name, numbers, removed_list
from worldloom.catalogs.rewrite import put_catalog
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
        remove(pristine, ["sha256:" + "0" * 63])
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


def holding(place: str | Path, content: bytes) -> list[str]:
    store = open_store(place)
    return [name for name in store.names() if content in store.read(name)]


@pytest.mark.parametrize("purged_before", [True, False])
def test_a_second_purge_leaves_no_byte_either(tmp_path: Path, purged_before: bool) -> None:
    """Manifest 1 has its clips in shards of their own; without its catalog nothing tells what the second one holds."""
    place = build(tmp_path / "dataset", [("train", [clip(0)]), ("train", [clip(1)])])
    one = latest(place)
    contents = members_of(place)
    build(place, [("train", [clip(0), clip(1), clip(2)])], number=2)
    remove(place, [KEYS[0]], purge=not purged_before)
    if purged_before:  # as it was left by a version that looked only at what the catalog said
        for name in (one.shards[0].path, one.catalog.path):
            Path(place, name).unlink()
    remove(place, [KEYS[1]], purge=True)
    assert holding(place, contents[KEYS[0]]["json"]) == holding(place, contents[KEYS[1]]["json"]) == []
    assert keys_of(place) == [KEYS[2]] and verify(place).problems == []


def test_purging_leaves_what_another_manifest_can_be_gone_back_to(tmp_path: Path) -> None:
    place = build(tmp_path / "dataset", [("train", [clip(0)]), ("train", [clip(1)]), ("train", [clip(2)])])
    first = latest(place)
    table = read_catalog(Path(place, first.catalog.path))
    shards = {row["key"]: row["shard"] for row in table.to_pylist()}

    def holding_only(*kept: str) -> dict[str, object]:
        rest = table.filter([row["key"] in kept for row in table.to_pylist()])
        mine = tuple(shard for shard in first.shards if shard.path in [shards[key] for key in kept])
        return {"shards": mine, "samples": len(kept), "catalog": put_catalog(FolderStore(Path(place)), [rest])}

    commit(place, first.model_copy(update={"number": 2, "parent": 1, **holding_only(KEYS[1], KEYS[2])}))
    commit(place, first.model_copy(update={"number": 3, "parent": 2, **holding_only(KEYS[2])}))
    done = remove(place, [KEYS[0]], purge=True)
    assert set(done.purged) == {shards[KEYS[0]], first.catalog.path}
    assert rollback(place, 2).samples == 2 and verify(place).problems == []


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
    first = latest(place)
    remove(place, [KEYS[0]])
    came_back = first.model_copy(update={"number": 3, "notes": latest(place).notes})
    open_store(place).create(manifest_name(3), came_back.to_json().encode())
    assert any(f"clip {KEYS[0]}" in str(one) and "taken down" in str(one) for one in verify(place).problems)


def test_nobody_commits_what_was_taken_down(pristine: Path, put: Put) -> None:
    place = put(pristine)
    first = latest(place)
    remove(place, ["walks/2.mp4"])
    with pytest.raises(ManifestConflict, match="2 of its clips were taken down") as refusal:
        commit(place, first.model_copy(update={"number": 3, "parent": 2}))
    assert KEYS[3] in str(refusal.value) and "run the same command again" in str(refusal.value)
    assert numbers(place) == [1, 2]


@pytest.mark.parametrize("named", [KEYS[0], "walks/0.mp4", f"sha256:{sha256_of(0)}"])
def test_what_only_an_older_manifest_holds_can_be_taken_down(tmp_path: Path, named: str) -> None:
    place = build(tmp_path / "dataset", six_clips())
    build(place, [("train", [clip(1), clip(2)])], number=2)
    before = latest(place)
    done = remove(place, [named])
    assert (done.keys, done.listed, done.committed, done.manifest) == ((), 1, True, 3)
    assert latest(place).same_contents(before), "nothing had to be written anew"
    with pytest.raises(UsageError, match=f"1 clips that were taken down since .{KEYS[0]}"):
        rollback(place, 1)
    again = remove(place, [named], purge=True)
    assert (again.listed, again.manifest) == (0, 3) and len(again.purged) == 4
    assert KEYS[0].encode() not in b"".join(
        store.read(name) for store in [open_store(place)] for name in store.names("shards")
    )
    assert verify(place).problems == []


def test_what_was_derived_from_a_clip_of_an_older_manifest_goes_too(tmp_path: Path) -> None:
    place = build(tmp_path / "dataset", six_clips())
    build(place, [("train", [clip(0), clip(4, source=4, parents=[KEYS[1]])])], number=2)
    assert remove(place, [KEYS[1]]).keys == (KEYS[4],)


def test_a_digest_that_nobody_knows_never_comes_in(pristine: Path, put: Put) -> None:
    place = put(pristine)
    done = remove(place, ["sha256:" + sha256_of(77).upper()])
    assert (done.keys, done.listed, done.committed) == ((), 1, True)
    assert removed_list(latest(place)) == [{"sha256": sha256_of(77)}]
    assert keys_of(place) == without()


@pytest.mark.parametrize("damaged", ["catalog", "manifest"])
def test_a_damaged_older_state_is_in_nobodys_way(tmp_path: Path, damaged: str) -> None:
    place = build(tmp_path / "dataset", six_clips())
    older = latest(place)
    build(place, [("train", [clip(1), clip(2)])], number=2)
    Path(place, older.catalog.path if damaged == "catalog" else manifest_name(1)).write_bytes(b"damaged")
    assert remove(place, [KEYS[1]]).keys == (KEYS[1],)
    with pytest.raises(UsageError, match="no clip, source or digest"):
        remove(place, [KEYS[0]])


def from_address(number: int, address: str) -> Clip:
    made = clip(number)
    made.provenance = dataclasses.replace(made.provenance, uri=address)
    return made


@pytest.mark.parametrize("named", ["https://h.org/watch?v=abc", "https://me:word@h.org/watch?v=abc", "catalog"])
def test_a_source_with_a_query_goes_by_its_address(tmp_path: Path, named: str) -> None:
    clips = [from_address(0, "https://h.org/watch?v=abc"), from_address(1, "https://h.org/watch"), clip(2)]
    place = build(tmp_path / "dataset", [("train", clips)])
    uri = ShardDataset(place).get(KEYS[0]).provenance.uri
    assert uri == "https://h.org/watch?...", "what may be secret is not kept"
    done = remove(place, [uri if named == "catalog" else named])
    assert done.keys == (KEYS[0],)
    assert removed_list(latest(place)) == [{"sha256": sha256_of(0), "uri": uri}]
    assert not remove(place, [uri if named == "catalog" else named]).committed


def test_addresses_that_differ_in_their_query_cannot_be_told_apart(tmp_path: Path) -> None:
    addresses = ["https://h.org/watch?v=abc", "https://h.org/watch?v=def"]
    place = build(tmp_path / "dataset", [("train", [from_address(n, one) for n, one in enumerate(addresses)])])
    with pytest.raises(UsageError, match="2 sources have the address") as refusal:
        remove(place, [addresses[1]])
    told = str(refusal.value)
    assert (
        "v=def" not in told and f"sha256:{sha256_of(1)} ({KEYS[1]})" in told and "name the clips by their keys" in told
    )
    assert numbers(place) == [1]
    remove(place, [KEYS[1]])
    with pytest.raises(UsageError, match="cannot be told apart"):
        remove(place, [addresses[0]])
    assert remove(place, [f"sha256:{sha256_of(0)}"]).keys == (KEYS[0],)


def test_a_source_whose_file_was_replaced_goes_with_all_that_it_was(tmp_path: Path) -> None:
    place = build(tmp_path / "dataset", [("train", [clip(0), clip(1)])])
    remove(place, ["walks/0.mp4"])
    replaced = clip(2)
    replaced.provenance = dataclasses.replace(replaced.provenance, uri="walks/0.mp4")
    build(place, [("train", [replaced, clip(1)])], number=3)
    assert remove(place, ["walks/0.mp4"]).keys == (KEYS[2],), "its name is on the list, its new content is not"


def test_adding_to_it_keeps_the_list(tmp_path: Path) -> None:
    place = build(tmp_path / "dataset", six_clips())
    remove(place, [KEYS[0]])
    build(place, [("train", [clip(7), clip(8)])], number=3)
    assert removed_list(latest(place)) == [{"key": KEYS[0]}]


def _killed_at(place: str, step: int, before: bool, edit: Callable[[str], object]) -> None:
    """An edit whose process is killed at its n-th write, before it or after it."""
    done = 0

    def counting(write: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            nonlocal done
            done += 1
            if done == step and before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = write(*args)
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    for kind in (FolderStore, ObjectStore):
        for name in ("take", "create", "write", "delete"):
            setattr(kind, name, counting(getattr(kind, name)))
    edit(place)


def take_down(place: str) -> None:
    remove(place, [KEYS[1]], purge=True)


def go_back(place: str) -> None:
    rollback(place, 1)


def problems_but_copies(place: str) -> list[str]:
    """Until the edit is run again, what tells people of the dataset may tell of the state before."""
    number = latest(place).number
    stale = {name: told for name, told in stale_copies(place).items() if told}
    assert set(stale) <= {"manifest.json", "README.md", "croissant.json"} and set(stale.values()) <= {number - 1}
    found = verify(place, deep=False).problems
    assert sorted(one.file for one in found if one.file in stale) == sorted(stale), "each is reported"
    return [str(one) for one in found if one.file not in stale]


@pytest.mark.parametrize("first", [1, 2])
def test_killed_at_any_write_it_is_the_old_state_or_the_new_one(pristine: Path, put: Put, first: int) -> None:
    fork = multiprocessing.get_context("fork")
    states = []
    for step in itertools.count(first, 2):
        place = put(pristine)
        child = fork.Process(target=_killed_at, args=(place, step, step % 2 == 1, take_down))
        child.start()
        child.join()
        states.append(len(numbers(place)))
        assert problems_but_copies(place) == []
        assert len(keys_of(place)) == (6 if states[-1] == 1 else 3)
        take_down(place)
        assert stale_copies(place) == {}
        assert keys_of(place) == without(1, 4, 5) and verify(place, deep=False).problems == []
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert states == sorted(states) and set(states) == {1, 2} and len(states) >= 5


@pytest.mark.parametrize("before", [True, False])
def test_killed_on_the_way_back_the_same_command_finishes_it(put: Put, tmp_path: Path, before: bool) -> None:
    """Also after the commit, when there is nothing left to commit: the card and the copy of the manifest are."""
    two = build(tmp_path / "two", six_clips())
    build(two, [("train", [clip(8)])], number=2)
    write_card(two)
    fork = multiprocessing.get_context("fork")
    stale: set[str] = set()
    for step in itertools.count(1):
        place = put(two)
        child = fork.Process(target=_killed_at, args=(place, step, before, go_back))
        child.start()
        child.join()
        assert problems_but_copies(place) == []
        stale |= stale_copies(place).keys()
        go_back(place)
        assert (numbers(place), stale_copies(place)) == ([1, 2, 3], {})
        assert verify(place, deep=False).problems == []
        assert f"{len(keys_of(place))} clips" in open_store(place).read("README.md").decode()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert stale == {"manifest.json", "README.md", "croissant.json"}
