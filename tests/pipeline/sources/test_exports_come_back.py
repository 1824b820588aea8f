"""What `worldloom export` writes is read again by the sources of the same formats, frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.exports.test_lerobot_export import exported
from tests.catalogs.exports.walks import walk
from tests.catalogs.numbered_video import number_of
from tests.pipeline.passes.test_ingest_video import ingest_all, only
from worldloom.catalogs.exports.realestate10k import RealEstate10KExport
from worldloom.pipeline.sources.lerobot import LeRobotSource
from worldloom.pipeline.sources.realestate10k import RealEstate10KSource


def numbers(clip: Any) -> list[int]:
    with clip.open_frames() as frames:
        return [number_of(picture) for picture in frames]


def test_lerobot(tmp_path: Path) -> None:
    clips = [walk(0, 12, hands=True, missing=(3,)), walk(1, 20, hands=True)]
    clips[0].attributes["task"] = "fold the cloth"
    exported(tmp_path / "set", clips)
    found = ingest_all(LeRobotSource(kind="lerobot", path=tmp_path / "set"), tmp_path / "out", min_seconds=0)
    for clip, back in zip(clips, map(only, found.values()), strict=True):
        assert numbers(back) == list(range(clip.frames)) and back.fps == clip.fps
        np.testing.assert_allclose(back.camera.c2w, clip.camera.c2w, atol=2e-6)
        np.testing.assert_allclose(back.camera.intrinsics, clip.camera.intrinsics, rtol=1e-6)
        assert back.camera.scale == "metric"
        np.testing.assert_array_equal(back.hands.joints, clip.hands.joints)
        assert back.attributes.get("task") == clip.attributes.get("task")


@pytest.mark.parametrize("align", ["index", "pts"])
def test_realestate10k(align: str, tmp_path: Path) -> None:
    clip = walk(frames=20)
    (tmp_path / "set").mkdir()
    RealEstate10KExport().write(clip, tmp_path / "set")
    folders = {"poses": tmp_path / "set" / "pose_files", "videos": tmp_path / "set" / "videos"}
    source = RealEstate10KSource(kind="realestate10k", align=align, **folders)
    back = only(next(iter(ingest_all(source, tmp_path / "out", min_seconds=0).values())))
    assert numbers(back) == list(range(20))
    np.testing.assert_allclose(back.camera.c2w, clip.camera.c2w, atol=1e-7)
    np.testing.assert_allclose(back.camera.intrinsics, clip.camera.intrinsics, atol=1e-6)
