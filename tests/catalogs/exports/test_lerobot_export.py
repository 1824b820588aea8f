"""Clips as a LeRobot dataset, read back by our reader; `tests/catalogs/formats/test_lerobot.py` checks the layout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.catalogs.exports.walks import HEIGHT, WIDTH, two_units, walk
from tests.catalogs.numbered_video import number_of
from worldloom.catalogs.clip import Caption, Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.exports.format import Finished
from worldloom.catalogs.exports.lerobot import ACTION, VIDEO, LeRobotExport
from worldloom.catalogs.formats.lerobot import LeRobotDataset, read_lerobot
from worldloom.catalogs.formats.lerobot_state import CONFIDENCE, STATE, camera_of, hands_of
from worldloom.catalogs.statistics import picture_histogram, picture_stats
from worldloom.catalogs.video import Frames


def exported(root: Path, clips: Sequence[Clip], **options: object) -> tuple[LeRobotDataset, Finished]:
    """As the driver does it: each clip in a folder of its own, moved together, then the last step."""
    form = LeRobotExport(**options)
    for clip in clips:
        folder = root.with_name(f"draft-{clip.key}")
        folder.mkdir(parents=True)
        form.write(clip, folder)
        for path in folder.rglob("*"):
            if path.is_file():
                goal = root / path.relative_to(folder)
                goal.parent.mkdir(parents=True, exist_ok=True)
                path.rename(goal)
    done = form.finish(root, [clip.key for clip in clips])
    return read_lerobot(root), done


def test_clips_with_hands_come_back_whole(tmp_path: Path) -> None:
    clips = [walk(0, 12, hands=True, missing=(3,)), walk(1, 9, hands=True), walk(2, 12, hands=True)]
    clips[0].attributes["task"] = "fold\nthe   cloth"
    clips[1].captions = [Caption("open the jar", "human")]
    clips[1].hands.joints[4:6, 1] = np.nan
    clips[1].hands.confidence[4:6, 1] = 0
    dataset, done = exported(tmp_path / "out", clips, task="nothing told")
    assert done.skipped == {} and done.told["kind"]["joints"] == 3 and done.told["kind"]["fps"] == "10"
    assert done.notes == {clip.key: {"episode": i} for i, clip in enumerate(clips)}
    assert [one.tasks for one in dataset.episodes] == [("fold the cloth",), ("open the jar",), ("nothing told",)]
    assert dataset.video_keys == (VIDEO,) and dataset.fps == 10
    for clip, episode in zip(clips, dataset.episodes, strict=True):
        rows = dataset.rows(episode)
        camera = camera_of(dataset.features, rows, (WIDTH, HEIGHT))
        np.testing.assert_allclose(camera.c2w, clip.camera.c2w, atol=2e-6)  # float32
        np.testing.assert_allclose(camera.camera(WIDTH, HEIGHT).intrinsics, clip.camera.intrinsics, rtol=1e-6)
        assert camera.scale == "metric"
        hands = hands_of(dataset.features, rows)
        assert hands.names == clip.hands.names
        np.testing.assert_array_equal(hands.joints, clip.hands.joints)
        np.testing.assert_array_equal(hands.confidence, clip.hands.confidence)
        np.testing.assert_array_equal(rows[ACTION][:-1], rows[STATE][1:])
        np.testing.assert_array_equal(rows[ACTION][-1], rows[STATE][-1])
        np.testing.assert_allclose(rows["timestamp"], np.arange(clip.frames) / 10, atol=1e-6)
        video = episode.videos[VIDEO]
        with Frames(video.path) as frames:
            at = np.round((video.from_s + np.arange(clip.frames) / 10) * 10).astype(int)
            np.testing.assert_allclose(frames.pts_s[at], video.from_s + np.arange(clip.frames) / 10, atol=1e-4)
            assert [number_of(picture) for picture in frames[at]] == list(range(clip.frames))
    assert not (tmp_path / "out" / ".episodes").exists()


def test_what_is_missing_is_zero_with_confidence_zero(tmp_path: Path) -> None:
    clip = walk(hands=True, missing=(3,))
    dataset, _ = exported(tmp_path / "out", [clip])
    rows = dataset.rows(dataset.episodes[0])
    assert (rows[STATE][3, :7] == 0).all() and rows[CONFIDENCE][3, 0] == 0 and (rows[CONFIDENCE][3, 1:] == 1).all()
    assert np.isfinite(rows[STATE]).all() and np.isfinite(rows[ACTION]).all()
    for name in ("stats", "info"):
        assert "NaN" not in (tmp_path / "out" / "meta" / f"{name}.json").read_text()


def test_clips_without_hands_have_discrete_actions(tmp_path: Path) -> None:
    dataset, _ = exported(tmp_path / "out", [walk()])
    rows = dataset.rows(dataset.episodes[0])
    assert dataset.features[ACTION].names == ("move", "view")
    np.testing.assert_array_equal(rows[ACTION], np.c_[np.full(12, 1), np.r_[np.full(11, 3), 9]])
    dataset, _ = exported(tmp_path / "next" / "out", [walk()], action="next_state")
    assert dataset.features[ACTION].names == dataset.features[STATE].names
    with pytest.raises(BadInput) as refused:
        exported(tmp_path / "none" / "out", [dataclasses.replace(walk(), actions=None)], action="discrete")
    assert refused.value.reason == "no_actions"


def test_hands_alone_and_frames_in_another_unit(tmp_path: Path) -> None:
    dataset, _ = exported(tmp_path / "out", [dataclasses.replace(walk(hands=True), camera=None)])
    rows = dataset.rows(dataset.episodes[0])
    assert camera_of(dataset.features, rows, (WIDTH, HEIGHT)) is None and hands_of(dataset.features, rows) is not None
    dataset, _ = exported(tmp_path / "two" / "out", [two_units(walk(), 4)])
    assert dataset.rows(dataset.episodes[0])[CONFIDENCE].tolist() == [0.0] * 4 + [1.0] * 8


def test_the_kind_of_most_clips_is_kept_and_others_are_told_apart(tmp_path: Path) -> None:
    clips = [
        walk(0, size=(128, 96)),
        walk(1),
        walk(2),
        walk(3, fps=Fraction(12)),
        walk(4, hands=True),
        walk(5, scale="relative"),
    ]
    dataset, done = exported(tmp_path / "out", clips)
    assert [one.length for one in dataset.episodes] == [12, 12]
    reasons = {key: reason for key, (reason, _) in done.skipped.items()}
    wanted = {0: "other_size", 3: "other_rate", 4: "other_columns", 5: "other_unit"}
    assert reasons == {clips[number].key: reason for number, reason in wanted.items()}
    assert done.skipped[clips[3].key][1].startswith("fps 12, most clips have 10")


def test_broken_rates_keep_their_frames(tmp_path: Path) -> None:
    fps = Fraction(30000, 1001)
    clips = [walk(number, 40, fps=fps) for number in range(5)]
    dataset, _ = exported(tmp_path / "out", clips)
    assert dataset.fps == fps
    episode = dataset.episodes[4]
    video, rows = episode.videos[VIDEO], dataset.rows(episode)
    with Frames(video.path) as frames:
        at = [int(np.abs(frames.pts_s - time).argmin()) for time in video.from_s + rows["timestamp"]]
        assert np.abs(frames.pts_s[at] - (video.from_s + rows["timestamp"])).max() < 1e-4
        assert [number_of(picture) for picture in frames[at]] == list(range(40))


def test_statistics_of_pictures_are_those_of_the_sampled_frames(tmp_path: Path) -> None:
    clip = walk(frames=12)
    exported(tmp_path / "out", [clip])
    stats = json.loads((tmp_path / "out" / "meta" / "stats.json").read_text())[VIDEO]
    with Frames(clip.video) as frames:
        wanted = picture_stats(picture_histogram(list(frames)), 12)
    assert stats["count"] == [12]
    np.testing.assert_allclose(stats["mean"], wanted["mean"], atol=0.01)  # conversions differ by a level or two
    np.testing.assert_allclose(stats["std"], wanted["std"], atol=0.01)


def test_hostile_names_and_texts_stay_texts(tmp_path: Path) -> None:
    clip = walk(hands=True)
    clip.attributes["task"] = "../../etc/passwd\x00" + "x" * 5000
    clip.hands.names = ["../a", "{0.__class__}", "c\nd"]
    dataset, _ = exported(tmp_path / "out", [clip])
    assert len(dataset.episodes[0].tasks[0]) == 2000
    assert hands_of(dataset.features, dataset.rows(dataset.episodes[0])).names == clip.hands.names
    assert {path.name for path in tmp_path.iterdir()} == {"out", f"draft-{clip.key}"}
    clip.hands.names = ["a", "a", "b"]
    with pytest.raises(BadInput) as refused:
        exported(tmp_path / "twice" / "out", [clip])
    assert refused.value.reason == "bad_hands"
