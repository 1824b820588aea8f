from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.formats.paths import some_trajectory
from tests.real_data import real_data
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.egodex import (
    SIZE,
    UP,
    arkit_to_opencv,
    read_egodex_csv,
    read_egodex_hands_csv,
    write_egodex_csv,
    write_egodex_hands_csv,
)

EPISODES = ["add_remove_lid/0", "basic_pick_and_place/0", "basic_pick_and_place/1"]


@pytest.mark.parametrize("episode", EPISODES)
def test_hands_lie_before_the_camera_and_in_the_picture(episode: str) -> None:
    camera = read_egodex_csv(real_data("egodex", f"{episode}_camera_trajectory.csv"))
    hands = read_egodex_hands_csv(real_data("egodex", f"{episode}_hand_poses.csv"), camera)
    assert len(hands.names) == 56 and hands.joints.shape == (len(camera), 56, 3)
    z = hands.joints[:, [name.removeprefix("left").startswith(("Hand", "Index", "Thumb")) for name in hands.names], 2]
    assert z.min() > 0.05 and z.max() < 1.2
    k = camera.camera(*SIZE).intrinsics[0]
    left, right = (hands.joints[:, hands.names.index(name)] for name in ("leftHand", "rightHand"))
    u = [k[0] * hand[:, 0] / hand[:, 2] + k[2] for hand in (left, right)]
    assert u[0].mean() < u[1].mean()
    fingers = hands.joints[:, ["Finger" in name for name in hands.names]]
    uv = k[:2] * fingers[..., :2] / fingers[..., 2:] + k[2:]
    assert ((uv > 0) & (uv < SIZE)).all(axis=-1).mean() > 0.75


def test_joints_lie_on_the_hand_of_the_video() -> None:
    """Skin is darker than the table to the left of it; another order of turns puts the joints 260 pixels beside."""
    import cv2

    camera = read_egodex_csv(real_data("egodex", "add_remove_lid", "0_camera_trajectory.csv"))
    hands = read_egodex_hands_csv(real_data("egodex", "add_remove_lid", "0_hand_poses.csv"), camera)
    capture = cv2.VideoCapture(str(real_data("egodex", "add_remove_lid", "0.mp4")))
    pictures = [capture.read()[1] for _ in range(91)]
    k = camera.camera(*SIZE).intrinsics[0]
    left = [i for i, name in enumerate(hands.names) if name.startswith("left") and name.endswith(("Knuckle", "Tip"))]
    for frame in (20, 40, 60, 80, 90):
        joints = hands.joints[frame, left]
        u, v = (k[:2] * joints[:, :2] / joints[:, 2:] + k[2:]).astype(int).T
        grey = cv2.GaussianBlur(cv2.cvtColor(pictures[frame], cv2.COLOR_BGR2GRAY), (0, 0), 4).astype(float)
        assert grey[v, u].mean() < grey[v, u - 150].mean() - 15


@pytest.mark.parametrize("episode", EPISODES)
def test_the_wearer_looks_down_at_the_table_with_the_head_upright(episode: str) -> None:
    camera = read_egodex_csv(real_data("egodex", f"{episode}_camera_trajectory.csv"))
    assert (camera.c2w[:, :3, 1] @ UP < -0.6).all(), "image down is down"
    assert (camera.c2w[:, :3, 2] @ UP < 0).all(), "looking down"
    assert (np.abs(camera.c2w[:, :3, 0] @ UP) < 0.3).all(), "image right is level"
    assert (camera.c2w[:, 1, 3] > 0.9).all(), "eyes at a height above the floor"


def test_written_and_read_again(tmp_path: Path) -> None:
    camera = read_egodex_csv(real_data("egodex", "add_remove_lid", "0_camera_trajectory.csv"))
    hands = read_egodex_hands_csv(real_data("egodex", "add_remove_lid", "0_hand_poses.csv"), camera)
    write_egodex_csv(tmp_path / "c.csv", camera)
    write_egodex_hands_csv(tmp_path / "h.csv", hands, camera)
    again = read_egodex_csv(tmp_path / "c.csv")
    np.testing.assert_allclose(again.c2w, camera.c2w, atol=1e-12)
    hands_again = read_egodex_hands_csv(tmp_path / "h.csv", again)
    assert hands_again.names == hands.names
    np.testing.assert_allclose(hands_again.joints, hands.joints, atol=1e-6)


def test_arkit_cameras_look_along_minus_z_with_y_up() -> None:
    pose = np.eye(4)
    converted = arkit_to_opencv(pose)
    np.testing.assert_array_equal(converted[:3, 2], [0, 0, -1])  # forward
    np.testing.assert_array_equal(converted[:3, 1], [0, -1, 0])  # image down
    np.testing.assert_array_equal(converted[:3, 0], [1, 0, 0])
    poses = some_trajectory().c2w
    np.testing.assert_array_equal(arkit_to_opencv(arkit_to_opencv(poses)), poses)
    np.testing.assert_array_equal(arkit_to_opencv(poses)[:, :3, 3], poses[:, :3, 3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,x\n0,1\n", "columns frame,x; frame,pos_x"),
        ("frame,pos_x,pos_y,pos_z,roll,pitch,yaw\n0,0,0,0,0,0\n", "line 2 has 6 columns, 7 expected"),
        (
            "frame,pos_x,pos_y,pos_z,roll,pitch,yaw\n0,0,0,0,0,0,0\n2,0,0,0,0,0,0\n",
            "line 3 is frame 2, frame 1 expected",
        ),
        ("frame,pos_x,pos_y,pos_z,roll,pitch,yaw\n0,0,0,,0,0,0\n", "line 2 column 4 is ''"),
        ("frame,pos_x,pos_y,pos_z,roll,pitch,yaw\n", "a header and at least one line"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_egodex_csv(tmp_path / "a.csv")


def test_hands_of_another_episode_are_refused() -> None:
    camera = read_egodex_csv(real_data("egodex", "add_remove_lid", "0_camera_trajectory.csv"))
    with pytest.raises(BadInput, match="126 frames, the camera has 94"):
        read_egodex_hands_csv(real_data("egodex", "basic_pick_and_place", "0_hand_poses.csv"), camera)
