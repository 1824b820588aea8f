"""Context-as-Memory: rendered walks in its layout; the order of the angles is found, and a wrong one is caught."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.pipeline.passes.test_ingest_video import ingest_all, only
from tests.pipeline.sources import unreal_files as files
from worldloom.annotators.rotation_order import fit_fov, fit_order, intrinsics, telling_pairs
from worldloom.catalogs.config import load
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.context_as_memory import (
    ORDERS,
    poses_in_order,
    read_captions,
    read_context_as_memory,
    read_locations,
    write_context_as_memory,
)
from worldloom.catalogs.formats.unreal import pose_from_rotator, rotator_of_pose
from worldloom.catalogs.pictures import probe_pictures
from worldloom.pipeline.sources.context_as_memory import ContextAsMemorySource
from worldloom.pipeline.sources.footage import Workplace
from worldloom.synth.plan import Segment

FOV = 72.4


def walk(seed):
    """A walk that turns and nods, its start and its turns drawn by the seed."""
    rng = np.random.default_rng(seed)
    views = [int(rng.choice([1, 5, 6])), int(rng.choice([2, 7, 8]))]
    if rng.random() < 0.5:
        views.reverse()
    camera = tuple(
        Segment(move=int(rng.choice([1, 3, 4])), view=view, frames=12, speed_m_s=1.0, turn_deg_s=25) for view in views
    )
    place = (float(rng.uniform(-2, 2)), float(rng.uniform(-4, -3)), 1.5)
    return files.render_shot(
        files.court_plan(frames=25, width=256, height=144, camera=camera, position=place, fov_deg=FOV, subjects=(),
                         heading_deg=float(rng.uniform(60, 120)), pitch_deg=float(rng.uniform(-12, 5)))
    )  # fmt: skip


@pytest.fixture(scope="module")
def shots():
    return {seed: walk(seed) for seed in range(3)}


def write_scene(root, shot, order, scene="Scene_01"):
    folder = root / "frames" / scene
    folder.mkdir(parents=True)
    for i, frame in enumerate(shot.frames):
        cv2.imwrite(str(folder / f"{i:04d}.png"), frame.rgb[..., ::-1])
    (root / "jsons").mkdir(exist_ok=True)
    write_context_as_memory(root / "jsons" / f"{scene}.json", shot.trajectory, order)


def source_of(path, **keys):
    return load(ContextAsMemorySource, {"kind": "context_as_memory", "path": path, "fps": 10, "hfov_deg": FOV, **keys})


def read(source, item, tmp_path):
    footage = source.footage(item, Workplace(tmp_path, tmp_path))
    info = probe_pictures(footage.pictures, footage.fps)
    return footage, info, source.known(item, info)


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_written_is_read_again(tmp_path, shots, order):
    write_context_as_memory(tmp_path / "a.json", shots[0].trajectory, order)
    read = read_context_as_memory(tmp_path / "a.json", order, 100.0, (256, 144))
    np.testing.assert_allclose(read.c2w, shots[0].c2w, atol=1e-9)
    np.testing.assert_allclose(poses_in_order(*read_locations(tmp_path / "a.json"), order), read.c2w)


def test_a_frame_by_hand(tmp_path):
    value = {"CineCameraActor": {"0": {"position": [100, 200, 300], "rotation": [0, 0, 90], "scale": [1, 1, 1]}}}
    (tmp_path / "a.json").write_text(json.dumps(value))
    c2w = read_context_as_memory(tmp_path / "a.json", "roll_pitch_yaw", 100.0, (256, 144)).c2w[0]
    np.testing.assert_allclose(c2w[:3, 3], [2, -3, 1])
    np.testing.assert_allclose(c2w[:3, 2], [1, 0, 0], atol=1e-12)


@pytest.mark.parametrize("order", ["pitch_yaw_roll", "roll_pitch_yaw", "yaw_pitch_roll"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_auto_finds_the_order(tmp_path, shots, seed, order):
    write_scene(tmp_path / "in", shots[seed], order)
    source = source_of(tmp_path / "in")
    (item,) = source.items()
    assert item.uri == "Scene_01" and item.attributes == {"scene": "Scene_01"}
    _, _, known = read(source, item, tmp_path)
    assert known.notes["rotation"] == order
    assert known.notes["rotation_next_px"] > 2 * known.notes["rotation_error_px"]
    np.testing.assert_allclose(known.trajectory.c2w, shots[seed].c2w, atol=1e-6)
    np.testing.assert_allclose(known.trajectory.intrinsics[0], shots[seed].intrinsics, rtol=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_wrong_order_is_caught_and_the_right_one_named(tmp_path, shots, seed):
    write_scene(tmp_path / "in", shots[seed], "pitch_yaw_roll")
    for wrong in ("roll_pitch_yaw", "yaw_pitch_roll"):
        source = source_of(tmp_path / "in", rotation=wrong)
        (item,) = source.items()
        with pytest.raises(BadInput) as caught:
            read(source, item, tmp_path)
        assert caught.value.reason == "rotation_order_doubtful"
        assert caught.value.remedy == "Set rotation: pitch_yaw_roll, or auto."
        noted = source_of(tmp_path / "in", rotation=wrong, doubt="note")
        assert read(noted, item, tmp_path)[2].notes["rotation_doubtful"] is True
        ignored = source_of(tmp_path / "in", rotation=wrong, doubt="ignore")
        assert read(ignored, item, tmp_path)[2].notes["rotation_check"] == "not done"
    right = source_of(tmp_path / "in", rotation="pitch_yaw_roll")
    assert read(right, item, tmp_path)[2].notes["rotation_doubtful"] is False


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_field_of_view_is_estimated_roughly(tmp_path, shots, seed):
    write_scene(tmp_path / "in", shots[seed], "pitch_yaw_roll")
    source = source_of(tmp_path / "in", hfov_deg="auto")
    (item,) = source.items()
    assert read(source, item, tmp_path)[2].notes["hfov_deg"] == pytest.approx(FOV, abs=0.5)


def test_a_path_that_is_the_same_in_every_order_needs_no_choice(shots):
    still = np.tile(shots[0].c2w[:1], (20, 1, 1))
    fit = fit_order(lambda i: shots[0].frames[0].rgb, dict.fromkeys(ORDERS, still), (256, 144), 10.0)
    assert fit.best == ORDERS and not fit.pairs and not fit.clear and not fit.doubts("yaw_pitch_roll")


def test_pictures_that_match_nowhere_choose_nothing(tmp_path, shots):
    shot = shots[0]
    grey = replace(shot.frames[0], rgb=np.full_like(shot.frames[0].rgb, 99))
    write_scene(tmp_path / "in", files.Shot(shot.plan, shot.c2w, shot.intrinsics, [grey] * 25), "yaw_pitch_roll")
    source = source_of(tmp_path / "in")
    (item,) = source.items()
    with pytest.raises(BadInput) as caught:
        read(source, item, tmp_path)
    assert caught.value.reason == "rotation_order_unclear"
    stated = source_of(tmp_path / "in", rotation="yaw_pitch_roll")
    assert read(stated, item, tmp_path)[2].notes["rotation_check"] == "nothing matches"
    with pytest.raises(BadInput) as caught:
        read(source_of(tmp_path / "in", rotation="yaw_pitch_roll", hfov_deg="auto"), item, tmp_path)
    assert caught.value.reason == "fov_unknown"


def test_pairs_are_chosen_where_candidates_differ():
    t = np.linspace(0, 1, 100)
    angles = np.stack([0 * t, np.where(t < 0.5, 0, 60 * (t - 0.5)), 0 * t], axis=-1)
    candidates = {order: poses_in_order(np.zeros((100, 3)), angles, order) for order in ORDERS[:3]}
    pairs = telling_pairs(candidates, 10.0, 75.0, 256, 144)
    assert pairs and min(b for _, b in pairs) > 50


def test_the_field_of_view_of_exact_matches_is_exact():
    from worldloom.annotators.epipolar import Matches
    from worldloom.catalogs.cameras import project

    c2w = pose_from_rotator(np.zeros((2, 3)), np.array([0.0, 4.0]), np.array([0.0, 8.0]), np.zeros(2))
    points = np.random.default_rng(0).uniform([-3, -2, 5], [3, 2, 9], (200, 3))
    k = intrinsics(64.0, 640, 360)
    matches = Matches(0, 1, project(points, c2w[0], k)[0], project(points, c2w[1], k)[0])
    assert fit_fov([matches], c2w, (640, 360))[0] == pytest.approx(64, abs=0.2)
    assert rotator_of_pose(c2w)[1][1] == pytest.approx([4, 8, 0])


def test_captioned_stretches(tmp_path, shots):
    write_scene(tmp_path / "in", shots[0], "yaw_pitch_roll")
    (tmp_path / "in" / "captions.txt").write_text(
        "Scene_01/0_9.mp4\tA court.\nScene_01/10_24.mp4 More of it.\nScene_01/20_40.mp4\tToo far.\nOther/0_5.mp4\tX\n"
    )
    source = source_of(tmp_path / "in", clips="captions")
    items = list(source.items())
    assert [item.uri for item in items] == ["Scene_01/0_9", "Scene_01/10_24", "Scene_01/20_40", "Other/0_5"]
    assert items[3].problem[0] == "no_video"
    assert items[0].caption == "A court." and items[2].problem[0] == "bad_captions"
    footage, info, known = read(source, items[1], tmp_path)
    assert len(footage.pictures) == info.frames == len(known.trajectory) == 15
    np.testing.assert_allclose(known.trajectory.c2w, shots[0].c2w[10:], atol=1e-6)
    (tmp_path / "in" / "captions.txt").write_text("what\n")
    assert list(source.items())[-1].problem[0] == "bad_captions"
    with pytest.raises(BadInput):
        read_captions(tmp_path / "in" / "captions.txt")


def test_stretches_of_a_scene_have_one_source_and_keys_of_their_own(tmp_path, shots):
    """So a split by source keeps them on one side; a cut of the whole scene at the same frames is the same clip."""
    write_scene(tmp_path / "in", shots[0], "yaw_pitch_roll")
    (tmp_path / "in" / "captions.txt").write_text(
        "Scene_01/0_11.mp4\tA court.\nScene_01/12_24.mp4 More.\nScene_01/12_24.mp4 Again.\n"
    )
    stretches = ingest_all(source_of(tmp_path / "in", clips="captions"), tmp_path / "out")
    first, second = (only(stretches[f"Scene_01/{name}"]) for name in ("0_11", "12_24"))
    whole = ingest_all(source_of(tmp_path / "in"), tmp_path / "whole", max_seconds=1.3)["Scene_01"]
    assert {clip.provenance.sha256 for clip in (first, second, *whole)} == {first.provenance.sha256}
    assert [first.key, second.key] == [clip.key for clip in whole] and first.key != second.key
    np.testing.assert_allclose(second.camera.c2w, shots[0].c2w[12:], atol=1e-6)
    again = [item for item in source_of(tmp_path / "in", clips="captions").items() if item.problem]
    assert [(item.uri, item.problem[0]) for item in again] == [("Scene_01/12_24 (2)", "bad_captions")]


def test_scenes_that_lack_something(tmp_path, shots):
    for scene in ("A", "B", "C"):
        write_scene(tmp_path / "in", shots[0], "yaw_pitch_roll", scene)
    root = tmp_path / "in"
    (root / "jsons" / "A.json").unlink()
    (root / "frames" / "B" / "0003.png").unlink()
    (root / "frames" / "C" / "004.png").write_bytes(b"")
    (root / "jsons" / "D.json").write_text("{}")
    (root / "overlap_labels" / "A").mkdir(parents=True)
    (root / "overlap_labels" / "A" / "0.json").write_text("{}")
    (root / "README.md").write_text("x")
    listed = {item.uri: item.problem[0] for item in source_of(root).items()}
    assert listed == {
        "A": "no_poses",
        "B": "missing_frames",
        "C": "doubled_frames",
        "D": "no_video",
        "README.md": "not_recognised",
    }


@pytest.mark.parametrize(
    "value",
    [[], {}, {"A": {}}, {"A": {"1": {}}}, {"A": {"0": {"position": [1, 2], "rotation": [0, 0, 0]}}},
     {"A": {"0": {"position": [1, 2, 3], "rotation": [0, 0, None]}}}, {"A": {"0": {}}, "B": {"0": {}}}],
)  # fmt: skip
def test_json_that_is_no_scene(tmp_path, value):
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(BadInput) as caught:
        read_locations(tmp_path / "a.json")
    assert caught.value.reason == "bad_poses"
