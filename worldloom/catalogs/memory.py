"""Memory of a process that lives long: what was freed goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def give_memory_back(*, collect: bool = True) -> None:
    """After a large piece of work: collect what only circles hold, and let the allocators return what is free.

    glibc keeps freed memory per thread, and a driver has dozens of threads: without this it grows from stretch to
    stretch by what is free in all of them. Where there is no glibc, nothing happens.

    Args:
        collect: takes a tenth of a second in a large process, the rest takes milliseconds.
    """
    if collect:
        gc.collect()
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


@contextmanager
def frugal_memory() -> Iterator[None]:
    """Let pyarrow take its memory from the system's allocator, not from mimalloc, which keeps what was freed longer.

    For a process that waits more than it computes; what `give_memory_back` returns is then all that is free.
    """
    import pyarrow as pa

    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)
