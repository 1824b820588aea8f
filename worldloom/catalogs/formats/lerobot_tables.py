"""Writing the tables of LeRobot datasets, codebase v3.0; `formats/lerobot.py` says what lies where, and reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldloom.catalogs.formats.lerobot import DATA_PATH, DEFAULT_COLUMNS, EPISODES_PATH, VERSION, VIDEO_PATH
from worldloom.catalogs.statistics import Stats, column_stats, merge_stats

CHUNK_FILES = 1000
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200
"""LeRobot's defaults: files per folder, and sizes at which the next file begins."""

_TASKS_INDEX = {
    "index_columns": ["task"],
    "column_indexes": [],
    "columns": [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
    ],
    "pandas_version": "2.0.0",
}
"""What tells pandas that the task is the index, by which LeRobot looks it up."""


@dataclass(frozen=True)
class VideoPlace:
    """Where the frames of a new episode lie.

    Attributes:
        file: number of the mp4, from 0.
        first_frame: which frame of it is the episode's first.
        stats: of its pictures.
    """

    file: int
    first_frame: int
    stats: Stats


@dataclass(frozen=True)
class NewEpisode:
    """An episode to be written.

    Attributes:
        task: what is done, in words.
        arrays: (T,) or (T, n) by feature, those of `DEFAULT_COLUMNS` left out.
        videos: by feature; the mp4 files are there already.
    """

    task: str
    arrays: Mapping[str, np.ndarray]
    videos: Mapping[str, VideoPlace]


def write_lerobot(
    root: Path, fps: Fraction, features: Mapping[str, Mapping[str, Any]], episodes: Iterable[NewEpisode]
) -> None:
    """Write all tables of a dataset; the videos are there already, under `video_file`.

    Args:
        root: its folder.
        fps: of all episodes; whole rates are written as integers, which LeRobot expects, others as decimals.
        features: as `info.json` has them: dtype, shape, names; those of `DEFAULT_COLUMNS` left out.
        episodes: consumed one by one.
    """
    writer = _DataFiles(root)
    tasks: dict[str, int] = {}
    table: list[dict[str, Any]] = []
    parts: dict[str, list[Stats]] = {}
    total = 0
    order = [name for name in (*features, *DEFAULT_COLUMNS) if features.get(name, {}).get("dtype") != "video"]
    for number, episode in enumerate(episodes):
        length = len(next(iter(episode.arrays.values())))
        columns = {
            **episode.arrays,
            "timestamp": (np.arange(length) / float(fps)).astype(np.float32),
            "frame_index": np.arange(length),
            "episode_index": np.full(length, number),
            "index": np.arange(total, total + length),
            "task_index": np.full(length, tasks.setdefault(episode.task, len(tasks))),
        }
        file = writer.write(pa.table({name: _column(columns[name]) for name in order}))
        row: dict[str, Any] = {"episode_index": number, "tasks": [episode.task], "length": length}
        row |= _at("data", file) | {"dataset_from_index": total, "dataset_to_index": total + length}
        stats = {name: column_stats(values) for name, values in columns.items()}
        for key, place in episode.videos.items():
            # Divided, never added up: sums of durations drift until the wrong frame is found.
            row |= _at(f"videos/{key}", place.file)
            row[f"videos/{key}/from_timestamp"] = float(place.first_frame / fps)
            row[f"videos/{key}/to_timestamp"] = float((place.first_frame + length) / fps)
            stats[key] = place.stats
        for name, one in stats.items():
            parts.setdefault(name, []).append(one)
            row |= {f"stats/{name}/{what}": value.tolist() for what, value in one.items()}
        table.append(row | _at("meta/episodes", 0))
        total += length
    writer.close()
    _write_meta(root, fps, features, tasks, table, parts, total)


def video_file(root: Path, key: str, file: int) -> Path:
    """Where the mp4 number `file` of a feature belongs."""
    return root / VIDEO_PATH.format(video_key=key, **_numbers(file))


def _write_meta(
    root: Path,
    fps: Fraction,
    features: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, int],
    table: list[dict[str, Any]],
    parts: Mapping[str, list[Stats]],
    frames: int,
) -> None:
    path = root / EPISODES_PATH.format(**_numbers(0))
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(table), path, compression="snappy")
    names = pa.table({"task_index": pa.array(tasks.values(), pa.int64()), "task": pa.array(tasks, pa.string())})
    pq.write_table(names.replace_schema_metadata({"pandas": json.dumps(_TASKS_INDEX)}), root / "meta" / "tasks.parquet")
    scalars = {name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in DEFAULT_COLUMNS.items()}
    columns = {**{name: dict(feature) for name, feature in features.items()}, **scalars}
    info = {
        "codebase_version": VERSION,
        "robot_type": None,
        "total_episodes": len(table),
        "total_frames": frames,
        "total_tasks": len(tasks),
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": DATA_FILE_MB,
        "video_files_size_in_mb": VIDEO_FILE_MB,
        "fps": fps.numerator if fps.denominator == 1 else float(fps),
        "splits": {"train": f"0:{len(table)}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": columns,
    }
    stats = {
        name: {what: value.tolist() for what, value in merge_stats(parts[name]).items()}
        for name in columns
        if name in parts
    }
    for name, value in (("info", info), ("stats", stats)):
        text = json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False)
        (root / "meta" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


class _DataFiles:
    """Data files of limited size, a row group per episode."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = -1
        self._writer: pq.ParquetWriter | None = None
        self._path = root

    def write(self, table: pa.Table) -> int:
        """Append the rows of an episode; the number of the file they are in."""
        if self._writer is None or self._path.stat().st_size >= DATA_FILE_MB * 1_000_000:
            self.close()
            self._file += 1
            self._path = self._root / DATA_PATH.format(**_numbers(self._file))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="snappy")
        self._writer.write_table(table)
        return self._file

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _numbers(file: int) -> dict[str, int]:
    return {"chunk_index": file // CHUNK_FILES, "file_index": file % CHUNK_FILES}


def _at(prefix: str, file: int) -> dict[str, int]:
    return {f"{prefix}/{name}": value for name, value in _numbers(file).items()}


def _column(values: np.ndarray) -> pa.Array:
    """A column as LeRobot has it: numbers, or lists of fixed length where there is more than one to a row."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return flat if len(flat) == len(values) else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
