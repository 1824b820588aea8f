"""Sources of a hundred thousand files: what is done per file must not grow with the number of files."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import pytest

from worldloom.catalogs.config import load
from worldloom.pipeline.sources.recammaster import ReCamMasterSource
from worldloom.pipeline.sources.source import Source
from worldloom.pipeline.sources.unreal import UnrealSource

SCENES = 60


def recammaster(root: Path) -> Source:
    for number in range(SCENES):
        for name in ("videos/cam01.mp4", "cameras/camera_extrinsics.json"):
            path = root / f"scene{number:03d}" / name
            path.parent.mkdir(parents=True)
            path.touch()
    return load(ReCamMasterSource, {"kind": "recammaster", "path": root})


def unreal(root: Path) -> Source:
    for number in range(SCENES):
        folder = root / f"shot{number:03d}"
        (folder / "Depth").mkdir(parents=True)
        for name in ("take.mp4", "camera.json", "Depth/depth.0000.exr"):
            (folder / name).touch()
    return load(
        UnrealSource, {"kind": "unreal", "path": root, "name": "{sequence}.{frame}", "depth": {"name": "Depth"}}
    )


@pytest.mark.parametrize("make", [recammaster, unreal])
def test_files_are_not_held_against_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    source, asked, parent = make(tmp_path), [0], PurePath.parent.fget
    assert parent is not None

    def counted(path: PurePath) -> PurePath:
        asked[0] += 1
        return parent(path)

    monkeypatch.setattr(PurePath, "parent", property(counted))
    items = list(source.items())
    assert sum(item.path.endswith(".mp4") for item in items) == SCENES
    assert asked[0] < 40 * len(items), "a folder is looked up, not looked for"
