"""One file over HTTP: whole or not there, gone on with where that is safe, within its caps."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.pipeline.fetch.downloads import (
    BODY,
    LOCAL,
    NOW,
    FakeTime,
    cut_after,
    downloader,
    left,
    refusal,
    rest,
    status,
    to,
    whole,
)
from tests.pipeline.fetch.web_server import Asked, Script, WebServer
from worldloom.catalogs.errors import BadInput, Unreachable
from worldloom.pipeline.fetch.client import Client, Patience
from worldloom.pipeline.fetch.download import Caps, Downloader
from worldloom.pipeline.fetch.shelf import Fetched


def test_a_file_comes_whole_and_is_not_asked_for_again(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    server.then(whole)
    one = downloader(tmp_path, time)
    found = one.fetch(server.url("/a.mp4?sig=hush"))
    assert found.path.read_bytes() == BODY and found.bytes == len(BODY)
    assert found.sha256 == hashlib.sha256(BODY).hexdigest() and found.retrieved_at == "2026-05-01T12:00:00Z"
    assert one.fetch(server.url("/a.mp4?sig=hush")) == found and len(server.asked) == 1
    assert left(tmp_path) == {".video", ".json", ".lock"}
    sent = server.asked[0].headers
    assert server.asked[0].target == "/a.mp4?sig=hush" and sent["host"] == f"127.0.0.1:{server.port}"
    assert sent["user-agent"].startswith("worldloom/") and sent["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer", "range"} & set(sent)
    assert not any("hush" in path.name or "hush" in path.read_text() for path in tmp_path.rglob("*.json"))


def test_a_damaged_copy_is_fetched_again(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    server.then(whole)
    one = downloader(tmp_path, time)
    path = one.fetch(server.url()).path
    note = path.with_suffix(".json")
    for damage in (lambda: path.write_bytes(BODY[:-1] + b"x"), lambda: path.write_bytes(BODY[:5]), path.unlink,
                   note.unlink, lambda: note.write_text("{"), lambda: note.write_text("[]")):  # fmt: skip
        before = len(server.asked)
        damage()
        assert one.fetch(server.url()).path.read_bytes() == BODY and len(server.asked) == before + 1


def test_it_goes_on_where_it_broke_off(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    server.then(cut_after(100_000), lambda asked: asked.answer(503), rest)
    found = downloader(tmp_path, time).fetch(server.url())
    assert found.path.read_bytes() == BODY
    assert [asked.headers.get("range") for asked in server.asked] == [None, "bytes=100000-", "bytes=100000-"]
    assert server.asked[1].headers["if-range"] == '"one"'
    assert time.slept == [1.0, 2.0]


def test_it_goes_on_in_another_process_another_day(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    server.then(cut_after(70_000))
    with pytest.raises(Unreachable, match=r"70000 of 204800 bytes|connection broke"):
        downloader(tmp_path, time, Caps(retries=0)).fetch(server.url())
    assert {".part", ".part.json"} <= left(tmp_path)
    server.then(rest)
    assert downloader(tmp_path, time).fetch(server.url()).path.read_bytes() == BODY
    assert server.asked[0].start == 70_000


def test_a_part_that_was_whole_needs_no_server(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    """Killed between the last byte and the new name."""
    server.then(cut_after(70_000))
    one = downloader(tmp_path, time, Caps(retries=0))
    with pytest.raises(Unreachable):
        one.fetch(server.url())
    next(tmp_path.rglob("*.part")).write_bytes(BODY)
    server.then(status(500))
    assert one.fetch(server.url()).path.read_bytes() == BODY and not server.asked


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(whole, id="ignores Range"),
        pytest.param(lambda asked: rest(asked, start=50_000), id="other place"),
        pytest.param(lambda asked: rest(asked, total=999_999), id="other size"),
        pytest.param(lambda asked: rest(asked, tag='"two"'), id="other tag"),
        pytest.param(lambda asked: asked.answer(206, BODY[asked.start :], ETag='"one"'), id="no Content-Range"),
        pytest.param(lambda asked: asked.answer(206, b"x", Content_Range="bytes 9-1/x", ETag='"one"'), id="nonsense"),
        pytest.param(status(416, Content_Range="bytes */5"), id="out of range"),
    ],
)
def test_whatever_a_server_makes_of_a_range_the_file_is_right(
    server: WebServer, tmp_path: Path, time: FakeTime, second: Script
) -> None:
    server.then(cut_after(100_000), second, whole)
    assert downloader(tmp_path, time).fetch(server.url()).path.read_bytes() == BODY
    assert server.asked[1].start == 100_000
    assert all(asked.start is None for asked in server.asked[2:])


def test_a_file_that_changes_meanwhile_is_not_sewn_together(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    other = BODY[::-1]
    server.then(cut_after(100_000), lambda asked: asked.answer(200, other, ETag='"two"'))
    assert downloader(tmp_path, time).fetch(server.url()).path.read_bytes() == other


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": 'W/"weak"'}, None),
        ({"ETag": "bare"}, None),
        ({}, None),
        ({"Last-Modified": format_datetime(NOW - timedelta(days=1), usegmt=True)}, None),
        ({"Last-Modified": format_datetime(NOW - timedelta(seconds=9), usegmt=True),
          "Date": format_datetime(NOW, usegmt=True)}, None),
        ({"Last-Modified": format_datetime(NOW - timedelta(days=1), usegmt=True),
          "Date": format_datetime(NOW, usegmt=True)}, "Thu, 30 Apr 2026 12:00:00 GMT"),
    ],
)  # fmt: skip
def test_only_what_tells_states_apart_is_gone_on_with(
    server: WebServer, tmp_path: Path, time: FakeTime, headers: dict[str, str], validator: str | None
) -> None:
    told = {name.replace("-", "_"): value for name, value in headers.items()}
    server.then(lambda asked: asked.answer(200, BODY[:9], Content_Length=str(len(BODY)), **told),
                lambda asked: rest(asked, tag="") if asked.start else whole(asked))  # fmt: skip
    assert downloader(tmp_path, time).fetch(server.url()).path.read_bytes() == BODY
    assert server.asked[1].headers.get("if-range") == validator


def test_chunks_are_put_together_and_a_missing_end_is_noticed(
    server: WebServer, tmp_path: Path, time: FakeTime
) -> None:
    def chunks(end: bytes) -> Script:
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (BODY[:1000], BODY[1000:]))
        return lambda asked: asked.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + end)

    server.then(chunks(b""), chunks(b"zz\r\n"), chunks(b"0\r\n\r\n"))
    assert downloader(tmp_path, time).fetch(server.url()).path.read_bytes() == BODY
    assert len(server.asked) == 3


def test_a_server_without_lengths_ends_with_the_connection(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    server.then(lambda asked: asked.say(b"HTTP/1.0 200 OK\r\n\r\n" + BODY))
    assert downloader(tmp_path, time).fetch(server.url()).path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("code", "reason"),
    [(404, "gone"), (410, "gone"), (401, "forbidden"), (403, "forbidden"), (451, "withheld"), (400, "bad_answer"),
     (204, "bad_answer"), (206, "bad_answer"), (304, "bad_answer"), (416, "bad_answer"), (302, "bad_redirect")],
)  # fmt: skip
def test_what_is_not_there_is_dropped_with_its_reason(
    server: WebServer, tmp_path: Path, time: FakeTime, code: int, reason: str
) -> None:
    server.then(status(code))
    assert refusal(downloader(tmp_path, time), server.url()) == reason
    assert time.slept == [] and len(server.asked) == 1 and left(tmp_path) == {".lock"}


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again_and_then_fails(
    server: WebServer, tmp_path: Path, time: FakeTime, code: int
) -> None:
    server.then(status(code))
    with pytest.raises(Unreachable, match=rf"answers {code}.*attempt 5, the last"):
        downloader(tmp_path, time).fetch(server.url("/a.mp4?sig=hush"))
    assert time.slept == [1.0, 2.0, 4.0, 8.0] and len(server.asked) == 5
    server.then(status(code), whole)
    assert downloader(tmp_path, time).fetch(server.url()).bytes == len(BODY)


def test_a_servers_wish_to_wait_is_heard_within_a_cap(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    date = format_datetime(NOW + timedelta(seconds=20), usegmt=True)
    server.then(status(429, Retry_After="7"), status(503, Retry_After=date), status(503, Retry_After="soon"), whole)
    assert downloader(tmp_path, time).fetch(server.url()).bytes == len(BODY)
    assert time.slept == [7.0, 20.0, 4.0]
    server.then(status(429, Retry_After="86400"))
    with pytest.raises(Unreachable, match="86400 s of patience"):
        downloader(tmp_path, time).fetch(server.url("/b.mp4"))
    assert len(server.asked) == 1


def test_waiting_never_goes_past_the_time_that_a_file_may_take(
    server: WebServer, tmp_path: Path, time: FakeTime
) -> None:
    server.then(status(503))
    with pytest.raises(Unreachable, match="10 s are over"):
        downloader(tmp_path, time, Caps(max_seconds=10.0, retries=50)).fetch(server.url())
    assert sum(time.slept) < 10


def test_a_file_that_is_too_large_costs_nothing(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    endless = b"%x\r\n%s\r\n" % (len(BODY), BODY)

    def flood(asked: Asked) -> None:
        asked.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            while True:
                asked.say(endless)

    small = Caps(max_bytes=1_000_000)
    for script in (lambda asked: asked.answer(200, b"x", Content_Length="5000000"), flood):
        server.then(script)
        assert refusal(downloader(tmp_path, time, small), server.url()) == "too_large"
        assert left(tmp_path) == {".lock"} and len(server.asked) == 1
    # The server that says less than it sends: the rest is never read.
    server.then(lambda asked: asked.answer(200, BODY + b"more", Content_Length=str(len(BODY))))
    assert downloader(tmp_path, time, small).fetch(server.url()).path.read_bytes() == BODY


def test_a_server_that_drips_is_given_up(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    time.per_look = 20.0

    def drip(asked: Asked) -> None:
        asked.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(OSError):
            for _ in range(100_000):
                asked.say(b"x")

    server.then(drip)
    with pytest.raises(Unreachable, match=r"no speed"):
        downloader(tmp_path, time, Caps(retries=0, max_seconds=1e6, min_bytes_per_s=1e5)).fetch(server.url())


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Go on\r\n\r\n" * 3])
def test_headers_that_never_end_are_given_up(server: WebServer, tmp_path: Path, time: FakeTime, head: bytes) -> None:
    over = threading.Event()

    def trickle(asked: Asked) -> None:
        with suppress(OSError):
            asked.say(head)
            while not over.wait(0.02):
                asked.say(b"x" if head else b"")

    server.then(trickle)
    client = Client(LOCAL, Patience(5, 0.3, 5))
    with pytest.raises(Unreachable, match=r"no answer within 0.3 s|connection broke"):
        downloader(tmp_path, time, Caps(retries=0), client).fetch(server.url())
    over.set()


def test_a_body_without_end_is_cut_off_when_its_time_is_over(server: WebServer, tmp_path: Path) -> None:
    """By the real clock: the server sends a chunk's length byte by byte, and no read ever comes back."""
    over = threading.Event()

    def trickle(asked: Asked) -> None:
        with suppress(OSError):
            asked.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not over.wait(0.02):
                asked.say(b"0")

    def no_length(asked: Asked) -> None:
        with suppress(OSError):
            asked.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
            over.wait(20)

    for script in (trickle, no_length):
        server.then(script)
        one = Downloader(tmp_path, Client(LOCAL, Patience(5, 5, 20)), Caps(max_seconds=0.5, retries=3))
        with pytest.raises(Unreachable, match=r"0\.5 s"):
            one.fetch(server.url())
    over.set()


def test_silence_and_broken_answers_are_tried_again(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    over = threading.Event()
    server.then(
        lambda asked: asked.say(b"nonsense\r\n\r\n"),
        lambda asked: None,
        lambda asked: asked.say(b"HTTP/1.1 200 OK\r\nContent-Le"),
        lambda asked: asked.say(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
        lambda asked: (asked.answer(200, b"", Content_Length="9"), over.wait(20))[0],
        whole,
    )
    client = Client(LOCAL, Patience(5, 5, 0.2))
    assert downloader(tmp_path, time, Caps(retries=5), client).fetch(server.url()).path.read_bytes() == BODY
    over.set()


def test_compressed_and_empty_bodies_are_refused(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    for script in (status(200, Content_Encoding="gzip"), lambda asked: asked.answer(200)):
        server.then(script)
        assert refusal(downloader(tmp_path, time), server.url()) == "bad_answer" and len(server.asked) == 1


def test_workers_that_want_the_same_file_fetch_it_once(server: WebServer, tmp_path: Path) -> None:
    server.then(whole)
    found: list[Fetched] = []

    def fetch() -> None:
        found.append(Downloader(tmp_path, Client(LOCAL, Patience(5, 5, 5))).fetch(server.url()))

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 6 and len({one.sha256 for one in found}) == 1 and len(server.asked) == 1


def test_secrets_stand_in_no_error_and_no_file(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    secret = "/a.mp4?token=hush"
    for script in (status(404), status(500), cut_after(9), to("http://10.0.0.1/?hush=1"), to("/b?hush=2"),
                   lambda asked: asked.say(b"nonsense")):  # fmt: skip
        server.then(script)
        with pytest.raises((BadInput, Unreachable)) as found:
            downloader(tmp_path, time, Caps(retries=1)).fetch(server.url(secret))
        assert "hush" not in str(found.value) + repr(found.value.args)
    for path in tmp_path.rglob("*"):
        assert "hush" not in path.name and (path.is_dir() or b"hush" not in path.read_bytes())
    server.then(whole)
    path = downloader(tmp_path, time).fetch(server.url(secret)).path
    assert "hush" not in json.dumps(json.loads(path.with_suffix(".json").read_text()))
