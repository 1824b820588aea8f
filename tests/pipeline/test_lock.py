from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from worldloom.catalogs.errors import UsageError
from worldloom.pipeline.lock import STALE_AFTER_S, Lock


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
