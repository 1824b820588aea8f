from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.object_store import object_store
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import open_store
from worldloom.pipeline import lock as module
from worldloom.pipeline.lock import STALE_AFTER_S, Lock


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, object_store(patch) as address:
        yield address


@pytest.fixture(params=["folder", "object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> str:
    return str(tmp_path / "out") if request.param == "folder" else f"{bucket}/{uuid.uuid4().hex}"


def put_lock(place: str, **values: object) -> None:
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time(), "token": "x"}
    open_store(place).write("lock", json.dumps({**me, **values}).encode())


def in_it(place: str) -> dict:
    return json.loads(open_store(place).read("lock"))


def write_lock(folder: Path, *, age_s: float = 0.0, **values: object) -> None:
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time(), "token": "x"}
    path = folder / "lock"
    path.write_text(json.dumps({**me, **values}))
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age_s))


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    with Lock(tmp_path) as first:
        assert first.note == ""
        with pytest.raises(UsageError, match=rf"process {os.getpid()} on .* is working there"), Lock(tmp_path):
            pass
        assert (tmp_path / "lock").exists()
    assert list(tmp_path.iterdir()) == []
    with Lock(tmp_path):
        pass


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_lock(tmp_path, pid=gone.pid)
    with Lock(tmp_path) as lock:
        assert f"took over the lock of process {gone.pid}" in lock.note
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_process_id_that_was_given_out_again_is_not_the_holder(tmp_path: Path) -> None:
    write_lock(tmp_path, started=psutil.Process().create_time() - 1000)
    with Lock(tmp_path) as lock:
        assert "took over" in lock.note


def test_another_host_counts_as_alive_while_its_heart_beats(tmp_path: Path) -> None:
    write_lock(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(UsageError, match="process 1 on elsewhere"), Lock(tmp_path):
        pass
    write_lock(tmp_path, host="elsewhere", pid=1, age_s=STALE_AFTER_S + 1)
    with Lock(tmp_path) as lock:
        assert "elsewhere" in lock.note


def test_a_lock_that_says_nothing_is_an_obstacle_only_while_it_is_fresh(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("")
    with pytest.raises(UsageError, match="unknown process"), Lock(tmp_path):
        pass
    os.utime(path, (0, 0))
    with Lock(tmp_path) as lock:
        assert lock.note


def test_releasing_leaves_the_lock_of_somebody_else_alone(tmp_path: Path) -> None:
    with Lock(tmp_path):
        write_lock(tmp_path, token="somebody else")
    assert (tmp_path / "lock").exists()


def test_one_driver_at_a_time_wherever_it_is(place: str) -> None:
    for _ in range(2):
        with Lock(place) as first:
            assert first.note == ""
            with pytest.raises(UsageError, match=rf"process {os.getpid()} on .* is working there"), Lock(place):
                pass
    assert set(open_store(place).names()) <= {"lock"}


def test_a_lock_left_behind_is_taken_over_wherever_it_is(place: str) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    put_lock(place, pid=gone.pid)
    with Lock(place) as lock:
        assert f"took over the lock of process {gone.pid}" in lock.note
        assert in_it(place)["pid"] == os.getpid()


def test_the_age_of_a_lock_is_told_by_one_clock(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_lock(place, host="elsewhere")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10 * STALE_AFTER_S)  # ours is wrong
    with pytest.raises(UsageError, match="on elsewhere is working there"), Lock(place):
        pass
    monkeypatch.setattr(module, "STALE_AFTER_S", -1.0)
    with Lock(place) as lock:
        assert "elsewhere" in lock.note


def _holders(place: str, many: int) -> list[str]:
    """Notes of those who got the lock, of many who try at once and keep it until all have tried."""
    gate, ended = threading.Barrier(many), threading.Barrier(many)
    held: list[str] = []

    def attempt() -> None:
        gate.wait()
        try:
            with Lock(place) as lock:
                held.append(lock.note)
                ended.wait()
        except UsageError:
            ended.wait()

    threads = [threading.Thread(target=attempt) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return held


def test_of_many_who_find_it_stale_one_takes_it_over(place: str) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for _ in range(3 if place.startswith("s3:") else 50):
        put_lock(place, pid=gone.pid, token=uuid.uuid4().hex)
        assert len(_holders(place, 6)) == 1


def test_who_stood_still_learns_that_the_lock_is_lost(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.02)
    with Lock(place) as lock:
        before = in_it(place).get("beat"), open_store(place).versioned("lock").modified_s
        deadline = time.monotonic() + 10
        while (in_it(place).get("beat"), open_store(place).versioned("lock").modified_s) == before:
            assert time.monotonic() < deadline, "no heartbeat"
        assert not lock.lost
        put_lock(place, host="elsewhere", token="theirs")
        while not lock.lost:
            assert time.monotonic() < deadline, "not noticed"
            time.sleep(0.01)
    assert in_it(place)["token"] == "theirs", "what is somebody else's stays"


def test_before_a_write_the_lock_itself_is_asked(place: str) -> None:
    """The machine stood still: no heartbeat has noticed yet."""
    with Lock(place) as lock:
        assert lock.held() and not lock.lost
        put_lock(place, host="elsewhere", token="theirs")
        assert not lock.lost and not lock.held() and lock.lost
    assert in_it(place)["token"] == "theirs"


def test_a_store_that_is_away_for_a_moment_takes_no_lock_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lock(tmp_path) as lock:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", lambda path: (_ for _ in ()).throw(OSError("away")))
            assert lock.held()
        put_lock(str(tmp_path), host="elsewhere", token="theirs")
        assert not lock.held()


def test_a_lock_taken_over_a_moment_before_stays_where_it_is(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_lock(tmp_path, pid=gone.pid, token="stale")
    late = Lock(tmp_path)._file
    assert late.holder()[0]["token"] == "stale"
    with Lock(tmp_path) as first:
        assert not late.seize()
        assert in_it(str(tmp_path))["token"] == first._file.token
    assert list(tmp_path.iterdir()) == []


def test_of_two_who_saw_the_same_dead_one_the_second_finds_the_first_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_lock(tmp_path, pid=gone.pid, token="stale")
    refused = []

    def try_it() -> None:
        with pytest.raises(UsageError, match=f"process {os.getpid()} on .* is working there|keeps taking"):
            Lock(tmp_path).__enter__()
        refused.append(sorted(path.name for path in tmp_path.iterdir()))

    real_link, real_replace = os.link, Path.replace

    def link(*names: Path) -> None:
        real_link(*names)
        monkeypatch.setattr(os, "link", real_link)
        try_it()  # it has said that it takes the lock over, and no more

    def replace(draft: Path, target: Path) -> Path:
        answer = real_replace(draft, target)
        monkeypatch.setattr(Path, "replace", real_replace)
        try_it()  # it has the lock, and has not tidied up
        return answer

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(Path, "replace", replace)
    with Lock(tmp_path) as first:
        assert in_it(str(tmp_path))["token"] == first._file.token
    assert len(refused) == 2 and all("lock.after.stale" in names for names in refused)
    assert list(tmp_path.iterdir()) == []


def test_who_died_while_taking_over_is_taken_over(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_lock(tmp_path, pid=gone.pid, token="first")
    (tmp_path / "lock").rename(tmp_path / "kept")
    write_lock(tmp_path, pid=gone.pid, token="second")
    (tmp_path / "lock").rename(tmp_path / "lock.after.first")
    (tmp_path / "kept").rename(tmp_path / "lock")
    with Lock(tmp_path) as lock:
        assert "took over" in lock.note
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
        assert in_it(str(tmp_path))["token"] == lock._file.token
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_never_a_path(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_lock(out, pid=gone.pid, token="/../../../elsewhere")
    with Lock(out) as lock:
        assert "took over" in lock.note
    assert list(out.iterdir()) == [] and [path.name for path in tmp_path.iterdir()] == ["out"]
