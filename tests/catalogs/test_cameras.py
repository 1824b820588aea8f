from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from worldloom.catalogs import cameras
from worldloom.catalogs.clip import Camera

K = np.array([300.0, 310.0, 160.0, 118.0])


def random_poses(length: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (length, 1, 1))
    poses[:, :3, :3] = Rotation.random(length, rng=rng).as_matrix()
    poses[:, :3, 3] = rng.normal(size=(length, 3)) * 3
    return poses


def test_straight_ahead_is_plus_z_in_relative_poses() -> None:
    poses = np.tile(random_poses(1), (3, 1, 1))
    poses[:, :3, 3] += np.arange(3)[:, None] * 0.5 * poses[0, :3, 2]
    expected = np.tile(np.eye(4), (2, 1, 1))
    expected[:, 2, 3] = 0.5
    np.testing.assert_allclose(cameras.relative_poses(poses), expected, atol=1e-12)


def test_relative_poses_chain_back_to_the_path() -> None:
    poses = random_poses(6)
    chained = [poses[0]]
    for step in cameras.relative_poses(poses):
        chained.append(chained[-1] @ step)
    np.testing.assert_allclose(chained, poses, atol=1e-12)


def test_inverse_agrees_with_linear_algebra_and_undoes_itself() -> None:
    poses = random_poses(5)
    np.testing.assert_allclose(cameras.invert_poses(poses), np.linalg.inv(poses), atol=1e-12)
    np.testing.assert_allclose(cameras.invert_poses(cameras.invert_poses(poses)), poses, atol=1e-12)
    holes = poses.copy()
    holes[2] = np.nan
    assert np.isnan(cameras.invert_poses(holes)[2]).all() and np.isfinite(cameras.invert_poses(holes)[3]).all()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda p: p[:1], "1 poses, at least 2"),
        (lambda p: p[:, :3], r"shape \(5, 3, 4\)"),
        (
            lambda p: p * np.array([1, 1, 1, 1.0]) * np.where(np.arange(5) == 3, 2, 1)[:, None, None],
            "pose 3 .*orthonormal",
        ),
        (lambda p: p @ np.diag([1, 1, -1.0, 1]), "pose 0 .*mirrored"),
        (lambda p: np.where(np.arange(16).reshape(4, 4) == 14, 0.1, p), "pose 0 .*last row"),
        (lambda p: np.where(np.arange(16).reshape(4, 4) == 3, np.nan, p), "pose 0 is not finite in part"),
        (lambda p: np.where(np.arange(16).reshape(4, 4) == 3, np.inf, p), "pose 0 is not finite in part"),
    ],
)
def test_what_is_no_camera_path_is_refused_by_frame(fault: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cameras.check_poses(fault(random_poses(5)), at_least=2)  # type: ignore[operator]


def test_frames_without_a_pose_pass() -> None:
    poses = random_poses(4)
    poses[[0, 2]] = np.nan
    cameras.check_poses(poses)
    assert np.isnan(cameras.relative_poses(poses)).all()
    np.testing.assert_allclose(cameras.first_frame_identity(poses)[1], np.eye(4), atol=1e-12)
    with pytest.raises(ValueError, match="no frame has a pose"):
        cameras.first_frame_identity(np.full((3, 4, 4), np.nan))


@pytest.mark.parametrize("angle", [1e-7, 0.01, 1.0, 45.0, 90.0, 179.0, 180.0])
def test_rotation_angle_down_to_the_smallest(angle: float) -> None:
    axis = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5])
    rotation = Rotation.from_rotvec(np.radians(angle) * axis).as_matrix()
    assert cameras.rotation_angle_deg(rotation) == pytest.approx(angle, rel=1e-6)
    assert cameras.rotation_angle_deg(np.stack([rotation, np.eye(3)])).shape == (2,)


def test_quaternions_there_and_back() -> None:
    rotation = random_poses(20)[:, :3, :3]
    quaternion = cameras.quaternion_from_rotation(rotation)
    assert quaternion.shape == (20, 4) and (quaternion[:, 3] >= 0).all()
    np.testing.assert_allclose(cameras.rotation_from_quaternion(quaternion), rotation, atol=1e-12)
    np.testing.assert_allclose(cameras.rotation_from_quaternion(-3 * quaternion), rotation, atol=1e-12)


def test_nearest_rotation_repairs_rounding_and_never_mirrors() -> None:
    rotation = random_poses(10)[:, :3, :3]
    repaired = cameras.nearest_rotation(np.round(rotation, 4))
    np.testing.assert_allclose(
        repaired @ repaired.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (10, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(repaired, rotation, atol=2e-4)
    assert np.linalg.det(cameras.nearest_rotation(np.diag([1, 1, -1.0]))) == pytest.approx(1)


@pytest.mark.parametrize("with_scale", [True, False])
def test_alignment_recovers_a_similarity(with_scale: bool) -> None:
    rng = np.random.default_rng(3)
    source = rng.normal(size=(12, 3))
    rotation, shift, scale = random_poses(1)[0, :3, :3], np.array([3.0, -1, 2]), 2.5 if with_scale else 1.0
    target = scale * source @ rotation.T + shift
    found = cameras.align_sim3(source, target, with_scale)
    assert found[0] == pytest.approx(scale)
    np.testing.assert_allclose(found[1], rotation, atol=1e-12)
    np.testing.assert_allclose(found[2], shift, atol=1e-12)


def test_alignment_agrees_with_evo_on_noisy_and_mirrored_points() -> None:
    geometry = pytest.importorskip("evo.core.geometry")
    rng = np.random.default_rng(4)
    source = rng.normal(size=(30, 3))
    for target in (source * 1.7 + rng.normal(size=(30, 3)) * 0.2, source * [1, 1, -1]):
        rotation, shift, scale = geometry.umeyama_alignment(source.T, target.T, with_scale=True)
        ours = cameras.align_sim3(source, target)
        assert ours[0] == pytest.approx(scale)
        np.testing.assert_allclose(ours[1], rotation, atol=1e-9)
        np.testing.assert_allclose(ours[2], shift, atol=1e-9)


def test_alignment_of_points_in_one_place_is_refused() -> None:
    with pytest.raises(ValueError, match="one place"):
        cameras.align_sim3(np.ones((5, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="shapes"):
        cameras.align_sim3(np.ones((5, 3)), np.zeros((4, 3)))


def test_a_similarity_of_the_world_moves_the_camera_with_its_points() -> None:
    pose, point = random_poses(1)[0], np.array([0.3, -0.2, 4.0])
    rotation, shift = random_poses(1, seed=9)[0, :3, :3], np.array([1.0, 2, 3])
    world = pose[:3, :3] @ point + pose[:3, 3]
    moved = cameras.apply_sim3_to_poses(pose[None], 2.0, rotation, shift)[0]
    uv, z = cameras.project(2.0 * rotation @ world + shift, moved, K)
    uv_before, z_before = cameras.project(world, pose, K)
    np.testing.assert_allclose(uv, uv_before, atol=1e-9)
    assert z == pytest.approx(2 * z_before)


def test_projection_agrees_with_opencv_and_unproject_undoes_it() -> None:
    pose = random_poses(1)[0]
    local = np.random.default_rng(1).uniform([-1, -1, 1], [1, 1, 9], (4, 5, 3))
    world = local @ pose[:3, :3].T + pose[:3, 3]
    uv, z = cameras.project(world, pose, K)
    w2c = np.linalg.inv(pose)
    expected, _ = cv2.projectPoints(
        world.reshape(-1, 3), cv2.Rodrigues(w2c[:3, :3])[0], w2c[:3, 3], cameras.matrix_of(K), None
    )
    np.testing.assert_allclose(uv.reshape(-1, 2), expected[:, 0], atol=1e-8)
    np.testing.assert_allclose(cameras.unproject(uv, z, pose, K), world, atol=1e-12)


def test_resizing_moves_every_projection_with_the_picture() -> None:
    """Pixel centres at +0.5: a corner of the picture stays the corner, so uv scales without an offset."""
    point = np.array([0.2, 0.1, 2.0])
    uv, _ = cameras.project(point, np.eye(4), K)
    resized, _ = cameras.project(point, np.eye(4), cameras.resize_intrinsics(K, 0.5, 0.25))
    np.testing.assert_allclose(resized, uv * [0.5, 0.25])
    cropped, _ = cameras.project(point, np.eye(4), cameras.crop_intrinsics(K, 10, 20))
    np.testing.assert_allclose(cropped, uv - [10, 20])
    np.testing.assert_array_equal(cameras.pixel_centres(3, 2)[1, 2], [2.5, 1.5])


def test_plucker_rays_pass_through_what_the_pixel_sees() -> None:
    poses = random_poses(2)
    rays = cameras.plucker(poses, K, 6, 8)
    assert rays.shape == (2, 6, 8, 6) and rays.dtype == np.float32
    moment, direction = rays[..., :3].astype(float), rays[..., 3:].astype(float)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose((moment * direction).sum(-1), 0, atol=1e-5)
    point = cameras.unproject(np.array([2.5, 4.5]), np.array(3.0), poses[1], K)
    np.testing.assert_allclose(np.cross(point, direction[1, 4, 2]), moment[1, 4, 2], atol=1e-5)


def test_hydra12_is_row_major_and_starts_at_the_identity() -> None:
    poses = random_poses(3)
    rows = cameras.hydra12(poses)
    np.testing.assert_allclose(rows[0], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], atol=1e-12)
    relative = np.linalg.inv(poses[0]) @ poses[2]
    np.testing.assert_allclose(rows[2, [3, 7, 11]], relative[:3, 3], atol=1e-12)
    np.testing.assert_allclose(rows[2, [0, 1, 2]], relative[0, :3], atol=1e-12)
    np.testing.assert_allclose(cameras.hydra12(poses, reference=poses[1])[1], rows[0], atol=1e-12)


def test_normal_form_keeps_directions_and_its_factor() -> None:
    poses = random_poses(4)
    up = np.array([0.0, 0.6, 0.8])
    camera = Camera.known(poses, K, scale="relative", up=up)
    camera.median_depth = np.array([2.0, 4.0, np.nan, 6.0], np.float32)
    camera.sigma_position = np.full(4, 0.1, np.float32)
    normal, factor = cameras.unit_normal_form(camera)
    assert factor == 0.25 and normal.scale == "relative"
    np.testing.assert_allclose(normal.c2w[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(normal.c2w[:, :3, 3] / factor, cameras.first_frame_identity(poses)[:, :3, 3], atol=1e-12)
    np.testing.assert_allclose(normal.c2w[2, :3, :3].T @ normal.up, poses[2, :3, :3].T @ up, atol=1e-12)
    np.testing.assert_allclose(normal.median_depth, [0.5, 1, np.nan, 1.5])
    np.testing.assert_allclose(normal.sigma_position, 0.025)
    metric, factor = cameras.unit_normal_form(Camera.known(poses, K))
    assert factor == 1.0 and metric.scale == "metric" and metric.up is None
    with pytest.raises(ValueError, match="not positive"):
        cameras.unit_normal_form(camera, depth=0.0)
