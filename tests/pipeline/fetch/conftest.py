"""A server on loopback, and a clock that only moves when it is told to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pipeline.fetch.downloads import (
    FakeTime,
)
from tests.pipeline.fetch.web_server import WebServer, web_server


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as one:
        yield one


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()
