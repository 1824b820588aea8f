"""Camera tables of Unreal shots: what is written is read, units and angles by hand, and what is wrong is named."""

import json

import numpy as np
import pytest

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import Trajectory
from worldloom.catalogs.formats.unreal import opencv_to_unreal, pose_from_rotator
from worldloom.catalogs.formats.unreal_cameras import (
    CameraColumns,
    Lens,
    cameras_of_texts,
    read_unreal_cameras,
    write_unreal_cameras,
)

W, H = 320, 180


@pytest.fixture
def path_of_ten():
    rng = np.random.default_rng(4)
    c2w = pose_from_rotator(rng.normal(0, 300, (10, 3)), rng.uniform(-60, 60, 10), rng.uniform(-180, 180, 10),
                            rng.uniform(-20, 20, 10))  # fmt: skip
    fx = np.linspace(200, 400, 10)
    k = np.stack([fx, fx, np.full(10, W / 2), np.full(10, H / 2)], axis=-1)
    return Trajectory(c2w=c2w, scale="metric", intrinsics=k, size=(W, H))


def reason(call, *args, **kwargs):
    with pytest.raises(BadInput) as caught:
        call(*args, **kwargs)
    return caught.value


@pytest.mark.parametrize("form", ["rotator", "matrix"])
@pytest.mark.parametrize("ending", ["csv", "json"])
def test_what_is_written_is_read_again(tmp_path, path_of_ten, form, ending):
    write_unreal_cameras(tmp_path / f"a.{ending}", range(100, 110), path_of_ten, form)
    table = read_unreal_cameras(tmp_path / f"a.{ending}", W, H)
    assert table.numbers.tolist() == list(range(100, 110))
    np.testing.assert_allclose(table.trajectory.c2w, path_of_ten.c2w, atol=1e-9)
    np.testing.assert_allclose(table.trajectory.intrinsics, path_of_ten.intrinsics, atol=1e-9)
    np.testing.assert_allclose(table.trajectory.up, [0, -1, 0])


def test_a_row_by_hand(tmp_path):
    (tmp_path / "a.csv").write_text("Frame,X,Y,Z,Pitch,Yaw,Roll,FOV\n7,100,200,300,0,90,0,90\n")
    table = read_unreal_cameras(tmp_path / "a.csv", W, H)
    c2w = table.trajectory.c2w[0]
    np.testing.assert_allclose(c2w[:3, 3], [2, -3, 1])  # right, down, forward of the world, metres
    np.testing.assert_allclose(c2w[:3, 2], [1, 0, 0], atol=1e-12)  # yaw 90 looks to Unreal's +y, which is our +x
    np.testing.assert_allclose(table.trajectory.intrinsics[0], [W / 2, W / 2, W / 2, H / 2])


def test_rows_may_come_in_any_order_and_matrices_by_rows_or_columns(tmp_path, path_of_ten):
    matrices = opencv_to_unreal(path_of_ten.c2w)
    for name, stack in (("columns", matrices), ("rows", matrices.transpose(0, 2, 1))):
        value = {"fov": 90, "frames": {str(i): stack[i].tolist() for i in reversed(range(10))}}
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
        table = read_unreal_cameras(tmp_path / f"{name}.json", W, H)
        np.testing.assert_allclose(table.trajectory.c2w, path_of_ten.c2w, atol=1e-9)
        assert table.trajectory.intrinsics[3, 0] == pytest.approx(W / 2)


def test_columns_can_have_other_names(tmp_path, path_of_ten):
    write_unreal_cameras(tmp_path / "a.csv", range(10), path_of_ten)
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "b.csv").write_text(text.replace("frame,x,", "FrameNumber,LocX,", 1))
    error = reason(read_unreal_cameras, tmp_path / "b.csv", W, H)
    assert error.reason == "bad_poses" and "no frame" in error.message and "columns" in error.remedy
    table = read_unreal_cameras(tmp_path / "b.csv", W, H, CameraColumns(frame="FrameNumber", x="LocX"))
    np.testing.assert_allclose(table.trajectory.c2w, path_of_ten.c2w, atol=1e-9)


def test_the_filmback_gives_the_focal_length(tmp_path):
    head, row = "frame,x,y,z,pitch,yaw,roll,focal_length,sensor_width,sensor_height\n", "0,0,0,0,0,0,0,35,23.76,{}\n"
    (tmp_path / "a.csv").write_text(head + row.format(13.365))
    fx = read_unreal_cameras(tmp_path / "a.csv", 832, 468).trajectory.intrinsics[0, 0]
    assert fx == pytest.approx(832 * 35 / 23.76)
    error = reason(read_unreal_cameras, tmp_path / "a.csv", 832, 832)
    assert error.reason == "filmback" and "hold" in error.remedy
    held = read_unreal_cameras(tmp_path / "a.csv", 832, 832, lens=Lens(hold="vertical")).trajectory
    assert held.intrinsics[0, 1] == pytest.approx(832 * 35 / 13.365)
    held = read_unreal_cameras(tmp_path / "a.csv", 832, 832, lens=Lens(hold="horizontal")).trajectory
    assert held.intrinsics[0, 1] == pytest.approx(832 * 35 / 23.76)


def test_a_lens_for_all_rows(tmp_path):
    (tmp_path / "a.csv").write_text("frame,x,y,z,pitch,yaw,roll\n0,0,0,0,0,0,0\n")
    error = reason(read_unreal_cameras, tmp_path / "a.csv", W, H)
    assert error.reason == "no_intrinsics" and "fov_deg" in error.remedy
    table = read_unreal_cameras(tmp_path / "a.csv", W, H, lens=Lens(fov_deg=60))
    assert table.trajectory.intrinsics[0, 0] == pytest.approx(W / 2 / np.tan(np.pi / 6))


def test_headers_of_exr_pictures(tmp_path):
    text = {
        "unreal/camera/curPos/x": "100.0",
        "unreal/camera/curPos/y": "0",
        "unreal/camera/curPos/z": "0",
        "unreal/camera/curRot/pitch": "0",
        "unreal/camera/curRot/yaw": "0",
        "unreal/camera/curRot/roll": "0",
        "unreal/camera/prevPos/x": "55",
        "unreal/camera/ActorHitProxyMask/fov": "10",
        "unreal/camera/FinalImage/fov": "90.0",
        "owner": "somebody",
    }
    table = cameras_of_texts([(tmp_path / "s.0003.exr", 3, text)], W, H)
    assert table.numbers.tolist() == [3]
    np.testing.assert_allclose(table.trajectory.c2w[0, :3, 3], [0, 0, 1])
    assert table.trajectory.intrinsics[0, 0] == pytest.approx(W / 2)
    assert reason(cameras_of_texts, [(tmp_path / "s.0003.exr", 3, {})], W, H).reason == "no_poses"


@pytest.mark.parametrize(
    ("text", "slug", "words"),
    [
        ("", "no_poses", ""),
        ("frame,x,y,z,pitch,yaw,roll,fov\n", "no_poses", "rows"),
        ("frame,x,y,z,pitch,yaw,roll,fov\n0,0,0,0,0,0,90\n", "bad_poses", "line 2 has 7 columns"),
        ("frame,x,y,z,pitch,yaw,roll,fov\n0,0,0,0,0,0,0,90\n1,0,0,zero,0,0,0,90\n", "bad_poses", "line 3: z is 'zero'"),
        ("frame,x,y,z,pitch,yaw,roll,fov\n0,0,0,0,0,0,0,90\n0,0,0,0,0,0,0,90\n", "doubled_frames", "line 2 and line 3"),
        ("frame,x,y,z,pitch,yaw,roll,fov\n0.5,0,0,0,0,0,0,90\n", "bad_poses", "whole number"),
        (
            "frame,x,y,z,pitch,yaw,roll,fov\n1e19,0,0,0,0,0,0,90\n",
            "bad_poses",
            "line 2: frame 1e+19 is no whole number",
        ),
        ("frame,x,y,z,pitch,yaw,roll,fov\n0,nan,0,0,0,0,0,90\n", "bad_poses", "finite"),
        ("frame,x,y,z,pitch,yaw,roll,fov\n0,0,0,0,0,0,0,-3\n", "bad_poses", "more than 0"),
        ("frame,x,y,z,pitch,yaw,roll,fov\n0,0,0,0,0,0,0,180\n", "no_intrinsics", "neither"),
        ('frame,matrix,fov\n0,"[1 0 0 0] [0 1 0 0]",90\n', "bad_poses", "line 2: matrix"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path, text, slug, words):
    (tmp_path / "a.csv").write_text(text)
    error = reason(read_unreal_cameras, tmp_path / "a.csv", W, H)
    assert error.reason == slug and words in error.message and "a.csv" in error.where


@pytest.mark.parametrize(
    ("text", "slug"),
    [("{", "bad_json"), ("3", "bad_poses"), ("[3]", "bad_poses"), ("[]", "no_poses"), ('{"frames": 1}', "bad_poses"),
     ('{"0": [[1, 0], [0, 1]]}', "bad_poses"), ('[{"frame": true}]', "bad_poses"), ('{"a": {"x": 1}}', "bad_poses")],
)  # fmt: skip
def test_json_that_is_no_table(tmp_path, text, slug):
    (tmp_path / "a.json").write_text(text)
    assert reason(read_unreal_cameras, tmp_path / "a.json", W, H).reason == slug
