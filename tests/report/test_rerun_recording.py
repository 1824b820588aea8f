"""A Rerun recording, read back: entities, counts, times and numbers are the clip's."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.fake_clips import FRAMES, HEIGHT, WIDTH, K, bare_clip, draw, estimated_clip, true_clip, true_poses
from worldloom.catalogs.clip import Clip, Hands
from worldloom.catalogs.encode import encode_frames
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.report.rerun_recording import about, write_recording

rerun_chunk = pytest.importorskip("rerun.chunk", reason="the extra rerun is not installed")


class Recording:
    """Rows of a recording: per entity a list of column name -> values, static ones apart."""

    def __init__(self, path: Path) -> None:
        self.reader = rerun_chunk.RrdReader(path)
        self.static: dict[str, dict[str, Any]] = defaultdict(dict)
        self.rows: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        self.timelines: set[str] = set()
        for chunk in self.reader.stream().to_chunks():
            batch = chunk.to_record_batch()
            columns = {name: batch.column(name).to_pylist() for name in batch.schema.names if "RowId" not in name}
            if chunk.is_static:
                self.static[chunk.entity_path] |= {name: values[0] for name, values in columns.items()}
                continue
            self.timelines |= set(chunk.timeline_names)
            for name, values in columns.items():
                self.rows[chunk.entity_path][name] += values

    def frames(self, entity: str) -> list[int]:
        return self.rows[entity]["frame"]

    def scalars(self, entity: str) -> list[float]:
        return [value[0] for value in self.rows[entity]["Scalars:scalars"]]


def with_hands(clip: Clip) -> Clip:
    joints = np.random.default_rng(1).uniform(0.1, 0.5, (FRAMES, 4, 3)).astype(np.float32)
    joints[10:20, 1] = np.nan
    names = ["leftHand", "leftThumbKnuckle", "leftThumbTip", "rightHand"]
    return replace(clip, hands=Hands(names, joints, np.full((FRAMES, 4), 0.5, np.float32)))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "yard.mp4"
    encode_frames(path, (draw(pose)[0] for pose in true_poses()), Fraction(16))
    return path


@pytest.fixture(scope="module")
def clip(video: Path) -> Clip:
    made = replace(with_hands(estimated_clip()), video=video)
    made.depth.frames[5] = 41  # a frame without a pose: its map has no place to stand
    return made


@pytest.fixture(scope="module")
def recording(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(write_recording(clip, tmp_path_factory.mktemp("recording") / "deep" / "clip.rrd"))


def test_everything_lies_on_frame_and_time(recording: Recording, clip: Clip) -> None:
    assert recording.timelines == {"frame", "time"}
    for entity, rows in recording.rows.items():
        seconds = [time.total_seconds() for time in rows["time"]]
        np.testing.assert_allclose(seconds, np.array(rows["frame"]) / 16, atol=1e-9, err_msg=entity)
    store = recording.reader.recordings()[0]
    assert (store.application_id, store.recording_id) == ("worldloom", clip.key)
    assert len(recording.reader.blueprints()) == 1


def test_the_camera_is_where_the_clip_says(recording: Recording, clip: Clip) -> None:
    posed = np.flatnonzero(clip.camera.valid)
    rows = recording.rows["/world/camera"]
    assert rows["frame"] == posed.tolist()
    places = np.array(rows["Transform3D:translation"])[:, 0]
    np.testing.assert_allclose(places, clip.camera.c2w[posed, :3, 3], atol=1e-6)
    columns_first = np.array(rows["Transform3D:mat3x3"])[:, 0].reshape(-1, 3, 3)
    np.testing.assert_allclose(columns_first.transpose(0, 2, 1), clip.camera.c2w[posed, :3, :3], atol=1e-6)
    strips = recording.static["/world/path/0"]["LineStrips3D:strips"]
    assert [len(strip) for strip in strips] == [40, FRAMES - 43]


def test_a_matrix_reads_as_rerun_itself_writes_it(recording: Recording, clip: Clip) -> None:
    """Depth goes through Rerun's constructor, the camera through raw columns: both must agree on the order."""
    depth, camera = recording.rows["/world/depth"], recording.rows["/world/camera"]
    where = {frame: row for row, frame in enumerate(camera["frame"])}
    of_camera = [camera["Transform3D:mat3x3"][where[frame]] for frame in depth["frame"]]
    np.testing.assert_allclose(depth["Transform3D:mat3x3"], of_camera, atol=1e-6)


def test_the_lens_is_the_clips(recording: Recording) -> None:
    lens = recording.static["/world/camera/image"]
    matrix = np.array(lens["Pinhole:image_from_camera"][0]).reshape(3, 3).T
    np.testing.assert_allclose(matrix, [[K[0], 0, K[2]], [0, K[1], K[3]], [0, 0, 1]], atol=1e-4)
    assert lens["Pinhole:resolution"][0] == [WIDTH, HEIGHT]
    right_down_forward = [3, 2, 5]  # Rerun's numbers of the directions
    assert lens["Pinhole:camera_xyz"][0] == right_down_forward


@pytest.mark.parametrize(
    ("up", "wanted"), [((0, 0, 1.0), [3, 5, 1]), ((0, -1.0, 0), [3, 2, 5]), ((0, 1.0, 0), [3, 1, 6]), (None, [3, 2, 5])]
)
def test_the_world_stands_upright(tmp_path: Path, up: Any, wanted: list[int]) -> None:
    clip = true_clip()
    clip.camera.up = None if up is None else np.array(up)
    read = Recording(write_recording(clip, tmp_path / "a.rrd"))
    assert read.static["/world"]["ViewCoordinates:xyz"][0] == wanted


def test_the_video_is_inside_and_frame_by_frame(recording: Recording, clip: Clip) -> None:
    static = recording.static["/world/camera/image/video"]
    assert bytes(static["AssetVideo:blob"][0]) == clip.video.read_bytes()
    rows = recording.rows["/world/camera/image/video"]
    assert rows["frame"] == list(range(FRAMES))
    nanoseconds = np.array(rows["VideoFrameReference:timestamp"])[:, 0]
    np.testing.assert_allclose(nanoseconds / 1e9, np.arange(FRAMES) / 16, atol=1e-4)


def test_a_reversed_clip_refers_to_its_parents_frames_backwards(tmp_path: Path, video: Path) -> None:
    clip = replace(bare_clip(), video=video.read_bytes(), frame_index=np.arange(FRAMES, dtype=np.int32)[::-1])
    rows = Recording(write_recording(clip, tmp_path / "a.rrd")).rows["/world/camera/image/video"]
    nanoseconds = np.array(rows["VideoFrameReference:timestamp"])[:, 0]
    np.testing.assert_allclose(nanoseconds / 1e9, np.arange(FRAMES)[::-1] / 16, atol=1e-4)
    with pytest.raises(BadInput, match="frame 99 is wanted of a video of 81"):
        write_recording(replace(clip, frame_index=np.array([0, 99])), tmp_path / "b.rrd")
    for lost in (b"no video at all", b"", tmp_path / "gone.mp4"):
        with pytest.raises(BadInput, match="cannot be read"):
            write_recording(replace(clip, video=lost), tmp_path / "c.rrd")
    assert [path.name for path in tmp_path.iterdir()] == ["a.rrd"]


def test_depth_stands_where_it_was_seen(recording: Recording, clip: Clip) -> None:
    wanted = [frame for frame in clip.depth.frames.tolist() if frame != 41]
    assert recording.frames("/world/depth") == wanted
    rows = recording.rows["/world/depth/image"]
    buffers = [value for value in rows["DepthImage:buffer"] if value]
    assert len(buffers) == len(wanted)
    z = np.frombuffer(bytes(buffers[0][0]), np.float32).reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(z, np.where(clip.depth.valid[0], clip.depth.z[0], 0))


def test_boxes_come_and_go(recording: Recording, clip: Clip) -> None:
    for s, number in enumerate(clip.subjects.id.tolist()):
        rows = recording.rows[f"/world/camera/image/subjects/{number}"]
        there = np.isfinite(clip.subjects.box[s]).all(axis=1)
        assert rows["frame"] == list(range(FRAMES))
        assert [len(value) for value in rows["Boxes2D:centers"]] == there.astype(int).tolist()
        centres = np.array([value[0] for value in rows["Boxes2D:centers"] if value])
        halves = np.array([value[0] for value in rows["Boxes2D:half_sizes"] if value])
        np.testing.assert_allclose(
            np.hstack([centres - halves, centres + halves]), clip.subjects.box[s, there], atol=1e-3
        )
        static = recording.static[f"/world/camera/image/subjects/{number}"]
        assert static["Boxes2D:labels"] == [f"{clip.subjects.label[s]} {number}"]


def test_hands_are_points_and_bones(recording: Recording, clip: Clip) -> None:
    rows = recording.rows["/world/camera/hands/left"]
    counts = [len(value) for value in rows["Points3D:positions"]]
    assert counts == [2 if 10 <= i < 20 else 3 for i in range(FRAMES)]
    np.testing.assert_allclose(rows["Points3D:positions"][3], clip.hands.joints[3, :3], atol=1e-6)
    strips = recording.rows["/world/camera/hands/left/bones"]["LineStrips3D:strips"]
    assert [len(value) for value in strips] == [0 if 10 <= i < 20 else 2 for i in range(FRAMES)]
    assert [len(value) for value in recording.rows["/world/camera/hands/right"]["Points3D:positions"]] == [1] * FRAMES


def test_labels_are_states_and_figures_are_series(recording: Recording, clip: Clip) -> None:
    from worldloom.catalogs.actions import MOVES

    rows = recording.rows["/labels/move"]
    states = np.full(FRAMES, "", dtype=object)
    for frame, state in zip(rows["frame"], rows["StateChange:state"], strict=True):
        states[frame:] = state[0]
    assert states.tolist() == [MOVES[label] for label in clip.actions.move]
    assert recording.frames("/labels/pose") == [0, 40, 43]
    assert recording.scalars("/series/actions/view") == clip.actions.view.astype(float).tolist()
    assert recording.scalars("/series/margins/move") == [0.0] * FRAMES
    visibility = recording.scalars("/series/visibility/4")
    np.testing.assert_allclose(visibility, clip.subjects.visibility[0], atol=1e-6)


def test_events_are_said_at_their_frames(recording: Recording, clip: Clip) -> None:
    rows = recording.rows["/events"]
    ends = [end for event in clip.events for end in (event.first_hidden, event.first_visible) if end is not None]
    assert rows["frame"] == sorted(ends)
    said = {frame: text[0] for frame, text in zip(rows["frame"], rows["TextLog:text"], strict=True)}
    assert said[60] == "exit of dog 9 (left the view, left); exit"


def test_what_stands_in_it_is_plain_text(recording: Recording) -> None:
    document = recording.static["/about"]
    assert document["TextDocument:media_type"] == ["text/plain"]
    assert "captions failed, client 1: deadline of 60 s passed, 3 attempts" in document["TextDocument:text"][0]
    clip = bare_clip()
    clip.provenance = replace(clip.provenance, uri="![x](https://x.org/y.png)")
    assert "![x](https://x.org/y.png)" in about(clip)


def test_a_clip_of_which_nothing_is_known_has_a_recording(tmp_path: Path) -> None:
    read = Recording(write_recording(bare_clip(), tmp_path / "bare.rrd"))
    assert [entity for entity in read.static if not entity.startswith("/__")] == ["/about"]
    assert not read.rows
    assert [path.name for path in tmp_path.iterdir()] == ["bare.rrd"]


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(UsageError, match=r"pip install 'worldloom\[rerun\]'"):
        write_recording(bare_clip(), tmp_path / "a.rrd")
