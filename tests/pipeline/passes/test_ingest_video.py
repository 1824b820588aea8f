from __future__ import annotations

import hashlib
import zipfile
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.conftest import picture, write_video
from tests.real_data import real_data
from worldloom.catalogs.clip import Camera, Clip
from worldloom.catalogs.errors import BadInput
from worldloom.catalogs.sample import members_to_clip
from worldloom.catalogs.video import encode_frames, probe
from worldloom.pipeline.ledger import Entry, Ledger
from worldloom.pipeline.passes.given import camera_at
from worldloom.pipeline.passes.ingest_video import fit, ingest_video, stored_size
from worldloom.pipeline.settings import Ingest
from worldloom.pipeline.sources.folder import FolderSource
from worldloom.pipeline.sources.hydra import HydraSource
from worldloom.pipeline.sources.realestate10k import RealEstate10KSource
from worldloom.pipeline.sources.source import Source
from worldloom.pipeline.sources.worlds import WorldsSource
from worldloom.pipeline.workspace import Layout, record_of


def ingest_all(source: Source, out: Path, **rules: Any) -> dict[str, list[Clip] | BadInput]:
    """Clips, or why there are none, by URI."""
    found: dict[str, list[Clip] | BadInput] = {}
    values = Ingest.model_validate({"min_seconds": 0.5, **rules}).model_dump(mode="json")
    for item in source.items():
        try:
            result = ingest_video({"item": asdict(item), "ingest": values, "out": str(out)})
        except BadInput as problem:
            found[item.uri] = problem
            continue
        with Ledger(out, writable=True) as ledger:
            entry = Entry(item.id, "ingest", "recipe", "source", "ok", payload=result["payload"])
            ledger.append(entry)
        layout = Layout(out)
        found[item.uri] = [
            record_of(layout, about["key"], (entry.part, entry.row)) for about in result["facts"]["clips"]
        ]
        assert not any((out / "tmp").iterdir()), "nothing is left lying about"
    return found


def folder(path: Path) -> FolderSource:
    return FolderSource(kind="folder", path=path, licence="CC0-1.0")


def only(clips: list[Clip] | BadInput) -> Clip:
    assert isinstance(clips, list) and len(clips) == 1
    return clips[0]


def test_a_conforming_video_is_copied(videos: Path, tmp_path: Path) -> None:
    found = ingest_all(folder(videos), tmp_path)
    clip = only(found["a.mp4"])
    assert isinstance(clip.video, Path)
    recipe = Ingest(min_seconds=0.5).recipe()
    assert clip.video == tmp_path / "clips" / recipe / clip.key[:2] / f"{clip.key}.mp4"
    assert clip.video.read_bytes() == (videos / "a.mp4").read_bytes()
    assert (clip.frames, clip.fps, clip.width, clip.height) == (20, 10, 64, 48)
    assert clip.provenance.sha256 == hashlib.sha256((videos / "a.mp4").read_bytes()).hexdigest()
    assert (clip.provenance.uri, clip.provenance.licence, clip.provenance.kind) == ("a.mp4", "CC0-1.0", "folder")
    assert clip.provenance.retrieved_at.endswith("Z")
    assert clip.annotations["ingest"].notes["copied"] is True
    problem = found["notes.txt"]
    assert isinstance(problem, BadInput) and problem.reason == "not_video"
    assert str(videos) not in str(problem)


def test_another_rate_picks_the_nearest_frames(videos: Path, tmp_path: Path) -> None:
    clip = only(ingest_all(folder(videos), tmp_path, fps=5)["a.mp4"])
    assert clip.frames == 10 and clip.fps == 5
    np.testing.assert_allclose(clip.pts_s, np.arange(10) / 5, atol=1e-3)
    twice = only(ingest_all(folder(videos), tmp_path / "twice", fps=20)["a.mp4"])
    assert twice.frames == 40 and twice.key == clip.key, "how it was normalised is not in the key"
    assert set(np.round(twice.pts_s * 10)) == set(range(20))
    assert clip.annotations["ingest"].method == "encode"


def test_it_is_made_smaller_and_never_larger(videos: Path, tmp_path: Path) -> None:
    small = only(ingest_all(folder(videos), tmp_path, height=24)["a.mp4"])
    assert (small.width, small.height) == (32, 24)
    assert (probe(small.video).width, probe(small.video).height) == (32, 24)  # type: ignore[arg-type]
    same = only(ingest_all(folder(videos), tmp_path / "same", height=1000)["a.mp4"])
    assert (same.width, same.height) == (64, 48)


def test_min_seconds_is_inclusive(videos: Path, tmp_path: Path) -> None:
    assert isinstance(ingest_all(folder(videos), tmp_path, min_seconds=2.0)["a.mp4"], list)
    problem = ingest_all(folder(videos), tmp_path, min_seconds=2.05)["a.mp4"]
    assert isinstance(problem, BadInput) and problem.reason == "too_short"
    assert "2.00 s" in str(problem) and "2.05 s" in str(problem)


def test_a_long_shot_becomes_equal_parts(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "long.mp4", 50, 1)
    clips = ingest_all(folder(tmp_path / "in"), tmp_path / "out", max_seconds=2)["long.mp4"]
    assert isinstance(clips, list)
    assert [clip.frames for clip in clips] == [17, 16, 17]
    assert len({clip.key for clip in clips}) == 3
    shown = np.concatenate([np.round(clip.pts_s * 10) for clip in clips])
    np.testing.assert_array_equal(shown, np.arange(50))
    assert clips[1].provenance.operations == ("cut:17:33",)
    with clips[1].open_frames() as frames, clips[0].open_frames() as before:
        assert len(frames) == 16
        assert np.abs(frames[0].astype(int) - np.roll(before[16], 2, axis=1)).mean() < 6


def test_it_is_cut_where_the_shot_changes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shots = [picture(seed, 96, 160) for seed in (1, 2)]
    joined = [np.roll(shot, t, axis=1) for shot in shots for t in range(20)]
    encode_frames(tmp_path / "in" / "two.mp4", joined, Fraction(10))
    clips = ingest_all(folder(tmp_path / "in"), tmp_path / "out")["two.mp4"]
    assert isinstance(clips, list) and [clip.frames for clip in clips] == [20, 20]
    np.testing.assert_allclose(clips[1].provenance.span_s, (2.0, 3.9))
    whole = ingest_all(folder(tmp_path / "in"), tmp_path / "whole", shots=False)["two.mp4"]
    assert only(whole).frames == 40


def test_a_file_that_stops_in_the_middle_is_noted_or_dropped(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    whole = write_video(tmp_path / "whole.mp4", 60, 1, size=(96, 160)).read_bytes()
    (tmp_path / "in" / "half.mp4").write_bytes(whole[: len(whole) // 2])
    clip = only(ingest_all(folder(tmp_path / "in"), tmp_path / "out")["half.mp4"])
    assert 5 < clip.frames < 60
    assert clip.quality["damaged"] >= 1 and clip.annotations["ingest"].notes["damaged"] >= 1
    problem = ingest_all(folder(tmp_path / "in"), tmp_path / "out", min_seconds=5)["half.mp4"]
    assert isinstance(problem, BadInput) and problem.reason == "truncated"


def test_equal_videos_give_equal_clips(videos: Path, tmp_path: Path) -> None:
    rules = {"fps": 7, "height": 32}
    one = only(ingest_all(folder(videos), tmp_path / "one", **rules)["b.mp4"])
    two = only(ingest_all(folder(videos), tmp_path / "two", **rules)["b.mp4"])
    assert one.video != two.video
    assert one.video.read_bytes() == two.video.read_bytes()  # type: ignore[union-attr]


def test_rows_of_the_cameras_go_through_the_same_index_map(tmp_path: Path) -> None:
    found = ingest_all(
        RealEstate10KSource(
            kind="realestate10k", poses=real_data("re10k", "pose_files"), videos=real_data("re10k", "videos")
        ),
        tmp_path,
        fps=4,
        height=128,
    )
    assert len(found) == 6
    clip = only(found["0bf152ef84195293.mp4"])
    assert clip.camera is not None and len(clip.camera) == clip.frames == 8
    full = only(
        ingest_all(
            RealEstate10KSource(
                kind="realestate10k", poses=real_data("re10k", "pose_files"), videos=real_data("re10k", "videos")
            ),
            tmp_path / "full",
        )["0bf152ef84195293.mp4"]
    )
    assert full.camera is not None and full.frames == 16
    np.testing.assert_array_equal(clip.camera.c2w, full.camera.c2w[::2])
    np.testing.assert_allclose(clip.camera.intrinsics, full.camera.intrinsics[::2] / 2)
    assert full.camera.intrinsics[0, 0] == pytest.approx(0.474812461 * 384)
    assert full.annotations["pose"].method == "source:realestate10k"


def test_unreal_clips_keep_their_cameras_and_captions(tmp_path: Path) -> None:
    found = ingest_all(HydraSource(kind="hydra", path=real_data("ue5_hydra")), tmp_path, height=240)
    clip = only(found["1.mp4"])
    assert clip.frames == 77 and clip.height == 240
    assert clip.camera is not None and clip.camera.scale == "metric"
    assert clip.camera.intrinsics[0, 0] == pytest.approx(1257 / 2, rel=0.01)
    assert clip.captions[0].text.startswith("The video begins with a close-up of an individual")
    assert clip.captions[0].writer == "source:hydra"


def test_cameras_that_do_not_fit_the_video_are_refused(tmp_path: Path) -> None:
    text = (real_data("re10k", "pose_files", "0bf152ef84195293.txt")).read_text().splitlines()
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses" / "a.txt").write_text("\n".join(text[:-1]) + "\n")
    (tmp_path / "poses" / "b.txt").write_text("\n".join([*text[:3], "1 2 3"]) + "\n")
    (tmp_path / "videos").mkdir()
    for name in "ab":
        write_video(tmp_path / "videos" / f"{name}.mp4", 16, 1)
    source = RealEstate10KSource(kind="realestate10k", poses=tmp_path / "poses", videos=tmp_path / "videos")
    found = ingest_all(source, tmp_path / "out")
    a, b = found["a.mp4"], found["b.mp4"]
    assert isinstance(a, BadInput) and a.reason == "bad_poses" and "15 cameras" in str(a)
    assert isinstance(b, BadInput) and b.reason == "bad_poses"


@pytest.mark.parametrize(
    ("width", "height", "aspect", "limit", "expected"),
    [
        (64, 48, Fraction(1), None, (64, 48)),
        (64, 48, Fraction(1), 24, (32, 24)),
        (65, 49, Fraction(1), None, (64, 48)),
        (1920, 1080, Fraction(1), 480, (852, 480)),
        (720, 576, Fraction(16, 15), None, (720, 540)),
        (720, 480, Fraction(8, 9), None, (640, 480)),
    ],
)
def test_sides_are_even_and_pixels_square(
    videos: Path, width: int, height: int, aspect: Fraction, limit: int | None, expected: tuple[int, int]
) -> None:
    info = replace(probe(videos / "a.mp4"), width=width, height=height, pixel_aspect=aspect)
    assert stored_size(info, limit) == expected


def test_an_odd_row_is_cut_off_and_not_blurred() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (49, 65, 3), np.uint8)
    np.testing.assert_array_equal(fit(rgb, (64, 48)), rgb[:48, :64])
    assert fit(rgb, (32, 24)).shape == (24, 32, 3)


def test_intrinsics_follow_the_picture() -> None:
    camera = Camera.known(np.tile(np.eye(4), (4, 1, 1)), (100, 100, 32, 24))
    small = camera_at(camera, np.array([0, 0, 3]), 0.5, 0.25)
    assert len(small) == 3 and len(small.scale_group) == 3
    np.testing.assert_allclose(small.intrinsics[0], [50, 25, 16, 6])


def test_a_rendered_world_keeps_its_truth_aside(tmp_path: Path) -> None:
    settings = {"frames": 9, "width": 96, "height": 64}
    worlds = WorldsSource.model_validate({"kind": "worlds", "count": 1, "seed": 5, "settings": settings})
    clip = only(next(iter(ingest_all(worlds, tmp_path).values())))
    assert (clip.frames, clip.width, clip.height) == (9, 96, 64)
    assert clip.camera is None and clip.subjects is None and set(clip.annotations) == {"ingest"}
    with zipfile.ZipFile(tmp_path / Layout(tmp_path).truth_name(Ingest(min_seconds=0.5).recipe(), clip.key)) as parcel:
        truth = members_to_clip(clip.key, {name: parcel.read(name) for name in parcel.namelist()})
    assert truth.camera is not None and truth.camera.scale == "metric" and truth.actions is not None
    assert truth.depth is not None and truth.depth.z.shape[1:] == (64, 96)
    assert truth.provenance == clip.provenance
    told = worlds.model_copy(update={"give": ("pose",)})
    given = only(next(iter(ingest_all(told, tmp_path / "told").values())))
    assert given.key == clip.key and given.camera is not None
    np.testing.assert_array_equal(given.camera.c2w, truth.camera.c2w)
    assert given.annotations["pose"].method == "source:worlds"
