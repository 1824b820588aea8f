from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from worldloom.annotators.annotator import ANNOTATORS
from worldloom.catalogs.clip import same_value
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.cli import app
from worldloom.pipeline.chain import label, with_needed
from worldloom.pipeline.single import annotate_one, clip_of_images, read_members, write_members


def pictures(folder: Path, count: int = 6, size: tuple[int, int] = (64, 48)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(3).integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    noise = cv2.resize(coarse, (size[0] + count, size[1]), interpolation=cv2.INTER_CUBIC)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:03d}.png"), noise[:, i : i + size[0]])
    return folder


def clip_of(folder: Path, video: Path, height: int = 480):
    return clip_of_images(folder, video, Fraction(8), height)


def test_a_folder_of_images_becomes_a_clip_of_its_frames(tmp_path):
    clip = clip_of(pictures(tmp_path / "frames"), tmp_path / "clip.mp4")
    assert (clip.frames, clip.width, clip.height, clip.seconds) == (6, 64, 48, 0.75)
    with clip.open_frames() as frames:
        assert len(frames) == 6
        first = cv2.cvtColor(cv2.imread(str(tmp_path / "frames" / "000.png")), cv2.COLOR_BGR2RGB)
        assert np.abs(frames[0].astype(int) - first).mean() < 10


def test_the_key_is_that_of_the_images_and_not_of_their_place(tmp_path):
    here = clip_of(pictures(tmp_path / "a"), tmp_path / "a.mp4")
    there = clip_of(pictures(tmp_path / "b" / "c"), tmp_path / "b.mp4")
    other = clip_of(pictures(tmp_path / "d", count=7), tmp_path / "d.mp4")
    assert here.key == there.key != other.key


def test_images_are_made_smaller_and_never_larger(tmp_path):
    folder = pictures(tmp_path / "frames")
    assert clip_of(folder, tmp_path / "a.mp4", height=24).height == 24
    assert clip_of(folder, tmp_path / "b.mp4", height=4800).height == 48


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: [path.unlink() for path in folder.iterdir()], "no_images"),
        (lambda folder: (folder / "003.png").write_text("not a picture"), "not_image"),
        (lambda folder: pictures(folder, count=1, size=(32, 48)), "mixed_sizes"),
    ],
)
def test_what_is_no_folder_of_images_is_said(spoil, reason, tmp_path):
    folder = pictures(tmp_path / "frames")
    spoil(folder)
    with pytest.raises(BadInput) as caught:
        clip_of(folder, tmp_path / "clip.mp4")
    assert caught.value.reason == reason
    assert not (tmp_path / "clip.mp4").exists()


def test_members_come_back(tmp_path):
    clip = clip_of(pictures(tmp_path / "frames"), tmp_path / "clip.mp4")
    clip, _ = label(clip, ["quality"], tmp_path)
    write_members(clip, tmp_path / "frames")
    back = read_members(clip.key, tmp_path / "frames")
    assert back.video == clip.video.read_bytes()
    assert back.quality.keys() == clip.quality.keys()
    assert same_value(back.annotations, clip.annotations)


def test_what_an_annotator_lacks_is_an_absent_answer(tmp_path):
    clip = clip_of(pictures(tmp_path / "frames"), tmp_path / "clip.mp4")
    labelled, seconds = label(clip, ["actions"], tmp_path)
    assert (labelled.annotations["actions"].status, labelled.annotations["actions"].reason) == (
        "absent",
        "missing camera",
    )
    assert seconds == {}
    assert "actions" not in clip.annotations, "the clip that was given stays as it is"


def test_annotators_come_after_what_they_need():
    for name in ANNOTATORS:
        assert with_needed([name])[-1] == name
    names = with_needed(["revisits", "events"])
    assert names.index("pose") < names.index("revisits")
    assert names.index("subjects") < names.index("events")
    assert len(set(names)) == len(names)


def test_an_unknown_annotator_is_usage():
    with pytest.raises(UsageError, match="did you mean 'pose'"):
        with_needed(["poes"])


def test_the_child_of_annotate_labels_a_folder_and_leaves_no_scratch(tmp_path):
    payload = {"place": str(pictures(tmp_path / "f")), "out": str(tmp_path / "o"), "names": ["quality"], "height": 48}
    (found,) = annotate_one(payload | {"fps": "8"})
    assert found["frames"] == 6
    assert found["annotations"]["quality"] == ["ok", ""]
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        f"{found['key']}.{member}" for member in ("mp4", "json", "camera.npz")
    }


def test_the_verb_writes_arrays_and_a_picture(tmp_path):
    folder = pictures(tmp_path / "frames")
    words = ["annotate", str(folder), "--out", str(tmp_path / "out"), "--only", "quality", "--fps", "8"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    (picture,) = (tmp_path / "out").glob("*.png")
    assert cv2.imread(str(picture)) is not None
    assert len(list((tmp_path / "out").glob("*.json"))) == 1
    assert result.stdout.splitlines()[-1] == "next: worldloom run FOLDER"


def test_the_verb_fails_with_the_reason_of_a_file_that_is_no_video(tmp_path):
    file = tmp_path / "notes.mp4"
    file.write_text("no video")
    result = CliRunner().invoke(app, ["annotate", str(file), "--out", str(tmp_path / "out"), "--only", "quality"])
    assert result.exit_code == 1
    assert "notes.mp4" in result.stderr
    assert "Traceback" not in result.stderr
