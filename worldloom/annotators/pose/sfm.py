"""Structure from motion over key frames: pycolmap's incremental mapping on our own tracks and matches."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2  # noqa: F401  # before pycolmap: the other order aborts the process later, in cv2.imwrite

# isort: split
import numpy as np
import pycolmap

from worldloom.catalogs.config import Strict

pycolmap.logging.minloglevel = 3  # it reports each frame on stderr; what matters comes back as values
pycolmap.logging.stderrthreshold = 3


class MappingRules(Strict):
    """Knobs of two-view verification and mapping. "COLMAP": its default; the others are ours."""

    match_error_px: float = 2.0
    """Epipolar error of an inlier match (COLMAP 4, for larger pictures)."""
    trials: int = 1000
    """Most random draws per pair (COLMAP 10000: no gain on tracks, which are nearly all right)."""
    min_matches: int = 15
    """Verified matches that join two key frames (COLMAP)."""
    point_error_px: float = 1.0
    """Observations beyond it leave the model (COLMAP 4). Tracks are good to 0.2 px: on rendered clips that mostly turn,
    4 and 2 gave paths 1 to 23 % off, 1 gave 0.5 %; on a real walk, 4 failed for one initial pair in two, 1 for none."""
    pose_error_px: float = 2.0
    """Reprojection error of an inlier when a key frame is registered (COLMAP 12)."""
    angle_error_deg: float = 0.25
    """Angle between a ray and its point when a track is made or continued (COLMAP 2)."""
    min_angle_deg: float = 0.5
    """Smallest triangulation angle of a point (COLMAP 1.5): a camera that mostly turns sees few wider ones."""
    initial_inliers: int = 40
    """Least inliers of an initial pair (COLMAP 100)."""
    growth: float = 1.4
    """Everything is adjusted again when the model has grown by this factor (COLMAP 1.1: four times slower)."""
    least_focal: float = 0.4
    """Smallest focal length believed, in longer sides of the picture (102 degrees)."""
    largest_focal: float = 3.0
    """Largest focal length believed, in longer sides (19 degrees)."""
    min_frames: int = 4
    """Key frames that make a model."""


@dataclass(eq=False)
class Pair:
    """Two key frames i < j and their verified matches: rows (m, 2) of both keypoint lists, triangulation angle."""

    i: int
    j: int
    rows: np.ndarray
    angle_deg: float


@dataclass(eq=False)
class Model:
    """One reconstruction.

    Attributes:
        frames: (n,) positions in the list of key frames, increasing.
        c2w: (n, 4, 4) in a world of its own.
        focal: pixels of the working picture.
        points: (P, 3).
        seen: per entry of `frames`, for each keypoint of that key frame the row of its point, or -1.
        error_px: mean reprojection error.
        used: share of the matched keypoints of its frames that became points: a model invented on a camera that only
            turns uses 0.02 of them, a right one 0.8.
    """

    frames: np.ndarray
    c2w: np.ndarray
    focal: float
    points: np.ndarray
    seen: list[np.ndarray]
    error_px: float
    used: float


class Mapper:
    """Key frames, their keypoints and matches, in a database that models are made from again and again.

    `registrations` counts the key frames that all models together tried to register: the work done so far, the same on
    every machine.

    Args:
        scratch: folder for the database and COLMAP's output.
        size: (width, height) of the working picture.
        keypoints: per key frame (n, 2), pixels, centres at +0.5.
        matches: rows (m, 2) of both keypoint lists for pairs i < j.
        focal: first guess, pixels.
        seed: of every random draw.
        rules: knobs.
    """

    def __init__(
        self,
        scratch: Path,
        size: tuple[int, int],
        keypoints: Sequence[np.ndarray],
        matches: Mapping[tuple[int, int], np.ndarray],
        focal: float,
        seed: int,
        rules: MappingRules,
    ) -> None:
        self.rules, self.size, self.seed, self.scratch = rules, size, seed, scratch
        self.keypoints = [np.asarray(k, np.float64) for k in keypoints]
        self.focal = focal
        self.registrations = 0
        scratch.mkdir(parents=True, exist_ok=True)
        self.database = scratch / "keyframes.db"
        self.database.unlink(missing_ok=True)
        self._write(matches)
        self.pairs = self._verify()

    def run(
        self,
        first: tuple[int, int],
        *,
        fix_focal: float | None = None,
        only: Sequence[int] | None = None,
    ) -> Model | None:
        """Grow one model from an initial pair of key frames; None where that leads nowhere.

        Args:
            first: the pair.
            fix_focal: focal length to hold; refined where None.
            only: the key frames to use; all where None.
        """
        options = self._mapping_options(refine=fix_focal is None)
        options.init_image_id1, options.init_image_id2 = first[0] + 1, first[1] + 1
        if only is not None:
            options.image_names = [_name(i) for i in only]
        if fix_focal is not None:
            self._set_focal(fix_focal)
        pycolmap.set_random_seed(self.seed)
        with _folder(self.scratch / "models") as out:
            found = pycolmap.incremental_mapping(
                self.database, self.scratch, out, options, next_image_callback=self._count
            )
        if fix_focal is not None:
            self._set_focal(self.focal)
        models = [_model(one, self._matched(only)) for one in found.values()]
        models = [one for one in models if len(one.frames) >= self.rules.min_frames]
        return max(models, key=lambda one: len(one.frames), default=None)

    def _count(self) -> None:
        self.registrations += 1

    def _matched(self, only: Sequence[int] | None) -> list[np.ndarray]:
        """Per key frame, which keypoints have a verified match in another one of `only`."""
        allowed = set(range(len(self.keypoints)) if only is None else only)
        matched = [np.zeros(len(one), bool) for one in self.keypoints]
        for pair in self.pairs:
            if pair.i in allowed and pair.j in allowed:
                matched[pair.i][pair.rows[:, 0]] = True
                matched[pair.j][pair.rows[:, 1]] = True
        return matched

    def _write(self, matches: Mapping[tuple[int, int], np.ndarray]) -> None:
        with pycolmap.Database.open(self.database) as database:
            camera = self._camera(self.focal)
            camera.camera_id = database.write_camera(camera)
            rig = pycolmap.Rig()
            rig.add_ref_sensor(camera.sensor_id)
            rig_id = database.write_rig(rig)
            for index, keypoints in enumerate(self.keypoints):
                image = pycolmap.Image(name=_name(index), camera_id=camera.camera_id)
                image.image_id = database.write_image(image)
                frame = pycolmap.Frame()
                frame.rig_id = rig_id
                frame.add_data_id(image.data_id)
                database.write_frame(frame)
                database.write_keypoints(image.image_id, keypoints.astype(np.float32))
            for (i, j), rows in sorted(matches.items()):
                if len(rows) >= self.rules.min_matches:
                    database.write_matches(i + 1, j + 1, rows.astype(np.uint32))

    def _verify(self) -> list[Pair]:
        rules = self.rules
        options = pycolmap.TwoViewGeometryOptions()
        options.min_num_inliers = rules.min_matches
        options.compute_relative_pose = True
        options.ransac.max_num_trials = rules.trials
        options.detect_watermark = False
        options.ransac.max_error = rules.match_error_px
        options.ransac.random_seed = self.seed
        pycolmap.set_random_seed(self.seed)
        pycolmap.geometric_verification(
            self.database, pycolmap.GeometricVerifierOptions(num_threads=1), two_view_geometry_options=options
        )
        with pycolmap.Database.open(self.database) as database:
            names, geometries = database.read_two_view_geometries()
        pairs = []
        for name, geometry in zip(names, geometries, strict=True):
            i, j = (image - 1 for image in pycolmap.pair_id_to_image_pair(name))
            rows = np.asarray(geometry.inlier_matches, np.int64)
            if len(rows) >= rules.min_matches:
                pairs.append(Pair(i, j, rows, self._parallax_deg(i, j, rows, geometry.cam2_from_cam1)))
        return sorted(pairs, key=lambda pair: (pair.i, pair.j))

    def _parallax_deg(self, i: int, j: int, rows: np.ndarray, j_from_i: pycolmap.Rigid3d | None) -> float:
        """Median angle between the rays of matched points, their cameras' turn taken out."""
        if j_from_i is None:
            return 0.0
        centre, ones = np.array(self.size) / 2, np.ones((len(rows), 1))
        ray_i = np.hstack([(self.keypoints[i][rows[:, 0]] - centre) / self.focal, ones])
        ray_j = np.hstack([(self.keypoints[j][rows[:, 1]] - centre) / self.focal, ones])
        ray_i = ray_i @ j_from_i.rotation.matrix().T
        cross = np.linalg.norm(np.cross(ray_i, ray_j), axis=1)
        return float(np.degrees(np.median(np.arctan2(cross, (ray_i * ray_j).sum(axis=1)))))

    def _camera(self, focal: float) -> pycolmap.Camera:
        width, height = self.size
        camera = pycolmap.Camera(
            model="SIMPLE_PINHOLE", width=width, height=height, params=[focal, width / 2, height / 2]
        )
        camera.has_prior_focal_length = True  # two-view geometry by E: with an unknown focal, F hides plane scenes
        return camera

    def _set_focal(self, focal: float) -> None:
        camera = self._camera(focal)
        camera.camera_id = 1
        with pycolmap.Database.open(self.database) as database:
            database.update_camera(camera)

    def _mapping_options(self, refine: bool) -> pycolmap.IncrementalPipelineOptions:
        rules = self.rules
        options = pycolmap.IncrementalPipelineOptions(
            num_threads=1, random_seed=self.seed, extract_colors=False, multiple_models=False
        )
        options.min_num_matches = rules.min_matches
        options.structure_less_registration_fallback = False  # it carries a model through turns on the spot, by chance
        options.min_model_size = rules.min_frames
        options.init_num_trials = 1  # of 200, which all start from the pair we name and fail alike: 10 s for nothing
        options.min_focal_length_ratio, options.max_focal_length_ratio = rules.least_focal, rules.largest_focal
        options.ba_refine_focal_length = refine
        options.ba_global_frames_ratio = options.ba_global_points_ratio = rules.growth
        options.ba_global_function_tolerance = options.ba_local_function_tolerance = 1e-5
        options.ba_global_max_num_iterations, options.ba_local_max_num_iterations = 25, 15
        options.ba_global_max_refinements, options.ba_local_max_refinements = 2, 1
        mapper, triangulation = options.mapper, options.triangulation
        mapper.abs_pose_refine_focal_length = refine
        mapper.init_min_num_inliers, mapper.init_min_tri_angle = rules.initial_inliers, 1.0
        mapper.init_max_forward_motion = 1.0
        mapper.abs_pose_max_error = rules.pose_error_px
        mapper.filter_max_reproj_error = mapper.init_max_error = rules.point_error_px
        triangulation.merge_max_reproj_error = triangulation.complete_max_reproj_error = rules.point_error_px
        triangulation.create_max_angle_error = triangulation.continue_max_angle_error = rules.angle_error_deg
        mapper.filter_min_tri_angle = triangulation.min_angle = rules.min_angle_deg
        return options


def _name(index: int) -> str:
    return f"{index:06d}"


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[Path]:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _model(reconstruction: Any, matched: Sequence[np.ndarray]) -> Model:
    names = sorted(reconstruction.points3D.keys())
    row_of = {name: row for row, name in enumerate(names)}
    points = np.array([reconstruction.points3D[name].xyz for name in names]).reshape(-1, 3)
    images = sorted(
        (reconstruction.images[i] for i in reconstruction.reg_image_ids()), key=lambda image: image.image_id
    )
    c2w = np.tile(np.eye(4), (len(images), 1, 1))
    seen = []
    for index, image in enumerate(images):
        c2w[index, :3] = image.cam_from_world().inverse().matrix()
        rows = np.full(len(matched[image.image_id - 1]), -1, np.int64)
        for at, point in enumerate(image.points2D):
            if point.has_point3D():
                rows[at] = row_of[point.point3D_id]
        seen.append(rows)
    camera = next(iter(reconstruction.cameras.values()))
    frames = np.array([image.image_id - 1 for image in images], np.int64)
    tied = sum(int((rows[matched[k]] >= 0).sum()) for k, rows in zip(frames, seen, strict=True))
    return Model(
        frames=frames,
        c2w=c2w,
        focal=float(camera.params[0]),
        points=points,
        seen=seen,
        error_px=float(reconstruction.compute_mean_reprojection_error()),
        used=tied / max(1, sum(int(matched[k].sum()) for k in frames)),
    )
