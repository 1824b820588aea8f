from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.real_data import real_data
from worldloom.annotators.measures import ate, rpe_deg

RNG = np.random.default_rng(3)


def wandering_path(frames: int = 60) -> np.ndarray:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    turns = Rotation.from_rotvec(np.cumsum(RNG.normal(0, 0.05, (frames, 3)), axis=0))
    poses[:, :3, :3] = turns.as_matrix()
    poses[:, :3, 3] = np.cumsum(RNG.normal(0, 0.2, (frames, 3)), axis=0)
    return poses


def moved(poses: np.ndarray, scale: float, seed: int = 0) -> np.ndarray:
    rotation = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    out = poses.copy()
    out[:, :3, :3] = rotation @ poses[:, :3, :3]
    out[:, :3, 3] = scale * poses[:, :3, 3] @ rotation.T + [1.0, -2.0, 3.0]
    return out


def test_a_similarity_of_the_truth_has_no_error():
    truth = wandering_path()
    result = ate(moved(truth, 0.25), truth)
    assert result.rmse < 1e-9
    assert result.groups[0].scale == pytest.approx(4.0)
    np.testing.assert_allclose(result.scale, 4.0)
    assert rpe_deg(moved(truth, 0.25), truth, fps=16).maximum < 1e-5


def test_se3_does_not_forgive_a_wrong_scale():
    truth = wandering_path()
    assert ate(moved(truth, 0.5), truth, with_scale=False).rmse > 0.1


def test_each_scale_group_is_aligned_by_itself():
    truth = wandering_path()
    estimate = truth.copy()
    estimate[30:, :3, 3] *= 3.0
    groups = np.repeat([0, 5], 30)
    assert ate(estimate, truth).percent > 1
    result = ate(estimate, truth, groups)
    assert result.rmse < 1e-9
    assert [(group.group, group.frames) for group in result.groups] == [(0, 30), (5, 30)]
    np.testing.assert_allclose(result.scale[30:], 1 / 3)


def test_percent_is_of_the_true_path():
    truth = np.tile(np.eye(4), (11, 1, 1))
    truth[:, 2, 3] = np.arange(11)
    truth[:, 0, 3] = np.tile([0.0, 1.0], 6)[:11]
    estimate = truth.copy()
    estimate[:, 1, 3] += np.tile([0.1, -0.1], 6)[:11]
    result = ate(estimate, truth, with_scale=False)
    assert result.path_length == pytest.approx(10 * np.sqrt(2))
    assert result.percent == pytest.approx(100 * result.rmse / result.path_length)


def test_frames_without_a_pose_are_left_out_and_small_groups_too():
    truth = wandering_path(20)
    estimate = moved(truth, 2.0)
    estimate[4] = np.nan
    estimate[7, :3, 3] += 100
    valid = np.ones(20, bool)
    valid[7] = False
    groups = np.r_[np.zeros(18, int), 1, 1]
    result = ate(estimate, truth, groups, valid)
    assert result.frames == 16
    assert np.flatnonzero(np.isnan(result.errors)).tolist() == [4, 7, 18, 19]
    assert result.rmse < 1e-9


def test_nothing_to_compare_is_nan_and_not_zero():
    path = wandering_path(8)
    assert np.isnan(ate(path, path, valid=np.zeros(8, bool)).rmse)
    assert np.isnan(rpe_deg(path, path, fps=16).median)
    with pytest.raises(ValueError, match="5 and 8"):
        ate(path[:5], path)


def test_rotation_error_is_that_of_one_second():
    still = np.tile(np.eye(4), (40, 1, 1))
    turned = still.copy()
    turned[:, :3, :3] = Rotation.from_rotvec(np.radians(0.1 * np.arange(40))[:, None] * [0, 1, 0]).as_matrix()
    assert rpe_deg(turned, still, fps=10).median == pytest.approx(1.0, abs=1e-6)
    assert rpe_deg(turned, still, fps=10, seconds=2).median == pytest.approx(2.0, abs=1e-6)
    assert rpe_deg(turned, still, fps=10).pairs == 30


def test_both_agree_with_evo_on_random_paths():
    metrics = pytest.importorskip("evo.core.metrics")
    from evo.core.trajectory import PosePath3D

    truth = wandering_path(80)
    estimate = moved(truth, 0.3)
    estimate[:, :3, 3] += RNG.normal(0, 0.05, (80, 3))
    jitter = Rotation.from_rotvec(RNG.normal(0, 0.02, (80, 3))).as_matrix()
    estimate[:, :3, :3] = estimate[:, :3, :3] @ jitter
    reference, other = PosePath3D(poses_se3=list(truth)), PosePath3D(poses_se3=list(estimate))
    aligned = PosePath3D(poses_se3=list(estimate))
    aligned.align(reference, correct_scale=True)
    ape = metrics.APE(metrics.PoseRelation.translation_part)
    ape.process_data((reference, aligned))
    result = ate(estimate, truth)
    assert result.rmse == pytest.approx(ape.get_statistic(metrics.StatisticsType.rmse), rel=1e-9)
    assert result.median == pytest.approx(ape.get_statistic(metrics.StatisticsType.median), rel=1e-9)
    assert result.path_length == pytest.approx(reference.path_length, rel=1e-9)
    rpe = metrics.RPE(metrics.PoseRelation.rotation_angle_deg, delta=16, delta_unit=metrics.Unit.frames, all_pairs=True)
    rpe.process_data((reference, other))
    ours = rpe_deg(estimate, truth, fps=16)
    assert ours.rmse == pytest.approx(rpe.get_statistic(metrics.StatisticsType.rmse), rel=1e-6)
    assert ours.maximum == pytest.approx(rpe.get_statistic(metrics.StatisticsType.max), rel=1e-6)


def kitti(name: str) -> np.ndarray:
    rows = np.loadtxt(real_data("traj_evo", name)).reshape(-1, 3, 4)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = rows
    return poses


def test_ate_of_the_kitti_example_is_the_published_one():
    with zipfile.ZipFile(real_data("traj_evo", "expected_orb_ape.zip")) as archive:
        expected = json.loads(archive.read("stats.json"))
    result = ate(kitti("KITTI_00_ORB.txt"), kitti("KITTI_00_gt.txt"), with_scale=False)
    assert expected["rmse"] == pytest.approx(1.3034, abs=1e-4)
    assert result.rmse == pytest.approx(expected["rmse"], rel=1e-4)
    assert result.maximum == pytest.approx(expected["max"], rel=1e-4)
    assert result.median == pytest.approx(expected["median"], rel=1e-4)


def test_fr1_xyz_agrees_with_evo():
    pytest.importorskip("evo")
    from evo.core import metrics, sync
    from evo.tools import file_interface

    reference = file_interface.read_tum_trajectory_file(str(real_data("traj_evo", "freiburg1_xyz-groundtruth.txt")))
    for name in ("freiburg1_xyz-rgbdslam.txt", "freiburg1_xyz-ORB_kf_mono.txt"):
        estimate = file_interface.read_tum_trajectory_file(str(real_data("traj_evo", name)))
        left, right = sync.associate_trajectories(reference, estimate)
        result = ate(np.array(right.poses_se3), np.array(left.poses_se3))
        right.align(left, correct_scale=True)
        ape = metrics.APE(metrics.PoseRelation.translation_part)
        ape.process_data((left, right))
        assert result.rmse == pytest.approx(ape.get_statistic(metrics.StatisticsType.rmse), rel=1e-6)
