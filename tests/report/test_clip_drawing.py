"""What a clip's page draws: path from above, hands, depth, time line, and odd clips of which much is missing."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.report.clip_pages import write, write_and_read
from tests.report.fake_clips import FRAMES, K, bare_clip, estimated_clip, true_clip, true_poses
from tests.report.odd_clips import odd_clips, plain_clip
from worldloom.catalogs.cameras import project
from worldloom.catalogs.clip import (
    Annotation,
    Camera,
    Hands,
)
from worldloom.report.clip_data import bones_of, frame_map
from worldloom.report.clip_page import title_of, write_clip_page
from worldloom.report.clip_pictures import depth_png
from worldloom.report.clip_plan import colour_at, plan_of
from worldloom.report.clip_timeline import area, axis_of, curve, timeline_of


def test_the_estimate_lies_on_the_truth() -> None:
    plan = plan_of(estimated_clip().camera, true_clip().camera)
    both = np.isfinite(plan.place).all(axis=1)
    assert (~both).nonzero()[0].tolist() == [40, 41, 42]
    per_metre = plan.panels[0].bar / float(plan.panels[0].bar_says.split()[0])
    off = np.linalg.norm(plan.place[both] - plan.true_place[both], axis=1) / per_metre
    assert off.max() < 0.1
    assert any(line.startswith("off by") for line in plan.says)


def test_scale_groups_stand_apart_unless_the_truth_joins_them() -> None:
    clip = estimated_clip(groups=2)
    alone = plan_of(clip.camera)
    assert [panel.title for panel in alone.panels] == ["group 0", "group 1"]
    first, second = alone.place[:40], alone.place[43:]
    assert first[:, 0].max() < alone.panels[1].x <= second[:, 0].min()
    assert len(plan_of(clip.camera, true_clip().camera).panels) == 1


def test_a_camera_that_stands_shows_where_it_looks() -> None:
    poses = true_poses()
    poses[:, :3, 3] = [4.0, 5.0, 6.0]
    plan = plan_of(Camera.known(poses, K, "none", np.array([0.0, 0, 1])))
    assert np.ptp(plan.place, axis=0).max() == 0
    assert not plan.panels[0].stretches
    assert len(plan.panels[0].ticks) >= 8
    assert plan.panels[0].bar == 0


def test_hands_are_where_the_camera_sees_them() -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform([-0.2, -0.2, 0.3], [0.2, 0.2, 0.8], (FRAMES, 3, 3)).astype(np.float32)
    joints[5, 1] = np.nan
    joints[6, 2, 2] = -0.1  # behind the camera
    names = ["leftHand", "leftThumbKnuckle", "leftThumbTip"]
    clip = true_clip()
    clip.hands = Hands(names, joints, np.ones((FRAMES, 3), np.float32))
    told = write_and_read(clip)["hands"]
    assert told["bones"] == [[0, 1], [1, 2]]
    wanted, _ = project(joints[9], np.eye(4), np.array(K))
    assert told["pixels"][9] == pytest.approx(wanted.reshape(-1).tolist(), abs=0.051)
    assert told["pixels"][5][2:4] == [None, None]
    assert told["pixels"][6][4:6] == [None, None]


def test_bones_follow_the_fingers() -> None:
    names = ["rightIndexFingerTip", "rightHand", "rightIndexFingerKnuckle", "wrist", "rightForearm"]
    assert bones_of(names) == [(1, 2), (2, 0), (1, 4)]
    assert bones_of(["a", "b"]) == []


def test_a_derived_clip_says_which_frames_of_its_video_it_is() -> None:
    clip = bare_clip()
    assert frame_map(clip) == 0
    assert frame_map(replace(clip, frame_index=np.arange(7, 7 + FRAMES, dtype=np.int32))) == 7
    back = np.arange(FRAMES, dtype=np.int32)[::-1]
    assert frame_map(replace(clip, frame_index=back)) == back.tolist()


def test_depth_is_drawn_near_bright_and_nothing_transparent() -> None:
    from PIL import Image

    z = np.array([[1.0, 2.0, 3.0, np.nan, 9.0]], np.float32)
    picture = Image.open(io.BytesIO(depth_png(z, 1.0, 3.0)))
    assert np.asarray(picture).tolist() == [[0, 127, 254, 255, 254]]
    colours = np.asarray(picture.convert("RGBA"))[0]
    assert colours[0].tolist() == [253, 231, 37, 255]
    assert colours[2].tolist() == [68, 1, 84, 255]
    assert colours[3, 3] == 0


@pytest.mark.parametrize("name", list(odd_clips()))
def test_odd_clips_have_a_page(tmp_path: Path, name: str) -> None:
    page = write(tmp_path, odd_clips()[name])
    assert page.data["frames"] == odd_clips()[name].frames
    assert "nan%" not in page.html
    assert not re.search(r'(?:d|x|y|width|points)="[^"]*\b(?:nan|inf)', page.html)


def test_a_minute_is_thinned_out_and_says_so(tmp_path: Path) -> None:
    page = write(tmp_path, odd_clips()["a minute"])
    assert page.html.count('class="arc many"') == 160
    assert "500 pairs of frames that see the same again, the 160 of largest overlap drawn" in page.html
    assert len(page.html) < 1_500_000


def test_a_curve_breaks_where_nothing_is_known() -> None:
    assert curve(np.array([0.0, 1.0, np.nan, 0.5, 9.0]), 0, 1) == "M0.5 96.0L1.5 4.0M3.5 50.0L4.5 4.0"
    assert curve(np.array([np.nan, 1.0, np.nan]), 0, 1) == "M1 4.0h1"
    assert area(np.array([0.0, 1.0, 1.0, 0.5, np.nan])) == "M1 96V4H3V96ZM3 96V50H4V96Z"


def test_the_axis_has_a_handful_of_round_times() -> None:
    for frames in (1, 30, 77, 900, 1800, 200_000):
        marks = axis_of(frames, 30)
        assert 1 <= len(marks) <= 60
        assert all(0 <= mark.x < 100 for mark in marks)
    assert [mark.sign for mark in axis_of(60, 30)][:3] == ["0 s", "0.2 s", "0.4 s"]


def test_colours_run_from_cold_to_warm() -> None:
    assert (colour_at(0), colour_at(1)) == ("#3b6ea5", "#d85a30")
    assert colour_at(-1) == colour_at(0)
    assert colour_at(2) == colour_at(1)


def test_words_that_are_for_programs_are_shown_in_part(tmp_path: Path) -> None:
    clip = plain_clip()
    note = Annotation("ok", "dct", "1", "", 1.0, {"inner": "eN" * 300, "rate": 4.0, "why": "a sentence " * 9})
    page = tmp_path / "clip.html"
    write_clip_page(replace(clip, annotations={**clip.annotations, "fingerprint": note}), page, video_href="")
    text = page.read_text()
    assert "eN" * 12 + " … 576 more characters" in text and "eN" * 13 not in text
    assert ("a sentence " * 9).strip() in text and "4.0" in text


def test_a_name_that_is_a_number_takes_its_folder_along() -> None:
    clip = plain_clip()
    for uri, title in (
        ("lids/0.mp4", "lids/0"),
        ("0.mp4", "folder 0"),
        ("x/walk.mp4", "walk"),
        ("s3://7.mp4", "folder 7"),
        ("Court/TakeA/Shot01", "TakeA/Shot01"),
    ):
        assert title_of(replace(clip, provenance=replace(clip.provenance, uri=uri))) == title


def test_truth_and_estimate_of_subjects_have_rows_of_their_own() -> None:
    labels = [row.label for row in timeline_of(estimated_clip(), true_clip())]
    assert [label for label in labels if "person" in label] == ["person 4", "true person 1"]
