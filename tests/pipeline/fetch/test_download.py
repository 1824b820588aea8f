from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.pipeline.fetch.web_server import Asked, Script, WebServer, certificate, web_server
from worldloom.catalogs.errors import BadInput, Unreachable
from worldloom.pipeline.fetch.addresses import AddressRules
from worldloom.pipeline.fetch.client import Client, Patience
from worldloom.pipeline.fetch.download import Caps, Downloader
from worldloom.pipeline.fetch.shelf import Fetched, Timing

BODY = bytes(range(256)) * 800
NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
LOCAL = AddressRules.of(True, ["127.0.0.1"])


class FakeTime:
    """A clock that only moves when somebody sleeps, or when it is told to."""

    def __init__(self) -> None:
        self.now_s, self.slept = 1000.0, list[float]()
        self.per_look = 0.0

    def clock(self) -> float:
        self.now_s += self.per_look
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def timing(self) -> Timing:
        return Timing(self.clock, self.sleep, chance=lambda: 0.5, now=lambda: NOW)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as one:
        yield one


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def downloader(folder: Path, time: FakeTime, caps: Caps | None = None, client: Client | None = None) -> Downloader:
    return Downloader(folder, client or Client(LOCAL, Patience(5, 5, 5)), caps or Caps(), time.timing())


def whole(asked: Asked) -> None:
    asked.answer(200, BODY, ETag='"one"')


def cut_after(count: int, tag: str = '"one"') -> Script:
    return lambda asked: asked.answer(200, BODY[:count], Content_Length=str(len(BODY)), ETag=tag)


def rest(asked: Asked, *, start: int | None = None, total: int | None = None, tag: str = '"one"') -> None:
    first = asked.start if start is None else start
    assert first is not None
    total = len(BODY) if total is None else total
    asked.answer(206, BODY[first:], Content_Range=f"bytes {first}-{len(BODY) - 1}/{total}", ETag=tag)


def status(code: int, **headers: str) -> Script:
    return lambda asked: asked.answer(code, b"so", **headers)


def refusal(one: Downloader, url: str) -> str:
    with pytest.raises(BadInput) as found:
        one.fetch(url)
    return found.value.reason


def left(folder: Path) -> set[str]:
    return {path.suffix if path.suffixes != [".part", ".json"] else ".part.json" for path in folder.rglob("*.*")}


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


def to(location: str, code: int = 302) -> Script:
    return lambda asked: asked.answer(code, b"", Location=location)


def test_redirects_are_followed_three_times(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    server.then(to("/1", 301), to("2?x=1", 307), to(server.url("/3"), 308), whole)
    assert downloader(tmp_path, time).fetch(server.url()).bytes == len(BODY)
    assert [asked.target for asked in server.asked] == ["/a.mp4", "/1", "/2?x=1", "/3"]
    server.then(to("/again"))
    assert refusal(downloader(tmp_path, time), server.url("/b")) == "bad_redirect" and len(server.asked) == 4


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.2:{port}/", "address_refused"), ("http://[::ffff:7f00:2]:{port}/", "address_refused"),
        ("http://169.254.169.254/latest/meta-data/", "address_refused"), ("http://10.0.0.1/", "address_refused"),
        ("http://inner.example:{port}/", "address_refused"), ("http://127.1:{port}/", "bad_url"),
        ("file:///etc/passwd", "bad_url"), ("http://me@127.0.0.1:{port}/", "bad_url"), ("http://[", "bad_url"),
        ("http://127.0.0.1:22/", "none"),
    ],
)  # fmt: skip
def test_redirects_lead_to_nothing_inside(
    server: WebServer, tmp_path: Path, time: FakeTime, location: str, reason: str
) -> None:
    def look_up(host: str, port: int) -> list[str]:
        return ["127.0.0.2"] if host == "inner.example" else [host]

    server.then(to(location.format(port=server.port)))
    one = downloader(tmp_path, time, Caps(retries=0), Client(LOCAL, Patience(5, 5, 5), look_up))
    if reason == "none":  # listed hosts may have any port, and nobody listens there
        with pytest.raises((Unreachable, BadInput)):
            one.fetch(server.url())
    else:
        assert refusal(one, server.url()) == reason
    assert len(server.asked) == 1


def test_a_name_that_changes_its_mind_is_asked_once(server: WebServer, tmp_path: Path, time: FakeTime) -> None:
    """DNS rebinding: what was checked is what is connected to, whatever the name would lead to a moment later."""
    rules = AddressRules.of(True, ["127.0.0.1/32"])
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    looked: list[str] = []

    def look_up(host: str, port: int) -> list[str]:
        looked.append(host)
        return answers[min(len(looked), len(answers)) - 1]

    server.then(whole)
    client = Client(rules, Patience(5, 5, 5), look_up)
    assert downloader(tmp_path, time, client=client).fetch(server.url(host="rebind.example")).bytes == len(BODY)
    assert looked == ["rebind.example"] and server.asked[0].headers["host"] == f"rebind.example:{server.port}"
    assert refusal(downloader(tmp_path, time, client=client), server.url("/b", "rebind.example")) == "address_refused"
    assert len(server.asked) == 1


def test_the_address_that_was_checked_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, time: FakeTime
) -> None:
    connected: list[tuple[str, int]] = []

    def create_connection(address: tuple[str, int], *arguments: object, **named: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("urllib3.util.connection.create_connection", create_connection)
    ips = ["93.184.216.34", "2606:4700::1111"]
    client = Client(AddressRules(), look_up=lambda host, port: ips)
    with pytest.raises(Unreachable):
        downloader(tmp_path, time, Caps(retries=0), client).fetch("https://example.org/a")
    assert connected == [(ip, 443) for ip in ips]


def test_the_second_address_is_tried_where_the_first_does_not_answer(
    server: WebServer, tmp_path: Path, time: FakeTime
) -> None:
    server.then(whole)
    rules = AddressRules.of(True, ["127.0.0.0/8"])
    client = Client(rules, Patience(5, 5, 5), lambda host, port: ["127.0.0.9", "127.0.0.1"])
    assert downloader(tmp_path, time, client=client).fetch(server.url(host="two.example")).bytes == len(BODY)


def test_ipv6_is_spoken(tmp_path: Path, time: FakeTime) -> None:
    try:
        with web_server(family=socket.AF_INET6) as server:
            server.then(whole)
            client = Client(AddressRules.of(True, ["::1"]), Patience(5, 5, 5))
            assert downloader(tmp_path, time, client=client).fetch(server.url(host="[::1]")).bytes == len(BODY)
            assert server.asked[0].headers["host"] == f"[::1]:{server.port}"
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine ({error})")


def test_proxies_of_the_environment_are_not_used(
    server: WebServer, tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    server.then(whole)
    assert downloader(tmp_path, time).fetch(server.url()).bytes == len(BODY)
    assert server.asked[0].target == "/a.mp4"


def test_certificates_are_held_to_the_name(tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    tls, authority = certificate(tmp_path, "good.example")
    seen: list[str | None] = []
    tls.sni_callback = lambda line, name, context: seen.append(name)
    rules = AddressRules.of(False, ["127.0.0.1"])
    with web_server(tls) as server:
        server.then(whole)

        def fetch(host: str, path: str = "/a.mp4") -> Fetched:
            client = Client(rules, Patience(5, 5, 5), lambda host, port: ["127.0.0.1"])
            return downloader(tmp_path / "downloads", time, client=client).fetch(server.url(path, host))

        with pytest.raises(BadInput, match="certificate does not hold"):
            fetch("good.example")  # nobody knows its authority
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        with pytest.raises(BadInput) as found:
            fetch("other.example")
        assert found.value.reason == "bad_certificate"
        with pytest.raises(BadInput):
            fetch("127.0.0.1")  # the address that is connected to is no name of the certificate
        assert not server.asked
        assert fetch("good.example").path.read_bytes() == BODY
        assert seen == ["good.example", "other.example", None, "good.example"]
        # Cut in the middle of an encrypted body, and led from here to where nothing is encrypted.
        server.then(cut_after(90_000), rest)
        assert fetch("good.example", "/b.mp4").path.read_bytes() == BODY and len(server.asked) == 2
        server.then(to("http://127.0.0.1:9/"))
        client = Client(AddressRules.of(True, ["127.0.0.1"]), Patience(5, 5, 5), lambda host, port: ["127.0.0.1"])
        one = downloader(tmp_path / "downloads", time, client=client)
        assert refusal(one, server.url("/down", "good.example")) == "address_refused"


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
