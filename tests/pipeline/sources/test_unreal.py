"""Movie Render Queue: what comes back from its layouts is what was rendered, and what is amiss is named."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests.pipeline.sources import unreal_files as files
from worldloom.catalogs.config import load
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.pictures import probe_pictures, read_picture
from worldloom.catalogs.video import probe
from worldloom.pipeline.sources.footage import Workplace
from worldloom.pipeline.sources.unreal import UnrealSource


@pytest.fixture(scope="module")
def shot():
    return files.render_shot(files.court_plan())


def source_of(path, **keys):
    return load(UnrealSource, {"kind": "unreal", "path": path, "fps": 10, **keys})


def only(source):
    items = list(source.items())
    assert [item.problem for item in items] == [None]
    return items[0]


def read(source, item, tmp_path):
    """Footage, info and what is known, as a worker asks."""
    (tmp_path / "scratch").mkdir(exist_ok=True)
    footage = source.footage(item, Workplace(tmp_path / "scratch", tmp_path / "downloads"))
    info = probe(footage.video) if footage.video else probe_pictures(footage.pictures, footage.fps)
    return footage, info, source.known(item, info)


def refused(source, item, tmp_path):
    with pytest.raises(BadInput) as caught:
        read(source, item, tmp_path)
    return caught.value


def agrees(known, shot):
    np.testing.assert_allclose(known.trajectory.c2w, shot.c2w, atol=1e-6)
    np.testing.assert_allclose(known.trajectory.intrinsics, np.tile(shot.intrinsics, (len(shot.frames), 1)), rtol=1e-9)
    np.testing.assert_array_equal(known.trajectory.up, [0, -1, 0])


def depth_agrees(depth, shot, width):
    assert depth.scale == "metric" and len(depth) == 10
    assert depth.frames[0] == 0 and depth.frames[-1] == len(shot.frames) - 1
    for frame, z, valid in zip(depth.frames, depth.z, depth.valid, strict=True):
        truth = shot.frames[frame].depth
        assert z.shape == truth.shape
        np.testing.assert_array_equal(valid, np.isfinite(truth) & (truth < 655))
        error = np.abs(z[valid] - truth[valid]) / truth[valid]
        assert error.max() <= depth.stated_error


def subjects_agree(subjects, shot):
    truth = files.boxes_of(shot)
    np.testing.assert_array_equal(np.isnan(subjects.box), np.isnan(truth))
    assert np.nanmax(np.abs(subjects.box - truth)) <= 1
    np.testing.assert_array_equal(subjects.visibility > 0, np.isfinite(truth[..., 0]))


@pytest.mark.parametrize(("camera", "form"), [("camera.json", "rotator"), ("camera.csv", "matrix")])
def test_pictures_with_passes_in_folders(tmp_path, shot, camera, form):
    folder = tmp_path / "in" / "Level1" / "TakeA"
    files.write_pictures(folder / "FinalImage", shot)
    files.write_depth(folder / "WorldDepth", shot)
    files.write_ids(folder / "ObjectId", shot)
    files.write_cameras(folder / camera, shot, form)
    people = {"#ff0000": "runner", "#00ff00": "walker"}
    source = source_of(tmp_path / "in", depth={}, ids={"subjects": people}, licence="CC-BY-4.0")
    item = only(source)
    assert item.uri == "Level1/TakeA/Shot01" and item.licence == "CC-BY-4.0"
    assert item.attributes == {"sequence": "Shot01", "scene": "Level1", "subject": "runner, walker"}
    assert source.gives() == ("pose", "depth", "subjects")
    footage, info, known = read(source, item, tmp_path)
    assert footage.fps == Fraction(10) and not footage.cuttable and len(footage.pictures) == len(shot.frames)
    np.testing.assert_array_equal(read_picture(footage.pictures[4]), shot.frames[4].rgb)
    agrees(known, shot)
    depth_agrees(known.depth, shot, info.width)
    subjects_agree(known.subjects, shot)
    assert known.subjects.label == ["runner", "walker"]
    truth = np.stack([frame.visibility for frame in shot.frames], axis=1)
    assert np.abs(known.subjects.visibility - truth).mean() < 0.1


def test_multilayer_exr_holds_picture_depth_ids_and_camera(tmp_path, shot):
    files.write_multilayer(tmp_path / "in", shot)
    ids = {"name": "ActorHitProxyMask", "kind": "cryptomatte", "subjects": {"BP_Person*": "person"}}
    source = source_of(tmp_path / "in", depth={}, ids=ids)
    footage, info, known = read(source, only(source), tmp_path)
    assert np.abs(read_picture(footage.pictures[3]).astype(int) - shot.frames[3].rgb).max() <= 1
    agrees(known, shot)
    depth_agrees(known.depth, shot, info.width)
    subjects_agree(known.subjects, shot)
    assert known.subjects.label == ["person", "person"]


def test_a_video_with_passes_beside_it(tmp_path, shot):
    files.write_video(tmp_path / "in" / "Shot01.mp4", shot)
    files.write_depth(tmp_path / "in" / "WorldDepth", shot)
    files.write_ids(tmp_path / "in" / "ObjectId", shot)
    files.write_cameras(tmp_path / "in" / "Shot01.csv", shot)
    source = source_of(tmp_path / "in", depth={"height": 48}, ids={})
    item = only(source)
    assert item.uri == "Shot01.mp4"
    footage, info, known = read(source, item, tmp_path)
    assert footage.video is not None and info.frames == len(shot.frames)
    agrees(known, shot)
    subjects_agree(known.subjects, shot)
    assert known.subjects.label == ["#ff0000", "#00ff00"]
    assert known.depth.z.shape[1:] == (48, 80)
    truth = shot.frames[0].depth[1::2, 1::2]  # the pixel whose corner is the centre of two by two
    assert np.abs(known.depth.z[0] - truth).max() <= truth.max() * 1e-3


def test_names_may_carry_the_pass(tmp_path, shot):
    files.write_pictures(tmp_path / "in", shot, "jpeg", "Shot01.FinalImage.{:04d}")
    files.write_depth(tmp_path / "in", shot, name="Shot01.WorldDepth.{:04d}")
    files.write_cameras(tmp_path / "in" / "camera.json", shot)
    source = source_of(tmp_path / "in", depth={}, name="{sequence_name}.{render_pass}.{frame_number}")
    _, info, known = read(source, only(source), tmp_path)
    depth_agrees(known.depth, shot, info.width)


def test_exposure_is_applied_to_exr_and_the_key_stays_that_of_the_files(tmp_path, shot):
    files.write_pictures(tmp_path / "in", shot, "exr")
    files.write_cameras(tmp_path / "in" / "camera.json", shot)
    plain, bright = source_of(tmp_path / "in"), source_of(tmp_path / "in", picture={"exposure_stops": 1})
    dull, _, _ = read(plain, only(plain), tmp_path)
    lit, _, _ = read(bright, only(bright), tmp_path)
    assert dull.digest() == lit.digest()
    assert read_picture(lit.pictures[0]).mean() > read_picture(dull.pictures[0]).mean() + 10


def test_distance_is_brought_to_z_and_taken_as_z_it_is_found_out(tmp_path, shot):
    folder = tmp_path / "in"
    files.write_pictures(folder / "FinalImage", shot)
    files.write_depth(folder / "WorldDepth", shot, "distance")
    files.write_cameras(folder / "camera.json", shot)
    right, wrong = (source_of(folder, depth={"measure": measure}) for measure in ("distance", "z"))
    _, info, known = read(right, only(right), tmp_path)
    depth_agrees(known.depth, shot, info.width)
    error = refused(wrong, only(wrong), tmp_path)
    assert error.reason == "depth_measure_doubtful" and error.remedy == "Set depth.measure: distance."


def test_z_taken_as_distance_is_found_out(tmp_path, shot):
    files.write_pictures(tmp_path / "in" / "FinalImage", shot)
    files.write_depth(tmp_path / "in" / "WorldDepth", shot)
    files.write_cameras(tmp_path / "in" / "camera.json", shot)
    wrong = source_of(tmp_path / "in", depth={"measure": "distance"})
    assert refused(wrong, only(wrong), tmp_path).reason == "depth_measure_doubtful"


def test_shots_and_what_is_none_are_listed_in_order(tmp_path, shot):
    few = files.Shot(shot.plan, shot.c2w[:3], shot.intrinsics, shot.frames[:3])
    for name in ("B", "A"):
        files.write_pictures(tmp_path / name, few, name=name + ".{:04d}")
        files.write_cameras(tmp_path / name / f"{name}.csv", few)
    files.write_pictures(tmp_path / "C", few, name="C.{:04d}")
    files.write_depth(tmp_path / "D" / "WorldDepth", few)
    (tmp_path / "notes.txt").write_text("hello")
    listed = {item.uri: item.problem and item.problem[0] for item in source_of(tmp_path, depth={}).items()}
    assert list(listed.items()) == [
        ("A/A", None),
        ("B/B", None),
        ("C/C", "no_poses"),
        ("D/WorldDepth/Shot01.0007.exr", "no_video"),
        ("notes.txt", "not_recognised"),
    ]
    free = {item.uri: item.problem and item.problem[0] for item in source_of(tmp_path, camera="none").items()}
    assert free["C/C"] is None and free["A/A.csv"] == "not_recognised"


def test_what_a_shot_is_made_of_is_in_its_fingerprint(tmp_path, shot):
    files.write_pictures(tmp_path / "in", shot)
    files.write_cameras(tmp_path / "in" / "camera.json", shot)
    source = source_of(tmp_path / "in")
    before = only(source).fingerprint()
    assert only(source).fingerprint() == before
    with (tmp_path / "in" / "Shot01.0009.png").open("ab") as stream:
        stream.write(b" ")
    assert only(source).fingerprint() != before


def test_pictures_that_are_links_inside_the_source_are_read_and_others_are_not_there(tmp_path, shot):
    files.write_pictures(tmp_path / "in" / "store", shot, name="kept.{:04d}")
    (tmp_path / "in" / "A").mkdir()
    files.write_cameras(tmp_path / "in" / "A" / "camera.json", shot)
    for i in range(len(shot.frames)):
        name = f"{files.FIRST + i:04d}.png"
        (tmp_path / "in" / "A" / f"A.{name}").symlink_to(tmp_path / "in" / "store" / f"kept.{name}")
    source = source_of(tmp_path / "in")
    item = next(item for item in source.items() if item.uri == "A/A")
    footage, _, known = read(source, item, tmp_path)
    assert len(footage.pictures) == len(shot.frames) == len(known.trajectory)
    (tmp_path / "in" / "store").rename(tmp_path / "store")
    for link in (tmp_path / "in" / "A").glob("*.png"):
        link.unlink()
        link.symlink_to(tmp_path / "store" / link.name.replace("A.", "kept."))
    assert {item.uri for item in source.items()} == {"A/camera.json"}
    files.write_pictures(tmp_path / "in" / "B", shot)
    (tmp_path / "in" / "B" / "camera.json").symlink_to(tmp_path / "store" / "camera.json")
    files.write_cameras(tmp_path / "store" / "camera.json", shot)
    assert {item.uri: item.problem[0] for item in source.items()}["B/Shot01"] == "no_poses"


def broken(tmp_path, shot):
    """A sound shot to break, and its source."""
    folder = tmp_path / "in"
    files.write_pictures(folder / "FinalImage", shot)
    files.write_depth(folder / "WorldDepth", shot)
    files.write_ids(folder / "ObjectId", shot)
    files.write_cameras(folder / "camera.json", shot)
    return folder, source_of(folder, depth={}, ids={})


def test_missing_and_doubled_pictures_are_named(tmp_path, shot):
    folder, source = broken(tmp_path, shot)
    (folder / "FinalImage" / "Shot01.0010.png").rename(tmp_path / "aside.png")
    item = next(iter(source.items()))
    assert item.problem[0] == "missing_frames" and "the first is 10" in item.problem[1]
    (tmp_path / "aside.png").rename(folder / "FinalImage" / "Shot01.0010.png")
    (folder / "FinalImage" / "Shot01.11.png").write_bytes(b"")
    item = next(iter(source.items()))
    assert item.problem[0] == "doubled_frames" and "Shot01.0011.png" in item.problem[1]


@pytest.mark.parametrize(
    ("remove", "words"), [("WorldDepth/Shot01.0007.exr", "pass 'WorldDepth' lacks 1 of 17"), ("ObjectId", "no pass")]
)
def test_a_pass_that_lacks_frames(tmp_path, shot, remove, words):
    folder, source = broken(tmp_path, shot)
    place = folder / remove
    for path in [place] if place.is_file() else list(place.iterdir()):
        path.unlink()
    error = refused(source, only(source), tmp_path)
    assert error.reason in ("missing_frames", "no_pass") and words in error.message


def test_cameras_of_other_frames(tmp_path, shot):
    folder, source = broken(tmp_path, shot)
    rows = json.loads((folder / "camera.json").read_text())["frames"]
    for kept, words in ((rows[1:], "no row for frame 7"), ([*rows, {**rows[0], "frame": 99}], "a row for frame 99")):
        (folder / "camera.json").write_text(json.dumps(kept))
        error = refused(source, only(source), tmp_path)
        assert error.reason == "bad_poses" and words in error.message and "camera.json" in error.where


def test_a_video_with_fewer_frames_than_rows(tmp_path, shot):
    files.write_video(tmp_path / "in" / "a.mp4", shot)
    files.write_cameras(tmp_path / "in" / "a.csv", shot)
    source = source_of(tmp_path / "in")
    text = (tmp_path / "in" / "a.csv").read_text().splitlines()
    (tmp_path / "in" / "a.csv").write_text("\n".join(text[:-2]))
    assert "15 rows, and the video has 17 frames" in refused(source, only(source), tmp_path).message
    (tmp_path / "in" / "a.csv").write_text("\n".join([*text[:5], *text[6:]]))
    assert "no row for frame 11" in refused(source, only(source), tmp_path).message


def test_passes_of_another_shape_or_kind(tmp_path, shot):
    folder, source = broken(tmp_path, shot)
    mask = folder / "ObjectId" / "Shot01.0009.png"
    cv2.imwrite(str(mask), np.zeros((64, 64, 3), np.uint8))
    error = refused(source, only(source), tmp_path)
    assert error.reason == "mixed_sizes" and error.where.endswith("Shot01.0009.png")
    mask.write_bytes(b"no picture")
    assert refused(source, only(source), tmp_path).reason == "bad_picture"
    for path in (folder / "WorldDepth").iterdir():
        cv2.imwrite(str(path.with_suffix(".png")), np.zeros((96, 160), np.uint8))
        path.unlink()
    assert refused(source, only(source), tmp_path).reason == "bad_depth"


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "{sequence}"},
        {"name": "{sequence}.{frmae}"},
        {"camera": "../x.json"},
        {"ids": {"subjects": {"red": "person"}}},
        {"ids": {"kind": "cryptomatte"}},
        {"ids": {"kind": "number", "subjects": {"x": "person"}}},
        {"depth": {"measure": "metres"}},
        {"colums": {}},
    ],
)
def test_a_configuration_that_cannot_be_meant(tmp_path, keys):
    with pytest.raises(UsageError):
        source_of(tmp_path, **keys)
