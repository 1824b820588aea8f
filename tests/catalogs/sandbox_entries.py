"""What the children of test_sandbox.py do."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from worldloom.catalogs.errors import BadInput, UsageError

IMPORTED_AT = time.monotonic_ns()
_kept: list[bytes] = []


def act(payload: dict) -> object:
    return globals()[payload["do"]](**{name: value for name, value in payload.items() if name != "do"})


def echo(value: object) -> object:
    return value


def pid() -> int:
    return os.getpid()


def imported_at() -> int:
    return IMPORTED_AT


def segfault() -> None:
    ctypes.string_at(0)


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)


def leave(code: int) -> None:
    os._exit(code)


def quit_politely() -> None:
    sys.exit(3)


def loop() -> None:
    while True:
        pass


def loop_deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    loop()


def bomb() -> None:
    while True:
        _kept.append(b"x" * (16 << 20))


def one_big_block() -> int:
    return len(bytearray(8 << 30))


def a_block(mb: int) -> int:
    return len(bytearray(mb << 20))


def limit_of_address_space() -> int:
    return resource.getrlimit(resource.RLIMIT_AS)[0]


def chatter() -> str:
    print("garbage " * 1000)
    os.write(1, b"\x00\xff" * 1000)
    os.write(2, b"noise\n")
    return "fine"


def raise_value_error() -> None:
    raise ValueError("no such luck")


def raise_bad_input() -> None:
    raise BadInput("too_dark", "nothing is seen", where="a.mp4", remedy="Light it.")


def raise_usage() -> None:
    raise UsageError("wrong key")


def unpicklable() -> object:
    return lambda: None


def close_descriptors() -> None:
    os.closerange(3, 100)
    loop()


def write_into_descriptors() -> None:
    for number in range(3, 50):
        try:
            os.write(number, b"\xff" * 64)
        except OSError:
            continue
    loop()


def environment(name: str) -> str | None:
    return os.environ.get(name)


def spawn_and_die(path: str) -> None:
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(path).write_text(str(grandchild.pid))
    os._exit(1)


def modules(names: list[str]) -> list[str | None]:
    return [getattr(sys.modules.get(name), "__file__", None) for name in names]


def search_path() -> list[str]:
    return sys.path


def look(path: str) -> tuple[str, int]:
    """Probe, decode and open a video: how it ended, and how many frames came out."""
    from worldloom.catalogs.video import Frames, decode_source, probe

    try:
        probe(path)
        source = decode_source(path, exact=False)
        count = sum(1 for _ in source)
        with Frames(path) as frames:
            frames[len(frames) // 2]
    except BadInput as refusal:
        return refusal.reason, 0
    return "ok", count


def spawn_into_own_session(path: str) -> None:
    """A grandchild that no signal to the process group reaches."""
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    Path(path).write_text(str(grandchild.pid))
    loop()


def spawn_that_eat() -> None:
    """Memory of four grandchildren, none of which is too large by itself."""
    code = "x = [bytearray(b'1') * (8 << 20) for _ in range(12)]\nwhile True: pass"
    for one in [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]:
        one.wait()


def write_file(path: str, size: int) -> None:
    with Path(path).open("wb") as file:
        file.write(bytes(size))


def flood() -> None:
    line = b"x" * (1 << 20)
    for _ in range(600):
        os.write(2, line)


def deep_in_native_code() -> None:
    ctypes.CDLL(None).sleep(600)


def look_at(path: str) -> tuple[str, int]:
    """Why a picture is refused, and the most memory that took, MB."""
    import resource
    from fractions import Fraction
    from pathlib import Path

    from worldloom.catalogs.errors import BadInput
    from worldloom.catalogs.pictures import probe_pictures

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        probe_pictures([Path(path)], Fraction(10))
    except BadInput as error:
        return error.reason, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return "", 0
