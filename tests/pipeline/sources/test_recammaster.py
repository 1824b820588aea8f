"""MultiCamVideo's layout: which camera belongs to which video, and the lens from the folder's name."""

import numpy as np
import pytest

from tests.catalogs.numbered_video import write_video
from tests.real_data import real_data
from worldloom.catalogs.config import load
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.unreal import read_recam
from worldloom.catalogs.video import probe
from worldloom.pipeline.sources.recammaster import ReCamMasterSource


def source_of(path, **keys):
    return load(ReCamMasterSource, {"kind": "recammaster", "path": path, **keys})


def write_scene(folder, cameras=("cam01", "cam02")):
    (folder / "videos").mkdir(parents=True)
    (folder / "cameras").mkdir()
    real = real_data("ue5_recam_cameras", "cameras", "camera_extrinsics.json")
    (folder / "cameras" / "camera_extrinsics.json").write_bytes(real.read_bytes())
    for camera in cameras:
        write_video(folder / "videos" / f"{camera}.mp4", count=81)
    return real


def test_the_cameras_of_a_scene(tmp_path):
    real = write_scene(tmp_path / "train" / "f24_aperture5" / "scene1")
    source = source_of(tmp_path)
    items = list(source.items())
    assert [item.problem for item in items] == [None, None]
    assert items[1].uri == "train/f24_aperture5/scene1/videos/cam02.mp4"
    assert items[1].attributes == {
        "scene": "train/f24_aperture5/scene1", "camera": "cam02", "focal_length_mm": 24.0, "aperture": 5.0
    }  # fmt: skip
    known = source.known(items[1], probe(items[1].path))
    np.testing.assert_array_equal(known.trajectory.c2w, read_recam(real, "cam02").c2w)
    assert known.trajectory.camera(64, 48).intrinsics[0].tolist() == pytest.approx([64 * 24 / 23.76] * 2 + [32, 24])


def test_a_lens_that_no_folder_names(tmp_path):
    write_scene(tmp_path / "scene1", ["cam01"])
    source = source_of(tmp_path)
    (item,) = source.items()
    with pytest.raises(BadInput) as caught:
        source.known(item, probe(item.path))
    assert caught.value.reason == "no_intrinsics" and "focal_length_mm" in caught.value.remedy
    told = source_of(tmp_path, focal_length_mm=35)
    assert told.known(item, probe(item.path)).trajectory.intrinsics[0, 0] == pytest.approx(64 * 35 / 23.76)


def test_a_camera_that_the_file_does_not_know(tmp_path):
    write_scene(tmp_path / "f50_aperture2.4" / "scene1", ["cam77"])
    source = source_of(tmp_path)
    (item,) = source.items()
    with pytest.raises(BadInput) as caught:
        source.known(item, probe(item.path))
    assert caught.value.reason == "bad_poses" and "cam77" in caught.value.message


def test_what_belongs_to_nothing_is_listed(tmp_path):
    write_scene(tmp_path / "f18_aperture10" / "scene1", ["cam01"])
    write_scene(tmp_path / "f18_aperture10" / "scene2", [])
    write_scene(tmp_path / "f18_aperture10" / "scene3", ["cam01"])
    (tmp_path / "f18_aperture10" / "scene3" / "cameras" / "camera_extrinsics.json").unlink()
    (tmp_path / "metadata.csv").write_text("x")
    listed = {item.uri: item.problem and item.problem[0] for item in source_of(tmp_path).items()}
    assert listed == {
        "f18_aperture10/scene1/videos/cam01.mp4": None,
        "f18_aperture10/scene2/cameras/camera_extrinsics.json": "no_video",
        "f18_aperture10/scene3/videos/cam01.mp4": "no_poses",
        "metadata.csv": "not_recognised",
    }
