"""What tests of downloads share: a body, a clock that nobody waits for, and servers that answer so or so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.pipeline.fetch.web_server import Asked, Script
from worldloom.catalogs.errors import BadInput
from worldloom.pipeline.fetch.addresses import AddressRules
from worldloom.pipeline.fetch.client import Client, Patience
from worldloom.pipeline.fetch.download import Caps, Downloader
from worldloom.pipeline.fetch.shelf import Timing

BODY = bytes(range(256)) * 800
NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
LOCAL = AddressRules.of(True, ["127.0.0.1"])


class FakeTime:
    """A clock that only moves when somebody sleeps, or when it is told to."""

    def __init__(self) -> None:
        self.now_s, self.slept = 1000.0, list[float]()
        self.per_look = 0.0

    def clock(self) -> float:
        self.now_s += self.per_look
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def timing(self) -> Timing:
        return Timing(self.clock, self.sleep, chance=lambda: 0.5, now=lambda: NOW)


def downloader(folder: Path, time: FakeTime, caps: Caps | None = None, client: Client | None = None) -> Downloader:
    return Downloader(folder, client or Client(LOCAL, Patience(5, 5, 5)), caps or Caps(), time.timing())


def whole(asked: Asked) -> None:
    asked.answer(200, BODY, ETag='"one"')


def cut_after(count: int, tag: str = '"one"') -> Script:
    return lambda asked: asked.answer(200, BODY[:count], Content_Length=str(len(BODY)), ETag=tag)


def rest(asked: Asked, *, start: int | None = None, total: int | None = None, tag: str = '"one"') -> None:
    first = asked.start if start is None else start
    assert first is not None
    total = len(BODY) if total is None else total
    asked.answer(206, BODY[first:], Content_Range=f"bytes {first}-{len(BODY) - 1}/{total}", ETag=tag)


def status(code: int, **headers: str) -> Script:
    return lambda asked: asked.answer(code, b"so", **headers)


def refusal(one: Downloader, url: str) -> str:
    with pytest.raises(BadInput) as found:
        one.fetch(url)
    return found.value.reason


def left(folder: Path) -> set[str]:
    return {path.suffix if path.suffixes != [".part", ".json"] else ".part.json" for path in folder.rglob("*.*")}


def to(location: str, code: int = 302) -> Script:
    return lambda asked: asked.answer(code, b"", Location=location)
