"""A web server on loopback that says what a test tells it to, byte for byte, and remembers what it was asked."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

Script = Callable[["Asked"], None]


@dataclass
class Asked:
    """One request, and the way to answer it."""

    method: str
    target: str
    headers: dict[str, str]
    line: socket.socket
    body: bytes = b""

    def say(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.line.sendall(data)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; `Content_Length=""` leaves that header out."""
        told = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items() if value)
        self.say(f"HTTP/1.1 {status} So\r\n{head}\r\n".encode("latin-1") + body)

    @property
    def start(self) -> int | None:
        """First byte of the range that is asked for."""
        text = self.headers.get("range", "")
        return int(text.removeprefix("bytes=").rstrip("-")) if text else None


@dataclass
class WebServer:
    """Its port, what it was asked, and what it does next: scripts in order, the last one again and again."""

    port: int
    scheme: str = "http"
    scripts: list[Script] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def url(self, path: str = "/a.mp4", host: str = "127.0.0.1") -> str:
        """An address of it."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    def then(self, *scripts: Script) -> WebServer:
        """What it does from now on."""
        self.scripts, self.asked = list(scripts), []
        return self


@contextmanager
def web_server(tls: ssl.SSLContext | None = None, family: int = socket.AF_INET) -> Iterator[WebServer]:
    """A server that is up."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    listener.listen(16)
    server = WebServer(listener.getsockname()[1], "https" if tls else "http")

    def serve(line: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if tls is not None:
                line = tls.wrap_socket(line, server_side=True)
            with line:
                stream = line.makefile("rb")
                method, target, _ = stream.readline().decode("latin-1").split(" ", 2)
                headers = {}
                while text := stream.readline().decode("latin-1").strip():
                    name, _, value = text.partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0)))
                asked = Asked(method, target, headers, line, body)
                server.asked.append(asked)
                script = server.scripts.pop(0) if len(server.scripts) > 1 else server.scripts[0]
                script(asked)
                with suppress(OSError):  # else closing throws away what was said, and not read yet
                    line.shutdown(socket.SHUT_WR)
                stream.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                threading.Thread(target=serve, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def certificate(folder: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    """A server's certificate for these names, and the file of the authority, made here, that vouches for it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def signed(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, ca: bool):  # type: ignore[no-untyped-def]
        alternatives = []
        for one in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(one)))
            except ValueError:
                alternatives.append(x509.DNSName(one))
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(by, hashes.SHA256())

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    ca_file, own_file = folder / "authority.pem", folder / "server.pem"
    ca_file.write_bytes(signed("authority", "authority", authority, authority, True).public_bytes(pem))
    own_file.write_bytes(
        own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed("server", "authority", own, authority, False).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_file)
    return context, ca_file
