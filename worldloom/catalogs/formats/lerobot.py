"""LeRobot datasets, codebase v3.0: many episodes per Parquet and mp4 file, told apart by the tables in `meta/`.

    meta/info.json                                   rate, features, path templates, counts
    meta/tasks.parquet                               task (the index), task_index
    meta/stats.json                                  statistics per feature
    meta/episodes/chunk-000/file-000.parquet         a row per episode: rows of data, stretch of each video, statistics
    data/chunk-000/file-000.parquet                  a row per frame; here and in new LeRobot a row group per episode
    videos/<feature>/chunk-000/file-000.mp4          the episodes' frames one after the other

Frame i of an episode is the frame of its mp4 at `from_timestamp + i / fps`. What is read is not trusted: templates are
not given to `str.format`, nothing outside of the folder is opened, tables are measured before they are decoded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.trajectory import read_json
from worldloom.catalogs.parquet_extent import extent_problem

VERSION = "v3.0"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
"""LeRobot's templates; a dataset states the first two itself."""
DEFAULT_COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""Columns of every data file, in LeRobot's order, after the features that a dataset brings itself."""

_NUMBERS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}\Z")
_FIELD = re.compile(r"\{(\w+)(?::0?(\d)d)?\}")
_MOST_VALUES = 1 << 16
"""Numbers in one row of one feature, and names (ours)."""

_LONGEST_NAME = 255
"""Bytes of a file's name, on every usual file system."""

_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError)


@dataclass(frozen=True)
class LeRobotFeature:
    """What a column or a video is.

    Attributes:
        dtype: `video`, `image`, `string`, or numpy's name of a type of number.
        shape: of one row; (H, W, 3) or (3, H, W) of pictures.
        names: of the components, where they are told.
        info: further details as the file tells them.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    info: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class LeRobotVideo:
    """The stretch of a video file that is one camera of one episode.

    Attributes:
        path: of the mp4, absolute, inside the dataset; it may be missing.
        from_s: PTS of the first frame, seconds.
        to_s: PTS behind the last frame.
    """

    path: Path
    from_s: float
    to_s: float


@dataclass(frozen=True)
class LeRobotEpisode:
    """One episode.

    Attributes:
        index: its number.
        length: frames.
        tasks: what is done, in words.
        videos: by feature, e.g. `observation.images.front`.
        data: its Parquet file, absolute; it may be missing.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    videos: Mapping[str, LeRobotVideo]
    data: Path


@dataclass(frozen=True)
class LeRobotDataset:
    """A dataset as its `meta/` tells it.

    Attributes:
        root: its folder.
        fps: rate of all its episodes.
        features: by name.
        episodes: ordered by their numbers.
        robot_type: as written, empty where nothing is.
        tasks: by number.
    """

    root: Path
    fps: Fraction
    features: Mapping[str, LeRobotFeature]
    episodes: tuple[LeRobotEpisode, ...]
    robot_type: str = ""
    tasks: Mapping[int, str] | None = None

    @property
    def video_keys(self) -> tuple[str, ...]:
        """Features that are videos."""
        return tuple(name for name, feature in self.features.items() if feature.dtype == "video")

    def rows(self, episode: LeRobotEpisode, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """The per-frame numbers of an episode.

        Args:
            episode: one of `episodes`.
            names: features; all that are numbers where not given.

        Returns:
            (T,) or (T, ...) arrays of the features' types, row i of frame i.

        Raises:
            BadInput: `missing_file`, `bad_table`.
        """
        numbers = [name for name, feature in self.features.items() if feature.dtype in _NUMBERS]
        wanted = numbers if names is None else [name for name in names if name in numbers]
        table = _rows_of(episode, [*dict.fromkeys([*wanted, "frame_index"])])
        column = table["frame_index"]
        if column.null_count or not pa.types.is_integer(column.type):
            raise BadInput("bad_table", "frame_index is no column of whole numbers", where=episode.data)
        order = np.asarray(column.to_numpy())
        if len(order) != episode.length or (np.sort(order) != np.arange(episode.length)).any():
            message = f"episode {episode.index} has {len(order)} rows, frames 0 to {episode.length - 1} expected"
            raise BadInput("bad_table", message, where=episode.data)
        back = np.argsort(order)
        return {name: _array(table[name], self.features[name], name, episode)[back] for name in wanted}


def read_lerobot(root: Path | str) -> LeRobotDataset:
    """Read what a dataset is made of; no video and no row of data is opened yet.

    Args:
        root: the folder with `meta/`.

    Raises:
        BadInput: `not_lerobot` (no v3 dataset), `bad_table`, `no_file`: naming file and remedy.
    """
    root = Path(root).absolute()
    info_path = root / "meta" / "info.json"
    info = read_json(info_path)
    version = str(info.get("codebase_version", "")) if isinstance(info, dict) else ""
    if not version.startswith("v3."):
        remedy = "Older ones: python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=..."
        raise BadInput(
            "not_lerobot", f"codebase_version {version[:20]!r}, v3.0 expected", where=info_path, remedy=remedy
        )
    fps = info.get("fps")
    if not isinstance(fps, int | float) or not 0 < fps < 1e5:
        raise BadInput("not_lerobot", f"fps is {str(fps)[:20]!r}, a rate expected", where=info_path)
    features = {name: _feature(name, told, info_path) for name, told in _mapping(info, "features", info_path).items()}
    tasks = _read_tasks(root / "meta" / "tasks.parquet")
    videos = [name for name, feature in features.items() if feature.dtype == "video"]
    episodes: dict[int, LeRobotEpisode] = {}
    files = sorted(_inside(root, root / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise BadInput("not_lerobot", "no table of episodes", where=root / "meta" / "episodes")
    for path in files:
        for row in _episode_rows(_inside(root, path)):
            one = _episode(root, row, info, videos, tasks, path)
            if one.index in episodes:
                raise BadInput("bad_table", f"episode {one.index} comes twice", where=path)
            episodes[one.index] = one
    return LeRobotDataset(
        root=root,
        fps=Fraction(fps).limit_denominator(100_000),
        features=features,
        episodes=tuple(episodes[index] for index in sorted(episodes)),
        robot_type=str(info.get("robot_type") or "")[:200],
        tasks=tasks,
    )


def _feature(name: str, told: Any, where: Path) -> LeRobotFeature:
    shape = told.get("shape") if isinstance(told, dict) else None
    sizes = isinstance(shape, list) and len(shape) <= 5 and all(isinstance(n, int) and 0 <= n < 1 << 20 for n in shape)
    if not _NAME.match(name) or not sizes or not isinstance(told.get("dtype"), str):
        raise BadInput("not_lerobot", f"feature {name[:80]!r} has no plain name, dtype and shape", where=where)
    assert isinstance(shape, list)
    if told["dtype"] in _NUMBERS and math.prod(shape) > _MOST_VALUES:
        raise BadInput("not_lerobot", f"feature {name} has rows of {math.prod(shape)} numbers", where=where)
    details = told.get("info") or told.get("video_info")
    return LeRobotFeature(
        told["dtype"], tuple(shape), _names(told.get("names")), details if isinstance(details, dict) else None
    )


def _names(told: Any) -> tuple[str, ...]:
    """Names of components: a list, or a mapping of one list, as older tools wrote it."""
    if isinstance(told, dict) and len(told) == 1:
        told = next(iter(told.values()))
    if not isinstance(told, list) or len(told) > _MOST_VALUES or not all(isinstance(name, str) for name in told):
        return ()
    return tuple(told)


def _mapping(value: dict[str, Any], name: str, where: Path) -> dict[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise BadInput("not_lerobot", f"no mapping '{name}'", where=where)
    return found


def _read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file, measured before it is decoded."""
    if not path.is_file():
        raise BadInput("missing_file", "no such file", where=path)
    try:
        if problem := extent_problem(path):
            raise BadInput("bad_table", problem, where=path)
        table = pq.read_table(path, columns=columns, use_threads=False, memory_map=False)
        table.validate(full=True)  # a text that is none would be found out far away
        return table
    except _UNREADABLE as error:
        raise BadInput("bad_table", f"not a table that can be read ({str(error)[:200]})", where=path) from None


def _read_tasks(path: Path) -> dict[int, str]:
    """Tasks by number; the text is the index of a pandas table, under its name or without one."""
    if not path.is_file():
        return {}
    table = _read_table(path)
    texts = [name for name in ("task", "__index_level_0__") if name in table.column_names]
    numbered = "task_index" in table.column_names and pa.types.is_integer(table.schema.field("task_index").type)
    if not numbered or not texts:
        raise BadInput("bad_table", "columns task_index (whole numbers) and task expected", where=path)
    pairs = zip(table["task_index"].to_pylist(), table[texts[0]].to_pylist(), strict=True)
    return {int(number): str(text) for number, text in pairs if number is not None}


def _episode_rows(path: Path) -> list[dict[str, Any]]:
    try:
        names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
    except _UNREADABLE as error:
        raise BadInput("bad_table", f"not a table that can be read ({str(error)[:200]})", where=path) from None
    return list(_read_table(path, names).to_pylist())


def _episode(
    root: Path, row: dict[str, Any], info: dict[str, Any], keys: list[str], tasks: Mapping[int, str], where: Path
) -> LeRobotEpisode:
    try:
        index, length = int(row["episode_index"]), int(row["length"])
        told = row.get("tasks") or ()
        words = tuple(tasks.get(one, str(one)) if isinstance(one, int) else str(one)[:10_000] for one in told)
        videos = {}
        for key in keys:
            start, stop = float(row[f"videos/{key}/from_timestamp"]), float(row[f"videos/{key}/to_timestamp"])
            if not 0 <= start < stop < 1e8:
                raise ValueError(f"{key} from {start} s to {stop} s")
            videos[key] = LeRobotVideo(_path(root, info.get("video_path"), row, f"videos/{key}", key), start, stop)
        data = _path(root, info.get("data_path"), row, "data")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput("bad_table", f"a row that is no episode ({str(error)[:200]})", where=where) from None
    if not (index >= 0 and 0 < length <= 100_000_000):
        raise BadInput("bad_table", f"episode {index} of {length} frames", where=where)
    return LeRobotEpisode(index, length, words, videos, data)


def _path(root: Path, template: Any, row: Mapping[str, Any], prefix: str, key: str = "") -> Path:
    """A path template filled in; only the three fields that LeRobot knows, and never by `str.format`."""
    if not isinstance(template, str) or len(template) > 500:
        raise ValueError(f"no path template for {prefix}")
    numbers = {name: int(row[f"{prefix}/{name}"]) for name in ("chunk_index", "file_index")}

    def filled(field: re.Match[str]) -> str:
        return key if field[1] == "video_key" else f"{numbers[field[1]]:0{int(field[2] or 0)}d}"

    relative = _FIELD.sub(filled, template)
    if any(len(part.encode()) > _LONGEST_NAME for part in relative.split("/")):
        raise ValueError(f"a name of more than {_LONGEST_NAME} bytes in the path template for {prefix}")
    return _inside(root, root / relative)


def _inside(root: Path, path: Path) -> Path:
    """The path, if it stays in the dataset once links are followed.

    Raises:
        BadInput: `outside`.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        remedy = "Copy the dataset with its links followed: cp -rL."
        raise BadInput("outside", "leads out of the dataset", where=path, remedy=remedy)
    return path


def _rows_of(episode: LeRobotEpisode, columns: list[str]) -> pa.Table:
    """The rows of one episode: of the row groups that may hold it, those that do."""
    path = episode.data
    if not path.is_file():
        raise BadInput("missing_file", "no such file", where=path)
    try:
        if problem := extent_problem(path):
            raise BadInput("bad_table", problem, where=path)
        condition = pc.field("episode_index") == episode.index
        return pq.read_table(path, columns=columns, filters=condition, use_threads=False, memory_map=False)
    except _UNREADABLE as error:
        raise BadInput("bad_table", f"not a table that can be read ({str(error)[:200]})", where=path) from None


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _array(column: pa.ChunkedArray, feature: LeRobotFeature, name: str, episode: LeRobotEpisode) -> np.ndarray:
    """A column as (T, ...) numbers; lists within lists are flattened and get the feature's shape."""
    flat = column.combine_chunks()
    while _is_list(flat.type) and not flat.null_count:
        flat = flat.flatten()
    shape = (len(column), *(feature.shape if feature.shape != (1,) else ()))
    if flat.null_count or pa.types.is_nested(flat.type) or len(flat) != math.prod(shape):
        message = f"{name} of episode {episode.index} is not {' x '.join(map(str, feature.shape))} numbers per frame"
        raise BadInput("bad_table", message, where=episode.data)
    try:
        return np.asarray(flat.to_numpy(zero_copy_only=False)).astype(feature.dtype).reshape(shape)
    except (ValueError, TypeError) as error:
        raise BadInput("bad_table", f"{name} holds no numbers ({error})", where=episode.data) from None
