"""HM-World samples, generated in the real layout from a rendered world: what comes back is what was rendered."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from tests.pipeline.sources import unreal_files as files
from tests.real_data import real_data
from worldloom.catalogs.config import load
from worldloom.catalogs.encode import Encoder
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.hm_world import Check, read_captions, read_check, red_mask, write_check
from worldloom.catalogs.formats.hydra import INTRINSICS, write_hydra_json
from worldloom.catalogs.pictures import probe_pictures
from worldloom.catalogs.video import Frames, probe
from worldloom.pipeline.sources.footage import Workplace
from worldloom.pipeline.sources.hm_world import HMWorldSource

N = 12
"""Frames of each clip; the released ones have 77."""


@pytest.fixture(scope="module")
def shot():
    """One person who walks out of the picture and back while the camera turns."""
    fov = math.degrees(2 * math.atan(416 / 1257))
    plan = files.court_plan(frames=2 * N, width=208, height=120, fps=15, fov_deg=fov, position=(-1.0, -4.5, 1.5))
    return files.render_shot(plan.model_copy(update={"subjects": plan.subjects[:1]}))


def part_of(shot, part):
    span = slice(0, N) if part == "cond" else slice(N, 2 * N)
    return files.Shot(shot.plan, shot.c2w[span], shot.intrinsics, shot.frames[span])


def check_of(shot, part):
    inside = np.array([[bool((frame.mask > 0).sum() >= 16) for frame in part_of(shot, part).frames]])
    return Check(["BP_Actor_3"], ["Quinn"], inside)


def write_sample(folder, shot):
    folder.mkdir(parents=True)
    for part in ("cond", "tgt"):
        half = part_of(shot, part)
        files.write_video(folder / f"{part}.mp4", half)
        with Encoder(folder / f"{part}_mask.mp4", 208, 120, Fraction(15), 12, "veryfast") as encoder:
            for frame in half.frames:
                encoder.write(np.where(frame.mask[..., None] > 0, np.uint8([255, 0, 0]), np.uint8(0)))
    cond, tgt = (part_of(shot, part).trajectory for part in ("cond", "tgt"))
    write_hydra_json(folder / "camera.json", cond, tgt)
    write_check(folder / "check.json", {part: check_of(shot, part) for part in ("cond", "tgt")})
    (folder / "character.json").write_text(json.dumps({"path": 3, "mesh": "Quinn", "scene": "x" * 9000}))


@pytest.fixture
def sample(tmp_path, shot):
    write_sample(tmp_path / "in" / "0001", shot)
    (tmp_path / "in" / "caption.txt").write_text("0001.mp4\tA person walks through a court.\nno caption here\n")
    return tmp_path / "in"


def source_of(path, **keys):
    return load(HMWorldSource, {"kind": "hm_world", "path": path, **keys})


def read(source, item, tmp_path):
    (tmp_path / "scratch").mkdir(exist_ok=True)
    footage = source.footage(item, Workplace(tmp_path / "scratch", tmp_path / "downloads"))
    info = probe(footage.video) if footage.video else probe_pictures(footage.pictures, footage.fps)
    return footage, info, source.known(item, info)


def test_each_clip_of_a_sample(tmp_path, sample, shot):
    source = source_of(sample)
    items = list(source.items())
    assert [item.uri for item in items] == ["0001/cond.mp4", "0001/tgt.mp4"]
    assert all(item.caption == "A person walks through a court." for item in items)
    assert all(item.attributes["scene"] == "0001" for item in items)
    for item, part in zip(items, ("cond", "tgt"), strict=True):
        _, info, known = read(source, item, tmp_path)
        half = part_of(shot, part)
        np.testing.assert_allclose(known.trajectory.c2w, half.c2w, atol=1e-6)
        camera = known.trajectory.camera(info.width, info.height)
        np.testing.assert_allclose(camera.intrinsics[0], shot.intrinsics, rtol=1e-6)
        truth = files.boxes_of(half)
        boxes, big = known.subjects.box, np.array([(frame.mask > 0).sum() >= 40 for frame in half.frames])
        assert big.any() or part == "tgt"
        assert not big.any() or np.abs(boxes[0, big] - truth[0, big]).max() <= 2
        assert known.subjects.label == ["Quinn"]
        assert known.attributes["subject"] == "Quinn" and known.attributes["actor"] == "BP_Actor_3"
        assert known.attributes["character"].startswith('{"path":3,"mesh":"Quinn"')
        assert len(known.attributes["character"]) == 1000
        assert known.notes["check_frames"] == N and known.notes["check_disagrees_frames"] <= 1


def test_both_as_one_clip(tmp_path, sample, shot):
    source = source_of(sample, clips="joined")
    (item,) = source.items()
    assert item.uri == "0001" and item.attributes["part"] == "cond+tgt"
    footage, info, known = read(source, item, tmp_path)
    assert info.frames == 2 * N and info.fps == 15
    np.testing.assert_allclose(known.trajectory.c2w, shot.c2w, atol=1e-6)
    assert known.subjects.box.shape == (1, 2 * N, 4)
    import cv2

    with Frames(sample / "0001" / "tgt.mp4") as frames:
        picture = cv2.imread(str(footage.pictures[N + 3]))[..., ::-1]
        assert np.abs(picture.astype(int) - frames[3]).mean() < 2


def test_a_check_that_contradicts_the_masks_is_counted(tmp_path, sample, shot):
    checks = {part: check_of(shot, part) for part in ("cond", "tgt")}
    checks["cond"].in_frame[0, 2:5] ^= True
    write_check(sample / "0001" / "check.json", checks)
    source = source_of(sample)
    before = next(iter(source.items()))
    _, _, known = read(source, before, tmp_path)
    assert 2 <= known.notes["check_disagrees_frames"] <= 4


@pytest.mark.parametrize(
    ("name", "slug"), [("cond.mp4", "no_video"), ("cond_mask.mp4", "no_mask"), ("camera.json", "no_poses")]
)
def test_what_a_sample_lacks_is_named(sample, name, slug):
    (sample / "0001" / name).unlink()
    first = next(iter(source_of(sample).items()))
    assert first.problem[0] == slug and name in first.problem[1]


def test_masks_are_read_only_where_they_are_wanted(tmp_path, sample):
    (sample / "0001" / "cond_mask.mp4").unlink()
    source = source_of(sample, masks=False)
    items = list(source.items())
    assert [item.problem for item in items] == [None, None] and source.gives() == ("pose",)
    assert read(source, items[0], tmp_path)[2].subjects is None


def test_a_mask_of_another_length(tmp_path, sample, shot):
    with Encoder(sample / "0001" / "cond_mask.mp4", 208, 120, Fraction(15), 12, "veryfast") as encoder:
        for _ in range(N - 2):
            encoder.write(np.zeros((120, 208, 3), np.uint8))
    source = source_of(sample)
    with pytest.raises(BadInput) as caught:
        read(source, next(iter(source.items())), tmp_path)
    assert caught.value.reason == "mask_length" and "10 frames, and the clip has 12" in caught.value.message


def test_a_character_file_that_is_no_json_costs_nothing(tmp_path, sample):
    (sample / "0001" / "character.json").write_text("{")
    source = source_of(sample)
    _, _, known = read(source, next(iter(source.items())), tmp_path)
    assert known.attributes["character"].startswith("unreadable")


def test_a_field_of_view_may_be_given(tmp_path, sample):
    source = source_of(sample, hfov_deg=90)
    _, info, known = read(source, next(iter(source.items())), tmp_path)
    assert known.trajectory.camera(info.width, info.height).intrinsics[0, 0] == pytest.approx(104)


def test_what_leads_out_of_the_source_is_not_read(tmp_path, sample):
    for name in ("0001/character.json", "0001/check.json", "caption.txt"):
        (sample / name).rename(tmp_path / "secret.json")
        (sample / name).symlink_to(tmp_path / "secret.json")
        source = source_of(sample)
        item = next(iter(source.items()))
        assert name != "caption.txt" or item.caption == ""
        known = read(source, item, tmp_path)[2]
        assert name == "caption.txt" or name[5:-5] not in known.attributes
        assert name != "0001/check.json" or "subject" not in known.attributes


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"cond_check": []},
        {"cond_check": {"a": []}},
        {"cond_check": {"a": {"c": {}}}},
        {"cond_check": {"a": {"c": [{"frame": 0}]}}},
        {"cond_check": {"a": {"c": [{"frame": True, "inFrame": True}]}}},
        {"cond_check": {"a": {"c": [{"frame": -1, "inFrame": True}]}}},
        {"cond_check": {"a": {"c": [{"frame": 10**12, "inFrame": True}]}}},
        {"cond_check": {"a": {"c": [{"frame": 1, "inFrame": True}] * 2}}},
    ],
)
def test_a_check_that_is_none(tmp_path, value):
    (tmp_path / "check.json").write_text(json.dumps(value))
    with pytest.raises(BadInput) as caught:
        read_check(tmp_path / "check.json", "cond")
    assert caught.value.reason == "bad_check"


def test_captions_by_their_first_column(tmp_path):
    (tmp_path / "caption.txt").write_text("a/0001.mp4\tOne.\na\\0002.mp4 Two words.\nx\tThree\nnothing\n\n")
    assert read_captions(tmp_path / "caption.txt") == {"a/0001": "One.", "a/0002": "Two words.", "x": "Three"}


def test_red_is_red_and_nothing_else():
    colours = np.uint8(
        [[[255, 0, 0], [200, 20, 30], [250, 10, 60], [0, 255, 0], [90, 0, 0], [255, 255, 255], [0, 0, 0]]]
    )
    assert red_mask(colours).tolist() == [[True, True, True, False, False, False, False]]


def test_the_cameras_of_the_released_form_are_read(tmp_path):
    real = real_data("ue5_hydra", "cam1.json")
    folder = tmp_path / "in" / "1"
    folder.mkdir(parents=True)
    (folder / "camera.json").write_bytes(real.read_bytes())
    for part in ("cond", "tgt"):
        (folder / f"{part}.mp4").write_bytes(real.with_name("1.mp4").read_bytes())
    source = source_of(tmp_path / "in", masks=False)
    _, info, known = read(source, next(iter(source.items())), tmp_path)
    assert len(known.trajectory) == 77 == info.frames
    np.testing.assert_allclose(known.trajectory.camera(832, 480).intrinsics[0], INTRINSICS)
