"""One request to one address: the name is resolved once, what it leads to is checked, and only that is connected to.

No proxy, cookie, password or compression; certificates are held to the name that was asked for.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from worldloom.catalogs.errors import BadInput, Unreachable
from worldloom.catalogs.redact import redacted
from worldloom.pipeline.fetch.addresses import Address, AddressRules, Resolve, addresses_behind, join_address, resolve

USER_AGENT = "worldloom/0.1 (collects video for research)"
MOST_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_MOST_TRIED = 3
"""IP addresses of one name that are tried before it counts as not answering (default ours)."""

_BROKEN = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


@dataclass(frozen=True)
class Patience:
    """How long a server may take, in seconds (defaults ours).

    Attributes:
        connect_s: until it takes a connection, encryption included.
        headers_s: until the headers of its answer are here, however it spreads them out.
        silence_s: between two bytes of its answer.
    """

    connect_s: float = 15.0
    headers_s: float = 60.0
    silence_s: float = 30.0


class Answer:
    """A server's answer, its body not read yet. To be closed.

    Attributes:
        address: that gave it.
        status: of HTTP.
        headers: by name, in whatever case.
    """

    def __init__(self, address: Address, response: Any, connection: Any, line: socket.socket) -> None:
        self.address = address
        self.status = int(response.status)
        self.headers: Mapping[str, str] = response.headers
        self._response, self._connection, self._line = response, connection, line

    @property
    def length(self) -> int | None:
        """Bytes of the body by the server's word; None where it says nothing that can be believed."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return None
        text = self.headers.get("Content-Length", "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def read(self, most: int) -> bytes:
        """What has come of the body, at most so many bytes, as it was sent; empty at its end.

        Raises:
            Unreachable: the connection broke, or the body ended before its end.
        """
        try:
            return bytes(self._response.read1(most, decode_content=False))
        except _BROKEN as error:
            raise Unreachable(f"{self.address.shown}: {explained(error)}") from None

    def cut(self) -> None:
        """End the connection at once; may be called from another thread."""
        _cut(self._line)

    def close(self) -> None:
        """Let go of the connection."""
        with suppress(*_BROKEN, ValueError):
            self._response.close()
        self._connection.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Client:
    """Asks what the rules allow.

    Args:
        rules: which addresses these are.
        patience: with servers.
        look_up: name and port to IP addresses.
    """

    def __init__(self, rules: AddressRules, patience: Patience | None = None, look_up: Resolve = resolve) -> None:
        self.rules = rules
        self._patience = patience or Patience()
        self._look_up = look_up

    def follow(self, address: Address, headers: Mapping[str, str] | None = None) -> Answer:
        """GET, and go where redirects lead, three times at most; each is checked as the first address was.

        Raises:
            BadInput: `address_refused`, `no_such_host`, `bad_certificate`, `bad_redirect`.
            Unreachable: nobody answers, or in no way that HTTP knows.
        """
        for _ in range(MOST_REDIRECTS + 1):
            answer = self.ask(address, headers=headers)
            if answer.status not in REDIRECTS:
                return answer
            location = answer.headers.get("Location")
            answer.close()
            if not location:
                raise BadInput("bad_redirect", f"redirect {answer.status} to nowhere", where=address.shown)
            address = join_address(address, location, self.rules)
        message = f"more than {MOST_REDIRECTS} redirects, the last to {address.shown}"
        raise BadInput("bad_redirect", message, where=address.shown)

    def ask(
        self,
        address: Address,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request, redirects not followed.

        Raises:
            BadInput: `address_refused`, `no_such_host`, `bad_certificate`.
            Unreachable: nobody answers, or in no way that HTTP knows.
        """
        sent = {"User-Agent": USER_AGENT, "Accept": "*/*", **(headers or {})}
        sent |= {"Host": address.host_header, "Accept-Encoding": "identity", "Connection": "close"}
        connection = self._connected(address)
        line = connection.sock
        # A server that sends a byte now and then never falls silent, and never comes to an end either.
        alarm = Alarm(self._patience.headers_s, lambda: _cut(line))
        try:
            with alarm:
                connection.request(
                    method, address.target, body=body, headers=sent, preload_content=False, decode_content=False
                )
                response = connection.getresponse()
            if alarm.rang:  # headers that were cut off look like headers that end
                raise TimeoutError
        except _BROKEN as error:
            connection.close()
            why = f"no answer within {self._patience.headers_s:g} s" if alarm.rang else explained(error)
            raise Unreachable(f"{address.shown}: {why}") from None
        except BaseException:
            connection.close()
            raise
        return Answer(address, response, connection, line)

    def _connected(self, address: Address) -> HTTPConnection:
        """A connection to the first of the host's addresses that takes one; all of them are allowed."""
        failure: Exception | None = None
        for ip in addresses_behind(address, self.rules, self._look_up)[:_MOST_TRIED]:
            connection = self._connection(address, ip)
            try:
                connection.connect()
            except ssl.SSLCertVerificationError as error:
                connection.close()
                remedy = "If its authority is one of yours, name it in SSL_CERT_FILE."
                message = f"its certificate does not hold: {error.verify_message or error.reason}"
                raise BadInput("bad_certificate", message, where=address.shown, remedy=remedy) from None
            except _BROKEN as error:
                connection.close()
                failure = error
                continue
            connection.sock.settimeout(self._patience.silence_s)
            connection.timeout = self._patience.silence_s
            return connection
        raise Unreachable(f"{address.shown}: {explained(failure) if failure else 'no address'}") from None

    def _connection(self, address: Address, ip: str) -> HTTPConnection:
        timeout = self._patience.connect_s
        if address.scheme == "http":
            return HTTPConnection(ip, address.port, timeout=timeout)
        return HTTPSConnection(
            ip, address.port, timeout=timeout, server_hostname=address.host, ssl_context=self._encryption
        )

    @cached_property
    def _encryption(self) -> ssl.SSLContext:
        return ssl.create_default_context()


class Alarm:
    """Calls a function unless it is left in time.

    Attributes:
        rang: whether it did.
    """

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self.rang = False
        self._act = act
        self._timer = threading.Timer(max(0.0, seconds), self._ring)
        self._timer.daemon = True

    def _ring(self) -> None:
        self.rang = True
        self._act()

    def __enter__(self) -> Alarm:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()


def explained(error: BaseException) -> str:
    """What went wrong with a connection, in one line without addresses."""
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "it does not answer"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return "it fell silent"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return f"no connection ({str(error).rpartition(': ')[2]})"
    if isinstance(error, urllib3.exceptions.ProtocolError | urllib3.exceptions.IncompleteRead):
        return "the connection broke off"
    text = (str(error).splitlines() or [""])[0][:200]
    return redacted(f"the connection broke ({type(error).__name__}{': ' + text if text else ''})")


def _cut(line: socket.socket) -> None:
    # Of the plain socket below an encrypted one, whose own shutdown is not for two threads.
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)
