from __future__ import annotations

import numpy as np

from tests.catalogs.formats.paths import some_trajectory
from worldloom.catalogs.clip import Camera, Hands
from worldloom.catalogs.formats.lerobot import LeRobotFeature
from worldloom.catalogs.formats.lerobot_state import (
    CONFIDENCE,
    INTRINSICS,
    STATE,
    camera_of,
    hands_of,
    state_arrays,
    state_features,
)

JOINTS = ("leftHand", "leftThumbTip", "rightHand")


def known() -> tuple[Camera, Hands]:
    trajectory = some_trajectory(9)
    trajectory.c2w[4] = np.nan
    camera = trajectory.camera(640, 480)
    rng = np.random.default_rng(1)
    joints = rng.normal(size=(9, 3, 3)).astype(np.float32)
    joints[2:5, 1] = np.nan
    confidence = np.where(np.isfinite(joints).all(axis=2), 0.75, 0).astype(np.float32)
    return camera, Hands(list(JOINTS), joints, confidence)


def read_back(features: dict) -> dict[str, LeRobotFeature]:
    return {
        name: LeRobotFeature(one["dtype"], tuple(one["shape"]), tuple(one["names"]), one.get("info"))
        for name, one in features.items()
    }


def test_there_and_back() -> None:
    camera, hands = known()
    arrays = state_arrays(camera, hands)
    features = read_back(state_features(True, JOINTS, "metric"))
    assert {name: array.shape for name, array in arrays.items()} == {
        STATE: (9, 16),
        CONFIDENCE: (9, 4),
        INTRINSICS: (9, 4),
    }
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in arrays.values())
    assert all(features[name].shape == array.shape[1:] for name, array in arrays.items())
    again = camera_of(features, arrays, (640, 480))
    assert again is not None and again.scale == "metric"
    np.testing.assert_allclose(again.c2w, camera.c2w, atol=1e-6)  # float32
    np.testing.assert_allclose(again.camera(320, 240).intrinsics, camera.intrinsics / 2, rtol=1e-6)
    back = hands_of(features, arrays)
    assert back is not None and back.names == list(JOINTS)
    np.testing.assert_array_equal(back.joints, hands.joints)
    np.testing.assert_array_equal(back.confidence, hands.confidence)


def test_hands_alone_and_a_camera_alone() -> None:
    camera, hands = known()
    alone = read_back(state_features(False, JOINTS, "none"))
    arrays = state_arrays(None, hands)
    assert INTRINSICS not in arrays and camera_of(alone, arrays, (640, 480)) is None
    back = hands_of(alone, arrays)
    assert back is not None
    np.testing.assert_array_equal(back.joints, hands.joints)
    without = read_back(state_features(True, (), "metric"))
    arrays = state_arrays(camera, None)
    assert hands_of(without, arrays) is None and camera_of(without, arrays, (640, 480)) is not None
    assert state_arrays(None, None) == {}


def test_quaternions_do_not_jump() -> None:
    """A turn by 360 degrees: canonical quaternions would change their sign half way round."""
    angle = np.radians(np.arange(0, 361, 5))
    c2w = np.tile(np.eye(4), (len(angle), 1, 1))
    c2w[:, 0, 0] = c2w[:, 2, 2] = np.cos(angle)
    c2w[:, 0, 2], c2w[:, 2, 0] = np.sin(angle), -np.sin(angle)
    state = state_arrays(Camera.known(c2w, np.array([1.0, 1, 0, 0])), None)[STATE]
    assert np.abs(np.diff(state[:, 3:], axis=0)).max() < 0.05


def test_states_of_others_are_no_camera() -> None:
    strange = {STATE: LeRobotFeature("float32", (2,), ("shoulder", "elbow"))}
    assert camera_of(strange, {STATE: np.zeros((3, 2), np.float32)}, (640, 480)) is None
    assert hands_of(strange, {STATE: np.zeros((3, 2), np.float32)}) is None
