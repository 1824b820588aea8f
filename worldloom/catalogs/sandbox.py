"""A warm child process for native code that may crash, hang or eat memory: decoders, SfM, ray casting.

The parent only supervises: wall-clock deadline, memory, restart. Messages go over a socket of their own, so what the
code prints cannot break them; frames and weights stay in the child.

    with Child("worldloom.pipeline.annotating:annotate_clip", Limits(deadline_s=600)) as child:
        result = child.call(payload)
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from worldloom.catalogs.config import Strict
from worldloom.catalogs.errors import BadInput, UsageError
from worldloom.catalogs.sandbox_child import HEADER, MAX_MESSAGE_BYTES, WHERE_SIGNAL
from worldloom.catalogs.sandbox_failures import (
    ChildDied,
    ChildDisk,
    ChildFailure,
    ChildMemory,
    ChildNotStarted,
    ChildRaised,
    ChildTimeout,
)
from worldloom.catalogs.sandbox_guard import MARK, end_marked

__all__ = [
    "Child",
    "ChildDied",
    "ChildDisk",
    "ChildFailure",
    "ChildMemory",
    "ChildNotStarted",
    "ChildRaised",
    "ChildTimeout",
    "Limits",
]

_TICK_S = 0.1
_TICKS_PER_FAMILY_CHECK = 10
_MAX_LOG_BYTES = 16 << 20
_SENTENCE_BYTES = 2000
_LAST_WORDS_BYTES = 16_000
_WHERE_S = 0.5
"""How long a child that hangs is given to write down where (default ours)."""

_PIXELS, _MOST_PIXELS = "OPENCV_IO_MAX_IMAGE_PIXELS", 4 * 8192 * 4320
"""OpenCV refuses pictures that claim more before it unpacks one, which a few bytes may make to gigabytes. Four times
what a video may have (`containers.VideoLimits`): masks may have twice its sides (ours)."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)
_START = "import sys; sys.path.append(sys.argv[1]); from worldloom.catalogs.sandbox_child import main; main()"


class Limits(Strict):
    """What one child may take.

    Attributes:
        deadline_s: wall-clock seconds per call.
        memory_mb: beyond what its imports took; resident memory always, address space too where `address_space`.
        recycle_after: calls after which the child is replaced (some decoders grow).
        startup_s: wall-clock seconds for starting and importing.
        threads: for OpenMP, BLAS and OpenCV in the child.
        file_mb: largest file it may write (default ours: no clip, blob or shard comes near it).
        address_space: also limit address space (RLIMIT_AS); not possible with CUDA, which maps far more than it uses.
    """

    deadline_s: float = 600.0
    memory_mb: int = 4096
    recycle_after: int = 200
    startup_s: float = 120.0
    threads: int = 1
    file_mb: int = 65_536
    address_space: bool = True


@dataclass
class _Running:
    """One started process.

    Attributes:
        mark: what everything it starts carries in its environment.
    """

    process: subprocess.Popen[bytes]
    link: socket.socket
    log: Any
    watch: psutil.Process
    mark: str = ""
    rss_after_imports: int = 0
    calls: int = 0

    def kill(self) -> None:
        """End the whole process group and what has left it, and let go of everything."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        end_marked(self.mark)
        self.link.close()
        self.log.close()

    def last_words(self) -> str:
        """End of what the process printed."""
        self.log.seek(max(0, self.log.seek(0, os.SEEK_END) - _LAST_WORDS_BYTES))
        return bytes(self.log.read()).decode(errors="replace").strip()

    def say_where(self) -> None:
        """Have it write down where in the code it is; native code that blocks signals does not."""
        before = os.fstat(self.log.fileno()).st_size
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(WHERE_SIGNAL)
        end = time.monotonic() + _WHERE_S
        while time.monotonic() < end and os.fstat(self.log.fileno()).st_size == before:
            time.sleep(0.01)
        time.sleep(0.02)  # the rest of what it has begun to write


class Child:
    """A function in a process of its own, started at the first call and kept warm.

    Not for use by two threads at a time.

    Args:
        entry: `module:function`, importable by name; called with the payload, returns what pickles.
        limits: what it may take.
    """

    def __init__(self, entry: str, limits: Limits | None = None) -> None:
        if entry.count(":") != 1:
            raise UsageError(f"sandbox: '{entry}' is not of the form module:function")
        self.entry = entry
        self.limits = limits or Limits()
        self._running: _Running | None = None
        self._finalizer: Any = None
        self._memory_mb = self.limits.memory_mb

    def call(self, payload: Any = None, deadline_s: float | None = None, memory_mb: int | None = None) -> Any:
        """Call the function in the child.

        Args:
            payload: plain picklable values.
            deadline_s: wall-clock limit of this call; that of the limits where not given. Starting does not count.
            memory_mb: limit of this call, what earlier ones have left behind included; as above.

        Raises:
            BadInput, UsageError: raised by the function.
            ChildDied, ChildTimeout, ChildMemory: the child is gone; the next call starts another.
            ChildNotStarted: the machine has no room for another process.
            ChildDisk: it could not write, for lack of room; ChildRaised: any other exception of the function.
        """
        self._memory_mb = memory_mb or self.limits.memory_mb
        running = self._started()
        message = pickle.dumps((self._address_space_bytes(), payload), protocol=5)
        limit_s = self.limits.deadline_s if deadline_s is None else deadline_s
        kind, value = self._exchange(running, message, limit_s, "the call")
        running.calls += 1
        if running.calls >= self.limits.recycle_after or kind == "memory":
            self.close()
        return self._answer(kind, value)

    @property
    def pid(self) -> int | None:
        """Process id while a child is running."""
        return None if self._running is None else self._running.process.pid

    def close(self) -> None:
        """End the child; a later call starts another."""
        if self._finalizer is not None:
            self._finalizer()
        self._running = self._finalizer = None

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> _Running:
        if self._running is not None and self._running.process.poll() is not None:
            self.close()  # it was ended from outside between two calls
        if self._running is None:
            try:
                running = _spawner().submit(_spawn, self.limits.threads).result()
            except (OSError, psutil.Error) as error:
                raise ChildNotStarted(f"{self.entry}: no process can be started for it ({error})") from error
            self._running = running
            self._finalizer = weakref.finalize(self, running.kill)
            order = {
                "path": [str(Path(entry).absolute()) for entry in sys.path],
                "entry": self.entry,
                "address_space_bytes": self._address_space_bytes(),
                "file_bytes": self.limits.file_mb << 20,
            }
            what = f"importing {self.entry.partition(':')[0]}"
            kind, value = self._exchange(running, pickle.dumps(order), self.limits.startup_s, what)
            if kind != "ready":
                self.close()
                self._answer(kind, value)
            running.rss_after_imports = running.watch.memory_info().rss
        return self._running

    def _address_space_bytes(self) -> int:
        return self._memory_mb << 20 if self.limits.address_space else 0

    def _exchange(self, running: _Running, message: bytes, limit_s: float, what: str) -> tuple[str, Any]:
        """Send one message and wait for the answer, watching time and memory; the child is ended if either runs out."""
        end = time.monotonic() + limit_s
        try:
            running.log.truncate(0)
            answer = _converse(running, message, end, self._memory_mb << 20)
            kind, value = pickle.loads(answer)  # noqa: S301 -- from our own child
        except BaseException as error:
            if isinstance(error, TimeoutError):
                running.say_where()
            elif isinstance(error, (EOFError, OSError)):
                _wait_for_end(running)
            last_words = running.last_words()
            died_of = running.process.poll()
            self.close()
            explained = self._explained(error, died_of, last_words, limit_s, what)
            if isinstance(explained, ChildFailure):
                explained.last_words = last_words
            raise explained from None
        return str(kind), value

    def _explained(
        self, error: BaseException, died_of: int | None, last_words: str, limit_s: float, what: str
    ) -> BaseException:
        if isinstance(error, TimeoutError):
            return ChildTimeout(f"{self.entry}: {what} took longer than {limit_s:g} s and was ended")
        if isinstance(error, MemoryError):
            return ChildMemory(f"{self.entry}: {what} took more than {self._memory_mb} MB and was ended")
        if not isinstance(error, (EOFError, OSError, pickle.UnpicklingError, ValueError, TypeError)):
            return error
        said = f"; its last words: {last_words[-_SENTENCE_BYTES:]}" if last_words else ""
        if "bad_alloc" in last_words:
            return ChildMemory(f"{self.entry}: {what} wanted more than {self._memory_mb} MB{said}")
        if died_of is not None and died_of < 0:
            name = _signal_name(-died_of)
            return ChildDied(f"{self.entry}: {what} ended the process by {name}{said}", name)
        if died_of is not None:
            return ChildDied(f"{self.entry}: {what} ended the process with code {died_of}{said}", "", died_of)
        return ChildDied(f"{self.entry}: {what} broke the connection to its parent{said}")

    def _answer(self, kind: str, value: Any) -> Any:
        if kind == "result":
            return value
        if kind == "bad_input":
            reason, message, where, remedy = value
            raise BadInput(reason, message, where=where or None, remedy=remedy)
        if kind == "usage":
            raise UsageError(value)
        if kind == "memory":
            raise ChildMemory(f"{self.entry}: it wanted more than {self._memory_mb} MB ({value})")
        if kind == "disk":
            reason, message, trace = value
            raise ChildDisk(f"{self.entry}: {message}", reason, trace)
        name, message, trace = value
        raise ChildRaised(f"{name}: {message}" if message else name, name, trace)


def _spawn(threads: int) -> _Running:
    """Start the interpreter; the child imports nothing from the folder it is started in."""
    ours, theirs = socket.socketpair()
    log = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115 -- closed with the child; emptied while it writes
    mark = f"{_guard()}.{next(_numbers)}"
    environment = {**os.environ, _PIXELS: str(_MOST_PIXELS), MARK: mark}
    environment |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    root = str(Path(__file__).resolve().parents[2])
    with theirs:
        process = subprocess.Popen(  # noqa: S603 -- our own interpreter, no shell
            [sys.executable, "-P", "-c", _START, root, str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[theirs.fileno()],
            env=environment,
            process_group=0,
        )
    os.set_blocking(ours.fileno(), False)
    return _Running(process, ours, log, psutil.Process(process.pid), mark)


@dataclass
class _Guard:
    """The process that outlives this one for a moment, and the mark it looks for."""

    process: subprocess.Popen[bytes]
    mark: str
    parent: int


_numbers = itertools.count(1)
_guards: list[_Guard] = []


def _guard() -> str:
    """Mark of this process; its guard is started with the first child."""
    if _guards and (_guards[0].parent != os.getpid() or _guards[0].process.poll() is not None):
        _guards.clear()  # in a forked process the guard is the parent's
    if not _guards:
        above = os.environ.get(MARK)
        mark = f"{above}.{uuid.uuid4().hex[:12]}" if above else uuid.uuid4().hex[:12]
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        script = str(Path(__file__).with_name("sandbox_guard.py"))
        process = subprocess.Popen(  # noqa: S603 -- our own interpreter, no shell
            [sys.executable, "-I", "-S", script, mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        _guards.append(_Guard(process, mark, os.getpid()))
    return _guards[0].mark


def _converse(running: _Running, message: bytes, end: float, memory_bytes: int) -> bytes:
    """One message out, one in.

    Raises:
        TimeoutError: `end` has passed.
        MemoryError: resident memory went past the limit.
        EOFError, OSError, ValueError: the child is gone, or sent what is no message.
    """
    outgoing = memoryview(HEADER.pack(len(message)) + message)
    incoming = bytearray()
    wanted = HEADER.size
    poller = select.poll()
    tick = 0
    while True:
        poller.register(running.link, select.POLLIN | (select.POLLOUT if outgoing else 0))
        remaining = end - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        events = dict(poller.poll(1000 * min(_TICK_S, remaining)))
        if not events:
            tick += 1
            _check(running, tick, memory_bytes)
            continue
        event = next(iter(events.values()))
        if outgoing and event & select.POLLOUT:
            outgoing = outgoing[running.link.send(outgoing) :]
        if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            part = running.link.recv(min(1 << 20, wanted - len(incoming)))
            if not part:
                raise EOFError
            incoming += part
            if len(incoming) == HEADER.size == wanted:
                wanted += HEADER.unpack(incoming)[0]
                if wanted > MAX_MESSAGE_BYTES:
                    raise ValueError("not a message")
            if len(incoming) == wanted > HEADER.size:
                return bytes(incoming[HEADER.size :])


def _check(running: _Running, tick: int, memory_bytes: int) -> None:
    """Look after memory and the log of a child that is busy."""
    if running.process.poll() is not None:
        raise EOFError  # a grandchild may hold the socket open
    try:
        used = running.watch.memory_info().rss
        if tick % _TICKS_PER_FAMILY_CHECK == 0:
            used += sum(child.memory_info().rss for child in running.watch.children(recursive=True))
    except psutil.Error:
        return
    if used > running.rss_after_imports + memory_bytes and running.rss_after_imports:
        raise MemoryError
    if os.fstat(running.log.fileno()).st_size > _MAX_LOG_BYTES:
        running.log.truncate(0)


def _wait_for_end(running: _Running) -> None:
    """Give a process whose socket has closed the moment it takes to be gone, so that its signal can be told."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.process.wait(timeout=2)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_spawners: dict[int, ThreadPoolExecutor] = {}


def _spawner() -> ThreadPoolExecutor:
    """The thread that starts all children of this process.

    The parent-death signal fires when the *thread* that started the child ends, so that thread must live as long as
    the process; callers' threads come and go.
    """
    pid = os.getpid()
    if pid not in _spawners:
        _spawners.clear()  # in a forked process the thread of the parent is not there
        _spawners[pid] = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-spawner")
    return _spawners[pid]
