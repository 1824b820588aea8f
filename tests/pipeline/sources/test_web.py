from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.object_store import object_store
from tests.pipeline.conftest import write_video
from tests.pipeline.fetch.web_server import Asked, WebServer, web_server
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.storage import open_store
from worldloom.pipeline.funnel import RunSummary
from worldloom.pipeline.in_process import InProcess
from worldloom.pipeline.layout import Layout
from worldloom.pipeline.ledger import Entry
from worldloom.pipeline.quarantine import write_case
from worldloom.pipeline.run import run_job
from worldloom.pipeline.settings import Job
from worldloom.pipeline.sources.footage import Workplace
from worldloom.pipeline.sources.source import SourceItem
from worldloom.pipeline.sources.web import WebSource


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as one:
        yield one


def source(path: Path | str, **values: Any) -> WebSource:
    return WebSource.model_validate({"kind": "web", "list": str(path), **values})


def of_text(tmp_path: Path, text: str, **values: Any) -> list[SourceItem]:
    (tmp_path / "urls.csv").write_text(text)
    return list(source(tmp_path / "urls.csv", **values).listed())


def reasons(items: list[SourceItem]) -> list[str]:
    return [item.problem[0] if item.problem else "" for item in items]


def test_columns_reach_the_item(tmp_path: Path) -> None:
    items = of_text(
        tmp_path,
        "url,Title (en),views,lic,text,indoor\nhttps://a.org/1.mp4,A walk,12,CC0-1.0,Somebody walks,true\n"
        "https://a.org/2.mp4,,,,,\n",
        licence="CC-BY-4.0", licence_column="lic", caption_column="text",
    )  # fmt: skip
    assert items[0].attributes == {"title_en": "A walk", "views": 12.0, "indoor": True}
    assert (items[0].licence, items[0].caption, items[0].uri) == ("CC0-1.0", "Somebody walks", "https://a.org/1.mp4")
    assert (items[1].licence, items[1].caption, items[1].attributes) == ("CC-BY-4.0", "", {})


def test_every_row_is_an_item_and_every_problem_names_its_line(tmp_path: Path) -> None:
    items = of_text(
        tmp_path,
        "url\nhttps://a.org/1.mp4\n,\nnonsense\nhttps://A.org:443/1.mp4#t=5\nhttps://me:hush@a.org/\n"
        "http://a.org/2.mp4\nhttps://a.org/2.mp4\n12\nhttps://0x7f.1/\n",
    )
    assert reasons(items) == [
        "", "bad_row", "bad_url", "duplicate_url", "bad_url", "address_refused", "", "bad_url", "bad_url",
    ]  # fmt: skip
    told = [item.problem[1] for item in items if item.problem]
    assert told[2] == "it has the address that line 2 has: https://a.org/1.mp4"
    assert [item.uri for item in items[1:6]] == [f"urls.csv line {n}" for n in range(3, 8)]
    assert "allow_http" in told[4]
    assert len({item.id for item in items}) == len(items)
    assert "hush" not in "".join(map(repr, items[4:5]))


def test_addresses_that_differ_in_their_query_are_two_and_tell_no_secret(tmp_path: Path) -> None:
    items = of_text(tmp_path, "url\nhttps://a.org/v?id=1&token=hush\nhttps://a.org/v?id=2&token=hush\n")
    assert reasons(items) == ["", ""] and len({item.id for item in items}) == 2
    for item in items:
        assert item.uri.startswith("https://a.org/v?... [") and "hush" not in item.uri + item.id
    assert items[0].fingerprint() != items[1].fingerprint()


def test_addresses_whose_digests_begin_alike_are_two(tmp_path: Path) -> None:
    """These two agree in 32 bits, as some two of 100,000 do; a job that lists them would be refused as a whole."""
    items = of_text(tmp_path, "url\nhttps://a.org/v?id=120550\nhttps://a.org/v?id=169361\n")
    assert reasons(items) == ["", ""] and len({item.id for item in items}) == 2


def test_pages_of_youtube_are_known_by_their_video(tmp_path: Path) -> None:
    pytest.importorskip("yt_dlp")
    forms = [
        "https://www.youtube.com/watch?v=QShWPZxTDoE&t=5s", "https://youtu.be/QShWPZxTDoE?si=x",
        "https://m.youtube.com/shorts/QShWPZxTDoE", "https://www.youtube-nocookie.com/embed/QShWPZxTDoE",
    ]  # fmt: skip
    items = of_text(tmp_path, "url\n" + "\n".join(forms) + "\nhttps://evil-youtube.com/watch?v=QShWPZxTDoE\n",
                    fetcher="yt-dlp")  # fmt: skip
    assert reasons(items) == ["", *["duplicate_url"] * 3, ""]
    assert items[0].uri == "https://youtu.be/QShWPZxTDoE" and items[4].uri.startswith("https://evil-youtube.com/watch")


def test_a_row_keeps_its_answer_where_others_come_before_it(tmp_path: Path) -> None:
    before = of_text(tmp_path, "url,title\nhttps://a.org/1.mp4,x\n")[0]
    after = of_text(tmp_path, "url,title\nhttps://a.org/0.mp4,y\nhttps://a.org/1.mp4,x\n", max_mb=5, retries=1)[1]
    assert (before.id, before.fingerprint()) == (after.id, after.fingerprint())
    other = of_text(tmp_path, "url,title\nhttps://a.org/1.mp4,z\n")[0]
    assert before.id == other.id and before.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"list": "nowhere.csv"}, r"sources\.0\.list: no such file: nowhere\.csv"),
        ({"url_column": "ulr"}, r"sources\.0\.url_column: urls\.csv has no column 'ulr'.*url"),
        ({"licence_column": "lic"}, r"sources\.0\.licence_column"),
        ({"allow_hosts": ["http://a"]}, r"sources\.0\.allow_hosts"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    (tmp_path / "urls.csv").write_text("url,title\nhttps://a.org/1.mp4,x\n")
    with pytest.raises(UsageError, match=message):
        source(**{"path": tmp_path / "urls.csv", **values} if "list" not in values else {"path": values["list"]}).check(
            "sources.0", None, None, 60.0
        )


def test_a_list_may_lie_in_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with object_store(monkeypatch) as bucket:
        pq.write_table(pa.table({"url": ["https://a.org/1.mp4"], "scene": ["park"]}), tmp_path / "urls.parquet")
        open_store(f"{bucket}/lists").write("urls.parquet", (tmp_path / "urls.parquet").read_bytes())
        one = source(f"{bucket}/lists/urls.parquet")
        one.check("sources.0", None, None, 60.0)
        items = list(one.listed())
        assert [(item.uri, item.attributes) for item in items] == [("https://a.org/1.mp4", {"scene": "park"})]
        assert asdict(items[0])["source"]["list"] == f"{bucket}/lists/urls.parquet"
        with pytest.raises(UsageError, match="no such file"):
            source(f"{bucket}/lists/other.parquet").check("sources.0", None, None, 60.0)


def run(job: Job, **values: Any) -> RunSummary:
    with InProcess(job.execution) as engine:
        return run_job(job, engine=engine, **values)


def site(folder: Path) -> Callable[[Asked], None]:
    """Serves files of a folder, and answers 404 and 503 by name."""

    def answer(asked: Asked) -> None:
        path = folder / asked.target.partition("?")[0].strip("/")
        if path.is_file():
            asked.answer(200, path.read_bytes(), ETag=f'"{path.stat().st_size}"')
        else:
            asked.answer(503 if path.name == "busy.mp4" else 404)

    return answer


def test_a_job_over_addresses_counts_link_rot_and_keeps_the_columns(
    server: WebServer, tmp_path: Path, make_job: Callable[..., Job]
) -> None:
    videos = tmp_path / "site"
    videos.mkdir()
    write_video(videos / "a.mp4", 20, 0)
    write_video(videos / "b.mp4", 21, 1)
    (videos / "text.mp4").write_text("this is no video")
    server.then(site(videos))
    lines = [
        f"{server.url('/a.mp4?token=hush')},park,3",
        f"{server.url('/b.mp4')},office,4",
        f"{server.url('/gone.mp4')},x,0",
        f"{server.url('/busy.mp4')},x,0",
        f"{server.url('/text.mp4')},x,0",
        f"{server.url('/b.mp4')},again,0",
        "http://10.1.1.1/a.mp4,x,0",
        "nonsense,x,0",
    ]
    (tmp_path / "urls.csv").write_text("url,Scene,views\n" + "\n".join(lines) + "\n")
    web = {"kind": "web", "list": "urls.csv", "licence": "CC-BY-4.0", "allow_http": True, "allow_hosts": ["127.0.0.1"],
           "retries": 0}  # fmt: skip
    job = make_job(sources=[web], execution={"failure_budget": 0.5})
    summary = run(job)
    ingest = summary.tables[0]
    assert ingest.balanced and (ingest.inputs, ingest.ok, ingest.failed) == (8, 2, {"unreachable": 1})
    assert ingest.dropped == dict.fromkeys(("gone", "not_video", "duplicate_url", "address_refused", "bad_url"), 1)
    dataset = Path(str(summary.dataset))
    found = duckdb.sql(
        f"select attributes.scene, attributes.views, source.uri, source.licence, source.kind, source.retrieved_at "
        f"from '{next(dataset.glob('catalog-*.parquet'))}' order by 1"
    ).fetchall()
    assert [row[:2] for row in found] == [("office", 4.0), ("park", 3.0)]
    assert found[0][2] == server.url("/b.mp4") and found[1][2].startswith(server.url("/a.mp4") + "?... [")
    assert {row[3:5] for row in found} == {("CC-BY-4.0", "web")} and all(row[5].endswith("Z") for row in found)

    asked = len(server.asked)
    assert run(job).ran == {} and len(server.asked) == asked
    write_video(videos / "busy.mp4", 22, 2)
    again = run(job, retry=frozenset({"unreachable"}))
    assert again.tables[0].ok == 3 and again.tables[0].failed == {}
    kept = list((tmp_path / "out" / "downloads").rglob("*.video"))
    assert len(kept) == 4, "what is no video is kept as well: it is what the address gives"
    everything = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in everything if b"hush" in path.read_bytes() or "hush" in path.name]


def test_an_address_is_found_again_from_a_file_that_tells_no_secret(server: WebServer, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 20, 0)
    server.then(site(tmp_path))
    (tmp_path / "urls.csv").write_text(f"url\n{server.url('/a.mp4?token=hush')}\n")
    one = source(tmp_path / "urls.csv", allow_http=True, allow_hosts=["127.0.0.1"], retries=0)
    item = next(iter(one.listed()))
    evidence = {"payload": {"item": asdict(item)}, "entry": "x"}
    name = write_case(Layout(tmp_path / "out"), Entry(item.id, "ingest", "r", "s", "failed", "unreachable"), evidence)
    text = (tmp_path / "out" / name).read_text()
    assert "hush" not in text
    told = json.loads(text)["payload"]["item"]
    again = SourceItem(**{**told, "sidecars": (), "problem": None})
    place = Workplace(tmp_path / "scratch", tmp_path / "downloads")
    assert one.footage(again, place).sha256 == one.footage(item, place).sha256
    assert [asked.target for asked in server.asked] == ["/a.mp4?token=hush"]
    (tmp_path / "urls.csv").write_text("url\nhttps://a.org/\n")
    with pytest.raises(BadInput, match="no more"):
        one.footage(again, place)


def test_what_a_page_tells_reaches_the_clip_and_the_list_wins(server: WebServer, tmp_path: Path) -> None:
    pytest.importorskip("yt_dlp")
    from worldloom.catalogs.video import probe

    write_video(tmp_path / "v.mp4", 20, 0)

    def answer(asked: Asked) -> None:
        if asked.target == "/page":
            html = b"<html><head><title>A walk</title></head><video src='/v.mp4'></video></html>"
            asked.answer(200, html, Content_Type="text/html")
        else:
            asked.answer(200, (tmp_path / "v.mp4").read_bytes(), Content_Type="video/mp4")

    server.then(answer)
    (tmp_path / "urls.csv").write_text(f"url,uploader\n{server.url('/page')},Ann\n")
    one = source(tmp_path / "urls.csv", fetcher="yt-dlp", allow_http=True, allow_hosts=["127.0.0.1"])
    item = next(iter(one.listed()))
    footage = one.footage(item, Workplace(tmp_path / "scratch", tmp_path / "downloads"))
    assert footage.video is not None
    known = one.known(item, probe(footage.video))
    assert str(known.attributes["title"]).startswith("A walk") and known.attributes["site"] == "html5"
    assert "uploader" not in known.attributes and item.attributes == {"uploader": "Ann"}
