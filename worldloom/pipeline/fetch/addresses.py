"""Which addresses may be fetched: web addresses taken apart, and the rule for what lies behind their names.

A list of addresses is somebody else's text. Left alone it could have this machine ask its own services, the metadata
server of its cloud or a printer next door (server-side request forgery). So only addresses of the open internet are
connected to, whatever name leads there, and what is connected to is the very address that was checked.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from worldloom.catalogs.errors import BadInput, Unreachable, UsageError
from worldloom.catalogs.redact import without_secrets

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

LONGEST = 8192
"""Characters of an address (default ours; servers take about that many)."""

_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"\d+|0x[0-9a-f]*")
_READ_DIFFERENTLY = frozenset("\u00df\u03c2\u200c\u200d")
"""Letters that the two versions of the rules for international names read differently."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NEVER = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))
"""Protocol assignments and relays of 6to4, which not every Python's tables call what they are."""


@dataclass(frozen=True)
class Address:
    """A web address, taken apart.

    Attributes:
        scheme: `https` or `http`.
        host: ASCII name in small letters, or an IP address without brackets.
        port: of the server.
        target: path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """The host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole address, without a fragment; one that is written in two ways is the same here."""
        return f"{self.scheme}://{self.host_header}{self.target}"

    @property
    def shown(self) -> str:
        """The address without its query: what may be read by others."""
        return without_secrets(self.url)


@dataclass(frozen=True)
class AddressRules:
    """What may be asked.

    Attributes:
        allow_http: addresses without encryption too.
        hosts: names that may lead anywhere, inner addresses and low ports included.
        networks: addresses that may be connected to although they are not of the open internet.
    """

    allow_http: bool = False
    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, allow_http: bool, allow_hosts: Sequence[str]) -> AddressRules:
        """From names (`media.internal`), addresses and networks (`10.1.0.0/16`).

        Raises:
            UsageError: an entry that is none of these.
        """
        hosts, networks = set[str](), list[Network]()
        for entry in allow_hosts:
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError:
                try:
                    hosts.add(_host(entry, entry))
                except BadInput:
                    what = "a host's name, an IP address or a network like 10.1.0.0/16, without scheme and port"
                    raise UsageError(f"allow_hosts: '{entry}': expected {what}") from None
        return cls(allow_http, frozenset(hosts), tuple(networks))

    def allows(self, ip: IP) -> bool:
        """Whether a network of the list holds an address."""
        return any(ip in network for network in self.networks)


def parse_address(text: str, rules: AddressRules) -> Address:
    """Take an address apart, strictly: what two readers could read in two ways is refused.

    Raises:
        BadInput: `bad_url`, with what is wrong; `address_refused` where the rules do not allow it.
    """
    text = text.strip()
    shown = without_secrets(text[:200])
    if not text or len(text) > LONGEST:
        raise BadInput("bad_url", "no address" if not text else f"an address of {len(text)} characters", where=shown)
    if re.search(r"[\x00-\x1f\x7f\\]", text):
        raise BadInput("bad_url", "it holds a control character or a backslash", where=shown)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadInput("bad_url", f"not an address ({error})", where=shown) from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.netloc:
        raise BadInput("bad_url", "expected https://host/path", where=shown)
    if "@" in parts.netloc:
        remedy = "Give an address that needs none, or fetch the files beforehand and use a folder source."
        raise BadInput("bad_url", "it holds a user name, and none is ever sent", where=shown, remedy=remedy)
    host = _host(parts.hostname or "", shown)
    address = Address(scheme, host, port or _PORTS[scheme], _target(parts.path, parts.query))
    if scheme == "http" and not rules.allow_http:
        remedy = "Use https, or set allow_http: true."
        raise BadInput("address_refused", "it is not encrypted", where=shown, remedy=remedy)
    if address.port < 1024 and address.port not in _PORTS.values() and not _is_listed(host, rules):
        remedy = "Add the host to allow_hosts if it is meant."
        raise BadInput("address_refused", f"port {address.port} is no web server's", where=shown, remedy=remedy)
    return address


def join_address(base: Address, location: str, rules: AddressRules) -> Address:
    """Where a redirect leads.

    Raises:
        BadInput: as `parse_address`; `address_refused` where it leads from https to http.
    """
    # Bytes beyond ASCII come as Latin-1, and mean UTF-8 wherever they mean anything.
    location = location.encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        joined = urljoin(base.url, location.strip())
    except ValueError as error:
        raise BadInput("bad_url", f"leads to what is no address ({error})", where=base.shown) from None
    there = parse_address(joined, rules)
    if base.scheme == "https" and there.scheme == "http":
        raise BadInput("address_refused", f"leads from https to http ({there.shown})", where=base.shown)
    return there


def addresses_behind(address: Address, rules: AddressRules, resolve: Resolve) -> list[str]:
    """IP addresses of the host, every one of which may be connected to. Asks once; connect to these and no others.

    Raises:
        BadInput: `address_refused`, one is not of the open internet; `no_such_host`.
        Unreachable: names cannot be resolved at the moment.
    """
    found = list(dict.fromkeys(resolve(address.host, address.port)))
    if not found:
        raise BadInput("no_such_host", f"there is no host {address.host}", where=address.shown)
    if address.host not in rules.hosts:
        for text in found:
            if (why := refusal(text, rules)) is not None:
                remedy = f"If it is meant, add {address.host} or its network to allow_hosts."
                message = f"{address.host if address.host == text else f'{address.host} leads to {text}'}, {why}"
                raise BadInput("address_refused", message, where=address.shown, remedy=remedy)
    return found


def refusal(text: str, rules: AddressRules) -> str | None:
    """Why an IP address must not be connected to; None where it may be."""
    try:
        ip: IP = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "which is no IP address"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if rules.allows(ip):
        return None
    if "%" in text:
        return "an address of one link"
    inner = _embedded(ip)
    if inner is not None and not _is_open(inner):
        return f"which holds {inner}, an address not of the open internet"
    return None if _is_open(ip) else "an address not of the open internet"


def _is_open(ip: IP) -> bool:
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback or ip.is_link_local:
        # The prefix of NAT64 is reserved and holds addresses of the open internet; what it holds is looked at apart.
        return isinstance(ip, ipaddress.IPv6Address) and ip in _NAT64
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _NEVER)
    return ip in _GLOBAL_UNICAST or ip in _NAT64


def _embedded(ip: IP) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a packet to an IPv6 address may end at: NAT64, 6to4, Teredo, ISATAP."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return None
    if ip in _NAT64 or (int(ip) >> 32) & 0xFDFFFFFF == 0x5EFE:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.sixtofour is not None:
        return ip.sixtofour
    return ip.teredo[1] if ip.teredo is not None else None


def resolve(host: str, port: int) -> list[str]:
    """IP addresses of a host, by this machine's resolver; empty where there is no such host.

    Raises:
        Unreachable: it cannot be told at the moment.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return []
        raise Unreachable(f"{host}: the name cannot be resolved ({error.strerror})") from None
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host}: the name cannot be resolved ({error})") from None
    return [str(entry[4][0]) for entry in found]


def _is_listed(host: str, rules: AddressRules) -> bool:
    if host in rules.hosts:
        return True
    try:
        return rules.allows(ipaddress.ip_address(host))
    except ValueError:
        return False


def _host(host: str, shown: str) -> str:
    """The host in the one form that is resolved, checked, sent and held against the certificate."""
    if ":" in host or host.startswith("["):
        try:
            if "%" in host:
                raise ValueError("it names a link of this machine")
            return str(ipaddress.IPv6Address(host.strip("[]")))
        except ValueError as error:
            raise BadInput("bad_url", f"not an IPv6 address ({error})", where=shown) from None
    if not host.isascii():
        if _READ_DIFFERENTLY & set(host):
            remedy = "Write the host as xn--..."
            raise BadInput("bad_url", "its host is read differently by different programs", where=shown, remedy=remedy)
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise BadInput("bad_url", f"its host is no international name ({error})", where=shown) from None
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadInput("bad_url", "its host is no name", where=shown)
    if _NUMERIC.fullmatch(labels[-1]):  # 127.1, 0x7f000001 and 017700000001 are all this machine to some resolvers
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            remedy = "Write an IPv4 address as four decimal numbers."
            raise BadInput("bad_url", "its host is a number in an unusual form", where=shown, remedy=remedy) from None
    return host


def _target(path: str, query: str) -> str:
    safe = "!#$%&'()*+,/:;=?@[]~"
    sent = quote(path or "/", safe=safe.replace("#", "").replace("?", ""))
    return f"{sent}?{quote(query, safe=safe.replace('#', ''))}" if query else sent
