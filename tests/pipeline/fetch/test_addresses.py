from __future__ import annotations

import socket

import pytest

from worldloom.catalogs.errors import BadInput, Unreachable, UsageError
from worldloom.pipeline.fetch.addresses import (
    AddressRules,
    addresses_behind,
    join_address,
    parse_address,
    refusal,
    resolve,
)

OPEN = AddressRules.of(True, [])


def refused(url: str, rules: AddressRules = OPEN) -> str:
    with pytest.raises(BadInput) as found:
        parse_address(url, rules)
    return found.value.reason


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://Example.org", "https://example.org/"),
        ("HTTPS://example.org:443/a.mp4?x=1#t", "https://example.org/a.mp4?x=1"),
        ("http://example.org:80/a b.mp4", "http://example.org/a%20b.mp4"),
        ("https://example.org./a%20b.mp4", "https://example.org/a%20b.mp4"),
        ("https://b\u00fccher.example/\u00e9", "https://xn--bcher-kva.example/%C3%A9"),
        ("https://example\u3002org/", "https://example.org/"),
        ("https://[2001:DB8:0::1]:8443/a", "https://[2001:db8::1]:8443/a"),
        ("https://93.184.216.34/a", "https://93.184.216.34/a"),
        ("  https://example.org/a?b=c%2Fd&e=f/g  ", "https://example.org/a?b=c%2Fd&e=f/g"),
    ],
)
def test_an_address_has_one_form(text: str, url: str) -> None:
    address = parse_address(text, OPEN)
    assert address.url == url
    assert parse_address(url, OPEN) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "a.mp4", "//example.org/a", "ftp://example.org/a", "file:///etc/passwd", "data:video/mp4;base64,AA",
        "https:///a", "https://", "https://user@example.org/", "https://user:word@example.org/",
        "https://example.org@10.0.0.1/", "https://example.org\\@10.0.0.1/", "https://10.0.0.1\t.example.org/",
        "https://exa mple.org/", "https://example.org\r\nHost: 10.0.0.1/", "https://example.org:port/",
        "https://example.org:99999/", "https://[::1", "https://[::1%25eth0]/", "https://[fe80::1%eth0]/",
        "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/",
        "https://127.0.0.1.0x0/", "https://017700000001/", "https://1.2.3.4.5/", "https://256.1.1.1/", "https://1.2.3.04/",
        "https://-a.org/", "https://a..org/", "https://" + "a" * 64 + ".org/", "https://" + "a." * 130 + "org/",
        "https://stra\u00dfe.example/", "https://a\u200db.example/", "https://example.org/" + "a" * 9000,
        "https://%31%32%37.0.0.1/", "https://ex%61mple.org/", "https://\uff11\uff12\uff17.1/",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    assert refused(text) == "bad_url"


def test_digits_of_other_scripts_are_the_number_that_they_look_like() -> None:
    address = parse_address("https://\uff11\uff12\uff17\u3002\uff10.0.1/", OPEN)
    assert address.host == "127.0.0.1"
    with pytest.raises(BadInput, match="not of the open internet"):
        addresses_behind(address, OPEN, resolve)


def test_http_and_low_ports_are_for_those_who_ask_for_them() -> None:
    assert refused("http://example.org/", AddressRules()) == "address_refused"
    for port in (22, 25, 443 - 1, 1023):
        assert refused(f"https://example.org:{port}/") == "address_refused"
    assert parse_address("https://example.org:8443/", AddressRules()).port == 8443
    assert parse_address("https://example.org:25/", AddressRules.of(False, ["example.org"])).port == 25
    assert parse_address("https://10.1.2.3:25/", AddressRules.of(False, ["10.0.0.0/8"])).port == 25


INNER = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.127.255.255", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "ff0e::1", "2001:db8::1", "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0:5ef5:79fb:0:59f:a5ff:fffe", "2600::5efe:10.0.0.1",
    "2600::200:5efe:192.168.0.1", "5f00::1", "4000::1", "fec0::1", "no address",
]  # fmt: skip


@pytest.mark.parametrize("ip", INNER)
def test_inner_addresses_are_refused_in_every_form(ip: str) -> None:
    assert refusal(ip, OPEN)
    with pytest.raises(BadInput) as found:
        addresses_behind(parse_address("https://example.org/", OPEN), OPEN, lambda host, port: ["93.184.216.34", ip])
    assert found.value.reason == "address_refused" and "allow_hosts" in found.value.remedy


@pytest.mark.parametrize(
    "ip", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1", "2600::5efe:1.1.1.1"]
)
def test_the_open_internet_is_not(ip: str) -> None:
    assert refusal(ip, OPEN) is None


def test_an_allow_list_names_hosts_and_networks() -> None:
    rules = AddressRules.of(True, ["10.1.0.0/16", "Media.Internal", "fd00::/8", "[::1]"])
    assert refusal("10.1.2.3", rules) is None and refusal("::ffff:10.1.2.3", rules) is None
    assert refusal("fd00::1", rules) is None and refusal("::1", rules) is None
    assert refusal("10.2.0.1", rules) and refusal("127.0.0.1", rules)
    inner = addresses_behind(parse_address("http://media.internal/", rules), rules, lambda host, port: ["127.0.0.1"])
    assert inner == ["127.0.0.1"]
    for host in ("evil-media.internal", "media.internal.evil.org"):
        with pytest.raises(BadInput):
            addresses_behind(parse_address(f"http://{host}/", rules), rules, lambda host, port: ["127.0.0.1"])
    for entry in ("http://a.org", "a.org:80", "10.1.2.3/8", "*", "", "127.1"):
        with pytest.raises(UsageError, match="allow_hosts"):
            AddressRules.of(True, [entry])


def test_a_redirect_is_an_address_like_any_other() -> None:
    base = parse_address("https://example.org/deep/a.mp4?x=1", OPEN)
    assert join_address(base, "../b.mp4", OPEN).url == "https://example.org/b.mp4"
    assert join_address(base, "//other.org/c", OPEN).url == "https://other.org/c"
    assert join_address(base, "/caf\u00c3\u00a9", OPEN).target == "/caf%C3%A9"
    for location, reason in {
        "http://example.org/": "address_refused",
        "file:///etc/passwd": "bad_url",
        "https://me@example.org/": "bad_url",
        "https://[::1": "bad_url",
    }.items():
        with pytest.raises(BadInput) as found:
            join_address(base, location, OPEN)
        assert found.value.reason == reason


def test_secrets_stand_in_no_refusal() -> None:
    for url in ("https://me:hush@example.org/a?hush=1", "ftp://me:hush@a.org", "https://a.org:99999/?hush=1"):
        with pytest.raises(BadInput) as found:
            parse_address(url, OPEN)
        assert "hush" not in str(found.value) + repr(found.value.args)


def test_names_that_are_not_there_and_names_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(number: int) -> None:
        def getaddrinfo(*arguments: object, **named: object) -> None:
            raise socket.gaierror(number, "so")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    address = parse_address("https://example.org/", OPEN)
    answer(socket.EAI_NONAME)
    with pytest.raises(BadInput) as found:
        addresses_behind(address, OPEN, resolve)
    assert found.value.reason == "no_such_host"
    answer(socket.EAI_AGAIN)
    with pytest.raises(Unreachable):
        addresses_behind(address, OPEN, resolve)
