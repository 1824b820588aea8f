"""What a cluster must show before a job starts on it, judged from what its nodes say; Ray itself is not in here."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from worldloom import __version__
from worldloom.catalogs.errors import UsageError
from worldloom.catalogs.storage import open_store

HELP = "see docs/cluster.md"


@dataclass(frozen=True)
class NodeReport:
    """What a task found on one node.

    Attributes:
        host: name of the machine.
        python: version.
        worldloom: version.
        sees_out: whether the file that the driver wrote into the working folder is there.
        wants_token: whether Ray on this node asks callers for a token.
    """

    host: str
    python: str
    worldloom: str
    sees_out: bool
    wants_token: bool


def report_node(out: str | None, name: str, expected: bytes) -> dict[str, Any]:
    """Look around on the node this runs on.

    Args:
        out: working folder; None where there is none to look at.
        name: of the file in there that the driver wrote.
        expected: what is in it.

    Returns:
        A `NodeReport` as plain data.
    """
    sees_out = True
    if out is not None:
        store = open_store(out)
        sees_out = store.exists(name) and store.read(name) == expected
    wants_token = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
    return asdict(NodeReport(socket.gethostname(), _python(), __version__, sees_out, wants_token))


def check_reports(reports: Iterable[NodeReport], out: str | None) -> None:
    """Every node must run the same versions as the driver and see the working folder.

    Raises:
        UsageError: names the node and the remedy.
    """
    for report in reports:
        here = f"Python {_python()} and worldloom {__version__}"
        there = f"Python {report.python} and worldloom {report.worldloom}"
        if here != there:
            message = f"node {report.host} has {there}, the driver {here}; install the same on both, {HELP}"
            raise UsageError(message)
        if not report.sees_out:
            remedy = "put it on a file system that all nodes mount at the same path, or give out: s3://bucket/prefix"
            raise UsageError(f"node {report.host} does not see the working folder {out}; {remedy} ({HELP})")


def is_loopback(address: str) -> bool:
    """Whether an address, with or without a port, cannot be reached from another machine."""
    host = address.rpartition("//")[2]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    elif host.startswith("["):
        host = host[1:].partition("]")[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_port_note(addresses: Sequence[str], unguarded: Collection[str]) -> str | None:
    """A warning where Ray takes orders from other machines without asking who sends them.

    Args:
        addresses: of the nodes.
        unguarded: hosts whose Ray asks for no token.
    """
    reachable = [address for address in addresses if not is_loopback(address)]
    if not reachable or not unguarded:
        return None
    return (
        f"Ray listens on {', '.join(reachable[:3])}{' and more' if len(reachable) > 3 else ''} without a token "
        f"({', '.join(sorted(unguarded)[:3])}): whoever reaches the port runs code (CVE-2023-48022). Start every node "
        f"with RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN_PATH; {HELP}"
    )


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))
