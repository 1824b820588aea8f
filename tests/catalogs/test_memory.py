from __future__ import annotations

import ctypes
import gc
import weakref
from types import SimpleNamespace

import pyarrow as pa
import pytest

from worldloom.catalogs.memory import frugal_memory, give_memory_back


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_what_only_circles_hold_goes_when_asked_for() -> None:
    gc.disable()
    try:
        held = weakref.ref(Circle())
        give_memory_back(collect=False)
        assert held() is not None
        give_memory_back()
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("library", [SimpleNamespace(malloc_trim=lambda keep: calls.append(keep)), SimpleNamespace()])
def test_the_c_library_is_asked_where_it_can_be(library: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr("sys.platform", "linux")
    calls.clear()
    give_memory_back()
    assert calls == ([0] if hasattr(library, "malloc_trim") else [])


calls: list[int] = []


def test_a_frugal_process_goes_back_to_the_pool_it_had() -> None:
    before = pa.default_memory_pool().backend_name
    with pytest.raises(KeyError), frugal_memory():
        assert pa.default_memory_pool().backend_name == "system"
        raise KeyError
    assert pa.default_memory_pool().backend_name == before
