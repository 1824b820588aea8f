"""Where a run stands: counts, rates, and whether its driver lives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.storage import FolderStore
from worldloom.pipeline import standing as module
from worldloom.pipeline.ledger import Entry
from worldloom.pipeline.progress import Silent
from worldloom.pipeline.standing import STANDING, Snapshot, Standing, read_standing


def entry(operation: str, status: str = "ok") -> Entry:
    return Entry("item", operation, "r", "s", status)


def test_a_run_at_work_is_seen_from_outside(tmp_path: Path) -> None:
    due = {"ingest": (3, 5), "pose": (4, 1), "depth": (2, 0)}
    with Standing(FolderStore(tmp_path), Silent(), 2, due) as standing:
        standing.start("ingest", 3)
        for status in ("ok", "dropped"):
            standing.hear(entry("ingest", status))
            standing.advance("ingest")
        standing.write()
        seen = read_standing(tmp_path)
        assert seen is not None and seen.alive and seen.workers == 2 and seen.rows == 2
        (line,) = seen.lines
        assert (line.name, line.kept, line.due, line.done, line.ok, line.dropped) == ("ingest", 5, 3, 2, 1, 1)
        assert line.state == "running" and line.running == 1 and line.rate > 0 and line.seconds_left is not None
        standing.finish("ingest")
        standing.start("annotate", 4)
        for status in ("ok", "absent", "failed"):
            standing.hear(entry("pose", status))
        standing.advance("annotate")
        standing.write()
        seen = read_standing(tmp_path)
        assert seen is not None
        lines = {line.name: line for line in seen.lines}
        assert list(lines) == ["ingest", "annotate", "pose", "depth"]
        assert lines["ingest"].state == "done" and lines["ingest"].running == 0
        pose = lines["pose"]
        assert (pose.part_of, pose.done, pose.ok, pose.absent, pose.failed) == ("annotate", 3, 1, 1, 1)
        assert (lines["depth"].done, lines["depth"].seconds_left) == (0, None)
        assert (lines["annotate"].done, lines["annotate"].running) == (1, 2)
    seen = read_standing(tmp_path)
    assert seen is not None and not seen.alive and seen.how == "done"


@pytest.mark.parametrize(
    ("error", "how", "said"),
    [(KeyboardInterrupt(), "interrupted", ""), (ValueError("disk full"), "failed", "disk full")],
)
def test_the_file_says_how_the_run_ended(tmp_path: Path, error: BaseException, how: str, said: str) -> None:
    with pytest.raises(type(error)), Standing(FolderStore(tmp_path), Silent(), 1, {}):
        raise error
    seen = read_standing(tmp_path)
    assert seen is not None and (seen.how, seen.said, seen.alive) == (how, said, False)


def test_it_is_written_while_nothing_is_asked_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_S", 0.01)
    with Standing(FolderStore(tmp_path), Silent(), 1, {}) as standing:
        standing.start("ingest", 1)
        standing.hear(entry("ingest"))
        for _ in range(500):
            seen = read_standing(tmp_path)
            if seen is not None and seen.rows == 1:
                break
            time.sleep(0.01)
        assert seen is not None and seen.rows == 1


def test_a_full_disk_ends_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Standing(FolderStore(tmp_path), Silent(), 1, {})
    with standing:

        def full(name: str, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(standing._store, "write", full)


class Refused(Exception):
    """What an object store raises; the errors of obstore are no OSError."""


class Moody(FolderStore):
    """Refuses to be written while `refuses`."""

    refuses = True
    refused = 0

    def write(self, name: str, data: bytes) -> None:
        if self.refuses:
            self.refused += 1
            raise Refused("503 Slow Down")
        super().write(name, data)


def test_a_store_that_refuses_ends_no_job(tmp_path: Path) -> None:
    with Standing(Moody(tmp_path), Silent(), 1, {"ingest": (1, 0)}) as standing:
        standing.start("ingest", 1)
        standing.hear(entry("ingest"))
        standing.advance("ingest")
        standing.finish("ingest")
    assert standing.snapshot.how == "done" and read_standing(tmp_path) is None


def test_the_file_is_written_again_once_the_store_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_S", 0.01)
    store = Moody(tmp_path)
    store.refuses = False

    def until(met: Callable[[], bool]) -> bool:
        end = time.monotonic() + 20
        while not (done := met()) and time.monotonic() < end:
            time.sleep(0.01)
        return done

    with Standing(store, Silent(), 1, {}) as standing:
        store.refuses = True
        standing.start("ingest", 1)
        standing.hear(entry("ingest"))
        assert until(lambda: store.refused >= 3), "the thread tries on"
        store.refuses = False
        assert until(lambda: (seen := read_standing(tmp_path)) is not None and seen.rows == 1)


def snapshot(**changes: object) -> Snapshot:
    me = psutil.Process()
    now = time.time()
    values: dict[str, object] = {"host": socket.gethostname(), "pid": os.getpid(), "process_started": me.create_time()}
    return Snapshot(**{**values, "started": now, "written": now, "workers": 1, **changes})  # type: ignore[arg-type]


def test_a_driver_that_is_gone_is_not_alive() -> None:
    assert snapshot().alive
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert not snapshot(pid=child.pid).alive
    assert not snapshot(process_started=1.0).alive, "its number was given to another process"
    assert snapshot(host="elsewhere").alive, "another host is believed while it writes"
    assert not snapshot(host="elsewhere", written=time.time() - 1000).alive


def test_a_folder_without_a_run_has_no_standing(tmp_path: Path) -> None:
    assert read_standing(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", '{"lines": [{"nme": 1}]}', '{"lines": 3}', "{}", "\x00"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / STANDING).write_text(content)
    with pytest.raises(BadInput, match="cannot be read"):
        read_standing(tmp_path)


def test_json_says_whether_it_lives(tmp_path: Path) -> None:
    assert json.loads(json.dumps(snapshot().as_json()))["alive"] is True
