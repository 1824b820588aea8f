from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.fetch.web_server import Asked, WebServer, web_server
from worldloom.catalogs.errors import BadInput, Unreachable, UsageError
from worldloom.pipeline.fetch.addresses import AddressRules
from worldloom.pipeline.fetch.client import Client, Patience
from worldloom.pipeline.fetch.settings import Fetching

pytest.importorskip("yt_dlp")

VIDEO = b"\0\0\0\x18ftypmp42" + bytes(5000)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as one:
        yield one


def page(source: str, extra: str = "") -> bytes:
    return f"<html><head><title>A walk</title>{extra}</head><body><video src='{source}'></video></body></html>".encode()


def site(**pages: bytes | int | str) -> Any:
    """Answers by the first part of the path: a body, a status, or where to go instead."""

    def answer(asked: Asked) -> None:
        found = pages.get(asked.target.strip("/").partition("?")[0].replace(".mp4", ""), 404)
        if isinstance(found, int):
            asked.answer(found, b"so")
        elif isinstance(found, str):
            asked.answer(302, b"", Location=found)
        else:
            asked.answer(200, found, Content_Type="video/mp4" if found == VIDEO else "text/html")

    return answer


def fetching(**values: Any) -> Fetching:
    return Fetching(fetcher="yt-dlp", allow_http=True, allow_hosts=("127.0.0.1",), retries=0, **values)


def test_the_video_of_a_page_comes_through_our_own_downloader(server: WebServer, tmp_path: Path) -> None:
    server.then(site(walk=page("/v.mp4?sig=hush"), v=VIDEO))
    found = fetching().fetch(server.url("/walk"), tmp_path, tmp_path)
    assert found.path.read_bytes() == VIDEO
    assert [asked.target for asked in server.asked] == ["/walk", "/v.mp4?sig=hush"]
    assert found.told["title"].startswith("A walk") and found.told["extractor"] == "html5"
    assert server.asked[1].headers["referer"] == server.url("/walk")
    assert not any("hush" in path.read_text() for path in tmp_path.rglob("*.json"))
    assert fetching().fetch(server.url("/walk"), tmp_path, tmp_path) == found and len(server.asked) == 2
    assert fetching(max_height=480).fetch(server.url("/walk"), tmp_path, tmp_path).sha256 == found.sha256
    assert len(server.asked) == 4, "another height may be another file"


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ({"walk": page("http://10.0.0.1/v.mp4")}, "address_refused"),
        ({"walk": page("http://[::ffff:169.254.169.254]/v.mp4")}, "address_refused"),
        ({"walk": "http://169.254.169.254/latest/"}, "address_refused"),
        ({"walk": page("/v.mp4"), "v": "http://127.0.0.2/"}, "address_refused"),
        ({"walk": "file:///etc/passwd"}, "bad_url"),
        ({"walk": page("file:///etc/passwd")}, "no_format"),
        ({"walk": "/walk"}, "bad_redirect"),
        ({"walk": 404}, "gone"),
        ({"walk": 410}, "gone"),
        ({"walk": 451}, "withheld"),
        ({"walk": page("/v.mp4")}, "gone"),
        ({"walk": b"<html>nothing here</html>"}, "bad_answer"),
        ({"walk": page("/v.m3u8"), "v.m3u8": b"#EXTM3U\n#EXTINF:5,\n/s.ts\n#EXT-X-ENDLIST\n"}, "no_format"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_dropped_with_its_reason(
    server: WebServer, tmp_path: Path, pages: dict[str, Any], reason: str
) -> None:
    server.then(site(**pages))
    with pytest.raises(BadInput) as found:
        fetching().fetch(server.url("/walk"), tmp_path, tmp_path)
    assert found.value.reason == reason, found.value
    assert all(asked.target.startswith(("/walk", "/v.m")) for asked in server.asked)


@pytest.mark.parametrize("pages", [{"walk": 503}, {"walk": 403}, {"walk": 429}, {"walk": page("/v.mp4"), "v": 403}])
def test_what_may_pass_fails_and_can_be_tried_again(server: WebServer, tmp_path: Path, pages: dict[str, Any]) -> None:
    server.then(site(**pages))
    with pytest.raises(Unreachable):
        fetching().fetch(server.url("/walk"), tmp_path, tmp_path)
    server.then(site(walk=page("/v.mp4"), v=VIDEO))
    assert fetching().fetch(server.url("/walk"), tmp_path, tmp_path).bytes == len(VIDEO)


def test_a_file_that_is_too_large_is_not_taken(server: WebServer, tmp_path: Path) -> None:
    server.then(site(walk=page("/v.mp4"), v=VIDEO))
    with pytest.raises(BadInput) as found:
        fetching(max_mb=0.001).fetch(server.url("/walk"), tmp_path, tmp_path)
    assert found.value.reason == "too_large"


def test_pages_have_a_size_and_a_time(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldloom.pipeline.fetch import pages

    client = Client(AddressRules.of(True, ["127.0.0.1"]), Patience(5, 5, 5))
    monkeypatch.setattr(pages, "_MOST_PAGE_BYTES", 100)
    server.then(site(walk=page("/v.mp4", "x" * 1000)))
    with pytest.raises(BadInput, match="a page of more than"):
        pages.find_video(server.url("/walk"), client, time.monotonic() + 60, 1080, 10**9)
    with pytest.raises(Unreachable, match="takes too long"):
        pages.find_video(server.url("/walk"), client, time.monotonic() - 1, 1080, 10**9)


def test_nothing_of_the_machine_decides_what_it_does(
    server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuration files, plugins, netrc, proxies, cookies: none of them is looked at, and nothing is started."""
    import subprocess

    from worldloom.pipeline.fetch import pages

    (tmp_path / "home" / ".config" / "yt-dlp").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "yt-dlp" / "config").write_text(
        "--exec 'touch hacked'\n--proxy http://10.0.0.1:9\n"
    )
    (tmp_path / "home" / ".netrc").write_text("machine 127.0.0.1 login me password hush\n")
    plugin = tmp_path / "home" / ".config" / "yt-dlp" / "plugins" / "bad" / "yt_dlp_plugins" / "extractor"
    plugin.mkdir(parents=True)
    (plugin / "bad.py").write_text("raise SystemExit('a plugin was loaded')\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.setenv("HTTP_PROXY", "http://10.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://10.0.0.1:9")

    def started(*arguments: object, **named: object) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", started)
    server.then(site(walk=page("/v.mp4"), v=VIDEO))
    found = fetching().fetch(server.url("/walk"), tmp_path / "downloads", tmp_path)
    assert found.bytes == len(VIDEO) and os.environ["YTDLP_NO_PLUGINS"]
    assert not {"cookie", "authorization"} & {name for asked in server.asked for name in asked.headers}
    options = pages._options(1080, 10)
    assert options["js_runtimes"] == {} and options["postprocessors"] == [] and options["cachedir"] is False


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("[youtube] abc: Video unavailable. This video has been removed by the uploader", "gone"),
        ("[youtube] abc: Video unavailable. This video is no longer available because the account was closed", "gone"),
        ("[youtube] abc: Private video. Sign in if you've been granted access to this video", "forbidden"),
        (
            "[youtube] abc: The uploader has not made this video available in your country",
            "forbidden",
        ),
        ("[youtube] abc: This video is not available due to a copyright claim", "withheld"),
        ("[youtube] abc: Join this channel to get access to members-only content", "forbidden"),
        ("[youtube] abc: Requested format is not available. Use --list-formats", "no_format"),
        ("[youtube] abc: Sign in to confirm you're not a bot", ""),
        ("[youtube] abc: Something that nobody foresaw", ""),
    ],
)
def test_what_sites_say_has_a_reason(said: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from yt_dlp.utils import DownloadError, ExtractorError

    from worldloom.pipeline.fetch import pages

    def extract_info(self: Any, url: str, download: bool) -> Any:
        error = ExtractorError(said, expected=True)
        raise DownloadError(f"ERROR: {said} https://a.org/?hush=1", (ExtractorError, error, None))

    monkeypatch.setattr(pages._Reader, "extract_info", extract_info)
    with pytest.raises((BadInput, Unreachable)) as found:
        pages.find_video("https://youtu.be/abc", Client(AddressRules()), time.monotonic() + 60, 1080, 10**9)
    assert (found.value.reason if isinstance(found.value, BadInput) else "") == reason
    assert "hush" not in str(found.value)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"_type": "playlist", "entries": []}, "bad_answer"),
        (None, "bad_answer"),
        ({"url": "https://a.org/v.mp4", "is_live": True}, "no_format"),
        ({"requested_formats": [{}, {}]}, "no_format"),
    ],
)
def test_only_one_file_of_one_video_is_taken(info: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldloom.pipeline.fetch import pages

    monkeypatch.setattr(pages._Reader, "extract_info", lambda self, url, download: info)
    with pytest.raises(BadInput) as found:
        pages.find_video("https://youtu.be/abc", Client(AddressRules()), time.monotonic() + 60, 1080, 10**9)
    assert found.value.reason == reason


def test_what_a_page_tells_is_small_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    from worldloom.pipeline.fetch import pages

    info = {
        "url": "https://media.example/v.mp4?sig=hush", "title": "t" * 9999, "uploader": "Ann", "duration": 61.5,
        "license": "Creative Commons Attribution license (reuse allowed)", "formats": [{}], "description": "long",
        "webpage_url": "https://me:hush@a.org/?token=hush", "http_headers": {"Cookie": "hush", "User-Agent": "x"},
    }  # fmt: skip
    monkeypatch.setattr(pages._Reader, "extract_info", lambda self, url, download: info)
    lead = pages.find_video("https://youtu.be/abc", Client(AddressRules()), time.monotonic() + 60, 1080, 10**9)
    assert (
        len(lead.told["title"]) == 500 and lead.told["license"].startswith("Creative") and lead.told["duration"] == 61.5
    )
    assert "hush" not in str(lead.told) and set(lead.headers) == {"User-Agent"} and "description" not in lead.told


def test_settings_that_cannot_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"sources\.0\.allow_hosts: 'http://a'"):
        Fetching(allow_hosts=("http://a",)).check_fetching("sources.0")
    monkeypatch.setattr("worldloom.pipeline.fetch.settings.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'worldloom\[yt-dlp\]'"):
        Fetching(fetcher="yt-dlp").check_fetching("sources.0")


def test_downloads_that_are_not_kept_are_gone_with_the_call(server: WebServer, tmp_path: Path) -> None:
    server.then(site(v=VIDEO))
    direct = Fetching(allow_http=True, allow_hosts=("127.0.0.1",), keep_downloads=False)
    found = direct.fetch(server.url("/v.mp4"), tmp_path / "downloads", tmp_path / "scratch")
    assert found.path.is_relative_to(tmp_path / "scratch") and not (tmp_path / "downloads").exists()
