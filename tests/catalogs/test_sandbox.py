from __future__ import annotations

import errno
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest

from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.sandbox import (
    Child,
    ChildDied,
    ChildDisk,
    ChildFailure,
    ChildMemory,
    ChildNotStarted,
    ChildRaised,
    ChildTimeout,
    Limits,
)
from worldloom.catalogs.sandbox_guard import marked

ROOT = Path(__file__).parents[2]
LIMITS = Limits(deadline_s=60, memory_mb=256)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with Child("sandbox_entries:act", LIMITS) as one:
        yield one


def gone(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        process.wait(timeout=20)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def assert_works(child: Child) -> None:
    assert child.call({"do": "echo", "value": [1, "two"]}) == [1, "two"]


def test_values_come_back_and_the_module_is_imported_once(child: Child) -> None:
    array = np.arange(300_000).reshape(3, -1)
    np.testing.assert_array_equal(child.call({"do": "echo", "value": array}), array)
    assert child.call({"do": "imported_at"}) == child.call({"do": "imported_at"})
    assert child.call({"do": "pid"}) == child.pid != os.getpid()


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"do": "segfault"}, "SIGSEGV"),
        ({"do": "kill_self", "number": signal.SIGABRT}, "SIGABRT"),
        ({"do": "kill_self", "number": signal.SIGKILL}, "SIGKILL"),
    ],
)
def test_death_by_signal_is_named_and_costs_one_call(child: Child, payload: dict, name: str) -> None:
    assert_works(child)
    with pytest.raises(ChildDied, match=name) as death:
        child.call(payload)
    assert death.value.signal == name
    assert death.value.reason == "crashed"
    assert_works(child)


def test_the_last_words_of_a_crash_are_kept(child: Child) -> None:
    with pytest.raises(ChildDied, match=r"Segmentation fault(.|\n)*segfault"):
        child.call({"do": "segfault"})


def test_an_exit_is_named_and_costs_one_call(child: Child) -> None:
    with pytest.raises(ChildDied, match="code 7") as death:
        child.call({"do": "leave", "code": 7})
    assert death.value.status == 7
    with pytest.raises(ChildDied, match="code 0"):
        child.call({"do": "leave", "code": 0})
    assert_works(child)


@pytest.mark.parametrize("do", ["loop", "loop_deaf"])
def test_an_endless_loop_ends_at_the_deadline(child: Child, do: str) -> None:
    assert_works(child)
    pid = child.pid
    with pytest.raises(ChildTimeout, match=r"0\.3 s") as failure:
        child.call({"do": do}, deadline_s=0.3)
    assert failure.value.reason == "timeout"
    assert gone(pid)
    assert_works(child)


@pytest.mark.parametrize("do", ["bomb", "one_big_block"])
def test_a_memory_bomb_is_stopped(child: Child, do: str) -> None:
    with pytest.raises(ChildMemory, match="256 MB") as failure:
        child.call({"do": do})
    assert failure.value.reason == "out_of_memory"
    assert_works(child)


def test_resident_memory_is_watched_where_address_space_cannot_be_limited(child: Child) -> None:
    with Child(child.entry, Limits(memory_mb=128, address_space=False)) as other, pytest.raises(ChildMemory):
        other.call({"do": "bomb"})


def test_a_call_may_have_a_memory_limit_of_its_own(child: Child) -> None:
    assert child.call({"do": "a_block", "mb": 100}) == 100 << 20
    with pytest.raises(ChildMemory, match="64 MB"):
        child.call({"do": "a_block", "mb": 100}, memory_mb=64)
    assert child.call({"do": "a_block", "mb": 600}, memory_mb=1000) == 600 << 20
    with pytest.raises(ChildMemory, match="256 MB"):
        child.call({"do": "a_block", "mb": 600})


def test_address_space_is_free_where_it_cannot_be_limited(child: Child) -> None:
    with Child(child.entry, Limits(memory_mb=128, address_space=False)) as other:
        assert other.call({"do": "limit_of_address_space"}, memory_mb=64) == resource.RLIM_INFINITY


def test_a_machine_without_room_for_a_process_is_a_failure_of_the_call(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        with pytest.raises(ChildNotStarted, match="temporarily unavailable") as failure:
            child.call({"do": "pid"})
    assert failure.value.reason == "not_started"
    assert_works(child)


def test_output_does_not_break_the_protocol(child: Child, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        assert child.call({"do": "chatter"}) == "fine"
    assert_works(child)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("do", ["close_descriptors", "write_into_descriptors"])
def test_a_broken_connection_is_a_death(child: Child, do: str) -> None:
    with pytest.raises(ChildDied):
        child.call({"do": do})
    assert_works(child)


def test_exceptions_come_back_and_the_child_lives(child: Child) -> None:
    assert_works(child)
    pid = child.pid
    with pytest.raises(ChildRaised, match="ValueError: no such luck") as failure:
        child.call({"do": "raise_value_error"})
    assert failure.value.kind == "ValueError"
    assert "raise_value_error" in failure.value.traceback
    with pytest.raises(ChildRaised, match="SystemExit: 3"):
        child.call({"do": "quit_politely"})
    with pytest.raises(ChildRaised, match="cannot be sent"):
        child.call({"do": "unpicklable"})
    with pytest.raises(BadInput) as refusal:
        child.call({"do": "raise_bad_input"})
    assert str(refusal.value) == "a.mp4: nothing is seen. Light it."
    assert refusal.value.reason == "too_dark"
    with pytest.raises(UsageError, match="wrong key"):
        child.call({"do": "raise_usage"})
    assert child.pid == pid


def test_an_entry_that_cannot_be_imported_is_told(child: Child) -> None:
    with pytest.raises(ChildRaised, match="no_such_module"):
        Child("no_such_module:f").call()
    with pytest.raises(ChildRaised, match="no_such_function"):
        Child("sandbox_entries:no_such_function").call()
    with pytest.raises(UsageError, match="module:function"):
        Child("sandbox_entries")


def test_an_unpicklable_payload_harms_nothing(child: Child) -> None:
    assert_works(child)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        child.call({"do": "echo", "value": lambda: None})
    assert_works(child)


def test_a_child_is_recycled(child: Child) -> None:
    with Child(child.entry, Limits(recycle_after=2)) as other:
        pids = [other.call({"do": "pid"}) for _ in range(5)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
    assert all(map(gone, pids))


def test_a_child_ended_between_calls_is_replaced(child: Child) -> None:
    pid = child.call({"do": "pid"})
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert_works(child)


def test_the_whole_process_group_is_ended(child: Child, tmp_path: Path) -> None:
    with pytest.raises(ChildDied):
        child.call({"do": "spawn_and_die", "path": str(tmp_path / "pid")})
    assert gone(int((tmp_path / "pid").read_text()))


def appeared(path: Path) -> int:
    """The process id that a grandchild's parent has written down."""
    for _ in range(500):
        if path.is_file() and (text := path.read_text()):
            return int(text)
        time.sleep(0.02)
    raise AssertionError(f"{path} was never written")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_deadline_ends_grandchildren_in_sessions_of_their_own(child: Child, tmp_path: Path) -> None:
    with pytest.raises(ChildTimeout):
        child.call({"do": "spawn_into_own_session", "path": str(tmp_path / "pid")}, deadline_s=2)
    assert gone(int((tmp_path / "pid").read_text()))
    assert_works(child)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_killed_parent_takes_grandchildren_along(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    script = PARENT.replace('{"do": "loop"}', f'{{"do": "spawn_into_own_session", "path": {str(tmp_path / "pid")!r}}}')
    with subprocess.Popen([sys.executable, "-c", script, "busy"], stdout=subprocess.PIPE, env=environment) as parent:
        child = int(parent.stdout.readline())
        grandchild = appeared(tmp_path / "pid")
        assert psutil.pid_exists(grandchild)
        parent.kill()
    assert gone(child) and gone(grandchild)


def test_memory_of_grandchildren_counts(child: Child) -> None:
    with pytest.raises(ChildMemory):
        child.call({"do": "spawn_that_eat"}, deadline_s=30)


def test_no_zombies_are_left(child: Child) -> None:
    for payload in ({"do": "leave", "code": 1}, {"do": "segfault"}, {"do": "leave", "code": 2}):
        with pytest.raises(ChildDied):
            child.call(payload)
    child.close()
    mine = [one for one in psutil.Process().children() if one.status() == psutil.STATUS_ZOMBIE]
    assert mine == []


def test_a_file_past_the_limit_is_told_by_name(child: Child, tmp_path: Path) -> None:
    with Child(child.entry, Limits(file_mb=1)) as other:
        other.call({"do": "write_file", "path": str(tmp_path / "small"), "size": 1 << 20})
        with pytest.raises(ChildDisk, match="larger") as failure:
            other.call({"do": "write_file", "path": str(tmp_path / "large"), "size": (1 << 20) + 4096})
        assert failure.value.reason == "file_too_large" and "write_file" in failure.value.traceback
        assert_works(other)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_by_name_and_the_child_lives(child: Child) -> None:
    assert_works(child)
    pid = child.pid
    with pytest.raises(ChildDisk, match="no room") as failure:
        child.call({"do": "write_file", "path": "/dev/full", "size": 1 << 20})
    assert failure.value.reason == "disk_full"
    assert child.call({"do": "pid"}) == pid


def test_a_flood_of_output_fills_no_disk(child: Child) -> None:
    child.call({"do": "flood"})
    assert_works(child)
    size = os.fstat(child._running.log.fileno()).st_size
    assert size <= 32 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="a signal that native code lets through")
@pytest.mark.parametrize("do", ["loop", "deep_in_native_code"])
def test_a_deadline_says_where_the_code_hung(child: Child, do: str) -> None:
    with pytest.raises(ChildTimeout) as failure:
        child.call({"do": do}, deadline_s=0.5)
    assert f"in {do}" in failure.value.last_words


def test_the_mark_of_a_child_is_its_own(child: Child) -> None:
    with Child(child.entry) as other:
        pids = {one.call({"do": "pid"}) for one in (child, other)}
        found = [set(marked(one._running.mark)) for one in (child, other)]
    assert found[0] | found[1] == pids and not found[0] & found[1]


def test_a_child_outlives_the_thread_that_started_it(child: Child) -> None:
    thread = threading.Thread(target=assert_works, args=(child,))
    thread.start()
    thread.join()
    pid = child.pid
    assert child.call({"do": "pid"}) == pid


def test_libraries_run_on_one_thread(child: Child) -> None:
    assert child.call({"do": "environment", "name": "OMP_NUM_THREADS"}) == "1"


def test_a_forgotten_child_is_ended(child: Child) -> None:
    other = Child(child.entry)
    pid = other.call({"do": "pid"})
    del other
    assert gone(pid)


PARENT = """
import sys
from worldloom.catalogs.sandbox import Child
child = Child("sandbox_entries:act")
print(child.call({"do": "pid"}), flush=True)
if sys.argv[1] == "busy":
    child.call({"do": "loop"})
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_killed_parent_takes_its_child_along(state: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    command = [sys.executable, "-c", PARENT, state]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as parent:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert gone(pid)


SCRIPT = """
import os
from worldloom.catalogs.sandbox import Child
with Child("sandbox_entries:act") as child:
    print(child.call({"do": "modules", "names": ["train", "model", "pipeline"]}))
    print(child.call({"do": "search_path"})[-1] == os.getcwd())
"""


def test_a_folder_with_modules_of_our_names_does_no_harm(tmp_path: Path) -> None:
    for name in ("train", "model", "pipeline"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the script folder')")
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["[None, None, None]", "True"], done.stderr


@pytest.mark.slow
def test_inside_a_ray_actor(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    here = str(Path(__file__).parent)
    ours = not ray.is_initialized()  # else an earlier test of this process keeps one
    if ours:
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:

        @ray.remote
        class Worker:
            def __init__(self) -> None:
                sys.path.append(here)
                self.child = Child("sandbox_entries:act", LIMITS)

            def call(self, payload: dict) -> object:
                try:
                    return self.child.call(payload)
                except ChildFailure as failure:
                    return failure.reason

        worker = Worker.remote()
        payloads = [{"do": "pid"}, {"do": "segfault"}, {"do": "bomb"}, {"do": "pid"}]
        first, crash, bomb, second = ray.get([worker.call.remote(payload) for payload in payloads])
        assert (crash, bomb) == ("crashed", "out_of_memory")
        assert first != second
        ray.kill(worker)
        assert gone(second)
    finally:
        if ours:
            ray.shutdown()


def test_failures_travel_between_processes() -> None:
    for failure in (
        ChildDied("x", "SIGSEGV"),
        ChildTimeout("x"),
        ChildMemory("x"),
        ChildDisk("x", "file_too_large", "t"),
        ChildRaised("x", "ValueError", "t"),
    ):
        copy = pickle.loads(pickle.dumps(failure))
        assert (type(copy), str(copy), copy.reason, vars(copy)) == (type(failure), "x", failure.reason, vars(failure))


def test_a_picture_that_unpacks_to_gigabytes_is_refused_by_its_header(child: Child, tmp_path: Path) -> None:
    """A PNG of 20,000 x 20,000 in a megabyte; 1.2 GB once unpacked."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side, packer = 20_000, zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes((1 + 3 * side) * 100)) for _ in range(side // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(png)
    with Child("sandbox_entries:look_at", Limits(deadline_s=60, memory_mb=4000)) as one:
        reason, took_mb = one.call(str(tmp_path / "a.png"))
    assert reason == "not_image" and took_mb < 200
