from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.catalogs.formats.lerobot_example import FEATURES, FPS, KEY, LENGTHS, TASKS, lerobot_dataset, state_of
from tests.catalogs.numbered_video import number_of
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.formats.lerobot import read_lerobot
from worldloom.catalogs.video import Frames


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lerobot_dataset(tmp_path_factory.mktemp("lerobot") / "set")


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root, tmp_path / "copy"))


def test_written_and_read_again(root: Path) -> None:
    dataset = read_lerobot(root)
    assert dataset.fps == FPS and dataset.video_keys == (KEY,)
    assert [one.length for one in dataset.episodes] == list(LENGTHS)
    assert [one.tasks for one in dataset.episodes] == [(task,) for task in TASKS]
    assert dataset.tasks == {0: TASKS[0], 1: TASKS[1]}
    assert dataset.features["observation.state"].names == ("a", "b", "c")
    for number, episode in enumerate(dataset.episodes):
        rows = dataset.rows(episode)
        np.testing.assert_array_equal(rows["observation.state"], state_of(number))
        np.testing.assert_array_equal(rows["grip"], np.full(LENGTHS[number], number, np.float32))
        np.testing.assert_allclose(rows["timestamp"], np.arange(LENGTHS[number]) / 10)
        assert rows["frame_index"].dtype == np.int64 and (rows["episode_index"] == number).all()


def test_stretches_of_the_video_hold_the_frames_of_their_episode(root: Path) -> None:
    dataset = read_lerobot(root)
    first = 0
    for episode in dataset.episodes:
        video = episode.videos[KEY]
        assert video.path == root / "videos" / KEY / "chunk-000" / "file-000.mp4"
        with Frames(video.path) as frames:
            wanted = video.from_s + np.arange(episode.length) / float(dataset.fps)
            at = [int(np.abs(frames.pts_s - time).argmin()) for time in wanted]
            assert np.abs(frames.pts_s[at] - wanted).max() < 1e-4  # LeRobot's tolerance
            assert [number_of(picture) for picture in frames[at]] == list(range(first, first + episode.length))
        first += episode.length
        assert video.to_s == first / 10


def test_the_tables_are_those_of_codebase_v3(root: Path) -> None:
    """Names and types as LeRobot's own writer makes them (dataset_metadata.py, dataset_writer.py, feature_utils.py)."""
    info = json.loads((root / "meta" / "info.json").read_text())
    assert list(info) == [
        "codebase_version",
        "robot_type",
        "total_episodes",
        "total_frames",
        "total_tasks",
        "chunks_size",
        "data_files_size_in_mb",
        "video_files_size_in_mb",
        "fps",
        "splits",
        "data_path",
        "video_path",
        "features",
    ]
    assert (info["codebase_version"], info["fps"], info["splits"]) == ("v3.0", 10, {"train": "0:3"})
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 14, 2)
    assert isinstance(info["fps"], int)
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert info["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    assert list(info["features"]) == [*FEATURES, "timestamp", "frame_index", "episode_index", "index", "task_index"]
    assert info["features"]["timestamp"] == {"dtype": "float32", "shape": [1], "names": None}

    data = pq.ParquetFile(root / "data" / "chunk-000" / "file-000.parquet")
    whole = {name: pa.int64() for name in ("frame_index", "episode_index", "index", "task_index")}
    assert data.schema_arrow.names == [name for name in info["features"] if name != KEY]
    assert {field.name: field.type for field in data.schema_arrow} == {
        "observation.state": pa.list_(pa.float32(), 3),
        "grip": pa.float32(),
        "timestamp": pa.float32(),
        **whole,
    }
    assert [data.metadata.row_group(i).num_rows for i in range(data.num_row_groups)] == list(LENGTHS)
    assert data.read()["index"].to_pylist() == list(range(14))
    assert data.read()["task_index"].to_pylist() == [0] * 4 + [1] * 7 + [0] * 3

    episodes = pq.read_table(root / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    names = ["min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"]
    assert set(episodes.column_names) == {
        "episode_index",
        "tasks",
        "length",
        "data/chunk_index",
        "data/file_index",
        "dataset_from_index",
        "dataset_to_index",
        *(f"videos/{KEY}/{what}" for what in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")),
        *(f"stats/{column}/{name}" for column in info["features"] for name in names),
        "meta/episodes/chunk_index",
        "meta/episodes/file_index",
    }
    assert episodes.schema.field("tasks").type == pa.list_(pa.string())
    assert episodes.schema.field(f"stats/{KEY}/mean").type == pa.list_(pa.list_(pa.list_(pa.float64())))
    assert episodes.schema.field("stats/observation.state/count").type == pa.list_(pa.int64())
    assert episodes["dataset_from_index"].to_pylist() == [0, 4, 11]
    assert episodes[f"videos/{KEY}/from_timestamp"].to_pylist() == [0.0, 0.4, 1.1]


def test_pandas_finds_a_task_by_its_text(root: Path) -> None:
    pandas = pytest.importorskip("pandas")
    tasks = pandas.read_parquet(root / "meta" / "tasks.parquet")
    assert list(tasks.columns) == ["task_index"] and tasks.index.name == "task"
    assert int(tasks.loc["open the jar"].task_index) == 1 and tasks.iloc[0].name == "fold the cloth"


def test_statistics_are_those_of_all_frames(root: Path) -> None:
    stats = json.loads((root / "meta" / "stats.json").read_text())
    state = np.concatenate([state_of(i) for i in range(3)]).astype(np.float64)
    for name, value in (("min", state.min(0)), ("max", state.max(0)), ("mean", state.mean(0)), ("std", state.std(0))):
        np.testing.assert_allclose(stats["observation.state"][name], value, rtol=1e-12)
    assert stats["observation.state"]["count"] == [14] == stats[KEY]["count"]
    assert (
        np.shape(stats[KEY]["mean"]) == (3, 1, 1) and 0 <= stats[KEY]["min"][0][0][0] < stats[KEY]["max"][0][0][0] <= 1
    )
    assert stats["index"]["min"] == [0] and stats["index"]["max"] == [13]


def test_many_episodes_go_on_in_further_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldloom.catalogs.formats.lerobot_tables.DATA_FILE_MB", 0)
    dataset = read_lerobot(lerobot_dataset(tmp_path / "set"))
    assert [one.data.name for one in dataset.episodes] == ["file-000.parquet", "file-001.parquet", "file-002.parquet"]
    np.testing.assert_array_equal(dataset.rows(dataset.episodes[1])["observation.state"], state_of(1))


def test_tables_of_other_writers_are_read(copy: Path) -> None:
    """One row group, lists of any length, the text of a task in an index without a name, names in a mapping."""
    info = json.loads((copy / "meta" / "info.json").read_text())
    info["features"]["observation.state"]["names"] = {"motors": ["a", "b", "c"]}
    info["fps"] = 30000 / 1001
    (copy / "meta" / "info.json").write_text(json.dumps(info))
    path = copy / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(path)
    state = table["observation.state"].cast(pa.list_(pa.float32()))
    pq.write_table(table.set_column(0, "observation.state", state).take(list(range(13, -1, -1))), path)
    tasks = pq.read_table(copy / "meta" / "tasks.parquet").rename_columns(["task_index", "__index_level_0__"])
    pq.write_table(tasks, copy / "meta" / "tasks.parquet")
    dataset = read_lerobot(copy)
    assert dataset.fps == Fraction(30000, 1001) and dataset.features["observation.state"].names == ("a", "b", "c")
    np.testing.assert_array_equal(dataset.rows(dataset.episodes[1])["observation.state"], state_of(1))
    assert dataset.tasks == {0: TASKS[0], 1: TASKS[1]}


def edit_info(copy: Path, **values: object) -> None:
    path = copy / "meta" / "info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def edit_episodes(copy: Path, column: str, values: list[object]) -> None:
    path = copy / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), path)


@pytest.mark.parametrize(
    ("values", "reason", "told"),
    [
        ({"codebase_version": "v2.1"}, "not_lerobot", "convert_dataset_v21_to_v30"),
        ({"fps": 0}, "not_lerobot", "fps"),
        ({"fps": "thirty"}, "not_lerobot", "fps"),
        ({"features": []}, "not_lerobot", "features"),
        ({"features": {"../x": {"dtype": "video", "shape": [1]}}}, "not_lerobot", "../x"),
        ({"features": {"x": {"dtype": "float32", "shape": [1 << 19, 1 << 19]}}}, "not_lerobot", "x"),
        ({"data_path": "../../{chunk_index:03d}.parquet"}, "outside", "out of the dataset"),
        ({"video_path": "/etc/passwd"}, "outside", "out of the dataset"),
        ({"data_path": None}, "bad_table", "template"),
        ({"data_path": "data/{unknown}.parquet"}, "bad_table", "unknown"),
    ],
)
def test_a_hostile_info_is_refused(copy: Path, values: dict[str, object], reason: str, told: str) -> None:
    edit_info(copy, **values)
    with pytest.raises(BadInput, match=told) as refused:
        read_lerobot(copy)
    assert refused.value.reason == reason


def test_a_template_is_no_format_string(copy: Path) -> None:
    edit_info(copy, data_path="data/{chunk_index.__class__}/{file_index:03d}.parquet")
    dataset = read_lerobot(copy)
    assert dataset.episodes[0].data.parent.name == "{chunk_index.__class__}"  # left as it is: no such file
    with pytest.raises(BadInput, match="no such file"):
        dataset.rows(dataset.episodes[0])


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("length", [4, -7, 3], "-7 frames"),
        ("episode_index", [0, 1, 1], "comes twice"),
        ("episode_index", [0, None, 1], "no episode"),
        (f"videos/{KEY}/from_timestamp", [0.0, 9.0, 1.0], "from 9.0 s to 1.1 s"),
        (f"videos/{KEY}/to_timestamp", [0.4, float("nan"), 1.4], "nan"),
    ],
)
def test_damaged_episodes_are_named(copy: Path, column: str, values: list[object], told: str) -> None:
    edit_episodes(copy, column, values)
    with pytest.raises(BadInput, match=told) as refused:
        read_lerobot(copy)
    assert refused.value.reason == "bad_table" and "file-000.parquet" in str(refused.value)


def test_rows_that_do_not_fit_their_episode_are_named(copy: Path) -> None:
    edit_episodes(copy, "length", [4, 6, 3])
    dataset = read_lerobot(copy)
    with pytest.raises(BadInput, match="episode 1 has 7 rows"):
        dataset.rows(dataset.episodes[1])
    path = copy / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(path)
    ragged = pa.array([[1.0] * (2 + i % 2) for i in range(14)], pa.list_(pa.float32()))
    pq.write_table(table.set_column(0, "observation.state", ragged), path)
    with pytest.raises(BadInput, match=r"observation\.state of episode 0 is not 3 numbers"):
        dataset.rows(dataset.episodes[0])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInput, match="not a table"):
        dataset.rows(dataset.episodes[0])


def test_links_out_of_the_dataset_are_not_followed(copy: Path, root: Path) -> None:
    path = copy / "data" / "chunk-000" / "file-000.parquet"
    path.unlink()
    path.symlink_to(root / "data" / "chunk-000" / "file-000.parquet")
    with pytest.raises(BadInput, match="cp -rL") as refused:
        read_lerobot(copy)
    assert refused.value.reason == "outside"
