"""A file of one address: taken up where it broke off, tried again with patience, whole or not there at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from worldloom.catalogs.errors import BadInput, Unreachable
from worldloom.pipeline.fetch.addresses import Address, parse_address
from worldloom.pipeline.fetch.client import Alarm, Answer, Client
from worldloom.pipeline.fetch.shelf import Fetched, Shelf, Timing, write_json

_PIECE = 1 << 18
_GONE = {404: "gone", 410: "gone", 401: "forbidden", 402: "forbidden", 403: "forbidden", 451: "withheld"}
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_SENTENCES = {
    "gone": "the server has it no more",
    "forbidden": "the server does not give it to us",
    "withheld": "withheld for legal reasons",
    "bad_answer": "the server answers in a way that is no file",
}


@dataclass(frozen=True)
class Caps:
    """What one file may cost (defaults ours).

    Attributes:
        max_bytes: of the file.
        max_seconds: wall clock, all attempts and waits together.
        retries: attempts after the first.
        min_bytes_per_s: a server slower than this over `window_s` is given up.
        window_s: over which its speed is taken.
        first_wait_s: before the second attempt, doubled before each later one, and varied by half.
        longest_wait_s: between two attempts, a server's own wish (`Retry-After`) included.
    """

    max_bytes: int = 2_000_000_000
    max_seconds: float = 900.0
    retries: int = 4
    min_bytes_per_s: float = 4_096.0
    window_s: float = 30.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 120.0


@dataclass(frozen=True)
class Lead:
    """Where a file really lies, as a page about it says.

    Attributes:
        url: of the file.
        headers: to be sent with the request.
        told: what the page says about it: title, uploader, licence.
        passing: answers that say no for now, although they mean never elsewhere.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    passing: frozenset[int] = frozenset()


class _Broke(Unreachable):
    """An attempt that failed and may go better next time; `wait_s` is what the server asked for."""

    wait_s: float | None = None


class Downloader:
    """Fetches files into a folder that lasts.

    Args:
        folder: of downloads; workers share it.
        client: asks.
        caps: of each file.
        timing: clock, sleep and chance.
    """

    def __init__(self, folder: Path, client: Client, caps: Caps | None = None, timing: Timing | None = None) -> None:
        self._folder, self._client = folder, client
        self._caps, self._timing = caps or Caps(), timing or Timing()

    def fetch(self, url: str, find: Callable[[float], Lead] | None = None, key: str = "") -> Fetched:
        """The file of an address, from the folder where it is there and whole, else from the web.

        Args:
            url: of the file, or of a page about it.
            find: asked where the file lies, with the time of the clock until which that may take; where not given, at
                the address itself.
            key: tells files of one address apart that are found in different ways.

        Raises:
            BadInput: it cannot be had, and asking again will not help: `gone`, `forbidden`, `withheld`, `too_large`,
                `bad_url`, `address_refused`, `no_such_host`, `bad_certificate`, `bad_redirect`, `bad_answer`.
            Unreachable: it cannot be had now; what has come of it stays for the next time.
        """
        rules = self._client.rules
        address = parse_address(url, rules)
        shelf = Shelf(self._folder, f"{key}{address.url}")
        deadline = self._timing.clock() + self._caps.max_seconds
        with shelf.held(deadline, self._timing):
            if (found := shelf.finished()) is not None:
                return found
            lead = Lead(address.url) if find is None else find(deadline)
            there = parse_address(lead.url, rules)
            _Transfer(there, lead, shelf, self._client, self._caps, self._timing, deadline).run()
            return shelf.finish(self._timing.now(), lead.told)


class _Transfer:
    """One file on its way: attempts until it is whole."""

    def __init__(
        self, address: Address, lead: Lead, shelf: Shelf, client: Client, caps: Caps, timing: Timing, deadline: float
    ) -> None:
        self._address, self._lead, self._shelf, self._client = address, lead, shelf, client
        self._caps, self._timing, self._deadline = caps, timing, deadline

    def run(self) -> None:
        """Bring the part to its end.

        Raises:
            BadInput, Unreachable: as `Downloader.fetch`.
        """
        attempt = 0
        while True:
            try:
                self._attempt()
                return
            except Unreachable as error:
                attempt += 1
                self._wait(error, attempt)
            except BadInput:
                self._shelf.forget()
                raise

    def _wait(self, error: Unreachable, attempt: int) -> None:
        """Wait before the next attempt, or raise where there is none."""
        caps = self._caps
        if attempt > caps.retries:
            raise Unreachable(f"{error} (attempt {attempt}, the last)") from None
        wished = error.wait_s if isinstance(error, _Broke) else None
        wait_s = min(caps.longest_wait_s, caps.first_wait_s * 2 ** (attempt - 1)) * (0.5 + self._timing.chance())
        if wished is not None:
            if wished > caps.longest_wait_s:
                raise Unreachable(f"{error}; it asks for {wished:.0f} s of patience, ask again later") from None
            wait_s = max(wait_s, wished)
        if self._timing.clock() + wait_s >= self._deadline:
            raise Unreachable(f"{error} (attempt {attempt}; {caps.max_seconds:g} s are over)") from None
        self._timing.sleep(wait_s)

    def _attempt(self) -> None:
        have, state = self._so_far()
        if have and have == state.get("total"):  # whole, and ended before it got its name
            return
        headers = {"Range": f"bytes={have}-", "If-Range": state["validator"]} if have else {}
        with self._client.follow(self._address, {**self._lead.headers, **headers}) as answer:
            start, total = self._where_it_starts(answer, have, state)
            if total is not None and total > self._caps.max_bytes:
                raise self._too_large(f"{total / 1e6:.1f} MB")
            if start == 0:
                write_json(self._shelf.state, {"validator": _validator(answer), "total": total})
            with Alarm(self._deadline - self._timing.clock(), answer.cut) as alarm:
                try:
                    came = self._receive(answer, start)
                except Unreachable:
                    if not alarm.rang:
                        raise
            if alarm.rang:  # what was cut off looks like an end where the server has promised no length
                raise self._too_late()
        if came == 0:
            if total == 0:
                raise BadInput("bad_answer", "an empty file", where=self._address.shown)
            raise _Broke(f"{self._address.shown}: nothing came")  # headers that broke off look like this
        if total is not None and came != total:
            # Of more bytes than were promised nobody knows which are the file's, and of fewer the rest may come.
            if came > total:
                self._restart()
            raise _Broke(f"{self._address.shown}: {came} of {total} bytes came")

    def _so_far(self) -> tuple[int, dict[str, Any]]:
        """Bytes that are here and the state they belong to; nothing that could not be told apart from another state."""
        try:
            state = json.loads(self._shelf.state.read_text(encoding="utf-8"))
            have = self._shelf.part.stat().st_size
            if have and isinstance(state.get("validator"), str) and state["validator"]:
                return have, state
        except (OSError, ValueError, AttributeError):
            pass
        self._restart()
        return 0, {}

    def _restart(self) -> None:
        self._shelf.part.unlink(missing_ok=True)
        self._shelf.state.unlink(missing_ok=True)

    def _where_it_starts(self, answer: Answer, have: int, state: dict[str, Any]) -> tuple[int, int | None]:
        """First byte that the answer brings, and the size of the whole file where it is known.

        Raises:
            BadInput, _Broke: the answer is no such file.
        """
        shown = answer.address.shown
        status = answer.status
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        if status in (200, 206) and encoding not in ("", "identity"):
            raise BadInput("bad_answer", "compressed, which nobody asked for", where=shown)
        if status == 200:
            return 0, answer.length
        if have and status in (206, 416):
            first, total = _extent(answer.headers.get("Content-Range", ""))
            known = state.get("total")
            same = _validator(answer) in ("", state["validator"]) and (total is None or known in (None, total))
            if status == 206 and same and first == have:
                return have, known if total is None else total
            self._restart()
            raise _Broke(f"{shown}: it goes on with something else than what had come; from the beginning")
        if status in _AGAIN or status in self._lead.passing or status >= 500:
            broke = _Broke(f"{shown}: the server answers {status}")
            broke.wait_s = _retry_after(answer.headers.get("Retry-After", ""), self._timing.now())
            raise broke
        reason = _GONE.get(status, "bad_answer")
        raise BadInput(reason, f"{_SENTENCES[reason]} ({status})", where=shown)

    def _receive(self, answer: Answer, start: int) -> int:
        """Append the body to the part; bytes that are there afterwards."""
        caps, clock = self._caps, self._timing.clock
        came, since, mark = start, clock(), start
        with self._shelf.part.open("r+b" if start else "wb") as part:
            part.seek(start)
            while piece := answer.read(_PIECE):
                part.write(piece)
                came += len(piece)
                if came > caps.max_bytes:
                    raise self._too_large(f"at least {came / 1e6:.1f} MB")
                now = clock()
                if now > self._deadline:
                    raise self._too_late()
                if now - since >= caps.window_s:
                    if came - mark < caps.min_bytes_per_s * (now - since):
                        speed = (came - mark) / (now - since)
                        raise _Broke(f"{self._address.shown}: {speed:.0f} bytes/s, which is no speed")
                    since, mark = now, came
        return came

    def _too_large(self, size: str) -> BadInput:
        message = f"{size}, max_mb is {self._caps.max_bytes / 1e6:g}"
        return BadInput("too_large", message, where=self._address.shown, remedy="Raise max_mb if it is wanted.")

    def _too_late(self) -> _Broke:
        return _Broke(f"{self._address.shown}: not here after {self._caps.max_seconds:g} s")


def _validator(answer: Answer) -> str:
    """What tells this state of the file from every other: a strong ETag, or a time well before the answer's own.

    RFC 9110, 8.8.1 and 8.8.2.2: a weak ETag is not for ranges, and a time of change is good for them only where the
    file cannot have changed again within its second.
    """
    tag = answer.headers.get("ETag", "").strip()
    if re.fullmatch(r'"[\x21\x23-\x7e\x80-\xff]{0,512}"', tag):
        return tag
    changed, sent = (_date(answer.headers.get(name, "")) for name in ("Last-Modified", "Date"))
    if changed is not None and sent is not None and (sent - changed).total_seconds() >= 60:
        return answer.headers["Last-Modified"].strip()
    return ""


def _extent(text: str) -> tuple[int | None, int | None]:
    """First byte and size of the whole file in a `Content-Range`, as far as they can be read."""
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", text.strip())
    if found is None or int(found[2]) < int(found[1]):
        return None, None
    return int(found[1]), None if found[3] == "*" else int(found[3])


def _retry_after(text: str, now: datetime) -> float | None:
    """Seconds that a server asks for, as a number or as a date."""
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    date = _date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
