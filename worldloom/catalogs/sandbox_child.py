"""The child's side of `sandbox`: import one function, then answer calls until the parent goes."""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import importlib
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldloom.catalogs.errors import BadInput, UsageError

HEADER = struct.Struct(">Q")
"""Length of the message that follows."""

MAX_MESSAGE_BYTES = 1 << 31

WHERE_SIGNAL = signal.SIGUSR2
"""Asks the child to write down where in the code it is."""

_NO_ROOM = {errno.ENOSPC: "disk_full", errno.EDQUOT: "disk_full", errno.EFBIG: "file_too_large"}

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Entry of the started interpreter: argv holds the package's folder, the socket's number and the parent's id."""
    _die_with(int(sys.argv[3]))
    faulthandler.enable()
    faulthandler.register(WHERE_SIGNAL, all_threads=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    link = socket.socket(fileno=int(sys.argv[2]))
    os.set_inheritable(link.fileno(), False)
    link.setblocking(True)
    order = pickle.loads(_receive(link))  # noqa: S301 -- from our own parent
    try:
        function = _import(order["entry"], order["path"])
        imported = _address_space()
        _limit_address_space(imported, order["address_space_bytes"])
        _limit(resource.RLIMIT_FSIZE, order["file_bytes"])
    except BaseException as error:
        _send(link, *_problem(error))
        return
    _send(link, "ready", None)
    while True:
        try:
            message = _receive(link)
        except (EOFError, OSError):
            return
        kind, value = _answer(function, message, imported)
        try:
            _send(link, kind, value)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            _send(link, "raised", (type(error).__name__, f"the result cannot be sent: {error}", ""))


def _answer(function: Callable[[Any], Any], message: bytes, imported: int) -> tuple[str, Any]:
    try:
        extra_bytes, payload = pickle.loads(message)  # noqa: S301 -- from our own parent
        _limit_address_space(imported, extra_bytes)
        return "result", function(payload)
    except BaseException as error:  # SystemExit too: the parent decides when the child ends
        return _problem(error)


def _problem(error: BaseException) -> tuple[str, Any]:
    if isinstance(error, BadInput):
        return "bad_input", (error.reason, error.message, error.where, error.remedy)
    if isinstance(error, UsageError):
        return "usage", str(error)
    if isinstance(error, MemoryError):
        return "memory", str(error)
    trace = "".join(traceback.format_exception(error))
    if (no_room := _lack_of_room(error)) is not None:
        return "disk", (*no_room, trace)
    return "raised", (type(error).__name__, str(error), trace)


def _lack_of_room(error: BaseException) -> tuple[str, str] | None:
    """Reason and sentence where a full disk, or a file past its limit, is at the bottom of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            reason = _NO_ROOM[cause.errno]
            place = f" ({cause.filename})" if cause.filename else ""
            if reason == "disk_full":
                return reason, f"no room is left on the disk{place}; free some, then run --retry disk_full"
            return reason, f"a file was to become larger than a child may write{place}"
        cause = cause.__cause__ or cause.__context__
    return None


def _import(entry: str, path: list[str]) -> Callable[[Any], Any]:
    """The function; what the parent can import is found after all else, so a stray model.py shadows nothing."""
    sys.path.extend(place for place in path if place not in sys.path)
    module, _, name = entry.partition(":")
    function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    return function


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the line above
        os._exit(1)


def _address_space() -> int:
    """Bytes in use; 0 on macOS, which refuses RLIMIT_AS: the parent watches resident memory there too."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _limit_address_space(imported: int, extra_bytes: int) -> None:
    if imported and extra_bytes:
        _limit(resource.RLIMIT_AS, imported + extra_bytes)


def _limit(kind: int, wanted: int) -> None:
    """Set a soft limit, at most what the hard one allows."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _receive(link: socket.socket) -> bytes:
    header = _exactly(link, HEADER.size)
    return _exactly(link, HEADER.unpack(header)[0])


def _exactly(link: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = link.recv(min(1 << 20, count - len(data)))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _send(link: socket.socket, kind: str, value: Any) -> None:
    message = pickle.dumps((kind, value), protocol=5)
    link.sendall(HEADER.pack(len(message)) + message)
