"""LeRobot datasets, version 3: one item per episode and camera, cut out of the mp4 that holds many of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from worldloom.catalogs.config import Strict, digest
from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.sources.footage import Footage, Known, Workplace, file_sha256
from worldloom.pipeline.sources.source import Source, SourceItem, plainly_named

if TYPE_CHECKING:
    from worldloom.catalogs.formats.lerobot import LeRobotDataset, LeRobotEpisode
    from worldloom.catalogs.formats.trajectory import Trajectory
    from worldloom.catalogs.video import VideoInfo

_STALE = "Another dataset has taken its place since it was listed; run the job again."


class PoseColumn(Strict):
    """Which column is the pose of a camera: nothing in a LeRobot dataset says so.

    Attributes:
        feature: name of the column, e.g. `observation.camera_pose`.
        form: `xyz_xyzw` is the position and a unit quaternion, scalar last; `xyz_wxyz` scalar first; `matrix` is 12 or
            16 numbers row by row.
        camera: the video that it is the camera of; may be left out where there is only one.
        intrinsics: fx fy cx cy in pixels of the stored video, or the column that has them.
        direction: what the pose is: camera to world, or world to camera.
        axes: of the camera: OpenCV's, or OpenGL's (y up, z backward).
        scale: unit of the position.
    """

    feature: str
    form: Literal["xyz_xyzw", "xyz_wxyz", "matrix"] = "xyz_xyzw"
    camera: str = ""
    intrinsics: tuple[float, float, float, float] | str
    direction: Literal["c2w", "w2c"] = "c2w"
    axes: Literal["opencv", "opengl"] = "opencv"
    scale: Literal["metric", "relative"] = "metric"


class LeRobotSource(Source):
    """Episodes of a dataset. Cameras and hands of datasets that worldloom exported are recognised by their names.

    Attributes:
        path: the dataset, with `meta/info.json`.
        cameras: videos to take, e.g. `observation.images.front`; all where not given.
        camera_pose: the column that is the pose of a camera, in datasets of others.
    """

    execution_keys: ClassVar[tuple[str, ...]] = ("cameras",)

    kind: Literal["lerobot"]
    path: Path
    cameras: tuple[str, ...] = ()
    camera_pose: PoseColumn | None = None

    def folders(self) -> dict[str, Path]:
        """The dataset."""
        return {"path": self.path}

    def gives(self) -> tuple[str, ...]:
        """Captions, and poses and hands of the episodes that have them."""
        return ("pose", "hands", "captions")

    def items(self) -> Iterator[SourceItem]:
        """One item per episode and camera, by number; a dataset that cannot be read is one item with its reason."""
        from worldloom.catalogs.formats.lerobot import read_lerobot

        source = self.model_dump(mode="json")
        try:
            dataset = read_lerobot(self.path)
            names = self._cameras_of(dataset)
        except BadInput as error:
            place = str(self.path.absolute())
            problem = (error.reason, error.sentence)
            yield plainly_named(SourceItem(source, "meta", place, self.licence, problem=problem))
            return
        # What `meta/info.json` says about the columns and the rate, but not how many episodes there are by now.
        features = {key: [one.dtype, one.shape, one.names, one.info] for key, one in dataset.features.items()}
        stamp = digest([str(dataset.fps), features])
        for episode in dataset.episodes:
            for name in names:
                yield plainly_named(self._item(source, dataset, episode, name, stamp))

    def _cameras_of(self, dataset: LeRobotDataset) -> tuple[str, ...]:
        there = dataset.video_keys
        asked = (*self.cameras, *([self.camera_pose.camera] if self.camera_pose and self.camera_pose.camera else []))
        for name in asked:
            if name not in there:
                raise BadInput("no_video", f"no video '{name}' in it, only {', '.join(there) or 'none at all'}")
        if not there:
            raise BadInput("no_video", "no feature of it is a video; pictures in Parquet are not read")
        if self.camera_pose is not None and not self.camera_pose.camera and len(there) > 1:
            remedy = "Say which one under camera_pose.camera."
            raise BadInput("bad_poses", f"camera_pose may be of any of {', '.join(there)}", remedy=remedy)
        return self.cameras or there

    def _item(
        self, source: dict[str, object], dataset: LeRobotDataset, episode: LeRobotEpisode, name: str, stamp: str
    ) -> SourceItem:
        video = episode.videos[name]
        told: dict[str, str | float | bool] = {"episode": float(episode.index), "camera": name.rpartition(".")[2]}
        task = "; ".join(dict.fromkeys(one.strip() for one in episode.tasks if one.strip()))
        told |= {key: value for key, value in (("task", task), ("robot_type", dataset.robot_type)) if value}
        missing = None if video.path.is_file() else ("no_video", f"there is no {video.path.relative_to(dataset.root)}")
        return SourceItem(
            source,
            f"episode-{episode.index:06d}/{name}",
            str(video.path),
            self.licence,
            sidecars=(str(episode.data),) if episode.data.is_file() else (),
            caption=task,
            problem=missing,
            detail={"episode": episode.index, "camera": name, "from_s": video.from_s, "frames": episode.length},
            attributes=told,
            stamp=stamp,
        )

    def footage(self, item: SourceItem, workplace: Workplace) -> Footage:
        """The episode's frames: frame i is the one at its start plus i / fps.

        Raises:
            BadInput: as `read_lerobot`.
        """
        dataset, _ = self._episode(item)
        path = Path(item.path)
        stat = path.stat()
        times = item.detail["from_s"] + np.arange(item.detail["frames"]) / float(dataset.fps)
        sha256 = _sha256(str(path), stat.st_size, stat.st_mtime_ns)
        return Footage(video=path, times_s=times, sha256=sha256, cuttable=False)

    def known(self, item: SourceItem, info: VideoInfo) -> Known:
        """Camera and hands, where columns tell them.

        Raises:
            BadInput: `no_column`, `bad_poses`, `bad_table`, or as `read_lerobot`.
        """
        from worldloom.catalogs.formats.lerobot_state import CONFIDENCE, INTRINSICS, STATE, camera_of, hands_of

        dataset, episode = self._episode(item)
        if self.camera_pose is not None:
            camera = self.camera_pose.camera or dataset.video_keys[0]
            if camera != item.detail["camera"]:
                return Known()
            return Known(trajectory=_posed(self.camera_pose, dataset, episode, info))
        columns = [name for name in (STATE, CONFIDENCE, INTRINSICS) if name in dataset.features]
        if len(dataset.video_keys) > 1 or len(columns) < 2:  # ours have one video, and say how sure they are
            return Known()
        rows = dataset.rows(episode, columns)
        size = (info.width, info.height)
        return Known(trajectory=camera_of(dataset.features, rows, size), hands=hands_of(dataset.features, rows))

    def _episode(self, item: SourceItem) -> tuple[LeRobotDataset, LeRobotEpisode]:
        stat = (self.path / "meta" / "info.json").stat()
        dataset = _dataset(str(self.path), stat.st_size, stat.st_mtime_ns)
        found = next((one for one in dataset.episodes if one.index == item.detail["episode"]), None)
        if found is None or found.length != item.detail["frames"]:
            raise BadInput("bad_table", "the episode is not what was listed", where=item.uri, remedy=_STALE)
        return dataset, found


@lru_cache(maxsize=2)
def _dataset(path: str, size: int, time_ns: int) -> LeRobotDataset:
    """A worker meets a dataset's episodes one after the other; its tables are read once."""
    from worldloom.catalogs.formats.lerobot import read_lerobot

    return read_lerobot(path)


@lru_cache(maxsize=64)
def _sha256(path: str, size: int, time_ns: int) -> str:
    return file_sha256(path)


def _posed(column: PoseColumn, dataset: LeRobotDataset, episode: LeRobotEpisode, info: VideoInfo) -> Trajectory:
    from worldloom.catalogs.cameras import rotation_from_quaternion
    from worldloom.catalogs.formats.arrays import trajectory_of_arrays

    names = [column.feature, *([column.intrinsics] if isinstance(column.intrinsics, str) else [])]
    rows = dataset.rows(episode, names)
    for name in names:
        if name not in rows:
            there = ", ".join(sorted(dataset.features))[:300]
            raise BadInput("no_column", f"no column of numbers '{name}' (there are {there})", where=episode.data)
    where = f"{episode.data.name} {column.feature}"
    values = rows[column.feature].reshape(episode.length, -1).astype(np.float64)
    wanted = (12, 16) if column.form == "matrix" else (7,)
    if values.shape[1] not in wanted:
        message = f"{values.shape[1]} numbers per frame, {' or '.join(map(str, wanted))} expected for {column.form}"
        raise BadInput("bad_poses", message, where=where)
    if column.form == "matrix":
        poses = values.reshape(episode.length, -1, 4)
    else:
        turn = values[:, 3:] if column.form == "xyz_xyzw" else values[:, [4, 5, 6, 3]]
        length = np.linalg.norm(turn, axis=1)
        posed = np.isfinite(values).all(axis=1) & (length > 0.5)  # a column cannot be empty: zeros say there is none
        poses = np.full((episode.length, 4, 4), np.nan)
        poses[posed] = np.eye(4)
        poses[posed, :3, :3] = rotation_from_quaternion(turn[posed])
        poses[posed, :3, 3] = values[posed, :3]
    intrinsics = rows[column.intrinsics] if isinstance(column.intrinsics, str) else np.array(column.intrinsics)
    arrays: Mapping[str, np.ndarray] = {"poses": poses, "intrinsics": intrinsics}
    return trajectory_of_arrays(
        arrays,
        where,
        size=(info.width, info.height),
        poses="poses",
        world_to_camera=column.direction == "w2c",
        opengl=column.axes == "opengl",
        scale=column.scale,
    )
