from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldloom.catalogs.clip import Camera
from worldloom.pipeline.answers import attach
from worldloom.pipeline.ledger import Entry, Ledger
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.operations import plan_operations
from worldloom.pipeline.parcel import unpack_parcel
from worldloom.pipeline.passes import annotate_clip as room
from worldloom.pipeline.passes.annotate_clip import annotate_clip, slug
from worldloom.pipeline.passes.ingest_video import ingest_video
from worldloom.pipeline.settings import Ingest, Job
from worldloom.pipeline.workspace import Layout, record_of

FAKES = "tests.pipeline.fakes:"


@pytest.fixture
def ingested(videos: Path, make_job: Callable[..., Job], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Payload of one operation on one of the small videos; `fresh` are answers of this clip."""
    job = make_job(
        sources=[{"kind": "folder", "path": str(videos)}],
        annotate=[FAKES + "Brightness", FAKES + "Still", FAKES + "Labels", FAKES + "Measured"],
    )
    operations = {operation.name: operation for operation in plan_operations(job)}
    items = {item.uri: item for item in job.sources[0].items()}
    out = tmp_path / "out"

    def payload(video: str, operation: str, **fresh: bytes) -> dict[str, Any]:
        values = Ingest(min_seconds=0.5).model_dump(mode="json")
        result = ingest_video({"item": asdict(items[video]), "ingest": values, "out": str(out)})
        with Ledger(out, writable=True) as ledger:
            entry = Entry(video, "ingest", "recipe", "source", "ok", payload=result["payload"])
            ledger.append(entry)
        wanted = operations[operation]
        return {
            "out": str(out),
            "key": result["facts"]["clips"][0]["key"],
            "record": [entry.part, entry.row],
            "operation": wanted.as_json(),
            "gives": {name: operations[name].gives for name in wanted.after},
            "known": {},
            "fresh": fresh,
        }

    return payload


def test_an_answer_with_its_figures(ingested: Callable[..., dict[str, Any]]) -> None:
    result = annotate_clip(ingested("a.mp4", "brightness"))
    assert result["status"] == "ok"
    assert 50 < result["facts"]["quality"]["brightness"] < 200
    assert annotate_clip(ingested("a.mp4", "brightness"))["digest"] == result["digest"]


def test_nothing_to_say_is_an_answer_with_a_slug(ingested: Callable[..., dict[str, Any]]) -> None:
    result = annotate_clip(ingested("b.mp4", "pose"))
    assert (result["status"], result["reason"]) == ("absent", "odd_number_of_frames")
    assert slug("depth: No parallax!") == "depth_no_parallax"


def test_what_is_needed_and_not_there_is_an_absent_answer(ingested: Callable[..., dict[str, Any]]) -> None:
    absent = annotate_clip(ingested("b.mp4", "pose"))["payload"]
    for fresh in ({}, {"pose": absent}):
        result = annotate_clip(ingested("b.mp4", "labels", **fresh))
        assert (result["status"], result["reason"]) == ("absent", "needs_camera")


def test_an_operation_sees_what_it_declares_and_no_more(ingested: Callable[..., dict[str, Any]]) -> None:
    pose = annotate_clip(ingested("a.mp4", "pose"))
    result = annotate_clip(ingested("a.mp4", "labels", pose=pose["payload"]))  # asserts that there is no video
    assert result["facts"]["quality"]["labels"] == 20


def test_a_large_value_lies_in_a_file_of_its_own(ingested: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    payload = ingested("a.mp4", "depth")
    result = annotate_clip(payload)
    members = unpack_parcel(result["payload"])
    assert set(members) == {"annotation.json", "blob", "blob.sha256"}
    blob = tmp_path / "out" / members["blob"].decode()
    assert blob.stat().st_size == result["bytes"]
    layout = Layout(tmp_path / "out")
    clip = record_of(layout, payload["key"], tuple(payload["record"]))
    attach(clip, "depth", "depth", room.answer_of(layout, result["payload"]))
    assert clip.depth is not None
    np.testing.assert_allclose(clip.depth.z, 2.0, rtol=1e-3)


def test_all_operations_of_a_clip_share_one_decode(
    ingested: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    frames = room.Frames

    def counted(video: Any, **options: Any) -> Any:
        opened.append(video)
        return frames(video, **options)

    monkeypatch.setattr(room, "Frames", counted)
    monkeypatch.setattr(room, "_desk", room._Desk())
    for _ in range(3):
        annotate_clip(ingested("a.mp4", "brightness"))
    assert len(opened) == 1
    annotate_clip(ingested("c.mp4", "brightness"))
    assert len(opened) == 2


def test_held_frames_are_those_of_the_file(videos: Path) -> None:
    with room.Frames(videos / "a.mp4") as frames:
        held = room.HeldFrames(frames[:], frames.pts_s)
        np.testing.assert_array_equal(held[[3, 1, 1]], frames[[3, 1, 1]])
        np.testing.assert_array_equal(held[-1], frames[-1])
        np.testing.assert_array_equal(held[2:9:3], frames[2:9:3])
        assert len(held) == 20 and (held.width, held.height) == (64, 48)
        for one in held:
            one[:] = 0
        assert held[0].any(), "who draws on a frame draws on a copy"


def test_sources_answer_for_themselves(
    ingested: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip that came with its camera has one for those who need it."""
    payload = ingested("b.mp4", "labels")
    record = record_of(Layout(payload["out"]), payload["key"], tuple(payload["record"]))
    record.camera = Camera.known(np.tile(np.eye(4), (21, 1, 1)), (50, 50, 32, 24))
    monkeypatch.setattr(room, "record_of", lambda *_: record)
    monkeypatch.setattr(room, "_desk", room._Desk())
    assert annotate_clip(payload)["facts"]["quality"]["labels"] == 21


def test_operations_survive_json(make_job: Callable[..., Job], videos: Path) -> None:
    job = make_job(sources=[{"kind": "folder", "path": str(videos)}], annotate=[FAKES + "Still", FAKES + "Labels"])
    for operation in plan_operations(job):
        assert Operation.from_json(json.loads(json.dumps(operation.as_json()))) == operation
