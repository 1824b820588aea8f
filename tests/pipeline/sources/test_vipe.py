from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.catalogs.formats.test_vipe import FRAMES, POSED, artifacts
from tests.pipeline.conftest import write_video
from tests.pipeline.passes.test_ingest_video import ingest_all, only
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.vipe import vipe_files
from worldloom.pipeline.sources.vipe import VipeSource


def source(path: Path, **values: Any) -> VipeSource:
    return VipeSource.model_validate({"kind": "vipe", "path": path, **values})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """ViPE's output about one video `a`."""
    root = tmp_path / "in"
    artifacts(root)
    write_video(root / "rgb" / "a.mp4", FRAMES, 0, fps=Fraction(10))
    return root


def test_a_video_brings_cameras_depth_and_subjects(out: Path, tmp_path: Path) -> None:
    clip = only(ingest_all(source(out), tmp_path / "out")["rgb/a.mp4"])
    assert clip.camera is not None and clip.depth is not None and clip.subjects is not None
    assert np.flatnonzero(clip.camera.valid).tolist() == POSED and clip.camera.scale == "metric"
    assert clip.annotations["pose"].notes == {"posed_frames": len(POSED)}
    assert clip.depth.frames.tolist()[0] == 0 and len(clip.depth) == 10 and clip.depth.stated_error == 0.1
    assert clip.subjects.label == ["a chair", "a person"] and clip.subjects.source == ["vipe", "vipe"]
    np.testing.assert_array_equal(clip.subjects.box[0, 0], [5, 10, 15, 20])
    assert {name for name, line in clip.annotations.items() if line.method == "source:vipe"} == {
        "pose", "depth", "subjects",
    }  # fmt: skip


def test_only_what_is_asked_for_is_given(out: Path, tmp_path: Path) -> None:
    vipe_files(out, "a")["mask"].write_bytes(b"damaged")
    values = {"give": ["pose", "depth"], "scale": "relative", "depth_frames": 3, "depth_height": 16, "depth_error": 0.2}
    asked = source(out, **values)
    clip = only(ingest_all(asked, tmp_path / "out")["rgb/a.mp4"])
    assert asked.gives() == ("pose", "depth") and clip.subjects is None
    assert clip.camera is not None and clip.depth is not None
    assert clip.camera.scale == clip.depth.scale == "relative"
    assert clip.depth.z.shape == (3, 16, 21) and clip.depth.stated_error == 0.2


def test_a_damaged_artifact_names_the_way_round_it(out: Path, tmp_path: Path) -> None:
    vipe_files(out, "a")["mask"].write_bytes(b"damaged")
    problem = ingest_all(source(out), tmp_path / "out")["rgb/a.mp4"]
    assert isinstance(problem, BadInput) and problem.reason == "bad_zip"
    assert "Or do without: give: [pose, depth]." in problem.remedy


def test_every_file_is_a_row_or_belongs_to_one(out: Path) -> None:
    for name in ("rgb/b.mp4", "pose/c.npz", "mask/c.txt", "rgb/notes.txt", "readme.md", "depth/a.tar", "pose/x/a.npz"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("x")
    for name in ("flow/a.zip", "vipe/a_info.pkl", "vipe/a_slam_map.pt", "vipe/a_vis.mp4"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("x")
    found = {item.uri: item for item in source(out).items()}
    assert {uri: item.problem[0] if item.problem else "" for uri, item in found.items()} == {
        "rgb/a.mp4": "", "rgb/b.mp4": "no_poses", "mask/c.txt": "no_video", "readme.md": "not_recognised",
        "depth/a.tar": "not_recognised", "pose/x/a.npz": "not_recognised", "rgb/notes.txt": "not_recognised",
    }  # fmt: skip
    beside = {Path(one).relative_to(out).as_posix() for one in found["rgb/a.mp4"].sidecars}
    assert beside == {
        "pose/a.npz", "intrinsics/a.npz", "intrinsics/a_camera.txt", "depth/a.zip", "mask/a.zip", "mask/a.txt",
    }  # fmt: skip
    without = {item.uri: item.problem for item in source(out, give=["depth"]).items()}
    assert without["rgb/b.mp4"] is None


def test_a_new_mask_is_a_new_item(out: Path) -> None:
    before = next(iter(source(out).items())).fingerprint()
    vipe_files(out, "a")["phrases"].write_text("3: another chair\n")
    assert next(iter(source(out).items())).fingerprint() != before


def test_nothing_is_read_that_a_link_leads_to_outside_of_the_source(out: Path, tmp_path: Path) -> None:
    """Such a file is not listed, changes no fingerprint, and is not read behind the list's back."""
    for name in ("depth/a.zip", "mask/a.zip", "intrinsics/a_camera.txt"):
        (out / name).rename(tmp_path / name.replace("/", "-"))
        (out / name).symlink_to(tmp_path / name.replace("/", "-"))
    clip = only(ingest_all(source(out), tmp_path / "clips")["rgb/a.mp4"])
    assert clip.camera is not None and clip.depth is None and clip.subjects is None
