"""Every odd file is a row with its reason, or its clip: the right frames, upright, at the right times."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.numbered_video import number_of
from tests.pipeline.oddities import MAKERS, Expected, ffprobe_times
from worldloom.catalogs.clip import Clip
from worldloom.catalogs.decode import cfr_index
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import members_to_clip
from worldloom.catalogs.video import Frames
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.parcel import record_members, unpack_parcel
from worldloom.pipeline.passes.ingest_video import ingest_video
from worldloom.pipeline.settings import Ingest
from worldloom.pipeline.sources.folder import FolderSource

RULES = Ingest(min_seconds=0.0, shots=False)


def ingest(path: Path, out: Path) -> list[Clip]:
    """Clips of the only file in its folder."""
    (item,) = FolderSource(kind="folder", path=path.parent).items()
    assert item.path == str(path)
    answer = ingest_video({"item": asdict(item), "ingest": RULES.model_dump(mode="json"), "out": str(out)})
    members = unpack_parcel(answer["payload"])
    clips = []
    for about in answer["facts"]["clips"]:
        mine, recipe = record_members(members, about["key"])
        clip = members_to_clip(about["key"], mine)
        clip.video = Layout(out).video(recipe, clip.key)
        clips.append(clip)
    return clips


def as_clip(times_s: Any, clip: Clip) -> np.ndarray:
    """Source time of each frame of the clip, from the times of the source's frames, one frame at a time."""
    times = np.asarray(times_s, np.float64)
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 1 / float(clip.fps)
    count = max(1, int((times[-1] - times[0] + usual) * float(clip.fps) + 1e-3))
    wanted = times[0] + np.arange(count) / float(clip.fps)
    return times[[int(np.argmin(np.abs(times - one) - 1e-6 * (times < one))) for one in wanted]]


@pytest.mark.parametrize("name", list(MAKERS), ids=lambda name: name.encode("ascii", "replace").decode().strip())
def test_what_is_true_of_it_by_construction(name: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir()
    expected: Expected = MAKERS[name](path)
    if expected.reason:
        with pytest.raises(BadInput) as refusal:
            ingest(path, tmp_path / "out")
        assert refusal.value.reason == expected.reason
        return
    (clip,) = ingest(path, tmp_path / "out")
    assert (clip.width, clip.height) == expected.size
    assert (clip.quality.get("damaged", 0) > 0) == expected.damaged
    if expected.times_s is not None:
        times = np.array(expected.times_s) + (clip.pts_s[0] - expected.times_s[0] if expected.shifted else 0.0)
        np.testing.assert_allclose(clip.pts_s, as_clip(times, clip), atol=2e-3)
    with Frames(clip.video) as frames:  # type: ignore[arg-type]
        assert len(frames) == clip.frames
        assert (frames.width, frames.height) == expected.size
        if expected.numbers is not None and expected.times_s is not None:
            index = cfr_index(np.array(expected.times_s), clip.fps)
            assert [number_of(one) for one in frames] == [expected.numbers[i] for i in index]
    told = clip.annotations["ingest"].notes.get("error")
    if shutil.which("ffprobe") and not told and name != "doubled_times.mkv":  # ffprobe leaves both at one time
        theirs = ffprobe_times(path, clip.provenance.stream)
        assert theirs is not None
        np.testing.assert_allclose(clip.pts_s, as_clip(theirs, clip), atol=2e-3)


def test_things_that_are_no_files_are_rows_too(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "x.mp4").mkdir(parents=True)
    os.mkfifo(folder / "pipe.mp4")
    (folder / "away.mp4").symlink_to("/etc/hostname")
    (folder / "lost.mp4").symlink_to(folder / "nowhere.mp4")
    found = {}
    for item in FolderSource(kind="folder", path=folder).items():
        with pytest.raises((BadInput, FileNotFoundError)) as refusal:
            ingest_video({
                "item": asdict(item), "ingest": RULES.model_dump(mode="json"), "out": str(tmp_path / "out"),
            })  # fmt: skip
        found[item.uri] = getattr(refusal.value, "reason", type(refusal.value).__name__)
    assert found == {"lost.mp4": "missing_file", "pipe.mp4": "not_video"}
