"""A headless Chromium driven over its own pipe, for what only a browser can tell; tests skip where there is none."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
STARTED_S = 60.0


def needs_browser() -> str:
    """Path of the browser; skips the test where there is none."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no browser: none of {', '.join(PROGRAMS)} is installed")


class Browser:
    """One page in one browser: `with Browser() as browser: browser.open(path); browser.ask("document.title")`.

    Args:
        width: of the window, pixels.
        height: the same.
        dark: whether the system prefers dark colours.
        scripts: whether the page may run its scripts.
    """

    def __init__(self, width: int = 1280, height: int = 900, *, dark: bool = False, scripts: bool = True) -> None:
        self.program = needs_browser()
        self.size, self.dark, self.scripts = (width, height), dark, scripts
        self.said: list[str] = []
        self.asked_for: list[str] = []
        self._number = self._loaded = 0
        self._left = b""

    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory(prefix="worldloom-browser-", ignore_cleanup_errors=True)
        down, up = os.pipe(), os.pipe()

        def hand_over() -> None:
            # The browser reads commands from 3 and answers on 4.
            read, write = os.dup(down[0]), os.dup(up[1])
            os.dup2(read, 3)
            os.dup2(write, 4)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
                 f"--user-data-dir={self._profile.name}", f"--window-size={self.size[0]},{self.size[1]}"]  # fmt: skip
        self._process = subprocess.Popen(
            [self.program, *flags, "about:blank"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=hand_over, pass_fds=(3, 4), start_new_session=True,
        )  # fmt: skip
        os.close(down[0])
        os.close(up[1])
        self._in, self._out = up[0], down[1]
        self._session = ""
        end = time.monotonic() + STARTED_S
        while True:
            targets = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
            if targets or time.monotonic() > end:
                break
            time.sleep(0.1)
        self._session = self.call("Target.attachToTarget", targetId=targets[0]["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = self.size
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        if self.dark:
            self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        if not self.scripts:
            self.call("Emulation.setScriptExecutionDisabled", value=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the DevTools protocol and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            part = os.read(self._in, 1 << 20)
            assert part, "the browser is gone"
            self._left += part
        one, _, self._left = self._left.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        told = message.get("params", {})
        if message.get("method") == "Page.loadEventFired":
            self._loaded += 1
        if message.get("method") == "Log.entryAdded":
            self.said.append(told["entry"]["text"])
        if message.get("method") == "Runtime.exceptionThrown":
            self.said.append(str(told["exceptionDetails"].get("exception", {}).get("description", told)))
        if message.get("method") == "Network.requestWillBeSent":
            self.asked_for.append(told["request"]["url"])
        return message

    def open(self, page: Path, part: str = "") -> None:
        """Open a file and wait until it is loaded; `part` follows the #."""
        # Another part of the same page would be no new page.
        for address in ("about:blank", f"{page.absolute().as_uri()}{'#' + part if part else ''}"):
            before = self._loaded
            self.call("Page.navigate", url=address)
            while self._loaded == before:
                self._next()

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 10.0) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (found := self.ask(expression)):
            assert time.monotonic() < end, f"never true: {expression}; the page said {self.said}"
            time.sleep(0.02)
        return found

    def press(self, key: str) -> None:
        """A key down and up."""
        codes = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        extra = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", key=key, text=text, **extra)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **extra)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """With the left button from one point of the window to another."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """What the window shows, or the whole page, as a PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path
