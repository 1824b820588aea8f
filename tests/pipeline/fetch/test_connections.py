"""Whom a download talks to: redirects, names, addresses, proxies and certificates."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.pipeline.fetch.downloads import (
    BODY,
    LOCAL,
    FakeTime,
    cut_after,
    downloader,
    refusal,
    rest,
    to,
    whole,
)
from tests.pipeline.fetch.web_server import WebServer, certificate, web_server
from worldloom.catalogs.errors import BadInput, Unreachable
from worldloom.pipeline.fetch.addresses import AddressRules
from worldloom.pipeline.fetch.client import Client, Patience
from worldloom.pipeline.fetch.download import Caps
from worldloom.pipeline.fetch.shelf import Fetched


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
