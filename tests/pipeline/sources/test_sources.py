from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.catalogs.formats.lerobot_example import lerobot_dataset
from tests.real_data import real_data
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.formats.lerobot import read_lerobot
from worldloom.catalogs.shards import write_shard
from worldloom.pipeline.ledger import wanted_rows
from worldloom.pipeline.settings import AnySource
from worldloom.pipeline.sources.folder import FolderSource
from worldloom.pipeline.sources.hydra import HydraSource
from worldloom.pipeline.sources.realestate10k import RealEstate10KSource
from worldloom.pipeline.sources.source import SourceItem
from worldloom.pipeline.sources.worlds import WorldsSource


def test_a_folder_lists_every_file_once_in_order(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", "deep/c.mp4", "deep/.hidden.mp4", ".git/d.mp4", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    source = FolderSource(kind="folder", path=tmp_path)
    assert [item.uri for item in source.items()] == ["a.mp4", "b.mp4", "notes.txt", "deep/c.mp4"]
    flat = FolderSource(kind="folder", path=tmp_path, recursive=False)
    assert [item.uri for item in flat.items()] == ["a.mp4", "b.mp4", "notes.txt"]
    assert len({item.id for item in source.items()}) == 4


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.mp4").write_text("a")
    (tmp_path / "in" / "b.mp4").write_text("b")
    (tmp_path / "in" / "out.mp4").symlink_to(tmp_path / "secret" / "a.mp4")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "inside.mp4").symlink_to(tmp_path / "in" / "b.mp4")
    source = FolderSource(kind="folder", path=tmp_path / "in")
    assert [item.uri for item in source.items()] == ["b.mp4", "inside.mp4"]


def test_links_are_followed_inside_the_folder_by_whatever_way_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.mp4").write_text("a")
    (tmp_path / "in" / "b.mp4").symlink_to("deep/a.mp4")
    (tmp_path / "in" / "deep" / "out.mp4").symlink_to("../../in-too.mp4")  # begins like the folder, and is not in it
    (tmp_path / "in-too.mp4").write_text("b")
    (tmp_path / "alias").symlink_to("in")
    for name in ("in", "alias", "alias/../in"):
        source = FolderSource(kind="folder", path=tmp_path / name)
        assert [item.uri for item in source.items()] == ["b.mp4", "deep/a.mp4"]


def test_links_that_lead_nowhere_are_listed_and_end_no_listing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("b.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    (tmp_path / "c.mp4").symlink_to("none.mp4")
    items = list(FolderSource(kind="folder", path=tmp_path).items())
    assert [item.uri for item in items] == ["a.mp4", "b.mp4", "c.mp4"]
    assert len({item.fingerprint() for item in items}) == 3


def test_a_fingerprint_follows_the_files_and_what_is_said_about_them(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("a")

    def fingerprint(licence: str = "") -> str:
        return next(iter(FolderSource(kind="folder", path=tmp_path, licence=licence).items())).fingerprint()

    before = fingerprint()
    assert fingerprint() == before
    assert fingerprint("CC0-1.0") != before
    os.utime(tmp_path / "a.mp4", (0, 0))
    assert fingerprint() != before


def test_where_a_folder_lies_is_part_of_a_rows_name_and_its_licence_is_not(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_text("a")

    def row(name: str, licence: str = "") -> str:
        return next(iter(FolderSource(kind="folder", path=tmp_path / name, licence=licence).items())).id

    assert row("one") != row("two")
    assert row("one") == row("one", "CC0-1.0")


def test_poses_without_a_video_and_a_video_without_poses_are_rows(tmp_path: Path) -> None:
    for name in ("poses/a.txt", "poses/b.txt", "videos/deep/b.mp4", "videos/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    source = RealEstate10KSource(kind="realestate10k", poses=tmp_path / "poses", videos=tmp_path / "videos")
    found = {item.uri: item for item in source.items()}
    assert list(found) == ["a.txt", "deep/b.mp4", "c.mp4"]
    assert found["a.txt"].problem == ("no_video", "there is no video a.mp4 in videos")
    assert found["c.mp4"].problem == ("no_poses", "there is no c.txt in poses")
    assert found["deep/b.mp4"].problem is None
    assert found["deep/b.mp4"].sidecars == (str(tmp_path / "poses" / "b.txt"),)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def real_estate(poses: Path, videos: Path) -> dict[str, SourceItem]:
    """Its items by URI; every file is in exactly one of them."""
    items = list(RealEstate10KSource(kind="realestate10k", poses=poses, videos=videos).items())
    named = sorted(one for item in items for one in (item.path, *item.sidecars))
    there = {str(path) for root in (poses, videos) for path in root.rglob("*") if path.is_file()}
    assert named == sorted(there)
    assert len({item.id for item in items}) == len(items)
    return {item.uri: item for item in items}


def reasons(items: Mapping[str, SourceItem]) -> dict[str, str]:
    return {uri: item.problem[0] if item.problem else "" for uri, item in items.items()}


def test_videos_of_one_name_are_never_taken_for_each_other(tmp_path: Path) -> None:
    poses, videos = tmp_path / "poses", tmp_path / "videos"
    touch(poses, "a.txt", "b.txt", "s1/c.txt", "s2/c.txt", "s1/d.txt")
    touch(videos, "s1/a.mp4", "s2/a.mp4", "a.MKV", "b.mp4", "b.webm", "s1/c.mp4", "s2/c.mp4", "s1/d.mp4", "s2/d.mp4")
    found = real_estate(poses, videos)
    assert reasons(found) == {
        **dict.fromkeys(("s1/a.mp4", "s2/a.mp4"), "no_poses"), "a.MKV": "",
        **dict.fromkeys(("b.txt", "b.mp4", "b.webm"), "ambiguous_name"),
        "s1/c.mp4": "", "s2/c.mp4": "", "s1/d.mp4": "", "s2/d.mp4": "no_poses",
    }  # fmt: skip
    for uri in ("s1/c.mp4", "s2/c.mp4", "s1/d.mp4"):
        assert found[uri].sidecars == (str((poses / uri).with_suffix(".txt")),)
    assert found["s2/d.mp4"].problem == ("no_poses", "there is no s2/d.txt in poses")
    said = "it is not clear which belong together of b.txt in poses and b.mp4 and b.webm in videos; "
    assert found["b.mp4"].problem == ("ambiguous_name", said + "give each txt the name of its video, at the same place")


def test_a_txt_that_several_videos_could_belong_to_is_given_to_none(tmp_path: Path) -> None:
    poses, videos = tmp_path / "poses", tmp_path / "videos"
    touch(poses, "a.txt", "p1/b.txt", "p2/b.txt")
    touch(videos, *(f"s{number}/a.mp4" for number in range(5)), "b.mp4")
    found = real_estate(poses, videos)
    assert set(reasons(found).values()) == {"ambiguous_name"} and len(found) == 9
    problem = found["s4/a.mp4"].problem
    assert problem and "a.txt in poses and s0/a.mp4 and s1/a.mp4 and s2/a.mp4 and 2 more in videos" in problem[1]


def test_files_that_are_neither_txt_nor_video_are_rows(tmp_path: Path) -> None:
    poses, videos = tmp_path / "poses", tmp_path / "videos"
    touch(poses, "a.txt", "README", "b.mp4")
    touch(videos, "a.mp4", "README", "b.mp4", "c.wmv", "a.txt", "deep/x.srt")
    found = reasons(real_estate(poses, videos))
    assert found.pop("a.mp4") == "" and found.pop("b.mp4") == "no_poses"
    others = {"../poses/README", "../poses/b.mp4", "../videos/a.txt", "README", "c.wmv", "deep/x.srt"}
    assert found == dict.fromkeys(others, "not_recognised")


@pytest.mark.parametrize(("poses", "videos"), [(".", "."), (".", "videos"), ("poses", "."), ("x/../poses", "link")])
def test_one_folder_may_lie_in_the_other(tmp_path: Path, poses: str, videos: str) -> None:
    (tmp_path / "x").mkdir()
    touch(tmp_path, "poses/a.txt", "videos/a.mp4", "poses/b.txt", "videos/README")
    (tmp_path / "link").symlink_to("videos")
    source = RealEstate10KSource(kind="realestate10k", poses=tmp_path / poses, videos=tmp_path / videos)
    found = {Path(item.path).name: item for item in source.items()}
    assert {name: item.problem and item.problem[0] for name, item in found.items()} == {
        "a.mp4": None, "b.txt": "no_video", "README": "not_recognised",
    }  # fmt: skip
    assert len({item.id for item in source.items()}) == len(list(source.items())) == 3


@pytest.mark.parametrize("bad", ["poses/a\udcff.txt", "poses/\udcff/b.txt", "videos/b\udcff.mp4", "videos/x\udcff"])
def test_a_name_that_is_no_text_costs_its_row_alone(tmp_path: Path, bad: str) -> None:
    touch(tmp_path, "poses/a.txt", "videos/a.mp4", "videos/b.mp4", "1.mp4", "cam1.json", bad, Path(bad).name)
    poses, videos = tmp_path / "poses", tmp_path / "videos"
    sources = [
        RealEstate10KSource(kind="realestate10k", poses=poses, videos=videos),
        HydraSource(kind="hydra", path=tmp_path),
        FolderSource(kind="folder", path=tmp_path),
    ]
    for source in sources:
        items = list(source.items())
        rows = [(item.id, "ingest", "recipe", item.fingerprint()) for item in items]
        assert wanted_rows(rows).num_rows == len(items)
        told = [item.problem[0] for item in items if item.problem]
        assert "bad_name" in told
        assert any(item.problem is None for item in items)
        for item in items:
            "".join((item.uri, item.path, *item.sidecars, *(item.problem or ()))).encode()


def test_a_source_whose_own_name_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "bad\udcff"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"sources.0.path: its name is not UTF-8: .*bad\\udcff; rename it"):
        FolderSource(kind="folder", path=folder).check("sources.0", None, None, 60.0)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp4", "deep/b.mp4")
    scandir = os.scandir

    def shut(path: str) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", shut)
    with pytest.raises(UsageError, match=r"deep: cannot be listed \(Permission denied\); make it readable"):
        list(FolderSource(kind="folder", path=tmp_path).items())


def test_cameras_of_the_real_files(tmp_path: Path) -> None:
    source = RealEstate10KSource(
        kind="realestate10k", poses=real_data("re10k", "pose_files"), videos=real_data("re10k", "videos")
    )
    items = list(source.items())
    assert len(items) == 6 and all(item.problem is None for item in items)
    assert len(source.trajectory(items[0]).c2w) == 16
    unreal = HydraSource(kind="hydra", path=real_data("ue5_hydra"))
    items = list(unreal.items())
    assert [item.uri for item in items] == ["1.mp4", "2.mp4"]
    assert items[1].caption.startswith("The video features a female character")
    assert len(unreal.trajectory(items[0]).c2w) == 77


def test_unreal_clips_without_their_other_half_are_rows(tmp_path: Path) -> None:
    for name in ("1.mp4", "cam1.json", "2.mp4", "cam10.json", "other.mp4"):
        (tmp_path / name).write_text("{}")
    source = HydraSource(kind="hydra", path=tmp_path)
    found = {item.uri: item for item in source.items()}
    assert list(found) == ["1.mp4", "2.mp4", "cam10.json", "other.mp4"]
    assert [item.problem[0] if item.problem else "" for item in found.values()] == [
        "", "no_poses", "no_video", "not_recognised",
    ]  # fmt: skip
    assert found["1.mp4"].caption == ""
    with pytest.raises(BadInput):
        source.trajectory(found["1.mp4"])


def test_every_file_beside_unreal_clips_is_a_row(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4", "cam1.json", "01.mp4", "cam01.json", "1.MP4", "caption.txt", "2/2.mp4", "2/caption.txt")
    found = {item.uri: item for item in HydraSource(kind="hydra", path=tmp_path).items()}
    assert reasons(found) == {
        "01.mp4": "", "1.mp4": "", "1.MP4": "not_recognised",
        "2/2.mp4": "not_recognised", "2/caption.txt": "not_recognised",
    }  # fmt: skip
    assert list(found)[:2] == ["01.mp4", "1.mp4"]
    problem = found["2/2.mp4"].problem
    assert problem and "make that folder a source of its own" in problem[1]


def test_worlds_are_planned_the_same_way_every_time() -> None:
    def rows(**values: object) -> list[tuple[str, str]]:
        source = WorldsSource.model_validate({"kind": "worlds", **values})
        return [(item.id, item.fingerprint()) for item in source.items()]

    four = rows(count=4, seed=3)
    assert len({name for name, _ in four}) == 4
    assert rows(count=4, seed=3) == four
    assert rows(count=4, seed=4) != four


@pytest.mark.parametrize(
    ("values", "job", "message"),
    [
        ({"count": 1}, {"fps": 15.0}, "rendered at .* frames/s and ingest.fps asks for 15"),
        ({"count": 1}, {"height": 100}, "pixels high and ingest.height allows 100"),
        ({"count": 1}, {"max_seconds": 1.0}, "lasts .* and ingest.max_seconds allows 1"),
        ({}, {}, "give one of count and plans"),
        ({"plans": "nowhere.yaml"}, {}, "no such file"),
    ],
)
def test_worlds_that_do_not_fit_the_job_are_refused(
    values: dict[str, object], job: dict[str, float], message: str
) -> None:
    source = WorldsSource.model_validate({"kind": "worlds", **values})
    with pytest.raises(UsageError, match=message):
        source.check("sources.0", **{"fps": None, "height": None, "max_seconds": 60.0, **job})  # type: ignore[arg-type]


def test_listing_more_or_fewer_changes_no_item_that_is_listed_either_way(tmp_path: Path) -> None:
    """A second of three worlds is what it was of two; another pattern of tars ingests none of them again."""

    def told(**values: Any) -> dict[str, str]:
        one = TypeAdapter(AnySource).validate_python(values)
        return {item.uri: item.fingerprint() for item in one.listed()}

    write_shard(tmp_path / "a.tar", [("one", {"json": b"{}"})])
    lerobot_dataset(tmp_path / "robot")
    key = next(iter(read_lerobot(tmp_path / "robot").video_keys))
    robot = {"kind": "lerobot", "path": tmp_path / "robot"}
    for fewer, more in (
        ({"kind": "worlds", "count": 2}, {"kind": "worlds", "count": 3}),
        ({"kind": "folder", "path": tmp_path, "recursive": False}, {"kind": "folder", "path": tmp_path}),
        ({"kind": "webdataset", "path": tmp_path, "match": "a*.tar"}, {"kind": "webdataset", "path": tmp_path}),
        ({**robot, "cameras": [key]}, robot),
    ):
        some, every = told(**fewer), told(**more)
        assert some and some == {uri: every[uri] for uri in some}, fewer
    wide = told(kind="worlds", count=2, settings={"fps": 10})
    assert not set(wide.values()) & set(told(kind="worlds", count=2).values())


class _Waited(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize(
    ("values", "pipe", "beside"),
    [
        ({"kind": "hydra"}, "caption.txt", "1.mp4"),
        ({"kind": "hm_world"}, "caption.txt", "0001/cond.mp4"),
        ({"kind": "context_as_memory", "clips": "captions"}, "captions.txt", "frames/a/0000.png"),
        ({"kind": "lerobot"}, "meta/info.json", "videos/a.mp4"),
        ({"kind": "webdataset"}, "a.tar", "b.tar"),
        ({"kind": "realestate10k", "poses": ".", "videos": ".", "align": "pts"}, "a.txt", "a.mp4"),
    ],
)
def test_no_listing_waits_at_a_pipe(tmp_path: Path, values: dict[str, Any], pipe: str, beside: str) -> None:
    """Sources are listed in the driver, where nothing has a deadline."""
    for name in (pipe, beside):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / pipe)
    (tmp_path / beside).touch()
    places = {"poses": tmp_path, "videos": tmp_path} if "poses" in values else {"path": tmp_path}

    def waited(*_: object) -> None:
        raise _Waited

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(5)
    try:
        assert list(TypeAdapter(AnySource).validate_python({**values, **places}).listed())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
