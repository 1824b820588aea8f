"""RealEstate10K by time stamps: exactly the frames that have a row, from a mirror or from the web."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import duckdb
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.catalogs.numbered_video import number_of, numbered
from tests.pipeline.fetch.web_server import Asked, WebServer, web_server
from tests.real_data import real_data
from worldloom.catalogs.cameras import invert_poses
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.formats.re10k import read_re10k
from worldloom.catalogs.sample import members_to_clip
from worldloom.catalogs.video import decode_source
from worldloom.cli import app
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.parcel import record_members, unpack_parcel
from worldloom.pipeline.passes.ingest_video import ingest_video
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Ingest, Job
from worldloom.pipeline.sources.footage import Workplace
from worldloom.pipeline.sources.realestate10k import RealEstate10KSource
from worldloom.pipeline.sources.source import SourceItem

ID = "QShWPZxTDoE"
PAGE = f"https://www.youtube.com/watch?v={ID}"


def write_video(path: Path, pts: list[int], time_base: Fraction = Fraction(1, 1000)) -> Path:
    """Every frame shows its number and lies at its PTS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = 10
        for number, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def pose_of(row: int) -> np.ndarray:
    w2c = np.eye(4)
    w2c[:3, 3] = -0.1 * row, 0.02 * row, 0.3
    return w2c


def write_txt(path: Path, times_us: list[int], url: str = PAGE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [url]
    for row, time in enumerate(times_us):
        numbers = [0.5, 0.9, 0.5, 0.5, 0, 0, *pose_of(row)[:3].ravel()]
        lines.append(" ".join([str(time), *(f"{one:.9f}" for one in numbers)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def source(folder: Path, **values: Any) -> RealEstate10KSource:
    return RealEstate10KSource.model_validate(
        {"kind": "realestate10k", "poses": folder / "poses", "videos": folder / "videos", "align": "pts", **values}
    )


def ingest(item: SourceItem, out: Path, **rules: Any) -> list[Any]:
    """The clips, each with its numbers, as ingest makes them."""
    values = Ingest.model_validate({"min_seconds": 0, "crf": 10, **rules})
    found = ingest_video({"item": asdict(item), "ingest": values.model_dump(mode="json"), "out": str(out)})
    members = unpack_parcel(found["payload"])
    clips = []
    for about in found["facts"]["clips"]:
        mine, recipe = record_members(members, about["key"])
        clip = members_to_clip(about["key"], mine)
        frames = [number_of(rgb) for _, rgb in decode_source(Layout(out).video(recipe, clip.key), 0)]
        clips.append((clip, frames))
    return clips


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("step", [1, 3])
def test_rows_pick_exactly_their_frames(tmp_path: Path, variable: bool, step: int) -> None:
    base = Fraction(1, 1000) if variable else Fraction(1, 30000)
    steps = [33, 34, 33, 40, 29, 33, 45, 25] if variable else [1001]
    pts = np.cumsum([0, *(steps[i % len(steps)] for i in range(89))]).tolist()
    write_video(tmp_path / "videos" / f"{ID}.mp4", pts, base)
    rows = list(range(20, 50, step))
    write_txt(tmp_path / "poses" / "test" / "abc.txt", [round(pts[row] * base * 10**6) + 300 for row in rows])
    (item,) = source(tmp_path, licence="CC-BY-4.0").listed()
    ((clip, numbers),) = ingest(item, tmp_path / "out")
    times = np.array([pts[row] for row in rows]) * float(base)
    shown = [rows[int(np.abs(times - pts_s).argmin())] for pts_s in clip.pts_s]
    assert numbers == shown, "each picture is that of its time"
    assert set(numbers) == set(rows) if not variable else set(numbers) <= set(rows)
    assert np.isin(np.round(clip.pts_s, 5), np.round(times, 5)).all()
    row_of = {number: row for row, number in enumerate(rows)}
    wanted = invert_poses(np.array([pose_of(row_of[number]) for number in numbers]))
    np.testing.assert_allclose(clip.camera.c2w, wanted, atol=1e-6)
    assert clip.provenance.uri == f"https://youtu.be/{ID}" and clip.attributes == {"clip_name": "test/abc"}
    assert clip.annotations["pose"].method == "source:realestate10k"


def reason_of(item: SourceItem, tmp_path: Path) -> tuple[str, str]:
    with pytest.raises(BadInput) as found:
        ingest(item, tmp_path / "out")
    return found.value.reason, str(found.value)


def test_rows_without_a_frame_have_a_reason(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / f"{ID}.mp4", [i * 40 for i in range(50)])
    poses = tmp_path / "poses"
    write_txt(poses / "a_outside.txt", [1_800_000, 1_840_000, 3_000_000])
    write_txt(poses / "b_between.txt", [400_000, 410_000, 420_000])
    write_txt(poses / "c_backwards.txt", [400_000, 360_000])
    write_txt(poses / "d_fits.txt", [400_000, 440_000, 480_000])
    items = {item.uri[0]: item for item in source(tmp_path).listed()}
    reason, said = reason_of(items["a"], tmp_path)
    assert reason == "outside_video" and "1 of 3 rows" in said and "it from 0.000 to 2.000 s" in said
    assert reason_of(items["b"], tmp_path)[0] == "no_frame_at_time"
    reason, said = reason_of(items["c"], tmp_path)
    assert reason == "bad_poses" and "row 1 is at 0.360000 s, and the row before it at 0.400000 s" in said
    assert ingest(items["d"], tmp_path / "out")[0][1] == [10, 11, 12]


def test_videos_are_found_by_their_name_on_youtube_or_that_of_the_txt(tmp_path: Path) -> None:
    poses, videos = tmp_path / "poses", tmp_path / "videos"
    for name, url in {"a": PAGE, "b": PAGE, "c": "https://youtu.be/-----------", "d": "", "e": "", "f": "",
                      "g": "https://www.youtube.com/watch?v=ambiguous__"}.items():  # fmt: skip
        write_txt(poses / f"{name}.txt", [0], url)
    for name in (f"deep/{ID}.webm", "c.mp4", "d.mp4", "x/f.mp4", "y/f.mp4", "ambiguous__.mp4", "z/ambiguous__.mkv",
                 "unused.mp4", "README"):  # fmt: skip
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        (videos / name).write_text("x")
    (poses / "README").write_text("x")
    items = list(source(tmp_path).listed())
    assert {item.uri: item.problem[0] if item.problem else Path(item.path).name for item in items} == {
        "a.txt": f"{ID}.webm", "b.txt": f"{ID}.webm", "c.txt": "c.mp4", "d.txt": "d.mp4",
        "e.txt": "no_url", "f.txt": "ambiguous_name", "g.txt": "ambiguous_name",
        "../videos/unused.mp4": "no_poses", "../videos/README": "not_recognised", "README": "not_recognised",
    }  # fmt: skip
    assert len({item.id for item in items}) == len(items)
    (videos / f"deep/{ID}.webm").unlink()
    problem = next(iter(source(tmp_path).items())).problem
    assert problem == ("no_video", f"there is no video {ID}.mp4 or a.mp4 in videos, and download is not set")


@pytest.mark.parametrize(("poses", "videos"), [(".", "."), (".", "videos"), ("poses", ".")])
def test_one_folder_may_lie_in_the_other(tmp_path: Path, poses: str, videos: str) -> None:
    write_txt(tmp_path / "poses" / "a.txt", [0])
    (tmp_path / "videos").mkdir()
    for name in (f"videos/{ID}.mp4", "videos/other.mp4", "videos/README"):
        (tmp_path / name).write_text("x")
    one = source(tmp_path, poses=tmp_path / poses, videos=tmp_path / videos)
    found = sorted(item.problem[0] if item.problem else "" for item in one.items())
    assert found == ["", "no_poses", "not_recognised"]


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as one:
        yield one


def test_what_is_not_in_the_mirror_is_fetched_once_and_reported(
    server: WebServer, tmp_path: Path, make_job: Callable[..., Job]
) -> None:
    video = write_video(tmp_path / "site" / "v.mp4", [i * 40 for i in range(60)])
    write_video(tmp_path / "videos" / f"{ID}.mp4", [i * 40 for i in range(61)])

    def site(asked: Asked) -> None:
        known = asked.target.startswith("/v.mp4?key=hush")
        asked.answer(200, video.read_bytes()) if known else asked.answer(503 if "busy" in asked.target else 404)

    server.then(site)
    poses = tmp_path / "poses"
    times = [i * 40_000 for i in range(10, 40)]
    for name in ("one", "two"):
        write_txt(poses / f"{name}.txt", times if name == "one" else times[:-5], server.url("/v.mp4?key=hush"))
    write_txt(poses / "mirrored.txt", times)
    write_txt(poses / "late.txt", [9_000_000, 9_040_000], server.url("/v.mp4?key=hush"))
    write_txt(poses / "gone.txt", times, server.url("/gone.mp4"))
    write_txt(poses / "busy.txt", times, server.url("/busy.mp4"))
    job = make_job(
        sources=[{"kind": "realestate10k", "poses": "poses", "videos": "videos", "align": "pts", "licence": "CC-BY-4.0",
                  "download": {"allow_http": True, "allow_hosts": ["127.0.0.1"], "retries": 0}}],
        execution={"failure_budget": 0.5},
    )  # fmt: skip
    with InProcess(job.execution) as engine:
        summary = run_job(job, engine=engine)
    ingest = summary.tables[0]
    assert (ingest.inputs, ingest.ok) == (6, 3), ingest
    assert ingest.dropped == {"gone": 1, "outside_video": 1} and ingest.failed == {"unreachable": 1}
    assert len([asked for asked in server.asked if asked.target.startswith("/v.mp4")]) == 1
    catalog = next(Path(str(summary.dataset)).glob("catalog-*.parquet"))
    rows = duckdb.sql(f"select attributes.clip_name, frames, source.uri from '{catalog}' order by 1").fetchall()
    assert [row[:2] for row in rows] == [("mirrored", 30), ("one", 30), ("two", 25)]
    assert rows[0][2] == f"https://youtu.be/{ID}" and rows[1][2] == rows[2][2]
    told = CliRunner().invoke(app, ["status", str(tmp_path / "out"), "--inputs", str(tmp_path / "inputs.csv")])
    assert told.exit_code == 0 and "6 inputs" in told.output, told.output
    report = duckdb.sql(
        f"select uri, status, coalesce(reason, ''), clips from '{tmp_path}/inputs.csv' order by uri"
    ).fetchall()
    assert report == [
        ("busy.txt", "failed", "unreachable", 0), ("gone.txt", "dropped", "gone", 0),
        ("late.txt", "dropped", "outside_video", 0), ("mirrored.txt", "ok", "", 1), ("one.txt", "ok", "", 1),
        ("two.txt", "ok", "", 1),
    ]  # fmt: skip
    assert "hush" not in (tmp_path / "inputs.csv").read_text()
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or path.suffix == ".video" or b"hush" not in path.read_bytes(), path


def test_settings_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    write_txt(tmp_path / "poses" / "a.txt", [0])
    (tmp_path / "videos").mkdir()
    fetch: dict[str, Any] = {"retries": 1}
    for values, message in (
        ({"align": "index", "download": fetch}, r"sources\.0\.download: .*align: pts"),
        ({"videos": None}, r"sources\.0\.videos: .*or download"),
        ({"align": "index", "videos": None}, r"sources\.0\.videos: a folder of videos is missing$"),
        ({"download": {"allow_hosts": ["http://a"]}}, r"sources\.0\.download\.allow_hosts"),
    ):
        with pytest.raises(UsageError, match=message):
            source(tmp_path, **values).check("sources.0", None, None, 60.0)
    source(tmp_path, videos=None, download=fetch).check("sources.0", None, None, 60.0)


def test_how_it_is_fetched_is_no_part_of_a_row_and_what_is_fetched_is(tmp_path: Path) -> None:
    pytest.importorskip("yt_dlp")
    write_txt(tmp_path / "poses" / "a.txt", [0])

    def fingerprint(**values: Any) -> str:
        return next(iter(source(tmp_path, videos=None, download=values).listed())).fingerprint()

    plain = fingerprint(fetcher="yt-dlp")
    assert fingerprint(fetcher="yt-dlp", retries=9, max_mb=5) == plain
    assert fingerprint(fetcher="yt-dlp", max_height=480) != plain != fingerprint()


def test_the_given_clips_are_read_by_index_as_before(tmp_path: Path) -> None:
    poses, videos = real_data("re10k", "pose_files"), real_data("re10k", "videos")
    one = RealEstate10KSource(kind="realestate10k", poses=poses, videos=videos)
    item = next(iter(one.listed()))
    assert item.settings == "" and item.detail == {} and item.attributes == {}
    values = Ingest(min_seconds=0).model_dump(mode="json")
    found = ingest_video({"item": asdict(item), "ingest": values, "out": str(tmp_path)})
    mine, _ = record_members(unpack_parcel(found["payload"]), found["facts"]["clips"][0]["key"])
    clip = members_to_clip(found["facts"]["clips"][0]["key"], mine)
    np.testing.assert_allclose(clip.camera.c2w, read_re10k(item.sidecars[0]).c2w, atol=1e-12)
    # The same txt names its video, which is not there: by time, each is a row that says so.
    reasons = {item.problem and item.problem[0] for item in source(tmp_path, poses=poses, videos=videos).items()}
    assert reasons == {None}, "each clip has the name of its txt, and is taken for the whole video"
    first = next(iter(source(tmp_path, poses=poses, videos=videos).listed()))
    with pytest.raises(BadInput) as refused:
        first_source = source(tmp_path, poses=poses, videos=videos)
        first_source.footage(first, Workplace(tmp_path, tmp_path))
    assert refused.value.reason == "outside_video"
