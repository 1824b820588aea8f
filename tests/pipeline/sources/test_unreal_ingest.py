"""The Unreal sources through the ingest pass: what arrives in a clip's record is what was rendered."""

from dataclasses import asdict

import numpy as np
import pytest

from tests.pipeline.sources import test_hm_world as hm
from tests.pipeline.sources import unreal_files as files
from worldloom.catalogs.config import load
from worldloom.catalogs.sample import members_to_clip
from worldloom.pipeline.parcel import record_members, unpack_parcel
from worldloom.pipeline.passes.ingest_video import ingest_video
from worldloom.pipeline.sources.hm_world import HMWorldSource
from worldloom.pipeline.sources.unreal import UnrealSource


@pytest.fixture(scope="module")
def shot():
    return files.render_shot(files.court_plan())


def ingested(source, out, **rules):
    """Records of all clips of a source's only item."""
    (item,) = source.listed()
    assert item.problem is None
    answer = ingest_video({"item": asdict(item), "ingest": {"min_seconds": 0, **rules}, "out": str(out)})
    parcel = unpack_parcel(answer["payload"])
    return [members_to_clip(one["key"], record_members(parcel, one["key"])[0]) for one in answer["facts"]["clips"]]


def test_a_shot_of_the_queue_becomes_clips(tmp_path, shot):
    files.write_multilayer(tmp_path / "in" / "Level1", shot)
    ids = {"name": "ActorHitProxyMask", "kind": "cryptomatte", "subjects": {"BP_Person*": "person"}}
    values = {"kind": "unreal", "path": tmp_path / "in", "fps": 10, "depth": {"height": 96}, "ids": ids}
    source = load(UnrealSource, {**values, "licence": "CC0-1.0"})
    (clip,) = ingested(source, tmp_path / "out")
    assert clip.frames == 17 and clip.provenance.kind == "unreal" and clip.provenance.licence == "CC0-1.0"
    np.testing.assert_allclose(clip.camera.c2w, shot.c2w, atol=1e-6)
    np.testing.assert_allclose(clip.camera.intrinsics, np.tile(shot.intrinsics, (17, 1)), rtol=1e-6)
    assert clip.camera.scale == "metric"
    assert np.nanmax(np.abs(clip.subjects.box - files.boxes_of(shot))) <= 1
    truth = shot.frames[0].depth
    valid = clip.depth.valid[0]
    assert (np.abs(clip.depth.z[0] - truth)[valid] / truth[valid]).max() <= clip.depth.stated_error + 1e-3
    assert clip.attributes["scene"] == "Level1" and clip.attributes["subject"] == "person"
    assert {name for name, line in clip.annotations.items() if line.method == "source:unreal"} == {
        "pose", "depth", "subjects"
    }  # fmt: skip


def test_a_long_shot_is_cut_and_everything_goes_along(tmp_path, shot):
    files.write_pictures(tmp_path / "in" / "FinalImage", shot)
    files.write_ids(tmp_path / "in" / "ObjectId", shot)
    files.write_cameras(tmp_path / "in" / "camera.csv", shot)
    source = load(UnrealSource, {"kind": "unreal", "path": tmp_path / "in", "fps": 10, "ids": {}})
    clips = ingested(source, tmp_path / "out", max_seconds=0.9, height=48)
    assert [clip.frames for clip in clips] == [8, 9] or [clip.frames for clip in clips] == [9, 8]
    np.testing.assert_allclose(np.concatenate([clip.camera.c2w for clip in clips]), shot.c2w, atol=1e-6)
    np.testing.assert_allclose(clips[0].camera.intrinsics[0], shot.intrinsics / 2, rtol=1e-6)
    truth = files.boxes_of(shot)[:, : clips[0].frames] / 2
    seen = [i for i in range(2) if np.isfinite(truth[i]).any()]
    assert np.nanmax(np.abs(clips[0].subjects.box - truth[seen])) <= 0.5


def test_a_joined_sample_becomes_one_clip(tmp_path):
    plan = files.court_plan(frames=2 * hm.N, width=208, height=120, fps=15, position=(-1.0, -4.5, 1.5))
    shot = files.render_shot(plan.model_copy(update={"subjects": plan.subjects[:1]}))
    hm.write_sample(tmp_path / "in" / "0001", shot)
    source = load(HMWorldSource, {"kind": "hm_world", "path": tmp_path / "in", "clips": "joined"})
    (clip,) = ingested(source, tmp_path / "out")
    assert clip.frames == 2 * hm.N and clip.subjects.label == ["Quinn"]
    np.testing.assert_allclose(clip.camera.c2w, shot.c2w, atol=1e-6)
    assert clip.attributes["sample"] == "0001" and clip.annotations["pose"].notes["check_frames"] == 2 * hm.N


def test_pictures_that_are_made_otherwise_are_another_clip(tmp_path, shot):
    """So that going back to the first setting finds its clip as it was, and no answer about the other's pictures."""
    files.write_multilayer(tmp_path / "in", shot)
    rows = []
    for changes in ({}, {"picture": {"exposure_stops": 2}}, {"fps": 20}, {"picture": {"curve": "reinhard"}}):
        source = load(UnrealSource, {"kind": "unreal", "path": tmp_path / "in", "fps": 10, **changes})
        (item,) = source.listed()
        answer = ingest_video({"item": asdict(item), "ingest": {"min_seconds": 0}, "out": str(tmp_path / "out")})
        (about,) = answer["facts"]["clips"]
        rows.append((item.fingerprint(), about["key"]))
    assert len(set(rows)) == len({key for _, key in rows}) == 4
