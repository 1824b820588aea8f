from __future__ import annotations

from typing import Any

import pytest

from worldloom.pipeline.envelope import Ending, Envelope
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.passes.annotate import annotate_stages
from worldloom.pipeline.passes.supervisors import AnnotateSupervisor


def operation(name: str, **more: Any) -> Operation:
    values: dict[str, Any] = {
        "place": name, "config": {}, "method": "m", "version": "1", "gives": "quality", "needs": (), "sees": (),
        "sees_frames": True, "after": (), "recipe": name, "cpus": 1.0, "gpus": 0.0, "memory_mb": 1000,
        "deadline_s": 60.0,
    }  # fmt: skip
    return Operation(name=name, **{**values, **more})


def asked(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> list[tuple[Any, ...]]:
    """Deadline, memory and address space of the calls that one row becomes."""
    found: list[tuple[Any, ...]] = []

    def call(self: Envelope, payload: Any, deadline_s: float | None = None, memory_mb: int | None = None) -> Ending:
        found.append((deadline_s, memory_mb, self._limits.address_space))
        return Ending("failed", "exception", "")

    monkeypatch.setattr(Envelope, "call", call)
    two = [operation("small", memory_mb=500, deadline_s=5.0), operation("large", memory_mb=6000)]
    given = {"deadline_s": None, "memory_mb": None, "recycle_after": 10, **settings}
    supervisor = AnnotateSupervisor(out="out", operations=[one.as_json() for one in two], **given)
    supervisor({"key": "k", "source": {}, "record": ["p", 0], "due": ["small", "large"], "known": {}})
    return found


def test_every_operation_has_its_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch) == [(5.0, 500, True), (60.0, 6000, True)]
    assert asked(monkeypatch, deadline_s=7.0, memory_mb=800) == [(7.0, 800, True)] * 2


def test_address_space_is_not_limited_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, gpu=True) == [(5.0, 500, False), (60.0, 6000, False)]


def test_a_stage_says_whether_it_runs_on_a_gpu(tmp_path: Any) -> None:
    from worldloom.pipeline.layout import Layout
    from worldloom.pipeline.ledger import Ledger
    from worldloom.pipeline.passes.work import Work
    from worldloom.pipeline.progress import Silent
    from worldloom.pipeline.settings import Job

    job = Job.model_validate({"name": "x", "out": str(tmp_path), "sources": [{"kind": "worlds", "count": 1}]})
    work = Work(job, Layout(tmp_path), Ledger(tmp_path), InProcess(job.execution), Silent())
    stages = annotate_stages(work, [operation("a"), operation("b", gpus=0.5, memory_mb=2000), operation("c")])
    assert [(stage.settings["gpu"], stage.memory_mb) for stage in stages] == [
        (False, 1000),
        (True, 2000),
        (False, 1000),
    ]
    assert all(stage.settings["memory_mb"] is None for stage in stages)
