from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sandbox import _spawn
from worldloom.pipeline.envelope import ATTEMPTS_AT_DEATH, Envelope

calls = 0


def entry(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Runs in the child; does what it is told."""
    global calls
    calls += 1
    what = payload["what"]
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "exit":
        os._exit(7)
    if what == "raise":
        raise ValueError("not a number")
    if what == "refuse":
        raise BadInput("too_dark", "nothing to see", where="a.mp4")
    while what == "hang":
        pass
    if what == "eat":
        return {"size": len(bytearray(1 << 34))}
    return {"calls": calls, "pid": os.getpid()}


@pytest.fixture(scope="module")
def envelope() -> Iterator[Envelope]:
    envelope = Envelope("tests.pipeline.test_envelope:entry", deadline_s=60.0, memory_mb=1000, recycle_after=100)
    yield envelope
    envelope.close()


def test_a_good_row_stays_in_the_warm_child(envelope: Envelope) -> None:
    first, second = envelope.call({"what": "work"}), envelope.call({"what": "work"})
    assert first.status == second.status == "ok" and first.attempts == 1
    assert second.result["calls"] == first.result["calls"] + 1
    assert second.result["pid"] == first.result["pid"] != os.getpid()


@pytest.mark.parametrize(
    ("what", "status", "reason", "attempts"),
    [
        ("die", "failed", "crashed", ATTEMPTS_AT_DEATH),
        ("exit", "failed", "crashed", ATTEMPTS_AT_DEATH),
        ("eat", "failed", "out_of_memory", ATTEMPTS_AT_DEATH),
        ("raise", "failed", "exception", 1),
        ("refuse", "dropped", "too_dark", 1),
    ],
)
def test_whatever_happens_comes_back_as_an_ending(
    envelope: Envelope, what: str, status: str, reason: str, attempts: int
) -> None:
    ending = envelope.call({"what": what})
    assert (ending.status, ending.reason, ending.attempts) == (status, reason, attempts)
    assert ending.error
    assert envelope.call({"what": "work"}).status == "ok", "the next row is none the worse"


def test_an_exception_says_where(envelope: Envelope) -> None:
    ending = envelope.call({"what": "raise"})
    assert "not a number" in ending.error and "test_envelope.py" in ending.trace


def test_a_row_for_which_no_process_starts_is_tried_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = iter([True, False])

    def spawn(threads: int) -> Any:
        if next(refused):
            raise OSError("out of processes")
        return _spawn(threads)

    monkeypatch.setattr("worldloom.catalogs.sandbox._spawn", spawn)
    monkeypatch.setattr("worldloom.pipeline.envelope.WAIT_TO_START_S", 0.0)
    envelope = Envelope("tests.pipeline.test_envelope:entry", deadline_s=60.0, memory_mb=1000, recycle_after=100)
    try:
        ending = envelope.call({"what": "work"})
        assert (ending.status, ending.attempts) == ("ok", 2)
        envelope.close()
        refused = iter([True, True])
        ending = envelope.call({"what": "work"})
        assert (ending.status, ending.reason, ending.attempts) == ("failed", "not_started", 2)
        assert "out of processes" in ending.error
    finally:
        envelope.close()


def test_limits_of_a_call_are_those_of_its_evidence(envelope: Envelope) -> None:
    ending = envelope.call({"what": "eat"}, deadline_s=9.0, memory_mb=500)
    assert "500 MB" in ending.error
    assert (ending.call["limits"]["deadline_s"], ending.call["limits"]["memory_mb"]) == (9.0, 500)


def test_a_row_that_hangs_is_ended_once(envelope: Envelope) -> None:
    ending = envelope.call({"what": "hang"}, deadline_s=0.5)
    assert (ending.status, ending.reason, ending.attempts) == ("failed", "timeout", 1)
    assert envelope.call({"what": "work"}).status == "ok"
